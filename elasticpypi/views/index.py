"""``/simple/``: the pages that installers read (PEP 503, 691)."""

import gzip
import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, render_template, request

from elasticpypi import __version__, simple
from elasticpypi.errors import BadUpload, NotAcceptable, NotFound
from elasticpypi.filename import project_name
from elasticpypi.wiring import Services

HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding"}  # REQ-9, REQ-68


def blueprint(services: Services) -> Blueprint:
    """The root list and the project pages."""
    views = Blueprint("index", __name__)
    index = services.index

    @views.get("/")
    def start() -> Response:
        return _redirect("simple/", 302)

    @views.get("/simple")
    def slash() -> Response:
        return _redirect("simple/")

    @views.get("/simple/")
    def root() -> Response:
        def page() -> dict[str, Any]:
            return simple.root_page(*index.projects())

        return _answer(lambda: index.serial(None), page, "simple_root.html")

    @views.get("/simple/<path:name>")
    def project(name: str) -> Response:
        spelled, slash, rest = name.partition("/")
        try:
            normalized = project_name(spelled)
        except BadUpload as error:
            raise NotFound(str(error)) from None
        if rest:
            raise NotFound("There is nothing at this address: project pages are at /simple/<project>/.")
        if not slash:
            return _redirect(f"{normalized}/")  # REQ-11
        if spelled != normalized:
            return _redirect(f"../{normalized}/")  # REQ-10

        def page() -> dict[str, Any]:
            found = index.project(normalized)
            if found is None or not found.files:
                raise NotFound(f"There is no project {normalized!r} in this index.")
            return simple.project_page(found)

        return _answer(lambda: index.serial(normalized), page, "simple_project.html")

    return views


def _redirect(location: str, status: int = 301) -> Response:
    """A relative Location holds behind every prefix; the query stays (REQ-10)."""
    query = request.query_string.decode("latin-1")
    return Response(status=status, headers={"Location": f"{location}?{query}" if query else location})


def _answer(serial: Callable[[], int | None], page: Callable[[], dict[str, Any]], template: str) -> Response:
    media_type = simple.negotiate(request.headers.get("Accept", ""))
    if media_type is None:
        raise NotAcceptable(f"This index speaks {simple.JSON}, {simple.HTML} and {simple.PLAIN_HTML}.")
    compressed = request.accept_encodings.quality("gzip") > 0
    if request.if_none_match:
        # A validator costs one cheap read; the page is only built if it changed.
        current = serial()
        if current is not None and _etag(current, media_type, compressed) in request.if_none_match:
            response = Response(status=304, headers=HEADERS)
            response.set_etag(_etag(current, media_type, compressed))
            return response
    content = page()
    body = (json.dumps(content) if media_type == simple.JSON else render_template(template, page=content)).encode()
    response = Response(body, content_type=media_type if media_type == simple.JSON else f"{media_type}; charset=utf-8")
    response.headers.update(HEADERS)
    response.set_etag(_etag(content["meta"]["_last-serial"], media_type, compressed))
    if compressed:
        response.set_data(gzip.compress(body, 6, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response


def _etag(serial: int, media_type: str, compressed: bool) -> str:
    """Strong: one per version of the program, serial, representation and encoding."""
    kind = {simple.JSON: "json", simple.HTML: "v1html", simple.PLAIN_HTML: "html"}[media_type]
    return f"{__version__}-{serial:x}-{kind}{'-gzip' if compressed else ''}"
