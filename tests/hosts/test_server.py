"""The command `serve`, as a process: first user, log, clean stop."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import boto3
import pytest
from werkzeug.security import generate_password_hash

from elasticpypi.accounts.first_user import HASH_OF_RANDOM
from tests.support.builders import make_wheel
from tests.support.moto_aws import BUCKET, TABLE
from tests.support.processes import rendering_below
from tests.support.serving import Server, run
from tests.support.showcase import SLOW, described
from tests.support.waiting import until

pytestmark = pytest.mark.network


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    running: list[Server] = []
    yield running
    for server in running:
        server.close()


@pytest.mark.req("REQ-87")
def test_the_first_start_makes_a_user_and_shows_it_once(data: Path, servers: list[Server]) -> None:
    server = Server(data)
    servers.append(server)
    server.wait_for(lambda: "index-url" in server.said[-2:][0] if len(server.said) > 2 else False)
    said = "".join(server.said)
    shown = re.search(r"User elasticpypi, password (\S+)", said)
    assert shown is not None
    password = shown[1]
    assert re.fullmatch(r"[A-Za-z0-9]{24}", password)
    index = f"http://elasticpypi:{password}@{server.url.removeprefix('http://')}/simple/"
    for line in (
        f"pip install --index-url {index} PROJECT",
        f"uv pip install --index-url {index} PROJECT",
        f"twine upload --repository-url {server.url}/legacy/ -u elasticpypi -p {password} dist/*",
        f"    repository = {server.url}/legacy/",
        f"    index-url = {index}",
    ):
        assert line in said
    assert server.open("/simple/", f"elasticpypi:{password}").status == 200
    stored = data / "user"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert password not in stored.read_text()
    assert stored.read_text().startswith(f"elasticpypi:{HASH_OF_RANDOM}$")
    assert server.stop() == 0

    again = Server(data)
    servers.append(again)
    assert "The user is 'elasticpypi'. For a new password: elasticpypi password --data" in "".join(again.said)
    assert again.open("/simple/", f"elasticpypi:{password}").status == 200
    assert password not in "".join(again.said)

    setting = [sys.executable, "-m", "elasticpypi", "password", "--data", str(data)]
    environ = {"PATH": os.environ["PATH"]}
    done = subprocess.run(setting, input="n\u00e9w:pass\n", text=True, capture_output=True, check=True, env=environ)
    assert "n%C3%A9w%3Apass@" in done.stdout
    assert stored.read_text().startswith("elasticpypi:scrypt:32768:8:1$")  # people choose what can be guessed
    assert again.stop() == 0
    third = Server(data)
    servers.append(third)
    assert third.open("/simple/", "elasticpypi:n\u00e9w:pass").status == 200
    assert third.stop(signal.SIGINT) == 0


def test_the_lines_to_paste_have_the_address_for_everybody(data: Path, servers: list[Server]) -> None:
    server = Server(data, PUBLIC_URL="https://h.example/team/")
    servers.append(server)
    server.wait_for(lambda: "index-url = " in "".join(server.said))
    said = "".join(server.said)
    assert f" at {server.url}/simple/, for everybody at https://h.example/team/simple/\n" in said
    assert re.search(r"pip install --index-url https://elasticpypi:\w+@h\.example/team/simple/ PROJECT", said)
    assert "repository = https://h.example/team/legacy/\n" in said
    command = [sys.executable, "-m", "elasticpypi", "password", "--data", str(data)]
    for settings, url in (
        ({"PUBLIC_URL": "https://h.example/team/"}, "https://h.example/team"),
        ({"LISTEN": "[::1]", "TLS_CERT": "c", "TLS_KEY": "k"}, "https://[::1]:8080"),
        ({"LISTEN": "*"}, "http://127.0.0.1:8080"),
    ):
        environ = {"PATH": os.environ["PATH"], **settings}
        done = subprocess.run(command, input="secret\n", text=True, check=True, capture_output=True, env=environ)
        assert f"repository = {url}/legacy/\n" in done.stdout


@pytest.mark.moto
@pytest.mark.usefixtures("aws")
def test_a_bucket_of_records_that_is_not_there_is_one_warning(
    aws_endpoint: str, data: Path, servers: list[Server], tmp_path: Path
) -> None:
    boto3.client("s3").delete_bucket(Bucket=f"{BUCKET}-records")
    aws = {name: os.environ[name] for name in os.environ if name.startswith("AWS_")} | {
        "AWS_ENDPOINT_URL": aws_endpoint
    }
    server = Server(data, BUCKET=BUCKET, TABLE=TABLE, USERS="alice:ecila", **aws)  # it waits for /health to say 200
    servers.append(server)
    told = [line for line in server.said if "records" in line]
    assert told == [
        f"Warning: There is no bucket {BUCKET}-records, where events lie: deploy the stack, which makes it, or make it "
        f"with `aws s3 mb s3://{BUCKET}-records`, or set RECORDS_BUCKET to another one. Until then, events wait in the "
        "index.\n"
    ]
    server.upload(make_wheel(tmp_path, "demo", "1.0"), "alice:ecila")
    assert server.open("/simple/demo/", "alice:ecila").status == 200
    assert server.stop() == 0


def test_settings_that_do_not_fit_the_first_user_stop_the_start(data: Path) -> None:
    done = run("serve", "--port", "0", "--data", str(data), ADMINS="alice")
    assert (done.returncode, done.stderr) == (1, "Error: ADMINS: 'alice' is no user: add it to USERS.\n")
    assert not (data / "user").exists()


def test_a_user_file_that_is_empty_stops_the_start(data: Path) -> None:
    data.mkdir()
    (data / "user").write_text("")
    done = run("serve", "--port", "0", "--data", str(data))
    sentence = f"Error: The file '{data}/user' has no user: elasticpypi password --data {data}\n"
    assert (done.returncode, done.stderr) == (1, sentence)


def test_requests_in_flight_are_finished(data: Path, servers: list[Server]) -> None:
    packages = data / "packages"
    packages.mkdir(parents=True)
    wheel = make_wheel(packages, "demo", "1.0", files={"noise": os.urandom(20_000_000)})
    server = Server(data, USERNAME="alice", PASSWORD="pa:ss")
    servers.append(server)
    with server.open(f"/packages/{wheel.name}", "alice:pa:ss") as response:
        start = response.read(1000)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)  # give it time to do the wrong thing
        assert start + response.read() == wheel.read_bytes()
    assert server.process.wait(40) == 0


@pytest.mark.req("REQ-89")
def test_a_line_per_request_without_secrets(data: Path, servers: list[Server]) -> None:
    server = Server(data, USERNAME="alice", PASSWORD="pa:ss")
    servers.append(server)
    server.open("/simple/?token=secret", "alice:pa:ss").read()
    with pytest.raises(urllib.error.HTTPError):
        server.open("/simple/x%0A127.0.0.1/", "alice:pa:ss")
    server.wait_for(lambda: len([line for line in server.logged if "/simple/" in line]) == 2)
    # Of two workers, who write as they like.
    lines = sorted((line for line in server.logged if "/simple/" in line), key=lambda line: "x%0A" in line)
    assert re.fullmatch(r'\[.+\] 127\.0\.0\.1 alice "GET /simple/" 200 \d+\.\d ms [0-9a-f-]+\n', lines[0])
    assert re.fullmatch(
        r'\[.+\] 127\.0\.0\.1 alice "GET /simple/x%0A127\.0\.0\.1/" 404 \d+\.\d ms [0-9a-f-]+\n', lines[1]
    )
    everything = "".join(server.logged + server.said)
    for secret in ("pa:ss", "secret", "YWxpY2U6cGE6c3M"):
        assert secret not in everything
    assert server.stop() == 0


def test_workers_agree_at_once(data: Path, servers: list[Server]) -> None:
    server = Server(data, USERS="alice:x", WORKERS="2")
    servers.append(server)
    for number in range(3):
        make_wheel(data / "packages", "demo", f"{number}.0")
        found: set[str] = set()

        def seen(found: set[str] = found, number: int = number) -> bool:
            page = server.open("/simple/demo/", "alice:x", Accept="application/vnd.pypi.simple.v1+json")
            found.update(json.load(page)["versions"])
            return f"{number}.0" in found

        def tolerant() -> bool:
            try:
                return seen()
            except urllib.error.HTTPError:
                return False

        server.wait_for(tolerant, 5)
        for _ in range(8):  # each a new connection, so that both workers answer
            page = server.open("/simple/demo/", "alice:x", Accept="application/vnd.pypi.simple.v1+json")
            assert f"{number}.0" in json.load(page)["versions"]


def test_what_one_worker_acknowledged_all_show_at_once(data: Path, tmp_path: Path, servers: list[Server]) -> None:
    server = Server(data, USERS="alice:x", WORKERS="3")
    servers.append(server)

    def versions() -> list[str]:
        """From whichever worker the kernel gives a new connection to."""
        page = server.open("/simple/demo/", "alice:x", Accept="application/vnd.pypi.simple.v1+json")
        return list(json.load(page)["versions"])

    for number in range(20):
        server.upload(make_wheel(tmp_path, "demo", f"{number}.0"), "alice:x")
        for _ in range(8):
            assert versions()[-1] == f"{number}.0"


def test_an_index_that_was_whole_is_served_and_follows(data: Path, servers: list[Server]) -> None:
    (data / "packages").mkdir(parents=True)
    old = make_wheel(data / "packages", "old", "1.0")
    server = Server(data, USERS="alice:x")
    servers.append(server)
    assert old.name in server.open("/simple/old/", "alice:x").read().decode()  # a new index is whole at once
    before = list(server.said)
    assert server.stop() == 0
    assert server.said == before  # a stop is nothing to be told of

    old.unlink()
    make_wheel(data / "packages", "new", "1.0")
    again = Server(data, USERS="alice:x")
    servers.append(again)
    again.wait_for(lambda: again.open("/simple/", "alice:x").read().decode().count("new/") == 1)
    again.wait_for(lambda: "old/" not in again.open("/simple/", "alice:x").read().decode())


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
def test_a_stop_that_meets_a_fork_is_not_lost() -> None:
    code = """
