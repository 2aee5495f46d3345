"""``/simple/``: the pages that installers read (PEP 503, 691)."""

import gzip
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response, g, render_template, request
from packaging.utils import NormalizedName

from elasticpypi.core import simple_api
from elasticpypi.core.errors import BadUpload, NotAcceptable, NotFound
from elasticpypi.core.filename import project_name
from elasticpypi.core.model import Project
from elasticpypi.core.simple_api import LAST_SERIAL
from elasticpypi.repository.base import State
from elasticpypi.services import Services
from elasticpypi.web import negotiation
from elasticpypi.web.response_cache import MADE_OF
from elasticpypi.web.views import Representation, program

HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding"}  # REQ-9, REQ-68

LARGE = 12 * 1024 * 1024  # bytes of a page, as one of 46,724 files has: a tenth is less than half a second of CPU time

Page = tuple[State, Any]


def slash(services: Services) -> Response:
    """The way to the root list."""
    return redirect("simple/")


def root(services: Services) -> Response:
    """The root list."""
    reader, repository = g.actor.principal, services.repository

    def page() -> Page:
        state, names = repository.projects(reader)
        return state, simple_api.root_page(state.serial, names)

    return _negotiated("simple_root.html", lambda: repository.state(reader, None), page)


def project(services: Services, name: str) -> Response:
    """A project's page, or the way to its address."""
    spelled, slash, rest = name.partition("/")
    if rest:
        raise NotFound("There is nothing at this address: project pages are at /simple/<project>/.")
    normalized = normalize(spelled)
    if not slash:
        return redirect(f"{normalized}/")  # REQ-11
    if spelled != normalized:
        return redirect(f"../{normalized}/")  # REQ-10
    return _project(services, normalized, "../../")


def beside_uploads(services: Services, name: str, up: str) -> Response:
    """Where hatch looks, below the address of uploads, for what is there already (REQ-136)."""
    return _project(services, normalize(name), up)


def slash_beside_uploads(services: Services, name: str) -> Response:
    """The way to it."""
    return redirect(f"{normalize(name)}/")


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


def respond(
    content_type: str, kind: str, state: Callable[[], State | None], page: Callable[[], Page], template: str = ""
) -> Response:
    """What depends on a state alone: 304 after one cheap read, else built; JSON, or ``template`` over the same.

    Without a template, ``page`` may give the very bytes.
    """
    compressed = request.accept_encodings.quality("gzip") > 0
    if request.if_none_match:
        current = state()
        if current is not None and request.if_none_match.contains_weak(_etag(current, kind, compressed)):
            return _made_of(current, kind, compressed, Representation(status=304, content_type=content_type))
    built, content = page()
    if template:
        body = render_template(template, page=content).encode()
    else:
        body = content if isinstance(content, bytes) else simple_api.as_json(content)
    level = 6 if len(body) < LARGE else 1
    response = Response(gzip.compress(body, level, mtime=0) if compressed else body, content_type=content_type)
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
    return _made_of(built, kind, compressed, response)


def _project(services: Services, name: NormalizedName, home: str) -> Response:
    reader, repository = g.actor.principal, services.repository

    def page(made: Callable[[Project, str], Any] = simple_api.project_page) -> Page:
        found = repository.project(reader, name)
        if found is None:
            raise NotFound(f"There is no project {name!r} in this index.")
        return found[0], made(found[1], home)

    whole = partial(page, simple_api.project_json)
    return _negotiated("simple_project.html", lambda: repository.state(reader, name), page, whole)


def _negotiated(
    template: str, state: Callable[[], State | None], page: Callable[[], Page], whole: Callable[[], Page] | None = None
) -> Response:
    """A page of PEP 691 in the representation that was asked for; ``?format=`` wins over Accept (REQ-8).

    ``whole`` gives the same as JSON in the place of a dict, if that is faster.
    """
    if "format" in request.args:
        media_type = negotiation.named(request.args["format"].replace(" ", "+"))  # a plus that nobody encoded
    else:
        media_type = negotiation.negotiate(request.headers.get("Accept", ""))
    if media_type is None:
        kinds = f"{simple_api.JSON}, {simple_api.HTML} and {simple_api.PLAIN_HTML}"
        raise NotAcceptable(f"This index speaks {kinds}.")
    if media_type == simple_api.JSON:
        return respond(media_type, "json", state, whole or page)
    kind = "v1html" if media_type == simple_api.HTML else "html"
    return respond(f"{media_type}; charset=utf-8", kind, state, page, template)


def _made_of(state: State, kind: str, compressed: bool, response: Response) -> Response:
    """An answer that says what it was made of, for clients and for the response cache."""
    response.headers.update(HEADERS | {LAST_SERIAL: str(state.serial)})
    response.set_etag(_etag(state, kind, compressed))
    request.environ.get(MADE_OF, []).append(state)
    return response


def _etag(state: State, kind: str, compressed: bool) -> str:
    """Strong: one per state of the program, version, representation and encoding."""
    return f"{program()}-{state.version}-{kind}{'-gzip' if compressed else ''}"
