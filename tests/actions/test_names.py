"""`elasticpypi names`: the names that are ours, and by an explicit word which of them others have elsewhere."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from elasticpypi.cli import main
from elasticpypi.config import Config
from elasticpypi.wiring import services as opened
from tests.support.builders import make_wheel
from tests.support.fake_upstream import JSON, Answer
from tests.support.moto_aws import BUCKET, TABLE
from tests.support.releases import Releases, releases


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        yield index


@pytest.fixture
def data(theirs: Releases, tmp_path: Path) -> Path:
    """Packages of ours: one that is reserved, one that has no file any more, and two more."""
    folder = tmp_path / "data"
    packages = folder / "packages"
    packages.mkdir(parents=True)
    for name, version in (("acme-core", "1.0"), ("demo", "1.0"), ("demo", "1.10"), ("gone", "1.0"), ("tool", "2.0")):
        make_wheel(packages, name, version)
    (folder / "policy.toml").write_bytes(theirs.policy("[origin]", 'private = ["acme"]'))
    run(folder, "reindex")
    run(folder, "delete", "gone==1.0", "--yes")
    return folder


def run(data: Path, *arguments: str, status: int = 0, says: str = "") -> str:
    done = CliRunner().invoke(main, [*arguments, "--data", str(data)], input=says)
    assert done.exit_code == status, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.output


def test_the_names_that_are_ours(data: Path, theirs: Releases) -> None:
    assert run(data, "names") == (
        "acme-core  1.0  reserved by the policy\ndemo  1.10\ngone  no file any more\ntool  2.0\n"
    )
    assert json.loads(run(data, "names", "--json"))[1] == {"name": "demo", "version": "1.10", "reserved": False}
    run(data, "origin", "tool", "upstream")  # an administrator has given it away
    assert "tool" not in run(data, "names")
    assert theirs.requests == []


@pytest.mark.moto
def test_the_names_that_are_ours_on_aws(aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BUCKET", BUCKET)
    monkeypatch.setenv("TABLE", TABLE)
    services = opened(Config.from_env({"BUCKET": BUCKET, "TABLE": TABLE}))
    for name in ("demo", "tool"):
        wheel = make_wheel(tmp_path, name, "1.0")
        with wheel.open("rb") as content:
            services.files.save(wheel.name, content, hashlib.sha256(wheel.read_bytes()).hexdigest())
    run(tmp_path, "reindex")
    assert run(tmp_path, "names") == "demo  1.0\ntool  1.0\n"


def test_who_else_has_them(data: Path, theirs: Releases) -> None:
    theirs.release("acme-core", ("9.9", 100))
    theirs.release("demo", ("1.9", 100), ("1.11", 3), ("1.11rc1", 4))
    theirs.release("gone", ("0.1", 100))
    theirs.release("tool", ("1.0", None), ("2.0", None))
    told = run(data, "names", "--ask", says="y\n", status=1)
    before, _, after = told.partition("Go on?")
    assert f"This tells 3 names of yours to 'main' ({theirs.url}): demo, gone, tool." in before
    assert "1 more are reserved by the policy, and stay here." in before
    day = theirs.projects["demo"]["files"][1]["upload-time"][:10]
    assert f"NEWER: demo: ours is 1.10, the index 'main' has 1.11, uploaded {day}." in after
    assert "NEWER: gone: ours is gone, the index 'main' has 0.1, uploaded " in after
    assert "\ntool: ours is 2.0, the index 'main' has 2.0.\n" in after
    assert "2 of your names have a newer version elsewhere" in after
    # Nobody else was told of, and nothing is kept of it.
    assert [request.path for request in theirs.requests] == ["/simple/demo/", "/simple/gone/", "/simple/tool/"]
    assert not (data / "upstream" / "pages").exists()
    found = {each["name"]: each for each in json.loads(ask_for_json(data))}
    assert found["demo"] == {
        **{"name": "demo", "ours": "1.10", "upstream": "main", "theirs": "1.11", "newer": True, "trouble": ""},
        "uploaded": theirs.projects["demo"]["files"][1]["upload-time"],
    }
    assert found.keys() == {"demo", "gone", "tool"}


def ask_for_json(data: Path) -> str:
    done = CliRunner().invoke(main, ["names", "--ask", "--yes", "--json", "--data", str(data)])
    return done.stdout


def test_nobody_is_asked_before_somebody_says_so(data: Path, theirs: Releases) -> None:
    assert "Aborted!" in run(data, "names", "--ask", says="n\n", status=1)
    assert theirs.requests == []
    assert run(data, "names", "--ask", "--yes").endswith("None of them is there.\n")
    assert len(theirs.requests) == 3


def test_what_is_reserved_is_never_asked_for(data: Path, theirs: Releases) -> None:
    (data / "policy.toml").write_bytes(theirs.policy("[origin]", 'private = ["acme", "demo", "gone", "tool"]'))
    assert "This tells 0 names" in run(data, "names", "--ask", says="y\n")
    run(data, "origin", "demo", "both")  # also where somebody said more of it
    run(data, "names", "--ask", "--yes")
    assert theirs.requests == []


def test_of_several_indexes_the_first_that_has_it(data: Path, theirs: Releases) -> None:
    theirs.release("demo", ("1.11", 3))
    with releases() as second:
        second.release("demo", ("5.0", 3))
        second.release("tool", ("3.0", 3))
        more = second.policy().replace(b"upstream.main", b"upstream.second")
        (data / "policy.toml").write_bytes(theirs.policy() + more)
        told = run(data, "names", "--ask", "--yes", status=1)
        assert "the index 'main' has 1.11" in told
        assert "tool: ours is 2.0, the index 'second' has 3.0" in told
        assert "5.0" not in told
        assert second.asked("/simple/demo/") == []


def test_troubles(data: Path, theirs: Releases) -> None:
    theirs.tell("/simple/demo/", Answer(b"{}", content_type=JSON))
    theirs.tell("/simple/tool/", Answer(b'{"files": [], "meta": {}}', content_type=JSON))
    told = run(data, "names", "--ask", "--yes")
    assert "demo: the index 'main' has the name. The page has no list of files." in told
    assert "tool: ours is 2.0, the index 'main' has no file of it." in told
    theirs.status = 500
    assert "has answered 500." in run(data, "names", "--ask", "--yes", status=1)
    (data / "policy.toml").write_bytes(theirs.policy().replace(b'fresh = "0"', b"offline = true"))
    assert "No other index is asked: name one in the policy" in run(data, "names", "--ask", "--yes", status=1)
