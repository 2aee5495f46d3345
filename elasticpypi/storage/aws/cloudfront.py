"""CloudFront in front of the bucket: links to large files, signed with a key that its distribution trusts."""

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from elasticpypi.core.errors import ConfigurationError
from elasticpypi.core.model import File

# RFC 8017, section 9.2: what stands before a SHA-256 digest that is signed.
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class RsaKey(NamedTuple):
    """RFC 8017, A.1.2: RSAPrivateKey."""

    version: int
    n: int
    e: int
    d: int
    p: int
    q: int
    dp: int
    dq: int
    qinv: int


def linker(host: str, key_id: str, key: str, window: int) -> Callable[[File], str]:
    """A function that makes the link of a file, the same for ``window`` seconds and good for twice as long.

    ``host`` is that of the distribution, ``key_id`` the id of the public key that it trusts, ``key`` the private
    one as PEM. :class:`ConfigurationError` if that is no RSA key.
    """
    private = _read(key)

    @lru_cache(maxsize=1024)
    def link(url: str, expires: int) -> str:
        # AWS: "Create a signed URL using a canned policy". White space counts.
        condition = {"DateLessThan": {"AWS:EpochTime": expires}}
        policy = json.dumps({"Statement": [{"Resource": url, "Condition": condition}]}, separators=(",", ":"))
        signature = base64.b64encode(_sign(private, policy.encode())).decode().translate(str.maketrans("+=/", "-_~"))
        return f"{url}&Expires={expires}&Signature={signature}&Key-Pair-Id={key_id}&Hash-Algorithm=SHA256"

    def sign(file: File) -> str:
        begin = int(time.time()) // window * window
        # The digest makes another address of other bytes, for the caches of the edge; S3 ignores what begins with x-.
        return link(f"https://{host}/{quote(file.key)}?x-sha256={file.sha256}", begin + 2 * window)

    return sign


def _sign(key: RsaKey, message: bytes) -> bytes:
    """RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2.1)."""
    size = (key.n.bit_length() + 7) // 8
    info = DIGEST_INFO + hashlib.sha256(message).digest()
    number = int.from_bytes(b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info)
    # Blinded, so that the time it takes tells nothing of the key; by parts, which takes a third of the time.
    blind = int.from_bytes(os.urandom(size)) % (key.n - 2) + 2
    blinded = number * pow(blind, key.e, key.n) % key.n
    by_p, by_q = pow(blinded, key.dp, key.p), pow(blinded, key.dq, key.q)
    signature = (by_q + key.q * ((by_p - by_q) * key.qinv % key.p)) * pow(blind, -1, key.n) % key.n
    if pow(signature, key.e, key.n) != number:  # one that is wrong would give the key away
        raise ArithmeticError("The private key of CloudFront does not sign: it is damaged.")
    return signature.to_bytes(size)


def _read(pem: str) -> RsaKey:
    """A key as openssl writes it: PKCS #8 (RFC 5208), or PKCS #1 (RFC 8017)."""
    begun = re.search(r"-----BEGIN (?:RSA )?PRIVATE KEY-----([^-]+)-----END", pem)
    try:
        der = base64.b64decode("".join(begun[1].split()), validate=True) if begun else b""
        elements = list(_elements(next(_elements(der))))
        if len(elements) < len(RsaKey._fields):  # PKCS #8: version, algorithm, and in a string the key itself
            elements = list(_elements(next(_elements(elements[2]))))
        return RsaKey(*map(int.from_bytes, elements))
    except (ValueError, IndexError, StopIteration, TypeError):
        raise ConfigurationError(
            "CLOUDFRONT_KEY must be an RSA key in PEM, as `openssl genrsa 2048` makes one."
        ) from None


def _elements(der: bytes) -> Iterator[bytes]:
    """The contents of the elements of DER, one after the other (X.690, section 8.1)."""
    while der:
        length, start = der[1], 2
        if length > 127:
            start += length - 128
            length = int.from_bytes(der[2:start])
        content, der = der[start : start + length], der[start + length :]
        if len(content) < length:
            raise ValueError("The DER ends too early.")
        yield content
