"""`elasticpypi upload`: against the real server, and by parts against an index that has every fault of a network."""

import ctypes
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from twine.package import PackageFile
from twine.repository import Repository

from elasticpypi.cli import main
from elasticpypi.client import parts, publish
from tests.support.application import PASSWORD, USER
from tests.support.builders import make_sdist, make_sparse_wheel, make_wheel
from tests.support.live import PASSWORD as LIVE_PASSWORD
from tests.support.live import USER as LIVE_USER
from tests.support.live import Server, running
from tests.support.parts_server import PartsServer, parts_server
from tests.support.processes import heeds_signals
from tests.support.waiting import until

pytestmark = pytest.mark.network

Upload = Callable[..., Result]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the settings of this machine."""
    for name in [name for name in os.environ if name.startswith("TWINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setattr(parts, "pause", lambda attempt: 0.001)
    monkeypatch.setattr(publish, "pause", lambda attempt: 0.001)


@pytest.fixture
def index() -> Iterator[PartsServer]:
    with parts_server() as server:
        yield server


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("folder", tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Of five parts."""
    return make_wheel(tmp_path, "large", "1.0", files={"large.bin": os.urandom(450_000)}, summary="Größe")


def upload(index: PartsServer | Server, *arguments: object) -> Result:
    """Upload in this process."""
    if isinstance(index, Server):
        target = ["--repository-url", index.upload_url, "-u", LIVE_USER, "-p", LIVE_PASSWORD]
    else:
        target = ["--repository-url", f"{index.address}/stage/legacy/", "-u", USER, "-p", PASSWORD]
    return CliRunner().invoke(main, ["upload", *target, *map(str, arguments)])


