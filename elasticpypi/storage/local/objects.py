"""What lasts beside the packages on one machine: small files in the folder ``DATA``, for their user only."""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from elasticpypi.core.errors import Changed, NotFound, Unavailable
from elasticpypi.storage.contracts import ANY, Object

SETTLED = 0.1  # seconds
NONE = FileNotFoundError, NotADirectoryError


class FileObjects:
    """:class:`~elasticpypi.storage.contracts.Objects` in a folder, where people may read and edit them too.

    Writers of one folder take turns by a lock on it. Names that begin with a dot are no keys: editors leave such.
    """

    def __init__(self, data: Path) -> None:
        self._data = data

    def read(self, key: str) -> Object | None:
        try:
            with self._path(key).open("rb") as content:
                found = os.fstat(content.fileno())
                return Object(content.read(), _revision(found)) if S_ISREG(found.st_mode) else None
        except (*NONE, IsADirectoryError):
            return None
        except OSError as error:
            raise _unavailable(key, "read", error) from None

    def revision(self, key: str) -> str | None:
        try:
            found = self._path(key).stat()
        except NONE:
            return None
        except OSError as error:
            raise _unavailable(key, "read", error) from None
        return _revision(found) if S_ISREG(found.st_mode) else None

    def write(self, key: str, body: bytes, over: str | None) -> str:
        path = self._path(key)
        temporary = path.with_name(f".{secrets.token_hex(16)}")
        try:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            with _alone(path.parent) as folder:
                if over != ANY and self.revision(key) != over:
                    raise Changed(f"{key!r} was changed by somebody else at the same moment: look at it again.")
                try:
                    with open(temporary, "xb", opener=_private) as file:
                        file.write(body)
                        file.flush()
                        os.fsync(file.fileno())
                        temporary.replace(path)
                        revision = _revision(os.fstat(file.fileno()))
                finally:
                    temporary.unlink(missing_ok=True)
                _sync(folder)
                return revision
        except OSError as error:
            raise _unavailable(key, "written", error) from None

    def remove(self, key: str) -> None:
        path = self._path(key)
        try:
            with suppress(*NONE), _alone(path.parent) as folder:
                path.unlink()
                _sync(folder)
        except OSError as error:
            raise _unavailable(key, "removed", error) from None

    def keys(self, prefix: str) -> list[str]:
        folder = prefix.rpartition("/")[0]
        root = self._path(folder) if folder else self._data
        try:
            found = sorted(path.relative_to(self._data).as_posix() for path in _files(root))
        except OSError as error:
            raise _unavailable(prefix, "listed", error) from None
        return [key for key in found if key.startswith(prefix)]

    def mark(self, prefix: str) -> str | None:
        seen, last = [], 0.0
        try:
            for entry in _entries(self._path(prefix.rstrip("/"))):
                with suppress(*NONE):  # it went away meanwhile
                    found = entry.stat()
                    seen.append(f"{entry.path} {_revision(found)}\n")
                    last = max(last, found.st_ctime)
        except OSError as error:
            raise _unavailable(prefix, "listed", error) from None
        # The clock of a file system stands still for some milliseconds: what follows at once has the same time.
        if time.time() - last <= SETTLED:
            return None
        return hashlib.sha256("".join(sorted(seen)).encode("utf-8", "surrogateescape")).hexdigest()

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(not part or part.startswith(".") or not part.isprintable() or "\\" in part for part in parts):
            raise NotFound(f"There can be no object {key!r}.")
        return self._data.joinpath(*parts)


def _files(folder: Path) -> Iterator[Path]:
    return (Path(entry.path) for entry in _entries(folder))


def _entries(folder: str | Path) -> "Iterator[os.DirEntry[str]]":
    """The files below a folder that may be objects."""
    try:
        entries = list(os.scandir(folder))
    except NONE:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path)
        elif entry.is_file():
            yield entry


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """While no other process, and no other thread, writes to this folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(folder: int) -> None:
    with suppress(OSError):  # not every file system can do that of a folder
        os.fsync(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _revision(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"


def _unavailable(key: str, what: str, error: OSError) -> Unavailable:
    return Unavailable(f"{key!r} cannot be {what}: {(error.strerror or str(error)).lower()}.")
