"""The record: each change and each refusal is an event, once, with who it was."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from packaging.utils import NormalizedName

from elasticpypi.actions import decisions
from elasticpypi.actions.audit import audit
from elasticpypi.actions.upload import accept
from elasticpypi.cli import main
from elasticpypi.core.errors import NotFound, Unavailable
from elasticpypi.core.event import Event, Who, load, new
from elasticpypi.core.model import File
from elasticpypi.indexing import record, sync
from elasticpypi.indexing.audit import Report
from elasticpypi.indexing.bucket_follower import Follower as BucketFollower
from elasticpypi.indexing.folder_follower import Follower as FolderFollower
from elasticpypi.services import Services
from elasticpypi.storage.aws import event_log
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.event_log import FileLog
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.wiring import with_subscribers
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import ACTOR, make_sdist, make_wheel

WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "SETTLING", -60.0)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, "demo", "1.0")


def recorded(services: Services) -> list[Event]:
    return services.log.read(most=10_000)


def kinds(services: Services) -> list[str]:
    return [event.type for event in recorded(services)]


def test_a_life_of_a_file(client: Client, wheel: Path) -> None:
    client.upload(wheel)
    client.upload(wheel)  # the same again: nothing happened
    client.request("PUT", f"/packages/{WHEEL}.yanked", data=b"broken", headers={"User-Agent": "tool/1.0"})
    client.request("PUT", f"/packages/{WHEEL}.yanked", data=b"broken")
    client.request("DELETE", f"/packages/{WHEEL}.yanked")
    client.request("PUT", "/packages/demo.status", data=b"archived\nold")
    client.request("PUT", "/packages/demo.status", data=b"active")
    client.request("DELETE", f"/packages/{WHEEL}")
    client.upload(wheel)
    assert kinds(client.services) == [
        "file.uploaded",
        "file.yanked",
        "file.unyanked",
        "project.status_changed",
        "project.status_changed",
        "file.deleted",
        "file.uploaded",
    ]
    uploaded, yanked, *_, deleted, _ = recorded(client.services)
    assert (uploaded.project, uploaded.version, uploaded.filename) == ("demo", "1.0", WHEEL)
    assert uploaded.sha256 == deleted.sha256 == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert (yanked.reason, yanked.who.name, yanked.who.through, yanked.who.program) == (
        "broken",
        USER,
        "password",
        "tool/1.0",
    )
    assert {event.who.address for event in recorded(client.services)} == {"127.0.0.1"}
    waiting = client.services.index.outbox()  # until the follower, or the function sync, has found them in the log
    with_subscribers(client.services).events.tell([])
    assert (len(waiting), client.services.index.outbox(), len(kinds(client.services))) == (7, [], 7)


def test_what_is_found_in_the_store_is_told_once(services: Services, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    with wheel.open("rb") as content:
        services.files.save(WHEEL, content, hashlib.sha256(wheel.read_bytes()).hexdigest())
    for _ in range(2):
        with_subscribers(services).events.tell([sync.sync(services.files, services.index, WHEEL)])
    services.files.delete(WHEEL)
    for _ in range(2):
        with_subscribers(services).events.tell([sync.sync(services.files, services.index, WHEEL)])
    found = recorded(services)
    assert [(event.type, event.who.name) for event in found] == [("file.uploaded", "store"), ("file.removed", "store")]


def test_a_rebuilt_index_has_no_news(client: Client, wheel: Path) -> None:
    client.upload(wheel)
    client.services.index.remove(NormalizedName("demo"), WHEEL)
    sync.sync(client.services.files, client.services.index, WHEEL, who=None)
    with_subscribers(client.services).events.tell([])
    assert kinds(client.services) == ["file.uploaded"]


def test_a_refusal_is_an_event_and_changes_nothing(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    client.upload(wheel)
    (tmp_path / "other").mkdir()
    other = make_wheel(tmp_path / "other", "demo", "1.0", summary="other")
    assert client.upload(other).status_code == 409
    assert client.upload(wheel, sha256_digest="0" * 64).status_code == 400
    refused = [event for event in recorded(client.services) if event.type == "file.refused"]
    assert [event.filename for event in refused] == [WHEEL, WHEEL]
    assert "already exists" in (refused[0].reason or "")


def test_who_may_not_decide_is_in_the_record(services: Services, wheel: Path) -> None:
    config = replace(services.config, users={USER: PASSWORD, "boss": "chief"}, admins=frozenset({"boss"}))
    client = Client(replace(services, config=config))
    client.upload(wheel)
    assert client.request("DELETE", f"/packages/{WHEEL}").status_code == 403
    assert client.get("/events").status_code == 403
    answer = client.get("/events", user="boss:chief")
    assert [event["type"] for event in answer.get_json()["events"]] == ["file.uploaded", "decision.refused"]


def test_failed_logins_are_told_once_a_minute_and_without_the_password(client: Client) -> None:
    for number in range(5):
        client.get("/simple/", user=f"{USER}:hunter{number}")
        client.get("/simple/", user=f"secret{number}:x")
    failed = [event for event in recorded(client.services) if event.type == "login.failed"]
    assert sorted(event.who.name for event in failed) == [USER, "unknown"]
    assert "hunter" not in repr(failed)
    assert "secret" not in repr(failed)


def test_pages_of_events(client: Client, tmp_path: Path) -> None:
    for name in ("one", "two"):
        for number in range(3):
            client.upload(make_sdist(tmp_path, name, f"1.{number}"))
    first = client.get("/events").get_json()
    assert len(first["events"]) == 6
    assert client.get(f"/events?after={first['next']}").get_json() == {"events": [], "next": first["next"]}
    behind = client.get(f"/events?after={first['events'][2]['id']}").get_json()["events"]
    assert behind == first["events"][3:]
    two = client.get("/events?project=Two&type=file.uploaded").get_json()["events"]
    assert [event["project"] for event in two] == ["two"] * 3
    assert client.get("/events?type=file").get_json()["events"] == first["events"]
    assert client.get("/events?type=login").get_json()["events"] == []
    for after in ("nonsense", "f" * 3000, "g" * 26, "../" * 9, "%00"):
        answer = client.get(f"/events?after={after}")
        assert (answer.status_code, "no id of an event" in answer.text) == (400, True)
    assert client.get(f"/events?after={'f' * 26}").get_json()["events"] == []
    assert client.get(f"/events?after={'0' * 26}").get_json()["events"] == first["events"]


def test_a_project_shows_what_happened_to_it(client: Client, wheel: Path) -> None:
    client.upload(wheel)
    client.request("PUT", f"/packages/{WHEEL}.yanked", data=b"<b>broken</b>")
    page = client.get("/project/demo/", headers={"Accept": "text/html,*/*;q=0.8"}).text
    assert "What happened" in page
    assert page.index("yanked: demo-1.0") < page.index("uploaded: demo-1.0")
    assert "&lt;b&gt;broken" in page
    assert "127.0.0.1" not in page


def test_the_log_is_away_for_a_while(client: Client, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change is made, and told of when the log is back."""

    def full(*_: object) -> None:
        raise Unavailable("The disk is full.")

    services = client.services
    with monkeypatch.context() as patch:
        patch.setattr(type(services.log), "append", full)
        assert client.upload(wheel).status_code == 200
        assert client.upload(wheel, sha256_digest="0" * 64).status_code == 400
    assert kinds(services) == []
    assert [event.type for event in services.index.outbox()] == ["file.uploaded"]
    with_subscribers(services).events.tell([])
    assert kinds(services) == ["file.uploaded"]


