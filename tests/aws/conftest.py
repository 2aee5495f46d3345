"""One local AWS and one deployment for the whole run."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.builders import make_wheel
from tests.support.deployed import Index, deploy
from tests.support.deploying import require_osls
from tests.support.local_aws import LocalAws
from tests.support.waiting import until


@pytest.fixture(scope="session")
def local_aws(dynamodb_local: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    require_osls()
    local = LocalAws(tmp_path_factory.mktemp("aws"), dynamodb_local)
    yield local
    local.stop()


@pytest.fixture(scope="session")
def index(local_aws: LocalAws) -> Index:
    return deploy(local_aws)


@pytest.fixture(scope="session")
def large_wheel(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of 20 MB, put into the bucket and in the index, as the only file of the project ``large``."""
    filler = {"filler.bin": hashlib.shake_128(b"large").digest(20_000_000)}
    wheel = make_wheel(tmp_path_factory.mktemp("large"), "large", "1.0", files=filler)
    index.put(wheel.name, wheel.read_bytes())
    until(lambda: index.files("large"), "the file on the page")
    return wheel


@pytest.fixture
def browser(index: Index) -> Iterator[Browser]:
    """A new browser that trusts the certificate of the emulator alone."""
    certificate = load_pem_x509_certificate(index.aws.certificate.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = base64.b64encode(hashlib.sha256(key).digest()).decode()
    with chromium(f"--ignore-certificate-errors-spki-list={trusted}", proxy={"server": index.aws.proxy}) as started:
        yield started
