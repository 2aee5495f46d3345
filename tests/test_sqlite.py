"""What only SQLite has: files that are damaged or of another version, many processes."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.errors import Unavailable
from elasticpypi.local.directory import DirectoryFiles
from elasticpypi.local.sqlite import SQLiteIndex
from tests.builders import make_wheel

DEMO = NormalizedName("demo")


def test_a_damaged_index_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(
        Unavailable, match=r"is damaged .* remove the file and start again, it is rebuilt from the packages\."
    ):
        SQLiteIndex(path)


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
        "import sys; from pathlib import Path; from elasticpypi import sync; "
        "from elasticpypi.local import directory, sqlite;"
        "data = Path(sys.argv[1]); index = sqlite.SQLiteIndex(data.parent / 'index.db');"
        "print(sync.sync(directory.DirectoryFiles(data), index, sys.argv[2]).action)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data"), wheel.name]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "written\n"
    assert index.projects()[1] == [DEMO]


def test_a_locked_index_is_no_damaged_one(tmp_path: Path) -> None:
    index = SQLiteIndex(tmp_path / "index.db")
    index._connection().execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(tmp_path / "index.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match=r"The index 'index\.db' cannot be used now: database is locked\."):
            index.remove(DEMO, "demo-1.0.tar.gz")
    assert index.remove(DEMO, "demo-1.0.tar.gz") is False
