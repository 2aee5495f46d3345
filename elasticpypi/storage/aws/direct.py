"""S3 and DynamoDB on Lambda without botocore's clients: 100 ms of CPU and 20 MB less in a cold start.

The operations of pages, downloads and sync take and return what they do there, errors included; for any
other the real client is made. Signed by botocore, sent by urllib3, both of which Lambda has.
"""

import base64
import json
import math
import os
import random
import re
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache, cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit

import urllib3
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.exceptions import ClientError, HTTPClientError
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody
from botocore.utils import get_environ_proxies

from elasticpypi import __version__
from elasticpypi.core.errors import Unavailable
from elasticpypi.storage.aws.faults import passing

ATTEMPTS = 3  # as botocore's retry mode "standard" has it
# A try takes no longer than both of these, and none begins after LAST_TRY: whoever asks has an answer after 25 s,
# and API Gateway waits for 29 s.
CONNECT_SECONDS = 2
READ_SECONDS = 6
LAST_TRY = 17.0
CONNECTIONS = 10  # kept open to a host, for as many threads; botocore keeps as many
# What would lead botocore elsewhere, or to other credentials.
SETTINGS = "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"


_last_try: ContextVar[float] = ContextVar("last_try", default=math.inf)


@contextmanager
def in_time() -> Iterator[None]:
    """Meanwhile, this thread works for somebody who waits no longer than API Gateway does."""
    before = _last_try.set(time.monotonic() + LAST_TRY)
    try:
        yield
    finally:
        _last_try.reset(before)


def check_time(**_: object) -> None:
    """:class:`Unavailable` if it is too late for one more try; botocore calls it before each of its own."""
    if time.monotonic() > _last_try.get():
        raise Unavailable("AWS answers too slowly: try again.")


class Credentials(NamedTuple):
    """What Lambda puts into the environment; good as long as the process lives."""

    access_key: str
    secret_key: str
    token: str | None


def credentials() -> Credentials | None:
    """The credentials, if this is a Lambda where everything is as Lambda sets it up; else botocore has to look."""
    environ = os.environ
    region = environ.get("AWS_REGION", "")
    ordinary = region and "-iso" not in region and not region.startswith(("cn-", "eusc-"))  # in amazonaws.com
    if "AWS_LAMBDA_FUNCTION_NAME" not in environ or not ordinary or any(map(environ.get, SETTINGS)):
        return None
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        return None  # a snapshot outlives the credentials that it was made with
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    return Credentials(key, secret, environ.get("AWS_SESSION_TOKEN")) if key and secret else None


class _Client:
    """Signed requests to one service, tried again where that may help."""

    service: str
    signer: type[SigV4Auth]

    def __init__(self, credentials: Any, config: Any) -> None:
        self._config = config
        self._credentials = credentials
        self.meta = SimpleNamespace(region_name=os.environ["AWS_REGION"])
        self._signer = self.signer(credentials, self.service, self.meta.region_name)
        named = os.environ.get(f"AWS_ENDPOINT_URL_{self.service.upper()}") or os.environ.get("AWS_ENDPOINT_URL")
        self._endpoint = named.rstrip("/") if named else None

    def __getattr__(self, operation: str) -> Any:
        return getattr(self._real, operation)

    @cached_property
    def _real(self) -> Any:
        from elasticpypi.storage import aws

        return aws.real_client(self.service, self._config)

    def _send(self, operation: str, method: str, url: str, headers: Mapping[str, str], data: bytes = b"") -> Any:
        """The answer; :class:`ClientError` or :class:`HTTPClientError` if there is none after all attempts."""
        attempt = 1
        while True:
            check_time()
            try:
                return self._once(operation, self._signed(method, url, headers, data), data)
            except (ClientError, HTTPClientError) as error:
                if attempt == ATTEMPTS or not _may_pass(error):
                    raise
            time.sleep(random.uniform(0, 2 ** (attempt - 1)))
            attempt += 1

    def _signed(self, method: str, url: str, headers: Mapping[str, str], data: bytes) -> AWSPreparedRequest:
        request = AWSRequest(method, url, {"User-Agent": f"elasticpypi/{__version__}", **headers}, data)
        self._signer.add_auth(request)
        return request.prepare()

    def _once(self, operation: str, request: AWSPreparedRequest, data: bytes) -> Any:
        parts = urlsplit(request.url)
        pool = _manager(f"{parts.scheme}://{parts.netloc}").connection_from_url(request.url)
        try:
            answer = pool.urlopen(
                request.method,
                f"{parts.path}?{parts.query}" if parts.query else parts.path,
                body=data or None,
                headers=dict(request.headers.items()),
                retries=False,
                assert_same_host=False,
                preload_content=operation != "GetObject",
                decode_content=False,
            )
            if answer.status < 300:
                return answer
            failure: Any = {
                **self._error(answer.status, answer.data),
                "ResponseMetadata": {"HTTPStatusCode": answer.status},
            }
        except urllib3.exceptions.HTTPError as error:
            raise HTTPClientError(error=error) from error
        raise ClientError(failure, operation)

    def _error(self, status: int, body: bytes) -> Any:
        raise NotImplementedError