import os, signal
from elasticpypi.hosts.machine import processes
signal.signal(signal.SIGTERM, lambda *_: None)  # as it is in the main process
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))  # before its first line
processes._guard_forks()
pid = os.fork()
if not pid:
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
os.kill(os.getpid(), signal.SIGTERM)  # which is still ours
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{-signal.SIGTERM}\n", "")


def test_a_folder_that_cannot_be_read_stops_the_first_start(data: Path) -> None:
    data.mkdir()
    (data / "packages").write_text("no folder")
    done = run("serve", "--port", "0", "--data", str(data), USERS="alice:x")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: The folder '{data}/packages' cannot be used: not a directory."


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_whoever_follows_the_folder_is_replaced_when_it_ends(data: Path, servers: list[Server]) -> None:
    server = Server(data, USERS="alice:x")
    servers.append(server)

    def followers() -> list[int]:
        """The processes that the kernel tells of changes in folders."""
        main = server.process.pid
        threads = Path(f"/proc/{main}/task").iterdir()
        children = " ".join((thread / "children").read_text() for thread in threads).split()
        watching = []
        for pid in children:
            with contextlib.suppress(OSError):
                opened = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
                watching += [int(pid)] * ("anon_inode:inotify" in opened)
        return watching

    server.wait_for(lambda: len(followers()) == 1)
    [first] = followers()
    os.kill(first, signal.SIGKILL)
    server.wait_for(lambda: first not in followers() and len(followers()) == 1)
    assert "The process that follows the folder has ended (-9): another one does." in "".join(server.said)
    make_wheel(data / "packages", "demo", "1.0")
    server.wait_for(lambda: "demo/" in server.open("/simple/", "alice:x").read().decode())
    [second] = followers()
    assert server.stop() == 0
    assert not Path(f"/proc/{second}").exists()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"OVERWRITE": "maybe"}, "Error: OVERWRITE must be true or false, not 'maybe'.\n"),
        ({"BUCKET": "b"}, "Error: BUCKET is set but TABLE is not: set both for AWS, or none for one machine.\n"),
        (
            {"USERNAME": "a", "PASSWORD": "something-secretive"},
            "Error: PASSWORD is the sample password that everybody can read: choose another.\n",
        ),
        ({"BUCKET": "b", "TABLE": "t"}, "Error: No user is set: set USERNAME and PASSWORD, or USERS.\n"),
        (
            {"BUCKET": "b", "TABLE": "t", "USERS": "a:b", "HOME": "/nowhere"},
            "Error: AWS cannot be used: You must specify a region. Set AWS_DEFAULT_REGION or AWS_PROFILE.\n",
        ),
    ],
)
def test_a_wrong_setting_stops_the_start(data: Path, environ: dict[str, str], sentence: str) -> None:
    done = run("serve", "--port", "0", "--data", str(data), **environ)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)
    assert not data.exists()


