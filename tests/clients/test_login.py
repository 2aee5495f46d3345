"""Credentials: where the installers find them, and what happens without the right ones."""

from pathlib import Path

import pytest

from tests.support.builders import make_wheel
from tests.support.install import PIPS, install, installed
from tests.support.live import PASSWORD, USER, Server
from tests.support.publish import publish


@pytest.mark.parametrize("client", [*PIPS, "uv"])
def test_credentials_come_from_netrc(client: str, server: Server, name: str, dist: Path, tmp_path: Path) -> None:
    make_wheel(dist, name, "1.0")
    publish("uv", server, tmp_path)
    (tmp_path / "home" / ".netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    install(client, server, tmp_path, name, index=server.simple)
    assert installed(tmp_path)[name] == "1.0"


@pytest.mark.parametrize("client", [*PIPS, "uv"])
def test_wrong_password_installs_nothing(client: str, server: Server, name: str, dist: Path, tmp_path: Path) -> None:
    make_wheel(dist, name, "1.0")
    publish("uv", server, tmp_path)
    index = server.simple.replace("://", f"://{USER}:wrong@")
    install(client, server, tmp_path, name, index=index, fails=True)
    assert server.requests(f"/simple/{name}/")[0] == "GET 401"
