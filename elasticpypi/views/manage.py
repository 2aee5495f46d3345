"""Decisions over HTTP, for administrators, under the names that they have in the store (``model.py``).

PUT and DELETE cannot be sent by a form of another site, so no token is needed against that.
"""

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from elasticpypi.config import Config
from elasticpypi.errors import BadUpload, Forbidden, TooLarge
from elasticpypi.filename import project_name
from elasticpypi.wiring import Services

LARGEST_BODY = 4096


def blueprint(services: Services) -> Blueprint:
    """Delete a file; yank it (the body is the reason) or take that back; set the status of a project."""
    views = Blueprint("manage", __name__)

    @views.before_request
    def check_user() -> None:
        only_administrators(services.config)

    @views.delete("/packages/<filename>")
    def delete(filename: str) -> Response:
        from elasticpypi import manage

        if filename.endswith(".yanked"):
            manage.unyank(services, filename.removesuffix(".yanked"))
            return _done(f"{filename.removesuffix('.yanked')} is not yanked.")
        if filename.endswith(".status"):
            name = project_name(filename.removesuffix(".status"))
            manage.set_status(services, name, "active")
            return _done(f"{name} is active.")
        manage.delete(services, filename)
        return _done(f"{filename} is deleted.")

    @views.put("/packages/<filename>")
    def put(filename: str) -> Response:
        from elasticpypi import manage

        if filename.endswith(".yanked"):
            manage.yank(services, filename.removesuffix(".yanked"), _text())
            return _done(f"{filename.removesuffix('.yanked')} is yanked.")
        if filename.endswith(".status"):
            name = project_name(filename.removesuffix(".status"))
            status, _, reason = _text().strip().partition("\n")
            manage.set_status(services, name, status.strip(), reason)
            return _done(f"{name} is {status.strip()}.")
        raise BadUpload("Only <file name>.yanked and <project>.status can be put here: upload files at /legacy/.")

    return views


def may_decide(config: Config) -> bool:
    """Whether this user may yank, delete and close: an administrator, or anybody if there are none."""
    return not config.admins or g.user in config.admins


def only_administrators(config: Config) -> None:
    """:class:`Forbidden` for a user who is no administrator, if there are any."""
    if not may_decide(config):
        raise Forbidden(f"The user {g.user!r} may not do this: it is for the administrators of this index.")


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
