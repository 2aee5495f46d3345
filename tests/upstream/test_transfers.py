"""Files of another index on their way: once for all, right or not at all, and nobody waits without end."""

import errno
import hashlib
import logging
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.core.errors import Unavailable
from elasticpypi.policy import Upstream
from elasticpypi.storage.contracts import UpstreamStore
from elasticpypi.storage.local.upstream import FolderUpstream
from elasticpypi.storage.local.upstream import Incoming as FolderIncoming
from elasticpypi.upstream import fetch, loops, transfers
from elasticpypi.upstream.fetch import Client
from elasticpypi.upstream.places import Places
from elasticpypi.upstream.transfers import BACK, CHUNK, Transfers
from tests.support import ROOT
from tests.support.fake_upstream import Answer, FakeUpstream, fake_upstream
from tests.support.waiting import until

NAME = "demo-1.0.tar.gz"
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(200_000))  # 800 kB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = f"/files/{NAME}"


@pytest.fixture
def fake() -> Iterator[FakeUpstream]:
    with fake_upstream() as made:
        made.tell(PATH, Answer(CONTENT))
        yield made


@pytest.fixture
def store(tmp_path: Path) -> UpstreamStore:
    return FolderUpstream(tmp_path)


class Process:
    """What a process has of its own; all of them share a store."""

    def __init__(self, fake: FakeUpstream, folder: Path, places: Places | None = None) -> None:
        self.store = FolderUpstream(folder)
        self.transfers = Transfers(self.store, places or Places())
        self.client = Client(Upstream("main", fake.url), fake.url, lambda: "me")
        self.url = f"{fake.base}{PATH}"

    def read(self, sha256: str = SHA256, size: int = len(CONTENT), url: str = "") -> Generator[bytes]:
        return self.transfers.read(self.client, NAME, sha256, url or self.url, size)

    def all(self, **changes: Any) -> bytes:
        return b"".join(self.read(**changes))


@pytest.fixture
def process(fake: FakeUpstream, tmp_path: Path) -> Iterator[Process]:
    made = Process(fake, tmp_path)
    yield made
    fake.gone.set()
    until(lambda: not made.transfers._running)


@pytest.fixture
def other(fake: FakeUpstream, tmp_path: Path) -> Iterator[Process]:
    made = Process(fake, tmp_path)
    yield made
    fake.gone.set()
    until(lambda: not made.transfers._running)


def incoming(folder: Path) -> list[Path]:
    return list((folder / "upstream/incoming").iterdir())


# ---- One way


def test_the_first_one_streams_it_and_it_is_kept(process: Process, fake: FakeUpstream, tmp_path: Path) -> None:
    chunks = list(process.read())
    assert b"".join(chunks) == CONTENT
    assert max(map(len, chunks)) <= CHUNK
    assert process.store.size(SHA256) == len(CONTENT)
    assert process.all() == CONTENT
    assert len(fake.asked(PATH)) == 1
    until(lambda: not incoming(tmp_path))


def test_bytes_come_before_the_file_is_whole_but_not_the_last_ones(process: Process, fake: FakeUpstream) -> None:
    go = threading.Event()
    fake.tell(PATH, Answer(CONTENT, middle=go.wait))
    reading, got = process.read(), b""
    with closing(reading):
        while len(got) < len(CONTENT) // 2 - BACK:
            got += next(reading)
        assert len(got) == len(CONTENT) // 2 - BACK
        go.set()
        assert got + b"".join(reading) == CONTENT


@pytest.mark.parametrize("size", [0, 1, BACK, BACK + 1])
def test_files_of_any_size_come_whole(process: Process, fake: FakeUpstream, size: int) -> None:
    content = CONTENT[:size]
    fake.tell(PATH, Answer(content))
    assert process.all(sha256=hashlib.sha256(content).hexdigest(), size=size) == content


def test_a_file_whose_size_nobody_tells(process: Process, fake: FakeUpstream) -> None:
    fake.tell(PATH, Answer(CONTENT, announces=None))
    assert process.all(size=-1) == CONTENT


