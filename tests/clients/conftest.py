"""A live server of each family for the whole run, and names that no other test has."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.clients.environments import make_all
from tests.clients.live import FAMILIES, Server, running


@pytest.fixture(scope="session", autouse=True)
def clients() -> None:
    make_all()


@pytest.fixture(scope="session", params=FAMILIES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(request.param, tmp_path_factory.mktemp("server")) as live:
        yield live


@pytest.fixture
def name() -> str:
    return f"demo-{uuid4().hex[:12]}"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Where ``publish`` looks for files."""
    folder = tmp_path / "dist"
    folder.mkdir()
    return folder
