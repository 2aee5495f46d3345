"""Fixtures that all tests share: both families of stores, and the application on either."""

import base64
import gc
import io
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest
from botocore import loaders
from botocore.client import BaseClient
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.core.base_backend import BackendDict
from moto.core.models import botocore_stubber
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.responses import DynamoHandler
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from elasticpypi.config import Config
from elasticpypi.hosts.aws import lambdas
from elasticpypi.services import Services
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.contracts import Files, Index
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.web.app import create_app
from elasticpypi.web.proxies import behind
from elasticpypi.wiring import on_bucket, on_folder
from tests import servers
from tests.builders import upload_form
from tests.conformance import Recorder

USER, PASSWORD = "alice", "pa:ss w\u00f6rd"
BUCKET, TABLE = "packages-bucket", "packages-table"
TEMPLATES = Path(__file__).parent.parent / ".cache/templates"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", action="store_true", help="write CONFORMANCE.md from what came of the tests")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in a folder for what it needs. What needs least comes first; of several processes, what lasts."""
    for item in items:
        folder = item.path.parent.name
        if folder in ("aws", "clients"):
            item.add_marker(folder)
        if "aws" in item.fixturenames:  # type: ignore[attr-defined]
            item.add_marker("moto")
        if item.get_closest_marker("aws"):
            item.add_marker(pytest.mark.xdist_group("aws"))  # one deployment, one DynamoDB Local
    order = -1 if items and hasattr(items[0].config, "workerinput") else 1
    needs = {"aws": 4, "browser": 1, "clients": 1}
    items.sort(key=lambda item: order * sum(n for name, n in needs.items() if item.get_closest_marker(name)))


def pytest_collection_finish() -> None:
    gc.freeze()  # what is there now stays, and need not be looked at again


def pytest_configure(config: pytest.Config) -> None:
    load = cache(loaders.JSONFileLoader().load_file)
    loaders.JSONFileLoader.load_file = lambda _, path: load(path)  # 100 ms for each session of boto3
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    Flask.jinja_options = {"bytecode_cache": FileSystemBytecodeCache(str(TEMPLATES))}  # for hundreds of applications
    if config.getoption("--conformance"):
        config.pluginmanager.register(Recorder())


def _set_up_aws(monkeypatch: pytest.MonkeyPatch, **endpoints: str) -> None:
    names = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    for name, value in {**names, "AWS_DEFAULT_REGION": "us-east-1", **endpoints}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty bucket and an empty table, in process."""
    _set_up_aws(monkeypatch)
    _one_at_a_time(monkeypatch)
    _items_as_they_are(monkeypatch)
    monkeypatch.setattr(boto3, "client", _client)
    monkeypatch.setattr(HTTPAdapter, "send", _follow_link)
    BackendDict.reset()
    botocore_stubber.enabled = True  # all that we need of mock_aws, which takes 20 ms for patterns of other libraries
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    make_table(TABLE)
    yield
    botocore_stubber.enabled = False


def _client(*names: str, _real: Any = boto3.client, **options: Any) -> Any:
    """A client that is made once for each of its settings: its model takes 10 ms."""
    environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _made(_real, names, tuple(options.items()), environment)


@cache
def _made(
    real: Any, names: tuple[str, ...], options: tuple[tuple[str, Any], ...], _: tuple[tuple[str, str], ...]
) -> Any:
    return real(*names, **dict(options))


def _follow_link(self: HTTPAdapter, request: Any, *args: Any, _real: Any = HTTPAdapter.send, **options: Any) -> Any:
    """A signed link leads to the same AWS."""
    if not (urlsplit(request.url).hostname or "").endswith(".amazonaws.com"):
        return _real(self, request, *args, **options)
    status, headers, body = botocore_stubber.process_prepared_request(request)  # type: ignore[misc]
    content = io.BytesIO(body.encode() if isinstance(body, str) else body)
    return self.build_response(request, HTTPResponse(content, headers, status, preload_content=False))


def _items_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto has the values of an item as they are sent, and looks under twenty names for each: half of a call's time."""
    real = BaseJSONSerializer._serialize_type_structure

    def serialize(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict) and value.keys() <= {"S", "N"}:
            self._default_serialize(serialized, value, shape, key)
        else:
            real(self, serialized, value, shape, key)

    monkeypatch.setattr(BaseJSONSerializer, "_serialize_type_structure", serialize)


