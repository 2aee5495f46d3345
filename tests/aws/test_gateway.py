"""Who may come in, and what the gateway answers by itself."""

import pytest

from elasticpypi.accounts.passwords import CHALLENGE
from tests.support.deployed import PASSWORD, USER, Index

pytestmark = pytest.mark.aws


def test_health_needs_no_credentials(index: Index) -> None:
    answer = index.request("GET", "/health", auth=None)
    assert answer.status_code == 200, answer.text
    assert answer.json()["stage"] == "dev"


@pytest.mark.parametrize("credentials", [None, (USER, "wrong"), ("somebody", PASSWORD)])
@pytest.mark.parametrize("path", ["", "/", "/simple", "/simple/", "/packages/demo-1.0.tar.gz"])
def test_everything_else_asks_for_credentials(index: Index, path: str, credentials: tuple[str, str] | None) -> None:
    answer = index.request("GET", path, auth=credentials)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert answer.json()["message"]


def test_trusted_publishing_is_answered_without_a_challenge(index: Index) -> None:
    answer = index.request("GET", "/_/oidc/audience", auth=None)
    assert answer.status_code == 404
    assert "WWW-Authenticate" not in answer.headers
