"""The platforms and the Pythons for which files are wanted: which wheels they take, and which markers hold there.

A platform is named as pip does, ``manylinux_2_28_x86_64``, and takes what is older, too; a Python is ``3.12`` or
``3.13t`` (CPython). Where one of both is not named, any will do.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.tags import compatible_tags, cpython_tags, mac_platforms

from elasticpypi.core.errors import BadFile

PLATFORM = re.compile(
    r"(manylinux|musllinux|macosx)_(\d{1,3})_(\d{1,3})_(\w+)|(manylinux1|manylinux2010|manylinux2014)_(\w+)"
)
WINDOWS = {"win32": "x86", "win_amd64": "AMD64", "win_arm64": "ARM64"}
OLD_NAMES = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}  # and the minor version of glibc 2
# What markers see where no platform is named, and the minor versions of Python 3 where none is.
ANYWHERE = "manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64", "macosx_11_0_x86_64", *WINDOWS
MINORS, PATCHES = range(8, 17), (0, 99)


Environment = dict[str, str]


class Target(NamedTuple):
    """One platform with one Python. ``platforms`` are its tags, ``pythons`` its pairs of interpreter and ABI; either is
    empty if any will do."""

    platforms: frozenset[str]
    pythons: frozenset[tuple[str, str]]

    def takes(self, filename: str) -> bool:
        """Whether it takes a wheel, by its name (PEP 425, 427)."""
        parts = [part.split(".") for part in filename.removesuffix(".whl").split("-")[-3:]]
        if len(parts) < 3:
            return False
        interpreters, abis, platforms = parts
        return (not self.platforms or not self.platforms.isdisjoint(platforms) or "any" in platforms) and (
            not self.pythons or not self.pythons.isdisjoint(product(interpreters, abis))
        )


def targets(platforms: Sequence[str], pythons: Sequence[str]) -> list[Target]:
    """Each platform with each Python; empty if neither is named. :class:`BadFile` for what is none."""
    if not platforms and not pythons:
        return []
    tags = [_tags(each) for each in platforms] or [frozenset()]
    pairs = [_pairs(*_python(each)) for each in pythons] or [frozenset()]
    return [Target(*each) for each in product(tags, pairs)]


def environments(platforms: Sequence[str], pythons: Sequence[str]) -> list[Environment]:
    """The same as what markers see there (PEP 508): of what is not named, all that there is."""
    if not platforms and not pythons:
        return []
    minors = [_python(each)[0] for each in pythons] or MINORS
    every = product(platforms or ANYWHERE, minors, PATCHES)
    return [{**_system(platform), **_of_python(minor, patch)} for platform, minor, patch in every]


def holds(marker: Marker | None, where: Iterable[Mapping[str, str]]) -> bool:
    """Whether a marker may be true in one of these environments; without any of them, it may."""
    environments = [*where]
    if marker is None or not environments or "extra" in str(marker):
        return True
    try:
        return any(marker.evaluate({**each}) for each in environments)
    except (UndefinedComparison, UndefinedEnvironmentName, KeyError):
        return True


def chosen(names: Sequence[str], wanted: Sequence[Target]) -> list[str]:
    """Of the files of a release those that are wanted: wheels that a target takes, the sdist where it takes none."""
    if not wanted:
        return [*names]
    taken = {name for name in names if name.endswith(".whl") and any(target.takes(name) for target in wanted)}
    if not all(any(target.takes(name) for name in taken) for target in wanted):
        taken |= {name for name in names if not name.endswith(".whl")}
    return [name for name in names if name in taken]


def _tags(platform: str) -> frozenset[str]:
    """A platform, and all older ones whose wheels it takes (PEP 600, 656)."""
    if platform in WINDOWS:
        return frozenset((platform,))
    found = PLATFORM.fullmatch(platform)
    if found is None:
        raise _wrong(platform)
    kind, major, minor, arch, old, old_arch = found.groups()
    if kind == "macosx":
        return frozenset(mac_platforms((int(major), int(minor)), arch))
    arch, minor, major = arch or old_arch, OLD_NAMES[old] if old else int(minor), 2 if old else int(major)
    if kind == "musllinux":
        return frozenset(f"musllinux_{major}_{each}_{arch}" for each in range(minor + 1)) | {f"linux_{arch}"}
    since = {f"{name}_{arch}" for name, each in OLD_NAMES.items() if each <= minor or major > 2}
    return frozenset(f"manylinux_{major}_{each}_{arch}" for each in range(minor + 1)) | since | {f"linux_{arch}"}


def _system(platform: str) -> Environment:
    """What markers see of a platform."""
    if platform in WINDOWS:
        system, name, os = "win32", "Windows", "nt"
        arch = WINDOWS[platform]
    else:
        found = PLATFORM.fullmatch(platform)
        if found is None:
            raise _wrong(platform)
        arch, os = found[4] or found[6], "posix"
        system, name = ("darwin", "Darwin") if found[1] == "macosx" else ("linux", "Linux")
    return {"sys_platform": system, "platform_system": name, "os_name": os, "platform_machine": arch}


def _wrong(platform: str) -> BadFile:
    examples = "manylinux_2_28_x86_64, musllinux_1_2_aarch64, macosx_14_0_arm64 or win_amd64"
    return BadFile(f"{platform[:80]!r} is no platform: name one as pip does, such as {examples}.")


def _python(text: str) -> tuple[int, str]:
    """``3.12`` → its minor version, and "t" if it has no GIL."""
    found = re.fullmatch(r"3\.(\d{1,2})(t?)", text)
    if found is None:
        raise BadFile(f"{text[:80]!r} is no Python: name its version, such as 3.12, or 3.14t without a GIL.")
    return int(found[1]), found[2]


def _pairs(minor: int, threads: str) -> frozenset[tuple[str, str]]:
    version, name = (3, minor), f"cp3{minor}"
    tags = [*cpython_tags(version, [f"{name}{threads}"], ["any"]), *compatible_tags(version, name, ["any"])]
    return frozenset((tag.interpreter, tag.abi) for tag in tags)


def _of_python(minor: int, patch: int) -> Environment:
    return {
        "python_version": f"3.{minor}",
        "python_full_version": f"3.{minor}.{patch}",
        "implementation_version": f"3.{minor}.{patch}",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_version": "",
    }
