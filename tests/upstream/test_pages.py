"""The pages of another index: fresh, old or gone; one asks for all, and nobody waits without end."""

import dataclasses
import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.errors import LoopDetected, Unavailable
from elasticpypi.core.event import Event
from elasticpypi.policy import Upstream as Settings
from elasticpypi.storage.local.state import SQLiteState
from elasticpypi.storage.local.upstream import FolderUpstream
from elasticpypi.upstream import fetch, loops, pages
from elasticpypi.upstream.fetch import Client
from elasticpypi.upstream.pages import Upstream
from elasticpypi.upstream.places import Places
from tests.support.fake_upstream import JSON, Answer, FakeUpstream, fake_upstream, html, redirect
from tests.support.waiting import until

DEMO, PAGE = NormalizedName("demo"), "/simple/demo/"
DAY, MISSING = 86400, pages.MISSING


class Clock:
    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("elasticpypi.storage.local.state.time.time", clock)
    return clock


@pytest.fixture
def fake() -> Iterator[FakeUpstream]:
    with fake_upstream() as made:
        made.add("demo-1.0.tar.gz", b"demo")
        yield made


@pytest.fixture
def events() -> list[Event]:
    return []


Make = Callable[..., Upstream]


@pytest.fixture
def make(
    fake: FakeUpstream, tmp_path: Path, clock: Clock, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> Make:
    """Makes the index as a process has it; all of them have one store and one state."""
    monkeypatch.setattr(fetch, "FAILURES", 1000)

    def one(
        tell: Callable[[list[Event]], None] = events.extend, places: Places | None = None, **settings: Any
    ) -> Upstream:
        said = Settings("main", fake.url, **settings)
        store, state = FolderUpstream(tmp_path), SQLiteState(tmp_path)
        return Upstream(said, Client(said, fake.url), store, state, tell, clock, places)

    return one


def names(index: Upstream, project: NormalizedName = DEMO) -> list[str]:
    about = index.about(project)
    asking = index._asking.get(project)
    if asking is not None and asking.done.is_set():
        until(lambda: index._asking.get(project) is not asking, "the state to be written")
    return [file.filename for file in index.page(project, about).files] if about.revision else []


FIRST, BOTH = ["demo-1.0.tar.gz"], ["demo-1.0.tar.gz", "demo-2.0.tar.gz"]


# ---- Fresh, and asked for again (REQ-U15)


def test_a_page_is_fresh_for_as_long_as_the_index_or_the_policy_says(
    fake: FakeUpstream, make: Make, clock: Clock
) -> None:
    index = make(fresh=100)
    assert names(index) == FIRST
    fake.add("demo-2.0.tar.gz", b"two")
    clock.now += 99
    assert names(index) == FIRST
    clock.now += 2
    fake.tell(PAGE, lambda _: fake.page("demo", **{"Cache-Control": "max-age=300"}))
    assert names(index) == BOTH
    clock.now += 299
    assert names(index) == BOTH
    assert len(fake.requests) == 2
    clock.now += 2
    names(index)
    assert len(fake.requests) == 3


def test_zero_asks_each_second(fake: FakeUpstream, make: Make, clock: Clock) -> None:
    """A request looks at the answer several times."""
    index = make(fresh=0)
    for count in (1, 2, 3):
        assert names(index) == names(index) == FIRST
        assert len(fake.requests) == count
        clock.now += 1


def test_a_page_that_is_the_same_is_fresh_again(fake: FakeUpstream, make: Make, clock: Clock) -> None:
    index = make()
    before = index.about(DEMO)
    clock.now += 601
    again = index.about(DEMO)
    assert (again.revision, again.asked, again.until) == (before.revision, clock.now, clock.now + 600)
    assert fake.requests[1].headers["if-none-match"] == before.etag


def test_only_so_many_pages_are_in_memory(
    fake: FakeUpstream, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = make(fresh=1)
    projects = [NormalizedName(f"p{number}") for number in range(6)]
    monkeypatch.setattr(pages, "FILES", 8)
    for project in projects:
        fake.add(f"{project}-1.0.tar.gz", b"one")
        assert names(index, project) == [f"{project}-1.0.tar.gz"]
    assert list(index._pages) == projects[-4:]
    for number in range(3):  # a page that grows takes its new room alone, and not its old one too
        fake.add(f"p5-1.{number + 1}.tar.gz", b"more")
        clock.now += 2
        names(index, projects[-1])
    assert list(index._pages) == projects[-2:]


def test_another_process_need_not_ask(fake: FakeUpstream, make: Make) -> None:
    assert names(make()) == names(make()) == FIRST
    assert len(fake.requests) == 1


def test_invented_names_are_forgotten(fake: FakeUpstream, make: Make, tmp_path: Path, clock: Clock) -> None:
    """Else anybody who asks for names that do not exist makes the state grow."""
    index, state = make(), SQLiteState(tmp_path)
    for name in ("demo", "invented"):
        index.about(NormalizedName(name))
        until(lambda name=name: state.get("upstream.page", f"{index.name}/{name}"), "the state to be written")
    clock.now += 7200
    assert state.get("upstream.page", f"{index.name}/demo")
    assert state.get("upstream.page", f"{index.name}/invented") is None


def test_without_the_state_it_is_asked_for_again(fake: FakeUpstream, make: Make, tmp_path: Path) -> None:
    assert names(make()) == FIRST
    (tmp_path / "state.db").unlink()
    assert names(make()) == FIRST
    assert len(fake.requests) == 2


@pytest.mark.parametrize("left", ["nothing", "rubbish"])
def test_what_is_kept_may_be_removed_at_any_time(fake: FakeUpstream, make: Make, tmp_path: Path, left: str) -> None:
    names(make())
    path = tmp_path / "upstream/pages/main/demo"
    path.unlink() if left == "nothing" else path.write_bytes(b"{")
    assert names(make()) == FIRST
    assert len(fake.requests) == 2


# ---- What is no news (REQ-U17, U20), and what is (REQ-U18, U19)


BROKEN = {
    "500": Answer(b"", 500),
    "429": Answer(b"", 429, headers={"Retry-After": "100000"}),
    "401": Answer(b"", 401),
    "redirect": redirect("http://10.0.0.1/simple/demo/"),
    "broken JSON": Answer(b'{"files": [', 200, JSON),
    "no list": Answer(b'{"files": {}}', 200, JSON),
    "deep": Answer(b"[" * 100_000, 200, JSON),
    "another project": Answer(b'{"name": "other", "files": []}', 200, JSON),
    "another version": Answer(b'{"meta": {"api-version": "2.0"}, "files": []}', 200, JSON),
    "text": Answer(b"hello", 200, "text/plain"),
    "cut off": Answer(b"{" + b" " * 1000 + b"}", 200, JSON, ends=500),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=list(BROKEN))
def test_an_old_page_goes_on_for_a_day_and_then_nothing_does(
    fake: FakeUpstream, make: Make, clock: Clock, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    index = make()
    names(index)
    fake.tell(PAGE, answer)
    clock.now += 601
    with caplog.at_level(logging.WARNING):
        assert names(index) == FIRST
    assert index.about(DEMO).trouble
    assert index.trouble(DEMO) in caplog.text
    assert len(fake.requests) == 2  # it is left alone for a while
    assert clock.now + 30 <= index.about(DEMO).until <= clock.now + fetch.LONGEST_PAUSE
    clock.now += DAY - 602
    assert names(index) == FIRST
    clock.now += 601
    with pytest.raises(Unavailable, match="Try again"):
        index.about(DEMO)


@pytest.mark.parametrize("answer", BROKEN.values(), ids=list(BROKEN))
def test_of_an_unknown_page_it_is_503_and_never_404(fake: FakeUpstream, make: Make, answer: Answer) -> None:
    fake.tell(PAGE, answer)
    with pytest.raises(Unavailable):
        make().about(DEMO)


def test_a_project_that_is_gone_is_gone_and_that_is_an_event(
    fake: FakeUpstream, make: Make, clock: Clock, events: list[Event], tmp_path: Path
) -> None:
    index = make()
    names(index)
    page = fake.projects.pop("demo")
    clock.now += 601
    assert names(index) == []
    assert not (tmp_path / "upstream/pages/main/demo").exists()
    assert [(event.type, event.project) for event in events] == [("upstream.vanished", "demo")]
    fake.projects["demo"] = page
    clock.now += MISSING - 1
    assert names(index) == []
    assert len(fake.requests) == 2
    clock.now += 2
    assert names(index) == FIRST


def test_files_that_vanish_or_change_are_events_and_bytes_that_change_are_not_taken(
    fake: FakeUpstream, make: Make, clock: Clock, events: list[Event]
) -> None:
    index = make()
    entry = fake.add("demo-2.0.tar.gz", b"two")
    names(index)
    before = index.page(DEMO, index.about(DEMO))
    files = fake.projects["demo"]["files"]
    files[0]["hashes"] = {"sha256": "0" * 64}
    files.pop()
    for _ in range(3):  # it is told once
        clock.now += 601
        files[0]["size"] += 1
        assert names(index) == FIRST
    [file] = index.page(DEMO, index.about(DEMO)).files
    assert file == before.files[0]
    assert [(event.type, event.filename) for event in events] == [
        ("upstream.changed", "demo-1.0.tar.gz"),
        ("upstream.vanished", entry["filename"]),
    ]


def test_an_older_serial_is_a_server_of_theirs_that_is_behind_but_not_for_ever(
    fake: FakeUpstream, make: Make, clock: Clock
) -> None:
    index = make()
    fake.projects["demo"]["meta"]["_last-serial"] = 10
    names(index)
    fake.projects["demo"]["meta"]["_last-serial"] = 9
    fake.add("demo-2.0.tar.gz", b"two")
    clock.now += 601
    assert names(index) == FIRST
    assert index.about(DEMO).until == clock.now + MISSING
    clock.now += DAY  # the index is another one
    assert names(index) == BOTH
    assert index.about(DEMO).serial == 9


def test_the_first_sight_of_a_file_without_a_time_stays(fake: FakeUpstream, make: Make, clock: Clock) -> None:
    fake.tell(PAGE, html(f'<a href="/demo-1.0.tar.gz#sha256={"a" * 64}">demo-1.0.tar.gz</a>'))
    index = make()
    [file] = index.page(DEMO, index.about(DEMO)).files
    seen = file.first_seen
    assert datetime.fromisoformat(seen).timestamp() == clock.now
    clock.now += 5000
    fake.tell(PAGE, html(*(f'<a href="/demo-{n}.0.tar.gz#sha256={"a" * 64}">x</a>' for n in (1, 2))))
    files = index.page(DEMO, index.about(DEMO)).files
    assert [file.first_seen == seen for file in files] == [True, False]


VECTORS: list[dict[str, Any]] = [
    {"id": "F01", "age": 300, "answer": "new", "served": "old"},
    {"id": "F03", "age": 3600, "answer": "new", "serial": 11, "stored": 10, "served": "new"},
    {"id": "F04", "age": 3600, "answer": "new", "serial": 9, "stored": 10, "served": "old"},
    {"id": "F05", "age": 3600, "answer": "500", "served": "old"},
    {"id": "F06", "age": 2 * DAY + 3600, "answer": "hangs", "served": "503"},
    {"id": "F09", "missing": 30, "answer": "new", "served": "404"},
    {"id": "F10", "missing": 120, "answer": "new", "served": "new"},
    {"id": "F11", "age": 3600, "answer": "broken JSON", "served": "old"},
    {"id": "F12", "age": 3600, "answer": "another project", "served": "old"},
    {"id": "F13", "answer": "too large", "served": "503"},
]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: str(case["id"]))
def test_what_is_served_after_which_answer(
    fake: FakeUpstream, make: Make, clock: Clock, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "READ", 0.2)
    monkeypatch.setattr(fetch, "LARGEST", 1_000_000)
    index, page = make(), fake.projects["demo"]
    if "stored" in case:
        page["meta"]["_last-serial"] = case["stored"]
    if "missing" in case:
        fake.tell(PAGE, Answer(b"", 404))
        assert names(index) == []
    elif "age" in case:
        assert names(index) == FIRST
    fake.add("demo-2.0.tar.gz", b"two")
    if "serial" in case:
        page["meta"]["_last-serial"] = case["serial"]
    clock.now += case.get("age", case.get("missing", 0))
    fake.answers.pop(PAGE, None)
    answers = {**BROKEN, "hangs": Answer(before=fake.hang), "too large": Answer(b" " * 1_000_001, 200, JSON)}
    if case["answer"] != "new":
        fake.tell(PAGE, answers[case["answer"]])
    if case["served"] == "503":
        with pytest.raises(Unavailable):
            index.about(DEMO)
    else:
        assert names(index) == {"old": FIRST, "new": BOTH, "404": []}[case["served"]]


# ---- One asks for all (REQ-U16)


def test_many_threads_of_two_processes_ask_once(fake: FakeUpstream, make: Make) -> None:
    go = threading.Event()
    fake.tell(PAGE, lambda _: dataclasses.replace(fake.page("demo"), before=go.wait))
    processes = make(), make()
    with ThreadPoolExecutor(40) as pool:
        found = [pool.submit(names, processes[number % 2]) for number in range(40)]
        until(lambda: fake.requests)
        go.set()
        assert [each.result() for each in found] == [FIRST] * 40
    assert len(fake.requests) == 1


def test_a_failure_is_that_of_all_who_wait(fake: FakeUpstream, make: Make) -> None:
    """Else each in turn would wait for one of its own."""
    go = threading.Event()
    fake.tell(PAGE, Answer(b"", 500, before=go.wait))
    index = make()
    with ThreadPoolExecutor(30) as pool:
        found = [pool.submit(index.about, DEMO) for _ in range(30)]
        until(lambda: len(threading.enumerate()) > 30 and fake.requests)
        go.set()
        assert all(isinstance(each.exception(), Unavailable) for each in found)
    assert len(fake.requests) == 1


def test_who_has_an_old_page_gets_it_after_a_moment_and_the_answer_counts_later(
    fake: FakeUpstream, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PATIENCE", 0.1)
    go = threading.Event()
    index, other = make(), make()
    names(index)
    fake.add("demo-2.0.tar.gz", b"two")
    fake.tell(PAGE, lambda _: dataclasses.replace(fake.page("demo"), before=go.wait))
    clock.now += 601
    assert names(index) == names(other) == FIRST
    monkeypatch.setattr(pages, "PATIENCE", 60.0)
    index._asking[DEMO].begun -= 60
    begin = time.monotonic()
    assert names(index) == FIRST  # who comes later does not wait at all
    assert time.monotonic() - begin < 30
    go.set()
    until(lambda: names(index) == BOTH)
    until(lambda: names(other) == BOTH)
    assert len(fake.requests) == 2


def test_nobody_waits_longer_than_that(fake: FakeUpstream, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LONGEST", 0.1)
    fake.tell(PAGE, Answer(before=fake.hang))
    with pytest.raises(Unavailable, match="has not answered in time"):
        make().about(DEMO)


def test_a_process_that_was_killed_while_it_asked_is_not_waited_for(
    fake: FakeUpstream, make: Make, tmp_path: Path
) -> None:
    turn = FolderUpstream(tmp_path).turn("main", DEMO)
    assert turn is not None
    index = make()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(names, index)
        until(lambda: index._asking)
        assert not fake.requests
        os.close(turn._descriptor)  # as the kernel does
        assert found.result() == FIRST


def test_there_are_places_for_so_many_who_wait_and_old_pages_need_none(
    fake: FakeUpstream, make: Make, clock: Clock
) -> None:
    places = Places(1)
    index = make(places=places)
    names(index)
    clock.now += 601
    fake.tell(PAGE, Answer(before=fake.hang))
    fake.tell("/simple/other/", Answer(before=fake.hang))
    with places:
        assert names(index) == FIRST
        with pytest.raises(Unavailable, match="Too many wait"):
            index.about(NormalizedName("other"))


def test_an_index_that_asks_us_in_turn_is_a_508(fake: FakeUpstream, make: Make) -> None:
    fake.tell(PAGE, Answer(b"", 508))
    before = loops.came_through.set("first, second")
    try:
        with pytest.raises(LoopDetected, match="must not name the other"):
            make().about(DEMO)
    finally:
        loops.came_through.reset(before)


def test_the_thread_that_asks_knows_by_whom_its_request_came(fake: FakeUpstream, tmp_path: Path) -> None:
    said = Settings("main", fake.url)
    index = Upstream(said, Client(said, fake.url, lambda: "me"), FolderUpstream(tmp_path), SQLiteState(tmp_path))
    before = loops.came_through.set("first, second")
    try:
        names(index)
    finally:
        loops.came_through.reset(before)
    assert fake.requests[0].headers["cdn-loop"] == "first, second, me"


# ---- Whoever may wait for a while only


def test_who_joins_an_asking_has_all_of_his_own_time(fake: FakeUpstream, make: Make) -> None:
    index, gate = make(), threading.Event()
    fake.tell(PAGE, lambda _: (gate.wait(60), fake.page("demo"))[1])
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(index.about, DEMO)
        until(lambda: fake.requests)
        index._asking[DEMO].begun -= 25
        second = pool.submit(index.about, DEMO, 20.0)
        until(second.running)
        gate.set()
        assert second.result() == first.result()


def test_nobody_waits_longer_than_he_said(fake: FakeUpstream, make: Make) -> None:
    index, gate = make(), threading.Event()
    fake.tell(PAGE, lambda _: (gate.wait(60), fake.page("demo"))[1])
    try:
        for seconds in (0.1, 0.1, 0.0, -1.0):  # also who joins
            begin = time.monotonic()
            with pytest.raises(Unavailable, match="has not answered in time"):
                index.about(DEMO, seconds)
            assert time.monotonic() - begin < 3
    finally:
        gate.set()
    assert len(fake.requests) == 1


# ---- Offline, and troubles of our own


def test_offline_nobody_is_asked(fake: FakeUpstream, make: Make, clock: Clock) -> None:
    names(make())
    index = make(offline=True)
    clock.now += 100 * DAY
    assert names(index) == FIRST
    assert names(index, NormalizedName("other")) == []
    assert len(fake.requests) == 1
    assert list(index.kept()) == ["demo"]


def test_a_full_disk_is_no_reason_not_to_serve_a_page(
    fake: FakeUpstream, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    index = make()
    names(index)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def no_state(*_: object) -> None:
        raise Unavailable("The database or disk is full.")

    monkeypatch.setattr(Path, "write_bytes", full)
    for name in ("put", "claim", "add", "remove"):
        monkeypatch.setattr(SQLiteState, name, no_state)
    fake.add("demo-2.0.tar.gz", b"two")
    fake.add("other-1.0.tar.gz", b"other")
    clock.now += 601
    assert names(index) == BOTH
    assert names(index, NormalizedName("other")) == ["other-1.0.tar.gz"]
    assert len(fake.requests) == 3
    names(index)
    assert len(fake.requests) == 3
    assert not list((tmp_path / "upstream/incoming").iterdir())


def test_events_that_cannot_be_written_hold_up_nobody(fake: FakeUpstream, make: Make, clock: Clock) -> None:
    def no(events: list[Event]) -> None:
        raise Unavailable("The disk is full.")

    index = make(no)
    names(index)
    fake.projects["demo"]["files"][0]["filename"] = "demo-3.0.tar.gz"
    fake.projects["demo"]["files"][0]["url"] += ".x"
    clock.now += 601
    assert names(index) == ["demo-3.0.tar.gz"]


def test_a_mistake_of_ours_is_a_503_and_a_line_in_the_log(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(*_: object) -> None:
        raise KeyError("a mistake")

    index = make()
    monkeypatch.setattr(index.client, "page", wrong)
    with pytest.raises(Unavailable, match="the log of this one says why"):
        index.about(DEMO)
    assert "a mistake" in caplog.text


def test_nothing_that_is_stored_has_the_credentials(tmp_path: Path) -> None:
    with fake_upstream("Basic YW5uYTpzZWNyZXQ=") as fake:
        fake.add("demo-1.0.tar.gz", b"demo")
        fake.projects["demo"]["files"][0]["url"] = "../../files/demo-1.0.tar.gz"
        said = Settings("main", fake.url)
        address = fake.url.replace("://", "://anna:secret@")
        index = Upstream(said, Client(said, address), FolderUpstream(tmp_path), SQLiteState(tmp_path))
        [file] = index.page(DEMO, index.about(DEMO)).files
        assert file.url == f"{fake.base}/files/demo-1.0.tar.gz"
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"demo-1.0" in kept
        assert not [secret for secret in (b"anna", b"secret", b"YW5uYTpz") if secret in kept]
        assert json.dumps(dataclasses.asdict(index.about(DEMO))).find("secret") == -1
