"""Every client that publishes: wheel and sdist, the same bytes again, other bytes."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.live import Server
from tests.support.publish import PUBLISHERS, publish, write_project

# What each shows of the answer to other bytes: pdm and flit nothing but the status. hatch asks first what is
# there and skips it by its name, which is no error to it.
REFUSED = {
    "twine": "File already exists: ",
    "uv": "Server says: 409 File already exists: ",
    "poetry": "File already exists: ",
    "pdm": "409 Conflict",
    "hatch": " ... already exists",
    "flit": "409 Client Error",
}


@pytest.mark.parametrize("client", PUBLISHERS)
def test_publishes_wheel_and_sdist(client: str, server: Server, name: str, tmp_path: Path) -> None:
    write_project(client, tmp_path, name, "first")
    publish(client, server, tmp_path)
    assert len(_digests(tmp_path)) == 2
    assert _listed(server, name) == _digests(tmp_path)


@pytest.mark.parametrize("client", PUBLISHERS)
def test_publishes_the_same_again_but_nothing_else(client: str, server: Server, name: str, tmp_path: Path) -> None:
    write_project(client, tmp_path, name, "first")
    publish(client, server, tmp_path)
    before = server.page(name)
    publish(client, server, tmp_path)
    write_project(client, tmp_path, name, "other")
    assert REFUSED[client] in publish(client, server, tmp_path, fails=client != "hatch")
    assert server.page(name) == before


@pytest.mark.parametrize("client", PUBLISHERS)
def test_wrong_password_publishes_nothing(client: str, server: Server, name: str, tmp_path: Path) -> None:
    write_project(client, tmp_path, name, "first")
    assert "401" in publish(client, server, tmp_path, fails=True, password="pa")
    assert server.page(name) == {}


def test_uv_with_check_url_uploads_what_is_missing(server: Server, name: str, tmp_path: Path) -> None:
    write_project("uv", tmp_path, name, "first")
    wheel = next(tmp_path.glob("dist/*.whl"))
    kept = wheel.rename(tmp_path / wheel.name)
    publish("uv", server, tmp_path, check_url=True)
    kept.rename(wheel)
    told = publish("uv", server, tmp_path, check_url=True)
    assert f"{name.replace('-', '_')}-1.0.tar.gz already exists, skipping" in told
    assert _listed(server, name) == _digests(tmp_path)


def test_uv_with_check_url_refuses_other_bytes(server: Server, name: str, tmp_path: Path) -> None:
    write_project("uv", tmp_path, name, "first")
    publish("uv", server, tmp_path)
    write_project("uv", tmp_path, name, "other")
    assert "Local file and index file do not match" in publish("uv", server, tmp_path, check_url=True, fails=True)


def test_one_of_several_at_the_same_time_wins(server: Server, name: str, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(8)]
    for folder in folders:
        write_project("uv", folder, name, folder.name)
        next(folder.glob("dist/*.tar.gz")).unlink()

    def succeeds(folder: Path) -> bool:
        try:
            publish("uv", server, folder)
        except AssertionError as refused:
            if REFUSED["uv"] not in str(refused):
                raise
            return False
        return True

    with ThreadPoolExecutor(len(folders)) as pool:
        winners = [folder for folder, won in zip(folders, pool.map(succeeds, folders), strict=True) if won]
    assert len(winners) == 1
    assert _listed(server, name) == _digests(winners[0])


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("dist/*")}


def _listed(server: Server, name: str) -> dict[str, str]:
    return {file: entry["hashes"]["sha256"] for file, entry in server.files(name).items()}
