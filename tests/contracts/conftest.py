"""Every implementation of the interfaces, those of AWS with both clients: botocore's, and ours on Lambda."""

from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from elasticpypi.storage.aws.direct import DirectDynamoDB, DirectS3
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.contracts import Files, Index
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from tests.support.moto_aws import BUCKET, TABLE, make_table, set_up_clients


@pytest.fixture(
    params=[
        "folder",
        pytest.param("s3", marks=pytest.mark.moto),
        pytest.param("s3 on lambda", marks=pytest.mark.moto),
        pytest.param("seaweedfs", marks=pytest.mark.aws),
        pytest.param("seaweedfs on lambda", marks=pytest.mark.aws),
    ]
)
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "folder":
        return DirectoryFiles(tmp_path / "data")
    server, _, on_lambda = request.param.partition(" on ")
    lead_to(request, server, bool(on_lambda))
    bucket = BUCKET
    if server != "s3":
        bucket = f"bucket-{uuid4()}"
        boto3.client("s3").create_bucket(Bucket=bucket)
    files = S3Files(bucket)
    assert isinstance(files._s3, DirectS3) == bool(on_lambda)
    return files


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("dynamodb", marks=pytest.mark.moto),
        pytest.param("dynamodb on lambda", marks=pytest.mark.moto),
        pytest.param("dynamodb_local", marks=pytest.mark.aws),
        pytest.param("dynamodb_local on lambda", marks=pytest.mark.aws),
    ]
)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Index:
    if request.param == "sqlite":
        return SQLiteIndex(tmp_path / "index.db")
    server, _, on_lambda = request.param.partition(" on ")
    lead_to(request, server, bool(on_lambda))
    table = TABLE
    if server != "dynamodb":
        table = f"table-{uuid4()}"
        make_table(table)
    index = DynamoIndex(table)
    assert isinstance(index.table.client, DirectDynamoDB) == bool(on_lambda)
    return index


def lead_to(request: pytest.FixtureRequest, server: str, on_lambda: bool) -> None:
    """Clients of AWS that are made from now on ask moto, or the server of the fixture of this name."""
    endpoint = None
    if server in ("s3", "dynamodb"):
        request.getfixturevalue("aws")
        if on_lambda:  # whose client is not in moto's hands
            endpoint = request.getfixturevalue("aws_endpoint")
    else:
        endpoint = request.getfixturevalue(server)  # before the environment is that of a Lambda
        set_up_clients(request.getfixturevalue("monkeypatch"))
    environment: pytest.MonkeyPatch = request.getfixturevalue("on_lambda" if on_lambda else "monkeypatch")
    if endpoint:
        environment.setenv("AWS_ENDPOINT_URL", endpoint)
