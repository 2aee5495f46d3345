"""A person with a browser: when Chromium would ask for a password, and what it shows then."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page

from tests.aws.deployed import OURS, USER, Index
from tests.builders import make_wheel
from tests.clients.browser import IN_A_BROWSER, SCREENSHOTS

pytestmark = [pytest.mark.aws, *IN_A_BROWSER]


class Person:
    """Answers each prompt with the next of ``answers``, closes it when there is none, and remembers all of them."""

    def __init__(self, page: Page, *answers: tuple[str, str]) -> None:
        self.prompts: list[Any] = []
        self._answers = list(answers)
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.on("Fetch.authRequired", self._prompted)
        self._session.on("Fetch.requestPaused", lambda event: self._say("continueRequest", event))
        self._session.send("Fetch.enable", {"handleAuthRequests": True})

    def _prompted(self, event: Any) -> None:
        self.prompts.append(event["authChallenge"])
        answer = {"response": "CancelAuth"}
        if self._answers:
            user, password = self._answers.pop(0)
            answer = {"response": "ProvideCredentials", "username": user, "password": password}
        self._say("continueWithAuth", event, authChallengeResponse=answer)

    def _say(self, what: str, event: Any, **more: Any) -> None:
        self._session.send(f"Fetch.{what}", {"requestId": event["requestId"], **more})


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
