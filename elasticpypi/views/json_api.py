"""``/pypi/``: PyPI's JSON API, under un-normalized names too (REQ-151)."""

import hashlib
from typing import Any

from flask import Blueprint, Response, request
from packaging.version import Version

from elasticpypi.errors import NotFound
from elasticpypi.proxies import base_url
from elasticpypi.views.index import normalize, respond
from elasticpypi.wiring import Services


def blueprint(services: Services) -> Blueprint:
    """A project with all its releases; one release."""
    views = Blueprint("json_api", __name__)
    index = services.index

    @views.get("/pypi/<name>/json")
    @views.get("/pypi/<name>/json/")
    @views.get("/pypi/<name>/<version>/json")
    @views.get("/pypi/<name>/<version>/json/")
    def release(name: str, version: str = "") -> Response:
        from elasticpypi import about, json_api

        normalized, base = normalize(name), base_url(request.environ)

        def page() -> tuple[int, Any]:
            project = index.project(normalized)
            if project is None or not project.listed:
                raise NotFound(f"There is no project {normalized!r} in this index.")
            try:
                wanted = Version(version) if version else json_api.latest(project)
            except ValueError:  # InvalidVersion, or a number with thousands of digits
                raise NotFound(f"{version[:80]!r} is not a version.") from None
            file = json_api.described(project, wanted)
            if file is None:
                raise NotFound(f"There is no release {version[:80]!r} of {normalized!r} in this index.")
            said, description = about.read(index, normalized, file.filename, text=True)
            packages = f"{base}packages/"
            answer = json_api.release(project, wanted, said, description, packages)
            if not version:
                answer["releases"] = json_api.releases(project, packages)
            return project.serial, answer

        kind = (
            f"pypi-{hashlib.sha256(base.encode()).hexdigest()[:16]}"  # whose URLs are another page at another address
        )
        return respond("application/json", kind, lambda: index.serial(normalized), page)

    return views
