"""What AWS calls the functions with, and what they answer."""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

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
