"""A wrong policy stops the start; one that becomes wrong later stops nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import Server, run

pytestmark = pytest.mark.network


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data/packages").mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    server = Server(data)
    yield server
    server.close()


def test_a_wrong_policy_is_refused_with_its_line(data: Path) -> None:
    (data / "policy.toml").write_text("[cooldown]\n\nage = 3\n")
    done = run("serve", "--port", "0", "--data", str(data))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: policy.toml, line 3, cooldown.age: 3 is no time")


def test_while_it_runs_health_says_so_and_an_edit_is_in_the_record(data: Path, server: Server) -> None:
    def health() -> str:
        return str(server.open("/health", None).read())

    def recorded() -> str:
        return "".join(path.read_text() for path in (data / "events").glob("*.jsonl"))

    (data / "policy.toml").write_text("[origin]\nprivate = ['acme']\n")
    server.wait_for(lambda: "policy.changed" in recorded())
    (data / "policy.toml").write_text("[origin]\nprivat = []\n")
    server.wait_for(lambda: "line 2, origin.privat" in health())
    (data / "policy.toml").write_text("[origin]\nprivate = []\n")
    server.wait_for(lambda: "origin.privat" not in health())
