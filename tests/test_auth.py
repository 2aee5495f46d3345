"""Who may come in."""

import base64
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from elasticpypi import auth
from elasticpypi.auth import authorize, gatekeeper
from elasticpypi.errors import Unauthorized
from tests.conftest import basic

USERS = {
    "alice": "pa:ss",
    "b\u00f6b": "w\u00f6rd",
    "carol": generate_password_hash("secret"),
    "dan": "pbkdf2:md99:1$s$00",
}
ARN = "arn:aws:execute-api:eu-west-1:123456789012:abc123/dev/GET/simple/demo/"


@pytest.mark.req("REQ-80", "REQ-81")
@pytest.mark.parametrize(
    ("header", "user"),
    [
        (basic("alice:pa:ss"), "alice"),
        (basic("alice:pa:ss").replace("Basic", "bAsIc"), "alice"),
        (basic("alice:pa:ss").replace("Basic ", "Basic   "), "alice"),
        (basic("b\u00f6b:w\u00f6rd"), "b\u00f6b"),
        ("Basic " + base64.b64encode("b\u00f6b:w\u00f6rd".encode("latin-1")).decode(), "b\u00f6b"),
        (basic("carol:secret"), "carol"),
        (basic("__token__:secret"), "carol"),
        (basic("__token__:pa:ss"), "alice"),
    ],
)
def test_who_is_let_in(header: str, user: str) -> None:
    check = gatekeeper(USERS)
    assert check(header) == user
    assert check(header) == user


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic \xff",
        "Basic " + base64.b64encode(b"no colon").decode(),
        basic("alice:pa"),
        basic("alice:pa:ss "),
        basic("Alice:pa:ss"),
        basic("alice:"),
        basic(":"),
        basic(":pa:ss"),
        basic("nobody:pa:ss"),
        basic("carol:wrong"),
        basic("dan:anything"),  # an algorithm that nobody has
        basic(f"carol:{USERS['carol']}"),
        basic("__token__:wrong"),
        basic("__token__:"),
        basic("alice:pa:ss").replace("Basic", "Bearer"),
        "Negotiate abc",
    ],
)
def test_who_is_not(header: str) -> None:
    check = gatekeeper(USERS)
    for _ in range(2):
        with pytest.raises(Unauthorized) as refused:
            check(header)
        assert "pa:ss" not in str(refused.value)


def test_a_configured_token_user_is_just_a_user() -> None:
    check = gatekeeper({"__token__": "t0ken", "alice": "pa:ss"})
    assert check(basic("__token__:t0ken")) == "__token__"
    with pytest.raises(Unauthorized):
        check(basic("__token__:pa:ss"))


def test_a_hash_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counting(known: str, password: str) -> bool:
        calls.append(password)
        return password == "secret"

    monkeypatch.setattr("werkzeug.security.check_password_hash", counting)
    check = gatekeeper({"carol": USERS["carol"]})
    for _ in range(3):
        check(basic("carol:secret"))
        for header in (basic("carol:wrong"), basic("nobody:wrong")):
            with pytest.raises(Unauthorized):
                check(header)
    assert calls == ["secret", "wrong", "wrong"]


def test_memory_of_wrong_passwords_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REMEMBERED", 10)
    check = gatekeeper(USERS)
    for number in range(50):
        with pytest.raises(Unauthorized):
            check(basic(f"alice:{number}"))
    assert check(basic("alice:pa:ss")) == "alice"


@pytest.mark.parametrize("header", ["Authorization", "authorization", "AUTHORIZATION"])
def test_the_gateway_gets_a_policy_for_the_stage_of_this_api_only(header: str) -> None:
    policy = authorize({"headers": {header: basic("alice:pa:ss")}, "methodArn": ARN}, gatekeeper(USERS))
    assert policy["principalId"] == "alice"
    [statement] = policy["policyDocument"]["Statement"]
    assert statement == {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": "arn:aws:execute-api:eu-west-1:123456789012:abc123/dev/*",
    }


@pytest.mark.parametrize("headers", [None, {}, {"Authorization": None}, {"Authorization": basic("alice:wrong")}])
def test_the_gateway_hears_of_a_401(headers: Any) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize({"headers": headers, "methodArn": ARN}, gatekeeper(USERS))
