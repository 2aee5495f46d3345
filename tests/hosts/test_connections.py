"""Slow and idle connections of one client, and what they leave to everybody else."""

import os
import resource
import select
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from elasticpypi.hosts.machine import connections
from elasticpypi.hosts.machine.connections import Counts, Mark, progress
from tests.support.application import basic
from tests.support.builders import make_sparse_wheel, make_wheel, upload_form
from tests.support.serving import Server

pytestmark = pytest.mark.network

USER = "alice:secret"
LARGE = 30_000_000
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the counters of connections are those of Linux")
SLOW_LOOK = """
import pathlib, time
from elasticpypi.actions import upload
accept = upload.accept
def slow(*arguments):
    while not pathlib.Path("{go}").exists():
        time.sleep(0.01)
    return accept(*arguments)
upload.accept = slow
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start `serve` with other limits, on a folder with a small file and a large one."""
    running: list[Server] = []
    packages = tmp_path / "data" / "packages"
    packages.mkdir(parents=True)
    make_wheel(packages, "small", "1.0")
    make_sparse_wheel(packages, "large", "1.0", LARGE)

    def begin(first: str = "", *, workers: int = 1, **limits: float) -> Server:
        lines = [f"connections.{name} = {value}" for name, value in limits.items()]
        program = "\n".join(
            ["from elasticpypi.hosts.machine import connections", *lines, first, "from elasticpypi.cli import main"]
        )
        environ = {"USERS": USER, "WORKERS": str(workers)}
        server = Server(tmp_path / "data", program=("-c", f"{program}\nmain(prog_name='elasticpypi')"), **environ)
        running.append(server)
        return server

    yield begin
    while Client.all:
        Client.all.pop().socket.close()
    for server in running:
        server.stop()
        for stream in (server.process.stdout, server.process.stderr):
            assert stream is not None
            stream.close()


class Client:
    """A connection that sends what it is told; all are closed when a test is over."""

    all: ClassVar[list["Client"]] = []

    def __init__(self, server: Server, *lines: str, body: bytes = b"") -> None:
        parts = urlsplit(server.url)
        self.socket = socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20)
        self.all.append(self)
        if lines:
            head = [lines[0], "Host: x", f"Authorization: {basic(USER)}", *lines[1:]]
            self.socket.sendall("".join(f"{line}\r\n" for line in [*head, ""]).encode() + body)

    def begins(self) -> bytes:
        """The first bytes of the answer, as far as they have come."""
        return self.socket.recv(20)

    def answer(self) -> bytes:
        """The whole of an answer that is short."""
        found = self.begins()
        while b"\n" not in found.partition(b"\r\n\r\n")[2]:  # the last line of the body
            found += self.socket.recv(65536)
        return found

    def waits(self) -> bool:
        """Whether there is no answer yet."""
        return not select.select([self.socket], [], [], 0)[0]

    def is_open(self) -> bool:
        """Whether the server has not ended it; takes nothing of what waits to be read."""
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1  # TCP_ESTABLISHED


def download(server: Server) -> Client:
    return Client(server, "GET /packages/large-1.0-py3-none-any.whl HTTP/1.1")


def upload(server: Server, length: int = 1_000_000, body: bytes = b"") -> Client:
    kind = "Content-Type: multipart/form-data; boundary=x"
    return Client(server, "POST /legacy/ HTTP/1.1", kind, f"Content-Length: {length}", body=body)


def said(server: Server) -> str:
    return "".join(server.said)


def test_idle_connections_keep_nobody_out(start: Callable[..., Server]) -> None:
    server = start(workers=2)
    for make in (lambda: Client(server), lambda: Client(server, "GET / HTTP/1.1", "X: half")):
        idle = [make() for _ in range(300)]
        assert server.open("/simple/", USER).status == 200
    assert len(idle) == 300


