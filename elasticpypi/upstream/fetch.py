"""Asking another index: bounded in time, bytes, connections and addresses, whatever it answers (REQ-U14, U21 to U23).

A client is made in the process that asks, with its first request: no connection is open at a fork.
"""

import base64
import logging
import os
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import urllib3
from packaging.utils import NormalizedName
from urllib3.exceptions import (
    HTTPError,
    ProtocolError,
    ProxyError,
)

from elasticpypi import __version__
from elasticpypi.core.errors import ConfigurationError, Unavailable
from elasticpypi.core.upstream import LARGEST
from elasticpypi.policy import Upstream
from elasticpypi.upstream import loops
from elasticpypi.upstream.connections import NotPublic, alarms, check_address, manager
from elasticpypi.upstream.proxies import Proxy, proxy_for

CONNECT, READ, WHOLE = 3.0, 10.0, 20.0  # seconds: to connect, without a byte (or for all headers), for a page
GRACE, SLOWEST = 30.0, 20_000  # seconds that a file may take, and one more for so many bytes of it
UNKNOWN = 2 * 1024**3  # bytes of a file whose size nobody tells, at most
REDIRECTS = 5
AT_ONCE = 1.0  # seconds in which a connection breaks that was kept too long
FAILURES, PAUSE = 5, 30.0  # that end all asking for so many seconds
LONGEST_PAUSE = 600.0  # seconds, whatever Retry-After says
CHUNK = 128 * 1024
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"  # PEP 691

log = logging.getLogger(__name__)


