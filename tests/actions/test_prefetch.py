"""`elasticpypi prefetch`: what lock files name is kept before anybody asks, through the checks of a request."""

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from elasticpypi.actions import prefetch
from elasticpypi.cli import main
from tests.support import ROOT
from tests.support.builders import make_wheel
from tests.support.fake_upstream import Answer
from tests.support.releases import Releases, releases
from tests.support.serving import Server, run
from tests.support.waiting import until

METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
WHEELS = "demo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "demo-1.0-cp312-cp312-win_amd64.whl"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("elasticpypi.upstream.pages.SHORTEST_AGE", 0)
    monkeypatch.setattr("elasticpypi.upstream.pages.AGAIN", 0.0)
    monkeypatch.setattr("elasticpypi.actions.prefetch.PAUSES", (0.0, 0.0))


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        for name in WHEELS:
            add(index, name, metadata=True)
        add(index, "demo-1.0.tar.gz")
        add(index, "demo-0.9.tar.gz")
        yield index


def add(index: Releases, filename: str, *, metadata: bool = False, **entry: object) -> str:
    """A file with its own bytes; its digest."""
    content, path = f"bytes of {filename}".encode(), f"files/{filename}"
    core = {"core-metadata": {"sha256": digest(METADATA)}} if metadata else {}
    index.add(filename, content, path=path, **core, **entry)  # type: ignore[arg-type]
    index.tell(f"/{path}.metadata", Answer(METADATA))
    return digest(content)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def data(theirs: Releases, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "packages").mkdir(parents=True)
    (folder / "policy.toml").write_bytes(theirs.policy())
    return folder


def fetch(data: Path, text: str, *options: str, status: int = 0) -> str:
    lock = data.parent / "requirements.txt"
    lock.write_text(text)
    done = CliRunner().invoke(main, ["prefetch", "-r", str(lock), "--data", str(data), *options])
    assert done.exit_code == status, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.output


def kept(data: Path) -> set[str]:
    """The digests of what is kept, each of which is right."""
    files = list((data / "upstream" / "files").glob("*/*"))
    assert all(digest(path.read_bytes()) == path.name for path in files)
    return {path.name for path in files}


def digests(*filenames: str) -> set[str]:
    return {digest(f"bytes of {each}".encode()) for each in filenames}


def asked(theirs: Releases) -> list[str]:
    return sorted(request.path for request in theirs.asked("/files/*"))


# ---- What is fetched


def test_a_release_with_all_its_files_and_their_metadata(theirs: Releases, data: Path) -> None:
    told = fetch(data, "Demo==1.0.0\n")
    assert kept(data) == digests(*WHEELS, "demo-1.0.tar.gz") | {digest(METADATA)}
    assert "4 files fetched (0.0 MB), 0 were kept already." in told
    assert [path.name for path in (data / "upstream" / "pages" / "main").iterdir()] == ["demo"]


def test_what_is_kept_is_skipped(theirs: Releases, data: Path) -> None:
    fetch(data, "demo==1.0")
    theirs.requests.clear()
    assert "0 files fetched (0.0 MB), 4 were kept already." in fetch(data, "demo==1.0")
    assert asked(theirs) == []
    assert "1 files fetched (0.0 MB), 4 were kept already." in fetch(data, "demo==1.0\ndemo==0.9")


def test_only_what_a_platform_takes(theirs: Releases, data: Path) -> None:
    fetch(data, "demo==1.0", "--platform", "manylinux_2_28_x86_64", "--python", "3.12")
    assert kept(data) == digests(WHEELS[0]) | {digest(METADATA)}
    fetch(data, "demo==1.0", "--platform", "win_amd64", "--platform", "macosx_14_0_arm64")
    assert kept(data) == digests(*WHEELS, "demo-1.0.tar.gz") | {digest(METADATA)}  # the sdist is for the Mac
    assert "nothing to install" not in fetch(data, "demo==1.0 ; sys_platform == 'darwin'", "--platform", "win_amd64")
    told = fetch(data, "demo==1.0", "--platform", "foo", status=1)
    assert "'foo' is no platform" in told


