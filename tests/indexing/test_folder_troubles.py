"""Whatever happens to the folder or to the index: the follower makes them equal again, and says so if they are not."""

import hashlib
import io
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi import wiring
from elasticpypi.actions.audit import audit as audit_services
from elasticpypi.config import Config
from elasticpypi.core.errors import AlreadyExists, Unavailable
from elasticpypi.indexing import audit, folder_follower, heartbeat
from elasticpypi.indexing.folder_follower import Follower
from elasticpypi.indexing.heartbeat import FILE as STATE
from elasticpypi.services import Services
from elasticpypi.storage.local.database import Damaged
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.wiring import with_subscribers
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import make_sdist, make_wheel, zip_bytes
from tests.support.waiting import until

DEMO = NormalizedName("demo")


def behind(services: Services) -> str:
    return heartbeat.behind(services.config.data / STATE)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return wiring.services(Config(users={USER: PASSWORD}, data=tmp_path / "data"))


@pytest.fixture
def files(services: Services) -> DirectoryFiles:
    assert isinstance(services.files, DirectoryFiles)
    return services.files


@pytest.fixture
def index(services: Services) -> SQLiteIndex:
    assert isinstance(services.index, SQLiteIndex)
    return services.index


@pytest.fixture
def follower(services: Services, files: DirectoryFiles, index: SQLiteIndex) -> Follower:
    return Follower(files, index, services.catalog, with_subscribers(services).events.tell, services.config.data)


@pytest.fixture
def keys(index: SQLiteIndex) -> Callable[[], list[str]]:
    return lambda: sorted(record.key for record in index.records())


