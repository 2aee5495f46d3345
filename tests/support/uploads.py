"""What uploads are made of, what is wrong with them, and what is said then."""

import hashlib
from pathlib import Path

from werkzeug.test import TestResponse

from tests.support.application import PASSWORD, basic
from tests.support.builders import BOUNDARY, metadata


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


REFUSED = [
    ({"sha256_digest": "00" * 32}, "'sha256_digest' does not fit the file: it says 0000"),
    ({"blake2_256_digest": "00" * 32}, "'blake2_256_digest' does not fit the file"),
    ({"md5_digest": "00" * 16}, "'md5_digest' does not fit the file"),
    ({"md5_digest": "A" * 22}, "'md5_digest' does not fit the file"),
    ({"sha256_digest": "00"}, "'sha256_digest' must be 64 hex digits, not '00'"),
    ({"sha256_digest": "zz" * 32}, "'sha256_digest' must be 64 hex digits"),
    ({"sha256_digest": None, "blake2_256_digest": None}, "The form has no digest"),
    ({":action": "submit"}, "':action' must be 'file_upload', not 'submit'"),
    ({":action": None}, "':action' must be 'file_upload', not ''"),
    ({"protocol_version": "2"}, "'protocol_version' must be 1, not '2'"),
    ({"filetype": None}, "'filetype' must be 'bdist_wheel' or 'sdist', not ''"),
    ({"filetype": "bdist_egg"}, "'filetype' must be 'bdist_wheel' or 'sdist', not 'bdist_egg'"),
    ({"filetype": "sdist"}, "'filetype' says sdist, the file name"),
    ({"name": "other"}, "The form names the project 'other', the file 'demo-b'"),
    ({"name": "-x"}, "'-x' is not a project name"),
    ({"version": "2.0"}, "The form has version '2.0', the file '1.0'"),
    ({"version": "foo"}, "'foo' in the form is not a version"),
]
CORES = [
    (b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", "METADATA names the project 'other', the file name 'demo'"),
    (b"Metadata-Version: 2.1\nName: demo\nVersion: 1.1\n", "METADATA has version '1.1', the file name '1.0'"),
    (b"Metadata-Version: 2.1\nName: demo\nVersion: one\n", "'one' in METADATA is not a version"),
    (b"Metadata-Version: 2.1\nVersion: 1.0\n", "METADATA has no Name"),
    (b"Name: demo\nVersion: 1.0\n", "METADATA has no Metadata-Version"),
    (b"", "METADATA has no Metadata-Version"),
    (b"Metadata-Version: 3.0\nName: demo\nVersion: 1.0\n", "METADATA has Metadata-Version '3.0'"),
    (b"Metadata-Version: 2.1\nName: d\xe9mo\nVersion: 1.0\n", "METADATA is not UTF-8: byte 29"),
    (b"\xef\xbb\xbfMetadata-Version: 2.1\nName: demo\nVersion: 1.0\n", "METADATA has no Metadata-Version"),
    (
        metadata("demo", "1.0", requires_python=">=" + "3" * 600),
        "Requires-Python in METADATA is longer than 500 characters",
    ),
    (metadata("demo", "1.0", requires_dist=["a; " + "(" * 30]), "Requires-Dist 'a; ((("),
    (metadata("demo", "1.0", requires_dist=["a; " + "(" * 4900]), "METADATA has a Requires-Dist with more than 30 par"),
    (f"Metadata-Version: 2.1\nName: demo\nVersion: {'1' * 5000}\n".encode(), "'1111111"),
    (metadata("demo", "1.0", requires_python="junk"), "Requires-Python 'junk' in METADATA is no version specifier"),
    (metadata("demo", "1.0", requires_dist=["junk junk"]), "Requires-Dist 'junk junk' in METADATA cannot be read"),
    (metadata("demo", "1.0", description="x" * 5_000_000), "demo-1.0.dist-info/METADATA is larger than 4194304 bytes"),
]


def one_line(response: TestResponse) -> str:
    """The sentence of a refusal."""
    text = response.text
    assert response.mimetype == "text/plain"
    assert text.endswith("\n")
    assert text[:-1].isprintable(), ascii(text)
    assert 1 < len(text) <= 501
    for wrong in ("<html", "<!doctype", "traceback (most recent"):
        assert wrong not in text.lower()
    for secret in (PASSWORD, basic(f"alice:{PASSWORD}")):
        assert secret not in text
    return text[:-1]


def part(name: str, value: str | bytes, more: str = "", headers: str = "") -> bytes:
    """One part of a form; ``more`` follows the name (a file name), ``headers`` follow that line."""
    data = value.encode() if isinstance(value, str) else value
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n'
    return head.encode() + data + b"\r\n"
