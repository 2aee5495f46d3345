"""The functions on AWS under faults of every kind: what was acknowledged is there, and everything is equal in the end.

S3 and DynamoDB refuse, delay, break off and lose answers; the processes of functions are killed between any two
calls; events are lost, doubled, out of order and several in one. Then comes one audit without faults.
"""

import json
import random
import threading
from collections import Counter as CountOf
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import boto3
import pytest
import requests
from packaging.utils import NormalizedName

from elasticpypi.core.keys import is_staged
from elasticpypi.core.model import Decision, File
from elasticpypi.core.search_entry import Counts
from elasticpypi.hosts.aws import lambdas
from tests.support import faulty
from tests.support.application import PASSWORD, USER
from tests.support.builders import make_wheel
from tests.support.events import Asked, announcement, ask, begin_anew, event, sentence, upload
from tests.support.faulty import ANY, DYNAMODB, S3, Call, Fault, Faulty
from tests.support.functions import DIRECT, PART, Functions, Killed
from tests.support.moto_aws import make_table

pytestmark = [pytest.mark.aws, pytest.mark.slow]
SLOW = Fault("no answer in time", 200, seconds=1.5)
LATE = Fault("the answer comes too late", after=True, seconds=1.5)
KINDS = {"s3": [*ANY, *S3, SLOW, LATE], "dynamodb": [*ANY, *DYNAMODB, SLOW, LATE]}
PROJECTS = 6
PROCESSES = 6  # of functions that are busy at once


class World:
    """The functions, what happens to them, and what they have acknowledged."""

    def __init__(self, between: Faulty, functions: Functions, bucket: str, seed: int) -> None:
        self.between, self.functions, self.bucket, self.prefix = between, functions, bucket, f"/{bucket}/"
        self.dice, self.faults = random.Random(seed), 0.0
        self.lock = threading.Lock()
        self.events: list[str] = []
        self.wrong: list[str] = []
        between.decide = self.decide

    def chance(self, probability: float) -> bool:
        with self.lock:
            return self.dice.random() < probability

    def decide(self, call: Call) -> Fault | None:
        path = unquote(urlsplit(call.target).path)
        if call.operation in ("PutObject", "DeleteObject", "CompleteMultipartUpload") and path.startswith(self.prefix):
            with self.lock:  # there may be an event of it, whatever the client hears
                self.events.append(path.removeprefix(self.prefix))
        if not self.chance(self.faults):
            return None
        with self.lock:
            return self.dice.choice(KINDS[call.service])

    def ask(self, asked: Asked) -> int:
        """The status, 0 if the function was killed; a 5xx says what it has to."""
        return self.tell(asked)[0]

    def tell(self, asked: Asked) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        try:
            answer = ask(self.functions, asked)
        except Killed:
            return 0, b""
        if answer.status >= 500:
            try:
                sentence(answer)
            except AssertionError as error:
                self.wrong.append(f"{asked.method} {asked.path}: {error}")
        return answer.status, answer.body

    def deliver(self) -> None:
        """What events there are, each lost, once or twice, in any order, several at once."""
        with self.lock:
            keys = [key for key in self.events for _ in range(self.dice.choice([0, 1, 1, 1, 1, 2]))]
            self.events = []
            self.dice.shuffle(keys)
            together = []
            while keys:
                count = self.dice.choice([1, 1, 1, 2, 5])
                together.append(keys[:count])
                keys = keys[count:]
        with ThreadPoolExecutor(PROCESSES) as pool:
            list(pool.map(self._deliver, together))

    def _deliver(self, keys: list[str]) -> None:
        """An event; one that fails comes again, three times at most."""
        for _ in range(3):
            try:
                self.functions.sync(event(*(key.replace("+", "%2B") for key in keys)))
                return
            except (RuntimeError, Killed):
                continue

    def put(self, link: str, body: bytes) -> None:
        """A part to its link, whatever comes of it."""
        with suppress(requests.RequestException):
            requests.put(link, data=body, timeout=10)

    def large(self, path: Path) -> str | None:
        """Announce a large file, send its parts, have them joined, and ask; as a client does that never gives up.

        The path at which one may ask for it, None if that was never known.
        """
        data, place, told = path.read_bytes(), None, {"state": ""}
        for _ in range(8):
            status, body = self.tell(announcement(path))
            if status not in (200, 201, 202):
                continue
            told = json.loads(body)
            if told["state"] == "done":
                break
            place = f"/uploads/{told['id']}"
            for number, link in told.get("missing", {}).items():
                begin = (int(number) - 1) * PART
                self.put(link, data[begin : begin + PART])
            if self.ask(Asked("POST", place)) == 202:
                break
        return place


