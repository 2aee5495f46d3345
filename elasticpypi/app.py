"""The WSGI application: blueprints, who may come in, and how a refusal is told."""

import errno
import io
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from flask import Flask, Request, Response, current_app, g, request
from werkzeug import formparser
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, RequestHeaderFieldsTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.routing import Rule
from werkzeug.sansio.multipart import MultipartDecoder

from elasticpypi.auth import CHALLENGE, address_of, gatekeeper
from elasticpypi.config import MEGABYTE
from elasticpypi.errors import ConfigurationError, Forbidden, NotFound, Refusal, TooManyAttempts, Unavailable
from elasticpypi.proxies import origin_of
from elasticpypi.views import download, forms, health, index, json_api, manage, pages, sessions, upload
from elasticpypi.wiring import Services

LONGEST_MESSAGE = 500
LARGEST_HEADERS = 64 * 1024
LARGEST_FORM = 16 * MEGABYTE  # REQ-127: a long README in the form is more than Werkzeug's 500 kB,
MOST_FIELDS = 20_000  # many classifiers more than 1,000 parts
LARGEST_BODY = 64 * 1024  # bytes of any other request: reasons, names, the token of a form
# The endpoints that take more: files with their form, or a form that announces a file.
UPLOADS = {"upload.file": None, "forms.take": None, "sessions.announce": LARGEST_FORM}
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
log = logging.getLogger(__name__)


class _Rule(Rule):
    """Nothing here makes addresses of routes; the code that could takes 11 of the 14 ms of ``create_app``."""

    def _compile_builder(self, append_unknown: bool = True) -> Any:
        return lambda rule, **values: None


