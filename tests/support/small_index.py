"""Another index in this process: pages of projects, and what was asked for."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/vnd.pypi.simple.v1+json"


class SmallIndex:
    """``pages`` are JSON by name, ``files`` bytes by path; ``status`` is the answer to everything if it is not 0.

    While ``stopped`` is set, nobody gets an answer.
    """

    def __init__(self) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.status = 0
        self.stopped = threading.Event()
        self.go_on = threading.Event()
        self.url = ""

    def add(self, name: str, *releases: tuple[str, float | None]) -> None:
        """Wheels of a project: of each release the version and its age in days, None: it says no time."""
        files = []
        for version, days in releases:
            filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
            body = f"wheel {filename}".encode()
            self.files[f"/files/{filename}"] = body
            file = {
                "filename": filename,
                "url": f"../../files/{filename}",
                "hashes": {"sha256": sha256(body).hexdigest()},
            }
            if days is not None:
                uploaded = datetime.now(UTC) - timedelta(days=days)
                file["upload-time"] = f"{uploaded:%Y-%m-%dT%H:%M:%S.%fZ}"
            files.append({**file, "size": len(body)})
        self.pages[name] = {"meta": {"api-version": "1.1"}, "name": name, "files": files}

    def policy(self, *lines: str) -> bytes:
        """A policy that names it, with more lines."""
        return "\n".join([f'[upstream.main]\nurl = "{self.url}"\nfresh = "0"', *lines, ""]).encode()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, media type and body for a path."""
        self.asked.append(path)
        if self.stopped.is_set():
            self.go_on.wait(30)
        if self.status:
            return self.status, "text/plain", b"no"
        if path in self.files:
            return 200, "application/octet-stream", self.files[path]
        page = self.pages.get(path.removeprefix("/simple/").rstrip("/"))
        return (200, JSON, json.dumps(page).encode()) if page else (404, "text/plain", b"no such project")


@contextmanager
def small_index() -> Iterator[SmallIndex]:
    """One that answers until the end of the block."""
    index = SmallIndex()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, media_type, body = index.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        index.url = f"http://127.0.0.1:{server.server_port}/simple/"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield index
        finally:
            index.go_on.set()
            server.shutdown()
            thread.join()
