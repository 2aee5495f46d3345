"""Fixtures that all tests share: both families of stores, and the application on either."""

import gc
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import boto3
import pytest
from botocore import loaders
from botocore.client import BaseClient
from flask import Flask
from jinja2.bccache import Bucket, FileSystemBytecodeCache
from moto.server import ThreadedMotoServer
from xdist.scheduler import LoadScopeScheduling

from elasticpypi.config import Config
from elasticpypi.hosts.aws import lambdas
from elasticpypi.services import Services
from elasticpypi.storage.aws import direct
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.wiring import on_bucket, on_folder
from tests.support import ROOT, moto_aws, servers
from tests.support.application import PASSWORD, USER, Client
from tests.support.conformance import Recorder
from tests.support.events import begin_anew
from tests.support.moto_aws import BUCKET, TABLE

TESTS, TEMPLATES = ROOT / "tests", ROOT / ".cache" / "templates"
ON_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "api",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
}


class _Templates(FileSystemBytecodeCache):
    """For hundreds of applications: in the memory of a process, too."""

    def __init__(self) -> None:
        super().__init__(str(TEMPLATES))
        self._kept: dict[str, tuple[str, CodeType | None]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        source, code = self._kept.get(bucket.key, ("", None))
        if source == bucket.checksum:
            bucket.code = code
        else:
            super().load_bytecode(bucket)
            if bucket.code:
                self._kept[bucket.key] = bucket.checksum, bucket.code


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", action="store_true", help="write CONFORMANCE.md from what came of the tests")


# What needs an AWS, by its id, since the process that gives tests to others knows nothing else of them. The tests of a
# group run in one process, one after the other: one deployment, one DynamoDB Local. The first that fits counts.
GROUPS = {
    "package": re.compile(r"^tests/(aws/test_(zip|serverless)|bench/test_cold_start)\.py"),
    "campaign": re.compile(r"^tests/properties/test_campaign\.py"),
    "stack": re.compile(r"^tests/aws/"),
    "stores": re.compile(r"[-\[](dynamodb[-_]local|seaweedfs)\b"),
}


def group_of(nodeid: str) -> str:
    """The group of a test, "" if it needs no AWS."""
    return next((name for name, ids in GROUPS.items() if ids.search(nodeid)), "")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in a folder for what it needs. What needs least comes first; of several processes, what lasts."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in ("aws", "clients"):
            item.add_marker(folder)
        if "aws" in item.fixturenames:  # type: ignore[attr-defined]
            item.add_marker("moto")
        assert bool(item.get_closest_marker("aws")) == bool(group_of(item.nodeid)), item.nodeid
    order = -1 if items and hasattr(items[0].config, "workerinput") else 1
    needs = {"aws": 4, "browser": 1, "clients": 1}
    items.sort(key=lambda item: order * sum(n for name, n in needs.items() if item.get_closest_marker(name)))


class _Groups(LoadScopeScheduling):
    """A group goes to one process, every other test to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid) or nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Groups:
    """In the place of ``--dist loadgroup``: pytest 9.2 has no longer what pytest-xdist 3.8 writes groups to."""
    return _Groups(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is there afterwards stays: it need not be looked at, neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    load, look = cache(loaders.JSONFileLoader().load_file), loaders.Loader.list_available_services
    services: dict[tuple[str, ...], list[str]] = {}

    def listed(self: loaders.Loader, type_name: str) -> list[str]:
        place = type_name, *self.search_paths
        if place not in services:
            services[place] = look(self, type_name)
        return services[place]

    loaders.JSONFileLoader.load_file = lambda _, path: load(path)  # 100 ms for each session of boto3
    loaders.Loader.list_available_services = listed  # a thousand stat()
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    Flask.jinja_options = {"bytecode_cache": _Templates()}
    if config.getoption("--conformance"):
        config.pluginmanager.register(Recorder())


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty bucket and an empty table, in process."""
    with moto_aws.empty(monkeypatch):
        yield


@pytest.fixture
def deployed(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The functions on AWS, in processes that have just begun."""
    settings = {"BUCKET": BUCKET, "TABLE": TABLE, "USERNAME": USER, "PASSWORD": PASSWORD, "STAGE": "dev"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    begin_anew()
    yield lambdas
    begin_anew()


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


@pytest.fixture(scope="session")
def dynamodb_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.dynamodb_local(tmp_path_factory.mktemp("dynamodb")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as endpoint:
        yield endpoint


@pytest.fixture(params=["one machine", pytest.param("aws", marks=pytest.mark.moto)])
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Services:
    """Store and index of one family, and a configuration with one user."""
    config = Config(users={USER: PASSWORD}, data=tmp_path / "data", link_seconds=600)
    if request.param == "one machine":
        return on_folder(config, DirectoryFiles(config.data), SQLiteIndex(config.data / "index.db"))
    request.getfixturevalue("aws")
    return on_bucket(replace(config, bucket=BUCKET, table=TABLE), S3Files(BUCKET, 600), DynamoIndex(TABLE))


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


@cache
def _session_on_lambda() -> boto3.Session:
    """A session takes 8 ms. It keeps these credentials, whatever a test takes away later."""
    session = boto3.Session()
    session.get_credentials()
    return session


@pytest.fixture
def on_lambda(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a Lambda; what it leads to is closed in the end."""
    managers = []
    make = direct._manager.__wrapped__

    def remembered(origin: str) -> Any:
        managers.append(make(origin))
        return managers[-1]

    monkeypatch.setattr(direct, "_manager", remembered)
    for name in (*direct.SETTINGS, "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ON_LAMBDA.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", _session_on_lambda())
    yield monkeypatch
    for manager in managers:
        manager.clear()
