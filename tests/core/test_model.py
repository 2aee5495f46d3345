"""Records add up to a project."""

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.keys import parse_status
from elasticpypi.core.model import Decision, File, assemble

DEMO = NormalizedName("demo")


def a_file(key: str, version: str) -> File:
    return File(key, DEMO, version, 1, "ab" * 32, "2026-01-31T12:00:00.000000Z", "r1")


@pytest.mark.req("REQ-24")
def test_files_are_ordered_by_version_not_by_text() -> None:
    names = ["demo-10.0.tar.gz", "demo-9.0.tar.gz", "demo-9.0-py3-none-any.whl", "demo-9.0rc1.tar.gz"]
    records = [a_file(name, name.split("-")[1].removesuffix(".tar.gz")) for name in names]
    project = assemble(DEMO, 7, records)
    assert [file.filename for file in project.files] == [
        "demo-9.0rc1.tar.gz",
        "demo-9.0-py3-none-any.whl",
        "demo-9.0.tar.gz",
        "demo-10.0.tar.gz",
    ]
    assert project.versions == ["9.0rc1", "9.0", "10.0"]
    assert assemble(DEMO, 7, reversed(records)) == project


def test_versions_that_are_equal_are_one_release() -> None:
    versions = ["1", "1.0", "1.0.0", "1.0.0.0", "1.0.0.0.0"]
    project = assemble(DEMO, 7, [a_file(f"demo-{version}.tar.gz", version) for version in versions])
    assert project.versions == ["1"]
    assert [file.filename for file in project.files] == sorted(f"demo-{version}.tar.gz" for version in versions)


def test_decisions_apply_to_their_key_and_nothing_else() -> None:
    records = [
        a_file("demo-1.0.tar.gz", "1.0"),
        a_file("demo-2.0.tar.gz", "2.0"),
        Decision("demo-1.0.tar.gz.yanked", DEMO, "yanked", "bad", "r1"),
        Decision("team/demo-2.0.tar.gz.yanked", DEMO, "yanked", "worse", "r1"),
        Decision("demo-0.9.tar.gz.deleted", DEMO, "deleted", "cd" * 32 + "\n", "r1"),
    ]
    project = assemble(DEMO, 7, records)
    assert [file.yanked for file in project.files] == ["bad", None]
    assert project.deleted == {"demo-0.9.tar.gz": "cd" * 32}


def test_a_status_that_cannot_be_read_hides_the_files() -> None:
    assert parse_status("archived\nsuccessor is demo2\n") == ("archived", "successor is demo2")
    assert parse_status("deprecated") == ("deprecated", "")
    assert parse_status("archvied")[0] == "quarantined"
    assert parse_status("")[0] == "quarantined"
    project = assemble(DEMO, 7, [a_file("demo-1.0.tar.gz", "1.0"), Decision("demo.status", DEMO, "status", "?", "r1")])
    assert (project.listed, project.versions) == ((), [])
