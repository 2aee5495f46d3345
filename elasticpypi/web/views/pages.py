"""Pages for people: home, search, projects, their static files; and the look of every refusal in a browser.

No installer comes here.
"""

import gzip
import hashlib
import json
import shlex
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Response, g, render_template, request
from packaging.utils import NormalizedName
from packaging.version import Version
from werkzeug.http import HTTP_STATUS_CODES

from elasticpypi.accounts.permissions import Permission
from elasticpypi.accounts.principal import Actor
from elasticpypi.core import blocks
from elasticpypi.core.about import Some
from elasticpypi.core.errors import Blocked, NotFound
from elasticpypi.core.model import block_of, described, held_of
from elasticpypi.core.moments import text_of
from elasticpypi.core.search_entry import Found
from elasticpypi.indexing.about import nothing
from elasticpypi.services import Services
from elasticpypi.storage.contracts import Catalog
from elasticpypi.web import pages
from elasticpypi.web.negotiation import prefers_html
from elasticpypi.web.pages import readme, releases
from elasticpypi.web.proxies import base_url
from elasticpypi.web.views import program
from elasticpypi.web.views.simple import normalize, redirect

if TYPE_CHECKING:
    from elasticpypi.repository.kept import Known
    from elasticpypi.upstream.pages import Upstream
    from elasticpypi.upstream.verdict import Origin

NEWEST = 12
FOUND = 20  # on a page of a search
LONGEST_QUERY = 200
MOST_DEPENDENTS = 50
MOST_EVENTS = 10
HTML = "text/html; charset=utf-8"
OWN = "private", "none", "both"  # origins of names whose own files are here to be managed
STATIC = Path(pages.__file__).with_name("static")
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


def home(services: Services) -> Response:
    """How to use this index, and the newest releases."""
    catalog = services.catalog
    newest, counts = catalog.newest(NEWEST), catalog.counts()
    content = {
        "newest": newest,
        "counts": counts,
        "upstreams": [each.label for each in _upstreams(services)],
        "warnings": _warnings(services),
    }
    return _page("home.html", content, lambda: content)


def _warnings(services: Services) -> list[str]:
    """What administrators should know of other indexes, where some are asked."""
    if not _upstreams(services) or services.upstreams is None:
        return []
    return [*services.upstreams.warnings(), *filter(None, [services.advisories.warning()])]


