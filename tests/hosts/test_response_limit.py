"""What does not fit into an answer of Lambda, as clients of the gateway see it."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests

from elasticpypi.core.simple_api import HTML, JSON
from elasticpypi.hosts.aws import response_limit
from elasticpypi.storage.aws import rootlist
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from tests.support.application import PASSWORD, USER, basic
from tests.support.events import Answer, begin_anew, call
from tests.support.filling import a_file, fill
from tests.support.moto_aws import BUCKET, TABLE

LOGIN = {"Authorization": basic(f"{USER}:{PASSWORD}")}
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
Get = Callable[..., Answer]


@pytest.fixture
def get(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> Get:
    """GET of an index with a root list that is long, and a project with some files."""
    monkeypatch.setattr(rootlist, "LONG", 8)
    fill(boto3.client("dynamodb"), TABLE, names=[f"project-{number}" for number in range(20)], files=20)

    def get(path: str, accept: str = JSON, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(deployed, path, {"Accept": accept, **LOGIN, **named})

    return get


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """From now on, and for processes that have just begun, an answer is a byte too large."""

    def limit(answer: Answer) -> None:
        monkeypatch.setattr(response_limit, "LARGEST", len(answer.body) - 1)
        begin_anew()

    return limit


@pytest.mark.parametrize("path", ["/simple/", "/simple/demo/", "/pypi/demo/json", "/", "/nothing"])
def test_what_fits_is_left_alone(get: Get, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    plain = get(path)
    monkeypatch.setattr(response_limit, "LARGEST", len(plain.body))
    begin_anew()
    assert get(path) == plain
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize("accept", [JSON, HTML, "text/html"])
@pytest.mark.parametrize("path", ["/simple/", "/simple/demo/"])
def test_whoever_does_not_say_gets_it_compressed(
    get: Get, limit: Callable[[Answer], None], calls: list[str], path: str, accept: str
) -> None:
    plain, packed = get(path, accept), get(path, accept, Accept_Encoding="gzip")
    limit(plain)
    assert get(path, accept) == packed
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert "Accept-Encoding" in packed.headers["Vary"]
    calls.clear()
    assert get(path, accept) == packed
    assert calls == ["GetItem"]
    begin_anew()
    assert get(path, accept, If_None_Match=packed.headers["ETag"]).status == 304


@pytest.mark.parametrize("encoding", ["identity", "gzip;q=0", "br", ""])
@pytest.mark.parametrize("path", ["/simple/", "/simple/demo/"])
def test_whoever_refuses_that_is_told(get: Get, limit: Callable[[Answer], None], path: str, encoding: str) -> None:
    limit(get(path))
    told = get(path, Accept_Encoding=encoding)
    assert (told.status, told.headers["Content-Type"]) == (406, "text/plain; charset=utf-8")
    sentence = "This page is larger than AWS Lambda can send: ask for it with Accept-Encoding: gzip."
    assert told.body.decode() == f"{sentence}\n"
    told = get(path, f"{JSON}, application/json;q=0.5", Accept_Encoding=encoding)
    assert (told.status, told.headers["Content-Type"]) == (406, "application/json")
    assert json.loads(told.body)["message"] == sentence
    assert (told.headers["Cache-Control"], told.headers["Vary"]) == ("no-store", "Accept, Accept-Encoding")


@pytest.mark.parametrize("headers", [{}, {"Accept_Encoding": "gzip, br"}])
def test_a_root_list_that_is_too_large_in_any_form_comes_from_the_bucket(
    get: Get, limit: Callable[[Answer], None], headers: dict[str, str]
) -> None:
    plain = get("/simple/")
    limit(get("/simple/", Accept_Encoding="gzip"))
    for _ in range(2):
        moved = get("/simple/", **headers)
        assert (moved.status, moved.headers["Cache-Control"], moved.body) == (302, "no-store", b"")
        fetched = requests.get(moved.headers["Location"], timeout=10)
        assert fetched.status_code == 200
        assert (fetched.headers["Content-Type"], fetched.headers["Content-Encoding"]) == (JSON, "gzip")
        assert fetched.content == plain.body


def test_it_has_what_was_just_uploaded(get: Get, limit: Callable[[Answer], None]) -> None:
    limit(get("/simple/", Accept_Encoding="gzip"))
    before = get("/simple/").headers["Location"]
    DynamoIndex(TABLE).put(a_file("another", "1.0", 1))
    after = get("/simple/").headers["Location"]
    listed = [requests.get(link, timeout=10).json()["projects"] for link in (before, after)]
    assert [{"name": "another"} in projects for projects in listed] == [False, True]


def test_in_html_it_is_too_large(get: Get, limit: Callable[[Answer], None]) -> None:
    limit(get("/simple/", "text/html", Accept_Encoding="gzip"))
    told = get("/simple/", "text/html", Accept_Encoding="gzip")
    sentence = f"The list of all projects in HTML is larger than AWS Lambda can send: ask for it with Accept: {JSON}."
    assert (told.status, told.body.decode()) == (406, f"{sentence}\n")
    page = get("/simple/", BROWSER, Accept_Encoding="gzip")
    assert (page.status, page.headers["Content-Type"]) == (406, "text/html; charset=utf-8")
    assert sentence in page.body.decode()


def test_a_project_page_that_is_too_large_in_any_form(get: Get, limit: Callable[[Answer], None]) -> None:
    limit(get("/simple/demo/", Accept_Encoding="gzip"))
    told = get("/simple/demo/")
    assert (told.status, told.body) == (406, b"This page is larger than AWS Lambda can send, compressed too.\n")


def test_a_list_that_could_not_be_put_there(
    get: Get, limit: Callable[[Answer], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(get("/simple/", Accept_Encoding="gzip"))
    boto3.client("dynamodb").delete_item(TableName=TABLE, Key=rootlist.SNAPSHOT)
    objects = boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    boto3.client("s3").delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": each["Key"]} for each in objects]})

    def failing(*_: object, **__: object) -> None:
        raise OSError("no way")

    monkeypatch.setattr(S3Files, "put", failing)
    told = get("/simple/")
    assert (told.status, told.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("path", ["/simple/", "/simple/demo/"])
def test_head_is_answered_as_ever(get: Get, limit: Callable[[Answer], None], deployed: Any, path: str) -> None:
    plain = get(path)
    limit(plain)
    said = call(deployed, path, {"Accept": JSON, **LOGIN, "Accept-Encoding": "identity"}, httpMethod="HEAD")
    assert (said.status, said.headers, said.body) == (200, plain.headers, b"")


@pytest.mark.usefixtures("get")
def test_nobody_else_gets_anything(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_limit, "LARGEST", 0)
    told = call(deployed, "/simple/", {"Accept": JSON})
    assert (told.status, "Location" in told.headers) == (401, False)
