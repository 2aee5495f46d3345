"""The index of one machine: records, events and serials as rows of one SQLite file."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from packaging.utils import NormalizedName

from elasticpypi.core import blocks
from elasticpypi.core.event import Event, Who, load, of_change
from elasticpypi.core.keys import parse_status
from elasticpypi.core.model import Decision, File, Project, Record, assemble, first_serial, marked, precedence
from elasticpypi.storage.contracts import Check, Look
from elasticpypi.storage.local.changes import Changes
from elasticpypi.storage.local.database import Database, identity_of

COLUMNS = (
    "project, filename, key, kind, revision, text, version, size, sha256, upload_time, requires_python, "
    "metadata_sha256, uploader, form, checked"
)
MOST_RECENT = 20  # events of a project that its page may show

SELECT_NAMED = f"SELECT {COLUMNS} FROM records WHERE project = ? AND filename = ?"
SELECT_TEXT = "SELECT kind, text FROM records WHERE project = ? AND filename = ?"
SELECT_DECIDED = f"{SELECT_TEXT} UNION ALL {SELECT_TEXT}"
SELECT_ONE = f"SELECT {COLUMNS} FROM records WHERE project = ? AND filename = ? AND key = ?"


class SQLiteIndex(Database):
    """:class:`~elasticpypi.storage.contracts.Index` in one SQLite file."""

    def projects(self) -> tuple[int, list[NormalizedName]]:
        with self.reading() as database:
            serial = database.execute("SELECT serial FROM projects WHERE name = ''").fetchone()[0]
            names = database.execute("SELECT name FROM projects WHERE files > 0 ORDER BY name")
            return serial, [name for (name,) in names]

    def project(self, name: NormalizedName) -> Project | None:
        with self.reading() as database:
            return _project(database, name)

    def serial(self, name: NormalizedName | None) -> int | None:
        query = "SELECT serial FROM projects WHERE name = ?"
        with self._connection() as database:  # a transaction of its own, without the words for it
            row = database.execute(query, (name or "",)).fetchone()
        return row and int(row[0])

    def record(self, name: NormalizedName, key: str) -> Record | None:
        with self.reading() as database:
            row = database.execute(SELECT_ONE, (name, key.rpartition("/")[2], key)).fetchone()
            return row and _record(row)

    def record_and_tombstone(self, name: NormalizedName, key: str) -> tuple[Record | None, Record | None]:
        return self.record(name, key), self.record(name, f"{key}.deleted")

    def file(self, name: NormalizedName, filename: str) -> File | None:
        with self.reading() as database:
            texts = dict(database.execute(SELECT_DECIDED, (name, f"{name}.status", name, blocks.RECORD)).fetchall())
            if "status" in texts and parse_status(texts["status"])[0] == "quarantined":
                return None
            found = [_record(row) for row in database.execute(SELECT_NAMED, (name, filename))]
        candidates = [record for record in found if isinstance(record, File)]
        file = min(candidates, key=lambda file: precedence(file.key), default=None)
        return marked(file, blocks.load(texts[blocks.KIND])) if file and blocks.KIND in texts else file

    def metadata(self, name: NormalizedName, filename: str) -> tuple[File, bytes] | None:
        found = self._beside(name, filename, "body")
        return (found[0], body) if found and (body := found[1][0]) is not None else None

    def about(
        self, name: NormalizedName, filename: str, *, metadata: bool = False
    ) -> tuple[File, bytes | None, bytes | None] | None:
        found = self._beside(name, filename, "about", *(["body"] if metadata else []))
        return found and (found[0], found[1][0], found[1][1] if metadata else None)

    def _beside(self, name: NormalizedName, filename: str, *columns: str) -> tuple[File, list[bytes | None]] | None:
        """What a file name means, and what is kept beside it; None if there is no such file."""
        file = self.file(name, filename)
        if file is None:
            return None
        with self.reading() as database:
            query = f"SELECT {', '.join(columns)} FROM metadata WHERE project = ? AND key = ?"
            row = database.execute(query, (name, file.key)).fetchone() or [None] * len(columns)
        return file, [None if body is None else zlib.decompress(body) for body in row]

    def put(
        self,
        record: Record,
        metadata: bytes | None = None,
        check: Check | None = None,
        look: Look | None = None,
        about: bytes | None = None,
        who: Who | None = None,
    ) -> bool:
        row = _row(record)
        with self.writing() as database:
            if check and (project := _project(database, record.project)):
                check(project)
            place = (record.project, row[1], record.key)
            known = database.execute(SELECT_ONE, place).fetchone()
            if known == row:
                return False
            if look:
                look()
            database.execute(f"REPLACE INTO records ({COLUMNS}) VALUES ({','.join('?' * len(row))})", row)
            database.execute("DELETE FROM metadata WHERE project = ? AND key = ?", (record.project, record.key))
            if metadata is not None or about is not None:
                bodies = [None if body is None else zlib.compress(body) for body in (about, metadata)]
                database.execute("INSERT INTO metadata VALUES (?, ?, ?, ?)", (record.project, record.key, *bodies))
            _changed(database, record.project, 1 if known is None and isinstance(record, File) else 0)
            event = _note(database, record.project, known and _record(known), record, who)
        _tell(who, event)
        return True

    def remove(self, name: NormalizedName, key: str, look: Look | None = None, who: Who | None = None) -> bool:
        with self.writing() as database:
            query = f"DELETE FROM records WHERE project = ? AND filename = ? AND key = ? RETURNING {COLUMNS}"
            row = database.execute(query, (name, key.rpartition("/")[2], key)).fetchone()
            if row is None:
                return False
            if look:
                look()
            before = _record(row)
            database.execute("DELETE FROM metadata WHERE project = ? AND key = ?", (name, key))
            _changed(database, name, -1 if isinstance(before, File) else 0)
            event = _note(database, name, before, None, who)
        _tell(who, event)
        return True

    def outbox(self) -> list[Event]:
        with self.reading() as database:
            rows = database.execute("SELECT body FROM events WHERE settled = 0 ORDER BY id LIMIT 1000").fetchall()
        return [load(body) for (body,) in rows]

    def settled(self, events: Iterable[Event]) -> None:
        ids = [(event.id,) for event in events]
        with self.writing() as database:
            database.executemany("UPDATE events SET settled = 1 WHERE id = ?", ids)

    def recent(self, name: NormalizedName, most: int) -> list[Event]:
        query = "SELECT body FROM events WHERE project = ? ORDER BY id DESC LIMIT ?"
        with self.reading() as database:
            return [load(body) for (body,) in database.execute(query, (name, most))]

    def records(self) -> Iterator[Record]:
        # A connection of its own: the caller may write while it goes through the records.
        opened = identity_of(self._path)
        try:
            with closing(self._open()) as database:
                yield from map(_record, database.execute(f"SELECT {COLUMNS} FROM records"))
        except sqlite3.DatabaseError as error:
            raise self._unavailable(error, opened) from error

    def check(self) -> None:
        self.serial(None)

    def changes(self) -> Changes:
        """What tells, for as long as the process lives, whether anybody has written."""
        self.check()  # which makes it one in WAL mode
        return Changes(self._path)

    def is_whole(self) -> bool:
        with self.reading() as database:
            return bool(database.execute("SELECT count(*) FROM whole").fetchone()[0])

    def mark_whole(self) -> None:
        with self.writing() as database:
            database.execute("INSERT INTO whole SELECT datetime() WHERE NOT EXISTS (SELECT * FROM whole)")


def _project(database: sqlite3.Connection, name: NormalizedName) -> Project | None:
    head = database.execute("SELECT serial FROM projects WHERE name = ?", (name,)).fetchone()
    if head is None or not name:
        return None
    rows = database.execute(f"SELECT {COLUMNS} FROM records WHERE project = ?", (name,))
    return assemble(name, head[0], map(_record, rows))


def _changed(database: sqlite3.Connection, name: NormalizedName, more: int) -> None:
    """A project changed and has ``more`` files: new serials for it, and for the root list if it came or went."""
    upsert = (
        "INSERT INTO projects VALUES (?, ?, ?) ON CONFLICT (name) "
        "DO UPDATE SET serial = serial + 1, files = files + excluded.files RETURNING files"
    )
    (files,) = database.execute(upsert, (name, first_serial(), more)).fetchone()
    if more and files == max(more, 0):
        database.execute("UPDATE projects SET serial = serial + 1 WHERE name = ''")


def _note(
    database: sqlite3.Connection, name: NormalizedName, before: Record | None, after: Record | None, who: Who | None
) -> Event | None:
    """The event of a change, if there is one; of those that are in the log, the last of the project stay."""
    event = of_change(before, after, who) if who else None
    if event is None:
        return None
    database.execute("INSERT INTO events VALUES (?, ?, ?, 0)", (event.id, name, event.dump()))
    last = "SELECT id FROM events WHERE project = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
    database.execute(
        f"DELETE FROM events WHERE project = ? AND settled = 1 AND id < ({last})", (name, name, MOST_RECENT - 1)
    )
    return event


def _tell(who: Who | None, event: Event | None) -> None:
    if who and who.written is not None and event:
        who.written.append(event)


_Row = tuple[str | int | None, ...]


def _row(record: Record) -> _Row:
    """A record as COLUMNS has it."""
    filename = record.key.rpartition("/")[2]
    if isinstance(record, Decision):
        head = (record.project, filename, record.key, record.kind, record.revision, record.text)
        return (*head, *[None] * 3, record.at, *[None] * 2, record.by, *[None] * 2)
    return (
        *(record.project, filename, record.key, "file", record.revision, None),
        *(record.version, record.size, record.sha256, record.upload_time),
        *(record.requires_python, record.metadata_sha256, record.uploader, record.form, record.checked),
    )


def _record(row: tuple[Any, ...]) -> Record:
    project, _, key, kind, revision, text, version, size, sha256, upload_time, *rest = row
    if kind != "file":
        return Decision(key, project, kind, text, revision, by=rest[2], at=upload_time)
    return File(key, project, version, size, sha256, upload_time, revision, *rest)
