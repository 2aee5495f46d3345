"""The catalog of one machine: in the file of the index, found by SQLite's full-text index (FTS5)."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from packaging.utils import NormalizedName

from elasticpypi.core.about import Some
from elasticpypi.core.search_entry import Counts, Entry, Found, asked, rank
from elasticpypi.storage.local.database import Database

ROOM = 64 * 1024 * 1024  # bytes of rendered READMEs, some 10,000
ROW = 150  # bytes of each beside its body, about


class SQLiteCatalog:
    """:class:`~elasticpypi.storage.contracts.Catalog` in the file of an index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def serial(self, name: NormalizedName) -> int | None:
        with self._database.reading() as database:
            row = database.execute("SELECT serial FROM entries WHERE name = ?", (name,)).fetchone()
            return row and int(row[0])

    def replace(self, name: NormalizedName, serial: int, entry: Entry | None) -> None:
        with self._database.writing() as database:
            before = database.execute("SELECT id, serial FROM entries WHERE name = ?", (name,)).fetchone()
            if before and before[1] > serial:
                return
            body, time, releases, files = None, None, 0, 0
            if entry:
                body, time, releases, files = json.dumps(asdict(entry)), entry.time, entry.releases, entry.files
            query = (
                "INSERT INTO entries (name, serial, body, time, releases, files) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET serial = excluded.serial, body = excluded.body, "
                "time = excluded.time, releases = excluded.releases, files = excluded.files RETURNING id"
            )
            [(number,)] = database.execute(query, (name, serial, body, time, releases, files)).fetchall()
            database.execute("DELETE FROM words WHERE rowid = ?", (number,))
            database.execute("DELETE FROM requires WHERE project = ?", (name,))
            if entry:
                database.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, " ".join(entry.words)))
                needed = [(each, name) for each in entry.requires]
                database.executemany("INSERT INTO requires VALUES (?, ?)", needed)

    def stale(self) -> Iterator[NormalizedName]:
        query = (
            "SELECT name FROM projects LEFT JOIN entries USING (name) "
            "WHERE name != '' AND entries.serial IS NOT projects.serial"
        )
        with self._database.reading() as database:
            names = database.execute(query).fetchall()
        yield from (NormalizedName(name) for (name,) in names)

    def entries(self, names: list[NormalizedName]) -> list[Entry]:
        marks = ",".join("?" * len(names))
        with self._database.reading() as database:
            query = f"SELECT name, body FROM entries WHERE body IS NOT NULL AND name IN ({marks})"
            found = dict(database.execute(query, names).fetchall())
        return [_entry(found[name]) for name in names if name in found]

    def search(self, text: str, start: int, count: int) -> Found:
        query = " AND ".join(f'"{word}"*' for word in asked(text))
        with self._database.reading() as database:
            if query:
                joined = "SELECT name FROM words JOIN entries ON id = words.rowid WHERE words MATCH ?"
                rows = database.execute(joined, (query,)).fetchall()
            else:
                rows = database.execute("SELECT name FROM entries WHERE body IS NOT NULL").fetchall()
        names = sorted((name for (name,) in rows), key=lambda name: rank(text, name) if query else (0, name))
        return Found(len(names), self.entries(names[start : start + count]))

    def newest(self, count: int) -> list[Entry]:
        query = "SELECT body FROM entries WHERE body IS NOT NULL ORDER BY time DESC, name LIMIT ?"
        with self._database.reading() as database:
            return [_entry(body) for (body,) in database.execute(query, (count,))]

    def dependents(self, name: NormalizedName, most: int) -> Some[NormalizedName]:
        with self._database.reading() as database:
            (count,) = database.execute("SELECT count(*) FROM requires WHERE name = ?", (name,)).fetchone()
            query = "SELECT project FROM requires WHERE name = ? ORDER BY project LIMIT ?"
            shown = [project for (project,) in database.execute(query, (name, most))]
        return Some(shown=shown, more=count - len(shown))

    def counts(self) -> Counts:
        sums = "count(*), coalesce(sum(releases), 0), coalesce(sum(files), 0)"
        with self._database.reading() as database:
            return Counts(*database.execute(f"SELECT {sums} FROM entries WHERE body IS NOT NULL").fetchone())

    def readme(self, digest: str) -> bytes | None:
        with self._database.reading() as database:
            row = database.execute("SELECT body FROM readmes WHERE digest = ?", (digest,)).fetchone()
            return bytes(row[0]) if row else None

    def keep_readme(self, digest: str, body: bytes) -> None:
        sizes = f"SELECT id, sum(length(body) + {ROW}) OVER (ORDER BY id DESC) AS size FROM readmes"
        with self._database.writing() as database:
            database.execute("REPLACE INTO readmes (digest, body) VALUES (?, ?)", (digest, body))
            database.execute(f"DELETE FROM readmes WHERE id IN (SELECT id FROM ({sizes}) WHERE size > ?)", (ROOM,))


def _entry(body: str) -> Entry:
    fields = json.loads(body)
    for name in ("words", "requires"):
        fields[name] = tuple(fields[name])
    return Entry(**fields)
