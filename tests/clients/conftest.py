"""A live server of each family for the whole run, and names that no other test has."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.live import FAMILIES, Server, running


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Family → its server, started when it is first asked for, and there until the end of the run."""
    with ExitStack() as stack:
        yield cache(lambda family: stack.enter_context(running(family, tmp_path_factory.mktemp("server"))))


@pytest.fixture(params=FAMILIES)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


@pytest.fixture
def name() -> str:
    return f"demo-{uuid4().hex[:12]}"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Where ``publish`` looks for files."""
    folder = tmp_path / "dist"
    folder.mkdir()
    return folder
