"""What AWS calls the functions with, and what they answer."""

import base64
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from elasticpypi.hosts.aws import lambdas as functions
from tests.support.application import LOGIN
from tests.support.builders import upload_form

HOST = "abc123.execute-api.us-east-1.amazonaws.com"


def request(path: str, **headers: str) -> dict[str, Any]:
    """A proxy event of a REST API with the stage ``dev``."""
    return {
        "httpMethod": "GET",
        "path": path,
        "headers": {"Host": HOST, "X-Forwarded-Proto": "https", **headers},
        "multiValueHeaders": {name: [value] for name, value in {"Host": HOST, **headers}.items()},
        "queryStringParameters": None,
        "requestContext": {"stage": "dev", "path": f"/dev{path}"},
        "body": None,
        "isBase64Encoded": False,
    }


def event(*keys: str) -> dict[str, Any]:
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}}} for key in keys]}


class Answer(NamedTuple):
    """What API Gateway makes of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def call(lambdas: Any, path: str, headers: Mapping[str, str], **more: Any) -> Answer:
    """A GET; ``more`` is for the event."""
    said = lambdas.api({**request(path, **headers), **more}, None)
    body = said.get("body", "")
    content = base64.b64decode(body) if said.get("isBase64Encoded") else body.encode()
    return Answer(said["statusCode"], {name: value for name, [value] in said["multiValueHeaders"].items()}, content)


def begin_anew() -> None:
    """From now on, the functions on AWS run in other processes."""
    kept = functions._config, functions._services, functions._background, functions._app, functions._claimed
    kept = (*kept, functions._authenticator)
    for cached in kept:
        cached.cache_clear()


class Asked(NamedTuple):
    """A request; the functions have it in an event."""

    method: str
    path: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    query: Mapping[str, str] | None = None


def ask(lambdas: Any, asked: Asked) -> Answer:
    """What a user who is logged in is answered."""
    made = request(asked.path, **LOGIN, **asked.headers)
    made |= {"httpMethod": asked.method, "isBase64Encoded": True, "queryStringParameters": asked.query}
    said = lambdas.api({**made, "body": base64.b64encode(asked.body).decode()}, None)
    content = base64.b64decode(said["body"]) if said.get("isBase64Encoded") else said.get("body", "").encode()
    return Answer(said["statusCode"], {name: value for name, [value] in said["multiValueHeaders"].items()}, content)


def upload(path: Path) -> Asked:
    """A file, in the form of twine."""
    content: Any = FileStorage(path.open("rb"), filename=path.name)
    boundary, body = encode_multipart({**upload_form(path), "content": content})
    content.close()
    return Asked("POST", "/legacy/", {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body)


def sentence(answer: Answer) -> str:
    """What a 503 says; it has a time to come again, and nothing that is only for the log."""
    assert answer.status == 503, answer
    assert int(answer.headers["Retry-After"]) > 0
    text = answer.body.decode()
    assert "secret" not in text
    assert "Traceback" not in text
    return text


def in_time(milliseconds: int = 900_000) -> Any:
    """The context of a call, with so much time left."""
    return SimpleNamespace(get_remaining_time_in_millis=lambda: milliseconds)


def announcement(path: Path) -> Asked:
    body = urlencode({**upload_form(path), "filename": path.name, "size": str(path.stat().st_size)})
    return Asked("POST", "/uploads/", {"Content-Type": "application/x-www-form-urlencoded"}, body.encode())
