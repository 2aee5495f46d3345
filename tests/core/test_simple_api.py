"""The dict of PEP 691."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName

from elasticpypi.core import simple_api
from elasticpypi.core.blocks import Block
from elasticpypi.core.model import File, Held, Project
from elasticpypi.core.simple_api import as_json, project_json, project_page, root_page


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


TEXT = st.text(max_size=8) | st.sampled_from(['"', "\\", "</script>", "\u00e4", "\ud800"])
FILES = st.builds(
    a_file,
    TEXT.map(lambda text: f"demo-{text.replace(chr(0xD800), '')}.tar.gz"),
    version=TEXT,
    size=st.integers(-1, 10**12),
    sha256=st.sampled_from(["ab" * 32, "cd" * 32]),
    upload_time=st.sampled_from(["", "2026-01-31T12:00:00.000000Z"]),
    requires_python=st.none() | TEXT,
    metadata_sha256=st.none() | st.just("ef" * 32),
    yanked=st.none() | TEXT,
)
PROJECTS = st.builds(
    Project,
    st.just(NormalizedName("demo")),
    st.integers(0, 10**15),
    st.lists(FILES, max_size=4).map(tuple),
    status=st.sampled_from(["active", "archived", "quarantined"]),
    status_reason=TEXT,
    blocks=st.sampled_from([(), (Block("", "bad"),), (Block("1.0", "bad"),)]),
    held=st.lists(st.builds(Held, FILES, st.none() | st.just(1796040000.0), TEXT, TEXT), max_size=2).map(tuple),
)


@given(PROJECTS, st.sampled_from(["../../", "", '"\\']), st.sampled_from([1, 2, 1000]))
def test_a_page_as_json_is_the_same_without_its_dict(project: Project, home: str, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simple_api, "AT_ONCE", at_once)
        assert project_json(project, home) == as_json(project_page(project, home))
