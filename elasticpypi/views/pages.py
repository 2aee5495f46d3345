"""Pages for people: home, search, projects, their static files; and the look of every refusal in a browser.

No installer comes here: what only these pages need is imported when one is asked for.
"""

import gzip
import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Blueprint, Response, g, render_template, request
from packaging.utils import NormalizedName
from packaging.version import Version
from werkzeug.http import HTTP_STATUS_CODES

from elasticpypi import simple
from elasticpypi.auth import form_token
from elasticpypi.errors import NotFound
from elasticpypi.proxies import base_url
from elasticpypi.stores import Catalog
from elasticpypi.views import program
from elasticpypi.views.index import normalize, redirect
from elasticpypi.views.manage import may_decide
from elasticpypi.wiring import Services

if TYPE_CHECKING:
    from flask.sansio.blueprints import BlueprintSetupState

    from elasticpypi.about import Some
    from elasticpypi.catalog import Found
    from elasticpypi.readme import Readme

NEWEST = 12
FOUND = 20  # on a page of a search
LONGEST_QUERY = 200
MOST_DEPENDENTS = 50
HTML = "text/html; charset=utf-8"
STATIC = Path(__file__).parents[1] / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{directive} {source}" for directive, source in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # not less: forms would lose their Origin
    "Vary": "Accept, Accept-Encoding, Authorization",
}