def test_many_at_once_are_each_there_once(services: Services, tmp_path: Path) -> None:
    files = [make_sdist(tmp_path, f"p{number}", "1.0") for number in range(8)]
    client = Client(services)
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status_code for answer in pool.map(client.upload, files)} == {200}
    assert sorted(event.project or "" for event in recorded(services)) == [f"p{number}" for number in range(8)]


# ---- the log of one machine


@pytest.fixture
def log(tmp_path: Path) -> FileLog:
    return FileLog(tmp_path)


def test_an_event_is_written_once(log: FileLog, tmp_path: Path) -> None:
    events = [new("file.uploaded", Who("anna"), project="demo", reason="a\nb") for _ in range(3)]
    log.append(events)
    log.append(events[1:])
    assert log.read() == events
    old = replace(events[0], id=f"{1:014x}aaaaaaaaaaaa", time="2020-01-01T00:00:00.000001Z")
    for _ in range(2):
        log.append([old])
    assert sorted(path.name for path in (tmp_path / "events").iterdir())[0] == "2020-01.jsonl"
    assert log.read() == [old, *events]
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "events").iterdir()] == [0o600] * 2


def test_a_line_that_is_torn_costs_nothing_else(log: FileLog, tmp_path: Path) -> None:
    first, second = (new("file.uploaded", Who("anna"), project=name) for name in ("one", "two"))
    log.append([first])
    [path] = (tmp_path / "events").iterdir()
    with path.open("ab") as file:
        file.write(second.dump()[:40])
    log.append([second])
    assert log.read() == [first, second]
    assert log.read(after=first.id) == [second]
    assert log.read(after=second.id) == []