def search(services: Services) -> Response:
    """Projects that are found by ``?q=``; JSON for the suggestions of the search box.

    Ours come first, then those of other indexes that are kept here; none of these is asked for anything.
    """
    text = request.args.get("q", "").strip()[:LONGEST_QUERY]
    wanted = request.args.get("page", "")
    number = max(1, int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 else 1)
    start = (number - 1) * FOUND
    found = services.catalog.search(text, start, FOUND)
    left = max(0, start - found.total), FOUND - len(found.entries)
    others, known = services.kept.search(text, *left) if services.kept else (0, [])
    total = found.total + others
    asked = {"query": text, "page": number, "pages": max(1, -(-total // FOUND)), "total": total}
    accepted = request.accept_mimetypes.best_match(["text/html", "application/json"])
    if request.args.get("format") == "json" or accepted == "application/json":
        return _answer((found, others, known), lambda: _json(found, known, asked), "application/json")
    content = {"found": found, "others": others, "known": known, **asked}
    return _page("search.html", content, lambda: content)


def project_slash(services: Services, name: str) -> Response:
    """The way to a project."""
    return redirect(f"{normalize(name)}/")


def project(services: Services, name: str) -> Response:
    """A project, as its latest release says it is."""
    normalized = normalize(name)
    return _project(services, normalized, "") if name == normalized else redirect(f"../{normalized}/")


def release_slash(services: Services, name: str, version: str) -> Response:
    """The way to a release."""
    return redirect(f"{quote(version, safe='')}/")


def release(services: Services, name: str, version: str) -> Response:
    """A release of a project."""
    normalized = normalize(name)
    if name != normalized:
        return redirect(f"../../{normalized}/{quote(version, safe='')}/")
    return _project(services, normalized, version)


def upload(services: Services) -> Response:
    """Where files are chosen or dropped."""
    from elasticpypi.actions.upload_sessions import DIRECT

    content = {"token": services.form_tokens.make(g.actor.user), "direct": DIRECT if services.staging else 0}
    response = _page("upload.html", content, lambda: content)
    if services.staging:  # large files leave for the store itself
        elsewhere = HEADERS["Content-Security-Policy"].replace(
            "connect-src 'self'", f"connect-src 'self' {services.staging.origin()}"
        )
        response.headers["Content-Security-Policy"] = elsewhere
    return response


def static(services: Services, version: str, filename: str) -> Response:
    """Stylesheet, script or icon."""
    current, files = _static()
    if filename not in files:
        raise NotFound(f"There is no file {filename[:80]!r} of these pages.")
    response = Response(files[filename], content_type=TYPES[Path(filename).suffix])
    # After an update an old page may still ask for what it knew.
    fresh = "public, max-age=31536000, immutable"
    response.headers["Cache-Control"] = fresh if version == current else "no-cache"
    return response


def refusal(status: int, text: str, near: list[str]) -> Response:
    """A refusal as a page, with the projects that may have been meant."""
    title = HTTP_STATUS_CODES.get(status, "Error")
    template = "pages/error.html"
    response = Response(render_template(template, status=status, title=title, text=text, near=near, **_everywhere()))
    response.headers.update(HEADERS)
    return response


def _project(services: Services, name: NormalizedName, version: str) -> Response:
    reader, repository = g.actor.principal, services.repository
    state = repository.state(reader, name)
    if state is None:
        raise _unknown(services, name)
    dependents = services.catalog.dependents(name, MOST_DEPENDENTS)
    origin = _origin(services, name)
    may_decide = origin is None or origin.where in OWN
    may_decide = may_decide and services.permissions.allowed(reader, Permission.DECIDE, name)
    told = {
        "token": services.form_tokens.make(reader.user) if may_decide else "",
        "origin": origin,
        **_rulings(services, name, origin),
    }
    others = tuple(each.label for each in _upstreams(services))
    facts = (state.version, repository.state(reader, None), dependents, told, others)
    shown: dict[str, Any] = {}

    def content() -> dict[str, Any]:
        shown.update(told, **_content(services, name, version, dependents))
        return shown

    response = _page("project.html", facts, content)
    if (text := shown.get("readme")) and not text.lasting:
        del response.headers["ETag"]  # the same facts will soon make another page
        response.headers["Cache-Control"] = "no-store"
    return response


def _origin(services: Services, name: NormalizedName) -> "Origin | None":
    """Where a name comes from; None where no other index is asked."""
    return services.first_match.origin(name) if services.first_match and _upstreams(services) else None


def _rulings(services: Services, name: NormalizedName, origin: "Origin | None") -> dict[str, Any]:
    """What administrators decided about a project of another index, and why its page is an old one."""
    if origin is None or origin.where not in ("upstream", "both"):
        return {"block": None, "exempt": [], "accepted": [], "trouble": ""}
    rulings, now = services.rulings(), text_of(time.time())
    return {
        "block": blocks.whole(rulings.blocks.get(name, ())),
        "exempt": [each for each in rulings.exemptions.get(name, ()) if each.until > now],
        "accepted": sorted(rulings.accepted.values()),
        "trouble": next(filter(None, (each.trouble(name) for each in _upstreams(services))), ""),
    }


def _upstreams(services: Services) -> "tuple[Upstream, ...]":
    return services.upstreams() if services.upstreams else ()


def _content(
    services: Services, name: NormalizedName, version: str, dependents: Some[NormalizedName]
) -> dict[str, Any]:
    reader, repository = g.actor.principal, services.repository
    found = repository.project(reader, name)
    if found is None:
        raise _unknown(services, name)
    project = found[1]
    listed = releases.releases(project)
    release = releases.find(listed, project, version) if listed else None
    if version and release is None and (block := block_of(project, version)):
        raise Blocked(blocks.sentence(f"{name} {version[:80]}", block))
    if version and release is None and (waiting := held_of(project, version)):
        raise Blocked(waiting.reason)
    if release is None and (listed or version):
        raise NotFound(f"There is no release {version[:80]!r} of {name!r} in this index.", [name])
    about, description = nothing()
    file = described(project, Version(release.version)) if release else None
    if file and file.ours:
        about, description = repository.about(reader, name, file.filename, text=True)
    digests = {file.sha256: file.filename for file in project.files if not file.ours}
    accepted = services.rulings().accepted if project.upstream else {}
    needed = list(dict.fromkeys(need["name"] for need in about["needs"]["shown"]))
    shown = listed[: releases.MOST_RELEASES]
    return {
        "project": project,
        "from_index": next((each.label for each in _upstreams(services) if each.name == project.upstream), ""),
        "releases": listed,
        "shown": shown,
        "unfolded": releases.unfolded(shown),
        "release": release,
        "latest": releases.find(listed, project, "") if listed else None,
        "described": file is not None and file.ours,  # what is in other files is not known
        "held": releases.held(project),
        "most_held": releases.MOST_HELD,
        "accepted": [(digests[each.sha256], each) for each in sorted(accepted.values()) if each.sha256 in digests],
        "about": about,
        "readme": _readme(description, about["content_type"], services.catalog),
        "here": {entry.name for entry in services.catalog.entries(needed)},
        "dependents": dependents,
        "events": repository.recent(reader, name, MOST_EVENTS),
    }


def _unknown(services: Services, name: NormalizedName) -> NotFound:
    from elasticpypi.indexing.catalog import near

    text = f"There is no project {name!r} in this index."
    if not prefers_html():
        return NotFound(text)
    may_read = services.permissions.allowed(g.actor.principal, Permission.READ, name)
    if services.first_match and may_read and (gone := services.first_match.gone(name)):
        text += f" It has left the index {gone.upstream!r}: elasticpypi why {name} says what is left of it."
    others = services.kept.alike if services.kept else None
    return NotFound(text, near(services.catalog, name, others=others))


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
    user = quote(g.actor.user, safe="")
    return {
        "base": f"{scheme}://{base}",
        "simple": f"{scheme}://{base}simple/",
        "uploads": f"{scheme}://{base}legacy/",
        "with_user": f"{scheme}://{user}@{base}simple/",
        "with_variable": f"{scheme}://{user}:${{PYPI_PASSWORD}}@{base}simple/",
        "user": shlex.quote(g.actor.user),
    }


def _everywhere() -> dict[str, Any]:
    """What every template has."""
    actor: Actor | None = g.get("actor")
    return {"root": root, "static": static_root, "user": lambda: actor.user if actor else ""}


def _page(template: str, facts: object, content: Callable[[], Mapping[str, Any]]) -> Response:
    """A template of ``pages/``; ``facts`` are what its content is made of."""
    addresses = _addresses()

    def build() -> str:
        return render_template(f"pages/{template}", addresses=addresses, **_everywhere(), **content())

    return _answer((facts, addresses, g.actor.user, static_root()), build, HTML)


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


def _json(found: Found, known: "list[Known]", asked: dict[str, Any]) -> str:
    """A page of a search for programs, and for the suggestions in the search box."""
    fields = "name", "version", "summary", "released", "time"
    projects = [{field: getattr(entry, field) for field in fields} for entry in found.entries]
    others = [each._asdict() for each in known]  # what else there is to say of them is not looked up while one types
    return json.dumps({**asked, "projects": projects + others})


def _readme(text: str, content_type: str, catalog: Catalog) -> readme.Readme | None:
    if not text:
        return None
    return readme.show(text, content_type, catalog)
