"""Whether anything in an index of SQLite has changed, without asking SQLite.

The header of the file ``-shm`` is in the memory that all processes share, twice, and each transaction that writes
changes it: SQLite compares it to know whether the pages that it has in memory are still true, and so do we
(https://sqlite.org/walformat.html, "WAL-Index File Format"). A SELECT takes ten times as long, and lets go of
Python's lock several times.
"""

import mmap
import os
import sqlite3
import sys
from pathlib import Path

HEADER = 48  # bytes; two copies begin the file
FORMAT = (3007000).to_bytes(4, sys.byteorder)  # the first number in it, since 2010


class Changes:
    """The header of the index at ``path``, which is in WAL mode. It must live as long as the process."""

    def __init__(self, path: Path) -> None:
        # A connection that stays, since the last one that closes would remove the file beneath us.
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        # Not closed as long as we live: POSIX would take the locks away that SQLite has on the file in this process.
        self._descriptor = os.open(f"{path}-shm", os.O_RDONLY)
        self._shared = mmap.mmap(self._descriptor, 2 * HEADER, access=mmap.ACCESS_READ)

    def mark(self) -> bytes | None:
        """Equal to another mark if nothing was written in between; None if that cannot be said now."""
        seen = self._shared[:]
        known = seen[:HEADER] == seen[HEADER:] and seen.startswith(FORMAT)
        return seen if known else None
