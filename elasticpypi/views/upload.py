"""``POST``: the upload API that twine, uv, flit, poetry, pdm and hatch speak (PyPI's "legacy" API)."""

from typing import BinaryIO, cast
from urllib.parse import quote
from xml.sax.saxutils import escape

from flask import Blueprint, Response, g, request

from elasticpypi.errors import BadUpload
from elasticpypi.views.index import normalize, redirect
from elasticpypi.wiring import Services

NO_XML_RPC = "This index has no XML-RPC, and `pip search` needs it: search on its home page in a browser."
FAULT = (
    "<?xml version='1.0'?><methodResponse><fault><value><struct>"
    "<member><name>faultCode</name><value><int>-32601</int></value></member>"
    "<member><name>faultString</name><value><string>{}</string></value></member>"
    "</struct></value></fault></methodResponse>\n"
)


def blueprint(services: Services) -> Blueprint:
    """Uploads at ``/``, ``/legacy/`` and ``/simple/``, with and without the slash, never redirected (REQ-101)."""
    views = Blueprint("upload", __name__)

    @views.post("/")
    @views.post("/legacy")
    @views.post("/legacy/")
    @views.post("/simple")
    @views.post("/simple/")
    @views.post("/pypi")
    @views.post("/pypi/")
    def file() -> Response:
        from elasticpypi import distribution, upload

        if request.mimetype == "text/xml":
            return _xml_rpc()
        form = {**request.args.to_dict(flat=False), **request.form.to_dict(flat=False)}
        while request.stream.read(65536):  # what was declared has to come; if it does not, this is a 400 (REQ-128)
            pass
        for field in request.files:
            if field not in ("content", "gpg_signature"):
                raise BadUpload(f"The field {field!r} came as a file: send it as text.")
        if asked := form.get(":action", [""])[0]:
            distribution.check_action(asked)
        contents = request.files.getlist("content")
        if len(contents) != 1 or not contents[0].filename or "content" in form:
            raise BadUpload(
                f"An upload has one file in the field 'content', with a file name; this one has {len(contents)}: "
                "send multipart/form-data, as twine does."
            )
        [content] = contents
        said = upload.accept(services, form, content.filename or "", cast(BinaryIO, content.stream), g.user)
        return Response(f"{said}\n", mimetype="text/plain")

    @views.get("/legacy/<name>/<version>/")
    def published(name: str, version: str) -> Response:
        """The address that hatch prints after an upload."""
        return redirect(f"../../../project/{normalize(name)}/{quote(version, safe='')}/", 302)

    @views.get("/legacy//<name>")
    def published_by_flit(name: str) -> Response:
        return redirect(f"../../project/{normalize(name)}/", 302)

    return views


def _xml_rpc() -> Response:
    """A fault is all that tools for it show without a traceback (http://xmlrpc.com/spec.md)."""
    while request.stream.read(65536):
        pass
    return Response(FAULT.format(escape(NO_XML_RPC)), content_type="text/xml")
