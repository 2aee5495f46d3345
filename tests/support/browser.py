"""A page as headless Chromium shows it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    CDPSession,
    Error,
    HttpCredentials,
    Page,
    Response,
    sync_playwright,
)

from tests.support import ROOT
from tests.support.servers import locked, missing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = ROOT / "build" / "screenshots"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and "CI" not in os.environ, reason="there is no Chromium here: install your system's package"
    ),
]
AXE = "axe-core@4.14.1"


@contextmanager
def chromium(*flags: str, **options: Any) -> Iterator[Browser]:
    """A browser; everything that it is told happens in it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags], **options)
        yield browser
        browser.close()


@cache
def axe() -> str:
    """The source of axe-core, fetched into ``.cache`` once; skips without npm, but never in CI."""
    folder = ROOT / ".cache" / AXE
    source = folder / "node_modules" / "axe-core" / "axe.min.js"
    with locked(AXE):
        if not source.exists():
            if shutil.which("npm") is None:
                missing("npm is not installed: the accessibility of the pages is not tested.")
            folder.mkdir(parents=True, exist_ok=True)
            options = ("--prefix", str(folder), "--no-save", "--ignore-scripts", "--no-audit", "--no-fund")
            subprocess.run(["npm", "install", *options, AXE], check=True, capture_output=True)
    return source.read_text()


@dataclass(frozen=True)
class Seen:
    """What there is to see; ``links`` are texts and the addresses behind them."""

    status: int
    title: str
    text: str
    links: dict[str, str]


def look(url: str, screenshot: Path, credentials: tuple[str, str] | None = None, click: str = "") -> Seen:
    """Open a page, click on the link that says ``click`` if anything, take a picture."""
    screenshot.parent.mkdir(parents=True, exist_ok=True)
    login: HttpCredentials | None = None
    if credentials:
        login = {"username": credentials[0], "password": credentials[1]}
    statuses: list[int] = []

    def remember(answer: Response) -> None:
        if answer.request.is_navigation_request():
            statuses.append(answer.status)

    with chromium() as browser:
        page = browser.new_context(http_credentials=login).new_page()
        page.on("response", remember)
        with suppress(Error):  # Chromium gives up at a 401 that it has no credentials for
            page.goto(url)
        if click:
            with page.expect_navigation():
                page.get_by_role("link", name=click, exact=True).click()
        page.screenshot(path=screenshot)
        links = page.eval_on_selector_all("a", "links => links.map(link => [link.textContent, link.href])")
        return Seen(statuses[-1], page.title(), page.inner_text("body"), dict(links))


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


def problems(page: Page) -> list[str]:
    """What axe-core, with all of its rules, finds wrong."""
    page.evaluate(axe())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{rule['id']}: {rule['help']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]
