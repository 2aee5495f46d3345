"""Asking another index: bounded in time, bytes, connections and addresses, whatever it answers (REQ-U14, U21 to U23).

A client is made in the process that asks, with its first request: no connection is open at a fork.
"""

import base64
import ipaddress
import logging
import os
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import urllib3
from packaging.utils import NormalizedName
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from elasticpypi import __version__
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.upstream import LARGEST
from elasticpypi.policy import Upstream
from elasticpypi.repository import loops

CONNECT, READ, WHOLE = 3.0, 10.0, 20.0  # seconds: to connect, without a byte, for a page
CONNECTIONS = 10  # to one host in a process
REDIRECTS = 5
FAILURES, PAUSE = 5, 30.0  # that end all asking for so many seconds
LONGEST_PAUSE = 600.0  # seconds, whatever Retry-After says
CHUNK = 128 * 1024
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"  # PEP 691

log = logging.getLogger(__name__)


class Failed(Exception):
    """The other index has not answered, or not as it should; the text is a sentence without any secret.

    ``pause`` is when it may be asked again, in seconds; ``loop``: it has asked us; ``counts``: its host is in trouble.
    """

    def __init__(self, text: str, pause: float = 0.0, *, loop: bool = False, counts: bool = False) -> None:
        super().__init__(text)
        self.pause, self.loop, self.counts = pause, loop, counts


class NotPublic(HTTPError):
    """A host that an answer names has no address that may be asked."""