def start(index: PartsServer, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Upload in a process of its own."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "NO_PROXY", "PYTHON_KEYRING_BACKEND")}
    environ |= {"TWINE_REPOSITORY_URL": f"{index.address}/stage/simple/", "TWINE_USERNAME": USER}
    environ |= {"TWINE_PASSWORD": PASSWORD, "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "elasticpypi", "upload", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heeds_signals, **options}
    return subprocess.Popen(command, env=environ, **options)


def wait(process: subprocess.Popen[bytes], seconds: float = 60) -> tuple[int, str, str]:
    """Exit status, output and errors, of a process that ends within ``seconds``."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, (out or b"").decode(), (err or b"").decode()


def meanwhile(index: PartsServer, path: Path, happens: Callable[[], object]) -> Result:
    """Upload, and let something happen while the second part is on its way."""
    index.faults[2] = ["stall"]
    done: list[Result] = []
    uploading = threading.Thread(target=lambda: done.append(upload(index, path)))
    uploading.start()
    assert index.stalled.wait(20)
    happens()
    index.go.set()
    uploading.join(20)
    return done[0]


# By parts


def test_all_parts_arrive_and_the_index_has_the_last_word(index: PartsServer, wheel: Path) -> None:
    done = upload(index, wheel)
    assert (done.exit_code, done.output) == (0, f"Uploading {wheel.name}\n{wheel.name} is in the index.\n")
    assert b"".join(index.parts[n] for n in range(1, 6)) == wheel.read_bytes()
    assert sorted(index.puts()) == [1, 2, 3, 4, 5]
    assert all("Authorization" not in headers for headers in index.headers)
    form = {
        name: index.form[name][0] for name in (":action", "protocol_version", "name", "summary", "filename", "size")
    }
    assert form == {
        ":action": "file_upload",
        "protocol_version": "1",
        "name": "large",
        "summary": "Größe",
        "filename": wheel.name,
        "size": str(wheel.stat().st_size),
    }


@pytest.mark.parametrize("faults", [["break"], ["lost"], [503], [403], ["break", 500, "break", 403]])
def test_a_part_that_breaks_is_sent_again(index: PartsServer, wheel: Path, faults: list[str | int]) -> None:
    index.faults[2] = list(faults)
    done = upload(index, wheel)
    assert done.exit_code == 0, done.output
    assert index.puts().count(2) == (1 if faults == ["lost"] else len(faults) + 1)
    assert len(index.puts()) == 4 + index.puts().count(2)
    assert b"".join(index.parts[n] for n in range(1, 6)) == wheel.read_bytes()


def test_links_that_expire_under_way_are_asked_for_again(
    index: PartsServer, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "THREADS", 1)
    done = meanwhile(index, wheel, lambda: setattr(index, "generation", 1))
    assert done.exit_code == 0, done.output
    assert index.puts() == [1, 2, 3, 3, 4, 5]  # one refusal, and the links of all others are new


def test_a_part_that_never_arrives(index: PartsServer, wheel: Path) -> None:
    index.faults[3] = [403] * 99
    failed = upload(index, wheel)
    assert failed.exit_code == 1
    assert f"Error: {wheel.name}: Part 3 could not be sent (" in failed.output
    assert failed.output.endswith("): run the same command again to go on.\n")
    assert "g=0" not in failed.output
    assert index.puts().count(3) == parts.TRIES


def test_what_is_there_already_is_not_sent(index: PartsServer, wheel: Path) -> None:
    content = wheel.read_bytes()
    index.parts = {n: content[(n - 1) * 100_000 : n * 100_000] for n in (1, 2, 4)}
    assert upload(index, wheel).exit_code == 0
    assert sorted(index.puts()) == [3, 5]


def test_only_the_end_was_missing(index: PartsServer, wheel: Path) -> None:
    content = wheel.read_bytes()
    index.parts = {n: content[(n - 1) * 100_000 : n * 100_000] for n in range(1, 6)}
    assert upload(index, wheel).exit_code == 0
    assert index.puts() == []


def test_one_that_was_killed_goes_on_where_it_was(index: PartsServer, wheel: Path) -> None:
    index.faults[5] = ["stall"]
    first = start(index, wheel)
    assert index.stalled.wait(20)
    until(lambda: len(index.parts) == 4, "the other parts")
    first.kill()
    assert wait(first)[0] == -signal.SIGKILL
    index.go.set()
    until(lambda: not index.faults[5], "the stall")
    code, out, err = wait(start(index, wheel))
    assert (code, out, err) == (0, f"Uploading {wheel.name}\n{wheel.name} is in the index.\n", "")
    assert sorted(index.puts()[:5]) == [1, 2, 3, 4, 5]
    assert set(index.puts()[5:]) <= {5}


def test_ctrl_c_leaves_at_once_with_a_hint(index: PartsServer, wheel: Path) -> None:
    index.faults[1] = ["stall"]
    process = start(index, wheel)
    assert index.stalled.wait(20)
    process.send_signal(signal.SIGINT)
    code, _, err = wait(process, 10)  # although the answer to the part never comes
    assert (code, err) == (130, "Stopped: run the same command again to go on.\n")


def test_ctrl_c_that_does_not_interrupt_the_wait(index: PartsServer, wheel: Path) -> None:
    """As it is when it comes just before the wait, or when the kernel gives it to another thread, as here."""
    index.faults[1] = ["stall"]
    process = start(index, wheel)
    assert index.stalled.wait(20)

    def stalled() -> int | None:
        """The thread of the one part that is left."""
        others = {int(thread.name) for thread in Path(f"/proc/{process.pid}/task").iterdir()} - {process.pid}
        return others.pop() if len(others) == 1 and len(set(index.puts())) == 5 else None

    assert ctypes.CDLL(None).tgkill(process.pid, until(stalled, "the last part"), signal.SIGINT) == 0
    code, _, err = wait(process, 10)
    assert (code, err) == (130, "Stopped: run the same command again to go on.\n")


def test_a_refusal_at_the_end(index: PartsServer, wheel: Path) -> None:
    index.refusal = {"state": "refused", "status": 400, "message": "'sha256_digest' does not fit the file."}
    failed = upload(index, wheel)
    assert failed.exit_code == 1
    assert failed.output.endswith(f"Error: {wheel.name}: 'sha256_digest' does not fit the file.\n")


@pytest.mark.parametrize("skip", [True, False])
def test_a_name_that_is_taken(index: PartsServer, wheel: Path, skip: bool) -> None:
    told = {"state": "refused", "status": 409, "message": "File already exists: use a new version."}
    index.refusal = told
    done = upload(index, *(["--skip-existing"] if skip else []), wheel)
    if skip:
        assert (done.exit_code, done.output.splitlines()[-1]) == (0, f"Skipping {wheel.name}: it exists already.")
    else:
        last = f"Error: {wheel.name}: File already exists: use a new version."
        assert (done.exit_code, done.output.splitlines()[-1]) == (1, last)


def test_the_check_takes_too_long(index: PartsServer, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "PATIENCE", 0.05)
    index.checks = 1_000_000
    failed = upload(index, wheel)
    assert failed.exit_code == 1
    assert f"goes on by itself: look at {index.address}/stage/simple/large/, or run" in failed.output


def test_an_index_that_is_down_for_a_moment(index: PartsServer, wheel: Path) -> None:
    index.answers = [(503, b""), (502, b"<html>")]
    assert upload(index, wheel).exit_code == 0


def test_an_index_that_stays_down(index: PartsServer, wheel: Path) -> None:
    other = make_wheel(wheel.parent, "other", "1.0")
    index.answers = [(503, b'{"message": "The bucket cannot be read."}')] * 3
    failed = upload(index, wheel, other)
    assert failed.exit_code == 1
    told = f"Error: {wheel.name}: The index cannot be used: The bucket cannot be read."
    assert failed.output.splitlines() == [told, f"Error: {other.name}: It was not sent either."]


def test_parts_that_the_index_never_finds(index: PartsServer, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PartsServer, "joined", lambda self: (self.parts.clear(), self.state())[1])
    failed = upload(index, wheel)
    assert failed.exit_code == 1
    assert "does not find the parts" in failed.output
    assert len(index.puts()) == 5 * publish.ROUNDS


@pytest.mark.parametrize("state", [b'{"state": "new"}', b'{"state": "open"}', b'{"state": "refused"}'])
def test_an_index_of_the_future(index: PartsServer, wheel: Path, state: bytes) -> None:
    index.answers = [(200, state)]
    failed = upload(index, wheel)
    assert failed.exit_code == 1
    assert failed.output.endswith("The index says what this version does not understand: upgrade elasticpypi.\n")


def test_a_file_that_changes_under_way(index: PartsServer, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "THREADS", 1)
    failed = meanwhile(index, wheel, lambda: os.truncate(wheel, 250_000))
    assert failed.exit_code == 1
    assert failed.output.endswith(f"Error: {wheel.name}: The file became shorter while it was sent.\n")


def test_the_links_get_nothing_of_netrc(index: PartsServer, wheel: Path, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("default login somebody password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert upload(index, wheel).exit_code == 0
    assert all("Authorization" not in headers for headers in index.headers)


def test_the_bar_is_for_terminals(index: PartsServer, wheel: Path) -> None:
    master, slave = pty.openpty()
    process = start(index, wheel, stdout=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:  # the other end is closed
            break
    os.close(master)
    assert wait(process)[0] == 0
    assert "━" in shown.decode()
    assert re.search(r"[1-9][\d.]*/451.\d kB", shown.decode())
    index.result = None
    index.parts.clear()
    index.checks = 0
    assert "━" not in upload(index, wheel).output


# Not getrusage: its maximum is handed on from the process that started this one.
PEAK = """
import re, sys
from elasticpypi.cli import main
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(wheel: Path, tmp_path: Path) -> None:
    sparse = make_sparse_wheel(tmp_path, "sparse", "1.0", 1024**3)
    peaks = []
    with parts_server(64 * 1024 * 1024) as index:
        index.keep = False
        for path in (wheel, sparse):
            index.result = None
            index.parts.clear()
            target = ["--repository-url", f"{index.address}/stage/legacy/", "-u", USER, "-p", PASSWORD]
            command = [sys.executable, "-c", PEAK, "upload", *target, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            peaks.append(int(done.stderr))
        assert len(index.parts) == 17
    small, large = peaks
    assert large - small < 20_000  # kB


# At the real server, and elsewhere


def test_the_server_of_one_machine(live: Server, wheel: Path, tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, "large", "1.0")
    done = upload(live, sdist, wheel)
    told = [f"Uploading {wheel.name}", f"{wheel.name} is in the index."]
    told += [f"Uploading {sdist.name}", f"{sdist.name} is in the index."]
    assert (done.exit_code, done.output.splitlines()) == (0, told)  # wheels first, as with twine
    assert sorted(live.files("large")) == sorted([wheel.name, sdist.name])
    again = upload(live, tmp_path / "large*")
    told = [f"{path.name} is in the index already." for path in (wheel, sdist)]
    assert (again.exit_code, again.output.splitlines()) == (0, told)


def test_one_refusal_does_not_hide_the_others(live: Server, tmp_path: Path) -> None:
    first = make_wheel(tmp_path, "several", "1.0")
    assert upload(live, first).exit_code == 0
    wheels = [make_wheel(tmp_path, "several", version, files={"a.py": b"other"}) for version in ("1.0", "2.0")]
    refused = upload(live, *wheels)
    assert refused.exit_code == 1
    assert f"Error: {first.name}: File already exists: " in refused.output
    assert f"{wheels[1].name} is in the index.\n" in refused.output
    assert sorted(live.files("several")) == [wheel.name for wheel in wheels]
    skipped = upload(live, "--skip-existing", *wheels)
    assert skipped.exit_code == 0
    assert f"Skipping {first.name}: it exists already.\n" in skipped.output


def test_a_wrong_password_is_told_once(live: Server, tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "locked", version) for version in ("1.0", "2.0")]
    refused = upload(live, *wheels, "-p", "wrong")
    assert refused.exit_code == 1
    told = f"Error: {wheels[0].name}: Wrong user name or password: give both with HTTP Basic authentication."
    assert refused.output.splitlines() == [told, f"Error: {wheels[1].name}: It was not sent either."]


def test_settings_come_from_where_twine_has_them(live: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = f"repository = {live.upload_url}\nusername = {LIVE_USER}\npassword = {LIVE_PASSWORD}\n"
    (tmp_path / ".pypirc").write_text(f"[distutils]\nindex-servers = elasticpypi\n[elasticpypi]\n{section}")
    (tmp_path / "other").write_text(f"[distutils]\nindex-servers = there\n[there]\n{section}")
    wheel = make_wheel(tmp_path, "settings", "1.0")
    said = f"{wheel.name} is in the index"
    assert said in CliRunner().invoke(main, ["upload", str(wheel)]).output
    assert (
        said
        in CliRunner().invoke(main, ["upload", "-r", "there", "--config-file", f"{tmp_path}/other", str(wheel)]).output
    )
    monkeypatch.setenv("TWINE_REPOSITORY_URL", live.simple)
    monkeypatch.setenv("TWINE_USERNAME", LIVE_USER)
    monkeypatch.setenv("TWINE_PASSWORD", LIVE_PASSWORD)
    assert said in CliRunner().invoke(main, ["upload", str(wheel)]).output
    monkeypatch.delenv("TWINE_PASSWORD")
    missing = CliRunner().invoke(main, ["upload", "--non-interactive", str(wheel)])
    assert missing.exit_code == 1
    assert "give -u and -p, TWINE_USERNAME and TWINE_PASSWORD" in missing.output
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "TWINE_USERNAME", "TWINE_REPOSITORY_URL")}
    command = [sys.executable, "-m", "elasticpypi", "upload", str(wheel)]
    nobody = {"stdin": subprocess.DEVNULL, "start_new_session": True}  # no terminal to ask anybody
    asked = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, **nobody)
    assert asked.returncode == 1
    assert "give -u and -p" in asked.stderr
    monkeypatch.setenv("TWINE_REPOSITORY_URL", live.simple.replace("://", f"://{LIVE_USER}:{LIVE_PASSWORD}@"))
    monkeypatch.delenv("TWINE_USERNAME")
    assert said in CliRunner().invoke(main, ["upload", str(wheel)]).output


