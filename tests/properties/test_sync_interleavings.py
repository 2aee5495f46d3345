"""Whatever is done at once, fails, ends half way or is told twice: in the end the index says what the store has.

Every play is another interleaving of puts, uploads, deletions, decisions and events, at every call of the
store and the index; :class:`~tests.support.stage.Stage` has the rules. Nothing that was acknowledged may be lost.
"""

import base64
import copy
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from packaging.utils import NormalizedName

from elasticpypi.actions.audit import audit as audit_services
from elasticpypi.config import Config
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.model import Decision, File
from elasticpypi.indexing import audit, sync
from elasticpypi.services import Services
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.wiring import on_bucket, on_folder
from tests.support.builders import make_wheel, metadata
from tests.support.examples import examples
from tests.support.moto_aws import make_table
from tests.support.stage import Action, Actor, Calls, Stage, sha256
from tests.support.store import put

pytestmark = pytest.mark.sampled

# How many different interleavings each family goes through in `make soak`, in every run the same.
PLAYS = {"one machine": 9_100, "aws": 950}

DEMO, SAME, OTHER = "demo-1.0-py3-none-any.whl", "Demo-1.0-py3-none-any.whl", "other-1.0-py3-none-any.whl"


def _wheel(project: str, summary: str) -> tuple[bytes, bytes]:
    """A wheel, and its core metadata."""
    with tempfile.TemporaryDirectory() as folder:
        return (
            make_wheel(Path(folder), project, "1.0", summary=summary).read_bytes(),
            metadata(project, "1.0", summary=summary),
        )


# Of different sizes, since two files of one size that are written within the same tick of the kernel look alike.
WHEELS = dict([_wheel("demo", "one"), _wheel("demo", "another"), _wheel("other", "a third")])
ONE, TWO, THREE = WHEELS
CONTENTS = {"one": ONE, "two": TWO, "three": THREE, "half": ONE[:-50], "reason": b"by hand"}
ACTIONS = [
    *[Action("upload", DEMO, "one")] * 3,
    *[Action("upload", DEMO, "two")] * 2,
    *[Action("upload", SAME, "one")] * 2,
    *[Action("upload", OTHER, "three")] * 2,
    *[Action("put", DEMO, "one")] * 2,
    *[Action("put", DEMO, "two")] * 2,
    Action("put", DEMO, "half"),
    Action("put", f"{DEMO}.yanked", "reason"),
    Action("put", f"team/{DEMO}", "one"),
    Action("take", f"team/{DEMO}"),
    *[Action("take", DEMO)] * 3,
    Action("take", OTHER),
    *[Action("delete", DEMO)] * 2,
    Action("delete", SAME),
    Action("yank", DEMO),
    Action("unyank", DEMO),
    Action("archive", "demo"),
    Action("activate", "demo"),
]
FLAGS, SCRIPT = 2, 6  # where in the bytes of a play the actions and the script begin
LENGTH = 66


