"""A long root list is read from one object, and is never an old one."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from packaging.utils import NormalizedName

from elasticpypi.config import Config
from elasticpypi.core.model import File
from elasticpypi.core.simple_api import JSON
from elasticpypi.storage.aws import rootlist
from elasticpypi.storage.aws.catalog import DynamoCatalog
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.wiring import on_bucket
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import make_wheel
from tests.support.events import event
from tests.support.moto_aws import BUCKET, TABLE

pytestmark = pytest.mark.usefixtures("aws")
COUNT = 12
READ = ["Query", "GetObject"]
MADE = ["Query", "Query", "PutObject", "TransactWriteItems"]


def a_file(name: str) -> File:
    digest, time = "ab" * 32, "2026-01-31T12:00:00.000000Z"
    return File(f"{name}-1.0.tar.gz", NormalizedName(name), "1.0", 7, digest, time, "r1")


def process(bucket: str = BUCKET) -> DynamoIndex:
    """The index as a process has it that has just begun."""
    return DynamoIndex(TABLE, files=S3Files(bucket))


def truth() -> tuple[int, list[NormalizedName]]:
    """The list without any snapshot."""
    return DynamoIndex(TABLE).projects()


def snapshots() -> dict[str, bytes]:
    s3 = boto3.client("s3")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@pytest.fixture(autouse=True)
def eight_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootlist, "LONG", 8)


@pytest.fixture
def index(aws: None, calls: list[str]) -> DynamoIndex:
    """A long list that nobody has read yet."""
    made = process()
    for number in range(COUNT):
        made.put(a_file(f"demo-{number:02}"))
    calls.clear()
    return made


def test_a_short_list_is_one_query_and_leaves_nothing(aws: None, calls: list[str]) -> None:
    index = process()
    assert index.projects() == (0, [])
    for number in range(6):  # with the serial, one item less than are many
        index.put(a_file(f"demo-{number}"))
    calls.clear()
    assert index.projects()[1] == [f"demo-{number}" for number in range(6)]
    assert calls == ["Query"]
    assert snapshots() == {}


def test_the_first_reader_makes_it_and_the_next_process_uses_it(index: DynamoIndex, calls: list[str]) -> None:
    first = index.projects()
    assert calls == MADE
    calls.clear()
    assert process().projects() == first
    assert calls == READ
    assert first == truth()
    assert first[1] == [f"demo-{number:02}" for number in range(COUNT)]


def test_it_is_the_page_itself(index: DynamoIndex) -> None:
    config = Config(users={USER: PASSWORD}, bucket=BUCKET, table=TABLE)
    page = Client(on_bucket(config, S3Files(BUCKET), index)).get("/simple/", headers={"Accept": JSON})
    [(key, body)] = snapshots().items()
    assert key == f".simple/{page.headers['X-PyPI-Last-Serial']}.json"
    assert gzip.decompress(body) == page.data
    kept = boto3.client("s3").head_object(Bucket=BUCKET, Key=key)
    assert (kept["ContentType"], kept["ContentEncoding"]) == (JSON, "gzip")


def test_a_stale_one_is_never_used(index: DynamoIndex, calls: list[str]) -> None:
    index.projects()
    for change, expected in (
        (lambda: index.put(a_file("another")), COUNT + 1),
        (lambda: index.remove(NormalizedName("demo-00"), "demo-00-1.0.tar.gz"), COUNT),
    ):
        assert change()
        calls.clear()
        found = process().projects()
        assert calls == MADE
        assert len(found[1]) == expected
        assert found == process().projects() == truth()


def test_a_list_that_has_become_short_again(index: DynamoIndex, calls: list[str]) -> None:
    index.projects()
    for number in range(COUNT - 3):
        index.remove(NormalizedName(f"demo-{number:02}"), f"demo-{number:02}-1.0.tar.gz")
    calls.clear()
    assert process().projects()[1] == ["demo-09", "demo-10", "demo-11"]
    assert calls == ["Query"]
    assert DynamoCatalog(index).search("", 0, 20).total == 3


def lose(key: str) -> None:
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=key)


def replace(key: str) -> None:
    page = {"projects": [{"name": "foreign"}]}
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(json.dumps(page).encode()))


@pytest.mark.parametrize("happening", [lose, replace])
def test_one_that_is_gone_or_not_ours_is_made_anew(
    index: DynamoIndex, calls: list[str], happening: Callable[[str], None]
) -> None:
    first = index.projects()
    [key] = snapshots()
    happening(key)
    calls.clear()
    assert process().projects() == first
    assert calls == ["Query", "GetObject", *MADE[1:]]
    calls.clear()
    assert process().projects() == first
    assert calls == READ


def refresh(index: DynamoIndex) -> None:
    rootlist.refresh(index.table, index.files)


def during(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, happening: Callable[[], object]) -> None:
    """Something else happens before the next call."""
    real, waiting = getattr(owner, name), [happening]

    def call(*arguments: Any, **options: Any) -> Any:
        if waiting:
            waiting.pop()()
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize("step", ["put", "write"])
def test_two_that_make_it_at_once(
    index: DynamoIndex, monkeypatch: pytest.MonkeyPatch, calls: list[str], step: str
) -> None:
    other = process()
    during(monkeypatch, index.files if step == "put" else index.table, step, other.projects)
    assert index.projects() == truth()
    calls.clear()
    found = process().projects()
    assert calls == READ
    assert found == truth()
    assert len(snapshots()) == 1


def test_an_older_one_does_not_take_the_place_of_a_newer(
    index: DynamoIndex, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    other = process()
    during(monkeypatch, index.table, "write", lambda: (other.put(a_file("another")), other.projects()))
    assert "another" not in index.projects()[1]  # it was not there when this reader began
    calls.clear()
    found = process().projects()
    assert calls == READ
    assert found == truth()


def test_what_comes_while_it_is_made_is_in_the_next_list(
    index: DynamoIndex, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    assert index.files
    during(monkeypatch, index.files, "put", lambda: process().put(a_file("another")))
    index.projects()
    assert "another" in process().projects()[1]


def test_without_the_bucket_readers_and_sync_go_on(index: DynamoIndex, caplog: pytest.LogCaptureFixture) -> None:
    lost = process("no-such-bucket")
    assert lost.projects() == truth()
    assert "could not be kept" in caplog.text
    index.projects()
    assert lost.projects() == truth()
    assert "cannot be read" in caplog.text


# ---- sync


@pytest.fixture
def newcomer(index: DynamoIndex, deployed: Any, tmp_path: Path, calls: list[str]) -> str:
    """The key of a project that came into the index since the snapshot was made, and has no event yet."""
    index.projects()
    wheel = make_wheel(tmp_path, "newcomer", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    deployed.sync(event(wheel.name), None)
    calls.clear()
    return wheel.name


def test_sync_has_it_ready_for_the_next_reader(
    newcomer: str, deployed: Any, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootlist, "PAUSE", 0)
    deployed.sync(event(newcomer), None)
    calls.clear()
    found = process().projects()
    assert "newcomer" in found[1]
    assert calls == READ
    calls.clear()
    refresh(process())
    assert calls == ["BatchGetItem"]


def test_not_each_of_many_new_projects_is_worth_a_snapshot(newcomer: str, calls: list[str]) -> None:
    refresh(process())
    assert calls == ["BatchGetItem"]
    assert "newcomer" in process().projects()[1]


def test_of_many_events_at_once_one_makes_it(newcomer: str, monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> None:
    monkeypatch.setattr(rootlist, "PAUSE", 1)
    now = rootlist.time.time() + 10
    monkeypatch.setattr(rootlist.time, "time", lambda: now)
    index = process()
    during(monkeypatch, index.table, "write", lambda: refresh(process()))
    refresh(index)
    assert calls.count("PutObject") == 1


def test_its_own_event_leads_nowhere(
    newcomer: str, deployed: Any, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootlist, "PAUSE", 0)
    [key] = (key for key in snapshots() if key.startswith(rootlist.FOLDER))
    calls.clear()
    deployed.sync(event(key), None)
    assert calls == []


def test_sync_makes_none_where_nobody_has_read_a_long_list(index: DynamoIndex, calls: list[str]) -> None:
    refresh(index)
    assert calls == ["BatchGetItem"]
    assert snapshots() == {}


def test_sync_never_fails_for_it(
    newcomer: str, deployed: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "BatchGetItem")

    monkeypatch.setattr(deployed._services().index.table, "write", failing)
    monkeypatch.setattr(rootlist, "PAUSE", 0)
    deployed.sync(event(newcomer), None)
    assert "could not be brought up to date" in caplog.text


# ---- links


def test_there_is_a_link_to_what_is_there(index: DynamoIndex) -> None:
    serial, _ = index.projects()
    link = rootlist.link(S3Files(BUCKET), serial)
    assert link
    assert link.startswith(f"https://{BUCKET}.s3.us-east-1.amazonaws.com/.simple/{serial}.json?")
    assert rootlist.link(S3Files(BUCKET), serial + 1) is None
