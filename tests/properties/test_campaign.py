"""The functions on AWS under faults of every kind: what was acknowledged is there, and everything is equal in the end.

S3 and DynamoDB refuse, delay, break off and lose answers; functions are killed between any two calls; events are
lost, doubled and out of order. Then comes one audit without faults.
"""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import boto3
import pytest
import urllib3
from packaging.utils import NormalizedName

from elasticpypi.core.model import Decision, File
from elasticpypi.core.search_entry import Counts
from elasticpypi.hosts.aws import lambdas
from elasticpypi.storage.aws import direct
from tests.support import faulty
from tests.support.application import PASSWORD, USER
from tests.support.builders import make_wheel
from tests.support.events import Asked, ask, begin_anew, event, in_time, sentence, upload
from tests.support.faulty import ANY, DYNAMODB, S3, Call, Fault, Faulty
from tests.support.moto_aws import make_table

pytestmark = [pytest.mark.aws, pytest.mark.slow]
SLOW = Fault("no answer in time", 200, seconds=1.5)
LATE = Fault("the answer comes too late", after=True, seconds=1.5)
KINDS = {"s3": [*ANY, *S3, SLOW, LATE], "dynamodb": [*ANY, *DYNAMODB, SLOW, LATE]}
PROJECTS = 6


class Killed(BaseException):
    """The function ended here."""


class World:
    """The functions, what happens to them, and what they have acknowledged."""

    def __init__(self, between: Faulty, bucket: str, seed: int) -> None:
        self.between, self.bucket, self.dice = between, bucket, random.Random(seed)
        self.faults, self.deaths = 0.0, 0.0
        self.lock = threading.Lock()
        self.events: list[str] = []
        self.wrong: list[str] = []
        self.killed = 0
        between.decide = self.decide

    def chance(self, probability: float) -> bool:
        with self.lock:
            return self.dice.random() < probability

    def decide(self, call: Call) -> Fault | None:
        if call.operation in ("PutObject", "DeleteObject", "CompleteMultipartUpload"):
            with self.lock:  # there may be an event of it, whatever the client hears
                self.events.append(unquote(urlsplit(call.target).path).removeprefix(f"/{self.bucket}/"))
        if not self.chance(self.faults):
            return None
        with self.lock:
            return self.dice.choice(KINDS[call.service])

    def ask(self, asked: Asked) -> int:
        """The status, 0 if the function was killed; a 5xx says what it has to."""
        try:
            answer = ask(lambdas, asked)
        except Killed:
            return 0
        if answer.status >= 500:
            try:
                sentence(answer)
            except AssertionError as error:
                self.wrong.append(f"{asked.method} {asked.path}: {error}")
        return answer.status

    def deliver(self) -> None:
        """Some events, each lost, once or twice, in any order; what fails comes again, three times at most."""
        with self.lock:
            keys, self.events = self.events, []
            self.dice.shuffle(keys)
        for key in keys:
            for _ in range(self.dice.choice([0, 1, 1, 1, 1, 2])):
                for _ in range(3):
                    try:
                        lambdas.sync(event(key.replace("+", "%2B")), None)
                        break
                    except (RuntimeError, Killed):
                        continue


@pytest.fixture
def world(
    request: pytest.FixtureRequest, dynamodb_local: str, seaweedfs: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    name = f"campaign-{uuid4()}"
    with faulty.faulty(seaweedfs, dynamodb_local) as between:
        settings = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
        settings |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_NAME": "api"}
        settings |= {"BUCKET": name, "TABLE": name, "USERNAME": USER, "PASSWORD": PASSWORD, "STAGE": "dev"}
        for variable, value in {**settings, "AWS_ENDPOINT_URL": between.url}.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(direct, "READ_SECONDS", 0.7)
        monkeypatch.setattr("elasticpypi.storage.aws.PATIENCE", _patience())
        boto3.client("s3").create_bucket(Bucket=name)
        make_table(name)
        begin_anew()
        made = World(between, name, seed=getattr(request, "param", 1))
        real, sleep = urllib3.HTTPConnectionPool.urlopen, time.sleep
        ours = urlsplit(between.url).port

        def urlopen(self: Any, *args: Any, **options: Any) -> Any:
            if self.port == ours and made.chance(made.deaths):
                made.killed += 1
                raise Killed
            answer = real(self, *args, **options)
            if self.port == ours and made.chance(made.deaths):
                answer.close()
                made.killed += 1
                raise Killed
            return answer

        monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", urlopen)
        monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 50))
        yield made
        begin_anew()
        direct._manager(between.url).clear()
        direct._manager.cache_clear()


