"""The blocks in the index: what the objects say of a project → one record beside its files.

Level-triggered, as ``sync.py`` is: whoever decided, or was told of a project, looks at the objects, and once more at
the moment of the write. So blocks act with the next request on everything that is made of the index, kept pages too,
and nobody who reads asks anybody else.
"""

import hashlib
import logging
from collections.abc import Collection, Iterable
from contextlib import suppress

from packaging.utils import NormalizedName

from elasticpypi.core import blocks, ruling
from elasticpypi.core.blocks import FOLDER, KIND, RECORD, Block, Target
from elasticpypi.core.errors import Changed, Refusal, Unavailable
from elasticpypi.core.model import Decision, File
from elasticpypi.storage.contracts import Index, Objects

ATTEMPTS = 10

log = logging.getLogger(__name__)


def sync(objects: Objects, index: Index, name: NormalizedName, coming: Collection[str] = ()) -> bool:
    """Make the record of the blocks of a project agree with the objects; whether something was to be done.

    ``coming`` are digests of files that it has a moment later. :class:`Unavailable` if the objects keep changing, or
    cannot be had.
    """
    project = index.project(name)
    digests = {*coming, *(file.sha256 for file in project.files)} if project else {*coming}
    for _ in range(ATTEMPTS):
        text = _text(objects, name, digests)

        def look(known: str = text) -> None:
            if _text(objects, name, digests) != known:
                raise Changed("The blocks were changed at the same moment.")

        with suppress(Changed):
            if not text:
                return index.remove(name, RECORD, look)
            revision = hashlib.sha256(text.encode()).hexdigest()
            return index.put(Decision(RECORD, name, KIND, text, revision), look=look)
    raise Unavailable(f"The blocks of {name!r} keep changing: try again.")


def of_digest(objects: Objects, sha256: str) -> Block | None:
    """The block of some bytes; None if there is none, or if the objects cannot be had now: it acts a moment later."""
    target = Target(None, sha256=sha256)
    with suppress(Refusal):
        found = objects.read(target.key)
        said = ruling.load(found.body) if found else ruling.NOTHING
        return Block(target.what, said.reason, said.by, said.at) if said.value else None
    return None


def expect(objects: Objects, index: Index, file: File) -> None:
    """Before the record of a file is written: if its bytes are blocked, that holds with it."""
    with suppress(Refusal):
        if of_digest(objects, file.sha256):
            sync(objects, index, file.project, {file.sha256})


def follow(objects: Objects, index: Index, names: Iterable[NormalizedName]) -> list[NormalizedName]:
    """:func:`sync` those of the projects that a block may be about; the projects for which that failed."""
    names = list(names)
    try:
        targets = _targets(objects) if names else []
    except Refusal as error:
        log.error("The blocks cannot be read now: %s", error)
        return names
    everywhere = any(target.sha256 for target in targets)
    blocked, failed = {target.project for target in targets}, []
    for name in names:
        if everywhere or name in blocked:
            try:
                sync(objects, index, name)
            except Refusal as error:
                log.error("The blocks of %r cannot be brought into the index now: %s", name, error)
                failed.append(name)
    return failed


def restore(objects: Objects, index: Index, *, all_records: bool = False) -> list[NormalizedName]:
    """:func:`sync` all projects that a block is about; those that were changed.

    With ``all_records``, those too that have one in the index only: somebody removed an object by hand.
    """
    targets = _targets(objects)
    digests = {target.sha256 for target in targets if target.sha256}
    names = {target.project for target in targets if target.project}
    names |= of_digests(index, digests, all_records=all_records) if digests or all_records else set()
    return [name for name in sorted(names) if sync(objects, index, name)]


def of_digests(index: Index, digests: Collection[str], *, all_records: bool = False) -> set[NormalizedName]:
    """The projects with a file of one of these digests; with ``all_records`` those that have a block too."""
    return {
        record.project
        for record in index.records()
        if (record.sha256 in digests if isinstance(record, File) else all_records and record.key == RECORD)
    }


def _targets(objects: Objects) -> list[blocks.Target]:
    return [target for key in objects.keys(FOLDER) if (target := blocks.of_key(key))]


def _text(objects: Objects, name: NormalizedName, digests: Collection[str]) -> str:
    """The text of the record, "" if nothing is blocked."""
    found = []
    for target in _targets(objects):
        if target.project == name or target.sha256 in digests:
            read = objects.read(target.key)
            said = ruling.load(read.body) if read else ruling.NOTHING
            if said.value:
                found.append(Block(target.what, said.reason, said.by, said.at))
    return blocks.dump(found)
