"""What tells that somebody has written: never too late, whoever it was."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.model import Decision
from elasticpypi.storage.local.sqlite import SQLiteIndex

WRITER = """
import sys
from pathlib import Path
from packaging.utils import NormalizedName
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.core.model import Decision

for line in sys.stdin:
    index = SQLiteIndex(Path(sys.argv[1]))  # the one before, and its connections, go
    index.put(Decision("demo.status", NormalizedName("demo"), "status", "active", line.strip()))
    print("written", flush=True)
"""


@pytest.fixture
def index(tmp_path: Path) -> SQLiteIndex:
    return SQLiteIndex(tmp_path / "index.db")


@pytest.fixture
def writer(index: SQLiteIndex, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which writes once for each line that it is told."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "index.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def put(index: SQLiteIndex, revision: str) -> bool:
    return index.put(Decision("demo.status", NormalizedName("demo"), "status", "active", revision))


def test_reading_changes_no_mark(index: SQLiteIndex) -> None:
    put(index, "a")
    changes = index.changes()
    mark = changes.mark()
    assert mark is not None
    index.projects()
    index.project(NormalizedName("demo"))
    assert not put(index, "a")  # nothing to write
    assert changes.mark() == mark


def test_each_write_makes_another_mark(index: SQLiteIndex) -> None:
    changes = index.changes()
    seen = {changes.mark()}
    for number in range(50):
        assert put(index, str(number))
        seen.add(changes.mark())
    assert len(seen) == 51


def test_what_another_process_wrote_is_seen_at_once(index: SQLiteIndex, writer: "subprocess.Popen[str]") -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    changes = index.changes()
    index.close()  # no other connection of this process is open now
    seen = {changes.mark()}
    for number in range(300):
        writer.stdin.write(f"{number}\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "written\n"
        seen.add(changes.mark())
    assert len(seen) == 301
    assert None not in seen


def test_a_checkpoint_hides_no_write(index: SQLiteIndex, tmp_path: Path) -> None:
    """It empties the log and begins it anew: what was written before and after must not look alike."""
    changes = index.changes()
    seen = {changes.mark()}
    with closing(sqlite3.connect(tmp_path / "index.db")) as other:
        for number in range(20):
            assert put(index, str(number))
            seen.add(changes.mark())
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert len(seen) == 21


def test_what_is_written_while_a_mark_is_taken_is_not_known(index: SQLiteIndex, tmp_path: Path) -> None:
    put(index, "a")
    changes = index.changes()
    assert changes.mark() is not None
    with (tmp_path / "index.db-shm").open("r+b", buffering=0) as shared:
        header = shared.read(96)
        shared.seek(60)
        shared.write(bytes(4))  # half of what SQLite writes
        assert changes.mark() is None
        os.pwrite(shared.fileno(), header, 0)
        assert (changes.mark() or b"").endswith(header)


def test_another_format_is_not_known(index: SQLiteIndex, tmp_path: Path) -> None:
    put(index, "a")
    changes = index.changes()
    with (tmp_path / "index.db-shm").open("r+b", buffering=0) as shared:
        header = shared.read(48)
        shared.seek(0)
        shared.write(2 * (b"\x00\x00\x00\x01" + header[4:]))
        assert changes.mark() is None
