"""Why a file can be had, or not: over HTTP and by command, for every case that there is."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from elasticpypi.cli import main
from elasticpypi.config import Config
from elasticpypi.storage.contracts import ANY
from elasticpypi.upstream import upstreams
from elasticpypi.wiring import services as opened
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import make_wheel
from tests.support.releases import Releases, releases
from tests.support.serving import Server, run
from tests.support.waiting import until

FAR = "2999-12-31"
OLD, NEW = "demo-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("elasticpypi.upstream.pages.SHORTEST_AGE", 0)


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        index.release("demo", ("1.0", 100), ("2.0", 1))
        yield index


@pytest.fixture
def client(theirs: Releases, tmp_path: Path) -> Client:
    services = opened(Config(users={USER: PASSWORD}, data=tmp_path / "data"))
    services.objects.write("policy.toml", theirs.policy(), None)
    return Client(services)


def policy(client: Client, document: bytes) -> None:
    client.services.objects.write("policy.toml", document, ANY)


def why(client: Client, what: str) -> dict[str, Any]:
    answer = client.get(f"/policy/projects/{what}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def ask(client: Client, *arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["why", *arguments, "--data", str(client.services.config.data)])
    assert done.exit_code == status, done.output
    return done.output


def test_what_a_command_cannot_ask_is_no_trouble_for_the_server(client: Client, theirs: Releases) -> None:
    assert len(why(client, "demo")["files"]) == 2
    theirs.status = 503  # for the command, such as by another proxy
    assert "What is shown may be old" in ask(client, "demo")
    theirs.status = 0
    theirs.release("demo", ("0.9", 100), ("1.0", 100), ("2.0", 1))
    found = why(client, "demo")
    assert (len(found["files"]), found["warnings"]) == (3, [])


def upload(client: Client, folder: Path, name: str = "demo", version: str = "1.0") -> None:
    assert client.upload(make_wheel(folder, name, version)).status_code == 200


def test_what_is_old_enough_and_what_is_held(client: Client, theirs: Releases) -> None:
    found = why(client, "Demo")
    assert {key: found[key] for key in ("name", "origin", "rule", "upstream", "reason", "change", "warnings")} == {
        "name": "demo",
        "origin": "upstream",
        "rule": "It is none of ours.",
        "upstream": "main",
        "reason": "",
        "change": "",
        "warnings": [],
    }
    old, new = found["files"]
    assert old == {
        "filename": OLD,
        "version": "1.0",
        "visible": True,
        "until": None,
        "reason": "",
        "change": "elasticpypi block demo==1.0 --reason TEXT",
    }
    assert (new["filename"], new["visible"]) == (NEW, False)
    assert new["until"] in new["reason"]
    assert new["change"] == "elasticpypi exempt demo==2.0 --until DATE --reason TEXT"
    page = client.json("/simple/demo/")
    assert page["versions"] == ["1.0"]
    assert [file["reason"] for file in page["_held"]] == [new["reason"]]  # type: ignore[attr-defined]
    assert [file["filename"] for file in why(client, "demo==2")["files"]] == [NEW]
    shown = ask(client, "demo")
    assert shown.startswith(f"demo: upstream, from the index main ({theirs.host}). It is none of ours.\n")
    assert new["reason"] in shown
    assert shown.endswith("Visible: 1 of 2 files.\n")
    assert ask(client, "demo==1.0").endswith(
        f"{OLD} is visible.\n    To change that: elasticpypi block demo==1.0 --reason TEXT\n"
    )
    assert json.loads(ask(client, "demo", "--json")) == found


def test_an_exemption(client: Client) -> None:
    client.request("PUT", "/policy/exemptions/demo==2.0", data=json.dumps({"until": FAR, "reason": "CVE"}))
    [file] = why(client, "demo==2.0")["files"]
    assert (file["visible"], file["until"]) == (True, "2999-12-31T23:59:59Z")
    assert file["reason"] == f"demo==2.0 is exempt by {USER} until 2999-12-31T23:59:59Z: CVE"
    assert file["change"] == "elasticpypi unexempt demo==2.0"


@pytest.mark.parametrize("what", ["demo==1.0", "digest"])
def test_a_block_of_a_file_of_theirs(client: Client, what: str) -> None:
    if what == "digest":
        digest = client.json("/simple/demo/")["files"][0]["hashes"]["sha256"]  # type: ignore[index]
        what, lift = f"sha256:{digest}", f"elasticpypi unblock sha256:{digest}"
    else:
        lift = "elasticpypi unblock demo==1"
    client.request("PUT", f"/policy/blocks/{what}", data='{"reason": "steals"}')
    found = {file["filename"]: file for file in why(client, "demo")["files"]}
    assert found[OLD]["visible"] is False
    assert "steals" in found[OLD]["reason"]
    assert found[OLD]["change"] == lift
    assert f"    To change that: {lift}\n" in ask(client, "demo")


def test_a_block_of_a_project_of_theirs(client: Client) -> None:
    client.request("PUT", "/policy/blocks/demo", data='{"reason": "steals"}')
    found = why(client, "demo")
    assert (found["origin"], found["files"], found["change"]) == ("upstream", [], "elasticpypi unblock demo")
    assert "demo is blocked: steals." in found["reason"]


def test_their_quarantine_is_nothing_that_we_change(client: Client, theirs: Releases) -> None:
    theirs.projects["demo"]["project-status"] = {"status": "quarantined", "reason": "malware"}
    found = why(client, "demo")
    assert (found["files"], found["change"]) == ([], "")
    assert "in quarantine" in found["reason"]
    assert "malware" in found["reason"]


def test_what_is_ours(client: Client, theirs: Releases, tmp_path: Path) -> None:
    client.request("PUT", "/policy/origins/demo", data='{"origin": "private"}')
    upload(client, tmp_path)
    client.request("DELETE", "/policy/origins/demo")
    found = why(client, "demo")
    assert (found["origin"], found["upstream"]) == ("private", "")
    assert found["rule"] == "It has, or once had, a file here."
    [file] = found["files"]
    assert (file["filename"], file["visible"], file["reason"]) == (OLD, True, "")
    assert theirs.requests == []
    client.request("PUT", f"/packages/{OLD}.yanked", data="broken")
    [file] = why(client, "demo")["files"]
    assert (file["visible"], file["change"]) == (True, f"elasticpypi unyank {OLD}")
    assert "yanked: broken" in file["reason"]
    client.request("PUT", "/packages/demo.status", data="quarantined\nlooked into")
    [file] = why(client, "demo")["files"]
    assert (file["visible"], file["change"]) == (False, "elasticpypi status demo active")
    assert "looked into" in file["reason"]
    client.request("PUT", "/packages/demo.status", data="active")
    client.request("PUT", "/policy/blocks/demo==1.0", data='{"reason": "steals"}')
    [file] = why(client, "demo")["files"]
    assert (file["visible"], file["change"]) == (False, "elasticpypi unblock demo==1")
    client.request("DELETE", f"/packages/{OLD}")
    found = why(client, "demo")
    assert (found["origin"], found["files"], found["change"]) == ("private", [], "elasticpypi disown demo")
    assert "no other index is asked for it" in found["reason"]
    assert theirs.requests == []


def test_what_is_reserved(client: Client, theirs: Releases) -> None:
    policy(client, theirs.policy("[origin]", 'private = ["demo"]'))
    for name in ("demo", "demo-more"):
        found = why(client, name)
        assert (found["origin"], found["files"], found["change"]) == (
            "private",
            [],
            f"elasticpypi origin {name} upstream",
        )
        assert "reserves 'demo'" in found["rule"]
    client.request("PUT", "/policy/origins/demo", data='{"origin": "private"}')
    assert why(client, "demo")["change"] == "elasticpypi origin demo unset"
    assert theirs.requests == []


def test_what_is_denied(client: Client, theirs: Releases) -> None:
    policy(client, theirs.policy("[origin]", 'denied = ["demo"]'))
    found = why(client, "demo")
    assert (found["origin"], found["files"], found["change"]) == ("denied", [], "elasticpypi origin demo upstream")
    assert "denies 'demo'" in found["rule"]
    policy(client, theirs.policy("[origin]", 'allowed = ["other"]'))
    assert "a list of the names that are allowed" in why(client, "demo")["rule"]
    client.request("PUT", "/policy/origins/demo", data='{"origin": "denied"}')
    assert why(client, "demo")["change"] == "elasticpypi origin demo unset"
    assert theirs.requests == []


def test_a_name_that_nobody_knows(client: Client, theirs: Releases) -> None:
    found = why(client, "nothing")
    assert (found["origin"], found["files"], found["change"]) == ("upstream", [], "")
    assert found["reason"] == "There is no project 'nothing', neither here nor in another index that is asked."
    assert why(client, "demo==9.0")["reason"] == "There is no file of the release demo==9."
    policy(client, b"")
    found = why(client, "nothing")
    assert (found["origin"], found["change"]) == ("none", "elasticpypi serve --upstream pip")
    assert client.get("/policy/projects/-").status_code == 400
    assert client.get("/policy/projects/demo==x").status_code == 400


def test_an_index_that_cannot_be_asked(client: Client, theirs: Releases) -> None:
    theirs.status = 503
    found = why(client, "demo")
    assert (found["origin"], found["files"], found["change"]) == ("upstream", [], "")
    assert "has answered 503" in found["reason"]
    theirs.status = 0
    assert len(why(client, "demo")["files"]) == 2
    theirs.status = 500
    found = until(lambda: found if (found := why(client, "demo"))["warnings"] else None)  # an answer lasts a second
    assert found is not None
    assert len(found["files"]) == 2
    [warning] = found["warnings"]
    assert warning.startswith(f"What is shown may be old: The index 'main' ({theirs.host}) has answered 500")


def test_an_index_that_is_offline(client: Client, theirs: Releases) -> None:
    client.get(f"/upstream/main/files/{OLD}")
    theirs.release("demo", ("1.0", 100), ("1.1", 50), ("2.0", 1))
    client.json("/simple/demo/")
    policy(client, theirs.policy("offline = true"))
    theirs.requests.clear()
    found = why(client, "demo")
    assert {file["version"]: (file["visible"], bool(file["change"])) for file in found["files"]} == {
        "1.0": (True, True),
        "1.1": (False, False),
        "2.0": (False, True),
    }
    warning = "The index 'main' is offline here: only what is kept of it can be had."
    assert found["warnings"] == why(client, "other")["warnings"] == [warning]
    assert theirs.requests == []


def test_files_of_both(client: Client, tmp_path: Path) -> None:
    client.request("PUT", "/policy/origins/demo", data='{"origin": "both"}')
    upload(client, tmp_path, version="3.0")
    found = why(client, "demo")
    assert [(file["version"], file["visible"]) for file in found["files"]] == [
        ("1.0", True),
        ("3.0", True),
        ("2.0", False),
    ]
    assert found["origin"] == "both"
    assert "whoever published it" in found["warnings"][0]
    client.request("PUT", "/policy/origins/demo", data='{"origin": "upstream"}')
    found = why(client, "demo")
    assert [file["version"] for file in found["files"]] == ["1.0", "2.0"]
    assert "that are here are not served" in found["warnings"][0]


def test_where_exact_addresses_are_let_through(client: Client, theirs: Releases) -> None:
    policy(client, theirs.policy("[cooldown]", 'where = "index"'))
    assert why(client, "demo")["warnings"] == [
        'What is held can be had by its exact address: where of [cooldown] in the policy is "index".'
    ]


def test_an_index_without_times_is_one_warning_that_names_the_setting(
    client: Client, theirs: Releases, caplog: pytest.LogCaptureFixture
) -> None:
    theirs.release("demo", ("1.0", None), ("2.0", None))
    theirs.release("other", ("1.0", None))
    assert "upstream" not in client.get("/health").get_json()
    with caplog.at_level(logging.WARNING, "elasticpypi"):
        found = why(client, "demo")
        for name in ("demo", "other", "demo"):
            assert client.json(f"/simple/{name}/")["files"] == []
    [warning] = found["warnings"]
    assert "no_time of [cooldown]" in warning
    assert [file["visible"] for file in found["files"]] == [False, False]
    assert found["files"][0]["change"] == "elasticpypi exempt demo==1.0 --until DATE --reason TEXT"
    assert len([record for record in caplog.records if "no_time of [cooldown]" in record.getMessage()]) == 1
    health = client.get("/health")
    assert (health.status_code, health.get_json()["upstream"]) == (200, warning)
    assert f"Warning: {warning}\n" in ask(client, "demo")
    policy(client, theirs.policy("[cooldown]", 'no_time = "allow"'))
    assert "upstream" not in client.get("/health").get_json()
    found = why(client, "demo")
    assert (found["warnings"], [file["visible"] for file in found["files"]]) == ([], [True, True])


def test_every_known_user_may_ask(client: Client) -> None:
    config = replace(client.services.config, users={USER: PASSWORD, "boss": "chief"}, admins=frozenset({"boss"}))
    other = Client(replace(client.services, config=config))
    assert other.get("/policy/projects/demo").status_code == 200
    assert other.get("/policy/projects/demo", user=None).status_code == 401


def test_on_aws_nobody_else_is_asked(services: Any, tmp_path: Path) -> None:
    """Both families answer; without another index."""
    client = Client(services)
    upload(client, tmp_path)
    found = why(client, "demo")
    assert (found["origin"], [file["visible"] for file in found["files"]]) == ("private", [True])
    assert why(client, "other")["origin"] == "none"


@pytest.mark.network
def test_beside_an_index_that_runs(theirs: Releases, tmp_path: Path) -> None:
    """A command finds the index that is asked, and what is kept, where the other process has them."""
    data = tmp_path / "data"
    server = Server(data, UPSTREAM=theirs.url, USERNAME=USER, PASSWORD="secret")
    try:
        server.open("/simple/demo/", f"{USER}:secret")
        asked = len(theirs.requests)
        found = json.loads(run("why", "demo", "--json", "--data", str(data), HOME=str(tmp_path)).stdout)
        assert (found["upstream"], len(found["files"])) == ("main", 2)
        assert len(theirs.requests) == asked  # it was fresh
    finally:
        server.close()


def test_a_password_is_not_kept(client: Client) -> None:
    state = client.services.state
    upstreams.remember(state, "https://me:secret@example.com/simple/")
    assert b"secret" not in (client.services.config.data / "state.db").read_bytes()
    policy(client, b"")
    assert "set UPSTREAM as it has it" in ask(client, "demo", status=1)
    upstreams.remember(state, "")
    assert ask(client, "demo").startswith("demo: none.")
