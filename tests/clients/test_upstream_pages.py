"""A person who browses an index that asks another one: what Chromium shows, and who is asked while one types."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from elasticpypi.core import exemptions, ruling
from elasticpypi.core.moments import text_of
from elasticpypi.core.ruling import Ruling
from tests.support.browser import IN_A_BROWSER, SCREENSHOTS, chromium, problems
from tests.support.live import PASSWORD, USER, Server
from tests.support.two_indexes import POLICY, behind, public
from tests.support.waiting import until

pytestmark = IN_A_BROWSER

# What the picture is called, where it is, and its status.
PAGES = {
    "home": ("/", 200),
    "search": ("/search?q=pub", 200),
    "project": ("/project/pub-web/", 200),
    "held": ("/project/pub-young/", 200),
    "held-release": ("/project/pub-young/2.0/", 403),
    "blocked-release": ("/project/pub-core/", 200),
    "denied": ("/project/leftpad/", 200),
    "empty": ("/project/acme-empty/", 200),
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with public(tmp_path_factory.mktemp("other")) as server:
        yield server


@pytest.fixture(scope="module")
def ours(other: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a release that is blocked, and one that is exempt; what the search finds was asked for."""
    with behind(other, tmp_path_factory.mktemp("ours"), POLICY) as server:
        tomorrow = text_of(time.time() + 86400)
        for key, value in (("policy/blocks/pub-core==1", "blocked"), (exemptions.parse("pub-core==1.1").key, tomorrow)):
            path = server.data / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(ruling.dump(Ruling(value, "INC-42", "boss", "2026-11-30T12:00:00Z")))
        for name in ("pub-web", "pub-young"):
            assert server.page(name)
        until(lambda: "_held" in server.page("pub-core"), "the block")
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits(ours: Server, browser: Browser, scheme: str, width: int) -> None:
    for name, (path, status) in PAGES.items():
        context = browser.new_context(
            http_credentials={"username": USER, "password": PASSWORD},
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
        )
        page = context.new_page()
        answer = page.goto(f"{ours.address}{path}")
        assert answer is not None
        assert answer.status == status, name
        assert problems(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        picture = SCREENSHOTS / "upstream" / f"{name}-{width}-{scheme}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=picture, full_page=True)
        context.close()


def test_nobody_is_asked_while_one_types(ours: Server, other: Server, browser: Browser) -> None:
    context = browser.new_context(http_credentials={"username": USER, "password": PASSWORD})
    page = context.new_page()
    page.goto(f"{ours.address}/")
    asked = _asked(other)
    box = page.get_by_role("combobox", name="Search projects")
    box.press_sequentially("pub-y")
    option = page.locator("#suggestions").get_by_role("option", name="pub-young")
    option.wait_for()
    assert option.inner_text().split("\n") == ["pub-young", "from the index main"]
    box.press_sequentially("nothing")
    until(lambda: page.locator("#suggestions").get_by_role("option").count() == 0, "the last suggestions")
    assert _asked(other) == asked
    box.fill("pub-young")
    option.click()
    page.wait_for_url("**/project/pub-young/")
    assert page.get_by_role("link", name="The policy of this index").get_attribute("href") == "#policy"
    assert page.get_by_text("is held until").count() == 1
    context.close()


def _asked(server: Server) -> list[str]:
    """All that was asked of an index, but for its health."""
    server.requests("/")  # so that the log is complete
    return [line for line in server.access_log.read_text().splitlines() if "/health" not in line]
