"""`elasticpypi policy try FILE`: what a policy would hide and show, before it holds, and without asking anybody."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from elasticpypi.cli import main
from elasticpypi.config import Config
from elasticpypi.storage.local.state import SQLiteState
from elasticpypi.upstream.pages import KIND
from elasticpypi.wiring import services as opened
from tests.support.application import PASSWORD, USER, Client
from tests.support.releases import Releases, releases


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        index.release("demo", ("1.0", 100), ("2.0", 5), ("2.1", 4), ("3.0", 1))
        index.release("other", ("1.0", 100))
        index.release("never", ("1.0", 100))
        yield index


@pytest.fixture
def data(theirs: Releases, tmp_path: Path) -> Path:
    """An index of which two projects were asked for."""
    services = opened(Config(users={USER: PASSWORD}, data=tmp_path / "data"))
    services.objects.write("policy.toml", theirs.policy(), None)
    client = Client(services)
    for name in ("demo", "other", "nothing"):
        client.get(f"/simple/{name}/")
    theirs.requests.clear()
    return tmp_path / "data"


def ask(data: Path, policy: bytes, *options: str, status: int = 0) -> str:
    file = data.parent / "new.toml"
    file.write_bytes(policy)
    done = CliRunner().invoke(main, ["policy", "try", str(file), "--data", str(data), *options])
    assert done.exit_code == status, done.output
    return done.output


def effects(data: Path, policy: bytes) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(ask(data, policy, "--json"))["projects"]}


def test_a_policy_that_is_the_same_changes_nothing(data: Path, theirs: Releases) -> None:
    assert ask(data, theirs.policy()) == (
        "Of 2 projects that were asked for in the last 30 days, 0 would have fewer files, and 0 would have others.\n"
    )
    assert theirs.requests == []


def test_a_longer_age_hides_more(data: Path, theirs: Releases) -> None:
    found = effects(data, theirs.policy("[cooldown]", 'age = "7d"'))
    assert found.keys() == {"demo"}
    demo = found["demo"]
    assert (demo["hidden"], demo["shown"], demo["newest"]) == (2, 0, "2.1")
    assert demo["until"] in demo["reason"]
    assert demo["reason"].startswith("demo-2.1-py3-none-any.whl is held until ")
    # Three days from now, as it says.
    until = time.mktime(time.strptime(demo["until"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert abs(until - time.time() - 3 * 86400) < 3600
    told = ask(data, theirs.policy("[cooldown]", 'age = "7d"'))
    assert "demo: 2 files hidden, the newest of 2.1. demo-2.1-py3-none-any.whl is held until " in told
    assert "Of 2 projects that were asked for in the last 30 days, 1 would have fewer files" in told
    assert theirs.requests == []


def test_a_shorter_age_shows_more(data: Path, theirs: Releases) -> None:
    policy = theirs.policy("[cooldown]", 'age = "0"')
    assert effects(data, policy)["demo"] == {
        **{"name": "demo", "hidden": 0, "shown": 1, "newest": "", "until": None, "reason": ""},
    }
    assert "demo: 1 files shown that are hidden now." in ask(data, policy)


def test_it_holds_when_it_is_applied(data: Path, theirs: Releases) -> None:
    """What is told is what happens."""
    policy = theirs.policy("[cooldown]", "cutoff = 2020-01-01T00:00:00Z", "[cooldown.project]", 'other = "900d"')
    client = Client(opened(Config(users={USER: PASSWORD}, data=data)))
    before = {name: client.json(f"/simple/{name}/")["files"] for name in ("demo", "other")}
    told = effects(data, policy)
    client.services.objects.write("policy.toml", policy, "*")
    after = {name: client.json(f"/simple/{name}/")["files"] for name in ("demo", "other")}
    lost = {name: len(before[name]) - len(after[name]) for name in before}  # type: ignore[arg-type]
    assert lost == {name: each["hidden"] for name, each in told.items()} == {"demo": 3, "other": 1}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("[origin]", 'private = ["other"]'), "The policy reserves 'other'"),
        (("[origin]", 'denied = ["other"]'), "The policy denies 'other'."),
        (("[origin]", 'allowed = ["demo"]'), "The policy has a list of the names that are allowed"),
    ],
)
def test_a_name_that_comes_from_elsewhere_then(data: Path, theirs: Releases, lines: tuple[str], reason: str) -> None:
    found = effects(data, theirs.policy(*lines))
    assert found.keys() == {"other"}
    assert (found["other"]["hidden"], found["other"]["newest"], found["other"]["until"]) == (1, "1.0", None)
    assert found["other"]["reason"].startswith(reason)


def test_what_was_decided_still_holds(data: Path, theirs: Releases) -> None:
    for decision in (
        ["block", "other", "--reason", "x"],
        ["exempt", "demo==2.1", "--until", "2999-01-01", "--reason", "y"],
    ):
        assert CliRunner().invoke(main, [*decision, "--data", str(data)]).exit_code == 0
    found = effects(data, theirs.policy("[cooldown]", 'age = "900d"'))
    assert {name: each["hidden"] for name, each in found.items()} == {"demo": 2}
    assert found["demo"]["newest"] == "2.0"


def test_another_index(data: Path, theirs: Releases) -> None:
    policy = theirs.policy().replace(b"upstream.main", b"upstream.new")
    told = json.loads(ask(data, policy, "--json"))
    assert told["warnings"] == ["The index 'new' is not asked now: what it has is not known."]
    assert {each["reason"] for each in told["projects"]} == {"No index that is asked then is known to have it."}
    assert "Warning: The index 'new' is not asked now" in ask(data, policy)
    assert "there is no such key" in ask(data, b"[origin]\nprivte = []", status=1)


def test_where_says_what_becomes_of_lock_files(data: Path, theirs: Releases) -> None:
    document = theirs.policy("[cooldown]", 'where = "index"')
    (data / "policy.toml").write_bytes(document)
    told = ask(data, theirs.policy())
    assert 'Warning: where of [cooldown] is "index" now, and would be "everywhere"' in told
    assert "Warning" not in ask(data, document)


def test_only_what_was_asked_for_of_late(data: Path, theirs: Releases) -> None:
    state = SQLiteState(data)
    about = json.loads(state.get(KIND, "main/demo") or b"")
    about["asked"] -= 31 * 86400
    state.put(KIND, "main/demo", json.dumps(about).encode(), 1000)
    policy = theirs.policy("[cooldown]", 'age = "900d"')
    assert effects(data, policy).keys() == {"other"}
    for lost in (b"", b"[]", None):  # nobody knows any more when that was
        if lost is None:
            state.remove(KIND, "main/demo")
        else:
            state.put(KIND, "main/demo", lost, 1000)
        assert effects(data, policy).keys() == {"demo", "other"}
    offline = theirs.policy().replace(b'fresh = "0"', b"offline = true")
    (data / "policy.toml").write_bytes(offline)
    assert effects(data, policy).keys() == {"demo", "other"}
    assert theirs.requests == []


def test_where_nothing_is_asked(tmp_path: Path) -> None:
    (tmp_path / "data" / "packages").mkdir(parents=True)
    assert "Of 0 projects" in ask(tmp_path / "data", b"")
