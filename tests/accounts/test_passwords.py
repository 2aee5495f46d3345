"""Who may come in."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from elasticpypi.accounts import attempts, passwords
from elasticpypi.accounts.attempts import Turns
from elasticpypi.accounts.passwords import Authenticator
from elasticpypi.core.errors import TooManyAttempts, Unauthorized
from elasticpypi.hosts.aws.authorizer import authorize
from tests.support.application import basic
from tests.support.waiting import until

QUICKLY = "scrypt:256:8:1"  # the method of `elasticpypi password`, but for its cost
USERS = {
    "alice": "pa:ss",
    "b\u00f6b": "w\u00f6rd",
    "carol": generate_password_hash("secret", QUICKLY),
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


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The slow checks, in order: method of the hash, and password. "secret" is right."""
    calls = []

    def counting(known: str, password: str) -> bool:
        calls.append((known.partition("$")[0], password))
        return password == "secret"

    monkeypatch.setattr("werkzeug.security.check_password_hash", counting)
    return calls


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(attempts, "monotonic", lambda: clock.now)
    return clock


def gatekeeper(users: dict[str, str]) -> Any:
    authenticate = Authenticator(users)
    return lambda header, address="": authenticate(header, address).user


def refused(check: Any, user: str, address: str = "192.0.2.1") -> int:
    """The status of a refusal, 401, or of 429 the seconds."""
    with pytest.raises((Unauthorized, TooManyAttempts)) as told:
        check(basic(user), address)
    return getattr(told.value, "retry_after", told.value.status)


def test_a_hash_is_checked_once(checked: list[Any]) -> None:
    check = gatekeeper({"carol": USERS["carol"]})
    for _ in range(10):
        check(basic("carol:secret"))
        for header in (basic("carol:wrong"), basic("nobody:wrong")):
            with pytest.raises(Unauthorized):
                check(header)
    assert [password for _, password in checked] == ["secret", "wrong", "wrong"]


HASHES = {name: f"{method}${name}$00" for name, method in (("eve", "scrypt:2:8:1"), ("fay", "pbkdf2:sha256:9"))}


@pytest.mark.parametrize("name", ["alice", "nobody", "carol", "eve", "fay", "gus", "__token__", ""])
def test_a_failure_costs_the_same_whoever_is_asked_for(checked: list[Any], name: str) -> None:
    """One computation of each method that the users have: nearly always one in all."""
    check = gatekeeper({"alice": "pa:ss", "carol": USERS["carol"], "gus": USERS["carol"]})
    assert refused(check, f"{name}:wrong") == 401
    assert [method for method, _ in checked] == [QUICKLY]
    checked.clear()
    check = gatekeeper({"alice": "pa:ss", "carol": USERS["carol"], **HASHES, "gus": USERS["carol"]})
    assert refused(check, f"{name}:wrong") == 401
    assert [method for method, _ in checked] == [QUICKLY, "scrypt:2:8:1", "pbkdf2:sha256:9"]


def test_only_plain_passwords_cost_nothing(checked: list[Any]) -> None:
    check = gatekeeper({"alice": "pa:ss", "bob": "word"})
    assert [refused(check, f"{name}:wrong") for name in ("alice", "nobody", "__token__")] == [401] * 3
    assert check(basic("__token__:word"), "") == "bob"
    assert checked == []


@pytest.mark.req("REQ-81")
def test_a_token_is_held_against_plain_passwords_and_the_first_hash() -> None:
    check = gatekeeper(
        {"alice": "pa:ss", "carol": USERS["carol"], "gus": generate_password_hash("other", QUICKLY), "bob": "word"}
    )
    assert [check(basic(f"__token__:{password}"), "") for password in ("secret", "word")] == ["carol", "bob"]
    with pytest.raises(Unauthorized, match="user name"):
        check(basic("__token__:other"), "")
    assert check(basic("gus:other"), "") == "gus"


