"""An index that takes files by parts, and the store of the parts, with the faults that networks and S3 have."""

import hashlib
import json
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.application import PASSWORD, USER, basic

BLOCK = 65536


class PartsServer(ThreadingHTTPServer):
    """At ``address``, one file at a time.

    ``faults`` has, for a part, what happens to its next PUTs: "break" in the middle of the body, "lost" where only the
    answer does not come, "stall" until ``go`` is set, or a status. Whoever sets ``generation`` lets all links expire.
    ``answers`` are given to the next questions at the index instead of the true ones; ``checks`` is how often the
    file is still being checked; ``refusal`` is what comes of that.
    """

    daemon_threads = True

    def __init__(self, part_size: int = 100_000) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.part_size = part_size
        self.keep = True
        self.faults: dict[int, list[str | int]] = defaultdict(list)
        self.answers: list[tuple[int, bytes]] = []
        self.generation = 0
        self.checks = 1
        self.refusal: dict[str, Any] | None = None
        self.go = threading.Event()
        self.stalled = threading.Event()
        self.form: dict[str, list[str]] = {}
        self.parts: dict[int, bytes] = {}
        self.result: dict[str, Any] | None = None
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []

    def puts(self) -> list[int]:
        """The numbers of the parts in the order in which they came, whatever became of them."""
        return [int(line.rpartition("/")[2]) for line in self.requests if line.startswith("PUT")]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is what some tests are about."""

    def state(self) -> dict[str, Any]:
        if self.result:
            return self.result
        size = int(self.form["size"][0])
        numbers = range(1, -(-size // self.part_size) + 1)
        links = {str(n): f"{self.address}/parts/{n}?g={self.generation}" for n in numbers if n not in self.parts}
        return {"state": "open", "id": "f" * 64, "part_size": self.part_size, "missing": links}

    def joined(self) -> dict[str, Any]:
        name = self.form["filename"][0]
        if self.keep:
            digest = hashlib.sha256(b"".join(part for _, part in sorted(self.parts.items()))).hexdigest()
            assert digest == self.form["sha256_digest"][0]
        self.result = self.refusal or {"state": "done", "message": f"{name} is in the index."}
        return {"state": "checking", "id": "f" * 64}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PartsServer

    def do_POST(self) -> None:
        self.server.requests.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._is_other_answer():
            return
        if self.path == "/stage/uploads/":
            self.server.form = parse_qs(body.decode())
            state = self.server.state()
            self._answer(201 if state["state"] == "open" else 200, state)
        else:
            assert self.path == f"/stage/uploads/{'f' * 64}"
            state = self.server.state()
            done = state["state"] == "open" and not state["missing"]
            self._answer(202, self.server.joined()) if done else self._answer(200, state)

    def do_GET(self) -> None:
        self.server.requests.append(f"GET {self.path}")
        if self._is_other_answer():
            return
        assert self.path == f"/stage/uploads/{'f' * 64}"
        if self.server.result and self.server.checks:
            self.server.checks -= 1
            self._answer(202, {"state": "checking", "id": "f" * 64})
        else:
            self._answer(200, self.server.state())

    def do_PUT(self) -> None:
        url = urlsplit(self.path)
        self.server.requests.append(f"PUT {url.path}")
        self.server.headers.append(dict(self.headers))
        number, size = int(url.path.rpartition("/")[2]), int(self.headers["Content-Length"])
        fault = self.server.faults[number].pop(0) if self.server.faults[number] else None
        if url.query != f"g={self.server.generation}":
            fault = 403
        if fault == "stall":
            self.server.stalled.set()
            self.server.go.wait(30)
        if fault == "break":
            self.rfile.read(size // 2)
            # Not an orderly end, but a connection that is no longer there.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        if isinstance(fault, int):  # as S3 does: the answer comes before the body was read
            self.close_connection = True
            self._answer(fault, None)
            return
        kept = []
        while size:
            data = self.rfile.read(min(size, BLOCK))
            if not data:
                return
            size -= len(data)
            kept.append(data if self.server.keep else b"")
        self.server.parts[number] = b"".join(kept)
        if fault == "lost":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(200, None)

    def _is_other_answer(self) -> bool:
        if self.headers["Authorization"] != basic(f"{USER}:{PASSWORD}"):
            self._answer(401, {"message": "User name and password are needed, or wrong."})
            return True
        if not self.server.answers:
            return False
        status, body = self.server.answers.pop(0)
        self._answer(status, body)
        return True

    def _answer(self, status: int, body: object) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if 300 <= status < 400:
            self.send_header("Location", "https://elsewhere/")
        if data.startswith(b"{"):
            self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """The requests are in ``server.requests``."""


@contextmanager
def parts_server(part_size: int = 100_000) -> Iterator[PartsServer]:
    """A running :class:`PartsServer`."""
    with PartsServer(part_size) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.go.set()
            server.shutdown()
            thread.join()
