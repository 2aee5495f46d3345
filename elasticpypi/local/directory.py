"""The packages of one machine: a folder, and the watcher that keeps the index in step with it."""

import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from elasticpypi import audit, sync
from elasticpypi.errors import AlreadyExists, Changed, NotFound, Unavailable
from elasticpypi.model import File
from elasticpypi.stores import Index, Stat

RETRY = 5.0  # seconds
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
        folders = [self.root]
        seen = set()  # a link may lead back to where we were
        while folders:
            folder = folders.pop()
            try:
                found = folder.stat()
                if (found.st_dev, found.st_ino) in seen:
                    continue
                seen.add((found.st_dev, found.st_ino))
                with os.scandir(folder) as entries:
                    for entry in entries:
                        path = Path(entry.path)
                        if entry.name.startswith("."):
                            continue
                        if path.is_dir():
                            folders.append(path)
                        elif stat := self._stat(path.relative_to(self.root).as_posix()):
                            yield stat
            except OSError as error:
                if folder == self.root:
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


def watch(files: DirectoryFiles, index: Index, stop: threading.Event, done: Callable[[list[str]], None]) -> None:
    """Keep the index in step with the folder until ``stop`` is set; runs in a thread of its own.

    ``done`` is told which keys were looked at. Whatever happens to the folder or to the notices of the
    kernel: the watch begins anew, with a look at everything.
    """
    while not stop.is_set():
        try:
            _watch(files, index, stop, done)
        except Exception as error:  # nobody else would keep the index in step
            log.error("The folder of packages cannot be watched, trying again: %s", error)
            stop.wait(RETRY)


def _watch(files: DirectoryFiles, index: Index, stop: threading.Event, done: Callable[[list[str]], None]) -> None:
    from watchfiles import watch as changes_of

    root = files.root.absolute()
    identity = root.stat().st_ino
    everything = True  # what came before the kernel was told to watch
    # Quiet for 200 ms, so that a copy is seen when it is whole, but told of after 1 s in any case.
    notices = changes_of(
        root, stop_event=stop, debounce=1000, step=200, rust_timeout=1000, yield_on_timeout=True, watch_filter=None
    )
    for changes in notices:
        if root.stat().st_ino != identity:
            return  # another folder under the same name
        paths = (Path(path).relative_to(root) for _, path in changes)
        keys = {path.as_posix() for path in paths if not path.parts[0:1] or not path.parts[0].startswith(".")}
        if everything or any(isinstance(sync.meaning(key), str) for key in keys):
            # A folder that came or went may not be reported file by file.
            keys.update(audit.changed_keys(files, index))
            everything = False
        for outcome in sync.sync_all(files, index, sorted(keys)):
            if outcome.action in ("written", "removed"):
                log.info("%s: %s", outcome.action, outcome.key)
            elif outcome.reason and not isinstance(sync.meaning(outcome.key), str):
                log.warning("%s: %s: %s", outcome.action, outcome.key, outcome.reason)
        done(sorted(keys))