@LINUX
def test_a_client_that_takes_nothing_is_ended(start: Callable[..., Server]) -> None:
    server = start(PATIENCE=1, LOOK=0.1)
    clients = [download(server) for _ in range(10)]
    for client in clients:
        assert client.begins().startswith(b"HTTP/1.1 200")
    server.wait_for(lambda: not any(client.is_open() for client in clients))
    server.wait_for(lambda: "moved less than 64 kB in 1 s and were ended" in said(server))
    assert "of 127.0.0.1." in said(server)
    assert server.open("/packages/large-1.0-py3-none-any.whl", USER).read(10)


@LINUX
def test_a_client_that_sends_nothing_is_ended(start: Callable[..., Server]) -> None:
    server = start(PATIENCE=1, LOOK=0.1)
    clients = [upload(server), upload(server, body=b"-" * 2000), upload(server)]

    def trickle() -> bool:
        with suppress(OSError):
            clients[-1].socket.send(b"-")
        return not any(client.is_open() for client in clients)

    server.wait_for(trickle)
    server.wait_for(lambda: "were ended" in said(server))
    assert server.open("/simple/", USER).status == 200


@LINUX
@pytest.mark.slow
def test_a_client_that_asks_and_asks_and_takes_nothing_is_ended(start: Callable[..., Server]) -> None:
    server = start(PATIENCE=1, LOOK=0.1)
    client = Client(server)
    client.socket.setblocking(False)
    asked = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 100  # without a user

    def ask() -> bool:
        with suppress(OSError):
            while client.socket.send(asked):
                pass
        return not client.is_open()

    server.wait_for(ask)
    server.wait_for(lambda: "were ended" in said(server))


