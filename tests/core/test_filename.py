"""What file names say; the verdicts are in ``tests/support/vectors.json``."""

from typing import Any

import pytest
from packaging.version import InvalidVersion, Version

from elasticpypi.core.errors import BadUpload
from elasticpypi.core.filename import parse, parse_stored, project_name
from tests.support.vectors import VECTORS


@pytest.mark.req("REQ-134")
@pytest.mark.parametrize("vector", VECTORS["filenames"], ids=lambda vector: ascii(vector["filename"]))
def test_file_names(vector: dict[str, Any]) -> None:
    if vector["verdict"] == "bad":
        with pytest.raises(BadUpload):
            parse(vector["filename"])
    else:
        name = parse(vector["filename"])
        assert f"{name.project} {name.version}" == vector["detail"]
        assert name.kind == ("bdist_wheel" if vector["filename"].endswith(".whl") else "sdist")


@pytest.mark.parametrize("vector", VECTORS["names"], ids=lambda vector: ascii(vector["name"]))
def test_project_names(vector: dict[str, Any]) -> None:
    if vector["valid"]:
        assert project_name(vector["name"]) == vector["normalized"]
    else:
        with pytest.raises(BadUpload, match="is not a project name"):
            project_name(vector["name"])


@pytest.mark.parametrize("vector", VECTORS["versions"], ids=lambda vector: vector["version"])
def test_versions(vector: dict[str, Any]) -> None:
    if vector["normalized"] is None:
        with pytest.raises(InvalidVersion):
            Version(vector["version"])
    else:
        assert str(Version(vector["version"])) == vector["normalized"]


@pytest.mark.parametrize(
    "filename",
    [
        "",
        ".demo-1.0.tar.gz",
        "../demo-1.0.tar.gz",
        "a/demo-1.0.tar.gz",
        "a\\demo-1.0.tar.gz",
        "demo-1.0.tar.gz\n",
        "demo-1.0 .tar.gz",
        "_demo-1.0-py3-none-any.whl",
        "demo\u017f-1.0.tar.gz",
        "demo-1.0\r\nX: y.tar.gz",
        "d" * 300 + "-1.0.tar.gz",
        "-1.0.tar.gz",
        "demo-.tar.gz",
        "demo-1.0.egg",
        "demo-1.0.exe",
    ],
)
def test_odd_file_names_are_refused_with_one_line(filename: str) -> None:
    with pytest.raises(BadUpload) as refused:
        parse(filename)
    assert "\n" not in str(refused.value)
    assert parse_stored(filename) is None


@pytest.mark.req("REQ-116")
def test_one_identity_for_all_spellings_of_a_file() -> None:
    wheels = [
        "Demo.B-1.0-py2.py3-none-any.whl",
        "demo_b-1.0.0-py3.py2-none-any.whl",
        "demo_B-01.0-py2.py3-none-any.whl",
    ]
    assert len({parse(wheel).identity for wheel in wheels}) == 1
    sdists = ["Demo.B-1.0.tar.gz", "demo_b-1.0.0.tar.gz", "demo-b-1.0.zip"]
    assert len({parse(sdist).identity for sdist in sdists}) == 1
    others = [
        "demo_b-1.0-1-py2.py3-none-any.whl",
        "demo_b-1.0-py3-none-any.whl",
        "demo_b-1.1.tar.gz",
        "demo-1.0.tar.gz",
    ]
    assert len({parse(other).identity for other in [*others, wheels[0], sdists[0]]}) == 6


@pytest.mark.parametrize("extension", [".tar.bz2", ".tar.xz", ".tgz", ".tar"])
def test_old_sdists_are_known_in_the_store_only(extension: str) -> None:
    stored = parse_stored(f"demo-1.0{extension}")
    assert stored is not None
    assert (stored.project, str(stored.version), stored.kind) == ("demo", "1.0", "sdist")
    with pytest.raises(BadUpload):
        parse(f"demo-1.0{extension}")


def test_a_project_name_has_a_length() -> None:
    assert project_name("a" * 240) == "a" * 240
    with pytest.raises(BadUpload, match="is not a project name"):
        project_name("a" * 241)


MANY = ".".join(["cp", *(f"c{number}" for number in range(18))])


@pytest.mark.parametrize(
    "tags", [f"{MANY}-{MANY}-any", "-".join([".".join("abcdefghijklmnopqrstuvwxyz0123456789_"[:36])] * 3)]
)
def test_a_name_stands_for_few_tags(tags: str) -> None:
    name = f"demo-1.0-{tags}.whl"
    assert len(name) <= 240
    with pytest.raises(BadUpload, match="stands for more than 256 tags"):
        parse(name)
    assert parse_stored(name) is None


def test_names_of_many_tags_that_are_real() -> None:
    real = "py2.py3-none-macosx_10_9_universal2.macosx_10_9_x86_64.macosx_11_0_arm64.macosx_11_0_universal2"
    most = ".".join(f"cp3{number}" for number in range(16))
    for tags in (real, f"{most}-{most}-any", f"cp311-cp311-{'.'.join(['win32'] * 30)}"):
        assert parse(f"demo-1.0-{tags}.whl").project == "demo"
