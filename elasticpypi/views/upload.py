"""``POST``: the upload API that twine, uv, flit, poetry, pdm and hatch speak (PyPI's "legacy" API)."""

from typing import BinaryIO, cast

from flask import Blueprint, Response, g, request

from elasticpypi.errors import BadUpload
from elasticpypi.wiring import Services


def blueprint(services: Services) -> Blueprint:
    """Uploads at ``/``, ``/legacy/`` and ``/simple/``, with and without the slash, never redirected (REQ-101)."""
    views = Blueprint("upload", __name__)

    @views.post("/")
    @views.post("/legacy")
    @views.post("/legacy/")
    @views.post("/simple")
    @views.post("/simple/")
    def file() -> Response:
        from elasticpypi import upload

        form = {**request.args.to_dict(flat=False), **request.form.to_dict(flat=False)}
        while request.stream.read(65536):  # what was declared has to come; if it does not, this is a 400 (REQ-128)
            pass
        for field in request.files:
            if field not in ("content", "gpg_signature"):
                raise BadUpload(f"The field {field!r} came as a file: send it as text.")
        contents = request.files.getlist("content")
        if len(contents) != 1 or not contents[0].filename or "content" in form:
            raise BadUpload(
                f"An upload has one file in the field 'content', with a file name; this one has {len(contents)}: "
                "send multipart/form-data, as twine does."
            )
        [content] = contents
        said = upload.accept(services, form, content.filename or "", cast(BinaryIO, content.stream), g.user)
        return Response(f"{said}\n", mimetype="text/plain")

    return views
