"""One machine behind a proxy that strips a prefix, of which nobody tells the application."""

from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.support.application import Client
from tests.support.builders import make_wheel
from tests.support.mounts import WAYS

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


@pytest.mark.req("REQ-11", "REQ-22", "REQ-32", "REQ-90")
@pytest.mark.parametrize("prefix", ["https://h.example", "https://h.example/pypi", "https://h.example/a/b"])
def test_every_redirect_and_link_stays_behind_the_proxy(client: Client, tmp_path: Path, prefix: str) -> None:
    wheel = make_wheel(tmp_path, "Mounted.Here", "1.0+local.1")
    client.upload(wheel)
    for path, end in WAYS.items():
        url = f"{prefix}{path}"
        while (answer := client.get(url.removeprefix(prefix), headers=JSON)).status_code in (301, 302):
            url = urljoin(url, answer.headers["Location"])
        assert (answer.status_code, url) == (200, f"{prefix}{end}")
    [file] = client.json("/simple/mounted-here/")["files"]  # type: ignore[misc]
    link = urljoin(f"{prefix}/simple/mounted-here/", file["url"])
    assert link == f"{prefix}/packages/Mounted.Here-1.0%2Blocal.1-py3-none-any.whl"
    assert client.get(link.removeprefix(prefix)).data == wheel.read_bytes()
