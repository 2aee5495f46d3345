"""What the web servers are measured with: one WSGI callable that answers, takes and sends."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response

PAGE = b"x" * 2000
PIECE = 256 * 1024
LARGE = Path(os.environ["BENCH_FILE"])  # which is sent

views = Flask(__name__)


@views.get("/view")
def view() -> Response:
    """A page of 2 kB from Flask."""
    return Response(PAGE, content_type="text/html")


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """``/bare``: the page without Flask, ``/upload``, ``/download``; all else is Flask's."""
    if environ["PATH_INFO"] == "/bare":
        return _answer(start_response, PAGE)
    if environ["PATH_INFO"] == "/upload":
        left = int(environ["CONTENT_LENGTH"])
        while left:
            left -= len(environ["wsgi.input"].read(min(left, PIECE)))
        return _answer(start_response, b"taken")
    if environ["PATH_INFO"] == "/download":
        start_response("200 OK", [("Content-Length", str(LARGE.stat().st_size))])
        return _pieces()
    return views(environ, start_response)


def _answer(start_response: Any, body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(body)))])
    return [body]


def _pieces() -> Iterator[bytes]:
    with LARGE.open("rb") as content:
        while piece := content.read(PIECE):
            yield piece
