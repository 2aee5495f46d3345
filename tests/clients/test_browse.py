"""A person who browses: what Chromium shows of the pages for people, and what axe-core says of them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from elasticpypi.config import Config
from elasticpypi.wiring import services
from tests.support.browser import IN_A_BROWSER, SCREENSHOTS, chromium, problems
from tests.support.builders import make_wheel
from tests.support.live import PASSWORD, USER, Server, running
from tests.support.publish import publish
from tests.support.showcase import LONG, fill
from tests.support.waiting import until

pytestmark = IN_A_BROWSER

# What the picture is called, where it is, and its status.
PAGES = {
    "home": ("/", 200),
    "search": ("/search?q=common", 200),
    "search-page-2": ("/search?page=2", 200),
    "search-nothing": ("/search?q=nothing+like+it", 200),
    "project": ("/project/acme-client/", 200),
    "project-old": ("/project/acme-client/1.1/", 200),
    "project-yanked": ("/project/acme-client/2.0/", 200),
    "project-one-file": ("/project/demo/", 200),
    "project-thousand-files": ("/project/acme-kernels/", 200),
    "project-archived": ("/project/archive-tool/", 200),
    "project-quarantined": ("/project/held-back/", 200),
    "project-long": (f"/project/{LONG}/", 200),
    "project-hostile": ("/project/hostile-markdown/", 200),
    "project-hostile-rst": ("/project/hostile-rst/", 200),
    "project-plain": ("/project/hostile-text/", 200),
    "not-found": ("/project/acme-clinet/", 404),
    "not-possible": ("/legacy/", 405),
}
SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => window.shifts.push(...list.getEntries().map(entry => entry.value)))
    .observe({type: "layout-shift", buffered: true});
"""
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with everything of ``tests/support/showcase.py``."""
    folder = tmp_path_factory.mktemp("show")
    fill(services(Config(data=folder / "data")), folder / "made")
    with running("folder", folder) as live:
        yield live


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("folder", tmp_path_factory.mktemp("empty")) as live:
        yield live


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens an address, in a context with these options; whatever should never happen ends the test."""
    contexts: list[BrowserContext] = []
    never: list[str] = []

    def open_(server: Server, path: str, status: int = 200, **options: Any) -> Page:
        login = {"username": USER, "password": PASSWORD}
        context = browser.new_context(http_credentials=login, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("dialog", lambda dialog: never.append(f"dialog: {dialog.message}"))
        page.on("pageerror", lambda error: never.append(f"error: {error}"))
        page.on("request", lambda asked: None if asked.url.startswith(server.address) else never.append(asked.url))
        page.on("console", lambda said: None if f"status of {status}" in said.text else never.append(said.text))
        answer = page.goto(f"{server.address}{path}")
        assert answer is not None
        assert answer.status == status
        return page

    yield open_
    for context in contexts:
        context.close()
    assert never == []


def test_axe_finds_what_is_wrong(show: Server, visit: Visit) -> None:
    page = visit(show, "/project/demo/")
    page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    page.evaluate("document.querySelector('.lead').style.color = 'rgb(200, 200, 200)'")
    found = problems(page)
    assert {rule.partition(":")[0] for rule in found} == {"label", "color-contrast"}


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits(show: Server, empty: Server, visit: Visit, scheme: str, width: int) -> None:
    for name, (path, status) in {**PAGES, "empty": ("/", 200), "search-empty": ("/search", 200)}.items():
        server = empty if "empty" in name else show
        page = visit(server, path, status, color_scheme=scheme, viewport={"width": width, "height": 900})
        assert problems(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("window.hit") is None
        picture = SCREENSHOTS / "pages" / f"{name}-{width}-{scheme}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=picture, full_page="thousand" not in name)


def test_whoever_closes_the_prompt_sees_why(show: Server, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    session = context.new_cdp_session(page)
    prompts: list[Any] = []

    def close(event: Any) -> None:
        prompts.append(event["request"]["url"])
        answer = {"response": "CancelAuth"}
        session.send("Fetch.continueWithAuth", {"requestId": event["requestId"], "authChallengeResponse": answer})

    session.on("Fetch.authRequired", close)
    session.on(
        "Fetch.requestPaused", lambda event: session.send("Fetch.continueRequest", {"requestId": event["requestId"]})
    )
    session.send("Fetch.enable", {"handleAuthRequests": True})
    answer = page.goto(f"{show.address}/project/demo/")
    assert answer is not None
    assert answer.status == 401
    assert page.get_by_role("heading", level=1).inner_text() == "Unauthorized"
    assert prompts == [f"{show.address}/project/demo/"]  # not one more for the stylesheet
    assert page.evaluate("getComputedStyle(document.body).display") == "flex"  # which is there
    assert [link.inner_text() for link in page.get_by_role("link").all()] == [
        "Skip to content",
        "elasticpypi",
        "Try again",
    ]
    assert problems(page) == []
    page.screenshot(path=SCREENSHOTS / "pages" / "not-logged-in.png")
    context.close()


def test_nothing_moves_while_a_page_loads(show: Server, visit: Visit, browser: Browser) -> None:
    for width in (360, 1600):
        for path in ("/", "/project/acme-client/", "/project/acme-kernels/", "/search?q=common"):
            context = browser.new_context(
                http_credentials={"username": USER, "password": PASSWORD}, viewport={"width": width, "height": 900}
            )
            context.add_init_script(SHIFTS)
            page = context.new_page()
            page.goto(f"{show.address}{path}", wait_until="networkidle")
            assert page.locator(".copy, .entries").count() > 0
            assert sum(page.evaluate("window.shifts")) == 0, (width, path)
            context.close()


def test_from_a_search_to_a_file(show: Server, visit: Visit) -> None:
    page = visit(show, "/")
    box = page.get_by_role("combobox", name="Search projects")
    box.press_sequentially("acme")
    options = page.locator("#suggestions").get_by_role("option")
    until(  # each letter has its own
        lambda: [text.partition("\n")[0] for text in options.all_inner_texts()] == ["acme-client", "acme-kernels"]
    )
    box.press("ArrowDown")
    box.press("ArrowDown")
    assert page.get_by_role("option", selected=True).inner_text().startswith("acme-kernels")
    box.press("ArrowUp")
    box.press("Enter")
    page.wait_for_url("**/project/acme-client/")
    page.get_by_role("link", name="2.1", exact=True).click()
    page.wait_for_url("**/project/acme-client/2.1/")
    with page.expect_download() as download:
        page.get_by_role("link", name="acme_client-2.1-py3-none-any.whl").click()
    assert download.value.path().read_bytes()[:2] == b"PK"


def test_suggestions_can_be_left(show: Server, visit: Visit) -> None:
    page = visit(show, "/project/demo/")
    box = page.get_by_role("combobox", name="Search projects")
    box.press_sequentially("audit")
    options = page.locator("#suggestions").get_by_role("option")
    until(lambda: [text.startswith("audit") for text in options.all_inner_texts()] == [True] * 8)
    box.press("Escape")
    assert page.locator("#suggestions").get_by_role("option").count() == 0
    assert box.get_attribute("aria-expanded") == "false"
    box.press("Enter")
    page.wait_for_url("**/search?q=audit")
    assert page.get_by_role("heading", level=1).inner_text() == "Search: audit"


def test_lines_are_copied(show: Server, visit: Visit) -> None:
    page = visit(show, "/project/demo/", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the pip line").click()
    page.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"pip install --index-url {show.simple} demo"


def test_keyboard(show: Server, visit: Visit) -> None:
    page = visit(show, "/project/acme-client/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    summary = page.locator("summary", has_text="2 files of 1.0")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="acme_client-1.0-py3-none-any.whl")).to_be_visible()


def test_without_javascript(show: Server, visit: Visit) -> None:
    page = visit(show, "/", java_script_enabled=False)
    page.get_by_label("Search projects").fill("acme kernels")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="acme-kernels").click()
    assert page.get_by_role("heading", level=1).inner_text() == "acme-kernels 1.39"
    assert page.get_by_role("link", name=re.compile("1.2-cp310-cp310-win")).count() == 0  # folded
    page.locator("summary", has_text="25 files of 1.38").click()
    expect(page.get_by_role("link", name="acme_kernels-1.38-cp310-cp310-win_amd64.whl")).to_be_visible()
    assert page.get_by_role("button", name="Copy").count() == 0
    # The page lists 500 files at most: those of older versions are on pages of their own.
    page.get_by_text("20 older versions").click()
    page.get_by_role("link", name="25 files of 1.2", exact=True).click()
    expect(page.get_by_role("link", name="acme_kernels-1.2-cp310-cp310-win_amd64.whl")).to_be_visible()


def test_a_proxy_that_tells_nothing(show: Server, browser: Browser) -> None:
    """The browser knows the address better than the server does."""
    context = browser.new_context(http_credentials={"username": USER, "password": PASSWORD})

    def pass_on(route: Route) -> None:
        address = route.request.url.replace("http://pypi.example/team", show.address)
        route.fulfill(response=route.fetch(url=address))

    context.route("http://pypi.example/team/**", pass_on)
    page = context.new_page()
    page.goto("http://pypi.example/team/project/demo/")
    said = page.inner_text("main")
    assert "pip install --index-url http://pypi.example/team/simple/ demo" in said
    assert f"uv add --default-index http://{USER}@pypi.example/team/simple/ demo" in said
    assert show.address not in said
    context.unroute_all(behavior="wait")  # an answer may still be on its way
    context.close()


def test_what_was_just_uploaded(server: Server, visit: Visit, name: str, dist: Path, tmp_path: Path) -> None:
    """In both families, from the upload to the page that it is on."""
    make_wheel(dist, name, "1.0", Summary="Just uploaded")
    publish("uv", server, tmp_path)
    server.put(f"{name.replace('-', '_')}-1.0-py3-none-any.whl.yanked", b"too early")

    def found() -> bool:
        page = visit(server, f"/search?q={name}")
        return page.get_by_role("link", name=name).count() == 1

    until(found, "the catalog")
    page = visit(server, f"/project/{name}/")
    expect(page.get_by_text("This release is yanked.")).to_be_visible()
    expect(page.get_by_text("Just uploaded")).to_be_visible()
