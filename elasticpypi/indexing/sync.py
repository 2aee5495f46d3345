"""The one way into the index: a key that changed → the record that the store calls for.

Level-triggered: a call says only that a key may have changed, :func:`sync` looks at the store. It looks
again at the moment of the write, which fails if anybody else wrote since; if the key changed meanwhile
it starts over. So nobody ever replaces a record by an older one, and calls may overlap, repeat, break
off and arrive in any order.
"""

import logging
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from packaging.utils import NormalizedName

from elasticpypi.core import distribution, keys
from elasticpypi.core.about import FORM, dump, of
from elasticpypi.core.distribution import Distribution
from elasticpypi.core.errors import Changed, Damaged, NotFound, Refusal, Unavailable
from elasticpypi.core.event import STORE, Who
from elasticpypi.core.keys import FileKey, IgnoredKey, SidecarKey
from elasticpypi.core.model import Decision, File, Record
from elasticpypi.core.outcome import Found, Outcome
from elasticpypi.indexing import authors, blocks
from elasticpypi.storage.contracts import Check, Files, Index, IndexWriter, Objects, Stat, State

ATTEMPTS = 10
LARGEST_METADATA = 390_000  # compressed; a DynamoDB item has at most 400 KB
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # PEP 700

log = logging.getLogger(__name__)


class Tell(Protocol):
    """Whom a follower tells of what it did (``events.Events.tell``)."""

    def __call__(self, outcomes: Iterable[Outcome], /, *, also: Iterable[NormalizedName] = ()) -> list[NormalizedName]:
        """The projects for which a subscriber failed, and of which it is to be told again."""


class Beside(NamedTuple):
    """What is asked about news that nobody has brought: who it was, and whether its bytes are blocked."""

    state: State
    objects: Objects


def sync(
    files: Files,
    index: Index,
    key: str,
    *,
    force: bool = False,
    dry: bool = False,
    who: Who | None = STORE,
    beside: Beside | None = None,
) -> Outcome:
    """Make the index agree with the store about one key.

    With ``force`` a file is read again although its revision has not changed; with ``dry`` the answer is
    what would be done, and nothing is. ``who`` is named in the event of a change; None: it is none, as when an index
    is made anew. If it is the store, what is ``beside`` may know better. :class:`Unavailable` if the store or the index
    cannot be reached, or the key keeps changing.
    """
    means = keys.parse(key)
    if isinstance(means, IgnoredKey):
        return Outcome(key, "ignored", means.reason)
    for _ in range(ATTEMPTS):
        with suppress(NotFound, Changed):  # while it was read, or before it was written
            outcome = _sync(files, index, means, force, dry, who, beside)
            if isinstance(means, SidecarKey) and means.sidecar.kind == "deleted" and not dry:
                _follow_tombstone(files, index, means.project, means.subject, who, beside)
            return outcome
    raise Unavailable(f"{key!r} keeps changing: it will be looked at again with its next event.")


def saved(files: Files, index: Index, stat: Stat, dist: Distribution, check: Check, who: Who) -> None:
    """An upload was just stored as ``stat``: write its record without reading it again, if ``check`` agrees.

    :class:`Changed` if it is not there any more.
    """
    try:
        record, metadata = _file_record(stat, dist, stat.modified.strftime(TIME))
        record = replace(record, checked=1)
        index.put(record, metadata, check, partial(_look, files, stat.key, stat), _about(dist), who)
    except Changed:
        sync(files, index, stat.key, who=who)
        if files.stat(stat.key) is None:
            raise Changed(f"{stat.key!r} was removed at the same moment: upload it again.") from None


def _sync(
    files: Files,
    index: Index,
    means: FileKey | SidecarKey,
    force: bool,
    dry: bool,
    who: Who | None,
    beside: Beside | None,
) -> Outcome:
    key = means.key
    stat = files.stat(key)
    if isinstance(means, FileKey):
        known, tombstone = index.record_and_tombstone(means.project, key)
    else:
        known, tombstone = index.record(means.project, key), None
    look = partial(_look, files, key, stat)
    if stat is None:
        with _author(beside, key, authors.GONE if known and not dry else None, who) as by:
            gone = known is not None and (dry or index.remove(means.project, key, look, by))
        return Outcome(key, "removed", found="gone from the store") if gone else Outcome(key, "unchanged")
    if known and is_current(known) and known.revision == stat.revision and not force:
        return Outcome(key, "unchanged")
    if known is None and tombstone and files.stat(tombstone.key):
        return Outcome(key, "ignored", "It is deleted, but its bytes are still there: delete it again.")
    found: Found = "stale in the index" if known else "missing in the index"
    if dry and known:
        return Outcome(key, "written", found=found)
    try:
        record, metadata, about, what = _read(files, means, stat, known, hashed=not dry)
    except Damaged as error:
        if known:
            index.remove(means.project, key, look, who)
        return Outcome(key, "ignored", str(error), found if known else "")
    if dry:
        return Outcome(key, "written", found=found)
    if record == known:
        return Outcome(key, "unchanged")
    if beside and isinstance(record, File) and _is_news(record, known):
        blocks.expect(beside.objects, index, record)
    with _author(beside, key, what, who) as by:
        written = index.put(record, metadata, look=look, about=about, who=by)
    return Outcome(key, "written", found=found) if written else Outcome(key, "unchanged")


