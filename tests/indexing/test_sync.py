"""The index follows the store, whatever the events say."""

import hashlib
import io
import logging
import threading
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core import distribution, filename
from elasticpypi.core.errors import Changed, Unavailable
from elasticpypi.core.model import Project
from elasticpypi.indexing import sync
from elasticpypi.services import Services
from elasticpypi.storage.contracts import Stat
from tests.support.builders import ACTOR, make_sdist, make_wheel, metadata
from tests.support.store import Meanwhile, put

DEMO = NormalizedName("demo")


def run(services: Services, *keys: str, force: bool = False) -> list[str]:
    return [outcome.action for outcome in sync.sync_all(services.files, services.index, keys, force=force)]


def project(services: Services, name: NormalizedName = DEMO) -> Project:
    found = services.index.project(name)
    assert found is not None
    return found


@pytest.mark.req("REQ-35")
def test_a_file_that_was_put_is_in_the_index(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0", requires_python=">=3.8")
    stat = put(services.files, path.name, path.read_bytes())
    assert run(services, path.name) == ["written"]
    [file] = project(services).files
    assert (file.key, file.version, file.size, file.requires_python) == (path.name, "1.0", stat.size, ">=3.8")
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file.upload_time.startswith(stat.modified.strftime("%Y-%m-%dT%H:%M:%S"))
    core = metadata("demo", "1.0", requires_python=">=3.8")
    assert file.metadata_sha256 == hashlib.sha256(core).hexdigest()
    assert services.index.metadata(DEMO, path.name) == (file, core)


def test_a_removed_file_leaves_the_index(services: Services, tmp_path: Path) -> None:
    path = make_sdist(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())
    run(services, path.name)
    services.files.delete(path.name)
    assert run(services, path.name) == ["removed"]
    assert services.index.projects()[1] == []


def test_repeated_and_reordered_events_end_alike(services: Services, tmp_path: Path) -> None:
    one, two = make_wheel(tmp_path, "demo", "1.0"), make_wheel(tmp_path, "demo", "2.0")
    for path in (one, two):
        put(services.files, path.name, path.read_bytes())
    services.files.delete(one.name)
    # The events of "put one, put two, delete one", late, doubled and in the wrong order.
    assert run(services, one.name, two.name, two.name, one.name) == ["unchanged", "written", "unchanged", "unchanged"]
    assert [file.key for file in project(services).files] == [two.name]
    serial = services.index.serial(DEMO)
    run(services, two.name, one.name)
    assert services.index.serial(DEMO) == serial


def test_new_bytes_under_a_key_replace_the_record(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())
    run(services, path.name)
    other = make_wheel(tmp_path, "demo", "1.0", requires_python=">=3.12")
    put(services.files, path.name, other.read_bytes())
    assert run(services, path.name) == ["written"]
    [file] = project(services).files
    assert file.requires_python == ">=3.12"


@pytest.mark.req("REQ-38")
def test_the_upload_time_of_the_same_bytes_never_changes(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())
    run(services, path.name)
    [before] = project(services).files
    put(services.files, path.name, path.read_bytes())
    run(services, path.name, force=True)
    [after] = project(services).files
    assert after.upload_time == before.upload_time


def test_a_quarantined_project_keeps_its_upload_times(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())
    put(services.files, "demo.status", b"quarantined")
    run(services, path.name, "demo.status")
    [before] = project(services).files
    put(services.files, path.name, path.read_bytes())
    run(services, path.name, force=True)
    [after] = project(services).files
    assert after.upload_time == before.upload_time
    assert run(services, path.name) == ["unchanged"]


def test_decisions_are_read_from_the_store(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())
    put(services.files, f"{path.name}.yanked", "bad \u00e4 build\n".encode())
    put(services.files, "demo-0.9.tar.gz.deleted", b"ab" * 32)
    put(services.files, "demo.status", b"archived\nsee demo2")
    # A decision may arrive before what it is about.
    keys = (f"{path.name}.yanked", "demo.status", path.name, "demo-0.9.tar.gz.deleted")
    assert run(services, *keys) == ["written"] * 4
    found = project(services)
    assert [file.yanked for file in found.files] == ["bad \u00e4 build"]
    assert (found.status, found.status_reason, found.deleted) == (
        "archived",
        "see demo2",
        {"demo-0.9.tar.gz": "ab" * 32},
    )
    services.files.delete(f"{path.name}.yanked")
    assert run(services, f"{path.name}.yanked") == ["removed"]
    assert [file.yanked for file in project(services).files] == [None]


def test_a_file_below_a_prefix(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, f"team/{path.name}", path.read_bytes())
    run(services, f"team/{path.name}")
    [file] = project(services).files
    assert (file.key, file.filename) == (f"team/{path.name}", path.name)


@pytest.mark.req("REQ-54")
@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("folder/", "It is a folder."),
        ("demo-1.0\udcff.tar.gz", "It has characters that are not text."),
        ("demo-1.0\n.tar.gz", "It has characters that are not text."),
        ("README.md", "Its name is none of a wheel or an sdist."),
        ("demo-1.0.egg", "Its name is none of a wheel or an sdist."),
        (".hidden/demo-1.0.tar.gz", "It is hidden."),
        ("x" * 700 + "/demo-1.0.tar.gz", "The key is longer than 700 bytes."),
        ("README.md.yanked", "It marks as yanked what is no package."),
        ("README.md.deleted", "It marks as deleted what is no package."),
        ("team/demo.status", "It has the form of a project status, but names no project."),
        ("Demo.status", "It has the form of a project status, but names no project."),
    ],
)
def test_what_is_no_package_is_ignored(services: Services, key: str, reason: str) -> None:
    outcome = sync.sync(services.files, services.index, key)
    assert (outcome.action, outcome.reason) == ("ignored", reason)
    assert list(services.index.records()) == []


