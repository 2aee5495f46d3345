"""Fixtures that all tests share: both families of stores, and the application on either."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from flask.testing import FlaskClient
from moto import mock_aws
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from elasticpypi.app import create_app
from elasticpypi.aws.dynamodb import DynamoIndex
from elasticpypi.aws.s3 import S3Files
from elasticpypi.config import Config
from elasticpypi.local.directory import DirectoryFiles
from elasticpypi.local.sqlite import SQLiteIndex
from elasticpypi.stores import Files, Index
from elasticpypi.wiring import Services
from tests.builders import upload_form
from tests.conformance import Recorder

USER, PASSWORD = "alice", "pa:ss w\u00f6rd"
BUCKET, TABLE = "packages-bucket", "packages-table"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", action="store_true", help="write CONFORMANCE.md from what came of the tests")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--conformance"):
        config.pluginmanager.register(Recorder())


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty bucket and an empty table, in process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        boto3.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        yield


@pytest.fixture(params=["folder", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "folder":
        return DirectoryFiles(tmp_path / "data")
    request.getfixturevalue("aws")
    return S3Files(BUCKET)


@pytest.fixture(params=["sqlite", "dynamodb"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Index:
    if request.param == "sqlite":
        return SQLiteIndex(tmp_path / "index.db")
    request.getfixturevalue("aws")
    return DynamoIndex(TABLE)


@pytest.fixture(params=["one machine", "aws"])
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Services:
    """Store and index of one family, and a configuration with one user."""
    config = Config(users={USER: PASSWORD}, data=tmp_path / "data", link_seconds=600)
    if request.param == "one machine":
        return Services(config, DirectoryFiles(config.data), SQLiteIndex(config.data / "index.db"))
    request.getfixturevalue("aws")
    return Services(replace(config, bucket=BUCKET, table=TABLE), S3Files(BUCKET, 600), DynamoIndex(TABLE))


class Client:
    """The application as a client sees it, logged in unless told otherwise."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._client: FlaskClient = create_app(services).test_client()

    def request(
        self, method: str, path: str, *, user: str | None = f"{USER}:{PASSWORD}", **options: object
    ) -> TestResponse:
        headers = dict(options.pop("headers", None) or {})  # type: ignore[call-overload]
        if isinstance(options.get("data"), dict):
            # As bytes, since the test client leaves the temporary files of large bodies open.
            boundary, options["data"] = encode_multipart(
                {name: _parts(value) for name, value in options["data"].items()}
            )
            options["content_type"] = f"multipart/form-data; boundary={boundary}"
        if user is not None:
            headers.setdefault("Authorization", basic(user))
        return self._client.open(path, method=method, headers=headers, **options)  # type: ignore[arg-type]

    def get(self, path: str, **options: object) -> TestResponse:
        return self.request("GET", path, **options)  # type: ignore[arg-type]

    def head(self, path: str, **options: object) -> TestResponse:
        return self.request("HEAD", path, **options)  # type: ignore[arg-type]

    def upload(self, path: Path, url: str = "/legacy/", **changes: str | None) -> TestResponse:
        """Upload a file as twine does."""
        form: dict[str, object] = {**upload_form(path, **changes)}
        with path.open("rb") as content:
            form["content"] = (content, path.name)
            return self.request("POST", url, data=form)

    def json(self, path: str) -> dict[str, object]:
        response = self.get(path, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
        assert response.status_code == 200, response.text
        return response.get_json(force=True)  # type: ignore[no-any-return]


def _parts(value: object) -> object:
    """``(stream, file name)`` as the encoder wants it, in lists too."""
    if isinstance(value, list):
        return [_parts(each) for each in value]
    return FileStorage(value[0], filename=value[1]) if isinstance(value, tuple) else value


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(user.encode()).decode()


@pytest.fixture
def client(services: Services) -> Client:
    return Client(services)


@pytest.fixture
def overwriting(services: Services) -> Client:
    """The same with OVERWRITE on."""
    return Client(replace(services, config=replace(services.config, overwrite=True)))
