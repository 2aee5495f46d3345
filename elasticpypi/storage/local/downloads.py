"""Who fetched which file, on one machine: tables of their own in ``state.db``.

Names and addresses are written once, so that a row for each file, client and day has some fifteen bytes. Rows lie by
day, so that old ones go in a moment: whoever writes keeps others from writing.
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
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, version TEXT NOT NULL, filename TEXT NOT NULL,
    upstream TEXT NOT NULL, last INTEGER NOT NULL, UNIQUE (project, version, filename, upstream)
)
""",
    """
CREATE TABLE IF NOT EXISTS fetched_by (
    id INTEGER PRIMARY KEY, user TEXT NOT NULL, address TEXT NOT NULL, last INTEGER NOT NULL, UNIQUE (user, address)
)
""",
    "CREATE TABLE IF NOT EXISTS fetched_days (day INTEGER PRIMARY KEY, count INTEGER NOT NULL)",
    """
CREATE TABLE IF NOT EXISTS fetched (
    day INTEGER NOT NULL, file INTEGER NOT NULL, client INTEGER NOT NULL, PRIMARY KEY (day, file, client)
) WITHOUT ROWID
""",
)
DAYS = 90
MOST = 3_000_000  # rows: some 45 MB; beyond these the oldest days go first

FILE_ID = """
INSERT INTO fetched_files VALUES (NULL, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last = MAX(last, excluded.last) RETURNING id
"""
CLIENT_ID = """
INSERT INTO fetched_by VALUES (NULL, ?, ?, ?) ON CONFLICT DO UPDATE SET last = MAX(last, excluded.last) RETURNING id
"""
COUNTED = "INSERT INTO fetched_days VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
# CROSS JOIN: in this order, a look for each file and day instead of one at every row.
OF = """
SELECT project, version, filename, upstream, user, address, MIN(day), MAX(day)
FROM fetched_files CROSS JOIN fetched_days CROSS JOIN fetched USING (day) CROSS JOIN fetched_by
WHERE project = ? AND version = ? AND file = fetched_files.id AND client = fetched_by.id
GROUP BY file, client ORDER BY filename, upstream, user, address
"""


class SQLiteDownloads:
    """:class:`~elasticpypi.storage.contracts.Downloads`, for any number of processes."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE

    def add(self, day: date, fetched: Iterable[Fetched]) -> None:
        today, new = day.toordinal(), 0
        with opened(self._path, *SCHEMA) as database:
            database.execute("BEGIN IMMEDIATE")
            for each in fetched:
                [file] = database.execute(FILE_ID, (*each[:4], today)).fetchone()
                [client] = database.execute(CLIENT_ID, (each.user, each.address, today)).fetchone()
                row = today, file, client
                new += database.execute("INSERT OR IGNORE INTO fetched VALUES (?, ?, ?)", row).rowcount
            database.execute(COUNTED, (today, new))
            _tidy(database, today - DAYS)
            database.execute("COMMIT")

    def of(self, project: NormalizedName, version: str) -> list[tuple[Fetched, date, date]]:
        with opened(self._path, *SCHEMA) as database:
            rows = database.execute(OF, (project, version)).fetchall()
        return [(Fetched(*row[:6]), date.fromordinal(row[6]), date.fromordinal(row[7])) for row in rows]


def _tidy(database: sqlite3.Connection, last: int) -> None:
    """Remove the day ``last`` and those before it, and more of them if there are too many rows."""
    days = database.execute("SELECT day, count FROM fetched_days ORDER BY day").fetchall()
    left = sum(count for day, count in days if day > last)
    for day, count in days[:-1]:
        if left > MOST and day > last:
            last, left = day, left - count
    if days[0][0] <= last:
        for table, column in (
            ("fetched", "day"),
            ("fetched_days", "day"),
            ("fetched_files", "last"),
            ("fetched_by", "last"),
        ):
            database.execute(f"DELETE FROM {table} WHERE {column} <= ?", (last,))
