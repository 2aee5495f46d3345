"""``/policy/``: what administrators decide, as JSON or text.

PUT and DELETE cannot be sent by a form of another site, so no token is needed against that.
"""

from flask import Response, g, jsonify, request

from elasticpypi.actions import policy
from elasticpypi.core.errors import BadUpload
from elasticpypi.services import Services


def block(services: Services, what: str) -> Response:
    """Shut off a project, a release or a digest: ``{"reason": "..."}``."""
    return jsonify(what=policy.block(services, g.actor, what, _field("reason")), blocked=True)


def unblock(services: Services, what: str) -> Response:
    """Take that back."""
    return jsonify(what=policy.unblock(services, g.actor, what), blocked=False)


def _field(name: str, default: str = "") -> str:
    """A text of the JSON object that was sent; :class:`BadUpload` if there is none."""
    fields = request.get_json(force=True, silent=True)
    text = fields.get(name, default) if isinstance(fields, dict) else None
    if not isinstance(text, str):
        raise BadUpload(f'Send a JSON object with the text "{name}".')
    return text
