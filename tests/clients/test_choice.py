"""Which release the installers take: what the pages say about each file, as they understand it."""

import hashlib
import re
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.builders import make_wheel
from tests.support.install import INSTALLERS, PIPS, install, installed, pip
from tests.support.live import Server
from tests.support.publish import publish
from tests.support.waiting import until

REASON = 'loses "data" & more'
TELL_THE_REASON = ("pip", "oldest pip", "uv", "poetry")  # pdm and pipenv install a yanked pin without a word


@pytest.mark.parametrize("client", INSTALLERS)
def test_skips_a_release_for_another_python(client: str, server: Server, name: str, dist: Path, tmp_path: Path) -> None:
    make_wheel(dist, name, "1.0", requires_python=">=3.8,<4")
    make_wheel(dist, name, "2.0", requires_python=">=99")
    publish("uv", server, tmp_path)
    install(client, server, tmp_path, f"{name}>=1")  # "poetry add" chooses a bare name's version by itself
    assert installed(tmp_path)[name] == "1.0"


@pytest.mark.parametrize("client", INSTALLERS)
def test_avoids_a_yanked_release(client: str, server: Server, name: str, dist: Path, tmp_path: Path) -> None:
    _publish_and_yank(server, name, dist)
    install(client, server, tmp_path, name)
    assert installed(tmp_path)[name] == "1.0"


@pytest.mark.parametrize("client", INSTALLERS)
def test_installs_a_yanked_release_that_is_pinned(
    client: str, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    _publish_and_yank(server, name, dist)
    told = install(client, server, tmp_path, f"{name}==2.0")
    assert installed(tmp_path)[name] == "2.0"
    assert (REASON in told) == (client in TELL_THE_REASON)


def _publish_and_yank(server: Server, name: str, dist: Path) -> None:
    make_wheel(dist, name, "1.0")
    wheel = make_wheel(dist, name, "2.0")
    publish("uv", server, dist.parent)
    server.put(f"{wheel.name}.yanked", REASON.encode())
    until(lambda: server.files(name)[wheel.name].get("yanked") == REASON, "the reason on the page")


@pytest.mark.parametrize("client", [*PIPS, "uv"])
def test_installs_with_hashes_and_refuses_wrong_ones(
    client: str, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    digest = hashlib.sha256(make_wheel(dist, name, "1.0").read_bytes()).hexdigest()
    publish("uv", server, tmp_path)
    wanted = tmp_path / "requirements.txt"
    wanted.write_text(f"{name}==1.0 --hash=sha256:{'0' * 64}\n")
    options = ("--require-hashes", "-r", str(wanted))
    assert re.search("(?i)hash", install(client, server, tmp_path, options=options, fails=True))
    wanted.write_text(f"{name}==1.0 --hash=sha256:{digest}\n")
    install(client, server, tmp_path, options=options)
    assert installed(tmp_path)[name] == "1.0"


@pytest.mark.parametrize(("client", "option"), [("pip", "--uploaded-prior-to"), ("uv", "--exclude-newer")])
def test_takes_what_was_there_at_a_time(
    client: str, option: str, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    first = make_wheel(dist, name, "1.0").name
    publish("uv", server, tmp_path)
    first_time = datetime.fromisoformat(server.files(name)[first]["upload-time"])
    # S3 counts whole seconds.
    until(lambda: int(time.time()) > first_time.timestamp(), "the next second")
    second = make_wheel(dist, name, "2.0").name
    publish("uv", server, tmp_path)
    second_time = server.files(name)[second]["upload-time"]
    install(client, server, tmp_path, name, options=(option, second_time))
    assert installed(tmp_path)[name] == "1.0"
    install(client, server, tmp_path / "long ago", name, options=(option, "2020-01-01T00:00:00Z"), fails=True)


def test_pip_lists_the_versions(server: Server, name: str, dist: Path, tmp_path: Path) -> None:
    for version in ("1.0", "2.0", "2.1rc1", "1.0+local"):
        make_wheel(dist, name, version)
    publish("uv", server, tmp_path)
    install("pip", server, tmp_path, f"{name}==1.0")
    command = ["index", "versions", "--index-url", server.index, name]
    told = pip("pip", *command, home=tmp_path / "home", folder=tmp_path)
    assert "Available versions: 2.0, 1.0+local, 1.0\n" in told
    assert "INSTALLED: 1.0" in told
