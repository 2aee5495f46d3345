"""Who is asking: HTTP Basic (RFC 7617), checked by the application and by the API Gateway authorizer alike."""

import base64
import binascii
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from elasticpypi.config import HASH
from elasticpypi.errors import Forbidden, Unauthorized

if TYPE_CHECKING:
    from itsdangerous import Signer

CHALLENGE = 'Basic realm="elasticpypi", charset="UTF-8"'
TOKEN_USER = "__token__"
HOUR = 3600
FORM_HOURS = 12
REMEMBERED = 1000


def gatekeeper(users: Mapping[str, str]) -> Callable[[str], str]:
    """Users and their passwords (plain, or Werkzeug hashes) → a check of an Authorization header.

    The check returns the user's name and raises :class:`Unauthorized` for anything else. It remembers
    what it found, since a scrypt check costs 140 ms and pip sends credentials with every request; it
    keeps a keyed digest of the header, never the header. The user name ``__token__`` stands for
    whoever has the password, as clients send tokens (REQ-81).
    """
    secret = os.urandom(32)
    remembered: dict[bytes, str | None] = {}

    def check(authorization: str) -> str:
        digest = hashlib.blake2b(authorization.encode("utf-8", "surrogateescape"), key=secret).digest()
        if digest not in remembered:
            if len(remembered) >= REMEMBERED:
                remembered.clear()
            remembered[digest] = _user_of(authorization, users)
        user = remembered[digest]
        if user is None:
            text = "wrong user name or password" if authorization else "this index needs a user name and a password"
            raise Unauthorized(f"{text.capitalize()}: give both with HTTP Basic authentication.")
        return user

    return check


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

    return Signer(users[user], salt="elasticpypi forms", digest_method=hashlib.sha256)


def _hour() -> int:
    return int(time.time()) // HOUR


def _user_of(authorization: str, users: Mapping[str, str]) -> str | None:
    credentials = _credentials(authorization)
    if credentials is None:
        return None
    name, password = credentials
    if name == TOKEN_USER and TOKEN_USER not in users:
        matching = [user for user, known in users.items() if _matches(password, known)]
        return matching[0] if matching else None
    # An unknown user costs as much time as a known one.
    known = users.get(name) or next(iter(users.values()), "")
    return name if _matches(password, known) and name in users else None


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
    if not HASH.fullmatch(known):
        return hmac.compare_digest(password.encode(), known.encode())
    from werkzeug.security import check_password_hash

    try:
        return check_password_hash(known, password)
    except ValueError:  # an algorithm that is not known here
        return False


def authorize(event: Mapping[str, Any], check: Callable[[str], str]) -> dict[str, Any]:
    """An API Gateway request authorizer: its event → a policy for the whole stage of this one API.

    The gateway keeps a policy for all paths, so it must not depend on the path; the application checks
    again. ``Exception("Unauthorized")`` is how the gateway wants to hear of a 401 (AWS: Lambda authorizers).
    """
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    try:
        user = check(headers.get("authorization") or "")
    except Unauthorized:
        raise Exception("Unauthorized") from None  # the gateway wants this very text
    stage = "/".join(event["methodArn"].split("/")[:2])
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{stage}/*"}
    return {"principalId": user, "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
