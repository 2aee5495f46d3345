"""The application as a client sees it, on services of either family."""

import base64
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flask.testing import FlaskClient
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from werkzeug.datastructures import FileStorage
from werkzeug.test import Client as WerkzeugClient
from werkzeug.test import TestResponse, encode_multipart

from elasticpypi.services import Services
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.web.app import create_app
from elasticpypi.web.proxies import behind
from elasticpypi.web.response_cache import ResponseCache
from tests.support.builders import BOUNDARY, MULTIPART, upload_form

USER, PASSWORD = "alice", "pa:ss w\u00f6rd"


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
            _, options["data"] = encode_multipart(
                {name: _parts(value) for name, value in options["data"].items()}, BOUNDARY
            )
            options["content_type"] = MULTIPART
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


LOGIN = {"Authorization": basic(f"{USER}:{PASSWORD}")}


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


class Worker:
    """The application behind its response cache, as a worker process has it; ``asked``: the paths that got through."""

    def __init__(self, services: Services) -> None:
        app = create_app(services)
        self.asked: list[str] = []

        def counted(environ: dict[str, Any], start_response: Any) -> Any:
            self.asked.append(environ["PATH_INFO"])
            return app(environ, start_response)

        self.cache = ResponseCache(counted, services.repository, services.permissions, app.extensions["authenticator"])
        if isinstance(services.index, SQLiteIndex):
            self.cache.mark = services.index.changes().mark
        self._client = WerkzeugClient(self.cache)

    def open(self, path: str, method: str = "GET", **headers: str) -> TestResponse:
        return self._client.open(path, method=method, headers={**LOGIN, **headers})
