"""Lock files that uv and poetry have made, fetched by command, carried over a gap, and installed on the other side."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environments import run
from tests.support.install import install, installed
from tests.support.live import PASSWORD, USER, Server, running
from tests.support.serving import run as command
from tests.support.two_indexes import public

INSIDE = '[upstream.main]\nurl = "https://nobody.example/simple/"\noffline = true\n'
PROJECT = """
[project]
name = "consumer"
version = "1.0"
requires-python = ">=3.11,<3.15"
dependencies = ["pub-web", "pub-young"]
"""
# pub-web needs pub-core, of which 1.1 is the newest; pub-young 2.0 is too young for our policy.
LOCKED = {"pub-web": "2.0", "pub-core": "1.1", "pub-young": "1.0"}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with public(tmp_path_factory.mktemp("other")) as server:
        yield server


@pytest.fixture(scope="module")
def locks(other: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Lock files that were made of the other index itself, with the young release in them."""
    folder = tmp_path_factory.mktemp("locks")
    return {name: make(folder, other) for name, make in MAKERS.items()}


def uv(folder: Path, other: Server, *arguments: str) -> Path:
    folder = folder / "uv"
    folder.mkdir(exist_ok=True)
    index = f'[[tool.uv.index]]\nname = "other"\nurl = "{other.simple}"\ndefault = true\n'
    (folder / "pyproject.toml").write_text(PROJECT + index)
    login = {"UV_INDEX_OTHER_USERNAME": USER, "UV_INDEX_OTHER_PASSWORD": PASSWORD}
    run("uv", *(arguments or ("lock",)), home=folder / "home", folder=folder, **login)
    return folder


def uv_lock(folder: Path, other: Server) -> Path:
    return uv(folder, other) / "uv.lock"


def pylock(folder: Path, other: Server) -> Path:
    export = "export", "--format", "pylock.toml", "--no-emit-project", "-o", "pylock.toml"
    return uv(folder, other, *export) / "pylock.toml"


def requirements(folder: Path, other: Server) -> Path:
    return uv(folder, other, "export", "--no-emit-project", "-o", "requirements.txt") / "requirements.txt"


def poetry_lock(folder: Path, other: Server) -> Path:
    folder = folder / "poetry"
    folder.mkdir()
    source = f'[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = "private"\nurl = "{other.simple}"\n'
    (folder / "pyproject.toml").write_text(PROJECT + source)
    login = {"POETRY_HTTP_BASIC_PRIVATE_USERNAME": USER, "POETRY_HTTP_BASIC_PRIVATE_PASSWORD": PASSWORD}
    run("poetry", "lock", "--no-interaction", home=folder / "home", folder=folder, **login)
    return folder / "poetry.lock"


def pdm_lock(folder: Path, other: Server) -> Path:
    folder = folder / "pdm"
    folder.mkdir()
    source = f'[tool.pdm]\ndistribution = false\n[[tool.pdm.source]]\nname = "pypi"\nurl = "{other.index}"\n'
    (folder / "pyproject.toml").write_text(PROJECT + source)
    run("pdm", "lock", home=folder / "home", folder=folder)
    return folder / "pdm.lock"


MAKERS = {
    "uv.lock": uv_lock,
    "pylock.toml": pylock,
    "requirements.txt": requirements,
    "poetry.lock": poetry_lock,
    "pdm.lock": pdm_lock,
}


def kept(data: Path) -> set[str]:
    return {path.name for path in (data / "upstream" / "files").glob("*/*")}


def outside(folder: Path, other: Server) -> Path:
    data = folder / "outside"
    (data / "packages").mkdir(parents=True)
    (data / "policy.toml").write_text('[cooldown]\nage = "3d"\n')
    return data


@pytest.mark.parametrize("name", MAKERS)
def test_a_lock_file_of_each_tool(name: str, locks: dict[str, Path], other: Server, tmp_path: Path) -> None:
    data = outside(tmp_path, other)
    options = "--data", str(data), "--upstream", other.index
    done = command("prefetch", "-r", str(locks[name]), *options)
    told = done.stdout + done.stderr
    assert done.returncode == 1, told
    [held] = re.findall("^refused: (.*)", done.stdout, re.MULTILINE)
    assert held.startswith("pub_young-2.0-py3-none-any.whl is held until ")
    core = [entry for file, entry in other.files("pub-core").items() if "-1.1" in file]
    entries = [*other.files("pub-web").values(), *core]
    assert len(entries) == 3
    metadata = {entry["core-metadata"]["sha256"] for entry in entries if "core-metadata" in entry}
    assert kept(data) == {entry["hashes"]["sha256"] for entry in entries} | metadata, told
    assert PASSWORD not in told


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_fetched_carried_and_installed_where_nobody_can_be_asked(client: str, other: Server, tmp_path: Path) -> None:
    data, stick = outside(tmp_path, other), tmp_path / "stick"
    lock = tmp_path / "requirements.txt"
    lock.write_text("".join(f"{name}=={version}\n" for name, version in LOCKED.items()))
    options = "--data", str(data), "--upstream", other.index
    done = command("prefetch", "-r", str(lock), "--platform", "manylinux_2_28_x86_64", "--python", "3.12", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    done = command("carry", "out", str(stick), *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD.encode() not in b"".join(path.read_bytes() for path in stick.rglob("*") if path.is_file())
    before = len(other.access_log.read_text().splitlines())
    inside = tmp_path / "inside"
    (inside / "data" / "packages").mkdir(parents=True)
    (inside / "data" / "policy.toml").write_text(INSIDE)
    with running("folder", inside) as server:
        done = command("carry", "in", str(stick), "--data", str(server.data))
        assert done.returncode == 0, done.stdout + done.stderr
        install(client, server, tmp_path, "pub-web", "pub-young")
        assert installed(tmp_path).items() >= LOCKED.items()
        install(client, server, tmp_path / "no", "pub-tool", fails=True)
    assert len(other.access_log.read_text().splitlines()) == before
