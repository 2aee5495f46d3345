"""What is copied into the folder, removed or changed in it: the index follows."""

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.config import Config
from elasticpypi.indexing import audit, sync
from elasticpypi.indexing.folder_follower import Follower
from elasticpypi.storage.local.catalog import SQLiteCatalog
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.wiring import on_folder, with_subscribers
from tests.support.builders import make_wheel
from tests.support.waiting import until

pytestmark = pytest.mark.slow

DEMO = NormalizedName("demo")


def seconds_until(condition: Callable[[], bool]) -> float:
    """Wait for a condition; returns how long it took."""
    start = time.monotonic()
    until(condition)
    return time.monotonic() - start


@pytest.fixture
def files(tmp_path: Path) -> DirectoryFiles:
    return DirectoryFiles(tmp_path / "data")


@pytest.fixture
def index(tmp_path: Path) -> SQLiteIndex:
    return SQLiteIndex(tmp_path / "index.db")


@pytest.fixture
def watched(files: DirectoryFiles, index: SQLiteIndex) -> Iterator[Callable[[], list[str]]]:
    """Runs the watcher; gives the keys that the index has."""
    stop = threading.Event()
    services = with_subscribers(on_folder(Config(), files, index))
    follower = Follower(files, index, services.catalog, services.events.tell, files.root.parent)
    thread = threading.Thread(target=follower.follow, args=(stop,))
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
    assert seconds_until(lambda: watched() == [wheel.name]) < 2
    (files.root / wheel.name).rename(files.root / "demo-2.0-py3-none-any.whl")
    assert seconds_until(lambda: watched() == ["demo-2.0-py3-none-any.whl"]) < 2
    (files.root / "demo-2.0-py3-none-any.whl").unlink()
    assert seconds_until(lambda: watched() == []) < 2


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
    monkeypatch.setattr("elasticpypi.indexing.folder_follower.RETRY", 0.05)
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
