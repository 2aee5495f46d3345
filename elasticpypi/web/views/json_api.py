"""``/pypi/``: PyPI's JSON API, under un-normalized names too (REQ-151)."""

import hashlib
import logging
from typing import Any

from flask import Response, g, request
from packaging.version import Version

from elasticpypi.core import blocks, json_api
from elasticpypi.core.advisories import NONE, Advisories
from elasticpypi.core.errors import Blocked, NotFound, Unavailable
from elasticpypi.core.model import block_of, described, held_of, latest, why_nothing
from elasticpypi.repository.base import State
from elasticpypi.services import Services
from elasticpypi.web.proxies import base_url
from elasticpypi.web.views.simple import normalize, respond

log = logging.getLogger(__name__)


def release(services: Services, name: str, version: str = "") -> Response:
    """A project with all its releases; with a version, that release."""
    reader, repository = g.actor.principal, services.repository
    normalized, base = normalize(name), base_url(request.environ)
    advisories = _advisories(services)

    def page() -> tuple[State, Any]:
        found = repository.project(reader, normalized)
        if found and not found[1].listed and found[1].blocks:
            raise Blocked(blocks.sentence(normalized, found[1].blocked or found[1].blocks[0]))
        if found and not found[1].listed and (reason := why_nothing(found[1])):
            raise Blocked(reason)
        if found is None or not found[1].listed:
            raise NotFound(f"There is no project {normalized!r} in this index.")
        state, project = found
        try:
            wanted = Version(version) if version else latest(project)
        except ValueError:  # InvalidVersion, or a number with thousands of digits
            raise NotFound(f"{version[:80]!r} is not a version.") from None
        if block := block_of(project, str(wanted)):
            raise Blocked(blocks.sentence(f"{normalized} {wanted}", block))
        file = described(project, wanted)
        if file is None and (held := held_of(project, str(wanted))):
            raise Blocked(held.reason)
        if file is None:
            raise NotFound(f"There is no release {version[:80]!r} of {normalized!r} in this index.")
        about, description = repository.about(reader, normalized, file.filename, text=True)
        known = advisories.of(normalized).every
        answer = json_api.release(project, wanted, about, description, base, known)
        if not version:
            answer["releases"] = json_api.releases(project, base)
        return state, answer

    # Its URLs are absolute, so it is another page at another address; and so it is with other advisories.
    kind = f"pypi-{hashlib.sha256(f'{base} {advisories.mark}'.encode()).hexdigest()[:16]}"
    return respond("application/json", kind, lambda: repository.state(reader, normalized), page)


def _advisories(services: Services) -> Advisories:
    """They inform: what is ours can be had without them too."""
    try:
        return services.advisories()
    except Unavailable as error:
        log.warning("The advisories cannot be read: %s", error)
        return NONE