def test_what_no_file_is_for_is_missing(theirs: Releases, data: Path) -> None:
    add(theirs, "only-1.0-cp312-cp312-win_amd64.whl")
    told = fetch(data, "only==1.0\ndemo==1.0", "--platform", "manylinux_2_28_x86_64", status=1)
    assert "missing: No file of only==1 is for what was asked for." in told
    assert kept(data) == digests(WHEELS[0]) | {digest(METADATA)}


def test_what_has_left_its_page_is_missed_by_nobody_who_does_not_name_it(theirs: Releases, data: Path) -> None:
    fetch(data, "demo==1.0 --hash=sha256:" + digest(b"bytes of demo-1.0.tar.gz"))
    theirs.projects["demo"]["files"] = [
        each for each in theirs.projects["demo"]["files"] if each["filename"] != "demo-1.0.tar.gz"
    ]
    fetch(data, "demo==1.0")
    named = {"demo-1.0.tar.gz": digest(b"bytes of demo-1.0.tar.gz")}
    fetch_lock(data, lock(data, named))  # kept, so its exact address still gives it
    for path in (data / "upstream" / "files").rglob(named["demo-1.0.tar.gz"]):
        path.unlink()
    assert "missing: demo-1.0.tar.gz has left the index 'main'" in fetch_lock(data, lock(data, named), status=1)


def test_core_metadata_that_the_index_has_not_are_taken_out(theirs: Releases, data: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "plain", "1.0")
    theirs.add(wheel.name, wheel.read_bytes(), path=f"files/{wheel.name}")
    for _ in range(2):
        fetch(data, "plain==1.0")
        [core] = kept(data) - {digest(wheel.read_bytes())}
        assert (data / "upstream" / "files" / core[:2] / core).read_bytes().startswith(b"Metadata-Version")
        (data / "upstream" / "files" / core[:2] / core).unlink()  # as if there was no room
    assert asked(theirs) == [f"/files/{wheel.name}"]


def test_files_by_their_digests(theirs: Releases, data: Path) -> None:
    [sdist] = digests("demo-1.0.tar.gz")
    fetch(data, f"demo==1.0 --hash=sha256:{sdist} --hash=sha256:{'0' * 64}")  # one is enough, as for pip
    assert kept(data) == {sdist}
    told = fetch(data, f"demo==1.0 --hash=sha256:{'0' * 64}", status=1)
    assert f"missing: sha256:{'0' * 64} is not on the page of demo, or has other bytes there." in told


def lock(data: Path, files: dict[str, str], name: str = "demo") -> Path:
    lines = ", ".join(f'{{file = "{file}", hash = "sha256:{sha256}"}}' for file, sha256 in files.items())
    path = data.parent / "poetry.lock"
    path.write_text(
        f'[metadata]\nlock-version = "2.1"\n[[package]]\nname = "{name}"\nversion = "1.0"\nfiles = [{lines}]\n'
    )
    return path


def fetch_lock(data: Path, path: Path, *options: str, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["prefetch", "-r", str(path), "--data", str(data), *options])
    assert done.exit_code == status, done.output
    return done.output


def test_files_that_a_lock_file_names(theirs: Releases, data: Path) -> None:
    named = {name: digest(f"bytes of {name}".encode()) for name in WHEELS}
    fetch_lock(data, lock(data, named), "--platform", "win_amd64")
    assert kept(data) == digests(WHEELS[1]) | {digest(METADATA)}
    gone = {**named, "demo-1.0-cp312-cp312-win32.whl": "0" * 64}
    told = fetch_lock(data, lock(data, gone), status=1)
    assert "missing: demo-1.0-cp312-cp312-win32.whl is not on the page of demo, or has other bytes there." in told
    assert kept(data) == digests(*WHEELS) | {digest(METADATA)}
    # Nobody misses what nobody wants.
    fetch_lock(data, lock(data, gone), "--platform", "win_amd64")


def test_several_files_and_what_they_include(theirs: Releases, data: Path) -> None:
    (data.parent / "more.txt").write_text("demo==0.9\n")
    path = lock(data, {name: digest(f"bytes of {name}".encode()) for name in WHEELS})
    told = fetch(data, "-r more.txt\ndemo==0.9\n", "-r", str(path))
    assert "4 files fetched (0.0 MB), 0 were kept already." in told
    assert "names no exact version" in fetch(data, "demo>=1\n", status=1)


