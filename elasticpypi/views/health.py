"""``/health``: for load balancers and people, without credentials."""

from flask import Blueprint, Response, jsonify

from elasticpypi import __version__
from elasticpypi.errors import Unavailable
from elasticpypi.wiring import Services


def blueprint(services: Services) -> Blueprint:
    """200 with the version and the state of store and index, 503 when one cannot be reached."""
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
        config = services.config
        body = jsonify(service=config.service, stage=config.stage, version=__version__, **state)
        body.headers["Cache-Control"] = "no-store"
        return body, 200 if set(state.values()) == {"ok"} else 503

    return views
