"""The packages of one machine: a folder."""

import ctypes
import errno
import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO

from elasticpypi.core.errors import AlreadyExists, Changed, Forbidden, NotFound, Unavailable
from elasticpypi.core.model import File
from elasticpypi.storage.contracts import Stat

UPLOADER = "user.elasticpypi.uploader"
GONE = errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG  # there is nothing, or nothing that can be had
NO_SUCH_CALL = errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP
NO_LINKS = *NO_SUCH_CALL, errno.EPERM, errno.EMLINK, errno.EXDEV  # as file systems of Windows, phones and clouds say it
LEFT = 60.0  # seconds after which an empty file is what a process left that ended between two steps
AT_FOLDER, WITHOUT_REPLACING = -100, 1  # AT_FDCWD of fcntl.h, RENAME_NOREPLACE of linux/fs.h

log = logging.getLogger(__name__)


class DirectoryFiles:
    """:class:`~elasticpypi.storage.contracts.Files` in ``<data>/packages``, written by way of its folder ``.incoming``.

    The revision is made of inode, size, time of modification and of change, so that nothing needs to be read to
    see that nothing changed. The folder is made if there is no index yet; later on, one that is not there is not
    mounted, say, and an empty one in its place would be taken for the truth. :class:`Unavailable` if it cannot be made.
    """

    def __init__(self, data: Path) -> None:
        self.root = data / "packages"
        self.incoming = self.root / ".incoming"  # on the same disk, however the folder is mounted
        self._unread: set[Path] = set()  # folders below that are known to be unreadable
        if (data / "index.db").exists():
            return
        try:
            data.mkdir(0o700, parents=True, exist_ok=True)
            self.root.mkdir(exist_ok=True)
        except FileExistsError:
            raise Unavailable(f"The folder {str(self.root)!r} cannot be used: not a directory.") from None
        except OSError as error:
            raise Unavailable(f"The folder {str(self.root)!r} cannot be used: {_reason(error)}.") from None

    def save(
        self, key: str, source: BinaryIO, sha256: str, *, overwrite: bool = False, uploader: str | None = None
    ) -> Stat:
        target = self._path(key)
        self._make(self.incoming)
        self._make(target.parent)
        # Within one file system, which a folder below may have of its own.
        near = self.incoming if self.incoming.stat().st_dev == target.parent.stat().st_dev else target.parent
        temporary = near / f".{secrets.token_hex(16)}"
        try:
            with open(temporary, "xb", opener=_private if key.startswith(".") else None) as copy:
                source.seek(0)
                shutil.copyfileobj(source, copy, 1024 * 1024)
                copy.flush()
                _keep_uploader(copy.fileno(), uploader)
                os.fsync(copy.fileno())
                ours = _stat(key, os.fstat(copy.fileno()))
                (Path.replace if overwrite else _place)(temporary, target)
                now = _stat(key, os.fstat(copy.fileno()))  # a new name is a change, and others may write from now on
            _sync_folder(target.parent)
        except (FileExistsError, NotADirectoryError):
            raise AlreadyExists(f"{key!r} already exists.") from None
        except IsADirectoryError:
            raise AlreadyExists(f"{key!r} already exists as a folder: remove it by hand.") from None
        finally:
            temporary.unlink(missing_ok=True)
        return replace(now if _same_bytes(now.revision, ours.revision) else ours, uploader=uploader)

    def open(self, what: Stat | File) -> BinaryIO:
        key = what.key
        try:
            content = self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFound(f"There is no key {key!r}.") from None
        except OSError as error:
            raise Unavailable(f"{key!r} cannot be read: {_reason(error)}.") from None
        if not _same_bytes(_stat(key, os.fstat(content.fileno())).revision, what.revision):
            content.close()
            raise Changed(f"{key!r} is being replaced: try again.")
        return content

    def stat(self, key: str) -> Stat | None:
        try:
            path = self._path(key)
            found = path.stat()
        except NotFound:
            return None
        except OSError as error:
            if error.errno not in GONE:  # it may well be there: nothing may be removed for it
                raise Unavailable(f"{key!r} cannot be looked at: {_reason(error)}.") from None
            self._check_root()
            return None
        if not S_ISREG(found.st_mode):
            return None
        return replace(_stat(key, found), uploader=_uploader(path), outside=self._is_outside(path))

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except (IsADirectoryError, PermissionError) as error:
            if path.is_dir():
                raise Forbidden(f"{key!r} is a folder: remove it by hand.") from None
            raise Unavailable(f"{key!r} cannot be removed: {_reason(error)}.") from None
        if path.parent.is_dir():
            _sync_folder(path.parent)

    def empty(self, key: str) -> None:
        """Give the room of a key back to the disk, and keep its name; nothing happens if there is none."""
        with suppress(FileNotFoundError):
            os.truncate(self._path(key), 0)

    def list(self) -> Iterator[Stat]:
        folders = [""]
        seen = set()  # a link may lead back to where we were
        while folders:
            prefix = folders.pop()
            folder = self.root / prefix
            try:
                found = folder.stat()
                if (found.st_dev, found.st_ino) in seen:
                    continue
                seen.add((found.st_dev, found.st_ino))
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.startswith(".") or "\\" in entry.name:
                            continue
                        with suppress(OSError):  # gone again, or a link to nowhere
                            found = entry.stat()
                            if S_ISDIR(found.st_mode):
                                folders.append(f"{prefix}{entry.name}/")
                            elif S_ISREG(found.st_mode):
                                yield _stat(f"{prefix}{entry.name}", found)
            except OSError as error:
                if not prefix:
                    raise self._unreadable(error) from None
                if folder not in self._unread:
                    self._unread.add(folder)
                    log.warning("The folder %s is left out, it cannot be read: %s.", ascii(prefix), _reason(error))

    def folders(self) -> Iterator[Path]:
        """The root and each folder below in which keys can lie, links to folders too: what has to be watched."""
        found = [self.root]
        seen = set()
        while found:
            folder = found.pop()
            with suppress(OSError):
                known = folder.stat()
                if (known.st_dev, known.st_ino) in seen:
                    continue
                seen.add((known.st_dev, known.st_ino))
                with os.scandir(folder) as entries:
                    found += [
                        folder / entry.name
                        for entry in entries
                        if not entry.name.startswith(".") and entry.name.isprintable() and entry.is_dir()
                    ]
                yield folder

    def remove_leftovers(self) -> None:
        """Remove what uploads left behind that were killed more than a day ago."""
        with suppress(OSError):  # none, or others have the right to
            for path in self.incoming.iterdir():
                if path.is_file() and path.stat().st_mtime < time.time() - 86400:
                    path.unlink(missing_ok=True)

    def url(self, file: File) -> str | None:
        return None

    def check(self) -> None:
        try:
            os.scandir(self.root).close()
        except OSError as error:
            raise self._unreadable(error) from None

    def _check_root(self) -> None:
        try:
            self.root.stat()
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: OSError) -> Unavailable:
        remedy = ""
        if error.errno in GONE:
            remedy = f" Mount it again; or make it, if it shall be empty: mkdir {self.root}"
        return Unavailable(f"The folder of packages cannot be read: {_reason(error)}.{remedy}")

    def _make(self, folder: Path) -> None:
        """Make a folder below the root, never the root itself; :class:`Unavailable` if that is gone."""
        if folder == self.root:
            return self._check_root()
        try:
            folder.mkdir(exist_ok=True)
        except FileNotFoundError:
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)

    def _is_outside(self, path: Path) -> bool:
        """Whether a link leads out of the folder of packages, or to what is hidden in it."""
        below = os.path.relpath(os.path.realpath(path), os.path.realpath(self.root))
        return below.startswith(".") or f"{os.sep}." in below

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            raise NotFound(f"There is no key {key!r}.")
        return self.root.joinpath(*parts)


