"""Real clients with this index as their only one: packages of our own, and those of another index behind it.

The other index is one of ours too. It has public packages, one release that is too young, and what somebody has put
there under names of ours, with higher versions.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environments import new_venv, run
from tests.support.install import PIPS, install, installed, lock, pip
from tests.support.live import Server
from tests.support.two_indexes import WANTED, behind, public


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with public(tmp_path_factory.mktemp("other")) as server:
        yield server


@pytest.fixture(scope="module")
def ours(other: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with behind(other, tmp_path_factory.mktemp("ours")) as server:
        yield server


def test_uv_locks_addresses_of_this_index(ours: Server, other: Server, tmp_path: Path) -> None:
    assert lock("uv", ours, tmp_path, "acme-app") == {**WANTED, "consumer": "1.0"}
    urls = re.findall(r'url = "([^"]+)", hash', (tmp_path / "uv.lock").read_text())
    assert sorted(url.partition(ours.address)[2] for url in urls) == [
        "/packages/acme_app-1.0-py3-none-any.whl",
        "/packages/acme_core-1.0-py3-none-any.whl",
        "/packages/acme_db-1.2-py3-none-any.whl",
        "/packages/acme_log-1.0-py3-none-any.whl",
        "/packages/house_tool-0.1-py3-none-any.whl",
        "/upstream/main/packages/pub_core-1.1-py3-none-any.whl",
        "/upstream/main/packages/pub_core-1.1.tar.gz",
        "/upstream/main/packages/pub_web-2.0-py3-none-any.whl",
        "/upstream/main/packages/pub_young-1.0-py3-none-any.whl",
    ]
    assert installed(tmp_path).items() >= WANTED.items()
    for name in ("acme-app", "acme-core", "house-tool"):
        assert other.requests(f"/simple/{name}/") == []


@pytest.mark.parametrize("client", PIPS)
def test_pip_does_not_see_a_held_release_and_prints_the_status_of_its_address(
    client: str, ours: Server, tmp_path: Path
) -> None:
    told = install(client, ours, tmp_path, "pub-young==2.0", fails=True)
    assert "from versions: 1.0" in told
    address = ours.index.replace("/simple/", "/upstream/main/packages/pub_young-2.0-py3-none-any.whl")
    told = pip(client, "install", address, home=tmp_path / "home", folder=tmp_path, fails=True)
    assert "403" in told


def test_uv_does_not_go_on_to_another_index_for_a_name_that_is_ours_or_denied(
    ours: Server, other: Server, tmp_path: Path
) -> None:
    new_venv(tmp_path / ".venv")
    python = str(tmp_path / ".venv" / "bin" / "python")
    options = ["pip", "install", "--python", python, "--index", ours.index, "--default-index", other.index]
    told = run("uv", *options, "acme-core==9.9", home=tmp_path / "home", folder=tmp_path, fails=True)
    assert "acme-core" in told
    assert installed(tmp_path) == {}


def test_what_is_kept_goes_on_when_the_other_index_is_gone(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("other", "ours", "first", "second", "third")}
    for folder in folders.values():
        folder.mkdir()
    with public(folders["other"]) as other, behind(other, folders["ours"]) as ours:
        install("uv", ours, folders["first"], "acme-app")
    with behind(other, folders["ours"]) as ours:
        install("uv", ours, folders["second"], "acme-app")
        assert installed(folders["second"]).items() >= WANTED.items()
        install("pip", ours, folders["third"], "acme-log")
        told = install("uv", ours, folders["third"], "pub-unknown", fails=True)
        assert "503" in told
        assert other.address not in told
