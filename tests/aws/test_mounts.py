"""Every link and redirect is right below a stage, and at domains of one's own."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.support.builders import make_wheel
from tests.support.deployed import JSON, OURS, Index
from tests.support.mounts import WAYS

pytestmark = pytest.mark.aws


def a_domain(index: Index, host: str, base_path: str) -> str:
    """Map a domain, or what is below a path of it, to the stage; returns its address."""
    gateway = index.aws.boto3("apigateway")
    api = index.url.removeprefix("https://").partition(".")[0]
    gateway.create_domain_name(domainName=host, endpointConfiguration={"types": ["REGIONAL"]})
    gateway.create_base_path_mapping(domainName=host, basePath=base_path, restApiId=api, stage=index.stage)
    return f"https://{host}/{base_path}".rstrip("/")


def test_below_the_stage(index: Index, tmp_path: Path) -> None:
    check(index, index.url, tmp_path)


def test_at_a_domain(index: Index, tmp_path: Path) -> None:
    check(index, a_domain(index, "packages.example.com", ""), tmp_path)


def test_below_a_path_of_a_domain(index: Index, tmp_path: Path) -> None:
    check(index, a_domain(index, "tools.example.com", "pypi"), tmp_path)


def check(index: Index, mount: str, folder: Path) -> None:
    wheel = make_wheel(folder, "Mounted.Here", "1.0+local.1")
    index.upload(wheel)
    with index.aws.session() as session:
        session.auth = OURS
        session.headers.update(JSON)
        for path, end in WAYS.items():
            answer = session.get(f"{mount}{path}")
            assert (answer.status_code, answer.url) == (200, f"{mount}{end}")
        for path in ("", "/"):
            home = session.get(f"{mount}{path}")
            [address] = re.findall(r'<link rel="stylesheet" href="([^"]+)"', home.text)
            style = session.get(urljoin(home.url, address))
            assert style.url.startswith(f"{mount}/static/")
            assert style.headers["Content-Type"] == "text/css; charset=utf-8"
            assert style.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert f"pip install --index-url {mount}/simple/ PACKAGE" in home.text
        page = session.get(f"{mount}/simple/mounted-here/")
        [file] = page.json()["files"]
        link = urljoin(page.url, file["url"])
        assert link == f"{mount}/packages/Mounted.Here-1.0%2Blocal.1-py3-none-any.whl"
        assert session.get(link).content == wheel.read_bytes()
        assert session.get(f"{link}.metadata").content.startswith(b"Metadata-Version")