def test_what_is_wrong_does_not_push_out_what_is_right(checked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "REMEMBERED", 10)
    monkeypatch.setattr(attempts, "REMEMBERED", 10)
    check = Authenticator({"alice": "pa:ss", "carol": USERS["carol"]})
    assert check(basic("carol:secret"), "192.0.2.1").user == "carol"
    for number in range(50):
        assert refused(check, f"alice:{number}", f"198.51.100.{number}") == 401
    checked.clear()
    assert check(basic("carol:secret"), "192.0.2.1").user == "carol"
    assert checked == []
    assert max(len(check._right), len(check._wrong)) <= 10


def test_what_was_found_is_looked_at_again_after_an_hour(checked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    check = gatekeeper({"carol": USERS["carol"]})
    for _ in range(3):
        assert check(basic("carol:secret"), "192.0.2.1") == "carol"
        assert refused(check, "carol:wrong") == 401
    assert checked == [(QUICKLY, "secret"), (QUICKLY, "wrong")]
    now += passwords.LASTS
    assert check(basic("carol:secret"), "192.0.2.1") == "carol"
    assert refused(check, "carol:wrong") == 401
    assert len(checked) == 4


@pytest.mark.parametrize("users", [{"alice": "pa:ss", "bob": "word"}, {"alice": USERS["carol"], "bob": "word"}])
def test_failures_are_slowed_for_a_user_at_an_address(checked: list[Any], clock: Clock, users: dict[str, str]) -> None:
    check = gatekeeper(users)
    right = "pa:ss" if users["alice"] == "pa:ss" else "secret"
    assert check(basic(f"alice:{right}"), "192.0.2.1") == "alice"
    guesses = iter(range(1000))
    assert [refused(check, f"alice:{next(guesses)}") for _ in range(5)] == [401] * 5
    for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
        made = len(checked)
        assert {refused(check, f"alice:{next(guesses)}") for _ in range(3)} == {seconds}
        assert len(checked) == made
        # The others, and what is known by now
        assert check(basic(f"alice:{right}"), "192.0.2.1") == "alice"
        assert refused(check, "alice:0") == 401
        assert check(basic("bob:word"), "192.0.2.1") == "bob"
        assert check(basic(f"alice:{right}").replace(" ", " " * seconds), f"192.0.2.{seconds}") == "alice"
        clock.now += seconds
        assert refused(check, f"alice:{next(guesses)}") == 401
    clock.now += 60
    assert check(basic(f"alice:{right}").replace("Basic", "bAsIc"), "192.0.2.1") == "alice"
    assert [refused(check, f"alice:{next(guesses)}") for _ in range(6)] == [401] * 5 + [1]
    clock.now += attempts.FORGOTTEN
    assert [refused(check, f"alice:{next(guesses)}") for _ in range(6)] == [401] * 5 + [1]


@pytest.mark.parametrize(
    ("guess", "limit"),
    [
        (lambda number: (f"user{number}", "192.0.2.1"), attempts.ADDRESS),
        (lambda number: (f"user{number}", f"2001:db8::{number}"), attempts.ADDRESS),
        (lambda number: ("alice", f"2001:db8:{number}::1"), attempts.USER),
        (lambda number: ("alice", f"::ffff:192.0.2.{number}"), attempts.USER),
    ],
)
def test_many_users_or_addresses_are_kept_from_more_than_one_check_a_second(
    clock: Clock, guess: Any, limit: Any
) -> None:
    check = gatekeeper({"alice": "pa:ss"})
    assert check(basic("alice:pa:ss"), "192.0.2.1") == "alice"

    def tried(number: int) -> int:
        name, address = guess(number)
        return refused(check, f"{name}:{number}", address)

    assert [tried(number) for number in range(limit.free + 1)] == [401] * limit.free + [1]
    for number in range(200, 205):
        clock.now += 1
        assert [tried(number), tried(number + 20)] == [401, 1]
    assert check(basic("alice:pa:ss"), "192.0.2.1") == "alice"
    assert check(basic("alice:pa:ss").replace(" ", "  "), guess(199)[1]) == "alice"


def test_who_is_in_a_crowd_of_strangers_comes_in_at_the_next_try(checked: list[Any], clock: Clock) -> None:
    """Until then all are told the same at once: whether they are users does not show."""
    check = gatekeeper({"alice": "pa:ss", "bob": USERS["carol"], "carol": USERS["carol"], "dora": USERS["carol"]})
    for number in range(attempts.ADDRESS.free):
        assert refused(check, f"n{number}:x") == 401
    checked.clear()
    names = ("alice", "bob", "__token__", "nobody")
    assert {refused(check, f"{name}:{number}") for number in range(20) for name in names} == {1}
    assert check(basic("carol:secret"), "192.0.2.2") == "carol"  # elsewhere
    assert refused(check, "dora:secret") == 1
    until(lambda: said(check, "dora:secret", "192.0.2.1") == "dora", "dora")
    assert refused(check, "alice:pa:ss") == 1  # guessed at too often
    clock.now += 1
    assert [refused(check, f"{name}:0") for name in ("bob", "nobody")] == [401, 1]
    # Bob and the token are looked at five times, whoever comes; carol, dora and then bob once.
    assert len(checked) <= 2 * attempts.PAIR.free + 3


class Gate:
    """A slow hash that waits until it is let go, and knows how many are computed at once."""

    def __init__(self) -> None:
        self.lock, self.go = threading.Lock(), threading.Event()
        self.now = self.most = self.all = 0

    def __call__(self, known: str, password: str) -> bool:
        with self.lock:
            self.now, self.all = self.now + 1, self.all + 1
            self.most = max(self.most, self.now)
        assert self.go.wait(20)
        with self.lock:
            self.now -= 1
        return password == "secret"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr("werkzeug.security.check_password_hash", gate)
    return gate


def said(check: Any, user: str, address: str) -> Any:
    try:
        return check(basic(user), address)
    except (Unauthorized, TooManyAttempts) as error:
        return error.status


def test_strangers_who_guess_keep_nobody_out(gate: Gate) -> None:
    """Two checks at a time; who waits is bounded; the others are refused at once, so that threads stay free."""
    check = gatekeeper({"alice": "pa:ss", "bob": USERS["carol"], "carol": USERS["carol"]})
    with ThreadPoolExecutor(64) as pool:

        def guess(*attempts: tuple[str, str], answered: int) -> list[Any]:
            """Statuses to come, of which so many come although no check ends."""
            sent = [pool.submit(said, check, *attempt) for attempt in attempts]
            until(lambda: sum(each.done() for each in sent) == answered, "those that are refused")
            assert {each.result() for each in sent if each.done()} == {429}
            return sent

        free, share = attempts.PAIR.free, attempts.SHARE
        carol = guess(*((f"carol:{number}", "192.0.2.1") for number in range(64)), answered=64 - free)
        assert check(basic("alice:pa:ss"), "192.0.2.1") == "alice"  # plain: needs no turn
        first = pool.submit(said, check, "bob:secret", "192.0.2.1")
        until(lambda: places(check) == free + 1, "a place for bob")
        names = guess(*((f"n{number}:x", "192.0.2.1") for number in range(64)), answered=64 - share + free + 1)
        again = pool.submit(said, check, "bob:secret", "192.0.2.2")
        far = guess(*((f"n{number}:x", f"198.51.100.{number}") for number in range(100, 164)), answered=64 - 16 + share)
        until(lambda: gate.now == 2, "two checks")
        gate.go.set()
        assert [first.result(), again.result()] == ["bob", "bob"]
        assert [sum(each.result() == 401 for each in sent) for sent in (carol, names, far)] == [5, share - free - 1, 4]
    assert (gate.most, places(check)) == (attempts.CHECKS, 0) == (2, 0)


def test_one_header_is_checked_once_however_many_send_it_at_once(gate: Gate) -> None:
    check = gatekeeper({"carol": USERS["carol"]})
    with ThreadPoolExecutor(34) as pool:
        right = [pool.submit(said, check, "carol:secret", "192.0.2.1") for _ in range(17)]
        until(lambda: gate.now == 1, "the first check")
        until(lambda: turns_of(check)._joined == 16, "the others")
        assert said(check, "carol:secret", "192.0.2.1") == 429
        gate.go.set()
        assert {each.result() for each in right} == {"carol"}
        wrong = [pool.submit(said, check, "carol:wrong", "192.0.2.1") for _ in range(17)]
        assert {each.result() for each in wrong} == {401}
    assert gate.all == 2


def turns_of(check: Any) -> Turns:
    turns: Turns = check.__closure__[0].cell_contents._turns
    return turns


def places(check: Any) -> int:
    return len(turns_of(check)._places)


def test_the_log_tells_of_failures_and_never_of_passwords(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    check = gatekeeper({"alice": "pa:ss", "bob": "word"})
    for number in range(8):
        refused(check, f"alice:hunter{number}")
    refused(check, "hunter:x")
    refused(check, "hunter2\nERROR:", "192.0.2.2")
    refused(check, "alice:hunter9", "")
    clock.now += attempts.QUIET
    refused(check, "alice:hunter10")
    assert [record.getMessage() for record in caplog.records] == [
        "Failed logins of user 'alice' from 192.0.2.1: 1 wrong, 0 refused unchecked.",
        "Failed logins of an unknown user from 192.0.2.1: 1 wrong, 0 refused unchecked.",
        "Failed logins of an unknown user from 192.0.2.2: 1 wrong, 0 refused unchecked.",
        "Failed logins of user 'alice' from an unknown address: 1 wrong, 0 refused unchecked.",
        "Failed logins of user 'alice' from 192.0.2.1: 5 wrong, 3 refused unchecked.",
    ]


@pytest.mark.req("REQ-85")
def test_no_credentials_are_no_failure(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    check = gatekeeper({"alice": "pa:ss"})
    for header in ["", "Basic", "Basic !!!", "Negotiate abc"] * 50:
        with pytest.raises(Unauthorized):
            check(header, "192.0.2.1")
    assert check(basic("alice:pa:ss"), "192.0.2.1") == "alice"
    assert not caplog.records


@pytest.mark.parametrize("header", ["Authorization", "authorization", "AUTHORIZATION"])
def test_the_gateway_gets_a_policy_for_the_stage_of_this_api_only(header: str) -> None:
    policy = authorize({"headers": {header: basic("alice:pa:ss")}, "methodArn": ARN}, Authenticator(USERS))
    assert policy["principalId"] == "alice"
    [statement] = policy["policyDocument"]["Statement"]
    assert statement == {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": "arn:aws:execute-api:eu-west-1:123456789012:abc123/dev/*",
    }


@pytest.mark.parametrize("headers", [None, {}, {"Authorization": None}, {"Authorization": basic("alice:wrong")}])
def test_a_wrong_password_is_a_policy_that_denies_and_no_error(headers: Any) -> None:
    policy = authorize({"headers": headers, "methodArn": ARN}, Authenticator(USERS))
    assert policy["principalId"] == "nobody"
    [statement] = policy["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == (
        "Deny",
        "arn:aws:execute-api:eu-west-1:123456789012:abc123/dev/*",
    )


def test_who_has_to_wait_gets_a_401_that_the_gateway_does_not_keep(clock: Clock) -> None:
    check = Authenticator({"alice": "pa:ss"})

    def asked(login: str, address: str) -> Any:
        context = {"identity": {"sourceIp": address}}
        return authorize(
            {"headers": {"Authorization": basic(login)}, "methodArn": ARN, "requestContext": context}, check
        )

    for number in range(attempts.PAIR.free):
        assert asked(f"alice:{number}", "192.0.2.1")["principalId"] == "nobody"
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        asked("alice:pa:ss", "192.0.2.1")
    assert asked("alice:pa:ss", "192.0.2.2")["principalId"] == "alice"
