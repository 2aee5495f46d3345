"""A person with a browser: what Chromium shows of the pages, with and without credentials."""

from pathlib import Path
from urllib.parse import urljoin

from tests.support.browser import IN_A_BROWSER, SCREENSHOTS, look
from tests.support.builders import make_sdist, make_wheel
from tests.support.live import PASSWORD, USER, Server
from tests.support.publish import publish

pytestmark = IN_A_BROWSER


def test_browser_shows_the_root_and_a_project(server: Server, name: str, dist: Path, tmp_path: Path) -> None:
    wheel = make_wheel(dist, name, "1!1.0+local.1")
    sdist = make_sdist(dist, name, "1.0")
    publish("uv", server, tmp_path)
    root = look(server.simple, SCREENSHOTS / f"{server.family}-root.png", (USER, PASSWORD))
    assert root.status == 200
    assert root.links[name] == f"{server.simple}{name}/"
    project = look(server.simple, SCREENSHOTS / f"{server.family}-project.png", (USER, PASSWORD), click=name)
    assert project.status == 200
    addresses = {file: entry["url"] for file, entry in server.files(name).items()}
    assert set(addresses) == {wheel.name, sdist.name}
    assert {file: address.partition("#")[0] for file, address in project.links.items()} == {
        file: urljoin(f"{server.simple}{name}/", address) for file, address in addresses.items()
    }


def test_browser_without_credentials_sees_nothing(server: Server, name: str, dist: Path, tmp_path: Path) -> None:
    make_wheel(dist, name, "1.0")
    publish("uv", server, tmp_path)
    page = look(server.simple, SCREENSHOTS / f"{server.family}-unauthorized.png")
    assert page.status == 401
    assert page.links == {}
    assert name not in page.text