# ---- What is not


def test_what_is_ours_is_asked_for_nowhere(theirs: Releases, data: Path) -> None:
    for name in ("acme-core", "house-tool"):
        theirs.release(name, ("1.0", 100))
    make_wheel(data / "packages", "house-tool", "1.0")
    assert CliRunner().invoke(main, ["reindex", "--data", str(data)]).exit_code == 0
    (data / "policy.toml").write_bytes(theirs.policy("[origin]", 'private = ["acme"]'))
    told = fetch(data, "acme-core==1.0\nhouse-tool==1.0\ndemo==0.9")
    assert "1 files fetched (0.0 MB), 0 were kept already, 2 releases are ours." in told
    assert {request.path for request in theirs.requests} == {"/simple/demo/", "/files/demo-0.9.tar.gz"}


def test_what_the_policy_refuses(theirs: Releases, data: Path) -> None:
    young = add(theirs, "demo-2.0.tar.gz", **{"upload-time": "2999-01-01T00:00:00.000000Z"})
    for name in ("leftpad", "evil", "sick"):
        theirs.release(name, ("1.0", 100))
    theirs.projects["sick"]["project-status"] = {"status": "quarantined", "reason": "malware"}
    (data / "policy.toml").write_bytes(theirs.policy("[origin]", 'denied = ["leftpad"]'))
    assert CliRunner().invoke(main, ["block", "evil", "--reason", "steals", "--data", str(data)]).exit_code == 0
    theirs.requests.clear()
    told = fetch(data, "demo==2.0\nleftpad==1.0\nevil==1.0\nsick==1.0\ndemo==1.0\n", status=1)
    assert "refused: demo-2.0.tar.gz is held: its upload time is in the future, 2999-01-01T00:00:00Z." in told
    assert "refused: leftpad is not let in. The policy denies 'leftpad'." in told
    assert "refused: evil is blocked: steals." in told
    assert "refused: sick is in quarantine at the index that it comes from: malware." in told
    assert "4 files fetched (0.0 MB), 0 were kept already, 4 refused." in told
    assert kept(data) == digests(*WHEELS, "demo-1.0.tar.gz") | {digest(METADATA)}
    assert theirs.asked("/simple/leftpad/") == []
    # By its digest too, but where the policy only hides.
    by_digest = f"demo==2.0 --hash=sha256:{young}\n"
    assert "refused: demo-2.0.tar.gz is held" in fetch(data, by_digest, status=1)
    (data / "policy.toml").write_bytes(theirs.policy("[cooldown]", 'where = "index"'))
    assert "refused" in fetch(data, "demo==2.0", status=1)
    fetch(data, by_digest)
    assert young in kept(data)


def test_what_nobody_has(theirs: Releases, data: Path) -> None:
    told = fetch(data, "nothing==1.0\ndemo==7.0\n", status=1)
    assert "missing: No index that is asked here has a project 'nothing'." in told
    assert "missing: The index 'main' has no release demo==7." in told
    assert fetch(data, "-e ./here\n").startswith("Looking")
    assert "left out: -e ./here comes from a path or an address, and no index has it." in fetch(data, "-e ./here\n")


def test_other_bytes_are_not_taken(theirs: Releases, data: Path) -> None:
    theirs.tell("/files/demo-0.9.tar.gz", Answer(b"bytes of demo-9.0.tar.gz"))
    told = fetch(data, "demo==0.9", status=1)
    assert "failed: The index 'main' has sent other bytes than it says: they are not taken." in told
    assert kept(data) == set()


def test_without_an_index_to_ask(data: Path, tmp_path: Path) -> None:
    (data / "policy.toml").unlink()
    assert "No other index is asked: name one in the policy, or with --upstream." in fetch(data, "demo==1", status=1)
    assert "There is no folder" in fetch_lock(tmp_path / "none", lock(data, {}), status=1)


