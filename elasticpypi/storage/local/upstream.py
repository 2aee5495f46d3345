"""What is kept of other indexes on one machine: ``DATA/upstream``, all of which may be deleted at any time.

A page is a file by its name, a file is one by its digest, wherever it came from. What is still coming is in
``incoming``, locked by the process that fetches it: the lock ends with the process, whatever ends that.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from packaging.utils import NormalizedName

from elasticpypi.core.errors import Unavailable

USED = 3600  # seconds: how exactly it is known when a file or a page was used last
PAGES = 100_000  # that are kept at most, whatever room there is: a search looks at all of their names
NONE = FileNotFoundError, NotADirectoryError


class FolderUpstream:
    """:class:`~elasticpypi.storage.contracts.UpstreamStore` in a folder."""

    def __init__(self, data: Path) -> None:
        self._root = data / "upstream"

    def page(self, index: str, name: NormalizedName) -> bytes | None:
        try:
            with self._page(index, name).open("rb") as content:
                _note_use(content)
                return content.read()
        except NONE:
            return None
        except OSError as error:
            raise _unavailable(error) from None

    def keep_page(self, index: str, name: NormalizedName, body: bytes) -> None:
        path = self._page(index, name)
        temporary = self._incoming(f".{secrets.token_hex(16)}")
        try:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            temporary.write_bytes(body)
            temporary.replace(path)
        except OSError as error:
            raise _unavailable(error) from None
        finally:
            temporary.unlink(missing_ok=True)

    def drop_page(self, index: str, name: NormalizedName) -> None:
        with suppress(OSError):
            self._page(index, name).unlink(missing_ok=True)

    def pages(self, index: str) -> Iterator[NormalizedName]:
        with suppress(*NONE):
            for entry in os.scandir(self._root / "pages" / index):
                yield NormalizedName(entry.name)

    def turn(self, index: str, name: NormalizedName) -> "Incoming | None":
        return self.begin(f"{index}!{name}")

    def size(self, sha256: str) -> int | None:
        try:
            return self._file(sha256).stat().st_size
        except NONE:
            return None
        except OSError as error:
            raise _unavailable(error) from None

    def open(self, sha256: str) -> BinaryIO | None:
        try:
            content = self._file(sha256).open("rb")
        except NONE:
            return None
        except OSError as error:
            raise _unavailable(error) from None
        _note_use(content)
        return content

    def begin(self, sha256: str) -> "Incoming | None":
        path = self._incoming(sha256)
        try:
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    return None
                with suppress(*NONE):
                    found = os.fstat(descriptor)
                    if os.path.samestat(found, path.stat()):
                        if not found.st_size:
                            return Incoming(descriptor, path, self._file(sha256))
                        path.unlink()  # somebody ended in the middle of it, and others may still read that
                os.close(descriptor)  # or it was finished, or given up, at the same moment
        except OSError as error:
            raise _unavailable(error) from None

    def growing(self, sha256: str) -> BinaryIO | None:
        try:
            return self._incoming(sha256).open("rb")
        except NONE:
            return None
        except OSError as error:
            raise _unavailable(error) from None

    def free(self) -> int:
        try:
            found = os.statvfs(self._incoming("."))
        except OSError as error:
            raise _unavailable(error) from None
        return found.f_bavail * found.f_frsize

    def tidy(self, room: int) -> int:
        """Remove what nobody finishes, and what was used least recently beyond ``room`` bytes; how many were."""
        self._remove_leftovers()
        pages, files = sorted(_entries(self._root / "pages")), _entries(self._root / "files")
        surplus = pages[: max(0, len(pages) - PAGES)]
        for each in surplus:
            _remove(each)
        kept = sorted([*pages[len(surplus) :], *files])
        total, removed = sum(each.size for each in kept), len(surplus)
        for each in kept:
            if total <= room:
                break
            _remove(each)
            total -= each.size
            removed += 1
        return removed

    def _remove_leftovers(self) -> None:
        with suppress(*NONE):
            for entry in os.scandir(self._root / "incoming"):
                if entry.name.startswith("."):
                    with suppress(*NONE):
                        if time.time() - entry.stat().st_mtime > USED:
                            Path(entry.path).unlink()
                elif incoming := self.begin(entry.name):
                    incoming.drop()

    def _page(self, index: str, name: NormalizedName) -> Path:
        return self._root / "pages" / index / name

    def _file(self, sha256: str) -> Path:
        return self._root / "files" / sha256[:2] / sha256

    def _incoming(self, name: str) -> Path:
        folder = self._root / "incoming"
        try:
            folder.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unavailable(error) from None
        return folder / name


class Incoming:
    """A file that is coming; this process alone writes to it, until :meth:`keep` or :meth:`drop`."""

    def __init__(self, descriptor: int, path: Path, target: Path) -> None:
        self._descriptor, self._path, self._target = descriptor, path, target

    def write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def keep(self) -> None:
        self._target.parent.mkdir(0o700, parents=True, exist_ok=True)
        os.fsync(self._descriptor)
        self._path.replace(self._target)
        os.close(self._descriptor)

    def drop(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class _Entry(NamedTuple):
    used: float
    size: int
    path: str


def _entries(root: Path) -> list[_Entry]:
    """The files in the folders of a folder."""
    entries = []
    with suppress(*NONE):
        for folder in [entry.path for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False)]:
            with suppress(*NONE):
                for entry in os.scandir(folder):
                    with suppress(*NONE):
                        found = entry.stat()
                        entries.append(_Entry(found.st_mtime, found.st_size, entry.path))
    return entries


def _remove(entry: _Entry) -> None:
    with suppress(*NONE):
        Path(entry.path).unlink()


def _note_use(content: BinaryIO) -> None:
    """What is used stays."""
    if time.time() - os.fstat(content.fileno()).st_mtime > USED:
        with suppress(OSError):
            os.utime(content.fileno())


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(f"What comes from other indexes cannot be kept now: {(error.strerror or str(error)).lower()}.")
