"""What only SQLite has: files that are damaged or of another version, many processes."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.errors import Unavailable
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from tests.support.builders import make_wheel

DEMO = NormalizedName("demo")


def test_a_damaged_index_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(b"not a database" * 1000)
    assert not SQLiteIndex(path).is_whole()
    assert caplog.messages == ["The index is damaged: a new one is made from the packages."]


def test_an_index_of_another_version_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE records (something TEXT)")
        database.execute("PRAGMA user_version = 99")
    database.close()
    index = SQLiteIndex(path)
    assert index.projects()[1] == []
    assert list(index.records()) == []
    assert not index.is_whole()


def test_an_index_is_whole_from_when_that_is_said_until_it_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = SQLiteIndex(path)
    assert not index.is_whole()
    for _ in range(2):
        index.mark_whole()
        assert index.is_whole()
    assert SQLiteIndex(path).is_whole()
    index.close()
    for each in tmp_path.iterdir():
        each.unlink()
    assert not SQLiteIndex(path).is_whole()


def test_a_closed_index_opens_again(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "index.db")
    for _ in range(2):
        index.close()
    assert index.projects()[1] == []


def test_processes_see_each_others_writes(tmp_path: Path) -> None:
    files, index = DirectoryFiles(tmp_path / "data"), SQLiteIndex(tmp_path / "index.db")
    wheel = make_wheel(files.root, "demo", "1.0")
    script = (
        "import sys; from pathlib import Path; from elasticpypi.indexing import sync; "
        "from elasticpypi.storage.local import directory, sqlite;"
        "data = Path(sys.argv[1]); index = sqlite.SQLiteIndex(data.parent / 'index.db');"
        "print(sync.sync(directory.DirectoryFiles(data), index, sys.argv[2]).action)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data"), wheel.name]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "written\n"
    assert index.projects()[1] == [DEMO]


def test_a_locked_index_is_no_damaged_one(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "index.db")
    with index._connection() as connection:  # the next one to be used again
        connection.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(tmp_path / "index.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match=r"The index 'index\.db' cannot be used now: database is locked\."):
            index.remove(DEMO, "demo-1.0.tar.gz")
    assert index.remove(DEMO, "demo-1.0.tar.gz") is False


@pytest.mark.parametrize("kind", [sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.DataError])
def test_only_damage_is_damage(tmp_path: Path, kind: type[sqlite3.DatabaseError]) -> None:
    """Whatever else SQLite says, the index stays."""
    index = SQLiteIndex(tmp_path / "index.db")
    index.mark_whole()
    with pytest.raises(Unavailable, match="cannot be used now"), index.reading():
        raise kind("no damage")
    assert index.is_whole()


def test_threads_pass_a_connection_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The 64 of a worker had one each, and the first page of each was slow."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def counted(*where: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*where, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", counted)
    index = SQLiteIndex(tmp_path / "index.db")
    opened.clear()

    def turn(others: int) -> None:
        assert index.projects()[1] == []
        if others:
            thread = threading.Thread(target=turn, args=(others - 1,))
            thread.start()
            thread.join()

    turn(10)
    assert len(opened) == 1
    index.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_two_at_once_have_two(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "index.db")
    with index.reading() as one, index.reading() as other:
        assert one is not other


def test_a_transaction_that_could_not_be_rolled_back_harms_nobody_else(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "index.db")
    with index._connection() as connection:
        connection.execute("BEGIN IMMEDIATE")
    assert index.remove(DEMO, "demo-1.0.tar.gz") is False
