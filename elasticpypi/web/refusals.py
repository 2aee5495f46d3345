"""How a refusal is told: a status and one sentence, in the form that the client understands."""

import errno
import json
import logging
import os
import sys

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import HTTP_STATUS_CODES

from elasticpypi.accounts.passwords import CHALLENGE
from elasticpypi.core.errors import Refusal, TooManyAttempts
from elasticpypi.web.negotiation import prefers_html
from elasticpypi.web.routes import LARGEST_BODY, LARGEST_QUERY, UPLOADS

LONGEST_MESSAGE = 500
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

log = logging.getLogger(__name__)


def refuse(error: Exception) -> Response:
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
    elif status != 431 and prefers_html():  # whose headers nobody should compare
        from elasticpypi.web.views.pages import refusal  # which no installer asks for

        response = refusal(status, text, list(getattr(error, "near", ())))
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
        case RequestEntityTooLarge() if request.endpoint == "osv.query_all":
            return f"Ask for fewer packages at once: a request has at most {LARGEST_QUERY} bytes here."
        case RequestEntityTooLarge():
            return "The form of the upload has too many fields, or too large ones."
        case _ if error.code == 404:
            return "There is nothing at this address: the index is at /simple/."
        case _ if error.code == 405:
            return f"{request.method} is not possible here."
    return error.description or error.name
