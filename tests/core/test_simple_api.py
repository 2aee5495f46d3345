"""The dict of PEP 691."""

from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.model import File, Project
from elasticpypi.core.simple_api import project_page, root_page


def a_file(name: str = "demo-1.0.tar.gz", **changes: Any) -> File:
    values: dict[str, Any] = {
        "key": name,
        "project": NormalizedName("demo"),
        "version": "1.0",
        "size": 7,
        "sha256": "ab" * 32,
        "upload_time": "2026-01-31T12:00:00.000000Z",
        "revision": "r1",
    }
    return File(**{**values, **changes})


def test_a_root_page() -> None:
    assert root_page(7, [NormalizedName("a"), NormalizedName("b")]) == {
        "meta": {"_last-serial": 7, "api-version": "1.4"},
        "projects": [{"name": "a"}, {"name": "b"}],
    }


def test_a_project_page() -> None:
    files = (
        a_file(),
        a_file(
            "team/demo-1!2.0+x.tar.gz",
            requires_python=">=3",
            metadata_sha256="cd" * 32,
            yanked="bad",
            version="1!2.0+x",
        ),
    )
    assert project_page(Project(NormalizedName("demo"), 7, files)) == {
        "meta": {"_last-serial": 7, "api-version": "1.4"},
        "name": "demo",
        "versions": ["1.0", "1!2.0+x"],
        "files": [
            {
                "filename": "demo-1.0.tar.gz",
                "url": "../../packages/demo-1.0.tar.gz",
                "hashes": {"sha256": "ab" * 32},
                "size": 7,
                "upload-time": "2026-01-31T12:00:00.000000Z",
                "yanked": False,
            },
            {
                "filename": "demo-1!2.0+x.tar.gz",
                "url": "../../packages/demo-1%212.0%2Bx.tar.gz",
                "hashes": {"sha256": "ab" * 32},
                "size": 7,
                "upload-time": "2026-01-31T12:00:00.000000Z",
                "requires-python": ">=3",
                "core-metadata": {"sha256": "cd" * 32},
                "yanked": "bad",
            },
        ],
    }


@pytest.mark.req("REQ-45")
def test_a_yank_without_a_reason_is_true() -> None:
    page = project_page(Project(NormalizedName("demo"), 7, (a_file(yanked=""),)))
    assert page["files"][0]["yanked"] is True


@pytest.mark.req("REQ-51", "REQ-52")
def test_project_status() -> None:
    archived = project_page(Project(NormalizedName("demo"), 7, (a_file(),), {}, "archived", "old"))
    assert archived["project-status"] == {"status": "archived", "reason": "old"}
    assert len(archived["files"]) == 1
    quarantined = project_page(Project(NormalizedName("demo"), 7, (a_file(),), {}, "quarantined"))
    assert quarantined["project-status"] == {"status": "quarantined"}
    assert (quarantined["files"], quarantined["versions"]) == ([], [])
