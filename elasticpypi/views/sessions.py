"""``/uploads/``: large files, announced here and put straight into the store (``sessions.py``)."""

from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from elasticpypi.errors import BadUpload
from elasticpypi.wiring import Services


def blueprint(services: Services) -> Blueprint:
    """Announce a file; ask for its state; say that all parts are there."""
    views = Blueprint("sessions", __name__)

    @views.post("/uploads/")
    def announce() -> Response:
        from elasticpypi import sessions

        form = request.form.to_dict(flat=False)
        file_name, size = form.pop("filename", [""])[0], form.pop("size", [""])[0]
        if not (size.isascii() and size.isdigit() and len(size) < 20):
            raise BadUpload(f"The field 'size' must be the number of bytes, not {size[:40]!r}.")
        return _answer(sessions.announce(services, form, file_name, int(size), g.user), opened=201)

    @views.get("/uploads/<session_id>")
    def state(session_id: str) -> Response:
        from elasticpypi import sessions

        return _answer(sessions.state(services, session_id, g.user))

    @views.post("/uploads/<session_id>")
    def complete(session_id: str) -> Response:
        from elasticpypi import sessions

        return _answer(sessions.complete(services, session_id, g.user))

    return views


def _answer(state: dict[str, Any], opened: int = 200) -> Response:
    response = jsonify(state)
    response.status_code = {"open": opened, "checking": 202}.get(state["state"], 200)
    response.headers["Cache-Control"] = "no-store"  # the links are secrets
    return response
