"""PyPI's JSON API."""

from pathlib import Path
from typing import Any

import pytest

from elasticpypi.core.distribution import sha256
from elasticpypi.indexing import sync
from tests.support.application import Client
from tests.support.builders import make_old_sdist, make_sdist, make_wheel


@pytest.fixture
def filled(client: Client, tmp_path: Path) -> Client:
    fields: dict[str, Any] = {
        "requires_python": ">=3.8",
        "requires_dist": ["flask>=2", 'x; extra == "y"'],
        "summary": "A demo",
        "keywords": "a,b",
        "classifier": ["Programming Language :: Python :: 3"],
        "project_url": ["Home, https://example.org"],
        "description": "# Demo",
    }
    for path in (
        make_wheel(tmp_path, "Demo.B", "1.0", **fields),
        make_sdist(tmp_path, "Demo.B", "1.0"),
        make_wheel(tmp_path, "Demo.B", "2.0", **fields),
        make_wheel(tmp_path, "Demo.B", "3.0rc1"),
        make_wheel(tmp_path, "Demo.B", "2.5"),
    ):
        assert client.upload(path).status_code == 200
    assert client.request("PUT", "/packages/Demo.B-2.5-py3-none-any.whl.yanked", data=b"bad").status_code == 200
    return client


@pytest.mark.req("REQ-151")
@pytest.mark.parametrize("name", ["demo-b", "Demo.B", "demo__b"])
def test_a_project(filled: Client, name: str) -> None:
    response = filled.get(f"/pypi/{name}/json", base_url="https://h.example/dev/")
    assert response.headers["Content-Type"] == "application/json"
    project: Any = response.get_json()
    assert project["info"]["version"] == "2.0"  # not the yanked one, not the pre-release
    assert project["info"]["name"] == "Demo.B"
    assert project["info"]["summary"] == "A demo"
    assert project["info"]["keywords"] == "a,b"
    assert project["info"]["requires_dist"] == ["flask>=2", 'x; extra == "y"']
    assert project["info"]["classifiers"] == ["Programming Language :: Python :: 3"]
    assert project["info"]["project_urls"] == {"Home": "https://example.org"}
    assert project["info"]["description"].strip() == "# Demo"
    assert list(project["releases"]) == ["1.0", "2.0", "2.5", "3.0rc1"]
    [bad] = project["releases"]["2.5"]
    assert (bad["yanked"], bad["yanked_reason"]) == (True, "bad")
    [wheel] = project["urls"]
    simple: Any = filled.json("/simple/demo-b/")
    [file] = [file for file in simple["files"] if file["filename"] == wheel["filename"]]
    assert wheel == {
        "comment_text": None,
        "core-metadata": file["core-metadata"],
        "downloads": -1,
        "has_sig": False,
        "digests": file["hashes"],
        "filename": "Demo.B-2.0-py3-none-any.whl",
        "packagetype": "bdist_wheel",
        "python_version": "py3",
        "requires_python": ">=3.8",
        "size": file["size"],
        "upload_time": file["upload-time"][:19],
        "upload_time_iso_8601": file["upload-time"],
        "url": "https://h.example/dev/packages/Demo.B-2.0-py3-none-any.whl",
        "yanked": False,
        "yanked_reason": None,
    }
    assert {file["packagetype"] for file in project["releases"]["1.0"]} == {"bdist_wheel", "sdist"}


@pytest.mark.req("REQ-151")
def test_a_release(filled: Client) -> None:
    release: Any = filled.get("/pypi/Demo.B/v2.5.0/json").get_json()
    assert (release["info"]["version"], release["info"]["yanked"], release["info"]["yanked_reason"]) == (
        "2.5",
        True,
        "bad",
    )
    assert "releases" not in release
    assert [file["filename"] for file in release["urls"]] == ["Demo.B-2.5-py3-none-any.whl"]


def test_it_is_revalidated(filled: Client) -> None:
    first = filled.get("/pypi/demo-b/json")
    again = filled.get("/pypi/demo-b/json", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    filled.request("DELETE", "/packages/Demo.B-2.5-py3-none-any.whl.yanked")
    changed = filled.get("/pypi/demo-b/json", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.get_json()["info"]["version"] == "2.5"


@pytest.mark.parametrize(
    "path", ["/pypi/other/json", "/pypi/demo-b/9.9/json", "/pypi/demo-b/junk/json", "/pypi/demo-b"]
)
def test_what_is_not_there(filled: Client, path: str) -> None:
    assert filled.get(path).status_code == 404


def test_names_that_are_none(client: Client) -> None:
    assert client.get("/pypi/-/json").status_code == 404


def test_files_that_were_put_with_nothing_known(client: Client, tmp_path: Path) -> None:
    import io

    path = make_old_sdist(tmp_path, "demo", "1.0")
    client.services.files.save(path.name, io.BytesIO(path.read_bytes()), sha256(path.read_bytes()))
    sync.sync(client.services.files, client.services.index, path.name)
    project: Any = client.get("/pypi/demo/json").get_json()
    assert (project["info"]["name"], project["info"]["version"], project["info"]["summary"]) == ("demo", "1.0", None)