@pytest.mark.parametrize("clients", [2, 64])
def test_many_clients_of_two_processes_fetch_it_once(
    process: Process, other: Process, fake: FakeUpstream, clients: int
) -> None:
    go = threading.Event()
    fake.tell(PATH, Answer(CONTENT, middle=go.wait))
    with ThreadPoolExecutor(clients) as pool:
        found = [pool.submit((process, other)[number % 2].all) for number in range(clients)]
        until(lambda: fake.requests)
        go.set()
        assert all(each.result() == CONTENT for each in found)
    assert len(fake.asked(PATH)) == 1


# ---- Nothing wrong is delivered whole (REQ-U37)


WRONG = bytes(len(CONTENT))
LIES = {
    "other bytes": Answer(WRONG),
    "the last byte": Answer(CONTENT[:-1] + b"\xff"),
    "the first byte": Answer(b"?" + CONTENT[1:]),
    "cut off": Answer(CONTENT, ends=len(CONTENT) - 1000),
    "shorter": Answer(CONTENT[:-1000]),
    "longer": Answer(CONTENT + b"more"),
    "longer than it says": Answer(CONTENT + b"more", announces=None),
    "other bytes, and more of them": Answer(WRONG + bytes(500_000), announces=None),
    "a wrong length": Answer(CONTENT, announces=len(CONTENT) + 5),
    "another status": Answer(CONTENT, 500),
    "not there": Answer(b"", 404),
    "gone": Answer(b"", 410),
    "in part": Answer(CONTENT, 206),
    "refused": Answer(b"", 429, headers={"Retry-After": "1"}),
}


@pytest.mark.parametrize("answer", LIES.values(), ids=list(LIES))
@pytest.mark.parametrize("size", [len(CONTENT), -1])
def test_nothing_wrong_is_ever_delivered_whole(
    process: Process, fake: FakeUpstream, tmp_path: Path, answer: Answer, size: int
) -> None:
    fake.tell(PATH, answer)
    got = []
    with pytest.raises(Unavailable):
        got += process.read(size=size)
    # Who has been told a size must not have so many bytes; all others see that it was broken off.
    assert len(b"".join(got)) <= max((len(CONTENT) if size > 0 else len(answer.body)) - BACK, 0)
    until(lambda: not incoming(tmp_path))
    assert process.store.size(SHA256) is None
    fake.answers[PATH] = Answer(CONTENT)
    fake_again = Process(fake, tmp_path)
    assert fake_again.all() == CONTENT


def test_a_part_of_a_lie_is_not_mixed_with_the_truth(
    process: Process, other: Process, fake: FakeUpstream, tmp_path: Path
) -> None:
    """A process that dies had a liar before it; the reader in another one has half of that."""
    dead = process.store.begin(SHA256)
    assert isinstance(dead, FolderIncoming)
    dead.write(WRONG[:400_000])
    reading = other.read()
    got = next(reading)
    dead._path.unlink()
    dead.drop()
    more: list[bytes] = []
    with pytest.raises(Unavailable, match="do not fit"):
        more += reading
    assert len(got + b"".join(more)) < len(CONTENT)
    assert other.store.size(SHA256) == len(CONTENT)


def test_the_hash_in_the_path_is_looked_at_too(process: Process, fake: FakeUpstream) -> None:
    right = hashlib.blake2b(CONTENT, digest_size=32).hexdigest()
    for digest, is_right in ((right, True), (SHA256, True), ("0" * 64, False)):
        process.store.tidy(0)
        path = f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{NAME}"
        fake.tell(path, Answer(CONTENT))
        if is_right:
            assert process.all(url=f"{fake.base}{path}") == CONTENT
        else:
            with pytest.raises(Unavailable, match="other bytes"):
                process.all(url=f"{fake.base}{path}")


# ---- Clients that go, processes that die


def test_it_ends_when_nobody_waits_any_more(process: Process, fake: FakeUpstream, tmp_path: Path) -> None:
    go = threading.Event()
    fake.tell(PATH, Answer(CONTENT, rate=(CHUNK, 0.01), middle=go.wait))
    reading = process.read()
    next(reading)
    reading.close()
    go.set()
    until(lambda: not incoming(tmp_path))
    until(lambda: not process.transfers._running)


