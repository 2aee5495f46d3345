"""What a form on a page of ours carries, so that no other site can have a browser send it.

Tokens are signed with a secret of their own, which lies in the store and is made by the first who needs it. So all
workers and functions agree, and a token tells nothing about any password.
"""

import hashlib
import io
import logging
import secrets
import socket
import time
from contextlib import suppress

from itsdangerous import BadSignature, Signer

from elasticpypi.core.errors import AlreadyExists, Changed, Forbidden, NotFound, Refusal
from elasticpypi.storage.contracts import Files

KEY = ".secrets/forms"  # of the store: hidden, so that nobody is served it
LENGTH = 32  # bytes
HOUR = 3600
HOURS = 12
LOOKS = 5

log = logging.getLogger(__name__)


class FormTokens:
    """Tokens of the forms of an index, by its secret in ``files``."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._secret, self._name = b"", ""

    def make(self, user: str) -> str:
        """A token for this user, good for 11 to 12 hours.

        For an hour it stays the same, and so does the ETag of a page that has it.
        """
        return self._signer().sign(f"{user}:{_hour()}").decode()

    def check(self, user: str, token: str) -> None:
        """:class:`Forbidden` if a form did not come from a page that we gave to this user."""
        with suppress(BadSignature):
            name, _, hour = self._signer().unsign(token).decode().rpartition(":")
            if name == user and _hour() - int(hour) < HOURS:
                return
        raise Forbidden("The form is not from a page of this index, or too old: load the page again.")

    def name_of_index(self) -> str:
        """A name that this index has alone, and that tells nothing about the secret.

        A copy of its folder has the same secret, in a file of its own or on a machine of its own.
        """
        if not self._name:
            self._secret = self._secret or _secret(self._files)
            stat = self._files.stat(KEY)
            place = f"{stat.revision if stat else ''} {socket.gethostname()}".encode()
            self._name = f"elasticpypi-{hashlib.blake2b(place, key=self._secret, digest_size=8).hexdigest()}"
        return self._name

    def _signer(self) -> Signer:
        self._secret = self._secret or _secret(self._files)
        return Signer(self._secret, salt="elasticpypi forms", digest_method=hashlib.sha256)


def _secret(files: Files) -> bytes:
    """The secret in the store. Where none can be kept, nothing can be changed: this process makes one for itself."""
    for _ in range(LOOKS):
        with suppress(NotFound, Changed):  # it is just being made
            if (stat := files.stat(KEY)) and stat.size == LENGTH:
                with files.open(stat) as content:
                    return content.read()
        made = secrets.token_bytes(LENGTH)
        with suppress(AlreadyExists):
            try:
                files.save(KEY, io.BytesIO(made), hashlib.sha256(made).hexdigest())
            except (OSError, Refusal) as error:
                if isinstance(error, AlreadyExists):
                    raise
                log.warning("The secret of forms cannot be kept, they will work in one process only: %s", error)
            return made
    return secrets.token_bytes(LENGTH)


def _hour() -> int:
    return int(time.time()) // HOUR
