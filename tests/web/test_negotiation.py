"""Which representation of a page a client gets for its Accept header."""

import pytest

from elasticpypi.core.simple_api import HTML, JSON, PLAIN_HTML
from elasticpypi.web.negotiation import negotiate
from tests.support.vectors import BROWSER, VECTORS


@pytest.mark.req("REQ-3", "REQ-4", "REQ-5", "REQ-6")
@pytest.mark.parametrize("vector", VECTORS["accept"], ids=lambda vector: vector["accept"])
def test_accept_headers(vector: dict[str, str]) -> None:
    expected = None if vector["content_type"].startswith("406") else vector["content_type"]
    assert negotiate(vector["accept"]) == expected


@pytest.mark.req("REQ-6")
@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (BROWSER, PLAIN_HTML),
        (f"{JSON}, {HTML}", JSON),  # pypi-simple: both with q=1
        (f"{HTML}, {JSON}", JSON),
        (f"{PLAIN_HTML}, {JSON};q=0.9", PLAIN_HTML),
        ("application/vnd.pypi.simple.latest+json", JSON),
        ("APPLICATION/VND.PYPI.SIMPLE.V1+JSON", JSON),
        (f"{JSON};charset=utf-8", JSON),
        (f"{JSON};q=0, */*", PLAIN_HTML),
        ("text/html;q=0, */*;q=0.5", HTML),
        (";;;,,,=", None),
        ("\xff\xfe", None),
        ("a" * 10_000, None),
        ("text/html;q=abc", None),
    ],
)
def test_more_accept_headers(accept: str, chosen: str | None) -> None:
    assert negotiate(accept) == chosen
