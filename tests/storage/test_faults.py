"""S3 and DynamoDB that refuse, break off or are not there: every request is answered with a 503 and a sentence.

All kinds of faults, on all kinds of requests, with both clients that the functions use.
"""

import json
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID as ACCOUNT
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends

from elasticpypi.storage.aws import PATIENCE, direct, dynamodb
from tests.support import faulty
from tests.support.application import PASSWORD, USER, basic
from tests.support.builders import make_sdist, make_wheel
from tests.support.events import Asked, announcement, ask, begin_anew, event, sentence, upload
from tests.support.examples import SOAK
from tests.support.faulty import ANY, DYNAMODB, S3, Fault, Faulty

LOGIN = {"Authorization": basic(f"{USER}:{PASSWORD}")}
JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
KINDS = [
    (service, fault) for service, faults in (("dynamodb", [*ANY, *DYNAMODB]), ("s3", [*ANY, *S3])) for fault in faults
]
if not SOAK:
    KINDS = KINDS[::8]


@pytest.fixture(scope="module")
def between(aws_endpoint: str) -> Iterator[Faulty]:
    with faulty.faulty(aws_endpoint, aws_endpoint) as server:
        yield server


@pytest.fixture(params=["botocore", "direct"])
def lambdas(
    request: pytest.FixtureRequest, deployed: Any, between: Faulty, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The functions, whose AWS is behind ``between``; no try waits for the next."""
    settings = {"AWS_ENDPOINT_URL": between.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test"}
    settings |= {"AWS_LAMBDA_FUNCTION_NAME": "api"} if request.param == "direct" else {}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    between.decide = lambda call: None
    begin_anew()
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(dynamodb, "ATTEMPTS", 3)
    yield deployed
    between.decide = lambda call: None
    direct._manager(between.url).clear()


INFORMING = "JSON API", "s3"  # advisories lie there, which inform only: all else is said without them
_kept: dict[str, Any] = {}


@pytest.fixture(scope="module")
def dists(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of demo 1.0 and 2.0, new, huge and more."""
    folder, large = tmp_path_factory.mktemp("dists"), {"large.bin": os.urandom(5_000_000)}
    return [
        make_wheel(folder, "demo", "1.0", summary="A demo"),
        make_wheel(folder, "demo", "2.0", files=large),
        make_sdist(folder, "new", "1.0"),
        make_wheel(folder, "huge", "1.0", files=large),
        make_wheel(folder, "more", "1.0", files=large),
    ]


@pytest.fixture
def requests_(lambdas: Any, dists: list[Path]) -> dict[str, Asked]:
    """All kinds of requests, to an index that has a project, half a large upload, and nothing wrong."""
    small, large, new, huge, more = dists
    tables, buckets = dynamodb_backends[ACCOUNT]["us-east-1"], s3_backends[ACCOUNT]["aws"]
    if not _kept:
        assert ask(lambdas, upload(small)).status == 200
        lambdas._services().files.put(large.name, large.read_bytes())
        lambdas.sync(event(small.name, large.name), None)
        announced = ask(lambdas, announcement(huge))
        assert announced.status == 201, announced
        _kept.update(state=pickle.dumps((tables.tables, buckets.buckets)), id=json.loads(announced.body)["id"])
    tables.tables, buckets.buckets = pickle.loads(_kept["state"])
    return {
        "page": Asked("GET", "/simple/demo/", JSON),
        "page in HTML": Asked("GET", "/simple/demo/", query={"x": "1"}),
        "root list": Asked("GET", "/simple/", JSON),
        "metadata": Asked("GET", f"/packages/{small.name}.metadata"),
        "small file": Asked("GET", f"/packages/{small.name}"),
        "part of a file": Asked("GET", f"/packages/{small.name}", {"Range": "bytes=5-9"}),
        "large file": Asked("GET", f"/packages/{large.name}"),
        "HEAD": Asked("HEAD", f"/packages/{small.name}"),
        "search": Asked("GET", "/search", {"Accept": "application/json"}, query={"q": "demo"}),
        "home": Asked("GET", "/", {"Accept": "text/html"}),
        "project": Asked("GET", "/project/demo/", {"Accept": "text/html"}),
        "JSON API": Asked("GET", "/pypi/demo/json"),
        "health": Asked("GET", "/health"),
        "upload again": upload(small),
        "upload": upload(new),
        "yank": Asked("PUT", f"/packages/{small.name}.yanked", body=b"bad"),
        "take it back": Asked("DELETE", f"/packages/{small.name}.yanked"),
        "announcement": announcement(more),
        "announcement again": announcement(huge),
        "state": Asked("GET", f"/uploads/{_kept['id']}"),
        "all parts are there": Asked("POST", f"/uploads/{_kept['id']}"),
        "delete": Asked("DELETE", f"/packages/{large.name}"),
    }


@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.parametrize(("service", "fault"), [pytest.param(*kind, id=f"{kind[0]}-{kind[1].name}") for kind in KINDS])
def test_every_fault_at_every_request_is_a_503(
    lambdas: Any, between: Faulty, requests_: dict[str, Asked], service: str, fault: Fault
) -> None:
    wrong = []
    for name, asked in requests_.items():
        if name in ("page", "root list"):
            assert ask(lambdas, asked).status == 200  # is kept, and asked after
        between.decide = lambda call: fault if call.service == service else None
        between.met.clear()
        met = ask(lambdas, asked)
        between.decide = lambda call: None
        clean = ask(lambdas, asked)
        if clean.status >= 400:
            wrong.append((name, "afterwards", clean))
        if (name, service) == INFORMING:
            if met.status != clean.status:
                wrong.append((name, met.status, met.body[:200]))
        elif between.met and asked.method != "HEAD":
            if met.status != 503:
                wrong.append((name, met.status, met.body[:200]))
            else:
                assert sentence(met)
        elif met.status != (503 if between.met else clean.status):
            wrong.append((name, met.status, met.body[:200]))
    assert not wrong


def test_no_try_begins_when_it_is_too_late(
    lambdas: Any, between: Faulty, requests_: dict[str, Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "LAST_TRY", -1)
    between.calls.clear()
    for name in ("page in HTML", "small file", "upload", "announcement", "delete"):
        assert sentence(ask(lambdas, requests_[name])) == "AWS answers too slowly: try again.\n"
    assert "AWS answers too slowly" in sentence(ask(lambdas, requests_["health"]))
    assert between.calls == []
    lambdas._services().files.check()  # who is no request has time


def test_all_tries_end_before_the_gateway_does() -> None:
    longest = direct.CONNECT_SECONDS + direct.READ_SECONDS
    assert direct.LAST_TRY + longest <= 25
    assert direct.ATTEMPTS * direct.READ_SECONDS + 3 <= 25  # with the pauses between them
    assert (PATIENCE.connect_timeout, PATIENCE.read_timeout) == (direct.CONNECT_SECONDS, direct.READ_SECONDS)
    assert PATIENCE.retries == {"mode": "standard", "total_max_attempts": direct.ATTEMPTS}
