"""``/manage/``: what people change with the forms of the pages.

Browsers send basic credentials with whatever other sites make them send. So each form carries a token that
only our own pages have (``accounts/form_tokens.py``), besides the check of where a request comes from (``app.py``).
"""

from collections.abc import Callable
from typing import BinaryIO, cast
from urllib.parse import quote

from flask import Response, g, jsonify, request
from packaging.utils import NormalizedName
from packaging.version import Version
from werkzeug.datastructures import FileStorage

from elasticpypi.actions import decisions
from elasticpypi.actions.upload import accept
from elasticpypi.core import filename
from elasticpypi.core.distribution import Form, sha256_of
from elasticpypi.core.errors import BadUpload, Refusal
from elasticpypi.services import Services


def upload(services: Services) -> Response:
    """Files that were chosen in a browser."""
    _check_token(services)
    contents = [content for content in request.files.getlist("content") if content.filename]
    if not contents:
        raise BadUpload("No file was chosen: choose a wheel or an sdist.")
    messages: list[str] = []
    for content in contents:
        try:
            messages.append(_accept(services, content))
        except Refusal as refusal:  # those before it are in the index
            if len(contents) == 1:
                raise
            raise type(refusal)(" ".join([*messages, f"{content.filename}: {refusal}"])) from None
    last = filename.parse(contents[-1].filename or "")
    if "application/json" in request.headers.get("Accept", ""):
        return jsonify(messages=messages, project=last.project)
    return _back_to(services, last.project, last.version)


def yank(services: Services) -> Response:
    """Yank a file or a release."""
    reason = request.form.get("reason", "")
    return _change(services, lambda name: decisions.yank(services, g.actor, name, reason))


def unyank(services: Services) -> Response:
    """Take that back."""
    return _change(services, lambda name: decisions.unyank(services, g.actor, name))


def delete(services: Services) -> Response:
    """Delete a file or a release, whose name has to be typed."""
    what = request.form.get("what", "")
    return _change(services, lambda name: decisions.delete(services, g.actor, name), confirmed=what)


def set_status(services: Services) -> Response:
    """Set the status of a project."""
    _check_token(services)
    name = filename.project_name(request.form.get("project", ""))
    reason = request.form.get("reason", "")
    decisions.set_status(services, g.actor, name, request.form.get("status", ""), reason)
    return _back_to(services, name)


def _check_token(services: Services) -> None:
    services.form_tokens.check(g.actor.user, request.form.get("token", ""))


def _change(services: Services, action: Callable[[str], None], confirmed: str | None = None) -> Response:
    """An action on each file of what the form names."""
    _check_token(services)
    if confirmed is not None and request.form.get("confirm", "").strip() != confirmed:
        raise BadUpload(f"Nothing was deleted: type {confirmed[:200]!r} to confirm.")
    names = decisions.files_of(services, g.actor, request.form.get("what", ""))
    for name in names:
        action(name)
    stored = filename.parse_stored(names[0])
    assert stored is not None
    return _back_to(services, stored.project, stored.version)


def _accept(services: Services, content: FileStorage) -> str:
    """A file from a form, which has no more than the file itself."""
    stream, file_name = cast(BinaryIO, content.stream), content.filename or ""
    kind = filename.parse(file_name).kind
    form: Form = {":action": ["file_upload"], "filetype": [kind], "sha256_digest": [sha256_of(stream)]}
    return accept(services, g.actor, form, file_name, stream)


def _back_to(services: Services, name: NormalizedName, version: Version | None = None) -> Response:
    """POST, redirect, GET: to the release, or to what is left, the project or the home page."""
    project = services.index.project(name)
    location = f"../project/{name}/" if project and project.files else "../"
    if project and version and version in map(Version, project.versions):
        location += f"{quote(str(version), safe='')}/"
    return Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
