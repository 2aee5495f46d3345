"""Blocks: what an administrator shut off is refused with the next request, everywhere."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from packaging.utils import NormalizedName

from elasticpypi.actions import policy
from elasticpypi.cli import main
from elasticpypi.core.distribution import sha256_of
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import Event
from elasticpypi.indexing import blocks, sync
from elasticpypi.services import Services
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.web.response_cache import ResponseCache
from elasticpypi.wiring import with_subscribers
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import ACTOR, make_sdist, make_wheel
from tests.support.store import put as put_straight

DEMO = NormalizedName("demo")
OLD, NEW = "demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"
HTML = {"Accept": "text/html,*/*;q=0.8"}
REASON = "steals <passwords>"


@pytest.fixture
def client(services: Services, tmp_path: Path) -> Client:
    """With an answer that was kept of everything."""
    client = Client(services)
    client._client.application.wsgi_app = _cached(client)  # type: ignore[method-assign]
    for version in ("1.0", "2.0"):
        assert client.upload(make_wheel(tmp_path, "demo", version)).status_code == 200
    with_subscribers(services).events.tell([], also=[DEMO])
    for _ in range(2):
        for path in ("/simple/demo/", "/project/demo/", *(f"/packages/{name}" for name in (OLD, NEW))):
            assert client.get(path).status_code == 200
    return client


def _cached(client: Client) -> Any:
    app, services = client._client.application, client.services
    real = app.wsgi_app
    cached = ResponseCache(real, services.repository, services.permissions, app.extensions["authenticator"])
    if isinstance(services.index, SQLiteIndex):
        cached.mark = services.index.changes().mark
    return cached


def put(client: Client, what: str, reason: str = REASON, **options: Any) -> Any:
    return client.request("PUT", f"/policy/blocks/{what}", data=json.dumps({"reason": reason}), **options)


def unblock(client: Client, what: str) -> Any:
    return client.request("DELETE", f"/policy/blocks/{what}")


def files(client: Client) -> list[str]:
    return [file["filename"] for file in client.json("/simple/demo/")["files"]]  # type: ignore[attr-defined]


def digest(tmp_path: Path, name: str) -> str:
    with (tmp_path / name).open("rb") as content:
        return sha256_of(content)


def events(services: Services) -> list[Event]:
    assert services.log
    return [event for event in services.log.read(most=1000) if event.type.startswith("policy.")]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)


@pytest.mark.parametrize("what", ["demo==1.0", "Demo==1.0.0", "sha256"])
def test_a_release_or_a_file(client: Client, tmp_path: Path, what: str) -> None:
    what = f"sha256:{digest(tmp_path, OLD)}" if what == "sha256" else what
    assert put(client, what).status_code == 200
    assert files(client) == [NEW]
    assert client.json("/simple/demo/")["_blocked"] == {OLD: REASON}
    for path in (f"/packages/{OLD}", f"/packages/{OLD}.metadata", "/pypi/demo/1.0/json", "/project/demo/1.0/"):
        answer = client.get(path)
        assert (path, answer.status_code) == (path, 403)
        assert REASON in answer.text
    assert client.get(f"/packages/{NEW}").status_code == 200
    page = client.get("/project/demo/", headers=HTML).text
    assert "is blocked" in page
    assert "steals &lt;passwords&gt;" in page
    assert client.get("/pypi/demo/json").get_json()["info"]["version"] == "2.0"
    assert client.upload(tmp_path / OLD).status_code == 403
    assert unblock(client, what).status_code == 200
    assert files(client) == [OLD, NEW]
    assert client.get(f"/packages/{OLD}").status_code == 200
    assert client.get("/project/demo/1.0/").status_code == 200


def test_a_project(client: Client, tmp_path: Path) -> None:
    assert put(client, "demo").get_json() == {"what": "demo", "blocked": True}
    page = client.json("/simple/demo/")
    assert (page["files"], page["versions"]) == ([], [])
    assert page["project-status"] == {
        "status": "quarantined",
        "reason": f"demo is blocked: {REASON}. Ask an administrator of this index.",
    }
    for path in (f"/packages/{OLD}", f"/packages/{NEW}.metadata", "/pypi/demo/json", "/project/demo/2.0/"):
        assert client.get(path).status_code == 403
    assert "steals &lt;passwords&gt;" in client.get("/project/demo/", headers=HTML).text
    assert client.get("/search?q=demo&format=json").get_json()["total"] == 0
    assert client.upload(make_sdist(tmp_path, "demo", "3.0")).status_code == 403
    assert unblock(client, "demo").get_json() == {"what": "demo", "blocked": False}
    assert files(client) == [OLD, NEW]
    assert client.get("/search?q=demo&format=json").get_json()["total"] == 1


def test_a_name_that_has_no_file_is_no_404(client: Client, tmp_path: Path) -> None:
    assert put(client, "evil").status_code == 200
    assert client.json("/simple/evil/")["files"] == []
    assert client.upload(make_sdist(tmp_path, "evil", "1.0")).status_code == 403
    assert unblock(client, "evil").status_code == 200
    assert client.get("/simple/evil/").status_code == 404


def test_other_copies_of_the_same_bytes(client: Client, tmp_path: Path) -> None:
    """A file that comes later is refused, and one that somebody puts there is blocked with its record."""
    services, other = client.services, make_sdist(tmp_path, "other", "1.0")
    sha256 = digest(tmp_path, other.name)
    put(client, f"sha256:{sha256}")
    answer = client.upload(other)
    assert (answer.status_code, REASON.rstrip(".") in answer.text) == (403, True)
    assert services.files.stat(other.name) is None

    put_straight(services.files, other.name, other.read_bytes())
    seen: list[int] = []

    class Reader:
        """The index of whoever records it, at which somebody asks for the file after each write."""

        def __getattr__(self, name: str) -> Any:
            found = getattr(services.index, name)
            if name != "put":
                return found

            def put(*arguments: Any, **options: Any) -> Any:
                written = found(*arguments, **options)
                seen.append(client.get(f"/packages/{other.name}").status_code)
                return written

            return put

    index: Any = Reader()
    assert sync.sync(services.files, index, other.name, beside=services.beside).action == "written"
    assert seen == [404, 403]
    assert client.get("/simple/other/").status_code == 200
    assert unblock(client, f"sha256:{sha256}").status_code == 200
    assert client.get(f"/packages/{other.name}").status_code == 200


def test_a_digest_that_cannot_be_looked_up_now_acts_a_moment_later(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, other = client.services, make_sdist(tmp_path, "other", "1.0")
    put(client, f"sha256:{digest(tmp_path, other.name)}")

    def away(*_: object) -> None:
        raise Unavailable("The records cannot be read.")

    with monkeypatch.context() as patch:
        patch.setattr(type(services.objects), "read", away)
        assert client.upload(other).status_code == 200
    with_subscribers(services).events.tell([sync.sync(services.files, services.index, other.name)])
    assert client.get(f"/packages/{other.name}").status_code == 403


def test_an_index_that_is_made_anew_blocks_the_same(client: Client, tmp_path: Path) -> None:
    put(client, "demo==2.0")
    put(client, f"sha256:{digest(tmp_path, OLD)}")
    services = client.services
    for record in list(services.index.records()):
        services.index.remove(record.project, record.key)
    policy.restore(services)  # before anything is served again
    for name in (OLD, NEW):
        sync.sync(services.files, services.index, name)
    assert client.get(f"/packages/{NEW}").status_code == 403
    with_subscribers(services).events.tell([], also=[DEMO])
    assert files(client) == []
    assert client.get(f"/packages/{OLD}").status_code == 403
    for key in services.objects.keys("policy/"):  # by hand
        services.objects.remove(key)
    policy.restore(services, thorough=True)
    assert files(client) == [OLD, NEW]


def test_each_decision_is_one_event_and_one_object(client: Client) -> None:
    for reason in ("one", "one", "two"):
        put(client, "demo==1.0", reason)
    for _ in range(2):
        unblock(client, "demo==1.0")
    found = events(client.services)
    told = [(event.type, event.project, event.version, event.reason, event.before, event.after) for event in found]
    assert told == [
        ("policy.blocked", "demo", "1", "one", None, "blocked"),
        ("policy.blocked", "demo", "1", "two", "blocked", "blocked"),
        ("policy.unblocked", "demo", "1", None, "blocked", None),
    ]
    assert {event.who.name for event in found} == {USER}
    [key] = client.services.objects.keys("policy/")
    assert key == "policy/blocks/demo==1"


def test_what_is_refused_changes_nothing(client: Client) -> None:
    for what in ("sha256:12", "demo==", "demo==x", "-", "demo==1.0/x"):
        assert put(client, what).status_code == 400
    assert put(client, "demo", "").status_code == 400
    assert put(client, "demo", "x" * 2000).status_code == 400
    for data in (b"", b"[]", b'{"reason": 1}', b"\xff"):
        assert client.request("PUT", "/policy/blocks/demo", data=data).status_code == 400
    assert unblock(client, "demo").status_code == 404
    assert files(client) == [OLD, NEW]
    assert events(client.services) == []


def test_only_administrators_block(client: Client) -> None:
    config = replace(client.services.config, users={USER: PASSWORD, "boss": "chief"}, admins=frozenset({"boss"}))
    other = Client(replace(client.services, config=config))
    assert put(other, "demo").status_code == 403
    assert unblock(other, "demo").status_code == 403
    assert files(client) == [OLD, NEW]
    assert [event.type for event in events(client.services)] == ["policy.refused"] * 2
    assert put(other, "demo", user="boss:chief").status_code == 200


@contextmanager
def broken(monkeypatch: pytest.MonkeyPatch, what: object, name: str) -> Iterator[None]:
    def fail(*_: object, **__: object) -> None:
        raise Unavailable("It is away.")

    with monkeypatch.context() as patch:
        patch.setattr(type(what), name, fail)
        yield


@pytest.mark.parametrize("part", ["objects", "index", "log"])
def test_whoever_got_no_answer_does_it_again(client: Client, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    services = client.services
    name = {"objects": "write", "index": "put", "log": "append"}[part]
    with broken(monkeypatch, getattr(services, part), name):
        assert put(client, "demo").status_code == 503
    assert put(client, "demo").status_code == 200
    assert files(client) == []
    assert [event.type for event in events(services)] == ["policy.blocked"]


def test_two_at_the_same_moment_are_both_there(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another decision comes between the look at the objects and the write."""
    real = blocks._text
    late = ["demo==2.0"]

    def text(*arguments: Any) -> str:
        found = real(*arguments)
        if late:
            policy.block(services, ACTOR, late.pop(), "two")
        return found

    monkeypatch.setattr(blocks, "_text", text)
    policy.block(services, ACTOR, "demo==1.0", "one")
    project = services.index.project(DEMO)
    assert project
    assert [block.what for block in project.blocks] == ["1", "2"]


def test_an_object_that_cannot_be_read_blocks(client: Client) -> None:
    client.services.objects.write("policy/blocks/demo", b"{", None)
    policy.restore(client.services)
    assert files(client) == []
    assert put(client, "demo").status_code == 200
    assert unblock(client, "demo").status_code == 200
    assert files(client) == [OLD, NEW]


def test_by_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "packages").mkdir(parents=True)
    make_sdist(data / "packages", "demo", "1.0")

    def run(*arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(main, [*arguments, "--data", str(data)])
        assert done.exit_code == status, done.output
        return done.output

    assert run("block", "demo==1.0", "--reason", "bad") == "demo==1 is blocked.\n"
    assert "blocked again" not in run("reindex")
    (data / "index.db").unlink()
    assert "blocked again: demo" in run("reindex")
    assert run("unblock", "Demo==1.0") == "demo==1 is not blocked.\n"
    assert "is not blocked" in run("unblock", "other", status=1)
    assert "policy.blocked" in run("events")
    assert "no digest" in run("block", "sha256:1", "--reason", "x", status=1)
