"""What only the folder has: the disk, and the watcher."""

import hashlib
import io
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi import audit, catalog, sync
from elasticpypi.errors import NotFound, Unavailable
from elasticpypi.local.catalog import SQLiteCatalog
from elasticpypi.local.directory import DirectoryFiles, watch
from elasticpypi.local.sqlite import SQLiteIndex
from elasticpypi.stores import Stat
from tests.builders import make_wheel

DEMO = NormalizedName("demo")


def until(condition: Callable[[], bool], seconds: float = 10) -> float:
    """Wait for a condition; returns how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "it never happened"
        time.sleep(0.02)
    return time.monotonic() - start


@pytest.fixture
def files(tmp_path: Path) -> DirectoryFiles:
    return DirectoryFiles(tmp_path / "data")


@pytest.fixture
def index(tmp_path: Path) -> SQLiteIndex:
    return SQLiteIndex(tmp_path / "index.db")


def test_nothing_is_left_of_a_refused_upload(files: DirectoryFiles, tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("the client hung up")

    with pytest.raises(OSError, match="hung up"):
        files.save("a.txt", Breaking(), "00" * 32)
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_the_answer_to_a_save_is_of_its_own_bytes(files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another upload replaces the file before the first has looked at it."""
    real = Path.replace

    def replaced_at_once(self: Path, target: Path) -> Path:
        result = real(self, target)
        target.write_bytes(b"somebody else")
        return result

    monkeypatch.setattr(Path, "replace", replaced_at_once)
    stat = files.save("a.txt", io.BytesIO(b"ours"), "00" * 32, overwrite=True)
    now = files.stat("a.txt")
    assert now is not None
    assert (stat.size, now.size) == (4, 13)
    assert stat.revision != now.revision


def test_what_killed_uploads_left_is_removed_after_a_day(files: DirectoryFiles) -> None:
    old, new = (files.incoming / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 90_000))
    files.remove_leftovers()
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("key", ["../a", "a/../../b", "/etc/passwd", "a//b", ".", "", "a\\b", "a\0b"])
def test_no_key_leads_out_of_the_folder(files: DirectoryFiles, key: str) -> None:
    with pytest.raises(NotFound):
        files.open(Stat(key, 1, "r", datetime.now(UTC)))
    with pytest.raises(NotFound):
        files.delete(key)
    assert files.stat(key) is None


def test_a_folder_is_no_file(files: DirectoryFiles) -> None:
    (files.root / "demo-1.0.tar.gz").mkdir()
    assert files.stat("demo-1.0.tar.gz") is None
    with pytest.raises(NotFound):
        files.open(Stat("demo-1.0.tar.gz", 1, "r", datetime.now(UTC)))
    assert list(files.list()) == []


