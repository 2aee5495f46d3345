"""Two indexes of ours: one with packages for everybody, the other one with our own, which asks the first one.

Somebody has put packages under names of ours into the first one, with higher versions; and one release there is new.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.builders import make_sdist, make_wheel
from tests.support.live import Server, running
from tests.support.waiting import until

MONTH = 30 * 86400
POLICY = """
[origin]
private = ["acme"]
denied = ["leftpad"]
[cooldown]
age = "3d"
"""
# A package with a command.
TOOL = {
    "pub_tool.py": b"def main():\n    print('the tool runs')\n",
    "pub_tool-1.0.dist-info/entry_points.txt": b"[console_scripts]\npub-tool = pub_tool:main\n",
}
# What every client has to find of acme-app: ours in our versions, theirs in the newest that is not held.
WANTED = {
    **{"acme-app": "1.0", "acme-core": "1.0", "acme-log": "1.0", "acme-db": "1.2", "house-tool": "0.1"},
    **{"pub-web": "2.0", "pub-core": "1.1", "pub-young": "1.0"},
}


@contextmanager
def public(folder: Path) -> Iterator[Server]:
    """The first index."""
    packages = folder / "data" / "packages"
    packages.mkdir(parents=True)
    files = [
        make_wheel(packages, "pub-web", "2.0", requires_dist="pub-core>=1", requires_python=">=3.8"),
        make_wheel(packages, "pub-core", "1.0"),
        make_wheel(packages, "pub-core", "1.1"),
        make_sdist(packages, "pub-core", "1.1"),
        make_wheel(packages, "pub-young", "1.0"),
        make_wheel(packages, "pub-tool", "1.0", files=TOOL, requires_dist="pub-core"),
        make_wheel(packages, "acme-core", "9.9"),
        make_wheel(packages, "house-tool", "9.9"),
    ]
    for path in files:
        os.utime(path, (time.time() - MONTH,) * 2)
    make_wheel(packages, "pub-young", "2.0")
    with running("folder", folder) as server:
        until(lambda: server.page("pub-young"), "the first index to have its packages")
        yield server


@contextmanager
def behind(other: Server, folder: Path, policy: str = POLICY) -> Iterator[Server]:
    """The second index, with five packages of our own; the folder may be that of an earlier one."""
    data = folder / "data"
    if not data.exists():
        (data / "packages").mkdir(parents=True)
        (data / "policy.toml").write_text(policy)
        needed = ["acme-core", "acme-log>=1", "acme-db>=1", "house-tool", "pub-web", "pub-young"]
        make_wheel(data / "packages", "acme-app", "1.0", requires_dist=needed)
        make_wheel(data / "packages", "acme-core", "1.0", requires_dist="pub-core")
        make_wheel(data / "packages", "acme-log", "1.0")
        make_wheel(data / "packages", "acme-db", "1.2")
        make_wheel(data / "packages", "house-tool", "0.1")
    (folder / "server.log").unlink(missing_ok=True)  # it names the address of an earlier start
    with running("folder", folder, UPSTREAM=other.index) as server:
        until(lambda: server.page("house-tool").get("files"), "our own packages")
        yield server
