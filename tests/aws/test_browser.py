"""A person with a browser: when Chromium would ask for a password, and what it shows then."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import IN_A_BROWSER, SCREENSHOTS, Person
from tests.support.builders import make_wheel
from tests.support.deployed import OURS, USER, Index

pytestmark = [pytest.mark.aws, *IN_A_BROWSER]


@pytest.fixture
def page(browser: Browser) -> Page:
    return browser.new_page()


def test_the_browser_asks_until_the_password_is_right(index: Index, page: Page, tmp_path: Path) -> None:
    index.upload(make_wheel(tmp_path, "in-the-browser", "1.0"))
    person = Person(page, (USER, "wrong"), ("somebody", "else"), OURS)
    answer = page.goto(f"{index.url}/")
    assert answer is not None
    assert answer.status == 200
    assert page.url == f"{index.url}/"
    origin = index.url.removesuffix("/dev")
    challenge = {"source": "Server", "origin": origin, "scheme": "basic", "realm": "elasticpypi"}
    assert person.prompts == [challenge] * 3
    page.goto(f"{index.url}/project/in-the-browser/")
    with page.expect_download() as download:
        page.get_by_role("link", name="in_the_browser-1.0-py3-none-any.whl", exact=True).click()
    assert download.value.failure() is None
    assert len(person.prompts) == 3
    page.screenshot(path=SCREENSHOTS / "aws-project.png")


def test_whoever_closes_the_prompt_sees_nothing(index: Index, page: Page) -> None:
    person = Person(page)
    answer = page.goto(index.simple)
    assert answer is not None
    assert answer.status == 401
    assert len(person.prompts) == 1
    assert page.get_by_role("link").count() == 0
    assert "password" in page.inner_text("body")