def test_a_port_that_is_taken_stops_the_start(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), "--data", str(data))
    sentence = f"Cannot listen on 127.0.0.1:{port} (address already in use): choose another --port or --host."
    assert (done.returncode, done.stderr) == (1, f"Error: {sentence}\n")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell of processes in other ways")
def test_a_readme_holds_up_nobody(data: Path, tmp_path: Path, servers: list[Server]) -> None:
    """While it is rendered the same worker answers; if that is cut off, the next view tries again."""
    user = "alice:wonderland"
    server = Server(data, USERNAME="alice", PASSWORD="wonderland", WORKERS="1")
    servers.append(server)
    server.upload(make_wheel(tmp_path, "demo", "1.0", **described(SLOW, "text/markdown")), user)
    server.upload(make_wheel(tmp_path, "other", "1.0", **described("Other", "text/plain")), user)
    before = 0
    with ThreadPoolExecutor() as pool:
        for _ in range(2):
            view = pool.submit(server.open, "/project/demo/", user)
            child = until(lambda: rendering_below(server.process.pid), "a process that renders")
            os.kill(child, signal.SIGSTOP)
            for path in ("/simple/demo/", "/project/other/", "/packages/demo-1.0-py3-none-any.whl", "/health"):
                assert server.open(path, user).status == 200
            assert not view.done()
            os.kill(child, signal.SIGKILL)  # as a system without memory does
            with view.result() as answer:
                assert b'<pre class="plain"' in answer.read()
                assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == (None, "no-store")
            assert child != before
            before = child


