"""Files on their way out of the store: digests, caches, and what is put straight into it."""

import hashlib
from pathlib import Path

import pytest

from tests.support.builders import make_sdist, make_wheel
from tests.support.environments import new_venv
from tests.support.install import PIPS, SDISTS, failing, install, installed, pip
from tests.support.live import Server
from tests.support.publish import publish
from tests.support.waiting import until

# More than a Lambda can answer, so that S3 serves it; it does not compress.
LARGE = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(160_000))


@pytest.mark.parametrize("client", PIPS)
@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_download_of_a_wheel_gives_the_bytes_that_were_uploaded(
    size: int, client: str, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(dist, name, "1.0", files={"large.bin": LARGE[:size]})
    publish("uv", server, tmp_path)
    _download(client, server, name, tmp_path, tmp_path / "got")
    assert (tmp_path / "got" / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("client", failing(PIPS, SDISTS))
def test_download_of_an_sdist_gives_the_bytes_that_were_uploaded(
    client: str, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    sdist = make_sdist(dist, name, "1.0")
    publish("uv", server, tmp_path)
    _download(client, server, name, tmp_path, tmp_path / "got")
    assert (tmp_path / "got" / sdist.name).read_bytes() == sdist.read_bytes()


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_second_download_of_pip_comes_from_its_cache(
    size: int, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(dist, name, "1.0", files={"large.bin": LARGE[:size]})
    publish("uv", server, tmp_path)
    for target in (tmp_path / "first", tmp_path / "second"):
        _download("pip", server, name, tmp_path, target)
        assert (target / wheel.name).read_bytes() == wheel.read_bytes()
        assert _transfers(server, wheel.name) == 1
    assert server.requests(f"/simple/{name}/") == ["GET 200", "GET 304"]


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_second_install_of_uv_comes_from_its_cache(
    size: int, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(dist, name, "1.0", files={"large.bin": LARGE[:size]})
    publish("uv", server, tmp_path)
    for _ in range(2):
        install("uv", server, tmp_path, name)
        assert installed(tmp_path)[name] == "1.0"
        assert _transfers(server, wheel.name) == 1
    assert server.requests(f"/simple/{name}/") == ["GET 200", "GET 304"]


def _download(client: str, server: Server, name: str, folder: Path, target: Path) -> None:
    # pip keeps nothing from a plain http address that it was not told to trust.
    options = ["--index-url", server.index, "--trusted-host", "127.0.0.1"]
    command = ["download", "--no-deps", *options, "--dest", str(target), name]
    new_venv(folder / ".venv")
    pip(client, *command, home=folder / "home", folder=folder)


def _transfers(server: Server, filename: str) -> int:
    """How often the whole file went to a client: from the server, or by a signed link from S3."""
    return server.requests(f"/packages/{filename}").count("GET 200") + server.signed_requests(filename)


def test_file_put_straight_into_the_store_appears_and_goes(
    server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(dist, name, "1.0")
    server.put(wheel.name, wheel.read_bytes())
    until(lambda: server.files(name), "the file on the page", seconds=2)
    install("pip", server, tmp_path, name)
    assert installed(tmp_path)[name] == "1.0"
    server.remove(wheel.name)
    until(lambda: not server.files(name), "the file to go", seconds=2)
    assert "No matching distribution" in install("pip", server, tmp_path / "later", name, fails=True)
