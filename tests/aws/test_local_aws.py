"""The local AWS is what the other tests take it for."""

from pathlib import Path

import boto3
import pytest
import requests

from tests.support.builders import make_wheel
from tests.support.deployed import Index
from tests.support.local_aws import REGION

pytestmark = pytest.mark.aws


def test_the_index_is_in_dynamodb_local(index: Index, dynamodb_local: str, tmp_path: Path) -> None:
    index.upload(make_wheel(tmp_path, "in-dynamodb-local", "1.0"))
    db = boto3.Session("test", "test", region_name=REGION).client("dynamodb", endpoint_url=dynamodb_local)
    key = {"pk": {"S": "project#in-dynamodb-local"}, "sk": {"S": "#project"}}
    assert db.get_item(TableName=index.table, Key=key)["Item"]["files"] == {"N": "1"}


def test_nothing_goes_anywhere_else(index: Index) -> None:
    with index.aws.session() as session, pytest.raises(requests.exceptions.ProxyError, match="403"):
        session.get("https://example.com/")
