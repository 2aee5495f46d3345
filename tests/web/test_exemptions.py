"""Exemptions over HTTP and by command: one release of another index is seen before it is old enough."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from elasticpypi.cli import main
from elasticpypi.config import Config
from elasticpypi.core.event import Event
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANY
from elasticpypi.wiring import services as opened
from tests.support.application import PASSWORD, USER, Client
from tests.support.releases import Releases, releases
from tests.support.serving import Server, run

FAR = "2999-12-31"
FAR_END = "2999-12-31T23:59:59.000000Z"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        index.release("demo", ("1.0", 100), ("2.0", 1), ("2.1", 1), ("3.0", None))
        yield index


@pytest.fixture
def with_upstream(theirs: Releases, tmp_path: Path) -> Client:
    services = opened(Config(users={USER: PASSWORD}, data=tmp_path / "data"))
    services.objects.write("policy.toml", theirs.policy(), None)
    return Client(services)


def put(client: Client, what: str, until: object = FAR, reason: object = "CVE", **options: Any) -> Any:
    body = json.dumps({"until": until, "reason": reason})
    return client.request("PUT", f"/policy/exemptions/{what}", data=body, **options)


def delete(client: Client, what: str) -> Any:
    return client.request("DELETE", f"/policy/exemptions/{what}")


def versions(client: Client) -> list[str]:
    return client.json("/simple/demo/")["versions"]  # type: ignore[return-value]


def events(services: Services) -> list[Event]:
    return [event for event in services.log.read(most=1000) if event.type.startswith("policy.")]


def test_a_release_is_seen_and_served_until_it_is_taken_back(with_upstream: Client) -> None:
    client, path = with_upstream, "/upstream/main/files/demo-{}-py3-none-any.whl".format
    assert versions(client) == ["1.0"]
    assert client.get(path("2.0")).status_code == 403
    assert "elasticpypi exempt demo==2.0" in client.get(path("2.0")).text
    answer = put(client, "Demo==2.0.0")
    assert (answer.status_code, answer.get_json()) == (200, {"release": "demo==2", "until": FAR_END})
    assert versions(client) == ["1.0", "2.0"]
    assert client.get(path("2.0")).data == b"wheel demo-2.0-py3-none-any.whl"
    assert client.get(path("2.1")).status_code == 403  # nothing newer comes with it
    assert put(client, "demo==3.0").status_code == 200  # also what says no time
    assert versions(client) == ["1.0", "2.0", "3.0"]
    assert delete(client, "demo==2").get_json() == {"release": "demo==2", "until": None}
    assert versions(client) == ["1.0", "3.0"]
    assert client.get(path("2.0")).status_code == 403


def test_what_is_blocked_or_denied_stays_so(with_upstream: Client) -> None:
    client = with_upstream
    assert put(client, "demo==1.0").status_code == put(client, "demo==2.0").status_code == 200
    client.request("PUT", "/policy/blocks/demo==1.0", data='{"reason": "steals"}')
    assert versions(client) == ["2.0"]
    client.request("PUT", "/policy/origins/demo", data='{"origin": "denied"}')
    assert versions(client) == []


def test_it_ends_by_itself(with_upstream: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client = with_upstream
    assert put(client, "demo==2.0").status_code == 200
    ruling = json.loads((client.services.config.data / "policy/exemptions/demo==2").read_text())
    assert ruling["value"] == FAR_END
    for value in ("2026-01-01T00:00:00.000000Z", "unreadable"):
        body = json.dumps({**ruling, "value": value}).encode()
        client.services.objects.write("policy/exemptions/demo==2", body, ANY)
        assert versions(client) == ["1.0"]


@pytest.mark.parametrize(
    ("what", "until", "reason", "said"),
    [
        ("demo", FAR, "x", "is no release"),
        ("demo==1.*", FAR, "x", "is not a version"),
        ("demo==1.0", "2020-01-01", "x", "is over"),
        ("demo==1.0", "soon", "x", "such as 2026-12-31"),
        ("demo==1.0", None, "x", '"until"'),
        ("demo==1.0", FAR, None, '"reason"'),
        ("demo==1.0", FAR, " ", "needs a reason"),
    ],
)
def test_what_is_refused_changes_nothing(client: Client, what: str, until: object, reason: object, said: str) -> None:
    answer = put(client, what, until, reason)
    assert (answer.status_code, said in answer.text) == (400, True), answer.text
    assert delete(client, "demo==1.0").status_code == 404
    assert events(client.services) == []


def test_each_is_an_event_with_before_and_after(client: Client) -> None:
    for until in (FAR, FAR, "2999-01-01T00:00Z"):
        assert put(client, "demo==1.0", until).status_code == 200
    for _ in range(2):
        assert delete(client, "demo==1.0").status_code == 200
    other = "2999-01-01T00:00:00.000000Z"
    told = [(event.type, event.project, event.version, event.before, event.after) for event in events(client.services)]
    assert told == [
        ("policy.exempted", "demo", "1", None, FAR_END),
        ("policy.exempted", "demo", "1", FAR_END, other),
        ("policy.unexempted", "demo", "1", other, None),
    ]
    assert [event.reason for event in events(client.services)] == ["CVE", "CVE", None]


def test_only_administrators(client: Client) -> None:
    config = replace(client.services.config, users={USER: PASSWORD, "boss": "chief"}, admins=frozenset({"boss"}))
    other = Client(replace(client.services, config=config))
    assert put(other, "demo==1.0").status_code == 403
    assert delete(other, "demo==1.0").status_code == 403
    assert put(other, "demo==1.0", user="boss:chief").status_code == 200
    assert [event.type for event in events(client.services)] == ["policy.refused"] * 2 + ["policy.exempted"]


def test_by_command(with_upstream: Client) -> None:
    place = ("--data", str(with_upstream.services.config.data))

    def run(*arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(main, (*arguments, *place))
        assert done.exit_code == status, done.output
        return done.output

    say = ("exempt", "Demo==2.0", "--reason", "CVE", "--until")
    assert run(*say, FAR) == "demo==2 is exempt until 2999-12-31T23:59:59Z.\n"
    assert versions(with_upstream) == ["1.0", "2.0"]
    assert "is over" in run(*say, "2020-01-01", status=1)
    assert run("unexempt", "demo==2.0") == "demo==2 is not exempt.\n"
    assert versions(with_upstream) == ["1.0"]
    assert "is not exempt" in run("unexempt", "demo==2.1", status=1)


@pytest.mark.network
def test_beside_an_index_that_runs(theirs: Releases, tmp_path: Path) -> None:
    """Kept answers of all workers are others, and other ones again."""
    data = tmp_path / "data"
    server = Server(data, UPSTREAM=theirs.url, USERNAME=USER, PASSWORD="secret")

    def seen() -> set[str]:
        accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
        pages = [server.open("/simple/demo/", f"{USER}:secret", **accept).read() for _ in range(8)]
        return {" ".join(json.loads(page)["versions"]) for page in pages}

    try:
        assert seen() == {"1.0"}
        said = run("exempt", "demo==2.0", "--until", FAR, "--reason", "CVE", "--data", str(data), HOME=str(tmp_path))
        assert said.returncode == 0, said.stderr
        server.wait_for(lambda: seen() == {"1.0 2.0"})
        assert run("unexempt", "demo==2.0", "--data", str(data), HOME=str(tmp_path)).returncode == 0
        server.wait_for(lambda: seen() == {"1.0"})
    finally:
        server.close()