class _Parts(MultipartDecoder):
    """Werkzeug reads the headers of a part in time that grows with their length: a second for each megabyte."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > LARGEST_HEADERS:
            raise RequestEntityTooLarge
        return super()._parse_headers(data)


class _Forms(FormDataParser):
    """Werkzeug bounds the forms of multipart/form-data; urlencoded ones cost forty times their size."""

    def _parse_multipart(self, *args: Any, **kwargs: Any) -> Any:
        formparser.MultipartDecoder = _Parts  # type: ignore[attr-defined]  # which it looks up by this name
        return super()._parse_multipart(*args, **kwargs)

    def _parse_urlencoded(self, stream: IO[bytes], *args: Any, **kwargs: Any) -> Any:
        data = stream.read(LARGEST_FORM + 1)
        if len(data) > LARGEST_FORM or data.count(b"&") >= MOST_FIELDS:
            raise RequestEntityTooLarge
        return super()._parse_urlencoded(io.BytesIO(data), *args, **kwargs)


class _Request(Request):
    """Closes what was received of a file also when the rest of the body never came.

    A server that ends the input by itself (granian) does so too when the client has hung up: Werkzeug
    then has to hold what came against Content-Length.
    """

    form_data_parser_class = _Forms

    def __init__(self, environ: Any, *args: Any, **kwargs: Any) -> None:
        if environ.get("CONTENT_LENGTH"):
            environ.pop("wsgi.input_terminated", None)
        super().__init__(environ, *args, **kwargs)

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        try:  # where a large one waits, if somebody cleaned that away
            Path(tempfile.gettempdir()).mkdir(0o700)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise Unavailable("The folder of packages is not there: nothing can be stored.") from None
        stream = super()._get_file_stream(*args, **kwargs)
        self.environ.setdefault("elasticpypi.streams", []).append(stream)
        return stream

    def close(self) -> None:
        super().close()
        for stream in self.environ.get("elasticpypi.streams", []):
            stream.close()


def create_app(services: Services) -> Flask:
    """Services → the application, with all its routes; :class:`ConfigurationError` if nobody could log in."""
    config = services.config
    if not config.users:
        raise ConfigurationError("No user is set: set USERNAME and PASSWORD, or USERS.")
    app = Flask(__name__, static_folder=None)
    app.request_class = _Request
    app.url_rule_class = _Rule
    # Redirects are ours and relative, to hold behind any prefix (REQ-11).
    app.url_map.merge_slashes = app.url_map.redirect_defaults = False
    app.config["MAX_CONTENT_LENGTH"] = config.max_upload + 32 * MEGABYTE  # the file and its form
    app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_FORM
    app.config["MAX_FORM_PARTS"] = MOST_FIELDS
    check = app.extensions["gatekeeper"] = gatekeeper(config.users)

    @app.before_request
    def authenticate() -> None:
        _check_headers()
        if limit := UPLOADS.get(request.endpoint or "", LARGEST_BODY):
            request.max_content_length = limit
        # The look of a 401 is what one may have before logging in.
        if request.path == "/health" or request.path.startswith("/static/"):
            return
        if request.path.startswith("/_/"):  # REQ-143: uv and pdm probe for trusted publishing without credentials
            raise NotFound("This index has no trusted publishing: use a user name and a password.")
        if "elasticpypi.refusal" in request.environ:  # of the check in front of us, which must not count twice
            raise request.environ.pop("elasticpypi.refusal")
        g.user = check(request.headers.get("Authorization", ""), address_of(request.environ))
        if request.method not in ("GET", "HEAD"):
            _check_origin()

    @app.after_request
    def settle(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")  # what was uploaded is never a page of ours
        return response

    for module in (index, json_api, pages, upload, sessions, download, manage, forms, health):
        app.register_blueprint(module.blueprint(services))
    app.register_error_handler(Exception, _refuse)
    return app


def _check_headers() -> None:
    """Ten thousand media types in Accept take a second to compare; nginx and API Gateway take less than this."""
    headers = (value for name, value in request.environ.items() if name.startswith("HTTP_") or name == "CONTENT_TYPE")
    if sum(map(len, headers)) > LARGEST_HEADERS:
        limit = LARGEST_HEADERS // 1024
        raise RequestHeaderFieldsTooLarge(
            f"The headers of a request have at most {limit} kB here: send fewer or shorter ones."
        )


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


def _refuse(error: Exception) -> Response:
    """Any error → a status and one line; JSON for those who ask for it (REQ-119), a page for browsers.

    Nobody sees a traceback.
    """
    headers = {}
    if isinstance(error, Refusal):
        status, text = error.status, str(error)
    elif isinstance(error, HTTPException) and error.code is not None:
        status, text = error.code, _plain(error)
        headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Content-Range")}
    elif isinstance(error, OSError) and error.errno in NO_ROOM:
        log.error("%s %s: %s", request.method, request.path, error)
        status, text = 503, f"The index cannot store anything now: {os.strerror(error.errno).lower()}."
    else:
        log.exception("%s %s failed", request.method, request.path)
        status, text = 500, "The index failed at this request; its log says why."
    text = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))[:LONGEST_MESSAGE]
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if status == 406:
        headers["Vary"] = "Accept, Accept-Encoding"
    if isinstance(error, TooManyAttempts):
        headers["Retry-After"] = str(error.retry_after)
    if status == 503:
        headers["Retry-After"] = "5"  # REQ-73: whole seconds
    headers["Cache-Control"] = "no-store"
    if "application/json" in request.headers.get("Accept", "").lower():
        title = HTTP_STATUS_CODES.get(status, "Error")
        response = Response(json.dumps({"code": f"{status} {text}", "message": text, "title": title}))
        response.headers["Content-Type"] = "application/json"  # uv compares the whole header
    elif status != 431 and pages.prefers_html():  # whose headers nobody should compare
        response = pages.refusal(status, text, list(getattr(error, "near", ())))
    else:
        response = Response(text + "\n", mimetype="text/plain")
    # REQ-120: all that twine shows without --verbose, where the server can carry it (gunicorn; not granian, not AWS).
    response.status = f"{status} {text.encode('ascii', 'replace').decode()}"
    response.headers.update(headers)
    return response


def _plain(error: HTTPException) -> str:
    match error:
        case RequestEntityTooLarge() if request.endpoint not in UPLOADS:
            return f"A request that is no upload has at most {LARGEST_BODY} bytes here: upload files at /legacy/."
        case RequestEntityTooLarge() if (
            not UPLOADS[request.endpoint or ""]
            and (request.content_length or sys.maxsize) > current_app.config["MAX_CONTENT_LENGTH"]
        ):
            return "The upload is larger than this index takes (MAX_UPLOAD)."
        case RequestEntityTooLarge():
            return "The form of the upload has too many fields, or too large ones."
        case _ if error.code == 404:
            return "There is nothing at this address: the index is at /simple/."
        case _ if error.code == 405:
            return f"{request.method} is not possible here."
    return error.description or error.name
