"""The index of one machine: one SQLite file."""

import fcntl
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.utils import NormalizedName

from elasticpypi.core import blocks
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import Event, Who, load, of_change
from elasticpypi.core.keys import parse_status
from elasticpypi.core.model import Decision, File, Project, Record, assemble, first_serial, marked, precedence
from elasticpypi.storage.contracts import Check, Look
from elasticpypi.storage.local.changes import Changes

SCHEMA_VERSION = 7
SCHEMA = """
CREATE TABLE projects (  -- the root list has a row of its own, with the empty name
    name TEXT PRIMARY KEY, serial INTEGER NOT NULL, files INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE whole (since TEXT);  -- a row once all that is in the folder was read
CREATE TABLE records (  -- of a decision, upload_time and uploader are when it was made, and by whom
    project TEXT NOT NULL, filename TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL,
    revision TEXT NOT NULL, text TEXT, version TEXT, size INTEGER, sha256 TEXT, upload_time TEXT,
    requires_python TEXT, metadata_sha256 TEXT, uploader TEXT, form INTEGER, checked INTEGER,
    PRIMARY KEY (project, filename, key)
) WITHOUT ROWID;
CREATE TABLE metadata (
    project TEXT NOT NULL, key TEXT NOT NULL, about BLOB, body BLOB, PRIMARY KEY (project, key)
);
CREATE TABLE events (  -- the last of each project, and those that are not in the log yet
    id TEXT PRIMARY KEY, project TEXT NOT NULL, body BLOB NOT NULL, settled INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX recent ON events (project, id);
CREATE INDEX outbox ON events (id) WHERE settled = 0;
CREATE TABLE entries (  -- of the catalog, without a body once the project is gone
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, serial INTEGER NOT NULL, body TEXT,
    time TEXT, releases INTEGER NOT NULL, files INTEGER NOT NULL
);
CREATE INDEX newest ON entries (time);
CREATE VIRTUAL TABLE words USING fts5 (text, prefix='1 2 3');  -- its rowid is the id of the entry
CREATE TABLE requires (
    name TEXT NOT NULL, project TEXT NOT NULL, PRIMARY KEY (name, project)
) WITHOUT ROWID;
CREATE INDEX requiring ON requires (project);
CREATE TABLE readmes (  -- rendered, the newest with the highest id
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, body BLOB NOT NULL
);
"""
COLUMNS = (
    "project, filename, key, kind, revision, text, version, size, sha256, upload_time, requires_python, "
    "metadata_sha256, uploader, form, checked"
)


MOST_RECENT = 20  # events of a project that its page may show

Identity = tuple[int, int]  # device and inode
NONE: Identity = (0, 0)
SELECT_NAMED = f"SELECT {COLUMNS} FROM records WHERE project = ? AND filename = ?"
SELECT_TEXT = "SELECT kind, text FROM records WHERE project = ? AND filename = ?"
SELECT_DECIDED = f"{SELECT_TEXT} UNION ALL {SELECT_TEXT}"
SELECT_ONE = f"SELECT {COLUMNS} FROM records WHERE project = ? AND filename = ? AND key = ?"


log = logging.getLogger(__name__)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While no other process makes or removes an index in this folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Damaged(Unavailable):
    """503: the file is no index that SQLite can read; the next look at the folder makes another one."""


def identity_of(path: Path) -> Identity:
    """Which file has this name now; an empty one is none."""
    try:
        found = path.stat()
    except OSError:
        return NONE
    return (found.st_dev, found.st_ino) if found.st_size else NONE


