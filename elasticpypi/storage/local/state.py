"""What may be lost, on one machine: a SQLite file beside that of the index, which it leaves alone."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from elasticpypi.core.errors import Unavailable

FILE = "state.db"
SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires REAL NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""
EVERY = 100  # writes between two removals of what has expired


class SQLiteState:
    """:class:`~elasticpypi.storage.contracts.State` in ``<data>/state.db``, for any number of threads and processes.

    The file is made when it is needed. It may be removed at any time: then there is nothing.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self._writes = 0

    def get(self, kind: str, key: str) -> bytes | None:
        with self._database() as database:
            query = "SELECT value FROM items WHERE kind = ? AND key = ? AND expires > ?"
            row = database.execute(query, (kind, key, time.time())).fetchone()
        return None if row is None else row[0] if isinstance(row[0], bytes) else str(row[0]).encode()

    def put(self, kind: str, key: str, value: bytes, seconds: float) -> None:
        with self._writing() as database:
            row = kind, key, value, time.time() + seconds
            database.execute("REPLACE INTO items VALUES (?, ?, ?, ?)", row)

    def claim(self, kind: str, key: str, value: bytes, seconds: float) -> bool:
        now = time.time()
        query = (
            "INSERT INTO items VALUES (?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE "
            "SET value = excluded.value, expires = excluded.expires WHERE value = excluded.value OR expires <= ?"
        )
        with self._writing() as database:
            return database.execute(query, (kind, key, value, now + seconds, now)).rowcount > 0

    def add(self, kind: str, key: str, number: int, seconds: float) -> int:
        now = time.time()
        query = (
            "INSERT INTO items VALUES (?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET "
            "value = CASE WHEN expires > ? THEN value ELSE 0 END + excluded.value, "
            "expires = CASE WHEN expires > ? THEN expires ELSE excluded.expires END RETURNING value"
        )
        with self._writing() as database:
            row = database.execute(query, (kind, key, number, now + seconds, now, now)).fetchone()
        return int(row[0])

    def remove(self, kind: str, key: str) -> bool:
        query = "DELETE FROM items WHERE kind = ? AND key = ? AND expires > ?"
        with self._writing() as database:
            return database.execute(query, (kind, key, time.time())).rowcount > 0

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            self._writes += 1
            if self._writes % EVERY == 0:
                database.execute("DELETE FROM items WHERE expires <= ?", (time.time(),))
            database.execute("COMMIT")

    def _database(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self._path, SCHEMA)


@contextmanager
def opened(path: Path, *schema: str) -> Iterator[sqlite3.Connection]:
    """A connection for this call alone, so that no process has one open to a file that was removed.

    The file has the tables of ``schema`` then. :class:`Unavailable` if it cannot be used now.
    """
    address = f"file:{quote(str(path.absolute()))}?mode=rw"
    try:
        with suppress(FileExistsError):
            path.touch(0o600, exist_ok=False)
        with closing(sqlite3.connect(address, timeout=30, isolation_level=None, uri=True)) as database:
            database.execute("PRAGMA synchronous = OFF")  # a power cut may cost it all
            for statement in schema:
                database.execute(statement)
            yield database
    except (sqlite3.Error, OSError) as error:
        if type(error) is sqlite3.DatabaseError:  # no database, or one that is damaged
            path.unlink(missing_ok=True)
        raise Unavailable(f"{path.name!r} cannot be used now: {error}.") from None