@pytest.mark.slow
def test_a_keyring_is_asked(live: Server, tmp_path: Path) -> None:
    (tmp_path / "ring_of_the_tests.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "from keyring.credentials import SimpleCredential\n"
        "class Ring(KeyringBackend):\n"
        "    priority = 1\n"
        f"    def get_password(self, system, user): return {LIVE_PASSWORD!r} if system.endswith('/legacy/') else None\n"
        "    def set_password(self, system, user, password): pass\n"
        f"    def get_credential(self, system, user): return SimpleCredential({LIVE_USER!r}, {LIVE_PASSWORD!r})\n"
    )
    wheel = make_wheel(tmp_path, "keyring-has-it", "1.0")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": f"{tmp_path}"}
    environ |= {"PYTHON_KEYRING_BACKEND": "ring_of_the_tests.Ring", "NO_PROXY": "*"}
    command = [sys.executable, "-m", "elasticpypi", "upload", "--repository-url", live.upload_url, str(wheel)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "ring_of_the_tests.py").write_text("raise RuntimeError('the ring is locked')")
    locked = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, start_new_session=True)
    assert locked.returncode == 1
    assert "Error getting username from keyring: the ring is locked\n" in locked.stderr
    assert "Traceback" not in locked.stderr


@pytest.mark.parametrize("status", [404, 405, 200, 301])
def test_an_index_without_parts_gets_an_ordinary_upload(index: PartsServer, wheel: Path, status: int) -> None:
    index.answers = [(status, b"<html>nothing here"), (200, b"<html>OK")]
    done = upload(index, wheel)
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        [f"Uploading {wheel.name}", f"{wheel.name} is uploaded."],
    )
    assert index.requests == ["POST /stage/uploads/", "POST /stage/legacy/"]


