"""The root list of a large index: one object in the bucket instead of an item per project.

::

    pk         sk          holds
    #projects  #snapshot   serial; revision and size of ``.simple/<serial>.json``; time (Unix) of the last attempt

The object is the root page as PEP 691 has it, compressed, so that it can be given to clients as it is. It is
only a copy: it is taken for the list while its serial is that of the list, and made anew if it is gone.
"""

import gzip
import json
import logging
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from packaging.utils import NormalizedName

from elasticpypi.core.errors import NotFound
from elasticpypi.storage.aws.faults import Conflict
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.aws.table import Item, Table, aliases, until_whole
from elasticpypi.storage.contracts import Stat

ROOT = {"pk": {"S": "#projects"}, "sk": {"S": "#serial"}}
SNAPSHOT = {"pk": ROOT["pk"], "sk": {"S": "#snapshot"}}  # sorts right behind "#serial", before all names
LONG = 10_000  # items of a root list; a longer one is read from its snapshot
PAUSE = 60  # seconds; while many projects come, not each of them is worth a snapshot
FOLDER = ".simple/"  # hidden: never taken for packages, and a lifecycle rule removes what is old

log = logging.getLogger(__name__)


def projects(table: Table, files: S3Files | None) -> tuple[int, list[NormalizedName]]:
    """What :meth:`IndexReader.projects` gives; the snapshot is kept in ``files``, if there are any."""
    return until_whole("The root list", partial(_look, table, files))


def _look(table: Table, files: S3Files | None) -> tuple[bool, tuple[int, list[NormalizedName]]]:
    begin = list(islice(table.query("#pk = :pk", {":pk": ROOT["pk"]}, Limit=LONG), LONG))
    heads = {item["sk"]["S"]: item for item in begin[:2] if item["sk"]["S"].startswith("#")}
    serial = int(heads["#serial"]["serial"]["N"]) if "#serial" in heads else 0
    names = [NormalizedName(item["sk"]["S"]) for item in begin[len(heads) :]]
    if len(begin) < LONG:
        return _is_whole(heads, names), (serial, names)
    if files and (snapshot := heads.get("#snapshot")) and int(snapshot["serial"]["N"]) == serial:
        kept = _read(files, snapshot)
        if kept is not None:
            return True, (serial, kept)
    rest = table.query("#pk = :pk AND #sk > :sk", {":pk": ROOT["pk"], ":sk": begin[-1]["sk"]})
    names += [NormalizedName(item["sk"]["S"]) for item in rest]
    whole = _is_whole(heads, names)
    if files and whole:
        _keep(table, files, serial, names)
    return whole, (serial, names)


def _is_whole(heads: Mapping[str, Item], names: Collection[NormalizedName]) -> bool:
    """Whether the list is as its last change left it; lists of older versions do not say."""
    head = heads.get("#serial")
    if head is None:
        return not names
    return "last" not in head or (head["last"]["S"] in names) == head["listed"]["BOOL"]


def refresh(table: Table, files: S3Files | None) -> None:
    """Make the snapshot anew if there is one that is of an older serial, so that it is ready for who reads it.

    It never fails: a reader makes what is missing.
    """
    try:
        found = {item["sk"]["S"]: item for item in table.items([ROOT, SNAPSHOT])}
        snapshot = found.get("#snapshot")
        if snapshot is None or snapshot["serial"] == found["#serial"]["serial"]:
            return
        now = int(time.time())
        if now - int(snapshot["time"]["N"]) >= PAUSE and _claimed(table, snapshot, now):
            projects(table, files)
    except Exception:
        log.exception("the snapshot of the root list could not be brought up to date")


def link(files: S3Files, serial: int) -> str | None:
    """Where the root page of this serial can be fetched for a while, None if there is no snapshot of it."""
    return files.sign(_place(serial)) if files.stat(_place(serial)) else None


def _claimed(table: Table, snapshot: Item, now: int) -> bool:
    """Whether it is ours to make: of many events at once, one reads the whole list."""
    claim = {
        "Key": SNAPSHOT,
        "UpdateExpression": "SET #time = :now",
        "ConditionExpression": "#time = :known",
        "ExpressionAttributeNames": aliases("time"),
        "ExpressionAttributeValues": {":now": {"N": str(now)}, ":known": snapshot["time"]},
    }
    try:
        table.write([{"Update": claim}])
    except Conflict:
        return False
    return True


def _read(files: S3Files, snapshot: Item) -> list[NormalizedName] | None:
    """The names in a snapshot; None if it cannot be had, whatever the reason: the table has them all."""
    key, size = _place(int(snapshot["serial"]["N"])), int(snapshot["size"]["N"])
    try:
        with files.open(Stat(key, size, snapshot["revision"]["S"], datetime.now(UTC))) as content:
            page = json.loads(gzip.decompress(content.read()))
        return [NormalizedName(project["name"]) for project in page["projects"]]
    except NotFound:
        return None
    except Exception:
        log.exception("%s cannot be read", key)
        return None


def _keep(table: Table, files: S3Files, serial: int, names: list[NormalizedName]) -> None:
    """Object first, then the item that names it, unless there is one of a newer serial. It never fails."""
    from elasticpypi.core import simple_api  # its negotiation takes Werkzeug, which ``sync`` has no other use for

    try:
        body = gzip.compress(simple_api.as_json(simple_api.root_page(serial, names)), 6, mtime=0)
        revision = files.put(_place(serial), body, ContentType=simple_api.JSON, ContentEncoding="gzip")
        numbers = {"serial": serial, "size": len(body), "time": int(time.time())}
        item = {**SNAPSHOT, "revision": {"S": revision}, **{name: {"N": str(value)} for name, value in numbers.items()}}
        put = {
            "Item": item,
            "ConditionExpression": "attribute_not_exists(#serial) OR #serial <= :serial",
            "ExpressionAttributeNames": aliases("serial"),
            "ExpressionAttributeValues": {":serial": item["serial"]},
        }
        table.write([{"Put": put}])
    except Conflict:
        log.info("there is a newer snapshot of the root list than that of serial %d", serial)
    except Exception:
        log.exception("the root list could not be kept")


def _place(serial: int) -> str:
    return f"{FOLDER}{serial}.json"