def _author(beside: Beside | None, key: str, what: str | None, who: Who | None) -> AbstractContextManager[Who | None]:
    """Who made ``what`` of a key, if it may be somebody who said so before; None: it is not."""
    if beside is None or what is None or who is not STORE:
        return nullcontext(who)
    return authors.author(beside.state, key, what, who)


def _is_news(record: File, known: Record | None) -> bool:
    return not isinstance(known, File) or known.sha256 != record.sha256


def _follow_tombstone(
    files: Files, index: Index, project: NormalizedName, key: str, who: Who | None, beside: Beside | None
) -> None:
    """The file of a tombstone that came is not listed, that of one that went is.

    A file beside its tombstone is one whose deletion was broken off, and is to be finished (REQ-117). The same bytes
    come back by an upload, which removes the tombstone, or when somebody else does.
    """
    if files.stat(keys.tombstone_of(key)) is None:
        sync(files, index, key, who=who, beside=beside)
    elif all(index.record_and_tombstone(project, key)):
        index.remove(project, key)


def _look(files: Files, key: str, before: Stat | None) -> None:
    """Once more, at the moment of the write; :class:`Changed` if what is to be written is true no longer."""
    now = files.stat(key)
    if (now and now.revision) != (before and before.revision):
        raise Changed(f"{key!r} was replaced at the same moment.")


def _read(
    files: Files, means: FileKey | SidecarKey, stat: Stat, known: Record | None, *, hashed: bool
) -> tuple[Record, bytes | None, bytes | None, str | None]:
    """The record of a key, what :meth:`Index.put` keeps beside it, and of what :mod:`authors` may know the author.

    :class:`Damaged` if it is half a file.
    """
    with files.open(stat) as content:
        if isinstance(means, SidecarKey):
            if stat.outside:  # its text would be on a page
                raise Damaged("It is a link that leads out of the folder.")
            text = content.read(means.sidecar.largest)
            decision = _decision(means, stat, text)
            return decision, None, None, distribution.sha256(text) if decision.by else None
        dist = distribution.inspect(means.name, content, stat.sha256 if hashed else "", outside=stat.outside)
    record, metadata = _file_record(stat, dist, stat.modified.strftime(TIME))
    if isinstance(known, File) and known.sha256 == dist.sha256:
        # REQ-38: the time never changes for the same bytes
        record = replace(record, upload_time=known.upload_time, checked=known.checked)
    uploaded = authors.of_file(record.sha256, record.uploader) if record.uploader and _is_news(record, known) else None
    return record, metadata, _about(dist), uploaded


def put_by(index: IndexWriter) -> Who | None:
    """Whose doing it is if the index lacks something: the store's; nobody's while it is being made anew."""
    return STORE if index.is_whole() else None


def is_current(record: Record) -> bool:
    """Whether a record is as this version writes it; what an earlier one wrote is written again."""
    if isinstance(record, File):
        return record.form == FORM
    return not keys.is_signed(record.text)  # as version 1.0 takes the last line for a part of the reason


def _file_record(stat: Stat, dist: Distribution, upload_time: str) -> tuple[File, bytes | None]:
    metadata = dist.metadata
    if metadata and len(metadata) > LARGEST_METADATA and len(zlib.compress(metadata)) > LARGEST_METADATA:
        metadata = None  # installers then read it from the file
    record = File(
        key=stat.key,
        project=dist.name.project,
        version=str(dist.name.version),
        size=stat.size,
        sha256=dist.sha256,
        upload_time=upload_time,
        revision=stat.revision,
        requires_python=dist.requires_python,
        metadata_sha256=distribution.sha256(metadata) if metadata is not None and dist.static else None,
        uploader=stat.uploader,
        form=FORM,
    )
    return record, metadata


def _about(dist: Distribution) -> bytes | None:
    return None if dist.raw is None else dump(of(dist.raw))


def _decision(means: SidecarKey, stat: Stat, text: bytes) -> Decision:
    sidecar = means.sidecar
    signed = keys.unsign(text.decode("utf-8", "replace"))
    return Decision(
        stat.key, means.project, sidecar.kind, sidecar.clean(signed.text), stat.revision, signed.by, signed.at
    )


def sync_all(
    files: Files,
    index: Index,
    changed: Iterable[str],
    *,
    force: bool = False,
    dry: bool = False,
    threads: int = 1,
    who: Who | None = STORE,
    beside: Beside | None = None,
) -> Iterator[Outcome]:
    """:func:`sync` for many keys; one that fails does not stop the others, one that lasts does not with ``threads``.

    ``changed`` is read as the work goes on; with threads the outcomes come in any order.
    """

    def one(key: str) -> Outcome:
        try:
            return sync(files, index, key, force=force, dry=dry, who=who, beside=beside)
        except Refusal as refusal:
            return Outcome(key, "failed", str(refusal))
        except Exception as error:  # whatever it is, the other keys must not wait for it
            log.exception("sync of %r failed", key)
            return Outcome(key, "failed", f"{type(error).__name__}: {error}")

    if threads == 1:
        yield from map(one, changed)
        return
    from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait

    with ThreadPoolExecutor(threads) as pool:
        under_way: set[Future[Outcome]] = set()
        for key in changed:
            under_way.add(pool.submit(one, key))
            if len(under_way) > 2 * threads:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(under_way))
