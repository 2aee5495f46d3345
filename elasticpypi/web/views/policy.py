"""``/policy/``: what administrators decide, as JSON or text.

PUT and DELETE cannot be sent by a form of another site, so no token is needed against that.
"""

from flask import Response, g, jsonify, request

from elasticpypi.actions import policy, policy_document
from elasticpypi.core.errors import BadUpload
from elasticpypi.core.filename import project_name
from elasticpypi.services import Services


def document(services: Services) -> Response:
    """The document, in TOML; its ETag is what a PUT has to name."""
    text, tag = policy_document.read(services, g.actor)
    response = Response(text, content_type="application/toml; charset=utf-8")
    response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache"
    response.make_conditional(request)
    return response


def replace(services: Services) -> Response:
    """Take another document, as a whole; If-Match is the ETag of the one that it replaces."""
    given = request.headers.get("If-Match")
    known = None if given is None else given.strip().removeprefix("W/").strip('"')
    changed, tag = policy_document.apply(services, g.actor, request.get_data(cache=False), known)
    response = Response(f"The policy is {'changed' if changed else 'as it was'}.\n", mimetype="text/plain")
    response.set_etag(tag)
    return response


def blocks(services: Services) -> Response:
    """What is blocked: why, by whom and since when; ``?after=`` the ``next`` of the last answer."""
    return _listed(services, "blocks")


def origins(services: Services) -> Response:
    """The names of which an administrator said where they come from."""
    return _listed(services, "origins")


def exemptions(services: Services) -> Response:
    """The releases that may be seen before their time, until when."""
    return _listed(services, "exemptions")


def _listed(services: Services, kind: str) -> Response:
    found, following = policy.listed(services, g.actor, kind, request.args.get("after", ""))
    response = jsonify({kind: found, "next": following})
    response.headers["Cache-Control"] = "no-store"
    return response


def set_origin(services: Services, name: str) -> Response:
    """Say where a name comes from: ``{"origin": "private", "reason": "..."}``."""
    return _origin(services, name, _field("origin"), _field("reason", ""))


def unset_origin(services: Services, name: str) -> Response:
    """Take that back: the document decides again."""
    return _origin(services, name, policy.UNSET)


def _origin(services: Services, name: str, origin: str, reason: str = "") -> Response:
    project = project_name(name)
    policy.set_origin(services, g.actor, project, origin, reason)
    return jsonify(project=project, origin=origin)


def block(services: Services, what: str) -> Response:
    """Shut off a project, a release or a digest: ``{"reason": "..."}``."""
    return jsonify(what=policy.block(services, g.actor, what, _field("reason")), blocked=True)


def unblock(services: Services, what: str) -> Response:
    """Take that back."""
    return jsonify(what=policy.unblock(services, g.actor, what), blocked=False)


def exempt(services: Services, what: str) -> Response:
    """Let a release be seen before its time: ``{"until": "2026-12-31", "reason": "..."}``."""
    release, until = policy.exempt(services, g.actor, what, _field("until"), _field("reason"))
    return jsonify(release=release, until=until)


def unexempt(services: Services, what: str) -> Response:
    """Take that back."""
    return jsonify(release=policy.unexempt(services, g.actor, what), until=None)


def accept(services: Services, record: str, digest: str) -> Response:
    """Let in a file although a record says that it is malware: ``{"reason": "..."}``."""
    from elasticpypi.actions.advisories import accept  # which reads zips too

    accepted = accept(services, g.actor, record, digest, _field("reason"))
    return jsonify(record=accepted.record, sha256=accepted.sha256, accepted=True)


def unaccept(services: Services, record: str, digest: str) -> Response:
    """Take that back."""
    from elasticpypi.actions.advisories import unaccept

    accepted = unaccept(services, g.actor, record, digest)
    return jsonify(record=accepted.record, sha256=accepted.sha256, accepted=False)


def project(services: Services, name: str) -> Response:
    """Why files of a project, or of a release (``demo==1.0``), can be had, or not."""
    from elasticpypi.actions.why import why  # which needs much that decisions do not

    response = jsonify(why(services, g.actor.principal, name).as_dict())
    response.headers["Cache-Control"] = "no-store"  # it changes with the clock
    return response


def _field(name: str, default: str | None = None) -> str:
    """A text of the JSON object that was sent; :class:`BadUpload` if there is none."""
    fields = request.get_json(force=True, silent=True)
    text = fields.get(name, default) if isinstance(fields, dict) else None
    if not isinstance(text, str):
        raise BadUpload(f'Send a JSON object with the text "{name}".')
    return text
