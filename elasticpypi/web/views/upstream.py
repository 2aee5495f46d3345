"""``/upstream/<index>/<its own path>``: files of other indexes, kept or on their way (REQ-U24, U36 to U41)."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from datetime import datetime
from functools import partial
from typing import BinaryIO

from flask import Response, g, request

from elasticpypi.core.errors import NotFound, Unavailable
from elasticpypi.core.upstream import UpstreamFile
from elasticpypi.services import Services
from elasticpypi.storage.contracts import FOR_EVER
from elasticpypi.upstream import metadata
from elasticpypi.upstream.fetch import Failed, unavailable
from elasticpypi.upstream.pages import Upstream
from elasticpypi.upstream.upstreams import Upstreams
from elasticpypi.web.views import Representation
from elasticpypi.web.views.download import AT_ONCE, answer, outgoing

SUFFIX = ".metadata"


def file(services: Services, index: str, path: str) -> Response:
    """A file, or its metadata with ``.metadata`` behind its path."""
    if services.upstreams is None or services.first_match is None:
        raise NotFound("This index has no other one that it asks.")
    reader, wanted = g.actor.principal, path.removesuffix(SUFFIX)
    upstream, found = services.first_match.upstream_file(reader, index, wanted)
    sha256, url, size, then = found.sha256, found.url, found.size, None
    if wanted != path:
        if found.metadata_sha256 is None:  # another process may have taken them out of the file meanwhile
            upstream.look_again(found.project)
            upstream, found = services.first_match.upstream_file(reader, index, wanted)
        if found.metadata_sha256 is None:
            raise NotFound(f"The index {index!r} has no metadata file of {found.filename!r}.")
        sha256, url, size = found.metadata_sha256, f"{url}{SUFFIX}", -1
    elif upstream.wants_metadata(found):
        then = partial(upstream.take_metadata, found)
    modified, kept = found.upload_time or found.first_seen, services.upstreams.store.size(sha256)
    if kept is None and wanted != path and upstream.has_taken(found):
        kept = _taken_again(services.upstreams, upstream, found)
    if kept is not None:
        if then:
            threading.Thread(target=then, daemon=True).start()
        return answer(modified, sha256, kept, FOR_EVER, lambda: _open(services.upstreams, sha256))
    if upstream.settings.offline:
        raise NotFound(f"{found.filename!r} is not kept here, and the index {index!r} is not asked: it is offline.")
    redirects = upstream.settings.mode.endswith("redirect") and request.method == "GET"  # REQ-63: HEAD is answered here
    if redirects and (link := _link(upstream, url)):
        if upstream.settings.mode == "cache+redirect":
            services.upstreams.transfers.keep(upstream.client, sha256, url, size, then)
        return Response(status=302, headers={"Location": link, "Cache-Control": "no-store"})
    response = Representation(content_type="application/octet-stream", headers={"Cache-Control": FOR_EVER})
    response.automatically_set_content_length = False  # to that of an empty body, which this has not
    response.set_etag(sha256)
    response.last_modified = datetime.fromisoformat(modified)
    response.make_conditional(request)
    if response.status_code == 200:
        if request.method == "GET":
            chunks = services.upstreams.transfers.read(upstream.client, found.filename, sha256, url, size, then)
            sent = _sent(chunks, outgoing(size if size >= 0 else AT_ONCE + 1))
            next(sent)  # what goes wrong at once has a status of its own; what does later breaks the answer
            if size < 0 and (size := services.upstreams.transfers.size(sha256)) < 0:
                return _whole(services.upstreams, sent, modified, sha256)
            response.response = sent
        if size >= 0:
            response.content_length = size
        else:
            response.headers.pop("Content-Length", None)  # 0: that of a body that is not there yet
    return response


def _taken_again(upstreams: Upstreams, upstream: Upstream, wheel: UpstreamFile) -> int | None:
    """The size of core metadata of ours that were removed, and are kept again; of a wheel that may have to come first.

    None if they cannot be had: then the other index is asked for what it has not, and says so.
    """
    if not upstream.has(wheel.sha256) and not upstream.settings.offline:
        for _ in upstreams.transfers.read(upstream.client, wheel.filename, wheel.sha256, wheel.url, wheel.size):
            pass
    return upstreams.store.size(wheel.metadata_sha256 or "") if metadata.take(upstreams.store, wheel) else None


def _whole(upstreams: Upstreams, sent: Iterator[bytes], modified: str, sha256: str) -> Response:
    """A file whose size nobody tells: an answer without a length that ends in the middle would look like all of it."""
    for _ in sent:
        pass
    return answer(modified, sha256, upstreams.store.size(sha256) or 0, FOR_EVER, lambda: _open(upstreams, sha256))


def _link(upstream: Upstream, url: str) -> str | None:
    """Where a client gets the file without us; None if only we have the credentials for it."""
    try:
        return upstream.client.link(url)
    except Failed as error:
        raise unavailable(error) from None


def _open(upstreams: Upstreams | None, sha256: str) -> BinaryIO:
    content = upstreams.store.open(sha256) if upstreams else None
    if content is None:
        raise Unavailable("The file was removed at the same moment: try again.")
    return content


def _sent(chunks: Generator[bytes], held: Callable[[], AbstractContextManager[None]]) -> Iterator[bytes]:
    """The pieces of a file, after an empty one: by then there is a first one."""
    with held(), closing(chunks):
        first = next(chunks, b"")
        yield b""
        yield first
        yield from chunks