def blueprint(services: Services) -> Blueprint:
    """Home, search, a project and its releases, and the static files of these pages."""
    views = Blueprint("pages", __name__)

    @views.record_once
    def for_every_template(state: "BlueprintSetupState") -> None:
        state.app.jinja_env.globals.update(
            service=services.config.service, root=root, static=static_root, user=lambda: g.get("user", "")
        )

    @views.get("/")
    def home() -> Response:
        catalog = services.catalog
        newest, counts = catalog.newest(NEWEST), catalog.counts()
        return _page("home.html", (newest, counts), lambda: {"newest": newest, "counts": counts})

    @views.get("/search")
    def search() -> Response:
        text = request.args.get("q", "").strip()[:LONGEST_QUERY]
        wanted = request.args.get("page", "")
        number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 else 1
        number = max(1, number)
        found = services.catalog.search(text, (number - 1) * FOUND, FOUND)
        pages = max(1, -(-found.total // FOUND))
        told = {"query": text, "page": number, "pages": pages}
        accepted = request.accept_mimetypes.best_match(["text/html", "application/json"])
        if request.args.get("format") == "json" or accepted == "application/json":
            return _answer(found, lambda: _json(found, told), "application/json")
        return _page("search.html", found, lambda: {"found": found, **told})

    @views.get("/project/<name>")
    def project_slash(name: str) -> Response:
        return redirect(f"{normalize(name)}/")

    @views.get("/project/<name>/")
    def project(name: str) -> Response:
        normalized = normalize(name)
        return _project(normalized, "") if name == normalized else redirect(f"../{normalized}/")

    @views.get("/project/<name>/<version>")
    def release_slash(name: str, version: str) -> Response:
        return redirect(f"{quote(version, safe='')}/")

    @views.get("/project/<name>/<version>/")
    def release(name: str, version: str) -> Response:
        normalized = normalize(name)
        if name != normalized:
            return redirect(f"../../{normalized}/{quote(version, safe='')}/")
        return _project(normalized, version)

    def _project(name: NormalizedName, version: str) -> Response:
        serial = services.index.serial(name)
        if serial is None:
            raise _unknown(name)
        dependents = services.catalog.dependents(name, MOST_DEPENDENTS)
        token = form_token(services.config.users, g.user) if may_decide(services.config) else ""
        facts = (serial, services.index.serial(None), dependents, token)
        shown: dict[str, Any] = {}

        def content() -> dict[str, Any]:
            shown.update(token=token, **_content(name, version, dependents))
            return shown

        response = _page("project.html", facts, content)
        if (readme := shown.get("readme")) and not readme.lasting:
            del response.headers["ETag"]  # the same facts will soon make another page
            response.headers["Cache-Control"] = "no-store"
        return response

    def _content(name: NormalizedName, version: str, dependents: "Some[NormalizedName]") -> dict[str, Any]:
        from elasticpypi import about, json_api, page

        project = services.index.project(name)
        if project is None or not project.files:
            raise _unknown(name)
        releases = page.releases(project)
        release = page.find(releases, project, version) if releases else None
        if release is None and (releases or version):
            raise NotFound(f"There is no release {version[:80]!r} of {name!r} in this index.", [name])
        said, description = about.parse(None), ""
        if release and (file := json_api.described(project, Version(release.version))):
            said, description = about.read(services.index, name, file.filename, text=True)
        needed = list(dict.fromkeys(need["name"] for need in said["needs"]["shown"]))
        shown = releases[: page.MOST_RELEASES]
        return {
            "project": project,
            "releases": releases,
            "shown": shown,
            "unfolded": page.unfolded(shown),
            "release": release,
            "latest": page.find(releases, project, "") if releases else None,
            "about": said,
            "readme": _readme(description, said["content_type"], services.catalog),
            "here": {entry.name for entry in services.catalog.entries(needed)},
            "dependents": dependents,
        }

    def _unknown(name: NormalizedName) -> NotFound:
        from elasticpypi.catalog import near

        meant = near(services.catalog, name) if prefers_html() else []
        return NotFound(f"There is no project {name!r} in this index.", meant)

    @views.get("/upload")
    def upload() -> Response:
        from elasticpypi.sessions import DIRECT

        token = form_token(services.config.users, g.user)
        told = {"token": token, "direct": DIRECT if services.staging else 0}
        response = _page("upload.html", told, lambda: told)
        if services.staging:  # large files leave for the store itself
            elsewhere = HEADERS["Content-Security-Policy"].replace(
                "connect-src 'self'", f"connect-src 'self' {services.staging.origin()}"
            )
            response.headers["Content-Security-Policy"] = elsewhere
        return response

    @views.get("/static/<version>/<filename>")
    def static(version: str, filename: str) -> Response:
        current, files = _static()
        if filename not in files:
            raise NotFound(f"There is no file {filename[:80]!r} of these pages.")
        response = Response(files[filename], content_type=TYPES[Path(filename).suffix])
        # After an update an old page may still ask for what it knew.
        fresh = "public, max-age=31536000, immutable"
        response.headers["Cache-Control"] = fresh if version == current else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return views


def prefers_html() -> bool:
    """Whether a person is there: browsers want text/html most of all, and name more; old installers name it alone."""
    accepted = request.accept_mimetypes
    best = accepted.best_match(["text/plain", simple.JSON, simple.HTML, "text/html"])
    return best == "text/html" and len(accepted) > 1


def refusal(status: int, text: str, near: list[str]) -> Response:
    """A refusal as a page, with the projects that may have been meant."""
    title = HTTP_STATUS_CODES.get(status, "Error")
    response = Response(render_template("pages/error.html", status=status, title=title, text=text, near=near))
    response.headers.update(HEADERS)
    return response


def root() -> str:
    """The way from the page at hand to the home page: relative, so that it holds behind every prefix."""
    if request.path in ("", "/"):
        # Under a stage the address may lack the slash at the end, and a relative way would lose the stage.
        return f"{request.script_root}/" if request.script_root else "./"
    return "../" * (request.path.count("/") - 1) or "./"


def static_root() -> str:
    """Where the static files are: another address when any of them has changed."""
    return f"{root()}static/{_static()[0]}/"


@cache
def _static() -> tuple[str, dict[str, bytes]]:
    files = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}
    return hashlib.sha256(repr(files).encode()).hexdigest()[:16], files


def _addresses() -> dict[str, str]:
    """The addresses of this index as this client sees it, with the user's name and never with the password."""
    scheme, _, base = base_url(request.environ).partition("://")
    user = quote(g.user, safe="")
    return {
        "base": f"{scheme}://{base}",
        "simple": f"{scheme}://{base}simple/",
        "uploads": f"{scheme}://{base}legacy/",
        "with_user": f"{scheme}://{user}@{base}simple/",
        "with_variable": f"{scheme}://{user}:${{PYPI_PASSWORD}}@{base}simple/",
        "user": shlex.quote(g.user),
    }


def _page(template: str, facts: object, content: Callable[[], Mapping[str, Any]]) -> Response:
    """A template of ``pages/``; ``facts`` are what its content is made of."""
    addresses = _addresses()

    def build() -> str:
        return render_template(f"pages/{template}", addresses=addresses, **content())

    return _answer((facts, addresses, g.user, static_root()), build, HTML)


def _answer(facts: object, build: Callable[[], str], content_type: str) -> Response:
    """304 if these facts are what the client has already, else what ``build`` makes of them."""
    compressed = request.accept_encodings.quality("gzip") > 0
    known = repr((program(), request.full_path, content_type, compressed, facts))
    etag = hashlib.sha256(known.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    if request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        body = build().encode()
        response = Response(gzip.compress(body, 6, mtime=0) if compressed else body, content_type=content_type)
        if compressed:
            response.headers["Content-Encoding"] = "gzip"
    response.set_etag(etag)
    response.headers.update(HEADERS)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _json(found: "Found", told: dict[str, Any]) -> str:
    """A page of a search for programs, and for the suggestions in the search box."""
    fields = "name", "version", "summary", "released", "time"
    projects = [{field: getattr(entry, field) for field in fields} for entry in found.entries]
    return json.dumps({**told, "total": found.total, "projects": projects})


def _readme(text: str, content_type: str, catalog: Catalog) -> "Readme | None":
    if not text:
        return None
    from elasticpypi import readme

    return readme.show(text, content_type, catalog)
