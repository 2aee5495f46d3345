"""Every client that installs, from this index alone."""

from pathlib import Path

import pytest

from tests.support.builders import make_sdist, make_wheel
from tests.support.install import INSTALLERS, SDISTS, failing, install, installed
from tests.support.live import Server
from tests.support.publish import publish


@pytest.mark.parametrize("client", failing(INSTALLERS, SDISTS))
def test_installs_a_wheel_and_the_sdist_that_it_needs(
    client: str, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    make_wheel(dist, name, "1.0", requires_dist=f"{name}-needed")
    make_sdist(dist, f"{name}-needed", "2.0")
    publish("uv", server, tmp_path)
    install(client, server, tmp_path, name)
    assert installed(tmp_path).items() >= {name: "1.0", f"{name}-needed": "2.0"}.items()


@pytest.mark.parametrize("client", INSTALLERS)
def test_installs_what_an_extra_asks_for(client: str, server: Server, name: str, dist: Path, tmp_path: Path) -> None:
    make_wheel(dist, name, "1.0", provides_extra="more", requires_dist=f'{name}-more ; extra == "more"')
    make_wheel(dist, f"{name}-more", "2.0")
    publish("uv", server, tmp_path)
    install(client, server, tmp_path, f"{name}[more]")
    assert installed(tmp_path).items() >= {name: "1.0", f"{name}-more": "2.0"}.items()


@pytest.mark.parametrize("version", ["1.0+local.1", "1!2.0"])
@pytest.mark.parametrize("client", INSTALLERS)
def test_installs_a_version_with_a_sign_in_it(
    client: str, version: str, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    make_wheel(dist, name, version)
    publish("twine", server, tmp_path)
    install(client, server, tmp_path, f"{name}=={version}")
    assert installed(tmp_path)[name] == version
