"""Files of other indexes on their way to those who wait for them, and into the store (REQ-U36 to U42).

A thread fetches a file, once for all who want it, in all processes: these read what has come so far. The last bytes are
given to nobody before the digest is right, so nothing wrong is ever delivered whole. The thread goes on when its first
client has gone, if more than half is there or others read; when a process dies, the next one begins anew, and whoever
read it goes on where it was: whether all that one got is right is looked at again before its last bytes.
"""

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from elasticpypi.core.errors import Unavailable
from elasticpypi.storage.contracts import Incoming, UpstreamStore
from elasticpypi.upstream.fetch import Client, Failed, unavailable
from elasticpypi.upstream.places import Places

MOST, MOST_SMALL = 10, 32  # files that a process fetches at once
SMALL = 1024 * 1024  # bytes
CHUNK = 128 * 1024
BACK = 64 * 1024  # bytes that wait for the digest
LOOK = 0.02  # seconds between two looks at what another process fetches
SILENT = 15.0  # seconds without a byte, after which it is not waited for
QUEUE = 60.0  # seconds until a file that waits for its turn has one
SPARE = 256 * 1024 * 1024  # bytes of the disk that are left to packages of our own
EVERY = 64 * 1024 * 1024  # bytes between two looks at the disk
# PyPI's path of a file has its blake2b; the index behind it may have taken sha256 instead.
HASHED = re.compile(r"(?:^|/)packages/([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{60})/[^/]+(?<!\.metadata)\Z")

Then = Callable[[], None] | None

log = logging.getLogger(__name__)


class Transfers:
    """The transfers of a process into ``store``; ``places`` are for those who wait."""

    def __init__(self, store: UpstreamStore, places: Places) -> None:
        self._store, self._places = store, places
        self._large, self._small = threading.Semaphore(MOST), threading.Semaphore(MOST_SMALL)
        self._lock = threading.Lock()
        self._running: dict[str, _Transfer] = {}

    def read(
        self, client: Client, filename: str, sha256: str, url: str, size: int, then: Then = None
    ) -> Generator[bytes]:
        """The bytes with this digest, as they come. ``size`` is -1 if it is not known.

        ``then`` is called once they are kept, if it is this call that has them fetched; nobody waits for it.

        :class:`Unavailable` if they cannot be had: with the first piece, or in the middle, which breaks the answer.
        """
        position, given, heard = 0, hashlib.sha256(), time.monotonic()
        with self._places:
            while True:
                with self._source(client, sha256, url, size, then) as source:
                    while (chunk := source.read(position)) is not None:
                        position += len(chunk)
                        given.update(chunk)
                        if source.size is not None and source.size <= position and given.hexdigest() != sha256:
                            raise Unavailable(f"{filename} has come in parts that do not fit: try again.")
                        yield chunk
                        heard = time.monotonic()
                    if source.size is not None and source.size <= position:
                        return
                if time.monotonic() > heard + (SILENT if position else QUEUE):
                    raise Unavailable(f"{filename} cannot be fetched now: try again.")

    def size(self, sha256: str) -> int:
        """The bytes of a file that comes or has come, -1 if nobody knows."""
        running = self._running.get(sha256)
        kept = self._store.size(sha256)
        return kept if kept is not None else running.size if running else -1

    def keep(self, client: Client, sha256: str, url: str, size: int, then: Then = None) -> None:
        """Have a file fetched for whoever wants it next, if there is nothing more urgent to do."""
        try:
            if self._store.size(sha256) is None and len(self._running) < MOST:
                self._start(client, sha256, url, size, then, is_wanted=True)
        except Unavailable as error:
            log.warning("%s", error)

    @contextmanager
    def _source(self, client: Client, sha256: str, url: str, size: int, then: Then) -> Iterator["_Source"]:
        """Where the bytes come from now: the store, this process, or another one."""
        if (kept := self._store.open(sha256)) is not None:
            with kept:
                yield _Kept(kept)
        elif (transfer := self._start(client, sha256, url, size, then)) is not None:
            with transfer.reading() as source:
                yield source
        elif (growing := self._store.growing(sha256)) is not None:
            with growing:
                yield _Elsewhere(growing)
        else:  # it has ended between two looks
            yield _Nothing()

    def _start(
        self,
        client: Client,
        sha256: str,
        url: str,
        size: int,
        then: Then,
        *,
        is_wanted: bool = False,
    ) -> "_Transfer | None":
        """The transfer of these bytes in this process; None if another one is at it."""
        with self._lock:
            if (running := self._running.get(sha256)) is not None:
                return running
            if size > 0 and not self._has_room(size):
                raise Unavailable(FULL)
            incoming = self._store.begin(sha256)
            if incoming is None:
                return None
            growing = self._store.growing(sha256)
            if growing is None or self._store.size(sha256) is not None:  # it was kept between two looks
                incoming.drop()
                if growing is not None:
                    growing.close()
                return None
            made = _Transfer(self, client, incoming, growing, sha256, url, size, then, is_wanted)
            self._running[sha256] = made
        try:
            made.start()
        except RuntimeError:
            made.give_up("This index has too much to do to fetch a file: try again in a moment.")
        return made

    def check_room(self, size: int) -> None:
        """:class:`Failed` if so many bytes more would leave too little to own packages."""
        if not self._has_room(size):
            raise Failed(FULL)

    def _has_room(self, size: int) -> bool:
        return self._store.free() - size >= SPARE

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """While a transfer runs; few do at once, and what is small does not wait for what is large."""
        slots = self._small if size < SMALL else self._large
        if not slots.acquire(timeout=QUEUE):
            raise Failed("This index fetches too many files now.")
        try:
            yield
        finally:
            slots.release()

    def ended(self, sha256: str) -> None:
        """Whoever wants it from now on begins anew."""
        with self._lock:
            self._running.pop(sha256, None)


