"""Connections to other indexes: to addresses that may be asked, and never waited for beyond a moment (REQ-U21, U22)."""

import base64
import heapq
import ipaddress
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError, NewConnectionError

from elasticpypi.upstream.proxies import Proxy

CONNECTIONS = 48  # to one host that a process keeps
ADDRESSES = 4  # of a host that are tried


class NotPublic(HTTPError):
    """A host that an answer names has no address that may be asked."""


class _Alarms:
    """One thread of a process that wakes all who have waited long enough: a thread for each would cost more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[list[Any]] = []  # a heap: a moment, a number, and what is to be called then, if it still is
        self._numbers = itertools.count()
        self._process = 0

    @contextmanager
    def at(self, moment: float, end: Callable[[], object]) -> Iterator[None]:
        """Whoever waits inside is woken at a moment by ``end``, whatever comes byte by byte until then."""
        alarm = [moment, next(self._numbers), end]
        with self._changed:
            if self._process != os.getpid():
                self._due = []
                threading.Thread(target=self._ring, daemon=True, name="ends what takes too long").start()
                self._process = os.getpid()
            heapq.heappush(self._due, alarm)
            if self._due[0] is alarm:
                self._changed.notify()
        try:
            yield
        finally:
            alarm[2] = None

    def _ring(self) -> None:
        while True:
            with self._changed:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                end = heapq.heappop(self._due)[2]
            with suppress(OSError, ValueError, RuntimeError):  # it is over already
                if end is not None:
                    end()


alarms = _Alarms()


class _Bounded:
    """A connection whose headers have come within its time-out; to a public host, if that of our index is given."""

    own: str | None = None

    def _new_conn(self: Any) -> socket.socket:
        try:
            return _connected(self, self.own)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "it took too long") from error
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    def _tunnel(self: Any) -> None:
        sock = self.sock
        with alarms.at(time.monotonic() + self.timeout, lambda: sock.shutdown(socket.SHUT_RDWR)):
            super()._tunnel()  # type: ignore[misc]

    def getresponse(self: Any) -> Any:
        sock = self.sock
        with alarms.at(time.monotonic() + self.timeout, lambda: sock.shutdown(socket.SHUT_RDWR)):
            return super().getresponse()  # type: ignore[misc]


class _Plain(_Bounded, HTTPConnection):
    pass


class _Secure(_Bounded, HTTPSConnection):
    pass


def manager(own: str | None, proxy: Proxy | None = None) -> urllib3.PoolManager:
    """Connections to any host, or to public ones and to that of our index; or to a proxy that makes them."""

    def pool(kind: Any, connection: Any) -> Any:
        return type("_Pool", (kind,), {"ConnectionCls": type("_Connection", (connection,), {"own": own})})

    made: urllib3.PoolManager
    if proxy is None:
        made = urllib3.PoolManager(num_pools=8, maxsize=CONNECTIONS, block=False)
    else:
        login = base64.b64encode(proxy.credentials.encode()).decode()
        headers = {"Proxy-Authorization": f"Basic {login}"} if login else {}
        made = urllib3.ProxyManager(proxy.address, num_pools=8, proxy_headers=headers, maxsize=CONNECTIONS, block=False)
    made.pool_classes_by_scheme = {
        "http": pool(HTTPConnectionPool, _Plain),
        "https": pool(HTTPSConnectionPool, _Secure),
    }
    return made


def _connected(connection: Any, own: str | None) -> socket.socket:
    """A connection to a host: if an answer named it, to a public address, or to one that our index ``own`` itself has.

    It is made to the very address that was looked at.
    """
    host, port, timeout = connection.host.strip("[]"), connection.port, connection.timeout
    fine = addresses = _addresses(host, port)
    if own is not None:
        fine = [address for address in addresses if _is_public(address)]
        if not fine and (ours := {*addresses} & {*_addresses(own, port)}):
            fine = [*ours]
    if not fine:
        raise _not_public(host)
    end = time.monotonic() + timeout
    for address in fine[:ADDRESSES]:
        try:
            return socket.create_connection((address, port), max(end - time.monotonic(), 0.1))
        except OSError as failed:
            error = failed
    raise error


def check_address(host: str) -> None:
    """:class:`NotPublic` for what is an address that is not public, or always means this machine."""
    host = host.rstrip(".").lower()
    with suppress(ValueError):
        if _is_public(host):
            return
        raise _not_public(host)
    with suppress(OSError):
        socket.inet_aton(host)  # another spelling of an address, such as 127.1
        raise _not_public(host)
    if host == "localhost" or host.endswith(".localhost"):
        raise _not_public(host)


def _not_public(host: str) -> NotPublic:
    return NotPublic(f"the host {host[:200]!r} has no public address, and the policy does not name it in files")


def _addresses(host: str, port: int | None) -> list[str]:
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or (found.sixtofour or (found.teredo or (None, None))[1])
        if inner and not inner.is_global:
            return False
    return found.is_global and not found.is_multicast
