"""How many calls to AWS a request costs: every one is paid for, and waited for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from packaging.utils import NormalizedName

from elasticpypi.config import Config
from elasticpypi.core.advisories import KEY
from elasticpypi.core.distribution import sha256_of
from elasticpypi.core.event import Who
from elasticpypi.indexing import authors
from elasticpypi.indexing.catalog import refresh
from elasticpypi.indexing.record import move
from elasticpypi.indexing.sync import sync
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.wiring import on_bucket
from tests.support.application import PASSWORD, USER, Client, basic
from tests.support.builders import make_sdist, make_wheel
from tests.support.events import Answer, begin_anew, call
from tests.support.moto_aws import BUCKET, TABLE
from tests.support.showcase import described
from tests.support.upstream_vectors import dumped

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
LOGIN = {"Authorization": basic(f"{USER}:{PASSWORD}")}
LARGE = {"large.bin": os.urandom(5_000_000)}


@pytest.fixture
def client(aws: None, calls: list[str]) -> Client:
    config = Config(users={USER: PASSWORD}, bucket=BUCKET, table=TABLE)
    return Client(on_bucket(config, S3Files(BUCKET), DynamoIndex(TABLE)))


@pytest.fixture
def made(client: Client, calls: list[str], tmp_path: Path) -> Callable[..., list[str]]:
    """The calls of one request, after an upload of a small and a large wheel and another file."""
    for wheel in (
        make_wheel(tmp_path, "demo", "1.0"),
        make_wheel(tmp_path, "demo", "2.0", files=LARGE),
        make_sdist(tmp_path, "demo", "1.0"),
    ):
        assert client.upload(wheel).status_code == 200

    def request(method: str, path: str, status: int = 200, data: bytes = b"", **headers: str) -> list[str]:
        calls.clear()
        answer = client.request(method, path, headers=headers, data=data)
        assert answer.status_code == status, answer.text
        return calls

    return request


def test_a_project_page(made: Callable[..., list[str]], client: Client) -> None:
    assert made("GET", "/simple/demo/", **JSON) == ["Query"]
    etag = client.get("/simple/demo/", headers=JSON).headers["ETag"]
    assert made("GET", "/simple/demo/", 304, **JSON, **{"If-None-Match": etag}) == ["GetItem"]
    assert made("GET", "/simple/none/", 404) == ["Query"]


@pytest.mark.parametrize("path", ["/simple/", "/simple/demo/"])
@pytest.mark.parametrize("base", ["", "/pypi"])
def test_a_page_that_this_process_had_before(
    made: Callable[..., list[str]], deployed: Any, calls: list[str], path: str, base: str
) -> None:
    """The bytes are at hand, and one read of one item says that they are still true."""

    def asked(**headers: str) -> Answer:
        calls.clear()
        proxy = {"resource": "/{proxy+}", "pathParameters": {"proxy": path.strip("/")}}
        return call(deployed, f"{base}{path}", {**JSON, **LOGIN, **headers}, **(proxy if base else {}))

    first = asked()
    assert (first.status, calls) == (200, ["Query"])
    assert asked() == first
    assert calls == ["GetItem"]
    assert asked(**{"If-None-Match": first.headers["ETag"]}).status == 304
    assert calls == ["GetItem"]
    assert asked(**{"If-None-Match": '"other"'}) == first
    assert calls == ["GetItem"]
    begin_anew()
    assert asked(**{"If-None-Match": first.headers["ETag"]}).status == 304
    assert calls == ["GetItem"]


@pytest.mark.parametrize("loaded", [False, True])
def test_advisories_are_read_once(
    made: Callable[..., list[str]], client: Client, monkeypatch: pytest.MonkeyPatch, loaded: bool
) -> None:
    """By the first request that wants them; after a minute one call says whether they are still the same."""
    if loaded:
        affected = [{"package": {"ecosystem": "PyPI", "name": "demo"}, "versions": ["2.0"]}]
        client.services.objects.write(
            KEY, dumped({"id": "X-1", "modified": "2026-11-29T00:00:00Z", "affected": affected}), None
        )
    assert made("GET", "/simple/demo/", **JSON) == ["Query"]
    assert made("GET", "/pypi/demo/json") == ["GetObject", "Query", "BatchGetItem"]
    for _ in range(2):
        assert made("GET", "/pypi/demo/json") == ["Query", "BatchGetItem"]
    monkeypatch.setattr(client.services.advisories, "_next", 0.0)
    assert made("GET", "/pypi/demo/json")[:1] == ["HeadObject"]
    assert made("GET", "/pypi/demo/json") == ["Query", "BatchGetItem"]
    assert made("GET", "/simple/demo/", **JSON) == ["Query"]


def test_a_page_that_has_changed_since(made: Callable[..., list[str]], deployed: Any, calls: list[str]) -> None:
    first = call(deployed, "/simple/demo/", {**JSON, **LOGIN})
    assert made("PUT", "/packages/demo-1.0.tar.gz.yanked", data=b"broken")
    calls.clear()
    again = call(deployed, "/simple/demo/", {**JSON, **LOGIN})
    assert calls == ["GetItem", "Query"]
    assert (first.body.count(b"broken"), again.body.count(b"broken")) == (0, 1)


def test_files_cost_no_call_more_on_the_way_through_the_gateway(
    made: Callable[..., list[str]], deployed: Any, calls: list[str]
) -> None:
    for path, expected in (
        ("/packages/demo-1.0-py3-none-any.whl.metadata", ["BatchGetItem"]),
        ("/packages/demo-1.0-py3-none-any.whl", ["BatchGetItem", "GetObject"]),
        ("/packages/demo-2.0-py3-none-any.whl", ["BatchGetItem"]),
    ):
        for _ in range(2):
            calls.clear()
            assert call(deployed, path, LOGIN).status in (200, 302)
            assert calls == expected


@pytest.fixture
def secret(client: Client) -> None:
    """The secret of forms, which each process reads once."""
    client.services.form_tokens.make(USER)


@pytest.mark.usefixtures("secret")
def test_pages_for_people(made: Callable[..., list[str]], client: Client) -> None:
    services = client.services
    refresh(services.index, services.catalog, NormalizedName("demo"))
    # The newest releases: their marks, their entries; the counts.
    assert made("GET", "/") == ["Query", "BatchGetItem", "BatchGetItem"]
    # A query per word, and the entries of the page.
    assert made("GET", "/search?q=demo") == ["Query", "BatchGetItem"]
    # Two serials and who depends on it are what a 304 costs; then files, metadata and the last events.
    assert made("GET", "/project/demo/") == ["GetItem", "Query", "GetItem", "Query", "BatchGetItem", "Query"]
    etag = client.get("/project/demo/").headers["ETag"]
    assert made("GET", "/project/demo/", 304, **{"If-None-Match": etag}) == ["GetItem", "Query", "GetItem"]


@pytest.mark.usefixtures("secret")
def test_a_page_with_a_readme(made: Callable[..., list[str]], client: Client, tmp_path: Path) -> None:
    """One call more; the first view looks again when it is its turn, and keeps what was rendered."""
    client.upload(make_wheel(tmp_path, "read", "1.0", **described("*a*", "text/markdown")))
    before, events = ["GetItem", "Query", "GetItem", "Query", "BatchGetItem"], ["Query"]
    assert made("GET", "/project/read/") == [*before, "GetItem", "GetItem", "TransactWriteItems", *events]
    assert made("GET", "/project/read/") == [*before, "GetItem", *events]


def test_metadata(made: Callable[..., list[str]]) -> None:
    assert made("GET", "/packages/demo-1.0-py3-none-any.whl.metadata") == ["BatchGetItem"]


def test_a_download_through_the_application(made: Callable[..., list[str]]) -> None:
    assert made("GET", "/packages/demo-1.0-py3-none-any.whl") == ["BatchGetItem", "GetObject"]
    assert made("GET", "/packages/demo-1.0-py3-none-any.whl", 206, Range="bytes=-5") == ["BatchGetItem", "GetObject"]
    assert made("HEAD", "/packages/demo-1.0-py3-none-any.whl") == ["BatchGetItem"]


def test_a_redirect(made: Callable[..., list[str]]) -> None:
    assert made("GET", "/packages/demo-2.0-py3-none-any.whl", 302) == ["BatchGetItem"]
    assert made("HEAD", "/packages/demo-2.0-py3-none-any.whl") == ["BatchGetItem"]


def test_the_root_list_is_one_call_per_megabyte(
    made: Callable[..., list[str]], client: Client, calls: list[str]
) -> None:
    assert made("GET", "/simple/", **JSON) == ["Query"]
    etag = client.get("/simple/", headers=JSON).headers["ETag"]
    assert made("GET", "/simple/", 304, **JSON, **{"If-None-Match": etag}) == ["GetItem"]
    table = boto3.resource("dynamodb").Table(TABLE)
    with table.batch_writer() as batch:
        for number in range(1100):  # of a kilobyte each
            batch.put_item({"pk": "#projects", "sk": f"a{number:0999}"})
    assert made("GET", "/simple/", **JSON) == ["Query", "Query"]


def test_an_upload(client: Client, calls: list[str], tmp_path: Path) -> None:
    # What is there, and whether its digest is blocked; who it is; the bytes; once more at the moment of the write; the
    # event.
    first = ["Query", "GetObject", "TransactWriteItems", "PutObject", "HeadObject"]
    first += ["Query", "HeadObject", "TransactWriteItems", "PutObject"]
    for version in ("1.0", "1.1"):
        wheel = make_wheel(tmp_path, "demo", version)
        calls.clear()
        assert client.upload(wheel).status_code == 200
        assert calls == first
    calls.clear()
    assert client.upload(wheel).status_code == 200  # the same again
    assert calls == ["Query", "HeadObject"]


def test_a_refused_upload_is_refused_early(client: Client, calls: list[str], tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    client.upload(wheel)
    calls.clear()
    assert client.upload(make_wheel(tmp_path, "demo", "1.0", files={"x": b"other"})).status_code == 409
    assert calls == ["Query", "PutObject"]  # the event
    calls.clear()
    assert client.upload(wheel, name="other").status_code == 400
    assert calls == ["PutObject"]


def test_the_event_of_an_upload(client: Client, calls: list[str], tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    client.upload(wheel)
    calls.clear()
    services = client.services
    assert sync(services.files, services.index, wheel.name, beside=services.beside).action == "unchanged"
    assert calls == ["HeadObject", "BatchGetItem"]


def test_an_event_that_is_recorded_leaves_the_outbox(client: Client, calls: list[str], tmp_path: Path) -> None:
    client.upload(make_wheel(tmp_path, "demo", "1.0"))
    calls.clear()
    move(client.services.index, client.services.log)
    assert calls == ["Query", "PutObject", "TransactWriteItems", "Query"]
    calls.clear()
    move(client.services.index, client.services.log)
    assert calls == ["Query"]


@pytest.mark.parametrize(("size", "reads"), [(10, 1), (3_000_000, 2)])
def test_the_event_of_a_direct_put(client: Client, calls: list[str], tmp_path: Path, size: int, reads: int) -> None:
    """One read for the directory of a wheel, one for METADATA if that is far from it."""
    files = client.services.files
    wheel = make_wheel(tmp_path, "demo", "1.0", files={"zz.bin": os.urandom(size)})
    with wheel.open("rb") as content:
        files.save(wheel.name, content, sha256_of(content))
    calls.clear()
    assert sync(files, client.services.index, wheel.name, beside=client.services.beside).action == "written"
    changed = ["TransactGetItems", "HeadObject", "TransactWriteItems"]
    blocked = ["GetObject"]  # whether its digest is; who it is nobody can have said
    assert calls == ["HeadObject", "BatchGetItem", *["GetObject"] * reads, *blocked, *changed]


def test_the_event_that_is_faster_than_its_upload(client: Client, calls: list[str], tmp_path: Path) -> None:
    """It asks who it is, and forgets that in the transaction of the record."""
    services, wheel = client.services, make_wheel(tmp_path, "demo", "1.0")
    with wheel.open("rb") as content:
        digest = sha256_of(content)
        services.files.save(wheel.name, content, digest, uploader=USER)
    authors.put(services.state, wheel.name, authors.of_file(digest, USER), Who(USER))
    calls.clear()
    assert sync(services.files, services.index, wheel.name, beside=services.beside).action == "written"
    asked = ["GetObject", "GetItem", "TransactGetItems", "HeadObject", "TransactWriteItems"]
    assert calls == ["HeadObject", "BatchGetItem", "GetObject", *asked]
    assert [event.who for event in services.index.outbox()] == [Who(USER)]
