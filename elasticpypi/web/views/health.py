"""``/health``: for load balancers and people, without credentials."""

from contextlib import suppress

from flask import Response, jsonify

from elasticpypi import __version__
from elasticpypi.core.errors import ConfigurationError, Refusal, Unavailable
from elasticpypi.services import Services


def health(services: Services) -> tuple[Response, int]:
    """200 with the version and the state of store and index, 503 when one cannot be reached.

    ``follower`` is "ok", or "behind" and why the index may differ from the folder for now: that is no reason to
    send nobody here any more. Neither is ``policy``, which says why the last good one holds, nor ``upstream``, which
    says what is odd about another index, nor ``advisories``, which says how old they are if there are some.
    """
    state = {}
    for name, part in (("store", services.files), ("index", services.index)):
        try:
            part.check()
            state[name] = "ok"
        except Unavailable as error:
            state[name] = str(error)
    with suppress(Unavailable):  # a policy that cannot be had now is no reason to send nobody here any more
        services.policy()
    status = 200 if set(state.values()) == {"ok"} else 503
    if services.behind:
        reason = services.behind()
        state["follower"] = f"behind: {reason}" if reason else "ok"
    if services.policy.trouble:
        state["policy"] = services.policy.trouble
    with suppress(Refusal, ConfigurationError):
        if warnings := services.upstreams.warnings() if services.upstreams else []:
            state["upstream"] = " ".join(warnings)
    if warning := services.advisories.warning():
        state["advisories"] = warning
    elif about := services.advisories().about:
        state["advisories"] = f"the newest of {about.records} is of {about.newest[:10]}"
    config = services.config
    body = jsonify(service=config.service, stage=config.stage, version=__version__, **state)
    body.headers["Cache-Control"] = "no-store"
    if status == 503:
        body.headers["Retry-After"] = "5"  # REQ-73
    return body, status
