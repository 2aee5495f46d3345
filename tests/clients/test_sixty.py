"""A project of 60 dependencies, locked and installed by every client that has this index alone.

Five of them are ours, and one of these names is that of another project elsewhere, with a higher version.
"""

import re
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from elasticpypi.core.moments import text_of
from tests.support import sixty
from tests.support.application import basic
from tests.support.environments import run
from tests.support.fake_upstream import FakeUpstream, fake_upstream
from tests.support.install import LOCKERS, SDISTS, installed, lock, project
from tests.support.live import PASSWORD, USER, Server
from tests.support.serving import run as command
from tests.support.waiting import until

RARE = "pub-rare"  # of no dependency: what is done about it is seen by no other test


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeUpstream]:
    with fake_upstream() as upstream:
        sixty.fill(upstream, tmp_path_factory.mktemp("other"))
        yield upstream


@pytest.fixture(scope="module")
def ours(other: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sixty.behind(other, tmp_path_factory.mktemp("ours")) as server:
        yield server


def private_names_asked(other: FakeUpstream) -> list[str]:
    """What the other index was asked that says a name of ours, or asks for all names."""
    words = re.compile(r"acme|house|^/simple/?$")
    return [request.path for request in other.asked() if words.search(request.path)]


@pytest.mark.parametrize("client", LOCKERS)
def test_every_client_locks_and_installs_the_same(
    client: str, ours: Server, other: FakeUpstream, tmp_path: Path
) -> None:
    left_out = sixty.SDISTS if client in SDISTS else ()
    wanted = {name: version for name, version in sixty.SIXTY.items() if name not in left_out}
    locked = lock(client, ours, tmp_path, *(root for root in sixty.ROOTS if root not in left_out))
    locked.pop("consumer", "")
    assert locked.pop(sixty.ELSEWHERE, "1.1") == "1.1"
    assert locked == wanted
    assert installed(tmp_path) == wanted
    assert private_names_asked(other) == []


def test_uv_exports_what_it_has_locked_and_runs_a_tool_of_ours(
    ours: Server, other: FakeUpstream, tmp_path: Path
) -> None:
    login = project("uv", ours.simple, tmp_path, *sixty.ROOTS)
    where = {"home": tmp_path / "home", "folder": tmp_path}
    run("uv", "lock", **where, **login)
    told = run("uv", "export", "--frozen", "--no-emit-project", **where)
    exported = dict(re.findall(r"^([\w-]+)==(\S+)", told, re.MULTILINE))
    assert exported == sixty.SIXTY | {sixty.ELSEWHERE: "1.1"}
    told = run("uv", "tool", "run", "--default-index", ours.index, "house-tool", **where)
    assert "the tool runs with 1.1" in told
    assert private_names_asked(other) == []


def test_a_lock_of_the_other_index_differs_by_one_prefix(ours: Server, other: FakeUpstream, tmp_path: Path) -> None:
    """Both are made on their own; of what is held here, the newest release is left out there by hand."""
    locks = []
    for name, simple in (("ours", ours.simple), ("other", other.url)):
        folder = tmp_path / name
        login = project("uv", simple, folder, *sixty.PUBLIC_ROOTS, f"{sixty.YOUNG}<1.2")
        run("uv", "lock", home=folder / "home", folder=folder, **login)
        locks.append((folder / "uv.lock").read_text())
    mine, theirs = locks
    assert mine.count(f'"{ours.address}/upstream/main/packages/') > 50
    assert mine.replace(f"{ours.address}/upstream/main/", f"{other.base}/").replace(ours.simple, other.url) == theirs


def test_a_lock_with_a_held_release_is_a_403_that_why_explains_and_an_exemption_ends(
    ours: Server, other: FakeUpstream, tmp_path: Path
) -> None:
    held = sixty.add_young(other, tmp_path, RARE)
    where = {"home": tmp_path / "home", "folder": tmp_path}
    project("uv", other.url, tmp_path, f"{RARE}==1.2")
    run("uv", "lock", **where)
    lock_file = tmp_path / "uv.lock"
    text = lock_file.read_text().replace(f"{other.base}/", f"{ours.address}/upstream/main/")
    lock_file.write_text(text.replace(other.url, ours.simple))
    login = project("uv", ours.simple, tmp_path, f"{RARE}==1.2")
    told = run("uv", "sync", "--frozen", fails=True, **where, **login)
    assert "403" in told
    assert held in told
    [address] = re.findall(r'url = "([^"]+)", hash', lock_file.read_text())
    with pytest.raises(urllib.error.HTTPError) as refused:
        ours.get(address, {"Authorization": basic(f"{USER}:{PASSWORD}")})
    assert f"{held} is held until".encode() in refused.value.read()

    told = command("why", f"{RARE}==1.2", "--data", str(ours.data)).stdout
    assert f"{held} is held until" in told
    remedy = f"elasticpypi exempt {RARE}==1.2 --until DATE --reason TEXT"
    assert remedy in told
    tomorrow = text_of(time.time() + 86400)[:10]
    done = command("exempt", f"{RARE}==1.2", "--until", tomorrow, "--reason", "INC-42", "--data", str(ours.data))
    assert done.returncode == 0, done.stderr

    def let_in() -> bool:
        """Each process of the index looks at exemptions again after a moment."""
        try:
            return bool(run("uv", "sync", "--frozen", **where, **login))
        except AssertionError:
            return False

    until(let_in, "the exemption")
    assert installed(tmp_path) == {RARE: "1.2"}