class Failed(Exception):
    """The other index has not answered, or not as it should; the text is a sentence without any secret.

    ``pause`` is when it may be asked again, in seconds; ``loop``: it has asked us; ``counts``: its host is in trouble;
    ``is_new``: it has been asked; ``ours``: this process cannot ask it, and others may.
    """

    def __init__(
        self,
        text: str,
        pause: float = 0.0,
        *,
        loop: bool = False,
        counts: bool = False,
        is_new: bool = True,
        ours: bool = False,
    ) -> None:
        super().__init__(text)
        self.pause, self.loop, self.counts, self.is_new, self.ours = pause, loop, counts, is_new, ours


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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an index is: its host as addresses have it, its address, and what a request to it says of us."""

    own: str
    address: str
    credentials: str


class Client:
    """What asks one index. ``address`` is that of its simple index, or gives it when it is first asked; it may be
    private, the hosts that its answers name may not. ``credentials`` are user:password, if they are not in it.
    ``environ`` names the proxy. ``lacks`` is why it is not to be asked by this process, "" if it may be.
    """

    def __init__(
        self,
        settings: Upstream,
        address: str | Callable[[], str],
        loop: Callable[[], str] = str,
        credentials: str = "",
        environ: Mapping[str, str] = os.environ,
        lacks: str = "",
    ) -> None:
        self._settings, self._loop, self._environ, self._lacks = settings, loop, environ, lacks
        self._address, self._said = address, credentials
        self._lock = threading.Lock()
        self._found: _Place | ConfigurationError | None = None
        self._process: int | None = None
        self._ours: urllib3.PoolManager | None = None
        self._others: urllib3.PoolManager | None = None
        self._proxied: dict[Proxy, urllib3.PoolManager] = {}
        self._hosts: dict[str, _Host] = {}

    @property
    def address(self) -> str:
        """That of the index, without credentials; :class:`ConfigurationError` if nobody knows."""
        return self._place().address

    @property
    def host(self) -> str:
        """The host of that, with its port if it has one; "" if nobody knows."""
        try:
            return urlsplit(self.address).netloc
        except ConfigurationError:
            return ""

    def _place(self) -> _Place:
        with self._lock:
            if self._found is None:
                try:
                    address = self._address if isinstance(self._address, str) else self._address()
                    self._found = _place(address, self._said)
                except ConfigurationError as error:
                    self._found = error
        if isinstance(self._found, ConfigurationError):
            raise ConfigurationError(str(self._found))
        return self._found

    def page(self, name: NormalizedName, etag: str = "") -> Answer:
        """The page of a project, if it is another one than that of ``etag``; :class:`Failed`."""
        headers = {"Accept": ACCEPT, "Accept-Encoding": "gzip"}
        if etag:
            headers["If-None-Match"] = etag
        end = time.monotonic() + WHOLE
        with self._asked(f"{name}/", headers, end, own=True) as (response, url):
            if response.status not in (200, 304, 404, 410):
                raise self._refused(response)
            found = response.headers
            serial, said = found.get("X-PyPI-Last-Serial", ""), found.get("ETag", "")
            return Answer(
                404 if response.status == 410 else response.status,
                url,
                _body(response, end, LARGEST) if response.status == 200 else b"",
                found.get("Content-Type", "").partition(";")[0].strip().lower(),
                said if said.isprintable() and said.isascii() and len(said) <= 500 else "",  # it is sent again
                int(serial) if serial.isdecimal() and len(serial) < 19 else 0,
                _age(found.get("Cache-Control", "")),
            )

    @contextmanager
    def file(self, url: str, size: int = -1) -> Iterator[tuple[int | None, Iterator[bytes]]]:
        """The bytes of a file, as they come, and how many there will be; :class:`Failed` now or later.

        ``size`` is how many there should be, -1 if nobody knows.
        """
        end = time.monotonic() + GRACE + (size if size >= 0 else UNKNOWN) / SLOWEST
        with self._asked(url, {"Accept-Encoding": "identity"}, end, own=False) as (response, _):
            if response.status != 200:
                raise self._refused(response)
            announced = response.headers.get("Content-Length", "")
            yield (int(announced) if announced.isdecimal() else None), _chunks(response, end)

    def link(self, url: str) -> str | None:
        """The address of a file for a client of ours; None if it would need our credentials. :class:`Failed`."""
        place = self._known_place()
        parts = urlsplit(url)
        if f"{parts.scheme}://{parts.netloc}" == place.own:
            return None if place.credentials else url
        self._check(parts.scheme, parts.netloc, own=False)
        return url

    @property
    def name(self) -> str:
        """The name that the policy gives the index."""
        return self._settings.name

    @property
    def _name(self) -> str:
        """As texts of troubles have it: which one, and where it is."""
        found = self._found
        host = f" ({urlsplit(found.own).netloc})" if isinstance(found, _Place) else ""
        return f"The index {self._settings.name!r}{host}"

    def _known_place(self) -> _Place:
        if self._lacks:
            raise Failed(f"{self._name} cannot be asked: {self._lacks}", is_new=False, ours=True)
        try:
            return self._place()
        except ConfigurationError as error:
            raise Failed(f"{self._name} cannot be asked: {error}", ours=True) from None

    @contextmanager
    def _asked(self, url: str, headers: dict[str, str], end: float, *, own: bool) -> Iterator[tuple[Any, str]]:
        """An answer, after redirects, and the address that it is of; ``url`` may be below that of the index."""
        base, target = self._known_place().address, url
        for _ in range(REDIRECTS):
            try:
                url = urljoin(base, target)
                parts = urlsplit(url)
            except ValueError:
                raise Failed(f"{self._name} names an address that is none.") from None
            with self._answered(url, parts, headers, end, own=own) as response:
                base, target = url, response.get_redirect_location()
                if not target:
                    yield response, url
                    return
        raise Failed(f"{self._name} leads from one address to the next, more than {REDIRECTS} times.")

    @contextmanager
    def _answered(
        self, url: str, parts: SplitResult, headers: dict[str, str], end: float, *, own: bool
    ) -> Iterator[Any]:
        """One answer; whether it came counts for its host. What the caller raises while he reads it is his."""
        is_own = f"{parts.scheme}://{parts.netloc}" == self._known_place().own
        if not is_own:
            self._check(parts.scheme, parts.netloc, own=own)
        host = self._hosts.setdefault(parts.netloc, _Host())
        if (pause := host.until - time.monotonic()) > 0:
            raise Failed(f"{self._name} has not answered, and is asked again in {pause:.0f} s.", pause, is_new=False)
        try:
            response = self._request(url, headers, end, own=is_own)
        except NotPublic as error:
            raise Failed(f"{self._name} is not to be followed: {error}.") from None
        except ConfigurationError as error:
            raise Failed(f"{self._name} cannot be asked: {error}", ours=True) from None
        except (HTTPError, OSError, ValueError) as error:  # the last one: of a name that is none
            host.failed(0.0)
            raise Failed(f"{self._name} has not answered: {_why(error)}.") from None
        try:
            with alarms.at(end, response.shutdown):
                yield response
            if response.status == 304:
                response.drain_conn()  # nothing comes, and the connection can be used again
        except Failed as error:
            if error.counts:
                host.failed(error.pause)
            raise
        finally:
            response.close()  # what is left of it is never waited for
        host.failures = 0

    def _request(self, url: str, headers: dict[str, str], end: float, *, own: bool) -> Any:
        sent = {**headers, "User-Agent": f"elasticpypi/{__version__}"}
        if own and self._known_place().credentials:
            sent["Authorization"] = self._known_place().credentials
        if loop := self._loop():
            sent[loops.HEADER] = ", ".join(filter(None, (loops.came_through.get(), loop)))
        manager, connect = self._manager(url, own=own)
        begin = time.monotonic()
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            timeout = urllib3.Timeout(connect=min(connect, left), read=min(READ, left))
            try:
                return manager.request(
                    "GET", url, headers=sent, timeout=timeout, preload_content=False, redirect=False, retries=False
                )
            except ProtocolError:
                if time.monotonic() - begin > AT_ONCE:
                    raise
                begin -= AT_ONCE  # once more: the server may have closed a connection that was kept

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
        if status == 407:
            return Failed(f"The proxy of the environment does not let us ask {self._name[4:]}: it wants credentials.")
        if status in (401, 403):
            return Failed(f"{self._name} has refused our credentials, or the file ({status}).")
        pause = _retry_after(response.headers.get("Retry-After", ""))
        return Failed(f"{self._name} has answered {status}.", pause, counts=status == 429 or status >= 500)

    def _manager(self, url: str, *, own: bool) -> tuple[urllib3.PoolManager, float]:
        """What asks an address, and for how long it tries to connect.

        A proxy looks hosts up itself, and says which ones may be asked: here, only what is an address counts.
        """
        ours, others = self._managers()
        is_free = own or self._settings.insecure or bool(self._settings.files)
        proxy = proxy_for(url, self._environ)
        if proxy is None:
            return (ours if is_free else others), CONNECT
        if not is_free:
            check_address(urlsplit(url).hostname or "")
        with self._lock:
            if proxy not in self._proxied:
                self._proxied[proxy] = manager(None, proxy)
            return self._proxied[proxy], READ

    def _managers(self) -> tuple[urllib3.PoolManager, urllib3.PoolManager]:
        """What asks the index itself, and what asks hosts that it names: these must be public."""
        own = urlsplit(self._known_place().own).hostname or ""
        with self._lock:
            if self._ours is None or self._others is None or self._process != os.getpid():
                self._ours, self._others, self._process = manager(None), manager(own), os.getpid()
                self._proxied = {}
            return self._ours, self._others


def _place(address: str, said: str) -> _Place:
    """The address as a setting or pip has it, with user and password in it or not."""
    try:
        parts = urlsplit(address)
        user, _, host = parts.netloc.rpartition("@")
        if parts.scheme not in ("https", "http") or not parts.hostname or (parts.port or 1) < 1:
            raise ValueError
    except ValueError:
        raise ConfigurationError("The address of the index that is to be asked is none.") from None
    own, said = f"{parts.scheme}://{host}", said or unquote(user)
    credentials = f"Basic {base64.b64encode(said.encode()).decode()}" if said else ""
    return _Place(own, f"{own}{parts.path.rstrip('/')}/", credentials)


def _body(response: Any, end: float, most: int) -> bytes:
    """The whole body, decoded."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        raise Failed(f"The answer is in an encoding that nobody asked for: {encoding[:40]}.")
    decoder = zlib.decompressobj(31) if encoding in ("gzip", "x-gzip") else None
    parts, size = [], 0
    for chunk in _chunks(response, end):
        try:
            part = decoder.decompress(chunk, most + 1 - size) if decoder else chunk
        except zlib.error:
            raise Failed("The answer is not compressed as it says.") from None
        size += len(part)
        if size > most:
            raise Failed(f"The answer is larger than {most // (1024 * 1024)} MB.")
        parts.append(part)
    if decoder and not decoder.eof:
        raise Failed("The answer has ended too early.")
    return b"".join(parts)


