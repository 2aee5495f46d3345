"""Signals and ends of processes, at any moment: `elasticpypi serve` ends when it is told to, and only then."""

import contextlib
import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.builders import make_wheel
from tests.support.processes import heeds_signals
from tests.support.serving import STARTED, Server

pytestmark = [pytest.mark.network, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

USERS = {"USERS": "alice:x"}
BATCHES, STOPS = 4, 5  # in the suite; 100 batches in `make soak`
BAD = re.compile(r"Traceback|Exception|WARNING|ERROR|[Kk]ill|Abort|core dumped")


class Index(Server):
    """A server in a session of its own, and its processes as the kernel knows them."""

    def children(self) -> set[int]:
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return {int(pid) for thread in threads for pid in (thread / "children").read_text().split()}

    def followers(self) -> set[int]:
        """Those whom the kernel tells of changes in folders."""
        return {pid for pid in self.children() if any("inotify" in name for name in opened(pid))}

    def workers(self) -> set[int]:
        """Those that have threads to answer with, and take connections."""
        return {pid for pid in self.children() - self.followers() if any("eventpoll" in name for name in opened(pid))}

    def is_complete(self, workers: int = 2) -> bool:
        return len(self.workers()) == workers and len(self.followers()) == 1 and len(self.children()) == workers + 1

    def session_is_empty(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def ends_well(self, seconds: float = 20) -> None:
        assert self.process.wait(seconds) == 0, "".join(self.said)
        for reader in self.readers:
            reader.join(seconds)
        assert not BAD.search("".join(self.said)), "".join(self.said)
        assert self.session_is_empty()


def opened(pid: int) -> list[str]:
    """What a process has open."""
    with contextlib.suppress(OSError):
        return [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    return []


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    running: list[Server] = []
    yield running
    for server in running:
        server.close()


def wait_until(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


# ---- Stops


@contextlib.contextmanager
def load(url: str) -> Iterator[list[str]]:
    """Clients that ask again and again, over one connection or many; yields what went wrong."""
    address = urlsplit(url)
    end = threading.Event()
    wrong: list[str] = []

    def ask(keep: bool) -> None:
        request = b"GET /simple/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YWxpY2U6eA==\r\n\r\n"
        while not end.is_set():
            try:
                with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
                    while not end.is_set():
                        connection.sendall(request)
                        answer = connection.recv(4096)
                        if not answer.startswith(b"HTTP/1.1 200"):
                            wrong.append(answer.decode() or "closed")
                        if not keep or not answer or b"connection: close" in answer.lower():
                            break
            except OSError as error:
                wrong.append(str(error))
            time.sleep(0.001)

    threads = [threading.Thread(target=ask, args=(keep,)) for keep in (True, False, False)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        end.set()
        for thread in threads:
            thread.join()


TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP
WAYS = [[TERM], [INT], [TERM, TERM], [INT, INT], [INT, TERM], [TERM, INT], [HUP, TERM], [TERM, HUP], [HUP, INT]]


def stop_somehow(server: Index, chance: random.Random) -> None:
    """One signal or two, to the main process or to all; and it ends as it should."""
    for number in chance.choice(WAYS):
        with contextlib.suppress(ProcessLookupError):
            chance.choice([os.kill, os.killpg])(server.process.pid, number)
        time.sleep(chance.choice([0, chance.random() * 0.003, chance.random() * 0.03]))
    server.ends_well()


def stops(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(STOPS):
        server = Index(folder / str(number), wait=False, **USERS)
        try:
            if chance.random() < 0.3:  # in the midst of its start, once it is there
                server.wait_for(lambda server=server: server.said)  # type: ignore[misc]
                time.sleep(chance.random() * 0.2)
                stop_somehow(server, chance)
                continue
            server.wait_until_up()
            with load(server.url) as wrong:
                time.sleep(chance.random() * 0.2)
                assert not wrong
                stop_somehow(server, chance)
            assert not any(answer.startswith("HTTP") for answer in wrong)
        except AssertionError as error:
            raise AssertionError(f"stop {number} of seed {seed}: {error}") from error
        finally:
            server.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(BATCHES))
def test_a_stop_at_any_moment(tmp_path: Path, seed: int) -> None:
    stops(tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(BATCHES, BATCHES + 100))
def test_500_stops(tmp_path: Path, seed: int) -> None:
    stops(tmp_path, seed)


def half_a_download(server: Index, wheel: Path) -> socket.socket:
    """A client that has begun to take a large file, and waits."""
    url = urlsplit(server.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((url.hostname, url.port))
    connection.settimeout(20)
    head = f"GET /packages/{wheel.name} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YWxpY2U6eA==\r\n"
    connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
    assert connection.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL) == b"HTTP/1.1 200"
    return connection


def rest(connection: socket.socket) -> bytes:
    received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    return received.partition(b"\r\n\r\n")[2]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    packages = tmp_path / "data" / "packages"
    packages.mkdir(parents=True)
    return make_wheel(packages, "demo", "1.0", files={"noise": os.urandom(20_000_000)})


def test_a_second_ctrl_c_does_not_wait_for_requests(tmp_path: Path, large: Path, servers: list[Server]) -> None:
    server = Index(tmp_path / "data", **USERS)
    servers.append(server)
    with half_a_download(server, large):
        for number in (INT, TERM, INT):  # the first Ctrl-C may come twice
            os.killpg(server.process.pid, number)
        server.wait_for(lambda: "Ctrl-C again ends them now" in "".join(server.said))
        server.process.send_signal(TERM)  # which is no Ctrl-C
        server.process.send_signal(INT)
        server.ends_well(10)


@pytest.mark.soak
def test_a_request_that_never_ends_is_ended(tmp_path: Path, large: Path, servers: list[Server]) -> None:
    server = Index(tmp_path / "data", **USERS)
    servers.append(server)
    with half_a_download(server, large):
        server.process.send_signal(TERM)
        assert server.process.wait(40) == 0
    assert server.session_is_empty()


def test_who_starts_it_in_the_background_has_sigint_ignored(tmp_path: Path, servers: list[Server]) -> None:
    server = Index(tmp_path, prepare=lambda: signal.signal(INT, signal.SIG_IGN) and None, **USERS)
    servers.append(server)
    server.wait_for(server.is_complete)
    everybody = server.children()
    for _ in range(3):
        os.killpg(server.process.pid, INT)
    ignored = int(Path(f"/proc/{server.process.pid}/status").read_text().partition("SigIgn:")[2].split()[0], 16)
    assert ignored >> (INT - 1) & 1
    assert server.is_up()
    assert server.children() == everybody
    server.process.send_signal(TERM)
    server.ends_well()


@pytest.mark.parametrize("up", [True, False])
def test_a_terminal_that_closes_ends_it(tmp_path: Path, up: bool) -> None:
    pid, terminal = pty.fork()
    if not pid:
        heeds_signals()
        command = [sys.executable, "-m", "elasticpypi", "serve", "--port", "0", "--data", str(tmp_path)]
        os.execve(sys.executable, command, {**os.environ, **USERS})
    statuses: list[int] = []

    def has_ended() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        statuses.extend([status] * bool(found))
        return bool(found)

    try:
        said = ""
        while not (found := STARTED.search(said)):
            said += os.read(terminal, 4096).decode()
        if up:
            urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/health", timeout=20).close()
        os.close(terminal)
        wait_until(has_ended)
    finally:
        if not statuses:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(statuses[0]) == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


def test_without_its_main_process_nobody_goes_on(tmp_path: Path, servers: list[Server]) -> None:
    server = Index(tmp_path, **USERS)
    servers.append(server)
    server.wait_for(server.is_complete)
    server.process.kill()
    server.process.wait()
    wait_until(server.session_is_empty)


# ---- SIGHUP


@pytest.mark.slow
def test_sighup_replaces_all_and_cuts_nobody_off(tmp_path: Path, large: Path, servers: list[Server]) -> None:
    server = Index(tmp_path / "data", **USERS)
    servers.append(server)
    server.wait_for(server.is_complete)
    with half_a_download(server, large) as connection, load(server.url) as wrong:
        first = server.children()
        server.process.send_signal(HUP)
        server.wait_for(lambda: len(server.workers() - first) == 2 and len(server.workers() & first) == 1)
        assert rest(connection) == large.read_bytes()
        server.wait_for(lambda: server.is_complete() and not server.children() & first)
        for _ in range(2):
            before = server.children()
            server.process.send_signal(HUP)
            server.wait_for(lambda before=before: server.is_complete() and not server.children() & before)
        assert not wrong
    make_wheel(tmp_path / "data" / "packages", "other", "1.0")
    server.wait_for(lambda: "other/" in server.open("/simple/", "alice:x").read().decode())
    server.process.send_signal(TERM)
    server.ends_well()


def test_sighup_takes_a_new_password_if_it_fits(tmp_path: Path, servers: list[Server]) -> None:
    def set_password(text: str) -> None:
        command = [sys.executable, "-m", "elasticpypi", "password", "--data", str(tmp_path)]
        subprocess.run(command, input=text, text=True, check=True, capture_output=True)

    set_password("first\n")
    server = Index(tmp_path)
    servers.append(server)
    server.wait_for(server.is_complete)
    set_password("second\n")
    before = server.children()
    server.process.send_signal(HUP)
    server.wait_for(lambda: server.is_complete() and not server.children() & before)
    assert server.open("/simple/", "elasticpypi:second").status == 200

    (tmp_path / "user").write_text("")
    before = server.children()
    server.process.send_signal(HUP)
    server.wait_for(lambda: "has no user" in "".join(server.said))
    assert "Everything goes on as before." in "".join(server.said)
    assert server.open("/simple/", "elasticpypi:second").status == 200
    assert server.children() == before
    assert server.stop() == 0


# ---- Ends that nobody asked for


def kill_one_after_the_other(server: Index, count: int) -> None:
    """The worker that came last, as soon as it is there; somebody answers all the time."""
    before = server.workers()
    victim = before.pop()
    for _ in range(count):
        os.kill(victim, signal.SIGKILL)
        server.wait_for(lambda victim=victim: victim not in server.children(), 5)
        new: set[int] = set()  # what this look has seen: another one may miss a process that is just starting
        server.wait_for(lambda new=new: bool(new.update(server.workers() - before) or new) and server.is_up(), 40)
        [victim] = new
        assert server.open("/simple/", "alice:x").status == 200


def test_a_worker_that_dies_again_and_again(tmp_path: Path, servers: list[Server]) -> None:
    server = Index(tmp_path, **USERS)
    servers.append(server)
    server.wait_for(server.is_complete)
    kill_one_after_the_other(server, 3)
    told = [line for line in server.said if "has ended" in line]
    sentence = "ERROR: The process that answers requests has ended (-9): another one does"
    assert told == [f"{sentence}.\n", f"{sentence} in 1 s.\n", f"{sentence} in 2 s.\n"]
    assert server.stop() == 0


@pytest.mark.soak
def test_ten_ends_in_a_row(tmp_path: Path, servers: list[Server]) -> None:
    server = Index(tmp_path, **USERS)
    servers.append(server)
    server.wait_for(server.is_complete)
    kill_one_after_the_other(server, 10)
    assert [line.split()[-2] for line in server.said if "has ended" in line][-2:] == ["30", "30"]
    assert server.stop() == 0


def test_without_any_worker_connections_wait(tmp_path: Path, servers: list[Server]) -> None:
    server = Index(tmp_path, WORKERS="1", **USERS)
    servers.append(server)
    server.wait_for(lambda: server.is_complete(1))
    for _ in range(2):
        [worker] = server.workers()
        os.kill(worker, signal.SIGKILL)
        # Nobody is there to take it: the second time for a second.
        assert server.open("/simple/", "alice:x").status == 200
    assert server.stop() == 0


def test_a_stop_does_not_wait_for_a_pause(tmp_path: Path, servers: list[Server]) -> None:
    server = Index(tmp_path, **USERS)
    servers.append(server)
    server.wait_for(server.is_complete)
    for pause in ("does.", "in 1 s.", "in 2 s."):
        server.wait_for(server.is_complete)
        [follower] = server.followers()
        os.kill(follower, signal.SIGKILL)
        server.wait_for(lambda pause=pause: pause in "".join(server.said))
    server.process.send_signal(TERM)
    assert server.process.wait(2) == 0