class DirectDynamoDB(_Client):
    """DynamoDB; every operation is the same JSON (AWS: DynamoDB low-level API)."""

    service = "dynamodb"
    signer = SigV4Auth

    def get_item(self, **request: Any) -> Any:
        return self._call("GetItem", request)

    def batch_get_item(self, **request: Any) -> Any:
        return self._call("BatchGetItem", request)

    def query(self, **request: Any) -> Any:
        return self._call("Query", request)

    def scan(self, **request: Any) -> Any:
        return self._call("Scan", request)

    def transact_get_items(self, **request: Any) -> Any:
        return self._call("TransactGetItems", request)

    def transact_write_items(self, **request: Any) -> Any:
        # Tried again, it is the same transaction.
        return self._call("TransactWriteItems", {"ClientRequestToken": str(uuid.uuid4()), **request})

    def _call(self, operation: str, request: Mapping[str, Any]) -> Any:
        url = f"{self._endpoint or f'https://dynamodb.{self.meta.region_name}.amazonaws.com'}/"
        headers = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Content-Type": "application/x-amz-json-1.0"}
        data = json.dumps(request, default=lambda binary: base64.b64encode(binary).decode()).encode()
        body = self._send(operation, "POST", url, headers, data).data
        try:
            return json.loads(body, object_hook=_binary if b'"B"' in body else None)
        except ValueError as error:
            raise ResponseParserError(f"{operation} was not answered with JSON.") from error

    def _error(self, status: int, body: bytes) -> Any:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        code = answer.pop("__type", str(status)).rpartition("#")[2]
        message = answer.pop("message", answer.pop("Message", ""))
        return {"Error": {"Code": code, "Message": message}, **answer}


# What a PUT of ours may have besides its body; for anything else there is the real client.
PUT_HEADERS = {
    "IfMatch": "If-Match",
    "IfNoneMatch": "If-None-Match",
    "ContentType": "Content-Type",
    "ContentEncoding": "Content-Encoding",
}


