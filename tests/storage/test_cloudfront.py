"""Links of CloudFront, against the signers and verifiers of others."""

import base64
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from packaging.utils import NormalizedName

from elasticpypi.config import Config
from elasticpypi.core.errors import ConfigurationError
from elasticpypi.core.model import File
from elasticpypi.storage.aws import cloudfront
from elasticpypi.storage.aws.cloudfront import linker
from elasticpypi.storage.aws.s3 import INLINE
from elasticpypi.wiring import services
from tests.support.moto_aws import BUCKET, TABLE

HOST = "d111111abcdef8.cloudfront.net"
NOW = 1_800_000_000
KEYS = [
    "demo-1.0.tar.gz",
    "team a/demo-1.0+local.1-py3-none-any.whl",
    "d\u00e9mo~x_y-1!0.1.tar.gz",
    'a"b\\c&d=e?f#g%20.zip',
]


def a_file(key: str = KEYS[0], sha256: str = "ab" * 32, size: int = INLINE + 1) -> File:
    return File(key, NormalizedName("demo"), "1.0", size, sha256, "2026-01-31T12:00:00.000000Z", "r1")


def pem(key: RSAPrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudfront.time, "time", lambda: float(NOW))


@pytest.mark.parametrize("name", KEYS)
def test_a_link_is_what_the_signer_of_aws_makes(key: RSAPrivateKey, name: str) -> None:
    link = linker(HOST, "K2JCJMDEHXQW5F", pem(key), 600)(a_file(name))
    # That of botocore leaves the algorithm to its caller, and knows no parameter for it yet.
    signer = CloudFrontSigner("K2JCJMDEHXQW5F", lambda message: key.sign(message, PKCS1v15(), SHA256()))
    url, _, _ = link.partition("&")
    expected = signer.generate_presigned_url(url, datetime.fromtimestamp(NOW + 1200, UTC))
    assert link == f"{expected}&Hash-Algorithm=SHA256"
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", HOST, "")
    assert parse_qs(parts.query)["x-sha256"] == ["ab" * 32]


@pytest.mark.parametrize("option", [[], ["-traditional"]])
def test_openssl_makes_the_key_and_believes_the_signature(tmp_path: Path, option: list[str]) -> None:
    def openssl(*arguments: str | Path) -> str:
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout

    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_text(openssl("genrsa", *option, "2048"))
    openssl("rsa", "-in", private, "-pubout", "-out", public)
    link = linker(HOST, "K1", private.read_text(), 600)(a_file())
    url, _, rest = link.partition("&")
    query = parse_qs(rest)
    policy, signature = tmp_path / "policy", tmp_path / "signature"
    expires = query["Expires"][0]
    policy.write_text(
        f'{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}'
    )
    signature.write_bytes(base64.b64decode(query["Signature"][0].translate(str.maketrans("-_~", "+=/"))))
    assert openssl("dgst", "-sha256", "-verify", public, "-signature", signature, policy) == "Verified OK\n"


def test_many_keys_sign_as_they_should() -> None:
    for bits in (1024, 1025, 1536, 2047, 2048) * 2:
        key = generate_private_key(65537, bits)
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            read = cloudfront._read(pem(key, form))
            assert cloudfront._sign(read, b"message") == key.sign(b"message", PKCS1v15(), SHA256())


def test_a_link_is_the_same_within_a_window_and_lives_for_two(
    key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = (linker(HOST, "K1", pem(key), 600) for _ in range(2))  # two processes
    link = first(a_file())
    assert parse_qs(link)["Expires"] == [str(NOW + 1200)]
    monkeypatch.setattr(cloudfront.time, "time", lambda: NOW + 599.9)
    assert again(a_file()) == first(a_file()) == link
    monkeypatch.setattr(cloudfront.time, "time", lambda: NOW + 600.0)
    assert first(a_file()) != link


def test_other_bytes_have_another_address(key: RSAPrivateKey) -> None:
    link = linker(HOST, "K1", pem(key), 600)
    assert link(a_file(sha256="ab" * 32)).partition("&")[0] != link(a_file(sha256="cd" * 32)).partition("&")[0]


@pytest.mark.usefixtures("aws")
def test_only_large_files_have_one(key: RSAPrivateKey) -> None:
    config = Config(bucket=BUCKET, table=TABLE, cloudfront_host=HOST, cloudfront_key_id="K1", cloudfront_key=pem(key))
    files = services(config).files
    assert (files.url(a_file()) or "").startswith(f"https://{HOST}/demo-1.0.tar.gz?")
    assert files.url(a_file(size=INLINE)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: "a key",
        lambda text: text.replace("PRIVATE", "PUBLIC"),
        lambda text: text.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        lambda text: text.replace("PRIVATE", "EC PRIVATE"),
        lambda text: text[:300] + text[-30:],
        lambda text: text[:-40] + text[-36:],  # one group less
        lambda text: text.replace("M", "\u00e9", 1),
        lambda text: text.partition("\n")[0] + "\nMA==\n" + text[-30:],
    ],
)
def test_what_is_no_key_is_said(key: RSAPrivateKey, damage: object) -> None:
    assert callable(damage)
    with pytest.raises(ConfigurationError, match="CLOUDFRONT_KEY must be an RSA key in PEM"):
        linker(HOST, "K1", damage(pem(key)), 600)


def test_a_key_that_signs_wrongly_gives_nothing_away(key: RSAPrivateKey) -> None:
    read = cloudfront._read(pem(key))
    with pytest.raises(ArithmeticError):
        cloudfront._sign(read._replace(dp=read.dp ^ 2), b"message")
