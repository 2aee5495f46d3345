"""``/health``: for load balancers and people, without credentials."""

from flask import Blueprint, Response, jsonify

from elasticpypi import __version__
from elasticpypi.errors import Unavailable
from elasticpypi.wiring import Services


def blueprint(services: Services) -> Blueprint:
    """200 with the version and the state of store and index, 503 when one cannot be reached.

    ``follower`` is "ok", or "behind" and why the index may differ from the folder for now: that is no reason to
    send nobody here any more.
    """
    views = Blueprint("health", __name__)

    @views.get("/health")
    def health() -> tuple[Response, int]:
        state = {}
        for name, part in (("store", services.files), ("index", services.index)):
            try:
                part.check()
                state[name] = "ok"
            except Unavailable as error:
                state[name] = str(error)
        status = 200 if set(state.values()) == {"ok"} else 503
        if services.behind:
            reason = services.behind()
            state["follower"] = f"behind: {reason}" if reason else "ok"
        config = services.config
        body = jsonify(service=config.service, stage=config.stage, version=__version__, **state)
        body.headers["Cache-Control"] = "no-store"
        if status == 503:
            body.headers["Retry-After"] = "5"  # REQ-73
        return body, status

    return views
