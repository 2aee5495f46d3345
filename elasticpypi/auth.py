"""Who is asking: HTTP Basic (RFC 7617), checked by the application and by the API Gateway authorizer alike."""

import base64
import binascii
import hashlib
import hmac
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from elasticpypi.attempts import Aside, Attempts, Failures, Turns
from elasticpypi.config import HASH
from elasticpypi.errors import Forbidden, TooManyAttempts, Unauthorized

if TYPE_CHECKING:
    from itsdangerous import Signer

CHALLENGE = 'Basic realm="elasticpypi", charset="UTF-8"'
TOKEN_USER = "__token__"
HOUR = 3600
FORM_HOURS = 12
REMEMBERED = 1000  # headers that were right, and as many that were wrong

Check = Callable[[str, str], str]
_Found = TypeVar("_Found")


def gatekeeper(users: Mapping[str, str]) -> Check:
    """Users and their passwords (plain, or Werkzeug hashes) → a check of an Authorization header from an address.

    The check returns the user's name, or raises :class:`Unauthorized`, or :class:`TooManyAttempts` without having
    looked. It remembers what it found, since a scrypt check costs 140 ms and pip sends credentials with every
    request; it keeps a keyed digest of the header, never the header. So whoever was let in before never waits, and
    the old password of a job that sends it again and again counts as one failure. The user name ``__token__``
    stands for whoever has the password, as clients send tokens (REQ-81).
    """
    secret = os.urandom(32)
    right: dict[bytes, str] = {}
    wrong: dict[bytes, None] = {}
    known = {*users, TOKEN_USER}
    attempts, in_crowds, failures = Attempts(), Attempts(), Failures(known)
    turns, quick, aside, remembering = Turns(), threading.Lock(), Aside(), threading.Lock()
    hashed = {user for user, password in users.items() if HASH.fullmatch(password)}
    slow = _one_of_each_method({user: users[user] for user in users if user in hashed})

    def check(authorization: str, address: str = "") -> str:
        digest = hashlib.blake2b(authorization.encode("utf-8", "surrogateescape"), key=secret).digest()
        while (user := right.get(digest)) is None:
            credentials = _credentials(authorization)
            if credentials is None or digest in wrong:
                text = "wrong user name or password" if authorization else "this index needs a user name and a password"
                if len(hashed) > len(slow) and credentials and _is_token(users, credentials[0]):
                    text = f"wrong password, or not one that goes with {TOKEN_USER} but needs its user name"
                raise Unauthorized(f"{text.capitalize()}: give both with HTTP Basic authentication.")
            if seconds := look(digest, *credentials, address):
                failures.tell(credentials[0], address, refused=1)
                text = "Too many logins failed or are under way"
                raise TooManyAttempts(f"{text}: try again in {seconds} s.", seconds)
        return user

    def look(digest: bytes, name: str, password: str, address: str) -> int:
        """Find out whether these are right, or wait for the thread that does: it is remembered, and 0 comes back.

        Or the seconds after which to try again.
        """
        if seconds := attempts.crowd(name, address):
            look_in_a_crowd(digest, name, password, address)
            return 0 if digest in right else seconds
        if seconds := attempts.pair(name, address):
            return seconds
        user = _plain(users, name, password)
        with quick if user or not slow else turns.place(digest, address) as mine:
            if mine is None:
                return 1
            if not mine or digest in right or digest in wrong:  # by another thread
                return 0
            if seconds := attempts.begin(name, address):
                return seconds
            if user is None and slow:
                with turns.checks:
                    user = _hashed(users, slow, name, password)
            if not found(digest, name, address, user, attempts):
                with remembering:
                    _remember(wrong, digest, None)
            return 0

    def look_in_a_crowd(digest: bytes, name: str, password: str, address: str) -> None:
        """Where too many guess, all are told to wait, at once; a user who was right is let in at the next try.

        So nobody who is behind the same proxy is kept out, and nobody learns from status or time who is a user.
        """
        if name not in known or in_crowds.begin(name, address):
            return
        user = _plain(users, name, password)
        if user or not (name in hashed or (slow and _is_token(users, name))):
            found(digest, name, address, user, in_crowds)
        else:
            aside.put(partial(look_aside, digest, name, password, address))

    def look_aside(digest: bytes, name: str, password: str, address: str) -> None:
        if digest in right:  # it was put aside twice
            return
        with turns.checks:
            found(digest, name, address, _hashed(users, slow, name, password), in_crowds)

    def found(digest: bytes, name: str, address: str, user: str | None, counted: Attempts) -> bool:
        if user is None:
            failures.tell(name, address, wrong=1)
        else:
            with remembering:
                _remember(right, digest, user)
            counted.succeeded(name, address)
        return user is not None

    return check


