"""The one way into the index: a key that changed → the record that the store calls for.

Level-triggered: a call says only that a key may have changed, :func:`sync` looks at the store. It looks
again after it wrote, and starts over if the key changed meanwhile. So the last writer has always seen
the store as it is, and calls may overlap, repeat and arrive in any order.
"""

import logging
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from packaging.utils import NormalizedName, is_normalized_name

from elasticpypi import distribution, filename
from elasticpypi.distribution import Distribution
from elasticpypi.errors import Changed, Damaged, NotFound, Unavailable
from elasticpypi.filename import Name
from elasticpypi.model import Decision, DecisionKind, File, Record
from elasticpypi.stores import Check, Files, Index, Stat

ATTEMPTS = 10
LONGEST_KEY = 700  # a DynamoDB sort key has at most 1,024 bytes, and it holds the key and the file name
LARGEST_DECISION = 4096
LARGEST_METADATA = 390_000  # compressed; a DynamoDB item has at most 400 KB
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # PEP 700

log = logging.getLogger(__name__)

ON_FILES: tuple[DecisionKind, ...] = ("yanked", "deleted")
Action = Literal["unchanged", "written", "removed", "ignored", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one key; ``reason`` is a sentence where it was ignored or failed."""

    key: str
    action: Action
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a key stands for: a file (``name``) or a decision (``kind``) of a project."""

    project: NormalizedName
    name: Name | None = None
    kind: DecisionKind | None = None


def meaning(key: str) -> Meaning | str:
    """A key → what it stands for, or the reason why it stands for nothing (the key tree of ``model.py``)."""
    if key.endswith("/"):
        return "It is a folder."
    if not key.isprintable():
        return "It has characters that are not text."
    if len(key.encode()) > LONGEST_KEY:
        return f"The key is longer than {LONGEST_KEY} bytes."
    if any(part.startswith(".") for part in key.split("/")):
        return "It is hidden."
    base = key.rpartition("/")[2]
    subject, _, suffix = base.rpartition(".")
    if suffix == "status":
        if key == base and is_normalized_name(subject):
            return Meaning(NormalizedName(subject), kind="status")
        return "It has the form of a project status, but names no project."
    for kind in ON_FILES:
        if suffix == kind:
            about = filename.parse_stored(subject)
            return Meaning(about.project, kind=kind) if about else f"It marks as {kind} what is no package."
    name = filename.parse_stored(base)
    return Meaning(name.project, name=name) if name else "Its name is none of a wheel or an sdist."


def sync(files: Files, index: Index, key: str, *, force: bool = False) -> Outcome:
    """Make the index agree with the store about one key.

    With ``force`` a file is read again although its revision has not changed. :class:`Unavailable` if
    the store or the index cannot be reached, or the key keeps changing.
    """
    means = meaning(key)
    if isinstance(means, str):
        return Outcome(key, "ignored", means)
    action: Action = "unchanged"
    for _ in range(ATTEMPTS):
        stat = files.stat(key)
        try:
            outcome = _write(files, index, means, key, stat, force)
        except (NotFound, Changed):  # between stat and open
            continue
        if outcome.action == "unchanged":
            return Outcome(key, action)
        action = outcome.action
        after = files.stat(key)
        if (after and after.revision) == (stat and stat.revision):
            return outcome
    raise Unavailable(f"{key!r} keeps changing: it will be looked at again with its next event.")


def saved(files: Files, index: Index, stat: Stat, dist: Distribution, check: Check) -> None:
    """An upload was just stored as ``stat``: write its record without reading it again, if ``check`` agrees."""
    index.put(*_file_record(stat, dist, stat.modified.strftime(TIME)), check)
    after = files.stat(stat.key)
    if after is None or after.revision != stat.revision:
        sync(files, index, stat.key)


def _write(files: Files, index: Index, means: Meaning, key: str, stat: Stat | None, force: bool) -> Outcome:
    if stat is None:
        return Outcome(key, "removed" if index.remove(means.project, key) else "unchanged")
    if means.name is None:
        return _put(index, _decision(files, means, stat))
    known = index.record(means.project, key)
    if known and known.revision == stat.revision and not force:
        return Outcome(key, "unchanged")
    with files.open(stat) as content:
        try:
            dist = distribution.inspect(means.name, content, stat.sha256)
        except Damaged as error:
            index.remove(means.project, key)
            return Outcome(key, "ignored", str(error))
    time = stat.modified.strftime(TIME)
    if isinstance(known, File) and known.sha256 == dist.sha256:
        time = known.upload_time  # REQ-38: it never changes for the same bytes
    return _put(index, *_file_record(stat, dist, time))


def _put(index: Index, record: Record, metadata: bytes | None = None) -> Outcome:
    return Outcome(record.key, "written" if index.put(record, metadata) else "unchanged")


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
    )
    return record, metadata


def _decision(files: Files, means: Meaning, stat: Stat) -> Decision:
    with files.open(stat) as content:
        text = content.read(LARGEST_DECISION).decode("utf-8", "replace")
    assert means.kind is not None
    # Whoever wrote it, pages get clean lines: the status in the first, all else in one.
    lines = ["".join(letter for letter in line if letter.isprintable()).strip() for line in text.strip().splitlines()]
    clean = "\n".join([*lines[:1], " ".join(lines[1:])]) if means.kind == "status" else " ".join(lines)
    return Decision(stat.key, means.project, means.kind, clean.strip(), stat.revision)


def sync_all(files: Files, index: Index, keys: Iterable[str], *, force: bool = False) -> Iterator[Outcome]:
    """:func:`sync` for many keys; one that fails is logged and does not stop the others."""
    for key in keys:
        try:
            yield sync(files, index, key, force=force)
        except Exception as error:  # whatever it is, the other keys must not wait for it
            log.exception("sync of %r failed", key)
            yield Outcome(key, "failed", f"{type(error).__name__}: {error}")


def every_key(files: Files, index: Index) -> list[str]:
    """The keys of the store and of the index: what a rebuild of the index has to look at."""
    return sorted({stat.key for stat in files.list()} | {record.key for record in index.records()})


def changed_keys(files: Files, index: Index) -> list[str]:
    """The keys on which store and index differ, without looking into any file."""
    known = {record.key: record.revision for record in index.records()}
    changed = [stat.key for stat in files.list() if known.pop(stat.key, None) != stat.revision]
    return sorted(key for key in [*changed, *known] if not isinstance(meaning(key), str))