class OneMachine:
    """A folder and SQLite. Each actor has a connection of its own, as if it were another process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = DirectoryFiles(folder)
        self._index = SQLiteIndex(folder / "index.db")
        self._idle: list[SQLiteIndex] = []
        self._lent: dict[int, SQLiteIndex] = {}
        self.raw = on_folder(Config(users={}), self._files, self._index)
        with self._index._connection() as connection:
            connection.execute("PRAGMA synchronous = OFF")

    def empty(self) -> None:
        for path in self._files.root.iterdir():
            if path.is_file():
                path.unlink()
            elif path != self._files.incoming:
                shutil.rmtree(path)
        with self._index.writing() as database:
            for table in ("records", "metadata", "projects WHERE name != ''"):
                database.execute(f"DELETE FROM {table}")

    def services(self, stage: Stage, actor: Actor) -> Services:
        self._lent[actor.number] = index = self._idle.pop() if self._idle else self._another()
        files: Any = Calls(
            stage,
            "files",
            self._files,
            save=lambda key, source, digest, **_: stage.stored(key, digest),
            delete=lambda key: stage.stored(key, None),
        )
        calls: Any = Calls(
            stage,
            "index",
            index,
            put=lambda record, *_, **__: stage.indexed(record.project),
            remove=lambda name, *_: stage.indexed(name),
        )
        return replace(self.raw, files=files, index=calls)

    def _another(self) -> SQLiteIndex:
        index = copy.copy(self._index)
        index._idle = []
        with index._connection() as connection:
            # A lock that somebody waits for would be a mistake of the stage.
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA synchronous = OFF")
        return index

    def leave(self, actor: Actor) -> None:
        if actor.number in self._lent:
            self._idle.append(self._lent.pop(actor.number))

    def put(self, stage: Stage, services: Services, key: str, data: bytes) -> None:
        """As ``cp`` does it: the file is there while it grows."""
        path = self._files.root / key
        for part in (data[: len(data) // 2], data):
            stage.before("cp")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(part)
            stage.stored(key, sha256(part))

    def fault(self, call: str, after: bool) -> BaseException | None:
        return None if after or call in ("begin", "cp") else Unavailable("busy")

    def close(self) -> None:
        for index in (*self._idle, self._index):
            index.close()


class Aws:
    """S3 and DynamoDB, in process; the calls of a play are those of their clients."""

    def __init__(self) -> None:
        self._files = S3Files("")
        self._clients: Any = boto3.client("s3"), boto3.client("dynamodb")
        self._number = 0
        self.empty()

    def empty(self) -> None:
        self._number += 1
        self._bucket, self._table = f"bucket-{self._number}", f"table-{self._number}"
        for bucket in (self._bucket, f"{self._bucket}-records"):
            self._clients[0].create_bucket(Bucket=bucket)
        make_table(self._table, self._clients[1])
        self.raw = self._on(*self._clients)

    def _on(self, s3: Any, db: Any) -> Services:
        files = copy.copy(self._files)
        files._bucket, files._s3 = self._bucket, s3
        return on_bucket(Config(users={}, bucket=self._bucket, table=self._table), files, DynamoIndex(self._table, db))

    def services(self, stage: Stage, actor: Actor) -> Services:
        s3 = Calls(
            stage,
            "s3",
            self._clients[0],
            put_object=lambda **put: stage.stored(put["Key"], _digest(put)),
            delete_object=lambda **deleted: stage.stored(deleted["Key"], None),
        )
        db = Calls(
            stage,
            "db",
            self._clients[1],
            transact_write_items=lambda TransactItems: list(map(stage.indexed, _projects(TransactItems))),
        )
        return replace(self._on(s3, db), config=self.raw.config)

    def leave(self, actor: Actor) -> None:
        pass

    def put(self, stage: Stage, services: Services, key: str, data: bytes) -> None:
        files: Any = services.files
        with suppress(ClientError, ReadTimeoutError):
            files._s3.put_object(Bucket=self._bucket, Key=key, Body=data)

    def fault(self, call: str, after: bool) -> BaseException | None:
        if call == "begin":
            return None
        if after:
            return ReadTimeoutError(endpoint_url="https://aws")
        code = "SlowDown" if call.startswith("s3.") else "ThrottlingException"
        return ClientError({"Error": {"Code": code}}, call)


def _digest(put: dict[str, Any]) -> str:
    checksum = put.get("ChecksumSHA256")
    return base64.b64decode(checksum).hex() if checksum else sha256(put["Body"])


def _projects(actions: list[dict[str, Any]]) -> list[NormalizedName]:
    """The project that a transaction changes, if it is one of the index and not of what may be lost."""
    keys = {action["Put"]["Item"]["pk"]["S"] for action in actions if "Put" in action}
    return [NormalizedName(key.removeprefix("project#")) for key in keys if key.startswith("project#")]


def play(family: Any, script: bytes) -> int:
    """One play; a hash of what happened in it."""
    actions = [ACTIONS[byte % len(ACTIONS)] for byte in script[FLAGS : FLAGS + 2 + script[0] % 3]]
    there, overwrite = script[1] & 1, bool(script[1] & 2)
    note(f"{actions}, {'with' if there else 'without'} {DEMO}, overwrite={overwrite}")
    family.empty()
    family.raw = replace(family.raw, config=replace(family.raw.config, overwrite=overwrite))
    stage = Stage(family, CONTENTS, script[SCRIPT:])
    files, index = family.raw.files, family.raw.index
    if there:
        put(files, DEMO, ONE)
        stage.stored(DEMO, sha256(ONE))
        sync.sync(files, index, DEMO)
    stage.play(actions)
    if stage.interrupted:  # nobody is told of the file that is still there, but the audit finds it
        for _ in audit_services(family.raw, audit.Report(repair=True)):
            pass
    check(family.raw)
    return hash((*actions, *stage.trace))


def check(services: Services) -> None:
    """The index says what the bytes in the store say, which is read here by none of our modules."""
    files, index = services.files, services.index
    expected: dict[str, tuple[str, ...]] = {}
    stored = {stat.key: stat for stat in files.list()}
    for stat in stored.values():
        with files.open(stat) as content:
            data = content.read()
        if not stat.key.endswith(".whl"):
            expected[stat.key] = stat.revision, data.decode().partition("\n# by ")[0].strip()
        elif data in WHEELS and f"{stat.key}.deleted" not in stored:
            expected[stat.key] = stat.revision, sha256(data), sha256(WHEELS[data])
    records = list(index.records())
    found = {}
    for record in records:
        what = (record.text,) if isinstance(record, Decision) else (record.sha256, record.metadata_sha256)
        found[record.key] = record.revision, *what
    assert found == expected
    assert len(records) == len(found)
    names = {record.project for record in records if isinstance(record, File)}
    assert index.projects()[1] == sorted(names)
    for name in names:
        project = index.project(name)
        assert project is not None
        for file in project.files:
            body = index.metadata(name, file.filename)
            if project.status != "quarantined":
                assert body is not None
                assert sha256(body[1]) == file.metadata_sha256


def perform(family: Any, plays: int) -> None:
    """At least so many different plays."""
    seen = set()

    @settings(
        max_examples=plays + plays // 25,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(min_size=LENGTH, max_size=LENGTH))
    def run(script: bytes) -> None:
        seen.add(play(family, script))

    run()
    assert len(seen) >= plays


def test_ten_thousand() -> None:
    assert sum(PLAYS.values()) > 10_000


@pytest.mark.slow
def test_one_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    family = OneMachine(tmp_path)
    perform(family, examples(PLAYS["one machine"]))
    family.close()


def test_aws(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    perform(Aws(), examples(PLAYS["aws"]))
