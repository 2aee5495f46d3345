"""What is kept of the core metadata of a file, read from the index."""

import json

from packaging.utils import NormalizedName

from elasticpypi.core import metadata
from elasticpypi.core.about import FORM, About, parse
from elasticpypi.storage.contracts import IndexReader


def nothing() -> tuple[About, str]:
    """What is said by nothing."""
    return parse(None), ""


def read(index: IndexReader, name: NormalizedName, filename: str, *, text: bool = False) -> tuple[About, str]:
    """What is kept of a file of the index and, if ``text`` is wanted, its description; nothing if it is gone.

    A record of an earlier version has nothing beside it yet: its metadata are parsed here.
    """
    found = index.about(name, filename, metadata=text)
    if found is None:
        return nothing()
    file, kept, core = found
    description = metadata.description(core).strip("\n") if core else ""
    if file.form != FORM:
        if not text and (beside := index.metadata(name, filename)):
            core = beside[1]
        return parse(core), description
    return json.loads(kept) if kept else parse(None), description