def test_who_reads_on_misses_nothing_that_was_written_later(log: FileLog) -> None:
    early, late = (new("file.uploaded", Who("anna"), project=name) for name in ("early", "late"))
    log.append([late])
    assert log.read(after=late.id) == []
    log.append([early])
    assert log.read(after=late.id) == [early]


def test_processes_write_at_the_same_time(log: FileLog, tmp_path: Path) -> None:
    events = [new("file.uploaded", Who("anna"), project=f"p{number}") for number in range(40)]

    def write() -> None:
        mine = FileLog(tmp_path)
        for event in events:
            mine.append([event])

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.id for event in log.read(most=1000)) == sorted(event.id for event in events)


def test_an_event_has_no_line_breaks_and_is_short() -> None:
    event = new("file.refused", Who("a\nb" * 200, address="::1"), reason="x" * 5000 + "\x1b[31m")
    assert b"\n" not in event.dump()
    assert len(event.dump()) < 1200
    assert load(event.dump()) == event
    for line in (b"", b"[]", b"{}", b'{"id": 1}', b'{"who": {}}', b"\xff"):
        with pytest.raises(ValueError, match=r"."):
            load(line)


def test_moving_is_the_same_for_all_who_do_it(services: Services, tmp_path: Path) -> None:
    """A process that ends between append and settled leaves an event that is moved again, and there once."""
    file = File(WHEEL, NormalizedName("demo"), "1.0", 1, "a" * 64, "2026-01-01T00:00:00.000000Z", "r")
    assert services.index.put(file, who=ACTOR.who)
    services.log.append(services.index.outbox())
    record.move(services.index, services.log)
    assert kinds(services) == ["file.uploaded"]
    assert services.index.outbox() == []


# ---- a process that ends at any point


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """Something whose process ends before or after the n-th call, counted over all of its kind, and does no more."""

    def __init__(self, real: Any, calls: Iterator[int], last: int) -> None:
        self._real, self._calls, self._last = real, calls, last

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in ("save", "put", "remove", "append", "settled", "delete"):
            return found

        def call(*args: Any, **options: Any) -> Any:
            if next(self._calls) >= self._last:
                raise Killed
            answer = found(*args, **options)
            if next(self._calls) >= self._last:
                raise Killed
            return answer

        return call


ACTIONS: dict[str, Callable[[Services, Path], object]] = {
    "upload": lambda services, wheel: upload(services, wheel),
    "yank": lambda services, _: decisions.yank(services, ACTOR, WHEEL, "bad"),
    "unyank": lambda services, _: decisions.unyank(services, ACTOR, WHEEL),
    "archive": lambda services, _: decisions.set_status(services, ACTOR, NormalizedName("demo"), "archived"),
    "delete": lambda services, _: decisions.delete(services, ACTOR, WHEEL),
}