@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_a_body_that_nobody_waits_for_holds_nothing(start: Callable[..., Server], length: str) -> None:
    server = start()
    client = Client(server)
    client.socket.sendall(f"POST /legacy/ HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode())
    assert client.begins().startswith(b"HTTP/1.1 401")
    while client.socket.recv(1000):  # until the server closes
        pass


@LINUX
def test_a_slow_client_that_goes_on_comes_to_its_end(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(PATIENCE=2, LOOK=0.1, PORTION=1000)
    stalled, form = upload(server), _form(make_wheel(tmp_path, "demo", "1.0", files={"x": os.urandom(50_000)}))
    slow = upload(server, len(form))
    sent = 0

    def send() -> bool:
        nonlocal sent
        slow.socket.sendall(form[sent : sent + 100])
        sent += 100
        return not stalled.is_open()

    server.wait_for(send)  # once each 20 ms
    assert 0 < sent < len(form)
    slow.socket.sendall(form[sent:])
    assert slow.answer().startswith(b"HTTP/1.1 200 ")


@LINUX
def test_what_is_looked_at_for_long_is_not_taken_for_a_client_that_sends_nothing(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    server = start(SLOW_LOOK.format(go=go), PATIENCE=1, LOOK=0.1, BUSY=0.2)
    form = _form(make_wheel(tmp_path, "demo", "1.0"))
    whole = upload(server, len(form), form)
    stalled = upload(server)
    server.wait_for(lambda: not stalled.is_open())
    assert whole.is_open()
    go.touch()
    assert whole.answer().startswith(b"HTTP/1.1 200 ")


def test_large_bodies_leave_threads_to_others(start: Callable[..., Server]) -> None:
    server = start(BODIES=2, THREADS=4)
    held = [download(server), download(server)]
    for client in held:
        assert client.begins().startswith(b"HTTP/1.1 200")
    for other in (download(server), upload(server, 5, b"12345")):
        answer = other.answer()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5\r\n" in answer
        assert b"Too many large files are sent and received at this moment: try again in a minute." in answer
    for path in ("/simple/", "/packages/small-1.0-py3-none-any.whl"):
        assert server.open(path, USER).status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:  # who is nobody learns nothing, and holds nothing
        server.open("/packages/large-1.0-py3-none-any.whl", "alice:wrong")
    assert refused.value.code == 401
    refused.value.close()
    assert said(server).count("2 large bodies come and go in this worker, which is its limit") == 1
    for client in held:
        client.socket.close()
    server.wait_for(lambda: download(server).begins().startswith(b"HTTP/1.1 200"))


def test_an_upload_holds_a_thread_until_it_is_there(start: Callable[..., Server]) -> None:
    server = start(BODIES=1, THREADS=4)
    slow = upload(server, body=b"-")

    def is_full() -> bool:
        nonlocal slow
        if not slow.waits():  # one of the others was first
            slow = upload(server, body=b"-")
        other = download(server)
        found = other.begins()
        other.socket.close()
        return found.startswith(b"HTTP/1.1 503")

    server.wait_for(is_full)
    assert server.open("/simple/", USER).status == 200
    slow.socket.close()
    server.wait_for(lambda: download(server).begins().startswith(b"HTTP/1.1 200"))


@LINUX
def test_a_limit_of_connections_is_told(start: Callable[..., Server]) -> None:
    server = start(CONNECTIONS=20, LOOK=0.1)
    clients = [Client(server) for _ in range(25)]
    server.wait_for(lambda: "This worker has 20 connections, which is its limit: others wait." in said(server))
    for client in clients:
        client.socket.close()
    server.wait_for(server.is_up)
    assert said(server).count("which is its limit") == 1


@pytest.mark.parametrize(("soft", "hard", "possible"), [(256, 1024, 512), (256, 4096, 2048), (1024, 1024, 512)])
def test_the_limit_of_open_files_is_raised_as_far_as_may_be(soft: int, hard: int, possible: int) -> None:
    told = _room(soft, hard)
    assert told.stdout.split() == [str(possible), str(hard)]
    assert told.stderr == (
        f"A worker may open {hard} files (ulimit -Hn): it takes {possible} connections at once, not 8192.\n"
    )


def test_a_limit_of_open_files_that_suffices_is_not_told() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= hard < connections.FILES:
        pytest.skip("this machine allows fewer files")
    told = _room(256, hard)
    assert told.stdout.split() == [str(connections.CONNECTIONS), str(connections.FILES)]
    assert told.stderr == ""


OWES = 64 * 1024


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        pytest.param(Counts(0, 100, 0), Counts(0, 100, 0), True, id="nothing"),
        pytest.param(Counts(0, 100, 0), Counts(0, OWES, 0), True, id="sent too little"),
        pytest.param(Counts(0, 100, 0), Counts(0, OWES + 100, 0), False, id="sent enough"),
        pytest.param(Counts(0, 100, 0), Counts(300, 200, 0), False, id="answered, asked again"),
        pytest.param(Counts(0, 100, 0), Counts(0, 100, 500), False, id="an answer is on its way"),
        pytest.param(Counts(0, 100, 10**6), Counts(0, 100, 10**6), True, id="took nothing"),
        pytest.param(Counts(0, 100, 10**6), Counts(OWES - 1, 10**6, 10**6), True, id="took too little"),
        pytest.param(Counts(0, 100, 10**6), Counts(OWES, 100, 10**6), False, id="took enough"),
        pytest.param(Counts(0, 100, 500), Counts(500, 200, 500), False, id="took the answer, the next is on its way"),
        pytest.param(Counts(0, 100, 500), Counts(500, 100, 0), False, id="took all"),
    ],
)
def test_progress(before: Counts, after: Counts, stays: bool) -> None:
    mark = progress(None, before, 1.0)
    assert mark == Mark(1.0, before.waiting > 0, 0, mark.goal)
    assert (progress(mark, after, 2.0) == mark) is stays


def _room(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    program = (
        "import resource\nfrom elasticpypi.hosts.machine import connections\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "print(connections.room(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)


def _form(wheel: Path) -> bytes:
    """An upload as twine sends it, with the boundary that :func:`upload` names."""
    with wheel.open("rb") as content:
        file = FileStorage(content, filename=wheel.name)
        return encode_multipart({**upload_form(wheel), "content": file}, boundary="x")[1]
