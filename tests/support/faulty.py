"""A server between the index and an AWS on this machine, which refuses, delays, cuts, and loses answers.

Each request that comes is described (:class:`Call`) to ``decide``, which says what becomes of it: None, it is
passed on, or a :class:`Fault`.
"""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3

Decide = Callable[["Call"], "Fault | None"]


@dataclass(frozen=True)
class Call:
    """``service`` is s3 or dynamodb, ``operation`` its name at AWS, as far as the index uses it."""

    service: str
    operation: str
    target: str


@dataclass(frozen=True)
class Fault:
    """What the client gets instead of an answer.

    Without ``status`` the connection is closed; with ``half`` that happens in the middle of the real answer. ``after``:
    the request is passed on first, and only its answer is lost. ``seconds`` go by before anything comes back.
    """

    name: str
    status: int | None = None
    body: bytes = b""
    half: bool = False
    after: bool = False
    seconds: float = 0


@dataclass
class Faulty:
    """Where it is, what was asked, what of it went wrong, and what becomes of it from now on."""

    url: str
    decide: Decide = lambda call: None
    calls: list[Call] = field(default_factory=list)
    met: list[Call] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def faulty(s3: str, dynamodb: str, instead: str = "") -> Iterator[Faulty]:
    """A server in front of the endpoints of S3 and DynamoDB.

    With ``instead``, what is below ``.uploads/`` lies below that in this S3, which must know no signatures: SeaweedFS
    has the parts of uploads in a folder of that name, and lists nothing of it.
    """
    ours, theirs = "/.uploads/", f"/{instead or '.uploads'}/"
    pool = urllib3.PoolManager(maxsize=20)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.connection.settimeout(60)

        def answer(self) -> None:
            call = _call(self.command, self.path, self.headers.get("X-Amz-Target", ""))
            if call.operation == "UploadPart" and "x-amz-copy-source" in self.headers:
                call = replace(call, operation="UploadPartCopy")
            body = self._body()
            told.calls.append(call)
            fault = told.decide(call)
            passed: Any = None
            if fault is None or fault.after or fault.half:
                endpoint = dynamodb if call.service == "dynamodb" else s3
                headers = {name: value for name, value in self.headers.items() if name not in ("Expect", "Connection")}
                if source := headers.get("x-amz-copy-source"):
                    headers["x-amz-copy-source"] = source.replace(ours, theirs)
                passed = pool.request(
                    self.command, endpoint + self.path.replace(ours, theirs), body=body, headers=headers,
                    retries=False, redirect=False, decode_content=False,
                )  # fmt: skip
                data = passed.data
                if call.operation == "ListObjectsV2":
                    data = data.replace(f"<Key>{theirs[1:]}".encode(), f"<Key>{ours[1:]}".encode())
            if fault is None or (fault.half and not data):
                self._send(passed.status, passed.headers, data)
                return
            told.met.append(call)
            if fault.seconds:
                told.closing.wait(fault.seconds)
            if fault.half:
                self._send(passed.status, passed.headers, data, half=True)
            elif fault.status:
                self._send(fault.status, {}, fault.body)
            else:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            read = b""
            while size := int(self.rfile.readline(), 16):
                read += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return read

        def _send(self, status: int, headers: Any, body: bytes, half: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            length = headers.get("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if half else body)
            self.close_connection = half

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Clients that hang up are what this is for."""

    with Server(("127.0.0.1", 0), Handler) as server:
        told = Faulty(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield told
        told.closing.set()
        server.shutdown()
    pool.clear()


def _call(method: str, target: str, named: str) -> Call:
    if named:
        return Call("dynamodb", named.rpartition(".")[2], target)
    path, query = urlsplit(target).path, parse_qs(urlsplit(target).query, keep_blank_values=True)
    is_bucket = "/" not in path.strip("/")
    if "uploadId" in query:
        names = {"GET": "ListParts", "PUT": "UploadPart", "POST": "CompleteMultipartUpload"}
        return Call("s3", names.get(method, "AbortMultipartUpload"), target)
    if "uploads" in query:
        return Call("s3", "CreateMultipartUpload", target)
    if is_bucket:
        return Call("s3", "HeadBucket" if method == "HEAD" else "ListObjectsV2", target)
    names = {"HEAD": "HeadObject", "GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
    return Call("s3", names[method], target)


def dynamodb_error(status: int, code: str, **more: Any) -> dict[str, Any]:
    """What DynamoDB says, for a :class:`Fault`."""
    told = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "secret why", **more}
    return {"status": status, "body": json.dumps(told).encode()}


def canceled(*codes: str) -> dict[str, Any]:
    """A transaction that was not done, and why."""
    return dynamodb_error(
        400, "TransactionCanceledException", CancellationReasons=[{"Code": code} for code in ("None", *codes)]
    )


def s3_error(status: int, code: str) -> dict[str, Any]:
    """What S3 says; a HEAD has no body."""
    body = f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>secret why</Message></Error>'
    return {"status": status, "body": body.encode()}


HTML = b"<html><body>secret why</body></html>"
ANY = [  # whatever stands between
    *(Fault(f"{status} without a body", status) for status in (500, 502, 503, 504)),
    *(Fault(f"{status} in HTML", status, HTML) for status in (403, 429, 500, 502, 503, 504)),
    Fault("429 without a body", 429),
    Fault("the connection is closed"),
    Fault("half an answer", half=True),
    Fault("the answer is lost", after=True),
]
DYNAMODB = [
    *(Fault(code, **dynamodb_error(400, code)) for code in (
        "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
        "TransactionInProgressException", "TransactionConflictException", "ReplicatedWriteConflictException",
        "AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException",
        "ResourceNotFoundException", "LimitExceededException", "KMSAccessDeniedException",
    )),
    Fault("InternalServerError", **dynamodb_error(500, "InternalServerError")),
    Fault("ServiceUnavailable", **dynamodb_error(503, "ServiceUnavailable")),
    *(Fault(f"canceled: {code}", **canceled(code)) for code in (
        "ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict", "AccessDenied",
    )),
    Fault("canceled: two reasons", **canceled("ConditionalCheckFailed", "ProvisionedThroughputExceeded")),
]  # fmt: skip
S3 = [
    Fault("InternalError", **s3_error(500, "InternalError")),
    Fault("SlowDown", **s3_error(503, "SlowDown")),
    Fault("ServiceUnavailable", **s3_error(503, "ServiceUnavailable")),
    Fault("OperationAborted", **s3_error(409, "OperationAborted")),
    Fault("RequestTimeout", **s3_error(400, "RequestTimeout")),
    Fault("ExpiredToken", **s3_error(400, "ExpiredToken")),
    Fault("AccessDenied", **s3_error(403, "AccessDenied")),
    Fault("InvalidAccessKeyId", **s3_error(403, "InvalidAccessKeyId")),
    Fault("RequestTimeTooSkewed", **s3_error(403, "RequestTimeTooSkewed")),
    Fault("NoSuchBucket", **s3_error(404, "NoSuchBucket")),
    Fault("KMS.DisabledException", **s3_error(400, "KMS.DisabledException")),
]