def test_what_an_ordinary_upload_is_told(index: PartsServer, wheel: Path) -> None:
    for answer, sentence in (
        ((400, b"<html>bad"), "400 Bad Request"),
        ((413, b'{"message": "Too large for API Gateway."}'), "Too large for API Gateway."),
        ((302, b""), "The index is elsewhere: give --repository-url https://elsewhere/."),
        ((304, b""), "304 Not Modified"),
    ):
        index.answers = [(404, b""), answer]
        failed = upload(index, wheel)
        assert failed.exit_code == 1
        assert f"Error: {wheel.name}: {sentence}" in failed.output
    index.answers = [(404, b""), (400, b"<html>File already exists. See /help")]
    assert upload(index, "--skip-existing", wheel).exit_code == 0


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://host/legacy/", "https://host"),
        ("https://host/dev/simple", "https://host/dev"),
        ("https://host/dev/", "https://host/dev"),
        ("https://host", "https://host"),
        ("https://legacy/", "https://legacy"),
        ("https://host/simple/legacy/", "https://host/simple"),
    ],
)
def test_where_the_addresses_are(wheel: Path, url: str, base: str) -> None:
    package = PackageFile.from_filename(str(wheel), None)
    assert publish._Upload(Repository(url, "", ""), package).base == base


def test_an_index_that_is_not_there(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "demo", version) for version in ("1.0", "2.0")]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/legacy/"
    failed = CliRunner().invoke(main, ["upload", "--repository-url", url, "-u", "a", "-p", "b", *map(str, wheels)])
    assert failed.exit_code == 1
    assert failed.output.startswith(f"Error: {wheels[0].name}: The index cannot be used: Connection refused\n")