class SQLiteIndex:
    """:class:`~elasticpypi.storage.contracts.Index` in one SQLite file, for any number of threads and processes.

    The file can be removed or replaced at any time: who has it open notices, and takes the one of that name. Only
    :meth:`make` makes one. One that is ``served`` is used when it is whole: what is not in it yet would be a 404.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.served = False
        # To open one takes longer than a page, so threads pass them around; the one that was used last comes first.
        self._idle: list[tuple[sqlite3.Connection, Identity]] = []
        self.make()

    def make(self) -> None:
        """Make the file, if there is none, or one of another version or that cannot be read; it is empty then.

        :class:`Unavailable` if it cannot be made or written.
        """
        if self._path.exists() and not os.access(self._path, os.W_OK):
            raise Unavailable(f"The index {str(self._path)!r} cannot be written: run as the user that it belongs to.")
        try:
            with _alone(self._path.parent):
                self._make()
        except sqlite3.DatabaseError as error:
            raise Unavailable(f"The index {str(self._path)!r} cannot be made: {error}.") from error
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Unavailable(f"The index {str(self._path)!r} cannot be made: {reason}.") from None

    def _make(self) -> None:
        version = self._version()
        if version == SCHEMA_VERSION:
            return
        if identity_of(self._path) != NONE:
            what = f"of version {version}, this is {SCHEMA_VERSION}" if version else "damaged"
            log.warning("The index is %s: a new one is made from the packages.", what)
        self._remove()
        os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
        with closing(self._open()) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.split(";")[:-1]:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            database.execute("INSERT INTO projects VALUES ('', ?, 0)", (first_serial(),))
            database.execute("COMMIT")

    def _version(self) -> int:
        """0 if there is no index in the file."""
        if identity_of(self._path) == NONE:
            return 0
        try:
            with closing(self._open()) as database:
                return int(database.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.OperationalError:  # it may well be one
            raise
        except sqlite3.DatabaseError:
            return 0

    def _remove(self) -> None:
        self.close()
        for end in ("", "-wal", "-shm"):  # SQLite would take the last two as those of the next file
            Path(f"{self._path}{end}").unlink(missing_ok=True)

    def _put_away(self, opened: Identity) -> None:
        """Remove a damaged file, if it is still the one that was ``opened``."""
        with suppress(OSError), _alone(self._path.parent):
            if opened == identity_of(self._path):
                self._remove()

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

    def close(self) -> None:
        """Close the connections that are not in use; the next call opens another one."""
        self._idle_one(NONE)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that no other thread uses meanwhile; what SQLite cannot do is :class:`Unavailable`."""
        identity = identity_of(self._path)
        try:
            connection = self._idle_one(identity) or self._opened()
            try:
                yield connection
            finally:
                if connection.in_transaction:  # a ROLLBACK that failed
                    connection.close()
                else:
                    self._idle.append((connection, identity))
        except sqlite3.DatabaseError as error:
            raise self._unavailable(error, identity) from error

    def _idle_one(self, identity: Identity) -> sqlite3.Connection | None:
        """One to the file that has the name now; those to another one are closed."""
        with suppress(IndexError):  # other threads take them too
            while True:
                connection, opened = self._idle.pop()
                if opened == identity:
                    return connection
                connection.close()
        return None

    def _opened(self) -> sqlite3.Connection:
        connection = self._open()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A power cut may cost the last records, never the file; the next look finds them in the folder.
            connection.execute("PRAGMA synchronous = NORMAL")
            # kB of each; the system has the file in memory anyway, and many clients at once need many connections.
            connection.execute("PRAGMA cache_size = -256")
            if self.served and not connection.execute("SELECT count(*) FROM whole").fetchone()[0]:
                raise Unavailable("The index is being made anew from the folder: try again in a minute.")
        except BaseException:
            connection.close()
            raise
        return connection

    def _open(self) -> sqlite3.Connection:
        """A connection to the file, which must be there."""
        address = f"file:{quote(str(self._path.absolute()))}?mode=rw"
        return sqlite3.connect(address, timeout=30, isolation_level=None, check_same_thread=False, uri=True)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _unavailable(self, error: sqlite3.DatabaseError, opened: Identity) -> Unavailable:
        if type(error) is not sqlite3.DatabaseError:  # which is what SQLITE_CORRUPT and SQLITE_NOTADB are
            if identity_of(self._path) == NONE:
                return Unavailable("The index is not there: `elasticpypi serve` or `reindex` makes it anew.")
            return Unavailable(f"The index {self._path.name!r} cannot be used now: {error}.")
        log.error("The index is damaged (%s): it is removed, and made anew from the packages.", error)
        self._put_away(opened)
        return Damaged("The index is damaged, and made anew from the packages: try again in a minute.")

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction that only reads; :class:`Unavailable` if the file cannot be used."""
        return self._transaction("BEGIN")

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction that writes: one at a time in all processes."""
        return self._transaction("BEGIN IMMEDIATE")


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
