"""https on one machine: certificate and key, checked before they are used, looked at again since they are renewed."""

import logging
import os
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from elasticpypi.core.errors import ConfigurationError

LOOK = 5.0  # seconds between two looks at the files
PATIENCE = 10.0  # seconds for a server to show what it makes of them
NOT_ITS_KEY = "KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"  # of OpenSSL
TOO_WEAK = "EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"
KEPT = sys.platform == "linux"  # in memory, for processes that start later on

log = logging.getLogger(__name__)


class Certificate:
    """``TLS_CERT`` and ``TLS_KEY`` as they were when they were good, whatever is in the files now.

    ``cert`` and ``key`` are paths to that, for this process and its forks. ``serves`` tells of two paths whether the
    server can use them.
    """

    def __init__(self, cert: Path, key: Path, serves: Callable[[str, str], bool]) -> None:
        self._files = {"TLS_CERT": cert, "TLS_KEY": key}
        self._serves = serves
        self._used: list[bytes] = []
        self._held: list[int] = []
        self._looked: object = None
        self._seen: object = None
        self.cert, self.key = str(cert.resolve()), str(key.resolve())

    def load(self) -> None:
        """Use what the files have now; :class:`ConfigurationError` if that cannot be, and nothing has changed."""
        self._looked = self._seen = self._marks()
        read = [_read(name, path) for name, path in self._files.items()]
        if read == self._used:
            return
        held = [_hold(content) for content in read] if KEPT else []
        cert, key = [f"/proc/self/fd/{each}" for each in held] or [str(each.resolve()) for each in self._files.values()]
        try:
            self._check(cert, key, *read)
        except ConfigurationError:
            _release(held)
            raise
        if self._used:
            log.info("The certificate of TLS_CERT is another one: it is used from now on.")
        _release(self._held)
        self._used, self._held, self.cert, self.key = read, held, cert, key

    def changed(self) -> bool:
        """Whether the files have something else than at the last :meth:`load`, and had it at the last call of this.

        Who renews them replaces one after the other.
        """
        now, before = self._marks(), self._looked
        self._looked = now
        if now == self._seen or now != before:
            return False
        with suppress(OSError):
            if [path.read_bytes() for path in self._files.values()] == self._used:
                self._seen = now
                return False
        return True

    def _marks(self) -> object:
        marks = []
        for path in self._files.values():
            with suppress(OSError):
                stat = path.stat()
                marks.append((path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
        return marks

    def _check(self, cert: str, key: str, cert_text: bytes, key_text: bytes) -> None:
        if b"-----BEGIN CERTIFICATE-----" not in cert_text:
            raise ConfigurationError(f"TLS_CERT: the file {str(self._files['TLS_CERT'])!r} has no certificate in PEM.")
        if b"PRIVATE KEY-----" not in key_text:
            raise ConfigurationError(f"TLS_KEY: the file {str(self._files['TLS_KEY'])!r} has no private key in PEM.")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, _no_password)
            served = self._serves(cert, key)
        except ssl.SSLError as error:
            if error.reason in NOT_ITS_KEY:
                raise ConfigurationError("TLS_KEY is not the key of the first certificate in TLS_CERT.") from None
            if error.reason not in TOO_WEAK:
                raise ConfigurationError("TLS_CERT or TLS_KEY is damaged: is each file whole, and PEM?") from None
            served = False
        if not served:
            raise ConfigurationError(
                "TLS_CERT and TLS_KEY cannot be served: take a certificate of version 3 and a key that is RSA of 2048 "
                "bits or more, ECDSA on P-256 or P-384, or Ed25519."
            )


def shakes_hands(port: int) -> bool:
    """Whether a server on this machine speaks TLS, whatever its name and who vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except OSError:
        return False


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"{name}: the file {str(path)!r} cannot be read ({reason}).") from None


def _hold(content: bytes) -> int:
    descriptor = os.memfd_create("tls")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor


def _release(descriptors: list[int]) -> None:
    for each in descriptors:
        os.close(each)


def _no_password() -> str:
    raise ConfigurationError("TLS_KEY needs a password: take it off with `openssl pkey -in KEY -out NEW_KEY`.")
