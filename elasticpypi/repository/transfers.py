"""Files of other indexes on their way to those who wait for them, and into the store (REQ-U36 to U39, U42).

A thread fetches a file, once for all who want it, in all processes: these read what has come so far. The last bytes are
given to nobody before the digest is right, so nothing wrong is ever delivered whole. The thread goes on when its first
client has gone, if more than half is there or others read; a process that dies leaves a file that the next one begins
anew, and whoever read it goes on where it was.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from elasticpypi.core.errors import Unavailable
from elasticpypi.repository.fetch import Client, Failed, unavailable
from elasticpypi.storage.contracts import Incoming, UpstreamStore

TRIES = 5  # whoever fetches it may end in the middle
MOST = 10  # files that a process fetches at once
CHUNK = 128 * 1024
BACK = 64 * 1024  # bytes that wait for the digest
LOOK = 0.02  # seconds between two looks at what another process fetches
SILENT = 15.0  # seconds without a byte, after which it is not waited for
SLOWEST = 20_000  # bytes a second
LONGEST = 300.0  # seconds for a file, and as many more as it takes at the slowest
PLACES = 200  # requests of a process that wait for other indexes, of its 512 threads
QUEUE = 60.0  # seconds until a file that waits for its turn has one
SPARE = 256 * 1024 * 1024  # bytes of the disk that are left to packages of our own

log = logging.getLogger(__name__)


class Transfers:
    """The transfers of a process into ``store``; ``places`` are for those who wait."""

    def __init__(self, store: UpstreamStore, places: "Places") -> None:
        self._store, self._places = store, places
        self._slots = threading.Semaphore(MOST)
        self._lock = threading.Lock()
        self._running: dict[str, _Transfer] = {}

    def read(self, client: Client, filename: str, sha256: str, url: str, size: int) -> Iterator[bytes]:
        """The bytes with this digest, as they come. ``size`` is -1 if it is not known.

        :class:`Unavailable` if they cannot be had: with the first piece, or in the middle, which breaks the answer.
        """
        position = 0
        with self._places:
            for _ in range(TRIES):
                with self._source(client, sha256, url, size) as source:
                    while (chunk := source.read(position)) is not None:
                        yield chunk
                        position += len(chunk)
                    if source.complete:
                        return
        raise Unavailable(f"{filename} cannot be fetched now: try again.")

    @contextmanager
    def _source(self, client: Client, sha256: str, url: str, size: int) -> Iterator["_Source"]:
        """Where the bytes come from now: the store, this process, or another one."""
        if (kept := self._store.open(sha256)) is not None:
            with kept:
                yield _Kept(kept)
        elif (transfer := self._start(client, sha256, url, size)) is not None:
            with transfer.reading() as source:
                yield source
        elif (growing := self._store.growing(sha256)) is not None:
            with growing:
                yield _Elsewhere(growing, self._store, sha256)
        else:  # it has ended between two looks
            yield _Nothing()

    def _start(self, client: Client, sha256: str, url: str, size: int) -> "_Transfer | None":
        """The transfer of these bytes in this process; None if another one is at it."""
        with self._lock:
            if (running := self._running.get(sha256)) is not None:
                return running
            if size > 0 and self._store.free() - size < SPARE:
                raise Unavailable("There is no room on the disk of this index for a file of another one.")
            incoming = self._store.begin(sha256)
            if incoming is None:
                return None
            growing = self._store.growing(sha256)
            if growing is None:
                incoming.drop()
                return None
            made = _Transfer(self, client, incoming, growing, sha256, url, size)
            self._running[sha256] = made
        made.start()
        return made

    @contextmanager
    def running(self, transfer: "_Transfer") -> Iterator[None]:
        """While a transfer runs; few do at once."""
        try:
            with self._slots:
                yield
        finally:
            with self._lock:
                self._running.pop(transfer.sha256, None)


class Places:
    """Room for requests that wait for other indexes; the rest is told to come again, so that own packages go on."""

    def __init__(self, count: int = PLACES) -> None:
        self._free = threading.BoundedSemaphore(count)

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            raise Unavailable("Too many wait for other indexes now: try again in a moment.")

    def __exit__(self, *_: object) -> None:
        self._free.release()


class _Source(Protocol):
    """What bytes are read from; ``complete`` once all have been read, and are right."""

    complete: bool

    def read(self, position: int) -> bytes | None:
        """More bytes from a position on, waiting for them; b"" if there are none yet, None at the end."""


class _Nothing:
    complete = False

    def read(self, position: int) -> bytes | None:
        return None


class _Kept:
    """A file in the store."""

    complete = False

    def __init__(self, content: BinaryIO) -> None:
        self._content = content

    def read(self, position: int) -> bytes | None:
        self._content.seek(position)
        chunk = self._content.read(CHUNK)
        self.complete = not chunk
        return chunk or None


class _Elsewhere:
    """What another process fetches: it has ended when its file is in the store, or nobody is at it."""

    complete = False

    def __init__(self, content: BinaryIO, store: UpstreamStore, sha256: str) -> None:
        self._content, self._store, self._sha256 = content, store, sha256
        self._heard = time.monotonic()

    def read(self, position: int) -> bytes | None:
        while True:
            size = self._content.seek(0, os.SEEK_END)
            if size - BACK > position:
                self._content.seek(position)
                self._heard = time.monotonic()
                return self._content.read(min(CHUNK, size - BACK - position))
            if self._store.size(self._sha256) is not None:
                return None  # go on with that
            if (mine := self._store.begin(self._sha256)) is not None:
                mine.drop()
                return None
            if time.monotonic() > self._heard + SILENT:
                raise Unavailable("A file of another index does not come any more: try again in a moment.")
            time.sleep(LOOK)


class _Transfer(threading.Thread):
    """One file that is coming."""

    def __init__(
        self,
        all_of_them: Transfers,
        client: Client,
        incoming: Incoming,
        growing: BinaryIO,
        sha256: str,
        url: str,
        size: int,
    ) -> None:
        super().__init__(daemon=True, name=f"fetches {sha256[:12]}")
        self.sha256 = sha256
        self._all, self._client, self._url, self._size = all_of_them, client, url, size
        self._incoming, self._growing = incoming, growing
        self._news = threading.Condition()
        self._there = 0
        self._readers = 0
        self._begun = False
        self._ended = False
        self._trouble = ""

    @contextmanager
    def reading(self) -> Iterator["_Reader"]:
        """A reader of what comes."""
        with self._news:
            self._readers += 1
        try:
            yield _Reader(self)
        finally:
            with self._news:
                self._readers -= 1
                self._close()

    def read(self, position: int) -> bytes | None:
        """Bytes from a position on; None: the rest is in the store."""
        with self._news:
            while self._there - BACK <= position and not self._ended:
                if not self._news.wait(SILENT if self._begun else QUEUE):
                    raise Unavailable("A file of another index does not come: try again in a moment.")
            if self._trouble:
                raise Unavailable(self._trouble)
            if self._ended or self._growing.closed:
                return None
            return os.pread(self._growing.fileno(), min(CHUNK, self._there - BACK - position), position)

    def run(self) -> None:
        trouble = "A file of another index could not be fetched: try again in a moment."
        try:
            with self._all.running(self):
                self._fetch()
            trouble = ""
        except Failed as error:
            trouble = str(unavailable(error))
        except OSError as error:
            trouble = f"A file of another index cannot be kept: {(error.strerror or str(error)).lower()}."
        except Exception:
            log.exception("A file of another index was not fetched.")
        finally:
            if trouble:
                self._incoming.drop()
                log.warning("not fetched: %s: %s", self.sha256, trouble)
            with self._news:
                self._trouble, self._ended = trouble, True
                self._news.notify_all()
                self._close()

    def _close(self) -> None:
        if self._ended and not self._readers:
            self._growing.close()

    def _fetch(self) -> None:
        digest = hashlib.sha256()
        longest = LONGEST + max(self._size, 0) / SLOWEST
        with self._client.file(self._url, longest) as (announced, chunks):
            size = self._size if self._size >= 0 else announced
            if announced not in (None, size):
                raise Failed(f"The index {self._client.name!r} has {announced} bytes of a file that has {size}.")
            for chunk in chunks:
                digest.update(chunk)
                self._incoming.write(chunk)
                with self._news:
                    self._begun = True
                    self._there += len(chunk)
                    self._news.notify_all()
                    if not self._readers and self._there * 2 < (size or 0):
                        raise Failed("Nobody waits for it any more.")
                if size is not None and self._there > size:
                    break
        if digest.hexdigest() != self.sha256 or self._there != (self._there if size is None else size):
            raise Failed(f"The index {self._client.name!r} has sent other bytes than it says: they are not taken.")
        self._incoming.keep()


class _Reader:
    """One who reads what a thread of this process fetches."""

    complete = False

    def __init__(self, transfer: _Transfer) -> None:
        self._transfer = transfer

    def read(self, position: int) -> bytes | None:
        return self._transfer.read(position)