def _chunks(response: Any, end: float) -> Iterator[bytes]:
    """Bytes as they come; who sends a byte now and then does not hold us for ever."""
    begin, size = time.monotonic(), 0
    while True:
        try:
            chunk = response.read1(CHUNK, decode_content=False)
        except (HTTPError, OSError) as error:
            why = "it took too long" if time.monotonic() >= end else _why(error)
            raise Failed(f"The answer did not come to its end: {why}.", counts=True) from None
        size += len(chunk)
        if time.monotonic() > min(end, begin + GRACE + size / SLOWEST):
            raise Failed("The answer did not come in time.", counts=True)
        if not chunk:
            return
        yield chunk


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
    if isinstance(error, ProxyError):
        refused = re.search(r"Tunnel connection failed: (\d{3})", str(error.original_error))
        why = f"it has answered {refused[1]}" if refused else _why(error.original_error)
        return f"the proxy of the environment does not let us through, {why}"
    reason = getattr(error, "reason", None) or error
    cause = reason.args[-1] if isinstance(reason, urllib3.exceptions.ProtocolError) and reason.args else reason
    if isinstance(cause, urllib3.exceptions.NameResolutionError | socket.gaierror):
        return "its host is not known"
    # Of those that were refused, too, urllib3 says that they took too long, or broke.
    if isinstance(cause, urllib3.exceptions.NewConnectionError | ConnectionRefusedError):
        return "it cannot be reached"
    if isinstance(reason, urllib3.exceptions.TimeoutError | TimeoutError):
        return "it took too long"
    if isinstance(reason, urllib3.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(reason, urllib3.exceptions.ProtocolError | urllib3.exceptions.IncompleteRead):
        return "the connection broke"
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    return text.lower() if isinstance(reason, OSError) else "it cannot be reached"


def unavailable(error: Failed) -> Unavailable:
    """The refusal for those who wait for an answer."""
    return Unavailable(f"{error} Try again in a moment.")
