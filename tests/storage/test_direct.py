"""The clients on Lambda: what botocore would ask, answer and refuse. ``tests/contracts`` has the stores on them."""

import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from packaging.utils import NormalizedName

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.model import File
from elasticpypi.storage import aws
from elasticpypi.storage.aws import direct, s3
from elasticpypi.storage.aws.direct import DirectS3
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import INLINE, REGIONAL, S3Files
from tests.support.local_aws import make_certificate
from tests.support.moto_aws import BUCKET, TABLE

ONCE = Config(retries={"total_max_attempts": 1})
KEYS = "demo-1.0.tar.gz", "a team+more/d\u00e9mo ~1!0%25.tar.gz", "/odd//../keys?#&=:@$,;", "x" * 700


# ---- Where it is used


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "set") for name in direct.SETTINGS),
        ("AWS_LAMBDA_FUNCTION_NAME", None),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"),
        ("AWS_ACCESS_KEY_ID", None),
        ("AWS_SECRET_ACCESS_KEY", None),
        ("AWS_REGION", None),
        ("AWS_REGION", "cn-north-1"),
        ("AWS_REGION", "us-iso-east-1"),
        ("AWS_REGION", "eusc-de-east-1"),
    ],
)
def test_anything_that_is_not_ordinary_is_left_to_botocore(
    on_lambda: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    assert direct.credentials() == ("test", "secret", "token")
    on_lambda.setenv(name, value) if value else on_lambda.delenv(name)
    assert direct.credentials() is None
    if name != "AWS_PROFILE":
        assert not isinstance(aws.client("s3", REGIONAL), DirectS3)


# ---- The same requests


class Sent(Exception):
    """What would have been sent, instead of sending it."""


@pytest.fixture
def sent(on_lambda: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    def stop(self: Any, method: str, url: str, body: Any = None, headers: Any = None, **_: object) -> None:
        names = {name.lower(): value if isinstance(value, str) else value.decode() for name, value in headers.items()}
        signed = names["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert {"host", *(name for name in names if name.startswith("x-amz-"))} <= set(signed)
        dropped = {"authorization", "x-amz-date", "user-agent", "content-length"}
        kept = {name: value for name, value in names.items() if name not in dropped and not name.startswith("amz-sdk")}
        request.update(
            place=(self.scheme, self.host, self.port),
            method=method,
            target=url,
            body=json.loads(body) if body else None,
            headers=kept,
        )
        raise Sent

    def capture(call: Callable[..., object], **options: Any) -> dict[str, Any]:
        request.clear()
        with pytest.raises((Sent, HTTPClientError)):
            call(**options)
        return dict(request)

    request: dict[str, Any] = {}
    on_lambda.setattr(urllib3.HTTPConnectionPool, "urlopen", stop)
    return capture


@cache  # making one takes as long as all that it is asked
def client_of_s3(region: str) -> Any:
    return boto3.client("s3", region_name=region, config=REGIONAL.merge(ONCE))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("bucket", ["packages", "packages.of.acme"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1"])
def test_s3_is_asked_as_botocore_asks(sent: Any, on_lambda: Any, region: str, bucket: str, key: str) -> None:
    on_lambda.setenv("AWS_REGION", region)
    theirs = client_of_s3(region)
    ours = aws.client("s3", REGIONAL)
    assert sent(ours.head_bucket, Bucket=bucket) == sent(theirs.head_bucket, Bucket=bucket)
    for operation, more in (
        ("head_object", {"ChecksumMode": "ENABLED"}),
        ("get_object", {"IfMatch": '"abc"', "Range": "bytes=5-"}),
    ):
        options = {"Bucket": bucket, "Key": key, **more}
        expected = sent(getattr(theirs, operation), **options)
        expected["headers"].pop("x-amz-checksum-mode", None) if operation == "get_object" else None
        assert sent(getattr(ours, operation), **options) == expected


DEMO_KEY = {"pk": {"S": "project#demo"}, "sk": {"S": "#project"}}
BINARY = {"pk": {"S": "p"}, "sk": {"S": "s"}, "body": {"B": b"\x00\xff"}, "serial": {"N": "7"}}


@pytest.mark.parametrize(
    ("operation", "options"),
    [
        ("get_item", {"TableName": TABLE, "Key": DEMO_KEY, "ConsistentRead": True}),
        ("batch_get_item", {"RequestItems": {TABLE: {"Keys": [DEMO_KEY], "ConsistentRead": True}}}),
        (
            "query",
            {
                "TableName": TABLE,
                "KeyConditionExpression": "#pk = :pk",
                "ExpressionAttributeNames": {"#pk": "pk"},
                "ExpressionAttributeValues": {":pk": {"S": "d\u00e9mo"}},
                "ExclusiveStartKey": DEMO_KEY,
            },
        ),
        ("scan", {"TableName": TABLE, "FilterExpression": "attribute_exists(serial)", "ConsistentRead": True}),
        ("transact_get_items", {"TransactItems": [{"Get": {"TableName": TABLE, "Key": DEMO_KEY}}]}),
        ("transact_write_items", {"TransactItems": [{"Put": {"TableName": TABLE, "Item": BINARY}}]}),
    ],
)
def test_dynamodb_is_asked_as_botocore_asks(sent: Any, operation: str, options: Any) -> None:
    theirs = boto3.client("dynamodb", region_name="us-east-1", config=ONCE)
    expected = sent(getattr(theirs, operation), **options)
    found = sent(getattr(aws.client("dynamodb", None), operation), **options)
    tokens = [request["body"].pop("ClientRequestToken", None) for request in (expected, found)]
    assert [bool(token) for token in tokens] == [operation == "transact_write_items"] * 2
    assert found == expected


@pytest.mark.parametrize("key", KEYS)
def test_a_link_is_the_one_that_botocore_leads_to(on_lambda: pytest.MonkeyPatch, key: str) -> None:
    on_lambda.setattr(s3.time, "time", lambda: 1_800_000_000.0)
    file = File(key, NormalizedName("demo"), "1.0", INLINE + 1, "ab" * 32, "2026-01-31T12:00:00.000000Z", "r1")
    ours = S3Files(BUCKET).url(file)
    on_lambda.delenv("AWS_LAMBDA_FUNCTION_NAME")
    assert ours == S3Files(BUCKET).url(file)


def test_any_other_link_is_botocores(on_lambda: pytest.MonkeyPatch) -> None:
    part = {"Bucket": BUCKET, "Key": "a", "UploadId": "u", "PartNumber": 1}
    assert "uploadId=u" in aws.client("s3", REGIONAL).generate_presigned_url("upload_part", Params=part)


# ---- The same errors


Answer = tuple[int, bytes]


@contextmanager
def scripted(*answers: Answer | None, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Any]:
    """A server that gives these answers, one after another (None: it hangs up), and remembers what it was asked."""
    waiting = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            asked.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            given = waiting.pop(0)
            if given is None:
                self.close_connection = True
                return
            status, body = given
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    asked: list[bytes] = []
    with http.server.ThreadingHTTPServer((host, 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.asked = asked  # type: ignore[attr-defined]
        server.url = f"{'https' if tls else 'http'}://{host}:{server.server_port}"  # type: ignore[attr-defined]
        yield server
        server.shutdown()


@pytest.fixture
def waits(on_lambda: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, instead of waiting."""
    waits: list[float] = []
    on_lambda.setattr(direct.time, "sleep", waits.append)
    return waits


def error(code: str, **more: Any) -> Answer:
    return 400, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "why", **more}).encode()


@pytest.mark.parametrize(
    "passing",
    [(500, b""), (503, b"<html>"), None, error("ThrottlingException"), error("ProvisionedThroughputExceededException")],
)
def test_what_may_pass_is_tried_again(
    on_lambda: pytest.MonkeyPatch, waits: list[float], passing: Answer | None
) -> None:
    with scripted(passing, passing, (200, b"{}")) as server:
        on_lambda.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
        assert aws.client("dynamodb", None).transact_write_items(TransactItems=[]) == {}
    assert len(server.asked) == 3
    assert len(set(server.asked)) == 1  # with its token: the same transaction
    assert len(waits) == 2
    assert 0 <= waits[0] <= 1
    assert 0 <= waits[1] <= 2


@pytest.mark.parametrize("passing", [(500, b""), None, error("ThrottlingException")])
def test_but_not_for_ever(on_lambda: pytest.MonkeyPatch, waits: list[float], passing: Answer | None) -> None:
    with scripted(*[passing] * 4) as server:
        on_lambda.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
        with pytest.raises((ClientError, BotoCoreError)):
            aws.client("dynamodb", None).get_item(TableName=TABLE)
    assert len(server.asked) == 3


REASONS = [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (error("TransactionCanceledException", CancellationReasons=REASONS), "TransactionCanceledException"),
        (error("ResourceNotFoundException"), "ResourceNotFoundException"),
        ((403, b"not JSON"), "403"),
    ],
)
def test_errors_of_dynamodb_are_told_as_botocore_tells_them(
    on_lambda: pytest.MonkeyPatch, waits: list[float], answer: Answer, code: str
) -> None:
    with scripted(answer, answer) as server:
        on_lambda.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
        told = []
        for client in (aws.client("dynamodb", None), boto3.client("dynamodb")):
            with pytest.raises(ClientError) as raised:
                client.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": DEMO_KEY}}])
            told.append(raised.value.response)
    assert told[0]["Error"]["Code"] == told[1]["Error"]["Code"] == code
    assert told[0].get("CancellationReasons") == told[1].get("CancellationReasons")
    assert not waits


NO_SUCH_KEY = b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code><Message>No.</Message><Key>a</Key></Error>'


@pytest.mark.parametrize(
    ("answer", "code"), [((404, NO_SUCH_KEY), "NoSuchKey"), ((412, b""), "412"), ((403, b""), "403")]
)
def test_errors_of_s3_are_told_as_botocore_tells_them(
    on_lambda: pytest.MonkeyPatch, waits: list[float], answer: Answer, code: str
) -> None:
    with scripted(*[answer] * 4) as server:
        on_lambda.setenv("AWS_ENDPOINT_URL_S3", server.url)
        for client in (aws.client("s3", REGIONAL), boto3.client("s3", config=REGIONAL)):
            with pytest.raises(ClientError) as raised:
                client.get_object(Bucket=BUCKET, Key="a", IfMatch='"1"', Range="bytes=0-")
            assert raised.value.response["Error"]["Code"] == code
            with pytest.raises(ClientError) as raised:  # whose answer has no body
                client.head_object(Bucket=BUCKET, Key="a", ChecksumMode="ENABLED")
            assert raised.value.response["Error"]["Code"] == str(answer[0])
    assert not waits


def test_half_an_object_is_no_object(on_lambda: pytest.MonkeyPatch, waits: list[float]) -> None:
    with scripted() as server:
        server.RequestHandlerClass.do_GET = lambda self: self.wfile.write(
            b"HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\r\nhalf"
        )
        server.RequestHandlerClass.protocol_version = "HTTP/1.0"
        on_lambda.setenv("AWS_ENDPOINT_URL_S3", server.url)
        file = File("a", NormalizedName("demo"), "1.0", 10, "ab" * 32, "2026-01-31T12:00:00.000000Z", "r1")
        with S3Files(BUCKET).open(file) as content, pytest.raises(Unavailable):
            content.read()


# ---- TLS and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and with a certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder)
    return folder


@pytest.mark.parametrize(
    ("host", "known", "accepted"),
    [
        ("127.0.0.1", True, True),
        ("127.0.0.1", False, False),
        ("127.0.0.2", True, False),  # the certificate is of another host
    ],
)
def test_only_who_can_prove_to_be_aws_is_asked(
    on_lambda: pytest.MonkeyPatch, waits: list[float], certificate: Path, host: str, known: bool, accepted: bool
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "server.pem", certificate / "server.key")
    if known:
        on_lambda.setenv("AWS_CA_BUNDLE", str(certificate / "ca.pem"))
    with scripted((200, b'{"Item": {}}'), tls=tls, host=host) as server:
        on_lambda.setenv("AWS_ENDPOINT_URL", server.url)
        if accepted:
            assert aws.client("dynamodb", None).get_item(TableName=TABLE) == {"Item": {}}
        else:
            with pytest.raises(Unavailable, match="cannot be reached"):
                DynamoIndex(TABLE).serial(NormalizedName("demo"))
            assert not server.asked


def test_a_proxy_is_used_if_there_is_one(on_lambda: pytest.MonkeyPatch) -> None:
    on_lambda.setenv("HTTPS_PROXY", "http://192.0.2.1:3128")
    on_lambda.setenv("NO_PROXY", "127.0.0.1")
    proxied = direct._manager("https://dynamodb.eu-central-1.amazonaws.com")
    assert isinstance(proxied, urllib3.ProxyManager)
    assert not isinstance(direct._manager("https://127.0.0.1:1"), urllib3.ProxyManager)