def upload(services: Services, wheel: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    form = {":action": ["file_upload"], "filetype": ["bdist_wheel"], "sha256_digest": [digest]}
    with wheel.open("rb") as content:
        accept(services, ACTOR, form, WHEEL, content)


def found_by_the_follower(services: Services) -> None:
    """What a follower, or the audit, does of a store and its index, whatever happened to them."""
    told = with_subscribers(services)
    for _ in audit(told, Report(repair=True)):
        pass
    told.events.tell([])


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("last", range(16))
def test_each_change_has_one_event_wherever_a_process_ends(
    services: Services, wheel: Path, action: str, last: int
) -> None:
    if action != "upload":
        upload(services, wheel)
    if action == "unyank":
        decisions.yank(services, ACTOR, WHEEL, "bad")
    found_by_the_follower(services)
    before = len(recorded(services))
    calls = count()
    parts = {name: Mortal(getattr(services, name), calls, last) for name in ("files", "index", "log", "state")}
    try:
        ACTIONS[action](replace(services, **parts), wheel)
    except Killed:
        found_by_the_follower(services)
        try:
            ACTIONS[action](services, wheel)  # whoever got no answer tries again
        except NotFound:
            assert action == "delete"  # it is done
    else:
        assert last >= 4, "there was nothing to be killed at"
    found_by_the_follower(services)
    news = recorded(services)[before:]
    assert [event.type for event in news] == [
        {
            "upload": "file.uploaded",
            "yank": "file.yanked",
            "unyank": "file.unyanked",
            "archive": "project.status_changed",
            "delete": "file.deleted",
        }[action]
    ]
    assert [event.who for event in news] == [ACTOR.who]  # also if the process ended before it had recorded it
    assert services.index.outbox() == []
    lose(services)
    found_by_the_follower(services)
    assert len(recorded(services)) == before + 1


# ---- an index that is lost


def lose(services: Services) -> None:
    """The index is gone, as after ``rm index.db*`` or with a table of another name; the packages are there."""
    if isinstance(services.index, SQLiteIndex):
        for path in services.config.data.glob("index.db*"):
            path.unlink()
        services.index.make()
        return
    assert isinstance(services.index, DynamoIndex)
    table = boto3.resource("dynamodb").Table(services.index.table.name)
    for item in table.scan()["Items"]:
        table.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})


def by_command(services: Services, *command: str) -> None:
    config = services.config
    place = {"BUCKET": config.bucket, "TABLE": config.table} if config.bucket else {"DATA": str(config.data)}
    done = CliRunner().invoke(main, command, env={**place, "USERS": f"{USER}:x"})
    assert done.exit_code == 0, done.output


def by_follower(services: Services, tmp_path: Path) -> None:
    told = with_subscribers(services)
    if isinstance(services.index, SQLiteIndex) and isinstance(services.files, DirectoryFiles):
        FolderFollower(services.files, services.index, told.catalog, told.events.tell, services.config.data).look()
        return
    assert isinstance(services.index, DynamoIndex)
    assert isinstance(services.files, S3Files)
    tell = told.catalog, told.events.tell, services.claim, services.beside
    BucketFollower(services.files, services.index, *tell, tmp_path / "state.json").look()


REBUILDS: dict[str, Callable[[Services, Path], None]] = {
    "reindex": lambda services, _: by_command(services, "reindex"),
    "audit": lambda services, _: by_command(services, "audit", "--repair"),
    "follower": by_follower,
}


@pytest.mark.parametrize("way", REBUILDS)
def test_an_index_that_is_made_anew_makes_no_news(client: Client, wheel: Path, tmp_path: Path, way: str) -> None:
    services = client.services
    client.upload(wheel)
    client.request("PUT", f"/packages/{WHEEL}.yanked", data=b"bad")
    found_by_the_follower(services)
    before = kinds(services)
    lose(services)
    REBUILDS[way](services, tmp_path)
    assert [file["filename"] for file in client.json("/simple/demo/")["files"]] == [WHEEL]  # type: ignore[attr-defined]
    assert kinds(services) == before == ["file.uploaded", "file.yanked"]
    with make_sdist(tmp_path, "demo", "2.0").open("rb") as content:  # but what comes from now on is news
        services.files.save("demo-2.0.tar.gz", content, hashlib.sha256(content.read()).hexdigest())
    REBUILDS[way](services, tmp_path)
    found_by_the_follower(services)
    assert kinds(services) == [*before, "file.uploaded"]


def test_an_event_of_a_large_policy_is_written_once(log: FileLog) -> None:
    event = replace(new("policy.changed", Who("anna")), before='"' * 100_000, after="\\" * 100_000)
    for _ in range(2):
        log.append([event])
    assert log.read() == [event]
