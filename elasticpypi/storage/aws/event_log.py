"""The events on AWS: an object for each, in a bucket that nothing is ever removed from."""

import time
from collections.abc import Iterable
from contextlib import suppress

from elasticpypi.core.errors import Changed, NotFound, Unavailable
from elasticpypi.core.event import Event, load
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.contracts import Stat

FOLDER = "events/"
SETTLING = 10.0  # seconds: events of that age come in no order, since many processes write them


class ObjectLog:
    """:class:`~elasticpypi.storage.contracts.EventLog` as ``events/<day>/<id>.json``, read in the order of ids.

    Who reads on behind an event misses one that came later under an earlier id. So events are read when they are
    ``SETTLING`` old; one that a crash held back for longer is there, but not read on.
    """

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    @property
    def _files(self) -> S3Files:
        return S3Files(self._bucket)

    def missing(self) -> str:
        try:
            if self._files.exists():
                return ""
        except Unavailable as error:
            return f"The bucket of records, {self._bucket}: {error}"
        return (
            f"There is no bucket {self._bucket}, where events lie: deploy the stack, which makes it, or make it with "
            f"`aws s3 mb s3://{self._bucket}`, or set RECORDS_BUCKET to another one."
        )

    def append(self, events: Iterable[Event]) -> None:
        files = self._files
        for event in events:
            with suppress(Changed):  # it is there
                files.put(_key(event), event.dump(), IfNoneMatch="*")

    def read(self, after: str = "", most: int = 100) -> list[Event]:
        files, found = self._files, []
        before = f"{int((time.time() - SETTLING) * 1_000_000):014x}"
        for stat in files.behind(FOLDER, _key_of(after)):
            event = self._read(files, stat)
            if event and event.id >= before:
                break
            if event and event.id > after:
                found.append(event)
            if len(found) == most:
                break
        return found

    def _read(self, files: S3Files, stat: Stat) -> Event | None:
        try:
            with files.open(stat) as content:
                return load(content.read())
        except (ValueError, NotFound):
            return None


def _key(event: Event) -> str:
    return f"{FOLDER}{event.time[:10]}/{event.id}.json"


def _key_of(event_id: str) -> str:
    """The key of an event by its id alone, whose first half is its time; "" for none."""
    try:
        day = time.strftime("%Y-%m-%d", time.gmtime(int(event_id[:14], 16) / 1e6))
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{FOLDER}{day}/{event_id}.json"
