"""Containers on bucket and table: one of them looks at the listing, and all that follows from it is there.

And a table remembers its bucket, so that a typing error empties no index.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from elasticpypi import wiring
from elasticpypi.cli import main
from elasticpypi.config import SETTINGS, Config
from elasticpypi.core.errors import ConfigurationError, Unavailable
from elasticpypi.indexing import bucket_follower as module
from elasticpypi.indexing import heartbeat
from elasticpypi.indexing.bucket_follower import Follower
from elasticpypi.services import Services
from elasticpypi.storage.aws import state
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.wiring import with_subscribers
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import make_wheel
from tests.support.events import begin_anew, event, in_time
from tests.support.moto_aws import BUCKET, TABLE


def make(services: Services, state: Path) -> Follower:
    told = with_subscribers(services)
    assert isinstance(services.files, S3Files)
    assert isinstance(services.index, DynamoIndex)
    told_of = told.catalog, told.events.tell, services.claim, services.beside
    return Follower(services.files, services.index, *told_of, state, services.threads)


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
    assert calls == ["GetItem", "TransactWriteItems"]
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
    calls.clear()
    follower.look()
    assert calls == ["GetItem", "TransactWriteItems"]


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


# ---- A table remembers its bucket

OTHER = "packages-bukket"
BELONGS = (
    f"The table {TABLE!r} belongs to the bucket {BUCKET!r}, not to {OTHER!r}: set BUCKET={BUCKET}, or, if its packages "
    f"were copied, run `elasticpypi reindex --move-from {BUCKET}`."
)


def records() -> set[str]:
    return {record.key for record in DynamoIndex(TABLE).records()}


@pytest.fixture
def run(aws: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A command with BUCKET as given; there are both buckets."""
    for bucket in (OTHER, f"{OTHER}-records"):
        boto3.client("s3").create_bucket(Bucket=bucket)
    for setting in SETTINGS:
        monkeypatch.setenv(setting.name, "")

    def command(*arguments: str, bucket: str = BUCKET) -> Result:
        environ = {"BUCKET": bucket, "TABLE": TABLE, "USERNAME": USER, "PASSWORD": PASSWORD}
        return CliRunner().invoke(main, arguments, env=environ)

    return command