def test_what_cannot_be_sent_is_one_sentence(index: PartsServer, wheel: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip")
    half = tmp_path / "half-1.0.tar.gz"
    half.write_bytes(make_sdist(tmp_path, "whole", "1.0").read_bytes()[:100])
    other = tmp_path / "demo.exe"
    other.write_bytes(b"MZ")
    for arguments, sentence in (
        ([wheel, tmp_path / "nothing*"], "Cannot find file (or expand pattern): "),
        ([wheel, broken], f"{broken} cannot be read as a package: File is not a zip file"),
        ([wheel, half], "Invalid distribution file: 'half-1.0.tar.gz'"),
        ([wheel, tmp_path], "Unknown distribution format: "),
        ([other], "Unknown distribution format: 'demo.exe'"),
        ([wheel, "--repository-url", "ftp://host/"], "Invalid repository URL: "),
        ([wheel, "--cert", tmp_path / "none.pem", "--repository-url", "https://127.0.0.1:1/"], "none.pem"),
    ):
        failed = upload(index, *arguments)
        assert failed.exit_code == 1, failed.output
        assert isinstance(failed.exception, SystemExit)
        assert failed.output.startswith("Error: ")
        assert sentence in failed.output
        assert failed.output.count("\n") == 1
    assert index.requests == []


def test_there_is_no_default_but_ours(wheel: Path, tmp_path: Path) -> None:
    failed = CliRunner().invoke(main, ["upload", str(wheel)])
    assert failed.exit_code == 1
    assert failed.output.startswith("Error: Missing 'elasticpypi' section from ~/.pypirc.")
    assert failed.output.endswith(" Or say where to with --repository-url.\n")
    (tmp_path / ".pypirc").write_text("[distutils]\nindex-servers = elasticpypi\n[elasticpypi]\nusername = a\n")
    failed = CliRunner().invoke(main, ["upload", str(wheel)])
    assert failed.output == "Error: The section [elasticpypi] of .pypirc has no 'repository'.\n"


def test_missing_twine_is_said() -> None:
    script = "import sys; sys.modules['twine'] = None; from elasticpypi.cli import main; main(['upload', 'x'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "Error: Uploading needs twine: pip install 'twine>=7'.\n")


def test_five_gigabytes_in_bounded_memory_on_both_ends(tmp_path: Path) -> None:
    if not os.environ.get("CI"):
        pytest.skip("5 GB take a minute and 11 GB of disk: CI=1 uploads them.")
    assert shutil.disk_usage(tmp_path).free > 11 * 1024**3, "An upload of 5 GB needs 11 GB of disk."
    wheel = make_sparse_wheel(tmp_path, "huge", "1.0", 5 * 1024**3 - 1024**2)  # MAX_UPLOAD is 5 GB
    with running("folder", tmp_path) as server:
        target = ["--repository-url", server.upload_url, "-u", LIVE_USER, "-p", LIVE_PASSWORD]
        command = [sys.executable, "-c", PEAK, "upload", *target, str(wheel)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{wheel.name} is in the index."), done.stderr
        assert server.files("huge")[wheel.name]["size"] == wheel.stat().st_size
        peaks = [int(done.stderr), *server_peaks()]
    wheel.unlink()
    shutil.rmtree(server.data)
    assert max(peaks) < 100_000, peaks  # kB


def server_peaks() -> list[int]:
    """The most memory that each process of the server ever had, in kB."""
    parents = {}
    family: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            status = dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)
            parents[int(path.parent.name)] = int(status["PPid"]), int(status.get("VmHWM", "0").split()[0])
            command = path.with_name("cmdline").read_bytes().split(b"\0")
            if int(status["PPid"]) == os.getpid() and b"serve" in command:
                family.add(int(path.parent.name))
    while more := {pid for pid, (parent, _) in parents.items() if parent in family} - family:
        family |= more
    return [parents[pid][1] for pid in family]
