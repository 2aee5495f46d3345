"""An AWS in this process: moto, faster and with fewer surprises than it is by itself."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from moto.core.base_backend import BackendDict
from moto.core.models import botocore_stubber
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.responses import DynamoHandler
from moto.s3.responses import S3Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

BUCKET, TABLE = "packages-bucket", "packages-table"


def set_up_clients(monkeypatch: pytest.MonkeyPatch, **endpoints: str) -> None:
    names = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "test")
    for name, value in {**names, "AWS_DEFAULT_REGION": "us-east-1", **endpoints}.items():
        monkeypatch.setenv(name, value)


@contextmanager
def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty bucket and an empty table."""
    set_up_clients(monkeypatch)
    _one_at_a_time(monkeypatch)
    _items_as_they_are(monkeypatch)
    monkeypatch.setattr(boto3, "client", _client)
    monkeypatch.setattr(HTTPAdapter, "send", _follow_link)
    BackendDict.reset()
    botocore_stubber.enabled = True  # all that we need of mock_aws, which takes 20 ms for patterns of other libraries
    for bucket in (BUCKET, f"{BUCKET}-records"):
        boto3.client("s3").create_bucket(Bucket=bucket)
    make_table(TABLE)
    yield
    botocore_stubber.enabled = False


def make_table(name: str, client: Any = None) -> None:
    (client or boto3.client("dynamodb")).create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )


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
