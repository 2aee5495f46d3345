"""Who fetched which file: small, to the day, and gone after a while."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.storage.contracts import Fetched
from elasticpypi.storage.local import downloads
from elasticpypi.storage.local.downloads import SQLiteDownloads
from elasticpypi.storage.local.state import SQLiteState

TODAY = date(2026, 11, 30)
DEMO = NormalizedName("demo")
WHEEL = Fetched(DEMO, "1", "demo-1.0-py3-none-any.whl", "main", "anna", "192.0.2.1")


@pytest.fixture
def kept(tmp_path: Path) -> SQLiteDownloads:
    return SQLiteDownloads(tmp_path)


def rows(folder: Path, table: str) -> int:
    database = sqlite3.connect(folder / "state.db")
    try:
        return int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    finally:
        database.close()


def test_the_first_and_the_last_day(kept: SQLiteDownloads, tmp_path: Path) -> None:
    assert kept.of(DEMO, "1") == []
    for days in (3, 0, 7, 0):
        kept.add(TODAY - timedelta(days), [WHEEL, WHEEL])
    assert kept.of(DEMO, "1") == [(WHEEL, date(2026, 11, 23), TODAY)]
    assert (rows(tmp_path, "fetched"), rows(tmp_path, "fetched_files"), rows(tmp_path, "fetched_by")) == (3, 1, 1)


def test_by_file_user_and_address(kept: SQLiteDownloads) -> None:
    others = [
        WHEEL._replace(user="ben"),
        WHEEL._replace(address="2001:db8::1"),
        WHEEL._replace(filename="demo-1.0.tar.gz"),
        WHEEL._replace(upstream=""),
    ]
    elsewhere = [WHEEL._replace(version="2"), WHEEL._replace(project=NormalizedName("other"))]
    kept.add(TODAY, [WHEEL, *others, *elsewhere])
    found = [each for each, _, _ in kept.of(DEMO, "1")]
    assert found == sorted([WHEEL, *others], key=lambda each: (each.filename, each.upstream, each.user, each.address))


def test_ninety_days(kept: SQLiteDownloads, tmp_path: Path) -> None:
    kept.add(TODAY - timedelta(90), [WHEEL._replace(user="ben")])
    kept.add(TODAY - timedelta(89), [WHEEL])
    SQLiteDownloads(tmp_path).add(TODAY, [])
    assert kept.of(DEMO, "1") == [(WHEEL, TODAY - timedelta(89), TODAY - timedelta(89))]
    assert rows(tmp_path, "fetched_by") == 1
    kept.add(TODAY + timedelta(1), [])
    assert [rows(tmp_path, table) for table in ("fetched", "fetched_files", "fetched_by")] == [0, 0, 0]


def test_too_many_are_fewer_days(kept: SQLiteDownloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MOST", 3)
    for days in (3, 2, 1):
        kept.add(TODAY - timedelta(days), [WHEEL, WHEEL._replace(user="ben")])
    SQLiteDownloads(tmp_path).add(TODAY, [])
    assert {first for _, first, _ in kept.of(DEMO, "1")} == {TODAY - timedelta(1)}


def test_many_processes_and_what_else_is_there(kept: SQLiteDownloads, tmp_path: Path) -> None:
    SQLiteState(tmp_path).put("session", "a", b"one", 60)
    users = [f"user{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda user: SQLiteDownloads(tmp_path).add(TODAY, [WHEEL._replace(user=user)]), users))
    assert [each.user for each, _, _ in kept.of(DEMO, "1")] == users
    assert SQLiteState(tmp_path).get("session", "a") == b"one"
    (tmp_path / "state.db").unlink()
    assert kept.of(DEMO, "1") == []