class _Host:
    """How a host has answered of late."""

    def __init__(self) -> None:
        self.failures, self.until = 0, 0.0

    def failed(self, pause: float) -> None:
        """Once more; after some times, or if it asked for that, it has a pause."""
        self.failures += 1
        if self.failures >= FAILURES:
            self.failures, pause = 0, max(pause, PAUSE)
        if pause:
            self.until = time.monotonic() + min(pause, LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is 200, 304 or 404. ``age`` is for how long it is fresh in seconds, None if the index does not say."""

    status: int
    url: str
    body: bytes = b""
    media_type: str = ""
    etag: str = ""
    serial: int = 0
    age: int | None = None


class Client:
    """What asks one index. ``address`` is that of its simple index; it may be private, its answers' hosts may not."""

    def __init__(self, settings: Upstream, address: str, loop: Callable[[], str] = str) -> None:
        parts = urlsplit(address)
        self._settings, self._loop = settings, loop
        self._own = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.address = f"{self._own}{parts.path.rstrip('/')}/"
        self._credentials = _credentials(unquote(parts.netloc.rpartition("@")[0]))
        self._lock = threading.Lock()
        self._process: int | None = None
        self._ours: urllib3.PoolManager | None = None
        self._others: urllib3.PoolManager | None = None
        self._hosts: dict[str, _Host] = {}

    def page(self, name: NormalizedName, etag: str = "", seconds: float = WHOLE) -> Answer:
        """The page of a project within ``seconds``, if it is another one than that of ``etag``; :class:`Failed`."""
        headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip"}
        if etag:
            headers["If-None-Match"] = etag
        end = time.monotonic() + seconds
        with self._asked(f"{self.address}{name}/", headers, end, own=True) as (response, url):
            if response.status not in (200, 304, 404, 410):
                raise self._refused(response)
            found = response.headers
            serial = found.get("X-PyPI-Last-Serial", "")
            return Answer(
                404 if response.status == 410 else response.status,
                url,
                _body(response, end, LARGEST) if response.status == 200 else b"",
                found.get("Content-Type", "").partition(";")[0].strip().lower(),
                found.get("ETag", "")[:500],
                int(serial) if serial.isdecimal() and len(serial) < 19 else 0,
                _age(found.get("Cache-Control", "")),
            )

    @contextmanager
    def file(self, url: str, longest: float) -> Iterator[tuple[int | None, Iterator[bytes]]]:
        """The bytes of a file, as they come, and how many there will be; :class:`Failed` now or later."""
        end = time.monotonic() + longest
        with self._asked(url, {"Accept-Encoding": "identity"}, end, own=False) as (response, _):
            if response.status != 200:
                raise self._refused(response)
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise Failed(f"{self._name} sent a file in another encoding.")
            size = response.headers.get("Content-Length", "")
            yield (int(size) if size.isdecimal() else None), _chunks(response, end)

    @property
    def name(self) -> str:
        """The name that the policy gives the index."""
        return self._settings.name

    @property
    def _name(self) -> str:
        return f"The index {self._settings.name!r}"

    @contextmanager
    def _asked(self, url: str, headers: dict[str, str], end: float, *, own: bool) -> Iterator[tuple[Any, str]]:
        """An answer, after redirects, and the address that it is of."""
        for _ in range(REDIRECTS):
            with self._answered(url, headers, end, own=own) as response:
                if not (target := response.get_redirect_location()):
                    yield response, url
                    return
            url = urljoin(url, target)
        raise Failed(f"{self._name} leads from one address to the next, more than {REDIRECTS} times.")

    @contextmanager
    def _answered(self, url: str, headers: dict[str, str], end: float, *, own: bool) -> Iterator[Any]:
        """One answer; whether it came counts for its host."""
        parts = urlsplit(url)
        is_own = f"{parts.scheme}://{parts.netloc}" == self._own
        if not is_own:
            self._check(parts.scheme, parts.netloc, own=own)
        host = self._hosts.setdefault(parts.netloc, _Host())
        if (pause := host.until - time.monotonic()) > 0:
            raise Failed(f"{self._name} has not answered, and is asked again in {pause:.0f} s.", pause)
        try:
            response = self._request(url, headers, end, own=is_own)
            try:
                yield response
            finally:
                response.close()  # what is left of it is never waited for
        except NotPublic as error:
            raise Failed(f"{self._name} is not to be followed: {error}.") from None
        except (HTTPError, OSError, zlib.error) as error:
            host.failed(0.0)
            raise Failed(f"{self._name} has not answered: {_why(error)}.") from None
        except Failed as error:
            if error.counts:
                host.failed(error.pause)
            raise
        host.failures = 0

    def _request(self, url: str, headers: dict[str, str], end: float, *, own: bool) -> Any:
        ours, others = self._managers()
        sent = {**headers, "User-Agent": f"elasticpypi/{__version__}"}
        if own and self._credentials:
            sent["Authorization"] = self._credentials
        if loop := self._loop():
            sent[loops.HEADER] = ", ".join(filter(None, (loops.came_through.get(), loop)))
        left = end - time.monotonic()
        if left <= 0:
            raise Failed(f"{self._name} has not answered in time.", counts=True)
        timeout = urllib3.Timeout(total=left, connect=CONNECT, read=READ)
        manager = ours if own or self._settings.insecure or self._settings.files else others
        return manager.request(
            "GET", url, headers=sent, timeout=timeout, preload_content=False, redirect=False, retries=False
        )

    def _check(self, scheme: str, host: str, *, own: bool) -> None:
        """:class:`Failed` for a host that an answer names and that is not to be asked."""
        if scheme != "https" and not self._settings.insecure:
            raise Failed(f"{self._name} names an address that is not https: set insecure if that is right.")
        if own:
            raise Failed(f"{self._name} leads to another host: give that one in its address.")
        if "@" in host or (self._settings.files and host.lower() not in self._settings.files):
            raise Failed(f"{self._name} names the host {host.rpartition('@')[2][:200]!r}, which is not in files.")

    def _refused(self, response: Any) -> Failed:
        status = response.status
        if status == 508:
            return Failed(f"{self._name} asks this one in turn: one of them must not name the other.", loop=True)
        if status in (401, 403):
            return Failed(f"{self._name} has refused our credentials, or the file ({status}).")
        pause = _retry_after(response.headers.get("Retry-After", ""))
        return Failed(f"{self._name} has answered {status}.", pause, counts=status == 429 or status >= 500)

    def _managers(self) -> tuple[urllib3.PoolManager, urllib3.PoolManager]:
        """What asks the index itself, and what asks hosts that it names: these must be public."""
        with self._lock:
            if self._ours is None or self._others is None or self._process != os.getpid():
                options: dict[str, Any] = {"num_pools": 8, "maxsize": CONNECTIONS, "block": False}
                self._ours, self._others = urllib3.PoolManager(**options), urllib3.PoolManager(**options)
                own = urlsplit(self._own).hostname or ""
                self._others.pool_classes_by_scheme = {
                    "http": _pool(HTTPConnectionPool, _Public, own),
                    "https": _pool(HTTPSConnectionPool, _PublicSecure, own),
                }
                self._process = os.getpid()
            return self._ours, self._others


def _public(connection: HTTPConnection, own: str) -> socket.socket:
    """A connection to a host that an answer has named: to a public address, or one that our index itself has.

    It is made to the very address that was looked at.
    """
    host, port = connection.host.strip("[]"), connection.port
    addresses = _addresses(host, port)
    fine = [address for address in addresses if _is_public(address)]
    fine = fine or [address for address in addresses if address in _addresses(own, port)]
    error: Exception = NotPublic(f"the host {host!r} has no public address, and the policy does not name it in files")
    timeout = connection.timeout if isinstance(connection.timeout, int | float) else CONNECT
    for address in fine:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as failed:
            error = failed
    raise error


def _addresses(host: str, port: int | None) -> list[str]:
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or (found.sixtofour or (found.teredo or (None, None))[1])
        if inner and not inner.is_global:
            return False
    return found.is_global and not found.is_multicast


class _Public(HTTPConnection):
    own = ""

    def _new_conn(self) -> socket.socket:
        return _public(self, self.own)


class _PublicSecure(HTTPSConnection):
    own = ""

    def _new_conn(self) -> socket.socket:
        return _public(self, self.own)


def _pool(kind: Any, connection: Any, own: str) -> Any:
    """A kind of pool whose connections know the host of our index."""
    return type("_Pool", (kind,), {"ConnectionCls": type("_Connection", (connection,), {"own": own})})


def _body(response: Any, end: float, most: int) -> bytes:
    """The whole body, decoded."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise Failed(f"The answer is in an encoding that nobody asked for: {encoding[:40]}.")
    decoder = zlib.decompressobj(31) if encoding in ("gzip", "x-gzip") else None
    parts, size = [], 0
    for chunk in _chunks(response, end):
        part = decoder.decompress(chunk, most + 1 - size) if decoder else chunk
        size += len(part)
        if size > most:
            raise Failed(f"The answer is larger than {most // (1024 * 1024)} MB.")
        parts.append(part)
    if decoder and not decoder.eof:
        raise Failed("The answer has ended too early.")
    return b"".join(parts)


def _chunks(response: Any, end: float) -> Iterator[bytes]:
    """Bytes as they come; who sends a byte now and then does not hold us for ever."""
    while chunk := response.read1(CHUNK, decode_content=False):
        yield chunk
        if time.monotonic() > end:
            raise Failed("The answer did not come in time.")


def _credentials(user_and_password: str) -> str:
    if not user_and_password:
        return ""
    return f"Basic {base64.b64encode(user_and_password.encode()).decode()}"


def _age(cache_control: str) -> int | None:
    if re.search(r"\bno-(?:cache|store)\b", cache_control.lower()):
        return 0
    found = re.search(r"\bmax-age\s*=\s*\"?(\d{1,9})", cache_control.lower())
    return int(found[1]) if found else None


def _retry_after(text: str) -> float:
    if text.isdecimal() and len(text) < 9:
        return float(text)
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0


def _why(error: Exception) -> str:
    """What went wrong, without addresses: they may have passwords in them."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.NewConnectionError):  # of these too urllib3 says that they took too long
        unknown = isinstance(reason, urllib3.exceptions.NameResolutionError)
        return "its host is not known" if unknown else "it cannot be reached"
    if isinstance(reason, urllib3.exceptions.TimeoutError | TimeoutError):
        return "it took too long"
    if isinstance(reason, urllib3.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(reason, urllib3.exceptions.NameResolutionError | socket.gaierror):
        return "its host is not known"
    if isinstance(reason, urllib3.exceptions.ProtocolError | urllib3.exceptions.IncompleteRead):
        return "the connection broke"
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return text.lower() if isinstance(reason, OSError) else "it cannot be reached"


def unavailable(error: Failed) -> Unavailable:
    """The refusal for those who wait for an answer."""
    return Unavailable(f"{error} Try again in a moment.")
