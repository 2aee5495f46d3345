"""Core metadata of kept wheels whose index announces none (REQ-U28): taken out once, and kept by their digest."""

import logging

from elasticpypi.core.distribution import inspect, sha256
from elasticpypi.core.errors import Damaged
from elasticpypi.core.filename import parse_stored
from elasticpypi.core.upstream import UpstreamFile
from elasticpypi.storage.contracts import UpstreamStore

log = logging.getLogger(__name__)


def take(store: UpstreamStore, file: UpstreamFile) -> str | None:
    """The digest of the core metadata of a wheel, which are kept then.

    None if the wheel is not kept, or has none that fit its name. :class:`Unavailable` if they cannot be kept.
    """
    named = parse_stored(file.filename)
    if named is None or named.kind != "bdist_wheel" or (content := store.open(file.sha256)) is None:
        return None
    with content:
        try:
            core = inspect(named, content, file.sha256).metadata
        except Damaged as error:
            log.warning("no core metadata: %s", error)
            return None
    if core is None:
        return None
    digest = sha256(core)
    if store.size(digest) is None and (incoming := store.begin(digest)) is not None:
        try:
            incoming.write(core)
            incoming.keep()
        except OSError:
            incoming.drop()
            raise
    return digest
