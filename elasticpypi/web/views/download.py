"""``/packages/``: files and their core metadata, never at another address (REQ-31, REQ-48)."""

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import BinaryIO

from flask import Response, g, request

from elasticpypi.core.errors import NotFound, Unavailable
from elasticpypi.core.filename import Name, parse_stored
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANEW, FOR_EVER
from elasticpypi.web.views import Representation

CHUNK = 128 * 1024
AT_ONCE = 4 * CHUNK  # that granian takes from us, whether or not the client takes any
WORTH_IT = 500  # bytes; less is hardly smaller when it is compressed


def file(services: Services, filename: str) -> Response:
    """A file, or its metadata with ``.metadata`` behind its name."""
    named = parse_stored(filename.removesuffix(".metadata"))
    if named is None:
        raise _missing(filename)
    if filename.endswith(".metadata"):
        return _metadata(services, named)
    file = services.repository.file(g.actor.principal, named.project, filename)
    if file is None:
        raise _missing(filename)
    link = services.files.url(file) if request.method == "GET" else None  # REQ-63: HEAD is answered here
    if link is not None:
        return Response(status=302, headers={"Location": link, "Cache-Control": "no-store"})  # REQ-60, REQ-70
    return answer(file.upload_time, file.sha256, file.size, _cache(services), lambda: services.files.open(file))


def _metadata(services: Services, named: Name) -> Response:
    found = services.repository.metadata(g.actor.principal, named.project, named.filename)
    if found is None or found[0].metadata_sha256 is None:
        raise _missing(f"{named.filename}.metadata")
    file, body = found
    if hashlib.sha256(body).hexdigest() != file.metadata_sha256:  # read between two writes
        raise Unavailable(f"{named.filename} is being replaced: try again.")
    etag = file.metadata_sha256
    compressed = len(body) > WORTH_IT and request.accept_encodings.quality("gzip") > 0
    if compressed:  # bytes of their own, which ranges and conditions are about
        body, etag = gzip.compress(body, 6, mtime=0), f"{etag}-gzip"
    response = answer(file.upload_time, etag, len(body), _cache(services), lambda: io.BytesIO(body))
    response.headers["Vary"] = "Accept-Encoding"
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _cache(services: Services) -> str:
    return ANEW if services.config.overwrite else FOR_EVER


def _missing(filename: str) -> NotFound:
    return NotFound(f"There is no file {filename[:200]!r} in this index.")


def answer(modified: str, etag: str, size: int, cache: str, content: Callable[[], BinaryIO]) -> Response:
    """200, or 304, 206 and 416 as the conditions of the request ask; ``content`` is opened only if it is sent.

    ``modified`` is a moment of PEP 700.
    """
    _settle_range(size)
    response = Representation(content_type="application/octet-stream")
    response.headers["Cache-Control"] = cache
    response.set_etag(etag)
    response.last_modified = datetime.fromisoformat(modified)
    response.make_conditional(request, accept_ranges=True, complete_length=size)
    if response.status_code == 200:
        response.content_length = size
    if request.method == "GET" and response.status_code in (200, 206):
        start, stop = response.content_range.start or 0, response.content_range.stop or size
        chunks = _chunks(content, start, stop, outgoing(stop - start))
        next(chunks)  # what goes wrong at once has a status of its own
        response.response = chunks
    return response


def outgoing(size: int) -> Callable[[], AbstractContextManager[None]]:
    """What counts a body of so many bytes while it is sent: on one machine a large one holds a thread."""
    return (request.environ.get("elasticpypi.outgoing") if size > AT_ONCE else None) or nullcontext


def _settle_range(size: int) -> None:
    """RFC 9110 where Werkzeug answers 416: GET and bytes only, several may be ignored, too many are all (REQ-64)."""
    asked = request.range
    if asked is None or request.method != "GET" or asked.units != "bytes" or len(asked.ranges) != 1:
        request.environ.pop("HTTP_RANGE", None)
    elif (asked.ranges[0][0] or 0) < -size:
        request.environ["HTTP_RANGE"] = "bytes=0-"


def _chunks(
    open_content: Callable[[], BinaryIO], start: int, stop: int, held: Callable[[], AbstractContextManager[None]]
) -> Iterator[bytes]:
    """Pieces of a file, after an empty one: by then the reading has begun."""
    with held(), open_content() as content:
        content.seek(start)
        chunk = content.read(min(CHUNK, stop - start))
        yield b""
        while chunk:
            yield chunk
            start += len(chunk)
            chunk = content.read(min(CHUNK, stop - start))
