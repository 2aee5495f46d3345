"""``POST``: the upload API that twine, uv, flit, poetry, pdm and hatch speak (PyPI's "legacy" API)."""

from typing import BinaryIO, cast
from urllib.parse import quote
from xml.sax.saxutils import escape

from flask import Response, g, request

from elasticpypi.actions.upload import accept
from elasticpypi.core import distribution
from elasticpypi.core.errors import BadUpload
from elasticpypi.services import Services
from elasticpypi.web.views.simple import normalize, redirect

NO_XML_RPC = "This index has no XML-RPC, and `pip search` needs it: search on its home page in a browser."
FAULT = (
    "<?xml version='1.0'?><methodResponse><fault><value><struct>"
    "<member><name>faultCode</name><value><int>-32601</int></value></member>"
    "<member><name>faultString</name><value><string>{}</string></value></member>"
    "</struct></value></fault></methodResponse>\n"
)


def file(services: Services) -> Response:
    """An upload at ``/``, ``/legacy/``, ``/simple/`` or ``/pypi/``, with and without the slash (REQ-101)."""
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
    message = accept(services, g.actor, form, content.filename or "", cast(BinaryIO, content.stream))
    return Response(f"{message}\n", mimetype="text/plain")


def published(services: Services, name: str, version: str) -> Response:
    """The address that hatch prints after an upload."""
    return redirect(f"../../../project/{normalize(name)}/{quote(version, safe='')}/", 302)


def published_by_flit(services: Services, name: str) -> Response:
    """The address that flit prints after an upload."""
    return redirect(f"../../project/{normalize(name)}/", 302)


def _xml_rpc() -> Response:
    """A fault is all that tools for it show without a traceback (http://xmlrpc.com/spec.md)."""
    while request.stream.read(65536):
        pass
    return Response(FAULT.format(escape(NO_XML_RPC)), content_type="text/xml")
