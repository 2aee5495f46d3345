"""How much work a request is on one machine: statements of SQLite, pages that are built. On AWS: ``test_calls``."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.config import Config
from elasticpypi.core import simple_api
from elasticpypi.services import Services
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.wiring import on_folder
from tests.support.application import PASSWORD, USER, Client, Worker
from tests.support.builders import make_wheel

READ = ["BEGIN", "SELECT projects", "SELECT records", "COMMIT"]


@pytest.fixture
def services(tmp_path: Path) -> Services:
    config = Config(users={USER: PASSWORD}, data=tmp_path / "data")
    return on_folder(config, DirectoryFiles(config.data), SQLiteIndex(config.data / "index.db"))


@pytest.fixture
def client(services: Services, tmp_path: Path) -> Client:
    client = Client(services)
    for version in ("1.0", "2.0"):
        assert client.upload(make_wheel(tmp_path, "demo", version)).status_code == 200
    return client


@pytest.fixture
def statements(client: Client) -> Callable[[Callable[[], Any]], list[str]]:
    """The statements that a call runs, each as its verb and its table."""

    def of(call: Callable[[], Any]) -> list[str]:
        index = client.services.index
        assert isinstance(index, SQLiteIndex)
        run: list[str] = []
        with index._connection() as connection:  # and the next one to be used again
            connection.set_trace_callback(run.append)
        call()
        connection.set_trace_callback(None)
        return [_short(each) for each in run if not each.startswith("--")]  # what FTS5 does within

    return of


def _short(statement: str) -> str:
    table = re.search(r"(?:FROM|INTO|UPDATE) (\w+)", statement)
    return f"{statement.split()[0]}{f' {table[1]}' if table else ''}"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that were built: their names, and "" for the root list."""
    names: list[str] = []
    project_page, root_page = simple_api.project_page, simple_api.root_page

    def count_project(project: Any, *rest: Any) -> Any:
        names.append(project.name)
        return project_page(project, *rest)

    def count_root(*arguments: Any) -> Any:
        names.append("")
        return root_page(*arguments)

    monkeypatch.setattr(simple_api, "project_page", count_project)
    monkeypatch.setattr(simple_api, "root_page", count_root)
    return names


def test_a_page_is_two_reads_and_a_304_is_one(client: Client, statements: Callable[..., list[str]]) -> None:
    assert statements(lambda: client.get("/simple/demo/")) == READ
    etag = client.get("/simple/demo/").headers["ETag"]
    unchanged = {"If-None-Match": etag}
    assert statements(lambda: client.get("/simple/demo/", headers=unchanged)) == ["SELECT projects"]
    assert statements(lambda: client.get("/simple/none/")) == ["BEGIN", "SELECT projects", "COMMIT"]


def test_a_page_that_is_valid_is_not_built_and_hardly_asked_for(
    client: Client, statements: Callable[..., list[str]], built: list[str], tmp_path: Path
) -> None:
    worker = Worker(client.services)
    for path, name in (("/simple/demo/", "demo"), ("/simple/", "")):
        built.clear()
        etag = worker.open(path).headers["ETag"]

        def again(path: str = path) -> list[str]:
            return statements(lambda: worker.open(path))

        def unchanged(path: str = path, etag: str = etag) -> list[str]:
            return statements(lambda: worker.open(path, **{"If-None-Match": etag}))

        assert again() == ["SELECT projects"]  # is it still so?
        assert again() == unchanged() == []  # nobody has written since
        client.upload(make_wheel(tmp_path, f"other{name}", "1.0"))
        client.upload(make_wheel(tmp_path, f"other{name}", "1.1"))
        assert built == [name]
        if name:
            assert unchanged() == ["SELECT projects"]
            assert again() == []
            assert built == [name]


def test_files_and_metadata_are_asked_for_once(client: Client, statements: Callable[..., list[str]]) -> None:
    worker = Worker(client.services)
    file = ["SELECT projects", "BEGIN", "SELECT records", "SELECT records", "COMMIT"]
    for path, first in (
        ("/packages/demo-1.0-py3-none-any.whl", file),
        ("/packages/demo-1.0-py3-none-any.whl.metadata", [*file, "BEGIN", "SELECT metadata", "COMMIT"]),
    ):
        for expected in (first, ["SELECT projects"], [], []):
            assert statements(lambda path=path: worker.open(path)) == expected


def test_an_upload_makes_the_pages_of_its_project_anew_and_no_others(
    client: Client, built: list[str], tmp_path: Path
) -> None:
    worker = Worker(client.services)
    assert client.upload(make_wheel(tmp_path, "other", "1.0")).status_code == 200

    def ask() -> list[str]:
        built.clear()
        for path in ("/simple/", "/simple/demo/", "/simple/other/"):
            assert worker.open(path).status_code == 200
        return built

    assert ask() == ["", "demo", "other"]
    assert client.upload(make_wheel(tmp_path, "other", "2.0")).status_code == 200
    assert ask() == ["other"]  # the root list is as it was: no project is new
    assert client.upload(make_wheel(tmp_path, "fresh", "1.0")).status_code == 200
    assert ask() == [""]


def test_an_upload_costs_the_same_however_many_projects_there_are(
    client: Client, statements: Callable[..., list[str]], tmp_path: Path
) -> None:
    def upload(version: str) -> list[str]:
        wheel = make_wheel(tmp_path, "demo", version)
        return statements(lambda: client.upload(wheel))

    among_few = upload("3.0")
    assert among_few == [
        *READ,  # what the project allows
        *["BEGIN", "SELECT projects", "SELECT records", "SELECT records"],  # and once more at the moment of the write
        *["REPLACE records", "DELETE metadata", "INSERT metadata", "INSERT projects"],
        *["INSERT events", "DELETE events", "COMMIT"],  # and what happened
    ]
    for number in range(100):
        assert client.upload(make_wheel(tmp_path, f"project{number}", "1.0")).status_code == 200
    assert upload("4.0") == among_few
