"""``/api/osv/``: the advisories that were loaded, as OSV's own API gives them, for pip-audit and uv audit (REQ-U62).

Nobody else is asked for anything. A project that is not here has advisories all the same.
"""

from typing import Any

from flask import Response, jsonify, request
from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import Version

from elasticpypi.core.advisories import ECOSYSTEM, Advisory, as_record
from elasticpypi.core.errors import BadUpload, NotFound
from elasticpypi.services import Services

MOST = 1000  # queries of one request, as OSV has it
WANTED = 'Send a JSON object such as {"package": {"ecosystem": "PyPI", "name": "demo"}, "version": "1.0"}.'


def query(services: Services) -> Response:
    """What is known of a release."""
    name, found = _found(services, _body())
    return _answer({"vulns": [as_record({name: each}) for each in found]} if found else {})


def query_all(services: Services) -> Response:
    """The ids of what is known of each of several: ``{"queries": [...]}``."""
    queries = _body().get("queries")
    if not isinstance(queries, list) or len(queries) > MOST:
        raise BadUpload(f'Send a JSON object with the list "queries", of {MOST} at most.')
    found = (_found(services, each)[1] for each in queries)
    ids = ([{"id": each.id, "modified": each.modified} for each in some] for some in found)
    return _answer({"results": [{"vulns": some} if some else {} for some in ids]})


def record(services: Services, record: str) -> Response:
    """One record, with all projects that it is about."""
    advisories = services.advisories()
    known = {
        name: each for name in advisories.projects_of(record) for each in advisories.of(name).every if each.id == record
    }
    if not known:
        raise NotFound(f"There is no advisory {record[:80]!r} here.")
    return _answer(as_record(known))


def _found(services: Services, asked: object) -> tuple[NormalizedName, list[Advisory]]:
    """Those about a release, or about a project if no version is given."""
    package = asked.get("package") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(package, dict):
        raise BadUpload(WANTED)
    try:
        name = canonicalize_name(package.get("name"), validate=True)  # type: ignore[arg-type]
        version = str(Version(asked["version"])) if asked.get("version") else ""
    except (InvalidName, TypeError, ValueError):
        raise BadUpload(WANTED) from None
    known = services.advisories().of(name).every if package.get("ecosystem") == ECOSYSTEM else ()
    return name, [each for each in known if not version or each.affects(version)]


def _body() -> dict[str, Any]:
    found = request.get_json(force=True, silent=True)
    if not isinstance(found, dict):
        raise BadUpload(WANTED)
    return found


def _answer(content: dict[str, Any]) -> Response:
    response = jsonify(content)
    response.headers["Cache-Control"] = "no-store"
    return response