@pytest.fixture
def world(
    request: pytest.FixtureRequest, dynamodb_local: str, seaweedfs: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[World]:
    name, seed = f"campaign-{uuid4()}", getattr(request, "param", 1)
    with faulty.faulty(seaweedfs, dynamodb_local, instead=".staged") as between:
        settings = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
        settings |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": between.url}
        settings |= {"BUCKET": name, "TABLE": name, "USERNAME": USER, "PASSWORD": PASSWORD, "STAGE": "dev"}
        for variable, value in settings.items():
            monkeypatch.setenv(variable, value)
        for bucket in (name, f"{name}-records"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        make_table(name)
        begin_anew()
        settings["AWS_LAMBDA_FUNCTION_NAME"] = "api"
        functions = Functions(settings, PROCESSES, seed, tmp_path / "functions.log")
        yield World(between, functions, name, seed)
        functions.close()
        begin_anew()


def play(world: World, folder: Path, acts: int, puts: int) -> None:
    """Several clients at once, each with projects of its own; then all is as the bucket says."""
    acknowledged: dict[str, bool] = {}  # file name → whether it is there; missing: nobody was told
    yanked: dict[str, bool] = {}
    large: dict[str, str] = {}  # file name → where to ask for it

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
            if version % 3 == 1:
                filler = {"large.bin": dice.randbytes(DIRECT if version % 6 == 1 else PART + DIRECT)}
                path = make_wheel(mine, f"large-{number}", f"{version}.0", files=filler)
                if place := world.large(path):
                    large[path.name] = place
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

    world.functions.audit()  # from now on whatever it finds is news
    world.faults = 0.08
    world.functions.deaths = 0.01
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(client, range(4)))
    world.faults = 0
    wheels = [make_wheel(folder, f"burst{number % 40}", f"{number}.0") for number in range(puts)]
    s3 = boto3.client("s3")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: s3.put_object(Bucket=world.bucket, Key=path.name, Body=path.read_bytes()), wheels))
    acknowledged.update({path.name: True for path in wheels})
    world.faults = 0.08
    world.deliver()
    world.deliver()  # of what the functions themselves have put
    world.faults = world.functions.deaths = 0
    world.functions.audit()
    for name, place in large.items():
        status, body = world.tell(Asked("GET", place))
        assert status == 200, (name, body)
        if (told := json.loads(body))["state"] == "done":
            acknowledged[name] = True
        else:
            assert told["state"] == "open", (name, told)  # never joined, so that a client may go on
    assert not world.wrong, f"The log is {world.functions.log}."
    assert len(world.between.met) > 10 * acts
    assert world.functions.killed
    assert {call.operation for call in world.between.calls} >= {"UploadPart", "UploadPartCopy"}
    compare(world, acknowledged, yanked)


def compare(world: World, acknowledged: dict[str, bool], yanked: dict[str, bool]) -> None:
    """Table, catalog and bucket are equal, and nothing that was acknowledged is missing."""
    services = lambdas._services()
    stored = {stat.key: stat for stat in services.files.list()}
    assert not [key for key in stored if is_staged(key)]
    stored = {key: stat for key, stat in stored.items() if not key.startswith(".")}
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
    assert services.index.outbox() == []
    told = CountOf(event.filename for event in services.log.read(most=100_000) if event.type == "file.uploaded")
    assert {name: told[name] for name in acknowledged if told[name] != 1} == {}


def names(services: Any, project: NormalizedName) -> list[str]:
    return [file.filename for file in services.index.project(project).files]


def test_nothing_that_was_acknowledged_is_lost(world: World, tmp_path: Path) -> None:
    play(world, tmp_path, acts=5, puts=40)


@pytest.mark.soak
@pytest.mark.parametrize("world", range(2, 5), indirect=True)
def test_nor_in_the_long_run(world: World, tmp_path: Path) -> None:
    play(world, tmp_path, acts=30, puts=500)