def address_of(environ: Mapping[str, Any]) -> str:
    """The address that a request comes from, as the proxies tell it who are believed (``proxies.behind``)."""
    return environ.get("REMOTE_ADDR") or ""


def form_token(users: Mapping[str, str], user: str) -> str:
    """What a form on a page of ours carries for this user, good for 11 to 12 hours.

    It is signed with what the user knows anyway, so that all workers agree without one more secret, and
    nobody learns anything about the password of somebody else. For an hour it stays the same, and so does
    the ETag of a page that has it.
    """
    return _signer(users, user).sign(f"{user}:{_hour()}").decode()


def check_form_token(users: Mapping[str, str], user: str, token: str) -> None:
    """:class:`Forbidden` if a form did not come from a page that we gave to this user."""
    from itsdangerous import BadSignature

    try:
        name, _, hour = _signer(users, user).unsign(token).decode().rpartition(":")
        if name == user and _hour() - int(hour) < FORM_HOURS:
            return
    except BadSignature:
        pass
    raise Forbidden("The form is not from a page of this index, or too old: load the page again.")


def _signer(users: Mapping[str, str], user: str) -> "Signer":
    from itsdangerous import Signer

    return Signer(_form_key(users[user]), salt="elasticpypi forms", digest_method=hashlib.sha256)


@lru_cache(maxsize=100)
def _form_key(password: str) -> bytes:
    """Slow to make, so that whoever finds a page with a token cannot guess a plain password by it."""
    return hashlib.scrypt(password.encode(), salt=b"elasticpypi forms", n=2**14, r=8, p=1)


def _hour() -> int:
    return int(time.time()) // HOUR


def _remember(table: "dict[bytes, _Found]", digest: bytes, value: "_Found") -> None:
    """The oldest makes room. What is right and what is wrong are apart, so strangers forget nobody for us."""
    if len(table) >= REMEMBERED:
        del table[next(iter(table))]
    table[digest] = value


def _is_token(users: Mapping[str, str], name: str) -> bool:
    return name == TOKEN_USER and TOKEN_USER not in users


def _plain(users: Mapping[str, str], name: str, password: str) -> str | None:
    """The user whose plain password this is."""
    asked = users if _is_token(users, name) else [name] if name in users else []
    plain = ((user, users[user]) for user in asked if not HASH.fullmatch(users[user]))
    right = [user for user, known in plain if hmac.compare_digest(password.encode(), known.encode())]
    return right[0] if right else None


def _one_of_each_method(users: Mapping[str, str]) -> dict[str, str]:
    """Users with hashes → the first user of each method and its cost, of which there is nearly always one."""
    first: dict[str, str] = {}
    for user, known in users.items():
        first.setdefault(_method(known), user)
    return first


def _hashed(users: Mapping[str, str], slow: Mapping[str, str], name: str, password: str) -> str | None:
    """The user whose hashed password this is; ``slow`` has a user of each method.

    Each method is computed once, whoever is asked for, so that nobody learns from the time who is a user, or of which
    kind. ``__token__`` names nobody, and is held against the first of each method (RATIONALE.md).
    """
    if name in users and HASH.fullmatch(users[name]):
        slow = {**slow, _method(users[name]): name}
    accepted = set(slow.values()) if _is_token(users, name) else {name}
    for user in slow.values():
        if _matches(password, users[user]) and user in accepted:
            return user
    return None


def _method(known: str) -> str:
    return known.partition("$")[0]


def _credentials(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = decoded.decode("utf-8")
    except UnicodeDecodeError:
        text = decoded.decode("latin-1")  # what requests, and so pip and twine, make of "é"
    name, colon, password = text.partition(":")
    return (name, password) if colon else None


def _matches(password: str, known: str) -> bool:
    from werkzeug.security import check_password_hash

    try:
        return check_password_hash(known, password)
    except ValueError:  # an algorithm that is not known here
        return False


def authorize(event: Mapping[str, Any], check: Check) -> dict[str, Any]:
    """An API Gateway request authorizer: its event → a policy for the whole stage of this one API.

    The gateway keeps a policy for all paths, so it must not depend on the path; the application checks
    again. One that denies is a 401 too (``serverless.yml``), and no error of the function. But it is kept, so whoever
    has to wait gets ``Exception("Unauthorized")``, the gateway's other way to 401 (AWS: Lambda authorizers); it knows
    no 429.
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    identity = (event.get("requestContext") or {}).get("identity") or {}
    try:
        user, effect = check(headers.get("authorization") or "", identity.get("sourceIp") or ""), "Allow"
    except Unauthorized:
        user, effect = "nobody", "Deny"
    except TooManyAttempts:
        raise Exception("Unauthorized") from None  # the gateway wants this very text
    stage = "/".join(event["methodArn"].split("/")[:2])
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{stage}/*"}
    return {"principalId": user, "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
