"""Names that are ours for ever: an object for each project that ever had a file.

It outlives the last file, and the index. Only an administrator lets go of a name (``actions/policy.py``), by a ruling
that takes the place of the object before it goes.
"""

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from packaging.utils import NormalizedName

from elasticpypi.core import ruling
from elasticpypi.core.errors import Changed, Refusal
from elasticpypi.storage.contracts import IndexReader, Objects

FOLDER = "names/"
OURS, NOT_OURS = "ours", "not ours"

log = logging.getLogger(__name__)


def keep(objects: Objects, index: IndexReader, names: Iterable[NormalizedName]) -> list[NormalizedName]:
    """Write what is missing for those of these projects that have a file; the projects for which that failed."""
    failed = []
    for name in names:
        try:
            found = objects.read(key_of(name))
            let_go = found is not None and ruling.load(found.body).value == NOT_OURS  # by a process that ended then
            if (found is None or let_go) and (project := index.project(name)) and project.files:
                _write(objects, name, found.revision if found else None)
        except Refusal as error:
            log.error("The name %r cannot be kept now: %s", name, error)
            failed.append(name)
    return failed


def keep_all(objects: Objects, index: IndexReader) -> list[NormalizedName]:
    """Write what is missing for all projects, such as those of an earlier version; the names that were missing."""
    kept = set(objects.keys(FOLDER))
    missing = [name for name in index.projects()[1] if key_of(name) not in kept]
    for name in missing:
        _write(objects, name, None)
    return missing


def key_of(name: NormalizedName) -> str:
    """The key of the object."""
    return f"{FOLDER}{name}"


def _write(objects: Objects, name: NormalizedName, over: str | None) -> None:
    since = {"name": name, "value": OURS, "since": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    with suppress(Changed):  # somebody else was faster
        objects.write(key_of(name), json.dumps(since).encode() + b"\n", over)
