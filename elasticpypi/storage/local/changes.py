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
import threading
import time
from pathlib import Path
from urllib.parse import quote

HEADER = 48  # bytes; two copies begin the file
LOOK = 0.1  # seconds; to ask which file has the name takes as long as all the rest
FORMAT = (3007000).to_bytes(4, sys.byteorder)  # the first number in it, since 2010


class Changes:
    """The header of the index at ``path``, which is in WAL mode. It must live as long as the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._looked = 0.0
        self._seen: list[_Header] = []  # of the files that had this name, the one of now last
        self._seen.append(_Header(path))

    def mark(self) -> bytes | None:
        """Equal to another mark if nothing was written in between; None if that cannot be said now."""
        header = self._seen[-1]
        if time.monotonic() < self._looked + LOOK:
            return header.mark()
        try:
            found = self._path.stat()
            if (found.st_dev, found.st_ino) != header.identity:
                header = self._another()
            self._looked = time.monotonic()
        except (OSError, ValueError, sqlite3.Error):  # there is none, or it is just being made
            return None
        return header.mark()

    def _another(self) -> "_Header":
        with self._lock:
            header = _Header(self._path)
            if header.identity != self._seen[-1].identity:
                self._seen.append(header)
            return self._seen[-1]


class _Header:
    """That of one file. What it has open stays open."""

    def __init__(self, path: Path) -> None:
        found = path.stat()
        self.identity = found.st_dev, found.st_ino
        self._name = b"%x-%x-" % self.identity
        # A connection that stays, since the last one that closes would remove the file beneath us.
        address = f"file:{quote(str(path.absolute()))}?mode=rw"
        self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        # Not closed as long as we live: POSIX would take the locks away that SQLite has on the file in this process.
        self._descriptor = os.open(f"{path}-shm", os.O_RDONLY)
        self._shared = mmap.mmap(self._descriptor, 2 * HEADER, access=mmap.ACCESS_READ)

    def mark(self) -> bytes | None:
        seen = self._shared[:]
        known = seen[:HEADER] == seen[HEADER:] and seen.startswith(FORMAT)
        return self._name + seen if known else None
