"""A person who uploads and manages with the pages, in Chromium: with a mouse, a keyboard, and without JavaScript."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import IN_A_BROWSER, SCREENSHOTS, chromium, problems
from tests.support.builders import make_sdist, make_wheel
from tests.support.live import PASSWORD, USER, Server, running
from tests.support.showcase import ATTACKS

pytestmark = IN_A_BROWSER

LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (360, 1600)]
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("folder", tmp_path_factory.mktemp("manage"), MAX_UPLOAD="40") as live:
        yield live


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Visit]:
    """Opens a path, in a context with these options; no script of somebody else runs, nothing leaves."""
    contexts: list[BrowserContext] = []
    never: list[str] = []

    def open_(path: str, **options: Any) -> Page:
        context = browser.new_context(http_credentials={"username": USER, "password": PASSWORD}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("dialog", lambda dialog: never.append(f"dialog: {dialog.message}"))
        page.on("pageerror", lambda error: never.append(f"error: {error}"))
        page.on("request", lambda asked: None if asked.url.startswith(server.address) else never.append(asked.url))
        page.goto(f"{server.address}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert never == []


def drop(page: Page, *paths: Path) -> None:
    """Files from the desktop, as the browser gets them from the window system."""
    session = page.context.new_cdp_session(page)
    box = page.locator(".drop").bounding_box()
    assert box is not None
    files = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 9, "y": box["y"] + 9, "data": files})


def shoot(page: Page, name: str) -> None:
    """A picture of the page at hand in every look; whatever a look does not fit or axe-core finds is told."""
    found = []
    for scheme, width in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found += [f"{name} {scheme} {width}: {problem}" for problem in problems(page)]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        picture = SCREENSHOTS / "manage" / f"{name}-{width}-{scheme}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=picture, full_page=True)
    assert found == []


def upload(visit: Visit, *paths: Path) -> Page:
    """Without JavaScript; the page that it leads to."""
    page = visit("/upload", java_script_enabled=False)
    page.get_by_label("Choose files").set_input_files(paths)
    page.get_by_role("button", name="Upload").click()
    return page


def unfold(page: Page, title: str) -> None:
    page.locator("summary", has_text=re.compile(f"^{title}$")).click()


def test_files_are_dropped_and_sent_with_a_bar_each(server: Server, visit: Visit, name: str, tmp_path: Path) -> None:
    page = visit("/")
    page.get_by_role("link", name="Upload").click()
    shoot(page, "upload")
    wheel = make_wheel(tmp_path, name, "1.0", files={"large.bin": os.urandom(30_000_000)})
    sdist = make_sdist(tmp_path, name, "1.0")
    stray = tmp_path / "notes.txt"
    stray.write_text("no package")
    drop(page, wheel, sdist, stray)
    lines = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(lines).to_have_count(3)
    assert server.files(name) == {}  # nothing leaves before the button is pressed
    shoot(page, "upload-chosen")
    page.evaluate("""() => {
        window.seen = [];
        const bar = document.querySelector("progress");
        const look = () => { window.seen.push(bar.value / bar.max); requestAnimationFrame(look); };
        document.querySelector("form.upload").addEventListener("submit", () => setTimeout(() => {
            const bar = document.querySelector("progress");
            new MutationObserver(() => window.seen.push(bar.value / bar.max)).observe(bar, {attributes: true});
        }));
    }""")
    # Slow enough that the browser tells of it on its way.
    line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 15_000_000}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", line)
    page.get_by_role("button", name="Upload").click()
    expect(lines.nth(2).get_by_role("status")).to_contain_text("neither a wheel", timeout=30_000)
    assert lines.nth(0).get_by_role("status").inner_text() == f"{wheel.name} is in the index. See {name}"
    assert lines.nth(1).get_by_role("status").inner_text() == f"{sdist.name} is in the index. See {name}"
    seen = page.evaluate("window.seen")
    assert seen == sorted(seen)
    assert any(0 < part < 1 for part in seen), seen
    assert seen[-1] == 1
    assert set(server.files(name)) == {wheel.name, sdist.name}
    shoot(page, "upload-done")
    lines.nth(0).get_by_role("link", name=name).click()
    assert page.get_by_role("heading", level=1).inner_text() == f"{name} 1.0"
    assert page.get_by_text(f"by {USER}").count() == 4  # beside each file, and what happened


def test_what_is_refused_can_be_tried_again(visit: Visit, server: Server, name: str, tmp_path: Path) -> None:
    for folder in ("first", "other"):
        (tmp_path / folder).mkdir()
    first = make_wheel(tmp_path / "first", name, "1.0")
    other = make_wheel(tmp_path / "other", name, "1.0", files={"x": b"y"})
    upload(visit, first)
    page = visit("/upload")
    said = page.get_by_role("list", name="Uploads").get_by_role("status")
    for path, text in ((other, "File already exists"), (first, "is in the index already"), (other, "already exists")):
        page.get_by_label("Choose files").set_input_files(path)
        page.get_by_role("button", name="Upload").click()
        expect(said).to_contain_text(text)
    page.context.set_offline(True)
    page.get_by_role("button", name="Upload").click()
    expect(said).to_contain_text("The connection broke.")
    page.context.set_offline(False)


def test_what_is_too_large(visit: Visit, name: str, tmp_path: Path) -> None:
    page = visit("/upload")
    wheel = make_wheel(tmp_path, name, "1.0", files={"large.bin": os.urandom(45_000_000)})
    page.get_by_label("Choose files").set_input_files(wheel)
    page.get_by_role("button", name="Upload").click()
    said = page.get_by_role("list", name="Uploads").get_by_role("status")
    expect(said).to_contain_text("larger than the 40 MB that this index takes")
    expect(said).to_contain_text("elasticpypi upload")


def test_hostile_file_names(visit: Visit, tmp_path: Path) -> None:
    page = visit("/upload")
    paths = [tmp_path / attack.replace("/", "\\") for attack in ATTACKS]
    for path in paths:
        path.write_bytes(b"x")
    page.get_by_label("Choose files").set_input_files(paths)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".sending .failed")).to_have_count(len(paths))
    assert sorted(page.locator(".sending .name").all_inner_texts()) == sorted(path.name for path in paths)
    assert page.evaluate("window.hit") is None
    shoot(page, "upload-hostile")


def test_everything_without_javascript(visit: Visit, server: Server, name: str, tmp_path: Path) -> None:
    wheel, sdist = make_wheel(tmp_path, name, "1.0"), make_sdist(tmp_path, name, "1.0")
    page = upload(visit, wheel, sdist)
    expect(page).to_have_url(f"{server.address}/project/{name}/1.0/")
    unfold(page, "Yank")
    page.locator("#yank-what").select_option(sdist.name)
    page.locator("#yank-reason").fill(ATTACKS[0])
    page.get_by_role("button", name="Yank").click()
    assert server.files(name)[sdist.name]["yanked"] == ATTACKS[0]
    expect(page.get_by_text(f"yanked: {ATTACKS[0]}")).to_be_visible()
    unfold(page, "Take a yank back")
    page.get_by_role("button", name="Take back").click()
    assert not server.files(name)[sdist.name].get("yanked")
    unfold(page, "Delete")
    page.locator("#delete-what").select_option(wheel.name)
    page.locator("#delete-confirm").fill(sdist.name)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text(f"Nothing was deleted: type '{wheel.name}' to confirm.")).to_be_visible()
    page.go_back()
    unfold(page, "Delete")
    page.locator("#delete-what").select_option(wheel.name)
    page.locator("#delete-confirm").fill(wheel.name)
    page.get_by_role("button", name="Delete").click()
    assert list(server.files(name)) == [sdist.name]


def test_a_release_from_yank_to_delete(visit: Visit, server: Server, name: str, tmp_path: Path) -> None:
    wheel, sdist = make_wheel(tmp_path, name, "1.0", Summary="Kept small"), make_sdist(tmp_path, name, "1.0")
    upload(visit, wheel, sdist, make_wheel(tmp_path, name, "0.9"))
    page = visit(f"/project/{name}/")
    page.get_by_role("link", name="Manage").click()
    unfold(page, "Yank")
    page.locator("#yank-reason").fill("signs with the wrong key")
    for title in ("Delete", "Status of the project"):
        unfold(page, title)
    shoot(page, "manage")
    page.get_by_role("button", name="Yank").click()
    page.wait_for_url(f"**/project/{name}/1.0/")
    expect(page.get_by_text("This release is yanked.")).to_be_visible()
    assert page.locator("summary", has_text=re.compile("^Yank$")).count() == 0
    unfold(page, "Take a yank back")
    unfold(page, "Delete")
    button = page.get_by_role("button", name="Delete")
    assert button.is_disabled()
    page.locator("#delete-confirm").press_sequentially(f"{name}==1.")
    assert button.is_disabled()
    shoot(page, "manage-yanked")
    page.locator("#delete-confirm").press_sequentially("0")
    assert button.is_enabled()
    page.locator("#delete-what").select_option(wheel.name)
    assert button.is_disabled()
    page.locator("#delete-what").select_option(f"{name}==1.0")
    page.locator("#delete-confirm").press("Enter")
    page.wait_for_url(f"**/project/{name}/")
    assert [file["yanked"] for file in server.files(name).values()] == [False]
    assert page.get_by_role("heading", level=1).inner_text() == f"{name} 0.9"


def test_the_status_is_a_banner(visit: Visit, name: str, tmp_path: Path) -> None:
    page = upload(visit, make_wheel(tmp_path, name, "1.0"))
    for status, reason in (("deprecated", ATTACKS[2]), ("archived", "Use acme-client."), ("quarantined", "")):
        page = visit(f"/project/{name}/")
        unfold(page, "Status of the project")
        page.get_by_label("Status", exact=True).select_option(status)
        page.locator("#status-reason").fill(reason)
        page.get_by_role("button", name="Set the status").click()
        page.get_by_text(f"This project is {status}.").wait_for()
        assert page.get_by_text(reason, exact=True).count() == (1 if reason else 0) or not reason
        shoot(page, f"status-{status}")
    page.get_by_label("Status", exact=True).select_option("active")
    page.get_by_role("button", name="Set the status").click()
    page.get_by_role("heading", name="Files of 1.0").wait_for()
    assert page.get_by_text("This project is").count() == 0
