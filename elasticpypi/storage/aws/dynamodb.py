"""DynamoDB: the index in one table with the string keys ``pk`` and ``sk``.

::

    pk               sk                            holds
    project#<name>   #project                      serial, files (how many); last (a key), its revision
    project#<name>   file#<file name>[#<key>]      the record of a key; it follows where it has a prefix
    project#<name>   file#.blocked                 all blocks of the project and of its files
    project#<name>   metadata#<file name>[#<key>]  core metadata of the file, compressed
    project#<name>   page#<file name>[#<key>]      what pages say of it (``about.py``), compressed
    project#<name>   recent#<id>                   an event of the project, for some time
    #outbox          <id>                          an event that is not in the log yet
    #store           #whole                        nothing: all that is in the bucket was in the table once
    #projects        <name>                        one item per project with a file
    #projects        #serial                       serial of the root list; last (a name), listed (whether it is)
    #projects        #snapshot                     where a long root list is kept (``rootlist.py``)

A page is one Query over all up to ``file#``, a 304 one GetItem, a file or its metadata one BatchGetItem. Since
a Query may meet a transaction half way, what has a serial says what was written last, and a reader that does
not find it looks again: else a page that lacks it would pass for the page of that serial.
"""

import random
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from packaging.utils import NormalizedName

from elasticpypi.core import blocks
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import Event, Who, load, of_change
from elasticpypi.core.keys import parse_status
from elasticpypi.core.model import Decision, File, Project, Record, assemble, first_serial, marked, precedence
from elasticpypi.storage.aws import rootlist
from elasticpypi.storage.aws.faults import Conflict
from elasticpypi.storage.aws.rootlist import ROOT
from elasticpypi.storage.aws.state import item_key
from elasticpypi.storage.aws.table import ATTEMPTS, LONGEST_WAIT, Item, Table, aliases, until_whole
from elasticpypi.storage.contracts import Check, Look

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

    from elasticpypi.storage.aws.s3 import S3Files


BLOCKED = f"file#{blocks.RECORD}"
OUTBOX = "#outbox"
WHOLE = {"pk": {"S": "#store"}, "sk": {"S": "#whole"}}
NOBODY = {"by": None, "at": None}
MOST_WAITING = 1000  # events that are read of it at once
RECENT_SECONDS = 90 * 24 * 3600  # for which a page can show an event