def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto undoes a transaction by putting all tables back, with what other threads wrote meanwhile.

    And it looks at the condition of a PUT a while before it writes.
    """
    for handler, method in (DynamoHandler, "call_action"), (S3Response, "key_response"):
        monkeypatch.setattr(handler, method, _alone(threading.RLock(), getattr(handler, method)))


def _alone(lock: Any, real: Any) -> Any:
    def alone(*args: Any, **options: Any) -> Any:
        with lock:
            return real(*args, **options)

    return alone


@pytest.fixture
def deployed(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The functions on AWS, in processes that have just begun."""
    settings = {"BUCKET": BUCKET, "TABLE": TABLE, "USERNAME": USER, "PASSWORD": PASSWORD, "STAGE": "dev"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    begin_anew()
    yield lambdas
    begin_anew()


def begin_anew() -> None:
    """From now on, the functions on AWS run in other processes."""
    made = (
        lambdas._config,
        lambdas._services,
        lambdas._background,
        lambdas._app,
        lambdas._authenticator,
        lambdas._claimed,
    )
    for cached in made:
        cached.cache_clear()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations of AWS, in order, since the list was cleared last."""
    made: list[str] = []
    real = BaseClient._make_api_call

    def counted(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        made.append(operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", counted)
    return made


def make_table(name: str, client: Any = None) -> None:
    (client or boto3.client("dynamodb")).create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture(scope="session")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.dynamodb_local(tmp_path_factory.mktemp("dynamodb")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        yield endpoint


@pytest.fixture(
    params=["folder", pytest.param("s3", marks=pytest.mark.moto), pytest.param("seaweedfs", marks=pytest.mark.aws)]
)
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    if request.param == "folder":
        return DirectoryFiles(tmp_path / "data")
    if request.param == "s3":
        request.getfixturevalue("aws")
        return S3Files(BUCKET)
    _set_up_aws(monkeypatch, AWS_ENDPOINT_URL_S3=request.getfixturevalue("seaweedfs"))
    bucket = f"bucket-{uuid4()}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return S3Files(bucket)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("dynamodb", marks=pytest.mark.moto),
        pytest.param("dynamodb-local", marks=pytest.mark.aws),
    ]
)
def index(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    if request.param == "sqlite":
        return SQLiteIndex(tmp_path / "index.db")
    if request.param == "dynamodb":
        request.getfixturevalue("aws")
        return DynamoIndex(TABLE)
    _set_up_aws(monkeypatch, AWS_ENDPOINT_URL_DYNAMODB=request.getfixturevalue("dynamodb_local"))
    table = f"table-{uuid4()}"
    make_table(table)
    return DynamoIndex(table)


@pytest.fixture(params=["one machine", pytest.param("aws", marks=pytest.mark.moto)])
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Services:
    """Store and index of one family, and a configuration with one user."""
    config = Config(users={USER: PASSWORD}, data=tmp_path / "data", link_seconds=600)
    if request.param == "one machine":
        return on_folder(config, DirectoryFiles(config.data), SQLiteIndex(config.data / "index.db"))
    request.getfixturevalue("aws")
    return on_bucket(replace(config, bucket=BUCKET, table=TABLE), S3Files(BUCKET, 600), DynamoIndex(TABLE))


class Client:
    """The application as a client sees it, logged in unless told otherwise."""

    def __init__(self, services: Services) -> None:
        self.services = services
        app = create_app(services)
        app.wsgi_app = behind(app.wsgi_app, services.config)  # type: ignore[method-assign]
        self._client: FlaskClient = app.test_client()

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


_kept: dict[Callable[[Client, Path], object], bytes] = {}


def staged(client: Client, fill: Callable[[Client, Path], object]) -> Client:
    """The client after ``fill(client, folder of its own)``; on AWS, what that left is made once and copied."""
    if not client.services.config.on_aws or fill not in _kept:
        with TemporaryDirectory() as folder:
            fill(client, Path(folder))
    if client.services.config.on_aws:
        tables, buckets = dynamodb_backends[ACCOUNT]["us-east-1"], s3_backends[ACCOUNT]["aws"]
        if fill in _kept:
            tables.tables, buckets.buckets = pickle.loads(_kept[fill])
        else:
            _kept[fill] = pickle.dumps((tables.tables, buckets.buckets))
    return client


@pytest.fixture
def client(services: Services) -> Client:
    return Client(services)


@pytest.fixture
def overwriting(services: Services) -> Client:
    """The same with OVERWRITE on."""
    return Client(replace(services, config=replace(services.config, overwrite=True)))


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    """Where clients in other processes find what the fixture ``aws`` has in this one."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()
