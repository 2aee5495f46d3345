"""Containers on bucket and table: one of them looks at the listing, and all that follows from it is there."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from elasticpypi import wiring
from elasticpypi.config import Config
from elasticpypi.core.errors import Unavailable
from elasticpypi.indexing import bucket_follower as module
from elasticpypi.indexing import heartbeat
from elasticpypi.indexing.bucket_follower import Follower
from elasticpypi.services import Services
from elasticpypi.storage.aws import state
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.aws.state import TableState
from elasticpypi.wiring import with_subscribers
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import make_wheel
from tests.support.moto_aws import BUCKET, TABLE


def make(services: Services, state: Path) -> Follower:
    told = with_subscribers(services)
    assert isinstance(services.files, S3Files)
    assert isinstance(services.index, DynamoIndex)
    return Follower(
        services.files, services.index, told.catalog, told.events.tell, TableState(services.index.table), state, 4
    )


@pytest.fixture
def services(aws: None) -> Services:
    return wiring.services(Config(users={USER: PASSWORD}, bucket=BUCKET, table=TABLE))


@pytest.fixture
def follower(services: Services, tmp_path: Path) -> Follower:
    return make(services, tmp_path / "state.json")


class Clock:
    """Time for leases and comparisons."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for each in (module, state):
        monkeypatch.setattr(each, "time", clock)
    return clock


def put(path: Path, key: str = "") -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key or path.name, Body=path.read_bytes())


def test_what_is_put_appears_everywhere(services: Services, follower: Follower, tmp_path: Path) -> None:
    client = Client(services)
    for version in ("1.0", "2.0"):
        put(make_wheel(tmp_path, "demo", version, summary="Things for orders"))
        assert follower.look() == ""
        page: Any = client.json("/simple/demo/")
        assert page["versions"][-1] == version
        assert [entry.version for entry in services.catalog.search("orders", 0, 9).entries] == [version]
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="demo-2.0-py3-none-any.whl")
    follower.look()
    page = client.json("/simple/demo/")
    assert page["versions"] == ["1.0"]
    assert client.upload(make_wheel(tmp_path, "other", "1.0")).status_code == 200
    follower.look()
    assert services.catalog.search("other", 0, 9).total == 1


def test_a_look_that_finds_nothing_new_costs_a_listing(
    follower: Follower, calls: list[str], tmp_path: Path, services: Services
) -> None:
    put(make_wheel(tmp_path, "demo", "1.0"))
    follower.look()
    calls.clear()
    follower.look()
    assert calls == ["TransactWriteItems", "ListObjectsV2"]


def test_one_of_several_looks(
    services: Services, follower: Follower, clock: Clock, calls: list[str], tmp_path: Path
) -> None:
    other = make(services, tmp_path / "other.json")
    follower.look()
    calls.clear()
    other.look()
    assert calls == ["TransactWriteItems"]
    clock.now += 2.5 * module.PAUSE
    other.look()
    assert "ListObjectsV2" not in calls
    clock.now += module.PAUSE  # the first one is gone
    put(make_wheel(tmp_path, "demo", "1.0"))
    other.look()
    assert Client(services).get("/simple/demo/").status_code == 200
    calls.clear()
    follower.look()  # and comes back
    assert calls == ["TransactWriteItems"]


def test_many_keys_are_listed_less_often(follower: Follower, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "MANY", 2)
    for number in range(5):
        put(make_wheel(tmp_path, "demo", f"{number}.0"))
    follower.look()
    assert follower.pause == 150


def test_what_failed_is_tried_again(
    services: Services, follower: Follower, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(make_wheel(tmp_path, "demo", "1.0"))

    def throttled(*_: object, **__: object) -> bool:
        raise Unavailable("The table is throttled: try again.")

    follower.look()
    put(make_wheel(tmp_path, "demo", "2.0"))
    with monkeypatch.context() as patched:
        patched.setattr(DynamoIndex, "put", throttled)
        said = follower.look()
    assert said.startswith("1 files could not be brought in yet, 'demo-2.0-py3-none-any.whl' for one: The table is")
    assert follower.look() == ""
    page: Any = Client(services).json("/simple/demo/")
    assert page["versions"] == ["1.0", "2.0"]


def test_a_first_look_that_failed_is_done_again(
    services: Services, follower: Follower, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The table was throttled while it was compared with the bucket, and nothing was brought in."""
    put(make_wheel(tmp_path, "demo", "1.0"))

    def throttled(*_: object) -> Any:
        raise Unavailable("The table is throttled: try again.")

    with monkeypatch.context() as patched:
        patched.setattr(DynamoIndex, "records", throttled)
        with pytest.raises(Unavailable):
            follower.look()
    assert follower.look() == ""
    assert Client(services).get("/simple/demo/").status_code == 200


def test_health_says_what_the_follower_says(services: Services, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    told = replace(services, behind=lambda: heartbeat.behind(state))
    said: Any = Client(told).get("/health").json
    assert said["follower"] == "behind: Nothing follows the packages: `elasticpypi serve` does."
    heartbeat.say(state, "")
    said = Client(told).get("/health").json
    assert said["follower"] == "ok"
    assert "follower" not in (Client(services).get("/health").json or {})