class DynamoIndex:
    """:class:`~elasticpypi.storage.contracts.Index` in a table; a change of a project is one transaction.

    With ``files``, a copy of a long root list is kept there.
    """

    def __init__(self, table: str, client: "DynamoDBClient | None" = None, files: "S3Files | None" = None) -> None:
        self.table = Table(table, client)
        self.files = files

    def projects(self) -> tuple[int, list[NormalizedName]]:
        return rootlist.projects(self.table, self.files)

    def project(self, name: NormalizedName) -> Project | None:
        head, records = self._read(name)
        return None if head is None else assemble(name, int(head["serial"]["N"]), records)

    def serial(self, name: NormalizedName | None) -> int | None:
        item = self.table.item(ROOT if name is None else _key(name, "#project"))
        if item is None:
            return 0 if name is None else None
        return int(item["serial"]["N"])

    def record(self, name: NormalizedName, key: str) -> Record | None:
        return self._records(name, key)[0]

    def record_and_tombstone(self, name: NormalizedName, key: str) -> tuple[Record | None, Record | None]:
        record, tombstone = self._records(name, key, f"{key}.deleted")
        return record, tombstone

    def _records(self, name: NormalizedName, *keys: str) -> list[Record | None]:
        places = [_sort("file", key) for key in keys]
        found = self._get(*(_key(name, place) for place in places))
        return [_record(found[place]) if place in found else None for place in places]

    def file(self, name: NormalizedName, filename: str) -> File | None:
        return self._find(name, filename)[0]

    def metadata(self, name: NormalizedName, filename: str) -> tuple[File, bytes] | None:
        file, (body,) = self._find(name, filename, "metadata")
        return None if file is None or body is None else (file, body)

    def about(
        self, name: NormalizedName, filename: str, *, metadata: bool = False
    ) -> tuple[File, bytes | None, bytes | None] | None:
        file, bodies = self._find(name, filename, *(("page", "metadata") if metadata else ("page",)))
        return None if file is None else (file, bodies[0], bodies[1] if metadata else None)

    def put(
        self,
        record: Record,
        metadata: bytes | None = None,
        check: Check | None = None,
        look: Look | None = None,
        about: bytes | None = None,
        who: Who | None = None,
    ) -> bool:
        return self._change(record.project, record.key, record, metadata, about, check, look, who)

    def remove(self, name: NormalizedName, key: str, look: Look | None = None, who: Who | None = None) -> bool:
        return self._change(name, key, None, None, None, None, look, who)

    def is_whole(self) -> bool:
        return self.table.item(WHOLE) is not None

    def mark_whole(self) -> None:
        self.table.write([{"Put": {"Item": WHOLE}}])

    def outbox(self) -> list[Event]:
        items = self.table.query("#pk = :pk", {":pk": {"S": OUTBOX}}, Limit=MOST_WAITING)
        return [load(item["body"]["B"]) for item in islice(items, MOST_WAITING)]

    def settled(self, events: Iterable[Event]) -> None:
        deletes = [{"Delete": {"Key": {"pk": {"S": OUTBOX}, "sk": {"S": event.id}}}} for event in events]
        for begin in range(0, len(deletes), 100):
            self.table.write(deletes[begin : begin + 100])

    def recent(self, name: NormalizedName, most: int) -> list[Event]:
        values = {":pk": {"S": f"project#{name}"}, ":sk": {"S": "recent#"}}
        found = self.table.query("#pk = :pk AND begins_with(#sk, :sk)", values, ScanIndexForward=False, Limit=most)
        return [load(item["body"]["B"]) for item in islice(found, most)]

    def records(self) -> Iterator[Record]:
        values = {":pk": {"S": "project#"}, ":sk": {"S": "file#"}}
        yield from map(_record, self.table.scan("begins_with(#pk, :pk) AND begins_with(#sk, :sk)", values))

    def check(self) -> None:
        self.table.item(ROOT)

    def _find(self, name: NormalizedName, filename: str, *kinds: str) -> tuple[File | None, list[bytes | None]]:
        """What a file name means, and what is kept beside it; one call more where the key has a prefix."""
        sorts = [f"{kind}#{filename}" for kind in ("file", *kinds)]
        decided = f"file#{name}.status", BLOCKED
        found = self._get(*(_key(name, sort) for sort in (*decided, *sorts)))
        status, blocked, item = (found.get(sort) for sort in (*decided, sorts[0]))
        nothing: list[bytes | None] = [None] * len(kinds)
        if status and parse_status(status["text"]["S"])[0] == "quarantined":
            return None, nothing
        if item:
            items: Iterable[Item] = [item]
        else:
            values = {":pk": {"S": f"project#{name}"}, ":sk": {"S": f"file#{filename}#"}}
            items = self.table.query("#pk = :pk AND begins_with(#sk, :sk)", values)
        files = (record for record in map(_record, items) if isinstance(record, File))
        file = min(files, key=lambda file: precedence(file.key), default=None)
        if file and blocked:
            file = marked(file, blocks.load(blocked["text"]["S"]))
        if file is None or not kinds:
            return file, nothing
        places = [_sort(kind, file.key) for kind in kinds]
        if file.key != filename:
            found = self._get(*(_key(name, place) for place in places))
        return file, [zlib.decompress(found[place]["body"]["B"]) if place in found else None for place in places]

    def _read(self, name: NormalizedName) -> tuple[Item | None, list[Record]]:
        """The head of a project, None if there is none, and all its records."""
        values = {":pk": {"S": f"project#{name}"}, ":first": {"S": "#"}, ":last": {"S": "g"}}

        def look() -> tuple[bool, tuple[Item | None, list[Record]]]:
            head, records = None, []
            for item in self.table.query("#pk = :pk AND #sk BETWEEN :first AND :last", values):
                if item["sk"]["S"] == "#project":
                    head = item
                else:
                    records.append(_record(item))
            return _is_whole(head, records), (head, records)

        return until_whole(f"The project {name!r}", look)

    def _change(
        self,
        name: NormalizedName,
        key: str,
        record: Record | None,
        metadata: bytes | None,
        about: bytes | None,
        check: Check | None,
        look: Look | None,
        who: Who | None,
    ) -> bool:
        """Replace the record of a key (None: remove it); False if it is so already.

        Everything about a project is written under the condition that its serial is still the one that
        was read, so what was read is true at the moment of writing.
        """
        place, item = _key(name, _sort("file", key)), _item(record) if record else None
        for attempt in range(ATTEMPTS):
            head: Item | None
            known: Item | None
            try:
                if check:
                    # The head comes first; what comes after it is at least as new, and the write fails if it is newer.
                    head, records = self._read(name)
                    known = next((_item(record) for record in records if record.key == key), None)
                    if head:
                        check(assemble(name, int(head["serial"]["N"]), records))
                else:
                    head, known = self.table.at_once(_key(name, "#project"), place)
                if known == item:
                    return False
                if look:
                    look()
                actions = _item_actions(name, key, item, known, {"metadata": metadata, "page": about})
                actions += self._head_actions(name, key, head, known, item)
                event = of_change(_record(known) if known else None, record, who) if who else None
                pending = [who.pending[key]] if who and key in who.pending else []
                actions += [{"Delete": {"Key": item_key(*place)}} for place in pending]
                self.table.write(actions + (_event_actions(name, event) if event else []))
                if who and pending:
                    del who.pending[key]
                if event and who and who.written is not None:
                    who.written.append(event)
                return True
            except Conflict:
                time.sleep(random.uniform(0, min(LONGEST_WAIT, 0.02 * 2**attempt)))
        raise Unavailable(f"The project {name!r} is being changed by too many writers: try again.")

    def _head_actions(
        self, name: NormalizedName, key: str, head: Item | None, known: Item | None, item: Item | None
    ) -> list[Any]:
        """The next serial of the project and, if it came or went, its place in the root list."""
        before = int(head["files"]["N"]) if head else 0
        after = before + _is_file(item) - _is_file(known)
        serial = int(head["serial"]["N"]) + 1 if head else first_serial()
        numbers = {"serial": {"N": str(serial)}, "files": {"N": str(after)}}
        new = {**_key(name, "#project"), **numbers, "last": {"S": key}}
        if item:
            new["revision"] = item["revision"]
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(#serial)"}
        if head:
            condition = {
                "ConditionExpression": "#serial = :known",
                "ExpressionAttributeValues": {":known": head["serial"]},
            }
        actions: list[Any] = [{"Put": {"Item": new, "ExpressionAttributeNames": aliases("serial"), **condition}}]
        if bool(before) != bool(after):
            listed = {"pk": ROOT["pk"], "sk": {"S": name}}
            if after:
                actions.append({"Put": {"Item": listed}})
            else:
                actions.append({"Delete": {"Key": listed}})
            update = {
                "Key": ROOT,
                "UpdateExpression": "SET #serial = if_not_exists(#serial, :now) + :one, #last = :name, #listed = :yes",
                "ExpressionAttributeNames": aliases("serial", "last", "listed"),
                "ExpressionAttributeValues": {
                    ":now": {"N": str(first_serial())},
                    ":one": {"N": "1"},
                    ":name": {"S": name},
                    ":yes": {"BOOL": bool(after)},
                },
            }
            actions.append({"Update": update})
        return actions

    def _get(self, *keys: Item) -> dict[str, Item]:
        """Items of one partition by sort key; those that do not exist are not in it."""
        return {item["sk"]["S"]: item for item in self.table.items(keys)}


def _item_actions(
    name: NormalizedName, key: str, item: Item | None, known: Item | None, beside: Mapping[str, bytes | None]
) -> list[Any]:
    """The item of a key, and what is kept ``beside`` that of a file."""
    contents = {"file": item}
    if _is_file(item) or _is_file(known):
        contents |= {
            kind: None if body is None else {"body": {"B": zlib.compress(body)}} for kind, body in beside.items()
        }
    actions = []
    for kind, content in contents.items():
        place = _key(name, _sort(kind, key))
        if content is None:
            actions.append({"Delete": {"Key": place}})
        else:
            actions.append({"Put": {"Item": {**place, **content}}})
    return actions


def _event_actions(name: NormalizedName, event: Event) -> list[Any]:
    body, expires = {"B": event.dump()}, {"N": str(int(time.time()) + RECENT_SECONDS)}
    return [
        {"Put": {"Item": {"pk": {"S": OUTBOX}, "sk": {"S": event.id}, "body": body}}},
        {"Put": {"Item": {**_key(name, f"recent#{event.id}"), "body": body, "expires": expires}}},
    ]


def _is_whole(head: Item | None, records: Collection[Record]) -> bool:
    """Whether a project has what its head says was written last; heads of older versions say nothing."""
    if head is None:
        return not records
    if "last" not in head:
        return True
    found = next((record.revision for record in records if record.key == head["last"]["S"]), None)
    return found == (head["revision"]["S"] if "revision" in head else None)


def _key(name: NormalizedName, sort: str) -> Item:
    return {"pk": {"S": f"project#{name}"}, "sk": {"S": sort}}


def _sort(kind: str, key: str) -> str:
    filename = key.rpartition("/")[2]
    return f"{kind}#{filename}" if key == filename else f"{kind}#{filename}#{key}"


def _is_file(item: Item | None) -> bool:
    return item is not None and item["kind"]["S"] == "file"


def _item(record: Record) -> Item:
    """A record → its item, without the attributes that are None.

    Who made a decision is not among them: nobody reads that here, and version 1.0 takes no attribute that it does not
    know, while a deployment of it is updated.
    """
    fields = {"kind": "file", **asdict(record), **(NOBODY if isinstance(record, Decision) else {})}
    values = {
        name: {"N": str(value)} if isinstance(value, int) else {"S": value}
        for name, value in fields.items()
        if value is not None
    }
    return {**_key(record.project, _sort("file", record.key)), **values}


def _record(item: Item) -> Record:
    fields: dict[str, Any] = {name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()}
    for name in ("pk", "sk"):
        del fields[name]
    if fields["kind"] != "file":
        return Decision(**fields)
    del fields["kind"]
    return File(**fields)
