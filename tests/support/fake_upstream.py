"""Another index, in threads of this process: a simple index and a file host that records every request.

It does what it is told for a path, once or always: it is slow or hangs, it lies, refuses, or breaks off.
"""

import gzip
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

JSON = "application/vnd.pypi.simple.v1+json"
OLD = "2020-01-01T00:00:00.000000Z"  # older than any cooldown


@dataclass(frozen=True)
class Request:
    """One that came: header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Answer:
    """What is sent for a path. ``before`` and ``middle`` are called before the headers, and after half of the body.

    ``rate`` is (bytes, seconds) of a drip, of the headers too if ``drips_headers``; ``announces`` is a wrong
    Content-Length, None for none at all; after ``ends`` bytes the connection is broken.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    middle: Callable[[], object] = lambda: None
    rate: tuple[int, float] | None = None
    drips_headers: bool = False
    chunked: bool = False
    announces: int | None = -1
    ends: int | None = None


class FakeUpstream:
    """``url`` is the address of its simple index, ``requests`` is all that came."""

    def __init__(self, credentials: str = "", certificate: tuple[Path, Path] | None = None) -> None:
        self.requests: list[Request] = []
        self.answers: dict[str, Answer | Callable[[Request], Answer]] = {}
        self.projects: dict[str, dict[str, Any]] = {}
        self.credentials = credentials  # the value of Authorization that it asks for
        self.gone = threading.Event()  # when it closes, whoever hangs goes on
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.base = f"http{'s' if certificate else ''}://{self.host}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{self.base}/simple/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def add(
        self, filename: str, content: bytes = b"", project: str = "", *, path: str = "", **entry: Any
    ) -> dict[str, Any]:
        """A file and its line on the page of its project; keys of the entry that are None are left out."""
        project = project or filename.partition("-")[0].replace("_", "-").lower()
        digest = hashlib.sha256(content).hexdigest()
        blake2b = hashlib.blake2b(content, digest_size=32).hexdigest()
        path = path or f"packages/{blake2b[:2]}/{blake2b[2:4]}/{blake2b[4:]}/{filename}"
        found = {
            "filename": filename,
            "url": f"{self.base}/{path}",
            "hashes": {"sha256": digest},
            "size": len(content),
            "upload-time": OLD,
            "yanked": False,
            **entry,
        }
        page = self.projects.setdefault(
            project, {"meta": {"api-version": "1.4"}, "name": project, "versions": [], "files": []}
        )
        page["files"].append({key: value for key, value in found.items() if value is not None})
        self.answers[f"/{path}"] = Answer(content)
        return found

    def tell(self, path: str, answer: Answer | Callable[[Request], Answer]) -> None:
        """What is answered at a path from now on."""
        self.answers[path] = answer

    def page(self, project: str, **headers: str) -> Answer:
        """The page of a project as it is now."""
        body = json.dumps(self.projects[project]).encode()
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        return Answer(body, 200, JSON, {"ETag": etag, **headers})

    def hang(self) -> None:
        """Until the end of the test."""
        self.gone.wait(60)

    def asked(self, path: str = "") -> list[Request]:
        """The requests for a path, or for all below it if it ends in "*"."""
        if path.endswith("*"):
            return [request for request in self.requests if request.path.startswith(path[:-1])]
        return [request for request in self.requests if not path or request.path == path]

    def answer(self, request: Request) -> Answer:
        """What is sent for a request."""
        if self.credentials and request.headers.get("authorization") != self.credentials:
            return Answer(b"Who are you?", 401, "text/plain", {"WWW-Authenticate": "Basic"})
        if (told := self.answers.get(request.path)) is not None:
            return told(request) if callable(told) else told
        name = request.path.removeprefix("/simple/").removesuffix("/")
        if not request.path.startswith("/simple/") or name not in self.projects:
            return Answer(b"404 Not Found", 404, "text/plain")
        found = self.page(name)
        if request.headers.get("if-none-match") == found.headers["ETag"]:
            return Answer(b"", 304, "", found.headers)
        return found

    def close(self) -> None:
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are what is tested."""


def _handler(upstream: FakeUpstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers)
            upstream.requests.append(request)
            with suppress(OSError):
                self._send(upstream.answer(request))

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

        def _send(self, answer: Answer) -> None:
            answer.before()
            if upstream.gone.is_set():
                self.close_connection = True
                return
            lines = [f"HTTP/1.1 {answer.status} Said"]
            lines += [f"{name}: {value}" for name, value in answer.headers.items()]
            lines += [f"Content-Type: {answer.content_type}"] * bool(answer.content_type)
            length = len(answer.body) if answer.announces == -1 else answer.announces
            if answer.chunked:
                lines += ["Transfer-Encoding: chunked"]
            elif length is not None and answer.status != 304:
                lines += [f"Content-Length: {length}"]
            self.close_connection = length is None or length != len(answer.body) or answer.ends is not None
            head = ("\r\n".join(lines) + "\r\n\r\n").encode()
            self._write(head, answer.rate if answer.drips_headers else None)
            if self.command == "HEAD":
                return
            body = answer.body[: answer.ends]
            half = len(body) // 2
            if answer.chunked:
                body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
            self._write(body[:half], answer.rate)
            answer.middle()
            self._write(body[half:], answer.rate)
            if answer.ends is not None:
                self.connection.shutdown(socket.SHUT_RDWR)

        def _write(self, data: bytes, rate: tuple[int, float] | None) -> None:
            size, pause = rate or (256 * 1024, 0.0)
            for start in range(0, len(data), size):
                self.connection.sendall(data[start : start + size])
                if pause and upstream.gone.wait(pause):
                    return

    return Handler


@contextmanager
def fake_upstream(credentials: str = "", certificate: tuple[Path, Path] | None = None) -> Iterator[FakeUpstream]:
    """One that ends with the block; with a certificate and its key it speaks https."""
    made = FakeUpstream(credentials, certificate)
    try:
        yield made
    finally:
        made.close()


def html(*links: str) -> Answer:
    """A page of PEP 503."""
    return Answer(("<!DOCTYPE html><html><body>" + "<br>".join(links) + "</body></html>").encode(), 200, "text/html")


def redirect(target: str) -> Answer:
    return Answer(b"", 302, "text/plain", {"Location": target})


def bomb(size: int) -> Answer:
    """So many bytes of spaces, compressed."""
    body = gzip.compress(b" " * size, 9)
    return Answer(body, 200, JSON, {"Content-Encoding": "gzip"})


def later(seconds: float) -> Callable[[], None]:
    return lambda: time.sleep(seconds)
