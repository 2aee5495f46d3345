"""The pages for people behind a stage, with the password asked for by the gateway, and uploads from them."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import IN_A_BROWSER, SCREENSHOTS, Person
from tests.support.builders import make_wheel
from tests.support.deployed import OURS, PASSWORD, USER, Index
from tests.support.waiting import until

pytestmark = [pytest.mark.aws, *IN_A_BROWSER]


def logged_in(browser: Browser, **options: bool) -> Page:
    login = {"username": USER, "password": PASSWORD}
    return browser.new_context(http_credentials=login, **options).new_page()  # type: ignore[arg-type]


def choose(page: Page, *paths: Path) -> None:
    page.get_by_label("Choose files").set_input_files(paths)
    page.get_by_role("button", name="Upload", exact=True).click()


def test_from_the_prompt_to_a_project(index: Index, browser: Browser, tmp_path: Path) -> None:
    index.upload(make_wheel(tmp_path, "on-a-page", "1.0", Summary="Seen by people"))
    page = browser.new_page()
    person = Person(page, OURS)
    failed: list[str] = []
    page.on("console", lambda said: failed.append(said.text))
    before = len(index.aws.traffic())
    page.goto(index.url)  # as people type it, without the slash

    def listed() -> bool:
        page.get_by_role("link", name="Projects", exact=True).click()
        page.wait_for_url(f"{index.url}/search**")
        page.wait_for_load_state()
        return page.get_by_role("link", name="on-a-page").count() == 1

    until(listed, "the catalog")
    page.get_by_role("link", name="on-a-page").click()
    expect(page).to_have_url(f"{index.url}/project/on-a-page/")
    expect(page.get_by_text("Seen by people")).to_be_visible()
    assert f"pip install --index-url {index.simple} on-a-page" in page.inner_text("main")
    assert page.evaluate("getComputedStyle(document.querySelector('.tabs')).display") == "flex"
    page.screenshot(path=SCREENSHOTS / "aws-page.png")
    assert len(person.prompts) == 1
    # What does not change is fetched once, however many pages have it.
    static = [line["path"] for line in index.aws.traffic()[before:] if "/static/" in line["path"]]
    assert sorted(path.rpartition("/")[2] for path in static) == ["icon.svg", "pages.js", "style.css"]
    answer = index.request("GET", static[0].removeprefix("/dev"))
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert failed == []


def test_a_small_file_by_the_form(index: Index, browser: Browser, tmp_path: Path) -> None:
    page = logged_in(browser, java_script_enabled=False)
    page.goto(f"{index.url}/upload")
    expect(page.get_by_text("Files above 4.0 MB need JavaScript here")).to_be_visible()
    choose(page, make_wheel(tmp_path, "by-form", "1.0"), make_wheel(tmp_path, "by-form", "1.1"))
    expect(page).to_have_url(f"{index.url}/project/by-form/1.1/")
    expect(page.get_by_text(f"by {USER}").first).to_be_visible()
    page.locator("summary", has_text="Yank").click()
    page.locator("#yank-reason").fill("too early")
    page.get_by_role("button", name="Yank").click()
    expect(page).to_have_url(f"{index.url}/project/by-form/1.1/")
    expect(page.get_by_text("This release is yanked.")).to_be_visible()


def test_files_of_any_size_from_the_page(index: Index, browser: Browser, tmp_path: Path) -> None:
    page = logged_in(browser)
    failed: list[str] = []
    page.on("console", lambda said: failed.append(said.text))
    before = len(index.aws.traffic(index.bucket))
    page.goto(f"{index.url}/upload")
    small = make_wheel(tmp_path, "from-a-page", "0.9")
    large = make_wheel(tmp_path, "from-a-page", "1.0", files={"large.bin": os.urandom(20_000_000)})
    choose(page, large, small)
    said = page.get_by_role("list", name="Uploads").get_by_role("status")
    expect(said.nth(1)).to_contain_text(f"{small.name} is in the index.", timeout=60_000)
    assert said.nth(0).inner_text() == f"{large.name} is in the index. See from-a-page"
    assert index.files("from-a-page") == [small.name, large.name]
    assert failed == []
    # The bytes went to the bucket, by a link and without the password.
    sent = [line for line in index.aws.traffic(index.bucket)[before:] if "Mozilla" in str(line["client"])]
    assert [(line["method"], line["status"]) for line in sent] == [("OPTIONS", 200), ("PUT", 200)]
    page.screenshot(path=SCREENSHOTS / "aws-upload.png")
    said.nth(0).get_by_role("link").click()
    expect(page.get_by_text(f"by {USER}").first).to_be_visible()


def test_what_the_bucket_does_not_take_again(index: Index, browser: Browser, tmp_path: Path) -> None:
    for folder in ("first", "other"):
        (tmp_path / folder).mkdir()
    index.upload(make_wheel(tmp_path / "first", "taken-page", "1.0"))
    other = make_wheel(tmp_path / "other", "taken-page", "1.0", files={"large.bin": os.urandom(5_000_000)})
    page = logged_in(browser)
    page.goto(f"{index.url}/upload")
    choose(page, other)
    said = page.get_by_role("list", name="Uploads").get_by_role("status")
    expect(said).to_contain_text("File already exists", timeout=60_000)
