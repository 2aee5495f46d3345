"""``/uploads/``: large files, announced here and put straight into the store (``actions/upload_sessions.py``)."""

from typing import Any

from flask import Response, g, jsonify, request

from elasticpypi.actions import upload_sessions
from elasticpypi.core.errors import BadUpload
from elasticpypi.services import Services


def announce(services: Services) -> Response:
    """A file is to come."""
    form = request.form.to_dict(flat=False)
    file_name, size = form.pop("filename", [""])[0], form.pop("size", [""])[0]
    if not (size.isascii() and size.isdigit() and len(size) < 20):
        raise BadUpload(f"The field 'size' must be the number of bytes, not {size[:40]!r}.")
    return _answer(upload_sessions.announce(services, g.actor, form, file_name, int(size)), opened=201)


def state(services: Services, session_id: str) -> Response:
    """What is missing of it, or what came of it."""
    return _answer(upload_sessions.state(services, g.actor, session_id))


def complete(services: Services, session_id: str) -> Response:
    """All parts are there."""
    return _answer(upload_sessions.complete(services, g.actor, session_id))


def _answer(state: dict[str, Any], opened: int = 200) -> Response:
    response = jsonify(state)
    response.status_code = {"open": opened, "checking": 202}.get(state["state"], 200)
    response.headers["Cache-Control"] = "no-store"  # the links are secrets
    return response
