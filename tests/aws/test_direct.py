"""The functions as AWS sees them: with ``aws/direct.py``, under the limits of IAM."""

from pathlib import Path

import pytest

from elasticpypi import __version__
from tests.support.builders import make_wheel
from tests.support.deployed import Index
from tests.support.waiting import until

pytestmark = pytest.mark.aws


def test_who_reads_asks_without_the_clients_of_botocore(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "direct", "1.0")
    seen = len(index.aws.traffic())
    index.put(wheel.name, wheel.read_bytes())
    until(lambda: index.files("direct"), "the file on the page")
    assert index.request("GET", f"/packages/{wheel.name}").content == wheel.read_bytes()
    assert index.request("GET", f"/packages/{wheel.name}.metadata").status_code == 200

    hosts = "dynamodb.us-east-1.amazonaws.com", f"{index.bucket}.s3.us-east-1.amazonaws.com"
    asked = [line for line in index.aws.traffic()[seen:] if line["host"] in hosts and line["method"] != "PUT"]
    assert {line["host"] for line in asked} == set(hosts)
    assert {line["client"] for line in asked} == {f"elasticpypi/{__version__}"}