@pytest.mark.slow
def test_strangers_who_guess_slow_nobody_else(data: Path, servers: list[Server]) -> None:
    """The real server: 64 strangers at one hash, while alice goes on and bob logs in for the first time."""
    hashes = ",".join(f"{name}:{generate_password_hash(name[::-1])}" for name in ("alice", "bob", "carol"))
    server = Server(data, USERS=hashes, WORKERS="1")
    servers.append(server)
    guesses, told, stop = count(), set[tuple[int, bool]](), threading.Event()

    def guess() -> None:
        while not stop.is_set():
            try:
                server.open("/simple/", f"carol:{next(guesses)}")
            except urllib.error.HTTPError as error:
                with error:
                    told.add((error.code, "Retry-After" in error.headers))

    assert server.open("/simple/", "alice:ecila").status == 200
    with ThreadPoolExecutor(64) as pool:
        strangers = [pool.submit(guess) for _ in range(64)]
        try:
            server.wait_for(lambda: next(guesses) > 150)
            assert all(server.open("/simple/", "alice:ecila").status == 200 for _ in range(20))
            assert server.open("/simple/", "bob:bob").status == 200
        finally:
            stop.set()
        for stranger in strangers:
            stranger.result()
    assert told == {(401, False), (429, True)}
    server.wait_for(lambda: "WARNING: Failed logins of user 'carol' from 127.0.0.1: " in "".join(server.said))
    assert server.stop() == 0
