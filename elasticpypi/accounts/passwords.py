"""Who is asking: HTTP Basic (RFC 7617), checked by the application and by the API Gateway authorizer alike."""

import base64
import binascii
import hashlib
import hmac
import os
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from elasticpypi.accounts.attempts import Aside, Attempts, Failures, Note, Turns
from elasticpypi.accounts.principal import Principal
from elasticpypi.config import HASH
from elasticpypi.core.errors import TooManyAttempts, Unauthorized

CHALLENGE = 'Basic realm="elasticpypi", charset="UTF-8"'
TOKEN_USER = "__token__"
REMEMBERED = 1000  # headers that were right, and as many that were wrong
LASTS = 3600.0  # seconds; then a header is looked at again

_Found = TypeVar("_Found")


class Authenticator:
    """Users and their passwords (plain, or Werkzeug hashes) → who sends an Authorization header.

    It remembers what it found, for ``LASTS`` seconds, since a scrypt check costs 140 ms and pip sends credentials with
    every request; it keeps a keyed digest of the header, never the header. So whoever was let in before does not wait,
    and the old password of a job that sends it again and again counts as one failure. The user name ``__token__``
    stands for whoever has the password, as clients send tokens (REQ-81). ``note`` is told of failures, now and then.
    """

    def __init__(self, users: Mapping[str, str], note: Note | None = None) -> None:
        self._users = users
        self._secret = os.urandom(32)
        self._right: dict[bytes, tuple[Principal, float]] = {}  # until when
        self._wrong: dict[bytes, float] = {}
        self._remembering = threading.Lock()
        known = {*users, TOKEN_USER}
        self._known = known
        self._hashed = {user for user, password in users.items() if HASH.fullmatch(password)}
        self._methods = _one_of_each_method({user: users[user] for user in users if user in self._hashed})
        self._attempts, self._in_crowds = Attempts(), Attempts()
        self._failures = Failures(known, note)
        self._turns, self._quick, self._aside = Turns(), threading.Lock(), Aside()

    def __call__(self, authorization: str, address: str = "") -> Principal:
        """The principal of a header from an address.

        :class:`Unauthorized` if it is nobody's, :class:`TooManyAttempts` without having looked.
        """
        digest = hashlib.blake2b(authorization.encode("utf-8", "surrogateescape"), key=self._secret).digest()
        while (principal := self._found_right(digest)) is None:
            credentials = _credentials(authorization)
            if credentials is None or self._found_wrong(digest):
                raise Unauthorized(self._why_not(authorization, credentials))
            if seconds := self._look(digest, *credentials, address):
                self._failures.tell(credentials[0], address, refused=1)
                text = "Too many logins failed or are under way"
                raise TooManyAttempts(f"{text}: try again in {seconds} s.", seconds)
        return principal

    def _found_right(self, digest: bytes) -> Principal | None:
        found = self._right.get(digest)
        return found[0] if found and time.monotonic() < found[1] else None

    def _found_wrong(self, digest: bytes) -> bool:
        return time.monotonic() < self._wrong.get(digest, 0.0)

    def _why_not(self, authorization: str, credentials: tuple[str, str] | None) -> str:
        text = "wrong user name or password" if authorization else "this index needs a user name and a password"
        if len(self._hashed) > len(self._methods) and credentials and _is_token(self._users, credentials[0]):
            text = f"wrong password, or not one that goes with {TOKEN_USER} but needs its user name"
        return f"{text.capitalize()}: give both with HTTP Basic authentication."

    def _look(self, digest: bytes, name: str, password: str, address: str) -> int:
        """Find out whether these are right, or wait for the thread that does: it is remembered, and 0 comes back.

        Or the seconds after which to try again.
        """
        if seconds := self._attempts.crowd(name, address):
            self._look_in_a_crowd(digest, name, password, address)
            return 0 if self._found_right(digest) else seconds
        if seconds := self._attempts.pair(name, address):
            return seconds
        user, slow = _plain(self._users, name, password), self._methods
        with self._quick if user or not slow else self._turns.place(digest, address) as mine:
            if mine is None:
                return 1
            if not mine or self._found_right(digest) or self._found_wrong(digest):  # by another thread
                return 0
            if seconds := self._attempts.begin(name, address):
                return seconds
            if user is None and slow:
                with self._turns.checks:
                    user = _hashed(self._users, slow, name, password)
            if not self._found(digest, name, address, user, self._attempts):
                self._remember(self._wrong, digest, time.monotonic() + LASTS)
            return 0

    def _look_in_a_crowd(self, digest: bytes, name: str, password: str, address: str) -> None:
        """Where too many guess, all are told to wait, at once; a user who was right is let in at the next try.

        So nobody who is behind the same proxy is kept out, and nobody learns from status or time who is a user.
        """
        if name not in self._known or self._in_crowds.begin(name, address):
            return
        user = _plain(self._users, name, password)
        if user or not (name in self._hashed or (self._methods and _is_token(self._users, name))):
            self._found(digest, name, address, user, self._in_crowds)
        else:
            self._aside.put(partial(self._look_aside, digest, name, password, address))

    def _look_aside(self, digest: bytes, name: str, password: str, address: str) -> None:
        if self._found_right(digest):  # it was put aside twice
            return
        with self._turns.checks:
            self._found(digest, name, address, _hashed(self._users, self._methods, name, password), self._in_crowds)

    def _found(self, digest: bytes, name: str, address: str, user: str | None, counted: Attempts) -> bool:
        if user is None:
            self._failures.tell(name, address, wrong=1)
        else:
            self._remember(self._right, digest, (Principal(user), time.monotonic() + LASTS))
            counted.succeeded(name, address)
        return user is not None

    def _remember(self, table: dict[bytes, _Found], digest: bytes, value: _Found) -> None:
        """The oldest makes room. What is right and what is wrong are apart, so strangers forget nobody for us."""
        with self._remembering:
            table.pop(digest, None)
            if len(table) >= REMEMBERED:
                del table[next(iter(table))]
            table[digest] = value


def address_of(environ: Mapping[str, Any]) -> str:
    """The address that a request comes from, as the proxies tell it who are believed (``proxies.behind``)."""
    return environ.get("REMOTE_ADDR") or ""


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