def test_odd_entries_do_not_hide_the_others(files: DirectoryFiles) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    (files.root / "team").mkdir()
    inner = make_wheel(files.root / "team", "demo", "2.0")
    (files.root / "loop").symlink_to(files.root)
    (files.root / "team" / "loop").symlink_to(files.root / "team")
    (files.root / "self").symlink_to(files.root / "self")
    (files.root / "gone").symlink_to(files.root / "nowhere")
    os.mkfifo(files.root / "pipe")
    os.utime(wheel, (2**38, 2**38))
    assert sorted(stat.key for stat in files.list()) == [wheel.name, f"team/{inner.name}"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(Unavailable, match=r"The folder '.*packages' cannot be used: not a directory\."):
        DirectoryFiles(tmp_path / "data")


def test_a_folder_that_is_away_is_said(files: DirectoryFiles) -> None:
    shutil.rmtree(files.root)
    with pytest.raises(Unavailable, match=r"The folder of packages cannot be read: no such file or directory\."):
        files.check()


# ---- the watcher


@pytest.fixture
def watched(files: DirectoryFiles, index: SQLiteIndex) -> Iterator[Callable[[], list[str]]]:
    """Runs the watcher; gives the keys that the index has."""
    stop = threading.Event()
    refresh = partial(catalog.refresh, index, SQLiteCatalog(index))
    thread = threading.Thread(target=watch, args=(files, index, stop, refresh))
    thread.start()

    def keys() -> list[str]:
        return sorted(record.key for record in index.records())

    # The watcher is at work as soon as it sees a first file.
    first = make_wheel(files.root, "first", "1.0")
    until(lambda: (first.touch(), keys() == [first.name])[1])  # type: ignore[func-returns-value]
    first.unlink()
    until(lambda: keys() == [])
    yield keys
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_file_appears_and_disappears(files: DirectoryFiles, watched: Callable[[], list[str]], tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    shutil.copy(wheel, files.root)
    assert until(lambda: watched() == [wheel.name]) < 2
    (files.root / wheel.name).rename(files.root / "demo-2.0-py3-none-any.whl")
    assert until(lambda: watched() == ["demo-2.0-py3-none-any.whl"]) < 2
    (files.root / "demo-2.0-py3-none-any.whl").unlink()
    assert until(lambda: watched() == []) < 2


def test_people_find_what_appears(
    files: DirectoryFiles, index: SQLiteIndex, watched: Callable[[], list[str]], tmp_path: Path
) -> None:
    entries = SQLiteCatalog(index)
    wheel = make_wheel(files.root, "demo", "1.0")
    until(lambda: entries.search("demo", 0, 1).total == 1)
    wheel.unlink()
    until(lambda: entries.search("demo", 0, 1).total == 0)


def test_a_folder_of_files_appears_and_disappears(
    files: DirectoryFiles, watched: Callable[[], list[str]], tmp_path: Path
) -> None:
    team = tmp_path / "team"
    team.mkdir()
    names = [make_wheel(team, "demo", f"{number}.0").name for number in range(5)]
    team.rename(files.root / "team")
    until(lambda: watched() == [f"team/{name}" for name in names])
    (files.root / "team").rename(tmp_path / "away")
    until(lambda: watched() == [])


def test_a_slow_copy_is_listed_when_it_is_whole(
    files: DirectoryFiles, index: SQLiteIndex, watched: Callable[[], list[str]], tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0", files={"noise": hashlib.shake_128(b"x").digest(100_000)})
    data = wheel.read_bytes()
    marker = make_wheel(tmp_path, "marker", "1.0")
    with (files.root / wheel.name).open("wb") as copy:
        copy.write(data[:50_000])
        copy.flush()
        shutil.copy(marker, files.root)
        until(lambda: marker.name in watched())  # the watcher has been here, and did not take the half
        assert watched() == [marker.name]
        copy.write(data[50_000:])
    until(lambda: watched() == sorted([wheel.name, marker.name]))
    file = index.file(DEMO, wheel.name)
    assert file is not None
    assert file.sha256 == hashlib.sha256(data).hexdigest()


def test_the_watch_survives_what_happens_to_the_folder(
    files: DirectoryFiles, watched: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elasticpypi.local.directory.RETRY", 0.05)
    (files.root / "d\udce9mo.txt").write_bytes(b"no text")  # the kernel's notice of it is an error for watchfiles
    one = make_wheel(files.root, "demo", "1.0")
    until(lambda: watched() == [one.name])
    files.root.rename(tmp_path / "away")
    files.root.mkdir()
    two = make_wheel(files.root, "demo", "2.0")
    until(lambda: watched() == [two.name])
    three = make_wheel(files.root, "demo", "3.0")
    until(lambda: watched() == [two.name, three.name])


def test_a_decision_beside_a_file(files: DirectoryFiles, index: SQLiteIndex, watched: Callable[[], list[str]]) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    (files.root / f"{wheel.name}.yanked").write_text("bad build")

    def yanked() -> list[str | None]:
        project = index.project(DEMO)
        return [file.yanked for file in project.files] if project else []

    until(lambda: yanked() == ["bad build"])
    (files.root / f"{wheel.name}.yanked").unlink()
    until(lambda: yanked() == [None])


def test_a_start_brings_the_index_up_to_date(files: DirectoryFiles, index: SQLiteIndex) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    outcomes = sync.sync_all(files, index, audit.changed_keys(files, index))
    assert [(outcome.key, outcome.action) for outcome in outcomes] == [(wheel.name, "written")]
    assert list(audit.changed_keys(files, index)) == []


def test_names_that_are_no_text_do_not_stop_a_start(files: DirectoryFiles, index: SQLiteIndex) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    (files.root / "demo-1.0\udcff.tar.gz").write_bytes(b"x")
    outcomes = sync.sync_all(files, index, audit.changed_keys(files, index))
    assert [(outcome.key, outcome.action) for outcome in outcomes] == [(wheel.name, "written")]
    ignored = {outcome.key for outcome in sync.sync_all(files, index, audit.every_key(files, index)) if outcome.reason}
    assert ignored == {"demo-1.0\udcff.tar.gz"}