def test_it_goes_on_when_more_than_half_is_there(process: Process, fake: FakeUpstream) -> None:
    go = threading.Event()
    fake.tell(PATH, Answer(CONTENT, middle=go.wait))
    reading, got = process.read(), 0
    while got < len(CONTENT) // 2 - BACK:
        got += len(next(reading))
    reading.close()
    go.set()
    until(lambda: process.store.size(SHA256))


def test_it_goes_on_when_others_wait(process: Process, fake: FakeUpstream) -> None:
    go = threading.Event()
    fake.tell(PATH, Answer(CONTENT, before=go.wait))
    with ThreadPoolExecutor(2) as pool:
        first, second = process.read(), pool.submit(process.all)
        third = pool.submit(next, first)
        until(lambda: any(each._readers == 2 for each in process.transfers._running.values()))
        go.set()
        third.result()
        first.close()
        assert second.result() == CONTENT
    assert len(fake.asked(PATH)) == 1


def test_who_is_slow_gets_it_after_it_was_removed(process: Process) -> None:
    reading = process.read()
    got = next(reading)
    until(lambda: process.store.size(SHA256))
    assert process.store.tidy(0) == 1
    assert got + b"".join(reading) == CONTENT


FETCH = """
import sys
from pathlib import Path
from elasticpypi.policy import Upstream
from elasticpypi.upstream.fetch import Client
from elasticpypi.upstream.places import Places
from elasticpypi.upstream.transfers import Transfers
from elasticpypi.storage.local.upstream import FolderUpstream
folder, base, url, sha256, size = sys.argv[1:]
client = Client(Upstream("main", base), base)
for chunk in Transfers(FolderUpstream(Path(folder)), Places()).read(client, "demo", sha256, url, int(size)):
    print("a chunk", flush=True)
"""


