"""The WSGI application: its routes, who may come in, and what a request may cost."""

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import RequestHeaderFieldsTooLarge
from werkzeug.routing import Map

from elasticpypi.accounts.passwords import Authenticator, address_of
from elasticpypi.accounts.principal import Actor
from elasticpypi.config import MEGABYTE
from elasticpypi.core.errors import ConfigurationError, Forbidden, LoopDetected, NotFound
from elasticpypi.events import note_failed_login
from elasticpypi.services import Services
from elasticpypi.upstream import loops
from elasticpypi.web.proxies import origin_of
from elasticpypi.web.refusals import refuse
from elasticpypi.web.request import LARGEST_FORM, LARGEST_HEADERS, MOST_FIELDS, REQUEST_ID, BoundedRequest, BoundedRule
from elasticpypi.web.routes import LARGEST_BODY, OPEN, ROUTES, UPLOADS


def create_app(services: Services) -> Flask:
    """Services → the application, with all its routes; :class:`ConfigurationError` if nobody could log in."""
    config = services.config
    if not config.users:
        raise ConfigurationError("No user is set: set USERNAME and PASSWORD, or USERS.")
    app = Flask(__name__, static_folder=None, template_folder="pages/templates")
    app.request_class = BoundedRequest
    app.url_map = _addresses()
    app.config["MAX_CONTENT_LENGTH"] = config.max_upload + 32 * MEGABYTE  # the file and its form
    app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_FORM
    app.config["MAX_FORM_PARTS"] = MOST_FIELDS
    app.config["SPOOL"] = services.spool
    authenticate = app.extensions["authenticator"] = Authenticator(
        config.users, partial(note_failed_login, services.log, services.state)
    )

    @app.before_request
    def check_request() -> None:
        _check_headers()
        if limit := UPLOADS.get(request.endpoint or "", LARGEST_BODY):
            request.max_content_length = limit
        if request.endpoint in OPEN:
            return
        if request.path.startswith("/_/"):  # REQ-143: uv and pdm probe for trusted publishing without credentials
            raise NotFound("This index has no trusted publishing: use a user name and a password.")
        if passed := request.headers.get(loops.HEADER, ""):
            _check_loop(services, passed)
        if "elasticpypi.refusal" in request.environ:  # of the check in front of us, which must not count twice
            raise request.environ.pop("elasticpypi.refusal")
        address = address_of(request.environ)
        principal = authenticate(request.headers.get("Authorization", ""), address)
        program = request.headers.get("User-Agent", "")
        g.actor = Actor(principal, address, program, request.environ.get(REQUEST_ID, ""))
        if request.method not in ("GET", "HEAD"):
            _check_origin()

    @app.after_request
    def settle(response: Response) -> Response:
        if response.status_code == 308:  # Werkzeug's, to the address with a slash at its end
            address, question, query = response.location.partition("?")
            response.headers["Location"] = f"./{address[:-1].rpartition('/')[2]}/{question}{query}"
        response.headers.setdefault("X-Content-Type-Options", "nosniff")  # what was uploaded is never a page of ours
        return response

    @app.teardown_request
    def forget(_: object) -> None:
        if loops.came_through.get():  # of this request, not of the next one of this thread
            loops.came_through.set("")

    app.view_functions.update((route.view, _View(services, route.view)) for route in ROUTES)
    app.register_error_handler(Exception, refuse)
    app.jinja_env.globals.update(service=config.service)
    return app


@cache
def _addresses() -> Map:
    """The addresses of the routes. All applications of a process share them: reading them is most of what one costs."""
    addresses = Map(merge_slashes=False, redirect_defaults=False)  # redirects are relative (REQ-11)
    for route in ROUTES:
        rule = BoundedRule(route.rule, endpoint=route.view, methods=[route.method, "OPTIONS"], defaults=route.defaults)
        rule.provide_automatic_options = True  # type: ignore[attr-defined]  # by Flask
        addresses.add(rule)
    return addresses


class _View:
    """A view that is imported when it is first called, so that nobody waits for what others ask for."""

    def __init__(self, services: Services, name: str) -> None:
        self._services, self._name = services, name
        self._function: Callable[..., Any] | None = None

    def __call__(self, **arguments: Any) -> Any:
        if self._function is None:
            module, _, function = self._name.partition(".")
            self._function = getattr(import_module(f"elasticpypi.web.views.{module}"), function)
        return self._function(self._services, **arguments)


def _check_headers() -> None:
    """Ten thousand media types in Accept take a second to compare; nginx and API Gateway take less than this."""
    headers = (value for name, value in request.environ.items() if name.startswith("HTTP_") or name == "CONTENT_TYPE")
    if sum(map(len, headers)) > LARGEST_HEADERS:
        limit = LARGEST_HEADERS // 1024
        raise RequestHeaderFieldsTooLarge(
            f"The headers of a request have at most {limit} kB here: send fewer or shorter ones."
        )


def _check_loop(services: Services, passed: str) -> None:
    """:class:`LoopDetected` for what an index asks us that we have asked."""
    if services.upstreams is not None:
        if services.upstreams.loop() in passed:
            raise LoopDetected("Two indexes ask each other for this: one of them must not name the other.")
        loops.came_through.set(passed)


def _check_origin() -> None:
    """A browser sends credentials with what other sites make it send; it says so, and no tool does.

    ``Sec-Fetch-Site`` is sent to https and localhost only, ``Origin`` by every browser with every change. A page that
    came by https is ours too if we know of http: not every proxy says so.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site in ("cross-site", "same-site"):
        raise Forbidden("Changes are not taken from pages of other sites.")
    ours = origin_of(request.environ)
    if site is None and origin is not None and origin not in (ours, f"https://{ours.partition('://')[2]}"):
        raise Forbidden(
            f"Changes are not taken from pages of other sites: this index is at {ours}, the page was at "
            f"{origin[:200]}. Behind a proxy, have it pass the header Host on, or set PUBLIC_URL."
        )
