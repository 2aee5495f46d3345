"""Which wheels a platform and a Python take, as pip decides it, and what markers see there."""

import pytest
from packaging.markers import Marker

from elasticpypi.core.errors import BadFile
from elasticpypi.core.targets import chosen, environments, holds, targets

NAMES = [
    "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "demo-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "demo-1.0-cp312-cp312-manylinux_2_34_x86_64.whl",
    "demo-1.0-cp312-cp312-musllinux_1_2_x86_64.whl",
    "demo-1.0-cp312-cp312-macosx_11_0_arm64.whl",
    "demo-1.0-cp312-cp312-macosx_10_13_universal2.whl",
    "demo-1.0-cp312-cp312-win_amd64.whl",
    "demo-1.0-cp313-cp313t-win_amd64.whl",
    "demo-1.0-cp38-abi3-win_amd64.whl",
    "demo-1.0.tar.gz",
]
PURE = ["demo-1.0-py2.py3-none-any.whl", "demo-1.0.tar.gz"]


def tags(names: list[str]) -> list[str]:
    return [name.removeprefix("demo-1.0-").removesuffix(".whl").partition(".many")[0] for name in names]


@pytest.mark.parametrize(
    ("platforms", "pythons", "expected"),
    [
        (["manylinux_2_28_x86_64"], ["3.12"], ["cp312-cp312-manylinux_2_17_x86_64"]),
        (["manylinux_2_16_x86_64"], ["3.12"], ["demo-1.0.tar.gz"]),
        (["manylinux2014_x86_64"], ["3.12"], ["cp312-cp312-manylinux_2_17_x86_64"]),
        (["manylinux2010_x86_64"], ["3.12"], ["demo-1.0.tar.gz"]),
        (
            ["manylinux_2_34_x86_64"],
            ["3.12"],
            ["cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_34_x86_64"],
        ),
        (["musllinux_1_2_x86_64"], ["3.12"], ["cp312-cp312-musllinux_1_2_x86_64"]),
        (["musllinux_1_1_x86_64"], ["3.12"], ["demo-1.0.tar.gz"]),
        (
            ["macosx_14_0_arm64"],
            ["3.12"],
            ["cp312-cp312-macosx_11_0_arm64", "cp312-cp312-macosx_10_13_universal2"],
        ),
        (["win_amd64"], ["3.11"], ["cp38-abi3-win_amd64"]),
        (["win_amd64"], ["3.13t"], ["cp313-cp313t-win_amd64"]),
        (["win32"], ["3.12"], ["demo-1.0.tar.gz"]),
        # A target that no wheel is for gets the sdist, beside the wheels of the others.
        (["win_amd64", "win32"], ["3.12"], ["cp312-cp312-win_amd64", "cp38-abi3-win_amd64", "demo-1.0.tar.gz"]),
        (["manylinux_2_28_x86_64"], [], ["cp311-cp311-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_17_x86_64"]),
        ([], ["3.11"], ["cp311-cp311-manylinux_2_17_x86_64", "cp38-abi3-win_amd64"]),
        ([], [], tags(NAMES)),
    ],
)
def test_what_is_chosen(platforms: list[str], pythons: list[str], expected: list[str]) -> None:
    assert tags(chosen(NAMES, targets(platforms, pythons))) == expected


def test_a_wheel_for_everybody_is_enough() -> None:
    assert chosen(PURE, targets(["manylinux_2_28_x86_64", "win32"], ["3.11", "3.14t"])) == PURE[:1]
    assert chosen(PURE, []) == PURE
    assert chosen(["no.whl"], targets(["win32"], [])) == []


@pytest.mark.parametrize("wrong", ["linux", "manylinux_2_x86_64", "win_x86", "", "macosx_arm64", "manylinux_2_28_"])
def test_what_is_no_platform(wrong: str) -> None:
    for function in (targets, environments):
        with pytest.raises(BadFile, match="is no platform: name one as pip does, such as manylinux_2_28_x86_64"):
            function([wrong], [])  # type: ignore[operator]


@pytest.mark.parametrize("wrong", ["3", "312", "3.12.1", "cp312", "2.7", ""])
def test_what_is_no_python(wrong: str) -> None:
    for function in (targets, environments):
        with pytest.raises(BadFile, match=r"is no Python: name its version, such as 3\.12"):
            function([], [wrong])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("marker", "linux", "windows"),
    [
        ("sys_platform == 'win32'", False, True),
        ("os_name == 'nt' and python_version < '3.13'", False, True),
        ("platform_machine == 'x86_64' and platform_system == 'Linux'", True, False),
        ("platform_machine == 'AMD64'", False, True),
        ("python_full_version < '3.12'", False, False),
        ("python_full_version < '3.12.4'", True, True),
        ("implementation_name == 'pypy'", False, False),
        ("sys_platform == 'win32' and extra == 'x'", True, True),  # nobody knows which extras are wanted
    ],
)
def test_markers(marker: str, linux: bool, windows: bool) -> None:
    assert holds(Marker(marker), environments(["manylinux_2_28_x86_64"], ["3.12"])) is linux
    assert holds(Marker(marker), environments(["win_amd64"], ["3.12"])) is windows
    assert holds(Marker(marker), [])


def test_markers_where_one_of_both_is_not_named() -> None:
    linux = environments(["manylinux_2_28_x86_64"], [])
    assert holds(Marker("python_version < '3.10'"), linux)
    assert not holds(Marker("python_version < '3.10' and sys_platform == 'win32'"), linux)
    python = environments([], ["3.12"])
    assert holds(Marker("sys_platform == 'darwin'"), python)
    assert not holds(Marker("sys_platform == 'darwin' and python_version < '3.12'"), python)
    assert holds(None, python)
    assert environments([], []) == []
