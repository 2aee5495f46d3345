"""``/manage/``: what people change with the forms of the pages.

Browsers send basic credentials with whatever other sites make them send. So each form carries a token that
only our own pages have (``auth.form_token``), besides the check of where a request comes from (``app.py``).
"""

from collections.abc import Callable
from typing import BinaryIO, cast
from urllib.parse import quote

from flask import Blueprint, Response, g, jsonify, request
from packaging.utils import NormalizedName
from packaging.version import Version
from werkzeug.datastructures import FileStorage

from elasticpypi import filename
from elasticpypi.auth import check_form_token
from elasticpypi.errors import BadUpload, Refusal
from elasticpypi.views.manage import only_administrators
from elasticpypi.wiring import Services


def blueprint(services: Services) -> Blueprint:
    """Upload; yank, un-yank and delete a file or a release; the status of a project."""
    views = Blueprint("forms", __name__)

    @views.before_request
    def check_token() -> None:
        check_form_token(services.config.users, g.user, request.form.get("token", ""))

    @views.post("/manage/upload")
    def take() -> Response:
        contents = [content for content in request.files.getlist("content") if content.filename]
        if not contents:
            raise BadUpload("No file was chosen: choose a wheel or an sdist.")
        said: list[str] = []
        for content in contents:
            try:
                said.append(_accept(services, content))
            except Refusal as refusal:  # those before it are in the index
                if len(contents) == 1:
                    raise
                raise type(refusal)(" ".join([*said, f"{content.filename}: {refusal}"])) from None
        last = filename.parse(contents[-1].filename or "")
        if "application/json" in request.headers.get("Accept", ""):
            return jsonify(messages=said, project=last.project)
        return _back_to(services, last.project, last.version)

    def change(action: Callable[[str], None]) -> Response:
        """An action on each file of what the form names."""
        from elasticpypi import manage

        only_administrators(services.config)
        what = request.form.get("what", "")
        names = manage.files_of(services, what)
        for name in names:
            action(name)
        stored = filename.parse_stored(names[0])
        assert stored is not None
        return _back_to(services, stored.project, stored.version)

    @views.post("/manage/yank")
    def yank() -> Response:
        from elasticpypi import manage

        return change(lambda name: manage.yank(services, name, request.form.get("reason", "")))

    @views.post("/manage/unyank")
    def unyank() -> Response:
        from elasticpypi import manage

        return change(lambda name: manage.unyank(services, name))

    @views.post("/manage/delete")
    def delete() -> Response:
        from elasticpypi import manage

        what = request.form.get("what", "")
        if request.form.get("confirm", "").strip() != what:
            raise BadUpload(f"Nothing was deleted: type {what[:200]!r} to confirm.")
        return change(lambda name: manage.delete(services, name))

    @views.post("/manage/status")
    def status() -> Response:
        from elasticpypi import manage

        only_administrators(services.config)
        name = filename.project_name(request.form.get("project", ""))
        manage.set_status(services, name, request.form.get("status", ""), request.form.get("reason", ""))
        return _back_to(services, name)

    return views


def _accept(services: Services, content: FileStorage) -> str:
    """A file from a form, which has no more than the file itself."""
    from elasticpypi import upload
    from elasticpypi.distribution import Form, sha256_of

    stream, file_name = cast(BinaryIO, content.stream), content.filename or ""
    kind = filename.parse(file_name).kind
    form: Form = {":action": ["file_upload"], "filetype": [kind], "sha256_digest": [sha256_of(stream)]}
    return upload.accept(services, form, file_name, stream, g.user)


def _back_to(services: Services, name: NormalizedName, version: Version | None = None) -> Response:
    """POST, redirect, GET: to the release, or to what is left, the project or the home page."""
    project = services.index.project(name)
    location = f"../project/{name}/" if project and project.files else "../"
    if project and version and version in map(Version, project.versions):
        location += f"{quote(str(version), safe='')}/"
    return Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
