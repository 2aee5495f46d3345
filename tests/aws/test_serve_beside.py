"""`elasticpypi serve` on the bucket and the table of a stack, whose functions follow the bucket (FOLLOW=events)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import make_wheel
from tests.support.deployed import PASSWORD, USER, Index
from tests.support.serving import Server, basic
from tests.support.waiting import until

pytestmark = pytest.mark.aws


@pytest.fixture
def server(index: Index, tmp_path: Path) -> Iterator[Server]:
    aws = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    aws |= {"AWS_CA_BUNDLE": str(index.aws.ca), "HTTPS_PROXY": index.aws.proxy, "NO_PROXY": "127.0.0.1"}
    store = {"BUCKET": index.bucket, "TABLE": index.table, "FOLLOW": "events", "WORKERS": "1"}
    server = Server(tmp_path / "data", wait=False, USERNAME=USER, PASSWORD=PASSWORD, **aws, **store)
    try:
        server.wait_until_up()
        yield server
        assert server.stop() == 0
    finally:
        server.close()


def files(server: Server, project: str) -> list[str]:
    headers = {"Accept": "application/vnd.pypi.simple.v1+json", "Authorization": basic(f"{USER}:{PASSWORD}")}
    try:
        with server.open(f"/simple/{project}/", None, **headers) as answer:
            page: dict[str, Any] = json.load(answer)
    except OSError:  # 404
        return []
    return [file["filename"] for file in page["files"]]


def test_what_is_put_into_the_bucket_appears_without_a_look_at_it(index: Index, server: Server, tmp_path: Path) -> None:
    def lists() -> int:
        return sum("list-type=2" in (line["target"] or "") for line in index.aws.traffic(f"{index.bucket}.s3"))

    wheel = make_wheel(tmp_path, "put-beside", "1.0")
    before = lists()
    index.put(wheel.name, wheel.read_bytes())
    until(lambda: files(server, "put-beside") == [wheel.name], "the file on the page of the server")
    assert lists() == before
    with server.open("/health", None) as health:
        assert "follower" not in json.load(health)  # which a server has that looks at the bucket itself

    other = make_wheel(tmp_path, "uploaded-beside", "1.0")
    server.upload(other, f"{USER}:{PASSWORD}")
    assert files(server, "uploaded-beside") == [other.name]
    assert index.files("uploaded-beside") == [other.name]  # of the stack
