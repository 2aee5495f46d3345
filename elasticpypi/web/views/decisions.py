"""Decisions over HTTP, under the names that they have in the store (``core/keys.py``).

PUT and DELETE cannot be sent by a form of another site, so no token is needed against that.
"""

from flask import Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from elasticpypi.actions import decisions
from elasticpypi.core.errors import BadUpload, TooLarge
from elasticpypi.core.filename import project_name
from elasticpypi.services import Services

LARGEST_BODY = 4096


def delete(services: Services, filename: str) -> Response:
    """Delete a file, or take a decision back."""
    if filename.endswith(".yanked"):
        decisions.unyank(services, g.actor, filename.removesuffix(".yanked"))
        return _done(f"{filename.removesuffix('.yanked')} is not yanked.")
    if filename.endswith(".status"):
        name = project_name(filename.removesuffix(".status"))
        decisions.set_status(services, g.actor, name, "active")
        return _done(f"{name} is active.")
    decisions.delete(services, g.actor, filename)
    return _done(f"{filename} is deleted.")


def put(services: Services, filename: str) -> Response:
    """Yank a file (the body is the reason), or set the status of a project."""
    if filename.endswith(".yanked"):
        decisions.yank(services, g.actor, filename.removesuffix(".yanked"), _text())
        return _done(f"{filename.removesuffix('.yanked')} is yanked.")
    if filename.endswith(".status"):
        name = project_name(filename.removesuffix(".status"))
        status, _, reason = _text().strip().partition("\n")
        decisions.set_status(services, g.actor, name, status.strip(), reason)
        return _done(f"{name} is {status.strip()}.")
    raise BadUpload("Only <file name>.yanked and <project>.status can be put here: upload files at /legacy/.")


def _text() -> str:
    request.max_content_length = LARGEST_BODY
    try:
        return request.get_data(cache=False).decode("utf-8")
    except RequestEntityTooLarge:
        raise TooLarge(f"A decision has at most {LARGEST_BODY} bytes.") from None
    except UnicodeDecodeError:
        raise BadUpload("The text is not UTF-8.") from None


def _done(text: str) -> Response:
    return Response(f"{text}\n", mimetype="text/plain")