def test_another_bucket_is_refused_and_nothing_is_removed(
    run: Callable[..., Result], services: Services, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    put(wheel)
    assert run("reindex").exit_code == 0
    for command in (["reindex"], ["audit", "--repair"], ["yank", wheel.name], ["delete", "--yes", wheel.name]):
        refused = run(*command, bucket=OTHER)
        assert (refused.exit_code, refused.output) == (1, f"Error: {BELONGS}\n"), command
        assert run(*command[:1], "--help").exit_code == 0
    assert run("audit", bucket=OTHER).output.endswith("puts it right.\n")  # which only looks
    wrong = make(wiring.services(replace(services.config, bucket=OTHER)), tmp_path / "wrong.json")
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            wrong.look()
        assert str(caught.value) == BELONGS
    assert records() == {wheel.name}
    assert boto3.client("s3").list_objects_v2(Bucket=OTHER)["KeyCount"] == 0
    assert make(services, tmp_path / "right.json").look() == ""  # the other one has not taken the lease
    assert run("reindex").exit_code == 0


def test_a_server_does_not_start_on_a_table_of_another_bucket(
    run: Callable[..., Result], aws_endpoint: str, tmp_path: Path
) -> None:
    put(make_wheel(tmp_path, "demo", "1.0"))
    assert run("reindex").exit_code == 0
    for follow in ("listing", "events"):
        environ = {**os.environ, "AWS_ENDPOINT_URL": aws_endpoint, "BUCKET": OTHER, "TABLE": TABLE, "FOLLOW": follow}
        environ |= {"USERNAME": USER, "PASSWORD": PASSWORD, "PORT": "0"}
        command = [sys.executable, "-m", "elasticpypi", "serve"]
        done = subprocess.run(command, env=environ, text=True, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (1, f"Error: {BELONGS}\n")
    assert len(records()) == 1


def test_an_index_moves_if_it_is_told_from_where(
    run: Callable[..., Result], services: Services, follower: Follower, tmp_path: Path
) -> None:
    wheel, left = make_wheel(tmp_path, "demo", "1.0"), make_wheel(tmp_path, "left", "1.0")
    put(wheel)
    put(left)
    assert run("reindex").exit_code == 0
    follower.look()
    boto3.client("s3").copy_object(Bucket=OTHER, Key=wheel.name, CopySource={"Bucket": BUCKET, "Key": wheel.name})
    refused = run("reindex", "--move-from", "packages", bucket=OTHER)
    assert (refused.exit_code, refused.output) == (1, f"Error: {BELONGS}\n")
    assert len(records()) == 2
    moved = run("reindex", "--move-from", BUCKET, bucket=OTHER)
    assert moved.exit_code == 0, moved.output
    assert records() == {wheel.name}
    for _ in range(2):  # again, or if it was broken off
        assert run("reindex", bucket=OTHER).exit_code == run("reindex", "--move-from", BUCKET, bucket=OTHER).exit_code
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=wheel.name)
    for _ in range(2):  # a container that was forgotten, and has the lease
        with pytest.raises(ConfigurationError, match=f"belongs to the bucket '{OTHER}', not to '{BUCKET}'"):
            follower.look()
    assert records() == {wheel.name}
    assert run("reindex").exit_code == 1
    back = run("reindex", "--move-from", OTHER)
    assert (back.exit_code, records()) == (0, {left.name})


def test_only_a_bucket_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", str(tmp_path))
    done = CliRunner().invoke(main, ["reindex", "--move-from", BUCKET])
    told = "Error: --move-from is for an index on a bucket: leave it out, a folder may lie anywhere.\n"
    assert (done.exit_code, done.output) == (1, told)


def test_a_table_of_before_is_taken_over(run: Callable[..., Result], follower: Follower, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    put(wheel)
    for first in ("reindex", "audit --repair", "a container"):
        follower.look() if first == "a container" else run(*first.split())
        assert run("reindex", bucket=OTHER).output == f"Error: {BELONGS}\n", first
        boto3.client("dynamodb").delete_item(TableName=TABLE, Key={"pk": {"S": "#store"}, "sk": {"S": "#bucket"}})


def test_of_two_buckets_at_once_one_has_the_table(run: Callable[..., Result], services: Services) -> None:
    both = [wiring.services(replace(services.config, bucket=bucket)) for bucket in (BUCKET, OTHER)] * 8

    def claimed(each: Services) -> str:
        try:
            each.claim("")
        except ConfigurationError:
            return ""
        return each.config.bucket

    with ThreadPoolExecutor(16) as pool:
        [winner] = set(pool.map(claimed, both)) - {""}
    assert run("reindex", bucket=winner).exit_code == 0
    assert run("reindex", bucket=({BUCKET, OTHER} - {winner}).pop()).exit_code == 1


def test_the_functions_remember_it_and_an_audit_removes_nothing(
    run: Callable[..., Result], deployed: Any, calls: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One read for each process of ``sync``, none for requests; a deployment that moves goes on to take events."""
    wheel, new = make_wheel(tmp_path, "demo", "1.0"), make_wheel(tmp_path, "new", "1.0")
    put(wheel)
    deployed.sync(event(wheel.name), None)
    assert run("reindex", bucket=OTHER).output == f"Error: {BELONGS}\n"
    begin_anew()
    made = []
    for _ in range(2):
        calls.clear()
        deployed.sync(event(wheel.name), None)
        made.append(calls.copy())
    assert made[0] == [*made[1], "GetItem"]
    monkeypatch.setenv("BUCKET", OTHER)
    begin_anew()
    with pytest.raises(ConfigurationError) as caught:
        deployed.audit({}, in_time())
    assert str(caught.value) == BELONGS
    boto3.client("s3").put_object(Bucket=OTHER, Key=new.name, Body=new.read_bytes())
    deployed.sync(event(new.name), None)
    assert records() == {wheel.name, new.name}
    assert run("reindex", "--move-from", BUCKET, bucket=OTHER).exit_code == 0
    deployed.audit({}, in_time())
    assert records() == {new.name}