def _private(path: str, flags: int) -> int:
    """What is hidden is for this user only."""
    return os.open(path, flags, 0o600)


def _keep_uploader(descriptor: int, uploader: str | None) -> None:
    """In an attribute of the file, so that it comes and goes with the bytes; not every file system has them."""
    if uploader is not None and hasattr(os, "setxattr"):
        with suppress(OSError):
            os.setxattr(descriptor, UPLOADER, uploader.encode())


def _uploader(path: Path) -> str | None:
    try:
        return os.getxattr(path, UPLOADER).decode()
    except (OSError, AttributeError, UnicodeDecodeError):
        return None


def _stat(key: str, found: os.stat_result) -> Stat:
    revision = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"
    try:
        modified = datetime.fromtimestamp(max(found.st_mtime_ns, 0) / 1e9, UTC)
    except (ValueError, OverflowError):  # after the year 9999
        modified = datetime.fromtimestamp(0, UTC)
    return Stat(key, found.st_size, revision, modified)


def _same_bytes(one: str, other: str) -> bool:
    """Whether two revisions differ in the time of change at most, which chmod and a backup with links change too.

    The index reads such a file again; until then it is served.
    """
    return one.rpartition("-")[0] == other.rpartition("-")[0]


def _place(temporary: Path, target: Path) -> None:
    """Give a file its name, in one step if the file system can; :class:`FileExistsError` if the name is taken."""
    if _rename(temporary, target):
        return
    try:
        os.link(temporary, target)
        temporary.unlink()
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _take(target)
        temporary.replace(target)


def _rename(temporary: Path, target: Path) -> bool:
    """renameat2(2), which replaces nothing; False where there is no such call."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        return False
    if call(AT_FOLDER, bytes(temporary), AT_FOLDER, bytes(target), WITHOUT_REPLACING) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_SUCH_CALL:
        return False
    raise OSError(number, os.strerror(number), str(target))


def _take(target: Path) -> None:
    """Take a name with an empty file, where there is no other way; one that was left empty may be taken again."""
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        found = target.stat()
        if found.st_size or not S_ISREG(found.st_mode) or time.time() - found.st_mtime < LEFT:
            raise
        os.utime(target)  # now it is ours, for as long as this takes


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut, where the file system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written and not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)
