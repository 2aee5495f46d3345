"""The catalog on AWS: items beside the index, in its table.

::

    pk                sk                   holds
    entry#<name>      #entry               serial, and the entry as JSON unless the project is gone
    word#<letter>     <word> <name>        nothing: a word that begins so finds the project
    requires#<name>   <project>            nothing: the project requires this one
    #newest           <time> <name>        nothing: when the newest release of the project appeared
    #entries          #counts              projects, releases, files
    readme#<digest>   #readme              HTML of a README, compressed; gone some time after it ``expires``

A search is one Query per word, which begins with it, and one BatchGetItem for the entries of a page. A new
release mostly changes the entry alone. What a writer that was interrupted left behind finds an entry that
does not say the same, and is not shown.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

from packaging.utils import NormalizedName

from elasticpypi.core.about import Some
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.search_entry import Counts, Entry, Found, asked, matches, rank
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.faults import Conflict
from elasticpypi.storage.aws.table import ATTEMPTS, Item, aliases

COUNTS = {"pk": {"S": "#entries"}, "sk": {"S": "#counts"}}
PROJECT, ENTRY = {"S": "#project"}, {"S": "#entry"}  # sort keys of what has a serial
BATCH = 100  # keys of a BatchGetItem
README_SECONDS = 90 * 24 * 3600  # then it is rendered again; the table removes what has expired without cost


class DynamoCatalog:
    """:class:`~elasticpypi.storage.contracts.Catalog` in the table of an index."""

    def __init__(self, index: DynamoIndex) -> None:
        self._index = index
        self._table = index.table

    def serial(self, name: NormalizedName) -> int | None:
        items = self._table.items([_key(name)])
        return int(items[0]["serial"]["N"]) if items else None

    def replace(self, name: NormalizedName, serial: int, entry: Entry | None) -> None:
        for _ in range(ATTEMPTS):
            before = next(iter(self._table.items([_key(name)])), None)
            if before and int(before["serial"]["N"]) > serial:
                return
            old = _entry(before)
            new_marks, old_marks = _marks(entry), _marks(old)
            self._put_marks("Put", "Item", new_marks - old_marks)
            try:
                self._table.write(_change(name, serial, entry, before, old))
            except Conflict:
                continue
            self._put_marks("Delete", "Key", old_marks - new_marks)
            return
        raise Unavailable(f"The entry of {name!r} is being changed by too many writers: try again.")

    def stale(self) -> Iterator[NormalizedName]:
        serials: dict[str, dict[str, int]] = {"#project": {}, "#entry": {}}
        for item in self._table.scan("#sk = :project OR #sk = :entry", {":project": PROJECT, ":entry": ENTRY}):
            serials[item["sk"]["S"]][item["pk"]["S"].partition("#")[2]] = int(item["serial"]["N"])
        for name, serial in serials["#project"].items():
            if serials["#entry"].get(name) != serial:
                yield NormalizedName(name)

    def entries(self, names: list[NormalizedName]) -> list[Entry]:
        found: dict[str, Entry] = {}
        for begin in range(0, len(names), BATCH):
            for item in self._table.items(map(_key, names[begin : begin + BATCH])):
                if entry := _entry(item):
                    found[entry.name] = entry
        return [found[name] for name in names if name in found]

    def search(self, text: str, start: int, count: int) -> Found:
        query = asked(text)
        if query:
            names = sorted(set.intersection(*map(self._named, query)), key=lambda name: rank(text, name))
        else:
            names = self._index.projects()[1]
        page = self.entries(names[start : start + count])
        return Found(len(names), [entry for entry in page if matches(query, entry)])

    def newest(self, count: int) -> list[Entry]:
        # Twice as many as are wanted, since a mark may have been left behind.
        marks = [item["sk"]["S"] for item in islice(self._query("#newest", ScanIndexForward=False), 2 * count)]
        times = {NormalizedName(name): time for time, _, name in (mark.partition(" ") for mark in marks)}
        return [entry for entry in self.entries(list(times)) if entry.time == times[entry.name]][:count]

    def dependents(self, name: NormalizedName, most: int) -> Some[NormalizedName]:
        names = [NormalizedName(item["sk"]["S"]) for item in self._query(f"requires#{name}")]
        shown = [entry.name for entry in self.entries(names[:most]) if name in entry.requires]
        return Some(shown=shown, more=len(names[most:]))

    def counts(self) -> Counts:
        for item in self._table.items([COUNTS]):
            return Counts(**{name: int(item[name]["N"]) for name in ("projects", "releases", "files")})
        return Counts()

    def readme(self, digest: str) -> bytes | None:
        item = self._table.item(_readme_key(digest))
        return bytes(item["body"]["B"]) if item else None

    def keep_readme(self, digest: str, body: bytes) -> None:
        expires = {"N": str(int(time.time()) + README_SECONDS)}
        self._table.write([{"Put": {"Item": {**_readme_key(digest), "body": {"B": body}, "expires": expires}}}])

    def _named(self, word: str) -> set[NormalizedName]:
        values = {":pk": {"S": f"word#{word[0]}"}, ":sk": {"S": word}}
        found = self._table.query("#pk = :pk AND begins_with(#sk, :sk)", values)
        return {NormalizedName(item["sk"]["S"].rpartition(" ")[2]) for item in found}

    def _query(self, partition: str, **options: Any) -> Iterator[Item]:
        return self._table.query("#pk = :pk", {":pk": {"S": partition}}, **options)

    def _put_marks(self, kind: str, field: str, marks: set[tuple[str, str]]) -> None:
        actions = [{kind: {field: {"pk": {"S": pk}, "sk": {"S": sk}}}} for pk, sk in sorted(marks)]
        for begin in range(0, len(actions), BATCH):
            self._table.write(actions[begin : begin + BATCH])


def _change(
    name: NormalizedName, serial: int, entry: Entry | None, before: Item | None, old: Entry | None
) -> list[Any]:
    """The entry, under the condition that it is what was read, and the counts."""
    item: dict[str, Any] = {**_key(name), "serial": {"N": str(serial)}}
    if entry:
        item["body"] = {"S": json.dumps(asdict(entry))}
    put: dict[str, Any] = {"Item": item, "ExpressionAttributeNames": aliases("serial")}
    if before:
        put |= {"ConditionExpression": "#serial = :known", "ExpressionAttributeValues": {":known": before["serial"]}}
    else:
        put["ConditionExpression"] = "attribute_not_exists(#serial)"
    more = {
        "projects": bool(entry) - bool(old),
        "releases": (entry.releases if entry else 0) - (old.releases if old else 0),
        "files": (entry.files if entry else 0) - (old.files if old else 0),
    }
    update = {
        "Key": COUNTS,
        "UpdateExpression": "ADD " + ", ".join(f"#{each} :{each}" for each in more),
        "ExpressionAttributeNames": aliases(*more),
        "ExpressionAttributeValues": {f":{each}": {"N": str(number)} for each, number in more.items()},
    }
    return [{"Put": put}, {"Update": update}]


def _marks(entry: Entry | None) -> set[tuple[str, str]]:
    """The keys of all items by which an entry is found."""
    if entry is None:
        return set()
    marks = {(f"word#{word[0]}", f"{word} {entry.name}") for word in entry.words}
    marks |= {(f"requires#{needed}", entry.name) for needed in entry.requires}
    return marks | {("#newest", f"{entry.time} {entry.name}")}


def _key(name: NormalizedName) -> Item:
    return {"pk": {"S": f"entry#{name}"}, "sk": {"S": "#entry"}}


def _readme_key(digest: str) -> Item:
    return {"pk": {"S": f"readme#{digest}"}, "sk": {"S": "#readme"}}


def _entry(item: Item | None) -> Entry | None:
    if item is None or "body" not in item:
        return None
    fields = json.loads(item["body"]["S"])
    for name in ("words", "requires"):
        fields[name] = tuple(fields[name])
    return Entry(**fields)
