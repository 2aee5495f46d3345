"""A project of 60 dependencies: 55 of another index, which records what it is asked, and five of our own.

They are small, and have what real ones have: trees, ranges, extras, markers, sdists, ``.metadata`` beside most wheels.
Beside the newest release that fits there is one that does not: too young, yanked, a beta, for another Python, too new.
"""

import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from elasticpypi.core.moments import text_of
from tests.support.builders import make_sdist, make_wheel
from tests.support.fake_upstream import Answer, FakeUpstream
from tests.support.live import Server, running
from tests.support.waiting import until

OWN = {"acme-app": "1.0", "acme-core": "1.2", "acme-db": "1.0", "acme-log": "2.0", "house-tool": "0.3"}
PUBLIC = {f"pub-{number:02}": "1.1" for number in range(1, 56)}
SIXTY = OWN | PUBLIC
ELSEWHERE = "pub-win"  # on Windows alone: locked by those who lock for every system
YOUNG, YANKED, BETA, OTHER_PYTHON = "pub-11", "pub-12", "pub-13", "pub-14"
WITH_SDIST = ("pub-21", "pub-22", "pub-23")
SDISTS = ("pub-54", "pub-55")  # without a wheel
# Those that nothing else needs, by name: what a project says of other indexes alone.
PUBLIC_ROOTS = ("pub-01[more]>=1,<2", f'{ELSEWHERE} ; sys_platform == "win32"', *SDISTS)
ROOTS = ("acme-app", "house-tool", *PUBLIC_ROOTS)
POLICY = """
[origin]
private = ["acme"]
[cooldown]
age = "3d"
"""
TOOL = {
    "house_tool.py": b"import pub_02\n\ndef main():\n    print('the tool runs with', pub_02.version)\n",
    "house_tool-0.3.dist-info/entry_points.txt": b"[console_scripts]\nhouse-tool = house_tool:main\n",
}


def needed(number: int) -> list[str]:
    """What a public project needs: the two below it in a tree, and of the first one more with an extra."""
    below = [f"pub-{child:02}>=1,<2" for child in (2 * number, 2 * number + 1) if child < 52]
    if number == 1:
        below += ['pub-52<2 ; extra == "more"', 'pub-53<2 ; python_version < "4"']
    return below


def fill(upstream: FakeUpstream, folder: Path) -> None:
    """The public projects, in releases of which 1.1 is the right one, and a name of ours with a higher version."""
    for number, name in enumerate(PUBLIC, 1):
        fields: dict[str, Any] = {"requires_dist": needed(number), "requires_python": ">=3.8"}
        fields |= {"provides_extra": "more"} if number == 1 else {}
        for version in ("1.0", "1.1", "2.0"):
            if name not in SDISTS:
                _add(upstream, make_wheel(folder, name, version, **fields), number % 7 > 0)
            if name in (*WITH_SDIST, *SDISTS) and version != "2.0":
                _add(upstream, make_sdist(folder, name, version, **fields))
    add_young(upstream, folder, YOUNG)
    _add(upstream, make_wheel(folder, YANKED, "1.2"), yanked="It loses data.")
    _add(upstream, make_wheel(folder, BETA, "1.2b1"))
    _add(upstream, make_wheel(folder, OTHER_PYTHON, "1.2", requires_python=">=4"), **{"requires-python": ">=4"})
    _add(upstream, make_wheel(folder, ELSEWHERE, "1.1"))
    _add(upstream, make_wheel(folder, "house-tool", "9.9"))


def add_young(upstream: FakeUpstream, folder: Path, name: str) -> str:
    """A release 1.2 that is of this moment; returns the name of its file."""
    wheel = make_wheel(folder, name, "1.2")
    _add(upstream, wheel, **{"upload-time": text_of(time.time())})
    return wheel.name


def _add(upstream: FakeUpstream, path: Path, metadata: bool = False, **entry: Any) -> None:
    """A file, with its metadata beside it if it is a wheel that should have some."""
    if not metadata:
        upstream.add(path.name, path.read_bytes(), **{"requires-python": ">=3.8", **entry})
        return
    with zipfile.ZipFile(path) as archive:
        [member] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        core = archive.read(member)
    told = {"core-metadata": {"sha256": sha256(core).hexdigest()}, "requires-python": ">=3.8"}
    added = upstream.add(path.name, path.read_bytes(), **told, **entry)
    upstream.tell(f"{added['url'].removeprefix(upstream.base)}.metadata", Answer(core))


@contextmanager
def behind(upstream: FakeUpstream, folder: Path) -> Iterator[Server]:
    """An index of ours with the five that are our own, which asks the other one for the rest."""
    packages = folder / "data" / "packages"
    packages.mkdir(parents=True)
    (folder / "data" / "policy.toml").write_text(POLICY)
    make_wheel(packages, "acme-app", "1.0", requires_dist=["acme-core>=1", "acme-db[fast]", "pub-03>=1,<2"])
    make_wheel(packages, "acme-core", "1.0")
    make_wheel(packages, "acme-core", "1.2", requires_dist=["acme-log", "pub-04<2"])
    make_wheel(packages, "acme-db", "1.0", provides_extra="fast", requires_dist='pub-21<2 ; extra == "fast"')
    make_wheel(packages, "acme-log", "2.0")
    make_sdist(packages, "acme-log", "2.0")
    make_wheel(packages, "house-tool", "0.3", files=TOOL, requires_dist="pub-02<2")
    with running("folder", folder, UPSTREAM=upstream.url) as server:
        until(lambda: all(server.files(name) for name in OWN), "our own packages")
        yield server
