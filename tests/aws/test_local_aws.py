"""The local AWS is what the other tests take it for."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from tests.support.builders import make_wheel, zip_bytes
from tests.support.deployed import Index
from tests.support.local_aws import REGION, LocalAws
from tests.support.waiting import until

pytestmark = pytest.mark.aws


def test_the_index_is_in_dynamodb_local(index: Index, dynamodb_local: str, tmp_path: Path) -> None:
    index.upload(make_wheel(tmp_path, "in-dynamodb-local", "1.0"))
    db = boto3.Session("test", "test", region_name=REGION).client("dynamodb", endpoint_url=dynamodb_local)
    key = {"pk": {"S": "project#in-dynamodb-local"}, "sk": {"S": "#project"}}
    assert db.get_item(TableName=index.table, Key=key)["Item"]["files"] == {"N": "1"}


def test_nothing_goes_anywhere_else(index: Index) -> None:
    with index.aws.session() as session, pytest.raises(requests.exceptions.ProxyError, match="403"):
        session.get("https://example.com/")


# A function that notes each call in a file. Then it dies, or waits until another file is there.
NOTING = """
import os, pathlib, time

def handler(event, context):
    with open(event["calls"], "a") as calls:
        calls.write("begun\\n")
    if event["dies"]:
        os._exit(1)
    while not pathlib.Path(event["go"]).exists():
        time.sleep(0.02)
    return "done"
"""


@pytest.fixture
def noting(local_aws: LocalAws, tmp_path: Path) -> Iterator[tuple[Callable[..., Any], Path]]:
    """How to call the function, and what its calls are noted in."""
    client, calls = local_aws.boto3("lambda"), tmp_path / "calls"
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = local_aws.boto3("iam").create_role(RoleName="noting", AssumeRolePolicyDocument=policy)["Role"]
    settings = {"Runtime": "python3.13", "Handler": "noting.handler", "Role": role["Arn"]}
    code = {"ZipFile": zip_bytes({"noting.py": NOTING.encode()})}
    client.create_function(FunctionName="noting", Code=code, Timeout=60, **settings)

    def call(dies: bool) -> Any:
        event = {"calls": str(calls), "go": str(tmp_path / "go"), "dies": dies}
        return client.invoke(FunctionName="noting", Payload=json.dumps(event))

    yield call, calls
    client.delete_function(FunctionName="noting")
    local_aws.boto3("iam").delete_role(RoleName="noting")


def test_a_call_whose_process_dies_has_failed(noting: tuple[Callable[..., Any], Path]) -> None:
    call, calls = noting
    assert "FunctionError" in call(dies=True)
    assert calls.read_text() == "begun\n"


def test_a_call_that_an_update_meets_comes_to_its_end(
    noting: tuple[Callable[..., Any], Path], local_aws: LocalAws
) -> None:
    call, calls = noting
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(call, dies=False)
        until(calls.exists, "the call to begin")
        code = zip_bytes({"noting.py": b"def handler(event, context):\n    return 'new'\n"})
        local_aws.boto3("lambda").update_function_code(FunctionName="noting", ZipFile=code)
        (calls.parent / "go").touch()
        assert json.load(answer.result()["Payload"]) == "done"
    assert json.load(call(dies=False)["Payload"]) == "new"
