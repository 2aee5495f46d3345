"""Who fetched which file: counted from what was answered, written beside the requests, shown by a command."""

import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from werkzeug.test import Client

from elasticpypi.cli import main
from elasticpypi.core.errors import Unavailable
from elasticpypi.hosts.machine import downloads
from elasticpypi.hosts.machine.access_log import logged
from elasticpypi.hosts.machine.downloads import PATHS, Recorder
from elasticpypi.storage.contracts import Fetched
from elasticpypi.web.response_cache import USER
from tests.support.builders import make_wheel
from tests.support.releases import Releases, releases
from tests.support.serving import Server

WHEEL = "demo-1.0-py3-none-any.whl"
THEIRS = f"/upstream/main/files/{WHEEL}"
ANNA, BEN = "anna:one", "ben:two"


class Store:
    """Takes what is written; ``broken``: it cannot."""

    def __init__(self) -> None:
        self.rows: list[Fetched] = []
        self.broken = False

    def add(self, day: date, fetched: Iterable[Fetched]) -> None:
        assert day == datetime.now(UTC).date()
        if self.broken:
            raise Unavailable("It is away.")
        self.rows += fetched

    def of(self, project: str, version: str) -> list[Any]:
        raise AssertionError


def answered(status: str) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[USER] = "anna"
        start_response(status, [("Content-Length", "0")])
        return []

    return app


@pytest.fixture
def null() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("kind", "method", "path", "status", "counts"),
    [
        ("upstream", "GET", THEIRS, "200 OK", True),
        ("upstream", "GET", THEIRS, "302 FOUND", True),  # what it leads to is not seen here
        ("upstream", "HEAD", THEIRS, "200 OK", False),
        ("upstream", "GET", THEIRS, "304 NOT MODIFIED", False),
        ("upstream", "GET", THEIRS, "206 PARTIAL CONTENT", False),
        ("upstream", "GET", THEIRS, "403 FORBIDDEN", False),
        ("upstream", "GET", f"{THEIRS}.metadata", "200 OK", False),
        ("upstream", "GET", f"/packages/{WHEEL}", "200 OK", False),
        ("upstream", "GET", "/simple/demo/", "200 OK", False),
        ("all", "GET", f"/packages/{WHEEL}", "200 OK", True),
        ("all", "GET", THEIRS, "200 OK", True),
        ("all", "GET", f"/packages/{WHEEL}.metadata", "200 OK", False),
        ("none", "GET", THEIRS, "200 OK", False),
    ],
)
def test_what_counts(null: int, kind: str, method: str, path: str, status: str, counts: bool) -> None:
    store = Store()
    recorder = Recorder(store)
    app = logged(answered(status), null, recorder, PATHS[kind])
    for _ in range(2):
        Client(app).open(path, method=method, environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert store.rows == []  # no request waits for it
    recorder.write()
    recorder.write()
    index = "main" if path.startswith("/upstream/") else ""
    assert store.rows == ([Fetched("demo", "1", WHEEL, index, "anna", "192.0.2.1")] if counts else [])  # type: ignore[arg-type]


def test_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    recorder = Recorder(store)
    for user in ("anna", "ben", "anna"):
        recorder(THEIRS, user, "192.0.2.1")
        recorder.write()
    assert [each.user for each in store.rows] == ["anna", "ben"]
    recorder._day = date(2026, 1, 1)
    recorder(THEIRS, "anna", "192.0.2.1")
    recorder.write()
    assert [each.user for each in store.rows] == ["anna", "ben", "anna"]


def test_what_cannot_be_written_is_lost_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    recorder = Recorder(store)
    store.broken = True
    for _ in range(3):
        recorder(THEIRS, "anna", "192.0.2.1")
        recorder.write()
    assert [record.getMessage() for record in caplog.records] == ["Who fetches files is not recorded now: It is away."]
    store.broken = False
    recorder(THEIRS, "anna", "192.0.2.1")
    recorder.write()
    assert len(store.rows) == 1


def test_of_too_many_that_wait_the_oldest_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "WAITING", 5)
    store = Store()
    recorder = Recorder(store)
    for number in range(12):
        recorder(THEIRS, f"user{number}", "192.0.2.1")
    recorder.write()
    assert sorted(each.user for each in store.rows) == ["user10", "user11", "user7", "user8", "user9"]


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        index.release("demo", ("1.0", 100))
        yield index


def who(data: Path, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["who", *arguments, "--data", str(data)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.network
@pytest.mark.parametrize("kind", ["upstream", "all", "none"])
def test_with_a_server(theirs: Releases, tmp_path: Path, kind: str) -> None:
    """Also what waits when the server is stopped; from the response cache too."""
    data, today = tmp_path / "data", f"{datetime.now(UTC).date()}"
    server = Server(data, UPSTREAM=theirs.url, USERS="anna:one,ben:two", DOWNLOADS=kind)
    try:
        server.upload(make_wheel(tmp_path, "own", "1.0"), ANNA)
        for user in (ANNA, BEN):
            for path in (THEIRS, "/packages/own-1.0-py3-none-any.whl", THEIRS):
                assert server.open(path, user).status == 200
        assert server.stop() == 0
    finally:
        server.close()
    found = json.loads(who(data, "Demo==1.0.0", "--json"))
    row = {"project": "demo", "version": "1", "filename": WHEEL, "upstream": "main", "address": "127.0.0.1"}
    days = {"first": today, "last": today}
    theirs_too = [{**row, "user": user, **days} for user in ("anna", "ben")] if kind != "none" else []
    assert found == {"release": "demo==1", "fetched": theirs_too}
    if kind == "all":
        assert who(data, "own==1.0").splitlines() == [
            f"own-1.0-py3-none-any.whl  {user}  127.0.0.1  {today}" for user in ("anna", "ben")
        ]
    else:
        assert "Nobody is recorded who fetched own==1" in who(data, "own==1.0")


@pytest.mark.network
def test_while_it_serves(theirs: Releases, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server(data, UPSTREAM=theirs.url, USERS="anna:one")
    try:
        server.open(THEIRS, ANNA)
        server.wait_for(lambda: "  anna  127.0.0.1  " in who(data, "demo==1.0"))
    finally:
        server.close()


def test_only_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BUCKET": "b", "TABLE": "t", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(main, ["who", "demo==1.0"])
    assert (done.exit_code, done.output) == (1, "Error: Who fetches files is recorded on one machine only.\n")
