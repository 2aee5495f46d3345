"""What only S3 has: checksums, events, signed links, errors."""

import hashlib
import io
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from packaging.utils import NormalizedName

from elasticpypi.config import Config as Settings
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.model import File
from elasticpypi.storage.aws import s3
from elasticpypi.storage.aws.s3 import INLINE, S3Files, event_keys
from elasticpypi.storage.contracts import ANEW, FOR_EVER
from elasticpypi.wiring import services
from tests.support.moto_aws import BUCKET, TABLE

pytestmark = pytest.mark.usefixtures("aws")


def a_file(key: str, size: int) -> File:
    return File(key, NormalizedName("demo"), "1.0", size, "ab" * 32, "2026-01-31T12:00:00.000000Z", "r1")


def test_what_we_saved_has_its_digest_at_hand() -> None:
    data = b"content"
    stat = S3Files(BUCKET).save("a.txt", io.BytesIO(data), hashlib.sha256(data).hexdigest())
    assert stat.sha256 == hashlib.sha256(data).hexdigest()
    boto3.client("s3").put_object(Bucket=BUCKET, Key="b.txt", Body=data)
    other = S3Files(BUCKET).stat("b.txt")
    assert other is not None
    assert other.sha256 is None


def test_keys_of_an_event() -> None:
    keys = ["demo-1.0%2Blocal-py3-none-any.whl", "a+b/d%C3%A9mo-1.0.tar.gz", "x", "x"]
    event = {"Records": [{"s3": {"object": {"key": key}}} for key in keys]}
    odd = [{"other": {}}, {"s3": {"object": {}}}, {"s3": {"object": {"key": None}}}, {"s3": None}, None, "x"]
    event["Records"][1:1] = odd  # which stop none of the others
    assert event_keys(event) == ["demo-1.0+local-py3-none-any.whl", "a b/d\u00e9mo-1.0.tar.gz", "x"]
    assert event_keys({"Service": "Amazon S3", "Event": "s3:TestEvent"}) == []


@pytest.mark.req("REQ-71")
def test_small_files_are_served_by_us() -> None:
    assert S3Files(BUCKET).url(a_file("demo-1.0.tar.gz", INLINE)) is None


@pytest.mark.req("REQ-67", "REQ-70")
def test_a_link_is_the_same_within_a_window_and_lives_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(s3.time, "time", lambda: now)
    files = S3Files(BUCKET, link_seconds=600)
    file = a_file("team/demo-1.0+local.tar.gz", INLINE + 1)
    link = files.url(file)
    assert link is not None
    parts, query = urlsplit(link), parse_qs(urlsplit(link).query)
    assert parts.netloc == f"{BUCKET}.s3.us-east-1.amazonaws.com"
    assert parts.path == "/team/demo-1.0%2Blocal.tar.gz"
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["1200"]
    assert query["X-Amz-Date"] == [datetime.fromtimestamp(1_800_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")]
    assert query["response-cache-control"] == ["private, max-age=31536000, immutable"]
    now += 599
    assert files.url(file) == link
    now += 1
    assert files.url(file) != link


@pytest.mark.parametrize(("overwrite", "cache"), [(False, FOR_EVER), (True, ANEW)])
def test_a_link_to_what_may_be_overwritten_is_asked_for_each_time(overwrite: bool, cache: str) -> None:
    files = services(Settings(users={"a": "b"}, bucket=BUCKET, table=TABLE, overwrite=overwrite)).files
    link = files.url(a_file("demo-1.0.tar.gz", INLINE + 1))
    assert link is not None
    assert parse_qs(urlsplit(link).query)["response-cache-control"] == [cache]


@pytest.mark.req("REQ-70")
def test_a_link_is_the_same_as_long_as_the_credentials_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process of a function on Lambda has a token of its own, which is part of the link."""
    monkeypatch.setattr(s3.time, "time", lambda: 1_800_000_000.0)
    for name, value in {"AWS_LAMBDA_FUNCTION_NAME": "api", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    links = []
    for token in ("of one", "of one", "of another"):
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        links.append(S3Files(BUCKET).url(a_file("demo-1.0.tar.gz", INLINE + 1)) or "")
    assert links[0] == links[1] != links[2]
    assert [parse_qs(urlsplit(link).query)["X-Amz-Security-Token"] for link in links[1:]] == [
        ["of one"],
        ["of another"],
    ]


def test_an_object_is_read_with_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(1_000_000)
    files = S3Files(BUCKET)
    stat = files.save("a.bin", io.BytesIO(data), hashlib.sha256(data).hexdigest())
    calls = []
    real = files._s3.get_object
    monkeypatch.setattr(files._s3, "get_object", lambda **options: (calls.append(options["Range"]), real(**options))[1])
    with files.open(stat) as content:
        while content.read(10_000):
            pass
        content.seek(500_000)
        content.read(10)
        content.read(10)
    assert calls == ["bytes=0-", "bytes=500000-"]


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "NoSuchBucket", "503"])
def test_troubles_of_s3_are_503(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    files = S3Files(BUCKET)

    def failing(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "secret"}}, "HeadObject")

    monkeypatch.setattr(files._s3, "head_object", failing)
    with pytest.raises(Unavailable) as error:
        files.stat("a.txt")
    assert "secret" not in str(error.value)


def test_a_refusal_of_s3_is_not_taken_for_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    files = S3Files(BUCKET)

    def forbidden(**_: object) -> None:
        raise ClientError({"Error": {"Code": "403"}}, "HeadObject")

    monkeypatch.setattr(files._s3, "head_object", forbidden)
    with pytest.raises(Unavailable, match="403"):
        files.stat("a.txt")


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    files = S3Files(BUCKET)

    def away(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://x")

    monkeypatch.setattr(files._s3, "head_object", away)
    monkeypatch.setattr(files._s3, "head_bucket", away)
    for call in (lambda: files.stat("a"), files.check):
        with pytest.raises(Unavailable, match="The bucket cannot be"):
            call()


def test_a_bucket_that_is_not_there() -> None:
    files = S3Files("no-such-bucket-at-all")
    with pytest.raises(Unavailable):
        files.check()
    with pytest.raises(Unavailable):  # a HEAD says 404 too, and the key is not gone
        files.stat("a")
    with pytest.raises(Unavailable):
        list(files.list())
    with pytest.raises(Unavailable), files.open(a_file("a", 10)) as content:
        content.read()