@pytest.mark.network
@pytest.mark.slow
def test_after_a_process_was_killed_the_next_one_begins_anew_and_readers_go_on(
    process: Process, fake: FakeUpstream, tmp_path: Path
) -> None:
    go = threading.Event()
    fake.tell(PATH, Answer(CONTENT, middle=go.wait))
    told = [str(tmp_path), fake.url, process.url, SHA256, str(len(CONTENT))]
    with subprocess.Popen([sys.executable, "-c", FETCH, *told], cwd=ROOT, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"a chunk\n"
        reading = process.read()
        got = next(reading)
        assert len(fake.asked(PATH)) == 1
        killed.kill()
    go.set()
    assert got + b"".join(reading) == CONTENT
    assert len(fake.asked(PATH)) == 2


# ---- Nobody waits without end


def test_a_file_that_does_not_come_is_not_waited_for(
    process: Process, other: Process, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "QUEUE", 0.2)
    monkeypatch.setattr(transfers, "SILENT", 0.2)
    fake.tell(PATH, Answer(CONTENT, before=fake.hang))
    for each in (process, other):
        with pytest.raises(Unavailable, match=r"does not come|cannot be fetched"):
            each.all()


@pytest.mark.parametrize("way", ["before", "middle", "drips", "drips chunks"])
def test_a_transfer_ends_whatever_the_index_does(
    process: Process, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    monkeypatch.setattr(fetch, "READ", 0.2)
    monkeypatch.setattr(fetch, "GRACE", 0.4)
    monkeypatch.setattr(fetch, "SLOWEST", 10**9)
    fake.tell(
        PATH,
        {
            "before": Answer(CONTENT, before=fake.hang),
            "middle": Answer(CONTENT, middle=fake.hang),
            "drips": Answer(CONTENT, rate=(1000, 0.05)),
            "drips chunks": Answer(b"x", rate=(1, 0.15), chunked=True),
        }[way],
    )
    with pytest.raises(Unavailable):
        process.all()
    until(lambda: not process.transfers._running)
    assert not incoming(tmp_path)


def test_few_are_fetched_at_once_and_what_is_small_does_not_wait_for_them(
    process: Process, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    monkeypatch.setattr(process.transfers, "_large", threading.Semaphore(1))
    monkeypatch.setattr(transfers, "SMALL", 1000)
    small = b"small"
    fake.tell("/small", Answer(small))
    fake.tell("/large", Answer(CONTENT))
    fake.tell(PATH, Answer(CONTENT, middle=go.wait))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(process.all)
        until(lambda: fake.asked(PATH))
        waits = pool.submit(process.all, sha256="1" * 64, url=f"{fake.base}/large")
        until(lambda: "1" * 64 in process.transfers._running)
        digest = hashlib.sha256(small).hexdigest()
        assert process.all(sha256=digest, size=len(small), url=f"{fake.base}/small") == small
        assert not fake.asked("/large")
        go.set()
        assert first.result() == CONTENT
        assert isinstance(waits.exception(), Unavailable)  # it has another digest
    assert fake.asked("/large")


def test_there_are_places_for_so_many(fake: FakeUpstream, tmp_path: Path) -> None:
    places = Places(1)
    process = Process(fake, tmp_path, places)
    with places, pytest.raises(Unavailable, match="Too many wait"):
        next(process.read())
    reading = process.read()
    next(reading)
    reading.close()
    with places:
        pass
    fake.gone.set()
    until(lambda: not process.transfers._running)


# ---- The disk


def test_a_file_that_does_not_fit_on_the_disk_is_not_begun(
    process: Process, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FolderUpstream, "free", lambda _: transfers.SPARE + 1000)
    for size in (len(CONTENT), -1):
        with pytest.raises(Unavailable, match="no room on the disk"):
            process.all(size=size)
    assert process.store.size(SHA256) is None


def test_a_disk_that_becomes_full_is_no_failure_of_the_index(
    process: Process, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FolderIncoming, "write", full)
    for _ in range(fetch.FAILURES + 1):
        with pytest.raises(Unavailable, match="cannot be kept: no space left on device"):
            process.all()
        until(lambda: not incoming(tmp_path))
    monkeypatch.undo()
    assert process.all() == CONTENT


def test_a_file_without_a_size_ends_when_the_disk_is_nearly_full(
    process: Process, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([transfers.SPARE + 1] * 2 + [0] * 100)
    monkeypatch.setattr(FolderUpstream, "free", lambda _: next(free))
    monkeypatch.setattr(transfers, "EVERY", 100_000)
    fake.tell(PATH, Answer(CONTENT, announces=None))
    with pytest.raises(Unavailable, match="no room on the disk"):
        process.all(size=-1)


def test_no_thread_can_be_started(process: Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(transfers._Transfer, "start", no)
        with pytest.raises(Unavailable, match="too much to do"):
            process.all()
    assert not incoming(tmp_path)
    assert process.all() == CONTENT


# ---- A copy that nobody waits for


def test_a_copy_is_made_without_a_reader(process: Process, fake: FakeUpstream) -> None:
    for _ in range(3):
        process.transfers.keep(process.client, SHA256, process.url, len(CONTENT))
    until(lambda: process.store.size(SHA256))
    process.transfers.keep(process.client, SHA256, process.url, len(CONTENT))
    assert len(fake.asked(PATH)) == 1


def test_a_copy_that_cannot_be_made_is_a_line_in_the_log(
    process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FolderUpstream, "free", lambda _: 0)
    with caplog.at_level(logging.WARNING):
        process.transfers.keep(process.client, SHA256, process.url, len(CONTENT))
    assert "no room on the disk" in caplog.text


def test_who_asked_for_it_is_told_on(process: Process, fake: FakeUpstream) -> None:
    before = loops.came_through.set("first")
    try:
        assert process.all() == CONTENT
    finally:
        loops.came_through.reset(before)
    assert fake.requests[0].headers["cdn-loop"] == "first, me"


def test_credentials_are_in_no_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with fake_upstream("Basic YW5uYTpzZWNyZXQ=") as fake:
        fake.tell(PATH, Answer(WRONG))
        process = Process(fake, tmp_path)
        process.client = Client(Upstream("main", fake.url), fake.url.replace("://", "://anna:secret@"))
        with pytest.raises(Unavailable) as raised:
            process.all()
        until(lambda: not process.transfers._running)
    assert "secret" not in caplog.text + str(raised.value)