def test_the_index_of_the_setting(theirs: Releases, data: Path) -> None:
    (data / "policy.toml").unlink()
    fetch(data, "demo==0.9", "--upstream", theirs.url)
    assert kept(data) == digests("demo-0.9.tar.gz")


def test_an_index_that_is_offline_fetches_nothing(theirs: Releases, data: Path) -> None:
    fetch(data, "demo==0.9")
    theirs.requests.clear()
    (data / "policy.toml").write_bytes(theirs.policy().replace(b'fresh = "0"', b"offline = true"))
    told = fetch(data, "demo==1.0", status=1)
    assert "missing: 'demo-1.0.tar.gz' is not kept here, and the index 'main' is not asked: it is offline." in told
    assert theirs.requests == []


# ---- Troubles


def test_what_fails_once_is_tried_again(theirs: Releases, data: Path) -> None:
    answers = {path: [Answer(b"no", 500)] for path in ("/simple/demo/", "/files/demo-0.9.tar.gz")}
    for path, once in answers.items():
        good = theirs.answers.get(path)
        theirs.tell(path, lambda _, once=once, good=good: once.pop() if once else good or theirs.page("demo"))  # type: ignore[misc]
    assert "1 files fetched" in fetch(data, "demo==0.9")


def test_an_index_that_is_gone_ends_it_soon(theirs: Releases, data: Path) -> None:
    theirs.status = 500
    told = fetch(data, "".join(f"demo-{number}==1.0\n" for number in range(200)), status=1)
    assert "Nothing else comes either: run it again later, what is kept is skipped." in told
    assert len({request.path for request in theirs.requests}) < 50


def test_too_little_room_is_said_before(theirs: Releases, data: Path) -> None:
    theirs.projects["demo"]["files"][0]["size"] = 2_000_000_000
    (data / "policy.toml").write_bytes(theirs.policy('room = "1GB"'))
    told = fetch(data, "demo==1.0", status=1)
    assert "These are 2000 MB, and there is room for 1000: set room of [upstream.main] in the policy" in told


def test_it_is_stopped_and_goes_on_where_it_was(theirs: Releases, data: Path, tmp_path: Path) -> None:
    """A Ctrl-C does not wait for an index that hangs, and loses nothing that is kept."""
    path = f"/files/{WHEELS[1]}"
    right = theirs.answers[path]
    theirs.tell(path, Answer(b"x" * 22, before=theirs.hang))
    (tmp_path / "r.txt").write_text("demo==1.0\n")
    command = [sys.executable, "-m", "elasticpypi", "prefetch", "-r", str(tmp_path / "r.txt"), "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    try:
        done = digests(WHEELS[0], "demo-1.0.tar.gz") | {digest(METADATA)}
        until(lambda: kept(data) == done and theirs.asked(path), "all but one file")
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Aborted!" in told
    assert "Traceback" not in told
    theirs.tell(path, right)
    theirs.requests.clear()
    assert "1 files fetched (0.0 MB), 3 were kept already." in fetch(data, "demo==1.0")
    assert asked(theirs) == [path]


def test_beside_an_index_that_runs(theirs: Releases, data: Path, tmp_path: Path) -> None:
    """What the one fetches is not fetched by the other, and the setting of the one holds for both."""
    (data / "policy.toml").unlink()
    server = Server(data, UPSTREAM=theirs.url, USERNAME="anna", PASSWORD="x")
    try:
        (tmp_path / "r.txt").write_text("demo==1.0\n")
        done = run("prefetch", "-r", str(tmp_path / "r.txt"), "--data", str(data))
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr.startswith("Looking\nFetching\n")
        assert len(done.stderr.splitlines()) == 6  # a plain line for each file
        theirs.requests.clear()
        body = server.open(f"/upstream/main/files/{WHEELS[0]}", "anna:x").read()
        assert body == f"bytes of {WHEELS[0]}".encode()
        assert asked(theirs) == []
    finally:
        server.close()


def test_an_error_of_one_ends_all() -> None:
    """What nobody foresaw is no line among others."""
    with pytest.raises(ZeroDivisionError):
        list(prefetch._beside(lambda number: 1 // number, [1, 0, 2]))
    assert sorted(prefetch._beside(lambda number: number, range(100))) == [*range(100)]
