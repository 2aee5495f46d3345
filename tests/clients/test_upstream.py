"""Real clients with this index as their only one: packages of our own, and those of another index behind it.

The other index is one of ours too. It has public packages, one release that is too young, and what somebody has put
there under names of ours, with higher versions.
"""

import re
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.application import basic
from tests.support.environments import new_venv, run
from tests.support.install import INSTALLERS, PIPS, install, installed, pip
from tests.support.live import PASSWORD, USER, Server
from tests.support.two_indexes import WANTED, behind, public

LOGIN = basic(f"{USER}:{PASSWORD}")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with public(tmp_path_factory.mktemp("other")) as server:
        yield server


@pytest.fixture(scope="module")
def ours(other: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with behind(other, tmp_path_factory.mktemp("ours")) as server:
        yield server


def project(folder: Path, index: str, *dependencies: str) -> Path:
    """A project for uv that knows this index alone."""
    folder.mkdir(exist_ok=True)
    listed = ", ".join(f'"{each}"' for each in dependencies)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "consumer"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = [{listed}]\n'
        f'[[tool.uv.index]]\nname = "ours"\nurl = "{index}"\ndefault = true\n'
    )
    return folder


def uv(folder: Path, *arguments: str, fails: bool = False) -> str:
    login = {"UV_INDEX_OURS_USERNAME": USER, "UV_INDEX_OURS_PASSWORD": PASSWORD}
    return run("uv", *arguments, home=folder / "home", folder=folder, fails=fails, **login)


@pytest.mark.parametrize("client", INSTALLERS)
def test_one_index_is_enough_and_our_names_win(client: str, ours: Server, other: Server, tmp_path: Path) -> None:
    install(client, ours, tmp_path, "acme-app")
    assert installed(tmp_path).items() >= WANTED.items()
    for name in ("acme-app", "acme-core", "house-tool"):
        assert other.requests(f"/simple/{name}/") == []


def test_uv_locks_syncs_and_exports(ours: Server, other: Server, tmp_path: Path) -> None:
    folder = project(tmp_path, ours.simple, "acme-app")
    uv(folder, "lock")
    lock = (folder / "uv.lock").read_text()
    found = dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"', lock, re.MULTILINE))
    assert found == {**WANTED, "consumer": "1.0"}
    urls = re.findall(r'url = "([^"]+)", hash', lock)
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
    uv(folder, "sync", "--frozen")
    assert installed(folder).items() >= WANTED.items()
    told = uv(folder, "export", "--frozen", "--no-emit-project")
    assert {line.partition(" ")[0] for line in told.splitlines() if "==" in line} == {
        f"{name}=={version}" for name, version in WANTED.items()
    }


def test_uv_runs_a_tool(ours: Server, tmp_path: Path) -> None:
    told = run("uv", "tool", "run", "--default-index", ours.index, "pub-tool", home=tmp_path / "home", folder=tmp_path)
    assert "the tool runs" in told


def test_locks_of_both_indexes_differ_by_one_prefix(ours: Server, other: Server, tmp_path: Path) -> None:
    locks = []
    for number, server in enumerate((ours, other)):
        folder = project(tmp_path / str(number), server.simple, "pub-web", "pub-young==1.0")
        uv(folder, "lock")
        locks.append((folder / "uv.lock").read_text())
    mine, theirs = locks
    assert mine.replace(f"{ours.address}/upstream/main/", f"{other.address}/").replace(ours.simple, other.simple) == (
        theirs
    )


def test_a_lock_file_with_a_held_release_is_refused_with_403(ours: Server, other: Server, tmp_path: Path) -> None:
    folder = project(tmp_path, other.simple, "pub-young==2.0")
    uv(folder, "lock")
    lock = folder / "uv.lock"
    text = lock.read_text().replace(f"{other.address}/packages", f"{ours.address}/upstream/main/packages")
    lock.write_text(text.replace(other.simple, ours.simple))
    project(tmp_path, ours.simple, "pub-young==2.0")
    told = uv(folder, "sync", "--frozen", fails=True)
    assert "403" in told
    assert "pub_young-2.0-py3-none-any.whl" in told
    address = f"{ours.address}/upstream/main/packages/pub_young-2.0-py3-none-any.whl"
    with pytest.raises(urllib.error.HTTPError) as refused:
        ours.get(address, {"Authorization": LOGIN})
    assert refused.value.code == 403
    assert b"pub_young-2.0-py3-none-any.whl is held until" in refused.value.read()


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
