"""``/simple/``: the pages that installers read (PEP 503, 691)."""

import gzip
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, render_template, request
from packaging.utils import NormalizedName

from elasticpypi import simple
from elasticpypi.errors import BadUpload, NotAcceptable, NotFound
from elasticpypi.filename import project_name
from elasticpypi.simple import LAST_SERIAL
from elasticpypi.views import Representation, program
from elasticpypi.wiring import Services

HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding"}  # REQ-9, REQ-68


def blueprint(services: Services) -> Blueprint:
    """The root list and the project pages."""
    views = Blueprint("index", __name__)
    index = services.index

    @views.get("/simple")
    def slash() -> Response:
        return redirect("simple/")

    @views.get("/simple/")
    def root() -> Response:
        def page() -> tuple[int, Any]:
            serial, names = index.projects()
            return serial, simple.root_page(serial, names)

        return _negotiated("simple_root.html", lambda: index.serial(None), page)

    @views.get("/simple/<path:name>")
    def project(name: str) -> Response:
        spelled, slash, rest = name.partition("/")
        if rest:
            raise NotFound("There is nothing at this address: project pages are at /simple/<project>/.")
        normalized = normalize(spelled)
        if not slash:
            return redirect(f"{normalized}/")  # REQ-11
        if spelled != normalized:
            return redirect(f"../{normalized}/")  # REQ-10
        return _project(normalized, "../../packages/")

    @views.get("/+simple/<name>/", defaults={"up": "../../"})
    @views.get("/legacy/+simple/<name>/", defaults={"up": "../../../"})
    @views.get("/simple/+simple/<name>/", defaults={"up": "../../../"})
    def beside_uploads(name: str, up: str) -> Response:
        """Where hatch looks, below the address of uploads, for what is there already (REQ-136)."""
        return _project(normalize(name), f"{up}packages/")

    @views.get("/+simple/<name>")
    @views.get("/legacy/+simple/<name>")
    @views.get("/simple/+simple/<name>")
    def slash_beside_uploads(name: str) -> Response:
        return redirect(f"{normalize(name)}/")

    def _project(name: NormalizedName, packages: str) -> Response:
        def page() -> tuple[int, Any]:
            found = index.project(name)
            if found is None or not found.files:
                raise NotFound(f"There is no project {name!r} in this index.")
            return found.serial, simple.project_page(found, packages)

        return _negotiated("simple_project.html", lambda: index.serial(name), page)

    return views


def normalize(name: str) -> NormalizedName:
    """A name in an address, in any spelling; :class:`NotFound` if it is none."""
    try:
        return project_name(name)
    except BadUpload as error:
        raise NotFound(str(error)) from None


def redirect(location: str, status: int = 301) -> Response:
    """A relative Location holds behind every prefix; the query stays (REQ-10)."""
    query = request.query_string.decode("latin-1")
    return Response(status=status, headers={"Location": f"{location}?{query}" if query else location})


def _negotiated(template: str, serial: Callable[[], int | None], page: Callable[[], tuple[int, Any]]) -> Response:
    """A page of PEP 691 in the representation that was asked for; ``?format=`` wins over Accept (REQ-8)."""
    if "format" in request.args:
        media_type = simple.named(request.args["format"].replace(" ", "+"))  # a plus that nobody encoded
    else:
        media_type = simple.negotiate(request.headers.get("Accept", ""))
    if media_type is None:
        raise NotAcceptable(f"This index speaks {simple.JSON}, {simple.HTML} and {simple.PLAIN_HTML}.")
    if media_type == simple.JSON:
        return respond(media_type, "json", serial, page)
    kind = "v1html" if media_type == simple.HTML else "html"
    return respond(f"{media_type}; charset=utf-8", kind, serial, page, template)


def respond(
    content_type: str,
    kind: str,
    serial: Callable[[], int | None],
    page: Callable[[], tuple[int, Any]],
    template: str | None = None,
) -> Response:
    """What depends on a serial alone: 304 after one cheap read, else built; JSON, or ``template`` over the same."""
    compressed = request.accept_encodings.quality("gzip") > 0
    if request.if_none_match:
        current = serial()
        if current is not None and request.if_none_match.contains_weak(_etag(current, kind, compressed)):
            unchanged = Representation(status=304, content_type=content_type)
            unchanged.headers.update(HEADERS | {LAST_SERIAL: str(current)})
            unchanged.set_etag(_etag(current, kind, compressed))
            return unchanged
    built, content = page()
    body = render_template(template, page=content).encode() if template else simple.as_json(content)
    response = Response(gzip.compress(body, 6, mtime=0) if compressed else body, content_type=content_type)
    response.headers.update(HEADERS | {LAST_SERIAL: str(built)})
    response.set_etag(_etag(built, kind, compressed))
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _etag(serial: int, kind: str, compressed: bool) -> str:
    """Strong: one per state of the program, serial, representation and encoding."""
    return f"{program()}-{serial:x}-{kind}{'-gzip' if compressed else ''}"