def test_half_a_copy_is_not_listed_until_it_is_whole(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0", description="text " * 1000)
    put(services.files, path.name, path.read_bytes()[:500])
    outcome = sync.sync(services.files, services.index, path.name)
    assert outcome.action == "ignored"
    assert "damaged" in outcome.reason or "truncated" in outcome.reason
    assert services.index.projects()[1] == []
    put(services.files, path.name, path.read_bytes())
    assert run(services, path.name) == ["written"]
    put(services.files, path.name, path.read_bytes()[:500])
    run(services, path.name)
    assert services.index.projects()[1] == []


def test_one_bad_key_does_not_stop_the_others(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())
    stat = services.files.stat

    def failing(key: str) -> Stat | None:
        if key == "bad-1.0.tar.gz":
            raise OSError("disk")
        return stat(key)

    monkeypatch.setattr(services.files, "stat", failing)
    with caplog.at_level(logging.CRITICAL):
        outcomes = list(sync.sync_all(services.files, services.index, ["bad-1.0.tar.gz", path.name]))
    assert [(outcome.action, outcome.reason) for outcome in outcomes] == [("failed", "OSError: disk"), ("written", "")]


def test_a_change_while_we_look_is_not_missed(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())

    def gone() -> None:  # deleted, and the event of it handled, before we write
        services.files.delete(path.name)
        run(services, path.name)

    late = Meanwhile(services.files, "open", gone)
    assert sync.sync(late, services.index, path.name).action in ("unchanged", "removed")  # type: ignore[arg-type]
    assert services.index.projects()[1] == []

    data = path.read_bytes()
    back = Meanwhile(services.files, "stat", lambda: put(services.files, path.name, data))
    sync.sync(back, services.index, path.name)  # type: ignore[arg-type]
    services.files.delete(path.name)
    run(services, path.name)
    assert services.index.projects()[1] == []


def test_what_comes_back_is_not_removed_for_a_moment(services: Services, tmp_path: Path) -> None:
    """An old event looks, and finds nothing; before it writes, the file is there again, and in the index."""
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())
    run(services, path.name)
    services.files.delete(path.name)

    def back() -> None:
        put(services.files, path.name, path.read_bytes())
        run(services, path.name, force=True)
        serials.append(services.index.serial(DEMO))

    serials: list[int | None] = []
    late = Meanwhile(services.files, "stat", back)
    assert sync.sync(late, services.index, path.name).action == "unchanged"  # type: ignore[arg-type]
    assert services.index.serial(DEMO) == serials[0]