@pytest.fixture
def followed(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A follower at work, which looks at everything every second."""
    monkeypatch.setattr(folder_follower, "LOOK", 1.0)
    monkeypatch.setattr(folder_follower, "RETRY", 0.2)
    stop = threading.Event()
    thread = threading.Thread(target=follower.follow, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


# ---- the folder


def test_bytes_of_the_same_size_and_time(
    follower: Follower, files: DirectoryFiles, index: SQLiteIndex, tmp_path: Path
) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    before = wheel.stat()
    follower.look()
    data = bytearray(wheel.read_bytes())
    data[20] ^= 1  # in the time of a member
    with wheel.open("r+b") as file:
        file.write(data)
    os.utime(wheel, ns=(before.st_atime_ns, before.st_mtime_ns))
    follower.look()
    found = index.file(DEMO, wheel.name)
    assert found is not None
    assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_a_file_whose_mode_changed_is_served_all_the_time(services: Services, follower: Follower) -> None:
    wheel = make_wheel(services.config.data / "packages", "demo", "1.0")
    follower.look()
    wheel.chmod(0o600)
    assert Client(services).get(f"/packages/{wheel.name}").data == wheel.read_bytes()


def test_the_folder_of_uploads_is_cleaned_away(services: Services, files: DirectoryFiles, tmp_path: Path) -> None:
    client = Client(services)
    for number in range(2):
        assert client.upload(make_wheel(tmp_path, "demo", f"{number}.0")).status_code == 200
        shutil.rmtree(files.incoming)


def test_a_folder_that_is_gone_is_no_empty_folder(
    services: Services, follower: Follower, files: DirectoryFiles, keys: Callable[[], list[str]], tmp_path: Path
) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    follower.look()
    files.root.rename(tmp_path / "unmounted")
    client = Client(services)
    refused = client.upload(make_wheel(tmp_path, "demo", "2.0"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert "Mount it again" in refused.text
    assert not files.root.exists()
    with pytest.raises(Unavailable, match="Mount it again"):
        follower.look()
    assert keys() == [wheel.name]
    with pytest.raises(Unavailable, match="Mount it again"):
        wiring.services(services.config).files.check()
    assert not files.root.exists()
    (tmp_path / "unmounted").rename(files.root)
    follower.look()
    assert keys() == [wheel.name]
    assert client.upload(make_wheel(tmp_path, "demo", "2.0")).status_code == 200


def test_what_cannot_be_looked_at_is_not_gone(
    follower: Follower,
    files: DirectoryFiles,
    keys: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    services: Services,
) -> None:
    (files.root / "team").mkdir()
    wheel = make_wheel(files.root / "team", "demo", "1.0")
    follower.look()
    real = Path.stat

    def broken(self: Path, *arguments: Any, **options: Any) -> os.stat_result:
        if "team" in self.parts:
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", broken)
        follower.look()
        assert keys() == [f"team/{wheel.name}"]
        assert "1 files could not be brought in yet, 'team/" in follower._reason()
    follower.look()
    assert follower._reason() == ""


@pytest.mark.parametrize("error", [1, 95, 38, 31, 18])  # EPERM, EOPNOTSUPP, ENOSYS, EMLINK, EXDEV
def test_without_links(files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("elasticpypi.storage.local.directory._rename", lambda *_: False)
    monkeypatch.setattr(os, "link", refuse)
    won: list[bytes] = []
    start = threading.Barrier(64)

    def save(number: int) -> None:
        start.wait()
        data = b"%d" % number
        with suppress(AlreadyExists):
            files.save("a.txt", io.BytesIO(data), hashlib.sha256(data).hexdigest())
            won.append(data)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [won[0]] == won == [(files.root / "a.txt").read_bytes()]
    assert list(files.incoming.iterdir()) == []


def test_a_name_that_was_taken_and_left_can_be_used(files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.storage.local.directory._rename", lambda *_: False)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    left = files.root / "a.txt"
    left.touch()
    os.utime(left, (0, 0))
    files.save("a.txt", io.BytesIO(b"a"), "")
    assert left.read_bytes() == b"a"


def test_folders_that_cannot_be_synced(files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def sync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(22, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    files.save("a.txt", io.BytesIO(b"a"), "")
    assert (files.root / "a.txt").read_bytes() == b"a"


def test_times_before_there_were_any(services: Services, follower: Follower, files: DirectoryFiles) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    os.utime(wheel, (-40_000_000_000, -40_000_000_000))  # in the year 702
    follower.look()
    client = Client(services)
    assert client.get(f"/packages/{wheel.name}").status_code == 200
    page: Any = client.json("/simple/demo/")
    assert page["files"][0]["upload-time"] == "1970-01-01T00:00:00.000000Z"


def test_a_folder_in_the_place_of_a_decision(services: Services, files: DirectoryFiles, tmp_path: Path) -> None:
    client = Client(services)
    wheel = make_wheel(tmp_path, "demo", "1.0")
    assert client.upload(wheel).status_code == 200
    (files.root / f"{wheel.name}.yanked").mkdir()
    refused = client.request("PUT", f"/packages/{wheel.name}.yanked", data=b"bad")
    assert (refused.status_code, refused.text) == (
        409,
        f"'{wheel.name}.yanked' already exists as a folder: remove it by hand.\n",
    )


def test_a_folder_that_may_only_be_read(
    services: Services, follower: Follower, files: DirectoryFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, real = make_wheel(files.root, "demo", "1.0"), Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        if files.root in self.parents:
            raise OSError(30, "Read-only file system")
        real(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    follower.look()
    client = Client(services)
    assert client.get(f"/packages/{wheel.name}").status_code == 200
    refused = client.upload(make_wheel(tmp_path, "demo", "2.0"))
    assert (refused.status_code, refused.text) == (
        503,
        "The index cannot store anything now: read-only file system.\n",
    )


def test_names_that_are_no_text_can_be_told(files: DirectoryFiles, services: Services) -> None:
    (files.root / "demo-1.0\udcff.tar.gz").write_bytes(b"x")
    [outcome] = audit_services(services, audit.Report(repair=False))
    assert audit.line(outcome).encode() == b"left out: demo-1.0\\udcff.tar.gz: It has characters that are not text."


# ---- links


def test_links_that_lead_out(services: Services, follower: Follower, files: DirectoryFiles, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    wheel, sdist = make_wheel(outside, "demo", "1.0"), make_sdist(outside, "demo", "1.0")
    secret = outside / "secret"
    secret.write_text("root:x:0:0")
    for name, target in {
        wheel.name: wheel,
        sdist.name: sdist,
        "demo-0.1.tar.bz2": secret,
        "demo-0.2.tar.Z": secret,
        "demo-0.3.tar.gz": services.config.data / "index.db",
        "demo-0.4-py3-none-any.whl": secret,
        f"{wheel.name}.yanked": secret,
        "demo.status": secret,
        "demo-0.5.tar": services.config.data / STATE,
    }.items():
        (files.root / name).symlink_to(target)
    follower.look()
    listed: Any = Client(services).json("/simple/demo/")
    assert sorted(file["filename"] for file in listed["files"]) == sorted([wheel.name, sdist.name])
    assert not any(file["yanked"] for file in listed["files"])
    report = audit.Report(repair=False)
    said = {outcome.key: outcome.reason for outcome in audit_services(services, report)}
    assert len(said) == 7
    reasons = "link that leads out", "damaged", "is no sdist"
    assert all(any(known in reason for known in reasons) for reason in said.values())


@pytest.mark.slow
@pytest.mark.usefixtures("followed")
def test_links_that_are_made_while_it_runs(
    files: DirectoryFiles, keys: Callable[[], list[str]], index: SQLiteIndex, tmp_path: Path
) -> None:
    team = tmp_path / "team"
    team.mkdir()
    (files.root / "team").symlink_to(team)
    one = make_wheel(team, "demo", "1.0")
    until(lambda: keys() == [f"team/{one.name}"])
    two = make_wheel(team, "demo", "2.0")
    until(lambda: keys() == [f"team/{one.name}", f"team/{two.name}"])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    three = make_wheel(elsewhere, "demo", "3.0")
    (files.root / three.name).symlink_to(three)
    until(lambda: three.name in keys())
    make_wheel(elsewhere, "demo", "3.0", files={"more.py": b"1"})
    digest = hashlib.sha256(three.read_bytes()).hexdigest()

    def is_new() -> bool:
        file = index.file(DEMO, three.name)
        return file is not None and file.sha256 == digest

    until(is_new)


# ---- what is no package


def test_halves_and_archives_of_other_things_are_left_out(
    follower: Follower, files: DirectoryFiles, keys: Callable[[], list[str]], tmp_path: Path
) -> None:
    tree = tmp_path / "demo-1.0"
    tree.mkdir()
    (tree / "setup.py").write_text("# setup\n" * 1000)
    (tree / "noise").write_bytes(hashlib.shake_128(b"x").digest(200_000))
    for form, end in (("gztar", ".tar.gz"), ("bztar", ".tar.bz2"), ("xztar", ".tar.xz"), ("tar", ".tar")):
        whole = Path(shutil.make_archive(str(tmp_path / f"whole{end}"), form, tmp_path, "demo-1.0"))
        (files.root / f"demo-1.0{end}").write_bytes(whole.read_bytes())
        (files.root / f"half-1.0{end}").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tree / "setup.py").unlink()
    backup = Path(shutil.make_archive(str(tmp_path / "backup"), "gztar", tmp_path, "demo-1.0"))
    (files.root / "backup-2026.tar.gz").write_bytes(backup.read_bytes())
    (files.root / "photos-2026.zip").write_bytes(zip_bytes({"photos/one.jpg": b"x"}))
    follower.look()
    assert keys() == ["demo-1.0.tar", "demo-1.0.tar.bz2", "demo-1.0.tar.gz", "demo-1.0.tar.xz"]
    assert follower._reason() == ""


def test_what_is_left_out_is_read_once(
    follower: Follower, files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files.root / "demo-1.0-py3-none-any.whl").write_bytes(b"broken")
    opened: list[str] = []
    real = DirectoryFiles.open
    monkeypatch.setattr(DirectoryFiles, "open", lambda self, what: (opened.append(what.key), real(self, what))[1])
    for _ in range(3):
        follower.look()
    assert opened == ["demo-1.0-py3-none-any.whl"]
    whole = make_wheel(files.root, "demo", "1.0")
    follower.look()
    assert opened[1:] == [whole.name]


# ---- what failed


@pytest.mark.slow
@pytest.mark.usefixtures("followed")
def test_what_failed_is_tried_until_it_is_right(
    services: Services, index: SQLiteIndex, files: DirectoryFiles, keys: Callable[[], list[str]]
) -> None:
    real, broken = index.put, True

    def put(*arguments: Any, **options: Any) -> bool:
        if broken:
            raise Unavailable("The index 'index.db' cannot be used now: database is locked.")
        return real(*arguments, **options)

    index.put = put  # type: ignore[method-assign]
    until(lambda: behind(services) == "")
    wheel = make_wheel(files.root, "demo", "1.0")
    until(lambda: "database is locked" in behind(services))
    said: Any = Client(services).get("/health").json
    assert said["follower"].startswith(
        f"behind: 1 files could not be brought in yet, '{wheel.name}' for one: The index"
    )
    broken = False
    until(lambda: keys() == [wheel.name])
    until(lambda: behind(services) == "")


def test_an_entry_that_failed_is_made_later(
    follower: Follower, services: Services, files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(files.root, "demo", "1.0")
    with monkeypatch.context() as patched:
        patched.setattr(type(services.catalog), "replace", lambda *_: (_ for _ in ()).throw(Unavailable("throttled")))
        follower.look()
    assert services.catalog.search("demo", 0, 1).total == 0
    follower.look()
    assert services.catalog.search("demo", 0, 1).total == 1


def test_without_notices_it_looks_again_and_again(
    services: Services,
    follower: Follower,
    files: DirectoryFiles,
    keys: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files (os error 24)")

    monkeypatch.setattr("watchfiles.watch", none)
    monkeypatch.setattr(folder_follower, "RETRY", 0.1)
    stop = threading.Event()
    thread = threading.Thread(target=follower.follow, args=(stop,))
    thread.start()
    try:
        wheel = make_wheel(files.root, "demo", "1.0")
        until(lambda: keys() == [wheel.name])
        until(lambda: "Too many open files" in behind(services))
    finally:
        stop.set()
        thread.join(10)


@pytest.mark.parametrize("took", [0.01, 0.5, 1.9, 10, 15, 20, 60, 150, 400])
def test_what_no_notice_told_of_is_seen_in_time(took: float) -> None:
    """A change that just misses a look is seen at the end of the next one; it does not look all the time."""
    rest = folder_follower.rest(took)
    assert took + rest + took <= max(60, 4 * took)
    assert rest >= min(30, 2 * took)
    assert folder_follower.rest(took, failed=True) <= rest


@pytest.mark.slow
@pytest.mark.usefixtures("followed")
def test_another_folder_of_the_same_name(files: DirectoryFiles, keys: Callable[[], list[str]]) -> None:
    for number in range(3):  # ext4 gives the new one the number of the old one
        wheel = make_wheel(files.root, "demo", f"{number}.0")
        until(lambda name=wheel.name: keys() == [name])  # type: ignore[misc]
        shutil.rmtree(files.root)
        files.root.mkdir()
        until(lambda: keys() == [])


def test_who_says_nothing_is_behind(services: Services, follower: Follower) -> None:
    assert behind(services) == "Nothing follows the packages: `elasticpypi serve` does."
    follower.look()
    assert behind(services) == ""
    state = services.config.data / STATE
    os.utime(state, (0, 0))
    assert behind(services).startswith("The process that follows the packages has said nothing for ")
    state.write_text("[")
    assert behind(services) == "Nothing follows the packages: `elasticpypi serve` does."


# ---- the index


def test_an_index_that_is_removed_is_made_anew(
    services: Services, follower: Follower, index: SQLiteIndex, files: DirectoryFiles, tmp_path: Path
) -> None:
    follower.look()
    index.served = True
    client, mark = Client(services), index.changes().mark
    assert client.upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 200
    seen = mark()
    for path in services.config.data.glob("index.db*"):
        path.unlink()
    refused = client.upload(make_wheel(tmp_path, "demo", "2.0"))
    assert (refused.status_code, refused.text) == (
        503,
        "The index is not there: `elasticpypi serve` or `reindex` makes it anew.\n",
    )
    other = wiring.services(services.config)  # as reindex does, which begins with an empty one
    refused = client.get("/simple/demo/")
    assert refused.status_code == 503
    assert "being made anew" in refused.text
    tell = with_subscribers(other).events.tell
    again = Follower(files, other.index, other.catalog, tell, services.config.data)  # type: ignore[arg-type]
    again.look()
    assert client.upload(make_wheel(tmp_path, "demo", "3.0")).status_code == 200
    page: Any = client.json("/simple/demo/")
    assert page["versions"] == ["1.0", "3.0"]
    until(lambda: mark() not in (None, seen))


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "other version"])
def test_a_file_that_is_no_index_is_made_anew(
    services: Services, follower: Follower, files: DirectoryFiles, damage: str
) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    follower.look()
    path = services.config.data / "index.db"
    services.index.close()  # type: ignore[attr-defined]
    if damage == "garbage":
        path.write_bytes(b"garbage " * 1000)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 3")
        database.close()
    client = Client(services)
    for _ in range(3):  # the first that reads may be the one that sees the damage
        try:
            follower.look()
        except Damaged:
            continue
    page: Any = client.json("/simple/demo/")
    assert [file["filename"] for file in page["files"]] == [wheel.name]


def test_an_index_of_somebody_else_is_told(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("Only root can be somebody else.")
    data = tmp_path / "data"
    wiring.services(Config(data=data))
    for path in (data, *data.rglob("*")):
        path.chmod(0o755)
    for path in (tmp_path, *list(tmp_path.parents)[:4]):
        if path.stat().st_uid == os.getuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o055)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from elasticpypi import wiring; from elasticpypi.config import Config\n"
        "from elasticpypi.indexing import folder_follower\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: wiring.services(Config(data=Path(sys.argv[1])))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run([sys.executable, "-c", code, data], capture_output=True, text=True, check=True).stdout
    assert said == (f"Unavailable The index '{data}/index.db' cannot be written: run as the user that it belongs to.\n")


# ---- what is not whole


def test_a_deletion_that_was_broken_off(services: Services, follower: Follower, files: DirectoryFiles) -> None:
    client = Client(services)
    wheel = make_wheel(files.root, "demo", "1.0")
    follower.look()
    (files.root / f"{wheel.name}.deleted").write_text(hashlib.sha256(wheel.read_bytes()).hexdigest())
    services.index.remove(DEMO, wheel.name)
    follower.look()
    follower.look()
    assert client.get("/simple/demo/").status_code == 404
    admin = Client(replace(services, config=replace(services.config, admins=frozenset({USER}))))
    assert admin.request("DELETE", f"/packages/{wheel.name}").status_code == 200
    assert not wheel.exists()


def test_a_disk_that_is_full_can_be_emptied(
    services: Services, files: DirectoryFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = Client(replace(services, config=replace(services.config, admins=frozenset({USER}))))
    wheel = make_wheel(tmp_path, "demo", "1.0")
    assert admin.upload(wheel).status_code == 200
    stored, real = files.root / wheel.name, DirectoryFiles.save

    def save(self: DirectoryFiles, *arguments: Any, **options: Any) -> Any:
        if stored.stat().st_size:
            raise OSError(28, "No space left on device")
        return real(self, *arguments, **options)

    monkeypatch.setattr(DirectoryFiles, "save", save)
    assert admin.request("DELETE", f"/packages/{wheel.name}").status_code == 200
    assert not stored.exists()
    assert admin.get("/simple/demo/").status_code == 404