FULL = "There is no room on the disk of this index for a file of another one."


class _Source(Protocol):
    """What bytes are read from; ``size`` is that of the whole file if it is in the store, and right."""

    size: int | None

    def read(self, position: int) -> bytes | None:
        """More bytes from a position on, waiting for them a while; None if this has no more to give."""


class _Nothing:
    size: int | None = None

    def read(self, position: int) -> bytes | None:
        time.sleep(LOOK)
        return None


class _Kept:
    """A file in the store."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        self.size: int | None = content.seek(0, os.SEEK_END)

    def read(self, position: int) -> bytes | None:
        self._content.seek(position)
        return self._content.read(CHUNK) or None


class _Elsewhere:
    """What another process fetches, as far as it has come."""

    size: int | None = None

    def __init__(self, content: BinaryIO) -> None:
        self._content = content

    def read(self, position: int) -> bytes | None:
        end = self._content.seek(0, os.SEEK_END) - BACK
        if end <= position:
            time.sleep(LOOK)
            return None
        self._content.seek(position)
        return self._content.read(min(CHUNK, end - position))


class _Unwanted(Exception):
    """All who wanted a file have gone."""


class _Transfer(threading.Thread):
    """One file that is coming. It comes to its end without a reader if it ``is_wanted``."""

    def __init__(
        self,
        all_of_them: Transfers,
        client: Client,
        incoming: Incoming,
        growing: BinaryIO,
        sha256: str,
        url: str,
        size: int,
        then: Then,
        is_wanted: bool,
    ) -> None:
        run = copy_context().run  # it knows by whom its request came (RFC 8586)
        super().__init__(target=run, args=(self._run,), daemon=True, name=f"fetches {sha256[:12]}")
        self.sha256 = sha256
        self.size = size  # -1 until it is known
        self._all, self._client, self._url, self._then = all_of_them, client, url, then
        self._incoming, self._growing = incoming, growing
        self._lasts, self._is_wanted = is_wanted, True  # its first reader is on his way
        self._news = threading.Condition()
        self._there = 0
        self._readers = 0
        self._ended = False
        self._trouble = ""

    @contextmanager
    def reading(self) -> Iterator["_Reader"]:
        """A reader of what comes."""
        with self._news:
            self._readers += 1
            self._is_wanted = self._lasts
        try:
            yield _Reader(self)
        finally:
            with self._news:
                self._readers -= 1
                self._close()

    def read(self, position: int) -> bytes | None:
        """Bytes from a position on; None: the rest is in the store."""
        with self._news:
            begin = time.monotonic()
            while self._there - BACK <= position and not self._ended:
                left = begin + (SILENT if self._there else QUEUE) - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    raise Unavailable("A file of another index does not come: try again in a moment.")
            if self._trouble:
                raise Unavailable(self._trouble)
            if self._ended or self._growing.closed:
                return None
            return os.pread(self._growing.fileno(), min(CHUNK, self._there - BACK - position), position)

    def give_up(self, trouble: str) -> None:
        """It ends without the file, if there is a ``trouble``."""
        if trouble:
            self._incoming.drop()
        self._all.ended(self.sha256)
        with self._news:
            self._trouble, self._ended = trouble, True
            self._news.notify_all()
            self._close()

    def _run(self) -> None:
        trouble, is_kept = "A file of another index could not be fetched: try again in a moment.", False
        try:
            with self._all.turn(self.size):
                self._fetch()
            trouble, is_kept = "", True
        except _Unwanted:
            self._incoming.drop()
            trouble = ""  # whoever comes at this moment begins anew
        except Failed as error:
            trouble = str(unavailable(error))
            log.warning("not fetched: %s: %s", self._url.partition("?")[0].rpartition("/")[2], error)
        except (OSError, Unavailable) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            trouble = f"A file of another index cannot be kept: {why.lower().rstrip('.')}."
            log.error("%s", trouble)
        except Exception:
            log.exception("A file of another index was not fetched.")
        finally:
            self.give_up(trouble)
        if is_kept and self._then:
            self._then()

    def _close(self) -> None:
        if self._ended and not self._readers:
            self._growing.close()

    def _fetch(self) -> None:
        checks = _Digests(self.sha256, self._url)
        with self._client.file(self._url, self.size) as (announced, chunks):
            size = self.size if self.size >= 0 else announced
            if announced not in (None, size):
                raise Failed(f"The index {self._client.name!r} has {announced} bytes of a file that has {size}.")
            if self.size < 0:
                self._all.check_room(size or 0)
            self.size = -1 if size is None else size
            for chunk in chunks:
                if size is not None and self._there + len(chunk) > size:  # else readers would have all of it by now
                    raise Failed(f"The index {self._client.name!r} has sent more bytes of a file than it says.")
                checks.update(chunk)
                self._incoming.write(chunk)
                if self._there // EVERY != (self._there + len(chunk)) // EVERY:
                    self._all.check_room(0)
                with self._news:
                    self._there += len(chunk)
                    self._news.notify_all()
                    if not (self._readers or self._is_wanted) and self._there * 2 < (size or 0):
                        raise _Unwanted
        if not checks.are_right() or self._there != (self._there if size is None else size):
            raise Failed(f"The index {self._client.name!r} has sent other bytes than it says: they are not taken.")
        self._incoming.keep()


class _Digests:
    """The digest that bytes should have, and the one that PyPI's paths have."""

    def __init__(self, sha256: str, url: str) -> None:
        self._wanted = sha256
        self._sha256 = hashlib.sha256()
        found = HASHED.search(urlsplit(url).path)
        self._in_path = "".join(found.groups()) if found else ""
        self._blake2b = hashlib.blake2b(digest_size=32) if found else None

    def update(self, chunk: bytes) -> None:
        self._sha256.update(chunk)
        if self._blake2b:
            self._blake2b.update(chunk)

    def are_right(self) -> bool:
        has = self._sha256.hexdigest()
        return has == self._wanted and (self._blake2b is None or self._in_path in (has, self._blake2b.hexdigest()))


class _Reader:
    """One who reads what a thread of this process fetches."""

    size: int | None = None

    def __init__(self, transfer: _Transfer) -> None:
        self._transfer = transfer

    def read(self, position: int) -> bytes | None:
        return self._transfer.read(position)
