"""The packages of one machine: a folder."""

import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO

from elasticpypi.errors import AlreadyExists, Changed, NotFound, Unavailable
from elasticpypi.model import File
from elasticpypi.stores import Stat

UPLOADER = "user.elasticpypi.uploader"

log = logging.getLogger(__name__)


class DirectoryFiles:
    """:class:`~elasticpypi.stores.Files` in ``<data>/packages``, written by way of its folder ``.incoming``.

    The revision is made of inode, size and time of modification, so that nothing needs to be read to
    see that nothing changed. :class:`Unavailable` if the folder cannot be made.
    """

    def __init__(self, data: Path) -> None:
        self.root = data / "packages"
        self.incoming = self.root / ".incoming"  # on the same disk, however the folder is mounted
        try:
            self.incoming.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"The folder {str(self.root)!r} cannot be used: {_reason(error)}.") from None

    def save(
        self, key: str, source: BinaryIO, sha256: str, *, overwrite: bool = False, uploader: str | None = None
    ) -> Stat:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.incoming / secrets.token_hex(16)
        try:
            with temporary.open("xb") as copy:
                source.seek(0)
                shutil.copyfileobj(source, copy, 1024 * 1024)
                copy.flush()
                _keep_uploader(copy.fileno(), uploader)
                os.fsync(copy.fileno())
                written = os.fstat(copy.fileno())
            if overwrite:
                temporary.replace(target)
            else:
                os.link(temporary, target)  # unlike a rename it fails if the name is taken
            _sync_folder(target.parent)
        except FileExistsError:
            raise AlreadyExists(f"{key!r} already exists.") from None
        finally:
            temporary.unlink(missing_ok=True)
        return replace(_stat(key, written), uploader=uploader)

    def open(self, what: Stat | File) -> BinaryIO:
        key = what.key
        try:
            content = self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFound(f"There is no key {key!r}.") from None
        if _stat(key, os.fstat(content.fileno())).revision != what.revision:
            content.close()
            raise Changed(f"{key!r} is being replaced: try again.")
        return content

    def stat(self, key: str) -> Stat | None:
        stat = self._stat(key)
        return stat and replace(stat, uploader=_uploader(self._path(key)))

    def delete(self, key: str) -> None:
        path = self._path(key)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync_folder(path.parent)

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
                    raise Unavailable(f"The folder of packages cannot be read: {_reason(error)}.") from None
                log.warning("%s cannot be read: %s", folder, _reason(error))

    def remove_leftovers(self) -> None:
        """Remove what uploads left behind that were killed more than a day ago."""
        for path in self.incoming.iterdir():
            if path.is_file() and path.stat().st_mtime < time.time() - 86400:
                path.unlink(missing_ok=True)

    def url(self, file: File) -> str | None:
        return None

    def check(self) -> None:
        try:
            os.scandir(self.root).close()
        except OSError as error:
            raise Unavailable(f"The folder of packages cannot be read: {_reason(error)}.") from None

    def _stat(self, key: str) -> Stat | None:
        try:
            found = self._path(key).stat()
        except (OSError, NotFound):  # none, or nothing that could ever be served
            return None
        return _stat(key, found) if S_ISREG(found.st_mode) else None

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            raise NotFound(f"There is no key {key!r}.")
        return self.root.joinpath(*parts)


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
    revision = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"
    try:
        modified = datetime.fromtimestamp(found.st_mtime_ns / 1e9, UTC)
    except (ValueError, OverflowError):  # after the year 9999
        modified = datetime.fromtimestamp(0, UTC)
    return Stat(key, found.st_size, revision, modified)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
