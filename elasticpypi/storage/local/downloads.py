"""Who fetched which file, on one machine: tables of their own in ``state.db``.

Names and addresses are written once, so that a row for each file, client and day has some twenty bytes.
"""

import sqlite3
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from packaging.utils import NormalizedName

from elasticpypi.storage.contracts import Fetched
from elasticpypi.storage.local.state import FILE, opened

SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS fetched_files (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, version TEXT NOT NULL, filename TEXT NOT NULL, origin TEXT NOT NULL,
    UNIQUE (project, version, filename, origin)
)
""",
    """
CREATE TABLE IF NOT EXISTS fetched_by (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, address TEXT NOT NULL, UNIQUE (user, address)
)
""",
    """
CREATE TABLE IF NOT EXISTS fetched (
    file INTEGER NOT NULL, client INTEGER NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (file, client, day)
) WITHOUT ROWID
""",
)
DAYS = 90
MOST = 3_000_000  # rows: some 60 MB; beyond these the oldest days go first

OF = """
SELECT project, version, filename, origin, user, address, MIN(day), MAX(day)
FROM fetched_files JOIN fetched ON fetched.file = fetched_files.id JOIN fetched_by ON fetched_by.id = fetched.client
WHERE project = ? AND version = ? GROUP BY file, client ORDER BY filename, origin, user, address
"""


class SQLiteDownloads:
    """:class:`~elasticpypi.storage.contracts.Downloads`, for any number of processes."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE
        self._tidied: date | None = None

    def add(self, day: date, fetched: Iterable[Fetched]) -> None:
        with opened(self._path, *SCHEMA) as database:
            database.execute("BEGIN IMMEDIATE")
            for each in fetched:
                file, client = _file(database, each), _client(database, each)
                database.execute("INSERT OR IGNORE INTO fetched VALUES (?, ?, ?)", (file, client, day.toordinal()))
            if day != self._tidied:
                _tidy(database, day.toordinal() - DAYS)
                self._tidied = day
            database.execute("COMMIT")

    def of(self, project: NormalizedName, version: str) -> list[tuple[Fetched, date, date]]:
        with opened(self._path, *SCHEMA) as database:
            rows = database.execute(OF, (project, version)).fetchall()
        return [(Fetched(*row[:6]), date.fromordinal(row[6]), date.fromordinal(row[7])) for row in rows]


def _file(database: sqlite3.Connection, each: Fetched) -> int:
    row = each.project, each.version, each.filename, each.upstream
    known = "SELECT id FROM fetched_files WHERE project = ? AND version = ? AND filename = ? AND origin = ?"
    return _id(database, known, "INSERT INTO fetched_files VALUES (NULL, ?, ?, ?, ?)", row)


def _client(database: sqlite3.Connection, each: Fetched) -> int:
    known = "SELECT id FROM fetched_by WHERE user = ? AND address = ?"
    return _id(database, known, "INSERT INTO fetched_by VALUES (NULL, ?, ?)", (each.user, each.address))


def _id(database: sqlite3.Connection, known: str, insert: str, row: tuple[str, ...]) -> int:
    found = database.execute(known, row).fetchone()
    return int(found[0]) if found else int(database.execute(insert, row).lastrowid or 0)


def _tidy(database: sqlite3.Connection, last: int) -> None:
    """Remove the day ``last`` and those before it, and more of them if there are too many rows."""
    left = database.execute("SELECT COUNT(*) FROM fetched WHERE day > ?", (last,)).fetchone()[0]
    for day, count in database.execute("SELECT day, COUNT(*) FROM fetched GROUP BY day ORDER BY day").fetchall():
        if left > MOST and day > last:
            last, left = day, left - count
    database.execute("DELETE FROM fetched WHERE day <= ?", (last,))
    database.execute("DELETE FROM fetched_files WHERE id NOT IN (SELECT file FROM fetched)")
    database.execute("DELETE FROM fetched_by WHERE id NOT IN (SELECT client FROM fetched)")