def _patience() -> Any:
    from elasticpypi.storage import aws

    return aws.PATIENCE.merge(type(aws.PATIENCE)(read_timeout=0.7))


def play(world: World, folder: Path, acts: int, puts: int) -> None:
    """Several clients at once, each with projects of its own; then all is as the bucket says."""
    acknowledged: dict[str, bool] = {}  # file name → whether it is there; missing: nobody was told
    yanked: dict[str, bool] = {}

    def client(number: int) -> None:
        dice, mine = random.Random(number), folder / str(number)
        mine.mkdir()
        for version in range(acts):
            wheel = make_wheel(mine, f"project-{number}-{version % PROJECTS}", f"{version}.0")
            for _ in range(3):
                if world.ask(upload(wheel)) == 200:
                    acknowledged[wheel.name] = True
                    break
            known = [name for name, there in acknowledged.items() if there and name.startswith(f"project_{number}_")]
            if not known:
                continue
            chosen = dice.choice(known)
            match dice.randrange(5):
                case 0:
                    del acknowledged[chosen]
                    if world.ask(Asked("DELETE", f"/packages/{chosen}")) == 200:
                        acknowledged[chosen] = False
                case 1:
                    yanked.pop(chosen, None)
                    if world.ask(Asked("PUT", f"/packages/{chosen}.yanked", body=b"bad")) == 200:
                        yanked[chosen] = True
                case 2:
                    world.ask(Asked("GET", f"/packages/{chosen}"))
                case 3:
                    world.ask(Asked("GET", "/search", {"Accept": "application/json"}, query={"q": "project"}))
                case _:
                    world.ask(Asked("GET", f"/simple/project-{number}-{version % PROJECTS}/"))
            if version % 5 == 4:
                world.deliver()

    world.faults, world.deaths = 0.08, 0.01
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(client, range(4)))
    before, world.faults, world.deaths = (world.faults, world.deaths), 0, 0
    for number in range(puts):
        wheel = make_wheel(folder, f"burst{number % 40}", f"{number}.0")
        boto3.client("s3").put_object(Bucket=world.bucket, Key=wheel.name, Body=wheel.read_bytes())
        acknowledged[wheel.name] = True
    world.faults, world.deaths = before
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: world.deliver(), range(4)))
    world.faults = world.deaths = 0
    lambdas.audit({}, in_time())
    assert not world.wrong
    assert len(world.between.met) > 10 * acts
    assert world.killed
    compare(world, acknowledged, yanked)


def compare(world: World, acknowledged: dict[str, bool], yanked: dict[str, bool]) -> None:
    """Table, catalog and bucket are equal, and nothing that was acknowledged is missing."""
    services = lambdas._services()
    stored = {stat.key: stat for stat in services.files.list() if not stat.key.startswith(".")}
    listed = {key for key in stored if key.endswith(".whl") and f"{key}.deleted" not in stored}
    records = {record.key: record for record in services.index.records()}
    assert {key for key, record in records.items() if isinstance(record, File)} == listed
    assert {key for key, record in records.items() if isinstance(record, Decision)} == {
        key for key in stored if not key.endswith(".whl")
    }
    assert all(record.revision == stored[key].revision for key, record in records.items())
    projects = {record.project for record in records.values() if isinstance(record, File)}
    assert services.index.projects()[1] == sorted(projects)
    shown = {name for project in projects for name in names(services, project)}
    assert shown == listed
    for name, there in acknowledged.items():
        assert (name in shown) == there, name
    assert not [name for name in yanked if acknowledged.get(name) and f"{name}.yanked" not in records]
    assert list(services.catalog.stale()) == []
    entries = services.catalog.entries(sorted(projects))
    assert {entry.name: entry.files for entry in entries} == {
        project: len(names(services, project)) for project in projects
    }
    assert services.catalog.counts() == Counts(
        len(projects), sum(entry.releases for entry in entries), sum(entry.files for entry in entries)
    )


def names(services: Any, project: NormalizedName) -> list[str]:
    return [file.filename for file in services.index.project(project).files]


def test_nothing_that_was_acknowledged_is_lost(world: World, tmp_path: Path) -> None:
    play(world, tmp_path, acts=5, puts=40)


@pytest.mark.soak
@pytest.mark.parametrize("world", range(2, 5), indirect=True)
def test_nor_in_the_long_run(world: World, tmp_path: Path) -> None:
    play(world, tmp_path, acts=30, puts=500)
