"""The events of one machine: a file of JSON lines for each month."""

import fcntl
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import Event, load

YOUNG = 60.0  # seconds after which an event may be further back in its file than the last of it
TAIL = 2 * 1024 * 1024  # bytes; the event of a policy has two of at most 100 kB in it


class FileLog:
    """:class:`~elasticpypi.storage.contracts.EventLog` in ``<data>/events/<year>-<month>.jsonl``.

    A line is written whole, by one process at a time, and is on the disk when :meth:`append` returns. The order of the
    lines is that in which they were written.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data / "events"

    def missing(self) -> str:
        return ""  # it is made when it is first needed, in a folder that is there

    def append(self, events: Iterable[Event]) -> None:
        for month, group in groupby(events, key=lambda event: event.time[:7]):
            try:
                self._append(self._folder / f"{month}.jsonl", list(group))
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise Unavailable(f"The record of events cannot be written: {reason}.") from None

    def _append(self, path: Path, events: list[Event]) -> None:
        with self._alone(path) as descriptor:
            missing = [event for event in events if not _has(descriptor, event)]
            if not missing:
                return
            text = b"".join(event.dump() + b"\n" for event in missing)
            if _is_torn(descriptor):
                text = b"\n" + text
            rest = memoryview(text)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[int]:
        """The file, for this process alone until the end."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except FileNotFoundError:
            self._folder.mkdir(0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, after: str = "", most: int = 100) -> list[Event]:
        found: list[Event] = []
        begun = not after
        for path in self._files(after):
            with path.open("rb") as file:
                if not begun and (place := _place(file.fileno(), after)):
                    file.seek(place)
                    begun = True
                for line in file:
                    event = _event(line)
                    if event and (begun or event.id > after):
                        found.append(event)
                        if len(found) == most:
                            return found
        return found

    def _files(self, after: str) -> list[Path]:
        """Those that can have events behind this one, the oldest first."""
        paths = sorted(self._folder.glob("*.jsonl"))
        if not after:
            return paths
        try:
            month = time.strftime("%Y-%m", time.gmtime(int(after[:14], 16) / 1e6))
        except (ValueError, OverflowError, OSError):
            return paths
        return [path for path in paths if path.stem >= month]


def _has(descriptor: int, event: Event) -> bool:
    """Whether a file has an event already: a young one can only be among its last."""
    young = time.time() - int(event.id[:14], 16) / 1e6 < YOUNG
    return _place(descriptor, event.id, TAIL if young else None) is not None


def _place(descriptor: int, event_id: str, tail: int | None = None) -> int | None:
    """Where the line behind that of an event begins, looked for in the last ``tail`` bytes; None if there is none.

    A line that was torn is no event. Without ``tail`` all of the file is looked through.
    """
    size = os.fstat(descriptor).st_size
    if not size:
        return None
    mark, begin = _mark(event_id), max(0, size - (tail or size))
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        while (begin := content.find(mark, begin)) >= 0:
            end = content.find(b"\n", begin)
            if end < 0:
                return None
            if _event(content[begin:end]):
                return end + 1
            begin = end
    return None


def _mark(event_id: str) -> bytes:
    return b'{"id":"%s"' % event_id.encode("utf-8", "replace")


def _is_torn(descriptor: int) -> bool:
    """Whether the last line has no end, since the power went while it was written."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _event(line: bytes) -> Event | None:
    try:
        return load(line)
    except ValueError:
        return None