class DirectS3(_Client):
    """S3: what reading takes, lists, and small objects."""

    service = "s3"
    signer = S3SigV4Auth

    def head_bucket(self, *, Bucket: str) -> None:
        self._send("HeadBucket", "HEAD", self._url(Bucket), {})

    def head_object(self, *, Bucket: str, Key: str, ChecksumMode: str) -> Any:
        answer = self._send("HeadObject", "HEAD", self._url(Bucket, Key), {"x-amz-checksum-mode": ChecksumMode})
        checksum = answer.headers.get("x-amz-checksum-sha256")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return {
            "ContentLength": int(answer.headers["Content-Length"]),
            "ETag": answer.headers["ETag"],
            "LastModified": parsedate_to_datetime(answer.headers["Last-Modified"]),
            "Metadata": {name[11:]: value for name, value in headers.items() if name.startswith("x-amz-meta-")},
            **({"ChecksumSHA256": checksum} if checksum else {}),
        }

    def get_object(self, *, Bucket: str, Key: str, IfMatch: str = "", Range: str = "") -> Any:
        headers = {name: value for name, value in (("If-Match", IfMatch), ("Range", Range)) if value}
        answer = self._send("GetObject", "GET", self._url(Bucket, Key), headers)
        body = StreamingBody(answer, answer.headers["Content-Length"])
        return {"Body": body, "ETag": answer.headers.get("ETag", "")}

    def put_object(self, *, Bucket: str, Key: str, Body: Any, **more: Any) -> Any:
        if not isinstance(Body, bytes) or not more.keys() <= PUT_HEADERS.keys():
            return self._real.put_object(Bucket=Bucket, Key=Key, Body=Body, **more)
        headers = {PUT_HEADERS[name]: value for name, value in more.items()}
        return {"ETag": self._send("PutObject", "PUT", self._url(Bucket, Key), headers, Body).headers["ETag"]}

    def list_objects_v2(self, *, Bucket: str, **more: str) -> Any:
        from xml.etree import ElementTree  # which few processes need

        names = {"Prefix": "prefix", "StartAfter": "start-after", "ContinuationToken": "continuation-token"}
        asked = {"list-type": "2", "encoding-type": "url", **{names[name]: value for name, value in more.items()}}
        query = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(asked.items()))
        data = self._send("ListObjectsV2", "GET", f"{self._url(Bucket)}?{query}", {}).data
        try:
            # Of S3 itself, over TLS: no document of anybody else. Its namespace is the same for all.
            root = ElementTree.fromstring(data)
        except ElementTree.ParseError as error:
            raise ResponseParserError("ListObjectsV2 was not answered with XML.") from error
        if not root.tag.endswith("ListBucketResult"):
            raise ResponseParserError("ListObjectsV2 was answered with something else.")
        space = root.tag.removesuffix("ListBucketResult")
        found = root.iter(f"{space}Contents")
        entries = [{part.tag.removeprefix(space): part.text or "" for part in each} for each in found]
        token = root.findtext(f"{space}NextContinuationToken")
        contents = [
            {
                "Key": unquote_plus(entry["Key"]),
                "Size": int(entry["Size"]),
                "ETag": entry["ETag"],
                "LastModified": datetime.fromisoformat(entry["LastModified"]),
            }
            for entry in entries
        ]
        return {"Contents": contents, **({"NextContinuationToken": token} if token else {})}

    def generate_presigned_url(self, operation: str, *, Params: Any, ExpiresIn: int = 3600) -> str:
        if operation != "get_object":
            return str(self._real.generate_presigned_url(operation, Params=Params, ExpiresIn=ExpiresIn))
        request = AWSRequest("GET", self._url(**Params))
        S3SigV4QueryAuth(self._credentials, self.service, self.meta.region_name, ExpiresIn).add_auth(request)
        return str(request.url)

    def _url(self, Bucket: str, Key: str | None = None) -> str:
        path = "" if Key is None else f"/{quote(Key, safe='/~')}"
        host = f"s3.{self.meta.region_name}.amazonaws.com"
        if self._endpoint or "." in Bucket:  # a certificate for *.s3… holds for one label
            return f"{self._endpoint or f'https://{host}'}/{Bucket}{path}"
        return f"https://{Bucket}.{host}{path or '/'}"

    def _error(self, status: int, body: bytes) -> Any:
        code = re.search(rb"<Code>(\w+)</Code>", body)
        return {"Error": {"Code": code[1].decode() if code else str(status), "Message": ""}}


def _may_pass(error: ClientError | HTTPClientError) -> bool:
    if isinstance(error, HTTPClientError):
        return True
    answer = error.response
    return passing(answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"])


def _binary(value: dict[str, Any]) -> dict[str, Any]:
    """``{"B": <base64>}``, the only form in which bytes come, with the bytes."""
    return {"B": base64.b64decode(value["B"])} if isinstance(value.get("B"), str) else value


@cache
def _manager(origin: str) -> urllib3.PoolManager:
    """The connections to one host; urllib3 would load the certificates anew for each of them (15 ms)."""
    timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    options: Any = {
        "timeout": timeout,
        "maxsize": CONNECTIONS,
        "ssl_context": _tls(os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True)),
    }
    proxy = get_environ_proxies(origin).get("https") if origin.startswith("https:") else None
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


@cache
def _tls(authorities: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authorities)
    return context
