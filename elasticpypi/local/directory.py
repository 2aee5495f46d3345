"""The packages of one machine: a folder, and the watcher that keeps the index in step with it."""

import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from elasticpypi import sync
from elasticpypi.errors import AlreadyExists, NotFound, Unavailable
from elasticpypi.model import File
from elasticpypi.stores import Index, Stat

log = logging.getLogger(__name__)


class DirectoryFiles:
    """:class:`~elasticpypi.stores.Files` in ``<data>/packages``, written by way of ``<data>/incoming``.

    The revision is made of inode, size and time of change, so that nothing needs to be read to see
    that nothing changed.
    """

    def __init__(self, data: Path) -> None:
        self.root = data / "packages"
        self._incoming = data / "incoming"
        self.root.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)

    def save(self, key: str, source: BinaryIO, sha256: str, *, overwrite: bool = False) -> Stat:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._incoming / secrets.token_hex(16)
        try:
            with temporary.open("xb") as copy:
                source.seek(0)
                shutil.copyfileobj(source, copy, 1024 * 1024)
                copy.flush()
                os.fsync(copy.fileno())
            if overwrite:
                temporary.replace(target)
            else:
                os.link(temporary, target)  # unlike a rename it fails if the name is taken
            _sync_folder(target.parent)
        except FileExistsError:
            raise AlreadyExists(f"{key!r} already exists.") from None
        finally:
            temporary.unlink(missing_ok=True)
        return self._stat(key, target.stat())

    def open(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise NotFound(f"There is no key {key!r}.") from None

    def stat(self, key: str) -> Stat | None:
        path = self._path(key)
        try:
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self._stat(key, found) if path.is_file() else None

    def delete(self, key: str) -> None:
        path = self._path(key)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync_folder(path.parent)

    def list(self) -> Iterator[Stat]:
        folders = [self.root]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir():
                            folders.append(Path(entry.path))
                        elif entry.is_file():
                            yield self._stat(Path(entry.path).relative_to(self.root).as_posix(), entry.stat())
                    except FileNotFoundError:  # removed while we look
                        continue

    def remove_leftovers(self) -> None:
        """Remove what uploads left behind that were killed more than a day ago."""
        for path in self._incoming.iterdir():
            if path.is_file() and path.stat().st_mtime < time.time() - 86400:
                path.unlink(missing_ok=True)

    def url(self, file: File) -> str | None:
        return None

    def check(self) -> None:
        try:
            os.scandir(self.root).close()
        except OSError as error:
            raise Unavailable(f"The folder of packages cannot be read: {error.strerror}.") from None

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            raise NotFound(f"There is no key {key!r}.")
        return self.root.joinpath(*parts)

    @staticmethod
    def _stat(key: str, found: os.stat_result) -> Stat:
        revision = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"
        return Stat(key, found.st_size, revision, datetime.fromtimestamp(found.st_mtime_ns / 1e9, UTC))


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def watch(files: DirectoryFiles, index: Index, stop: threading.Event) -> None:
    """Keep the index in step with the folder until ``stop`` is set; runs in a thread of its own."""
    from watchfiles import watch as changes_of

    # Quiet for 200 ms, so that a copy is seen when it is whole, but told of after 1 s in any case.
    for changes in changes_of(files.root, stop_event=stop, debounce=1000, step=200, watch_filter=None):
        try:
            keys = {Path(path).relative_to(files.root.absolute()).as_posix() for _, path in changes}
            if any(isinstance(sync.meaning(key), str) for key in keys):
                # A folder that came or went may not be reported file by file.
                keys.update(sync.changed_keys(files, index))
            for outcome in sync.sync_all(files, index, sorted(keys)):
                if outcome.action in ("written", "removed"):
                    log.info("%s: %s", outcome.action, outcome.key)
        except Unavailable as error:
            log.error("%s", error)
