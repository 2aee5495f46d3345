"""The file of the index of one machine: a SQLite database that is made, opened and put away.

It can be removed or replaced at any time, and any number of threads and processes use it at once.
"""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.model import first_serial

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

Identity = tuple[int, int]  # device and inode
NONE: Identity = (0, 0)

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


class Database:
    """One SQLite file with the tables of SCHEMA, for any number of threads and processes.

    Who has it open notices that it was removed or replaced, and takes the one of that name. Only
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
