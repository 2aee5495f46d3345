"""What is kept of other indexes: whole or not at all, by one at a time, and gone whenever there is no room."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.errors import Unavailable
from elasticpypi.storage.contracts import Incoming, UpstreamStore
from elasticpypi.storage.local.upstream import FolderUpstream
from tests.support import ROOT
from tests.support.waiting import until

DEMO = NormalizedName("demo")
CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> UpstreamStore:
    return FolderUpstream(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> UpstreamStore:
    """As another process has it: a lock is that of an open file."""
    return FolderUpstream(tmp_path)


def keep(store: UpstreamStore, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    incoming = begun(store, digest)
    incoming.write(content)
    incoming.keep()
    return digest


def begun(store: UpstreamStore, sha256: str = SHA256) -> Incoming:
    incoming = store.begin(sha256)
    assert incoming is not None
    return incoming


def read(store: UpstreamStore, sha256: str) -> bytes | None:
    content = store.open(sha256)
    if content is None:
        return None
    with content:
        return content.read()


# ---- Pages


def old(path: Path, hours: float) -> None:
    """Make it one that was used so many hours ago."""
    os.utime(path, (time.time() - hours * 3600,) * 2)


def test_pages_that_nobody_uses_make_room(store: UpstreamStore, tmp_path: Path) -> None:
    names = [NormalizedName(name) for name in ("one", "two", "three")]
    for hours, name in enumerate(names):
        store.keep_page("main", name, b"x" * 100)
        old(tmp_path / "upstream/pages/main" / name, 10 - hours)
    digest = keep(store, b"x" * 100)
    old(tmp_path / "upstream/files" / digest[:2] / digest, 9.5)
    assert store.page("main", names[0]) is not None  # it is used now
    assert store.tidy(400) == 0
    assert store.tidy(200) == 2
    assert [store.page("main", name) is not None for name in names] == [True, False, True]
    assert store.size(digest) is None


def test_there_are_so_many_pages_at_most_of_all_indexes(
    store: UpstreamStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elasticpypi.storage.local.upstream.PAGES", 2)
    for hours, index in enumerate(("main", "main.gone", "other")):
        store.keep_page(index, DEMO, b"x")
        old(tmp_path / "upstream/pages" / index / DEMO, 10 - hours)
    assert store.tidy(10**9) == 1
    assert [store.page(index, DEMO) for index in ("main", "main.gone", "other")] == [None, b"x", b"x"]
    assert store.tidy(10**9) == 0


def test_a_page_is_kept_replaced_and_dropped(store: UpstreamStore) -> None:
    assert store.page("main", DEMO) is None
    assert list(store.pages("main")) == []
    store.drop_page("main", DEMO)
    store.keep_page("main", DEMO, b"one")
    store.keep_page("main", DEMO, b"two")
    store.keep_page("other", NormalizedName("demo-2"), b"three")
    assert store.page("main", DEMO) == b"two"
    assert [*store.pages("main"), *store.pages("other")] == ["demo", "demo-2"]
    store.drop_page("main", DEMO)
    assert store.page("main", DEMO) is None


def test_a_page_is_never_half_there(store: UpstreamStore, other: UpstreamStore) -> None:
    pages = [bytes([number]) * 100_000 for number in range(20)]
    store.keep_page("main", DEMO, pages[0])
    seen: set[bytes | None] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(other.page("main", DEMO))

    with ThreadPoolExecutor(2) as pool:
        looking = pool.submit(look)
        for page in pages:
            store.keep_page("main", DEMO, page)
        done.set()
        looking.result()
    assert seen <= {*pages}


def test_one_at_a_time_asks_for_a_page(store: UpstreamStore, other: UpstreamStore) -> None:
    turn = store.turn("main", DEMO)
    assert turn is not None
    assert other.turn("main", DEMO) is None
    for free in (other.turn("other", DEMO), other.turn("main", NormalizedName("demo-2"))):
        assert free is not None
        free.drop()
    assert other.tidy(0) == 0
    turn.drop()
    again = other.turn("main", DEMO)
    assert again is not None
    again.drop()


# ---- Files


def test_a_file_is_there_when_it_is_whole(store: UpstreamStore, other: UpstreamStore) -> None:
    assert store.size(SHA256) is None
    assert store.open(SHA256) is None
    assert store.growing(SHA256) is None
    incoming = begun(store)
    incoming.write(CONTENT[:1000])
    growing = other.growing(SHA256)
    assert growing is not None
    assert growing.read() == CONTENT[:1000]
    assert (other.size(SHA256), other.open(SHA256)) == (None, None)
    incoming.write(CONTENT[1000:])
    incoming.keep()
    assert growing.read() == CONTENT[1000:]  # who reads it goes on
    growing.close()
    assert (other.size(SHA256), read(other, SHA256)) == (len(CONTENT), CONTENT)
    assert other.growing(SHA256) is None


def test_one_at_a_time_keeps_a_file(store: UpstreamStore, other: UpstreamStore) -> None:
    incoming = begun(store)
    assert store.begin(SHA256) is None
    assert other.begin(SHA256) is None
    incoming.drop()
    again = begun(other)
    assert store.begin(SHA256) is None
    again.drop()


def test_of_many_who_begin_one_does(store: UpstreamStore, other: UpstreamStore) -> None:
    go = threading.Barrier(16)

    def begin(number: int) -> Incoming | None:
        go.wait()
        return (store, other)[number % 2].begin(SHA256)

    with ThreadPoolExecutor(16) as pool:
        found = [incoming for incoming in pool.map(begin, range(16)) if incoming]
    assert len(found) == 1
    found[0].drop()


def test_what_is_dropped_leaves_nothing(store: UpstreamStore, tmp_path: Path) -> None:
    incoming = begun(store)
    incoming.write(CONTENT)
    incoming.drop()
    assert store.growing(SHA256) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(store: UpstreamStore) -> None:
    digest = keep(store, CONTENT)
    content = store.open(digest)
    assert content is not None
    with content:
        first = content.read(1000)
        assert store.tidy(0) == 1
        assert store.size(digest) is None
        assert first + content.read() == CONTENT


BEGIN = """
import sys, time
from pathlib import Path
from elasticpypi.storage.local.upstream import FolderUpstream
incoming = FolderUpstream(Path(sys.argv[1])).begin(sys.argv[2])
incoming.write(b"half of it")
print("begun", flush=True)
time.sleep(600)
"""


@pytest.mark.network
@pytest.mark.slow
def test_a_process_that_is_killed_has_given_up_and_its_readers_keep_what_they_have(
    store: UpstreamStore, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", BEGIN, str(tmp_path), SHA256]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        growing = store.growing(SHA256)
        assert growing is not None
        assert store.begin(SHA256) is None
        process.send_signal(signal.SIGKILL)
    incoming = until(lambda: store.begin(SHA256))
    incoming.write(b"another beginning")
    with growing:
        assert growing.read() == b"half of it"
    incoming.drop()


# ---- Room


def test_what_was_used_least_recently_goes_first(store: UpstreamStore, tmp_path: Path) -> None:
    digests = [keep(store, bytes([number]) * 1000) for number in range(5)]
    for age, digest in enumerate(digests):
        os.utime(tmp_path / "upstream/files" / digest[:2] / digest, (0, time.time() - 100_000 + age))
    assert read(store, digests[0])  # used again
    assert store.tidy(5000) == 0
    assert store.tidy(2999) == 3
    assert [store.size(digest) is not None for digest in digests] == [True, False, False, False, True]
    assert store.tidy(2999) == 0


def test_what_nobody_finishes_is_removed_and_what_comes_now_is_not(store: UpstreamStore, tmp_path: Path) -> None:
    folder = tmp_path / "upstream/incoming"
    coming = begun(store)
    (folder / ("a" * 64)).write_bytes(b"left by a process that died")
    (folder / ".page").write_bytes(b"a page that is being written")
    (folder / ".old").write_bytes(b"")
    os.utime(folder / ".old", (0, 0))
    assert store.tidy(10**9) == 0
    assert sorted(path.name for path in folder.iterdir()) == [".page", SHA256]
    coming.drop()


def test_an_empty_place_has_nothing_to_remove(store: UpstreamStore) -> None:
    assert store.tidy(0) == 0
    assert store.free() > 0


# ---- Troubles of the disk


def test_a_disk_that_takes_nothing_is_unavailable_with_a_sentence(
    store: UpstreamStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.keep_page("main", DEMO, b"one")
    digest = keep(store, CONTENT)
    for name in ("open", "statvfs"):
        monkeypatch.setattr(os, name, full)
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(Path, "read_bytes", full)
    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr(Path, "stat", full)
    calls = (
        lambda: store.keep_page("main", DEMO, b"two"),
        lambda: store.page("main", DEMO),
        lambda: store.begin(SHA256),
        lambda: store.growing(SHA256),
        lambda: store.open(digest),
        lambda: store.size(digest),
        lambda: store.free(),
    )
    for call in calls:
        with pytest.raises(Unavailable, match="cannot be kept now: no space left on device"):
            call()