def test_who_ends_half_way_leaves_nothing_old(services: Services, tmp_path: Path) -> None:
    """An upload that was overwritten before its record is written, by a process that ends then."""
    one, two = (make_wheel(tmp_path, "demo", "1.0", summary=summary).read_bytes() for summary in ("one", "two"))
    key = "demo-1.0-py3-none-any.whl"
    stat = put(services.files, key, one)
    name = filename.parse(key)
    dist = distribution.inspect(name, io.BytesIO(one))
    put(services.files, key, two)
    run(services, key)

    def end() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync.saved(Meanwhile(services.files, "stat", end), services.index, stat, dist, lambda _: None, ACTOR.who)  # type: ignore[arg-type]
    [file] = project(services).files
    assert file.sha256 == hashlib.sha256(two).hexdigest()
    sync.saved(services.files, services.index, stat, dist, lambda _: None, ACTOR.who)
    assert project(services).files == (file,)
    services.files.delete(key)
    with pytest.raises(Changed, match="was removed at the same moment: upload it again"):
        sync.saved(services.files, services.index, stat, dist, lambda _: None, ACTOR.who)
    assert project(services).files == ()


def test_a_decision_is_read_once(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(services.files, "demo.status", b"archived")
    assert run(services, "demo.status") == ["written"]
    monkeypatch.setattr(services.files, "open", None)
    assert run(services, "demo.status") == ["unchanged"]


@pytest.mark.parametrize("threads", [1, 3])
def test_what_lasts_does_not_block_the_others(services: Services, tmp_path: Path, threads: int) -> None:
    names = [make_wheel(tmp_path, "demo", f"{number}.0").name for number in range(20)]
    for name in names:
        put(services.files, name, (tmp_path / name).read_bytes())
    done = threading.Event()

    def wait() -> None:
        if threads > 1:
            assert done.wait(30)

    slow = Meanwhile(services.files, "open", wait)
    outcomes = []
    for outcome in sync.sync_all(slow, services.index, names, threads=threads):  # type: ignore[arg-type]
        outcomes.append(outcome)
        if len(outcomes) == len(names) - 1:
            done.set()
    assert {outcome.action for outcome in outcomes} == {"written"}
    assert {outcome.key for outcome in outcomes} == {file.key for file in project(services).files} == set(names)


def test_a_key_that_never_rests_is_given_up(services: Services, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put(services.files, path.name, path.read_bytes())
    numbers = iter(range(1000))

    def change() -> None:
        put(services.files, path.name, make_wheel(tmp_path, "demo", "1.0", summary=str(next(numbers))).read_bytes())

    restless = Meanwhile(services.files, "stat", *[change] * 100)
    with pytest.raises(Unavailable, match="keeps changing"):
        sync.sync(restless, services.index, path.name)  # type: ignore[arg-type]


def test_huge_metadata_is_left_to_the_file(services: Services, tmp_path: Path) -> None:
    noise = hashlib.shake_128(b"x").hexdigest(500_000)
    path = make_wheel(tmp_path, "demo", "1.0", requires_python=">=3.8", description=noise)
    put(services.files, path.name, path.read_bytes())
    assert run(services, path.name) == ["written"]
    [file] = project(services).files
    assert (file.metadata_sha256, file.requires_python) == (None, ">=3.8")


@pytest.mark.req("REQ-44")
@pytest.mark.parametrize(
    ("core", "announced"),
    [
        (b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n", False),
        (b"Metadata-Version: 2.2\nName: demo\nVersion: 1.0\n", True),
        (b"Metadata-Version: 2.4\nName: demo\nVersion: 1.0\nDynamic: License-File\n", True),
        (b"Metadata-Version: 2.2\nName: demo\nVersion: 1.0\nDynamic: Requires-Dist\n", False),
        (b"Metadata-Version: 2.2\nName: demo\nVersion: 1.0\nDynamic: provides-extra\n", False),
    ],
)
def test_metadata_of_an_sdist_is_announced_only_if_it_is_final(
    services: Services, tmp_path: Path, core: bytes, announced: bool
) -> None:
    path = make_sdist(tmp_path, "demo", "1.0", core=core)
    put(services.files, path.name, path.read_bytes())
    run(services, path.name)
    [file] = project(services).files
    assert (file.metadata_sha256 is not None) is announced
