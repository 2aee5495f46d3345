"""What the index is made of: records, and the project that they add up to.

The store (bucket or folder) is the truth. Every key in it that means something has one record::

    demo-1.0-py3-none-any.whl           File      a wheel or sdist; the key is the file name
    team/demo-1.1.tar.gz                File      the same under a prefix
    demo-1.0-py3-none-any.whl.yanked    Decision  the text is the reason, maybe empty (PEP 592)
    demo-1.0-py3-none-any.whl.deleted   Decision  a tombstone: the sha256 that the name had
    demo.status                         Decision  "archived", and the reason after a line break (PEP 792)

An index stores records and knows nothing about how they combine: that is :func:`assemble`, for all
implementations alike.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from packaging.utils import NormalizedName, canonicalize_version
from packaging.version import Version

from elasticpypi.filename import parse_stored

DecisionKind = Literal["yanked", "deleted", "status"]
Status = Literal["active", "archived", "quarantined", "deprecated"]


@dataclass(frozen=True, slots=True)
class File:
    """One distribution in the store.

    ``version`` is normalized (PEP 440), ``size`` in bytes, ``sha256`` lower-case hex, ``upload_time``
    UTC as ``2026-01-31T12:00:00.000000Z`` (PEP 700), ``revision`` the store's mark of these very
    bytes, ``metadata_sha256`` the digest of the core metadata file if one can be served (PEP 658),
    ``uploader`` the user who uploaded it if the store knows, ``form`` that of what is kept of its core metadata for
    pages (``about.py``), ``checked`` 1 if an upload was held against the other files of the project, ``yanked`` the
    reason (may be empty) or None (PEP 592).
    """

    key: str
    project: NormalizedName
    version: str
    size: int
    sha256: str
    upload_time: str
    revision: str
    requires_python: str | None = None
    metadata_sha256: str | None = None
    uploader: str | None = None
    form: int | None = None
    checked: int | None = None
    yanked: str | None = None

    @property
    def filename(self) -> str:
        """The last part of the key: what pip calls the file."""
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a file or a project; ``text`` is the content of its key."""

    key: str
    project: NormalizedName
    kind: DecisionKind
    text: str
    revision: str

    @property
    def subject(self) -> str:
        """The key (of a file) or the name (of a project) that the decision is about."""
        return self.key.rpartition(".")[0]


Record = File | Decision


@dataclass(frozen=True, slots=True)
class Project:
    """A project as its page shows it.

    ``serial`` grows with every change of the project and never repeats, also across a rebuilt index.
    ``files`` are ordered by version and file name; of several keys with one file name only one is
    here. ``deleted`` maps file names to the sha256 that they had.
    """

    name: NormalizedName
    serial: int
    files: tuple[File, ...] = ()
    deleted: Mapping[str, str] = field(default_factory=dict)
    status: Status = "active"
    status_reason: str = ""

    @property
    def listed(self) -> tuple[File, ...]:
        """The files that installers may see: none of a quarantined project (PEP 792)."""
        return () if self.status == "quarantined" else self.files

    @property
    def versions(self) -> list[str]:
        """Every version that has a listed file, oldest first, without duplicates (PEP 700)."""
        return list(dict.fromkeys(file.version for file in self.listed))


def first_serial() -> int:
    """Where a serial begins: milliseconds, so that a rebuilt index never gives one out again."""
    return int(time.time() * 1000)


def precedence(key: str) -> tuple[bool, str]:
    """Sort key for keys with one file name: the root of the store wins, else the smallest key."""
    return ("/" in key, key)


def assemble(name: NormalizedName, serial: int, records: Iterable[Record]) -> Project:
    """All records of one project → the project; their order does not matter."""
    winners: dict[str, File] = {}
    yanked: dict[str, str] = {}
    deleted: dict[str, str] = {}
    status: Status = "active"
    reason = ""
    for record in records:
        if isinstance(record, File):
            other = winners.get(record.filename)
            if other is None or precedence(record.key) < precedence(other.key):
                winners[record.filename] = record
        elif record.kind == "yanked":
            yanked[record.subject] = record.text
        elif record.kind == "deleted":
            deleted[record.subject.rpartition("/")[2]] = record.text.strip()
        else:
            status, reason = parse_status(record.text)
    canonical = {text: canonicalize_version(text) for text in {file.version for file in winners.values()}}
    names = _spelled_alike(_names(winners.values(), canonical), canonical)
    files = (replace(file, yanked=yanked[file.key]) if file.key in yanked else file for file in names)
    texts = sorted({file.version for file in names})  # in every process alike
    versions = sorted(texts, key=Version)
    ranks = {version: rank for rank, version in enumerate(versions)}
    ordered = tuple(sorted(files, key=lambda file: (ranks[file.version], file.filename)))
    return Project(name, serial, ordered, deleted, status, reason)


def _names(files: Collection[File], canonical: Mapping[str, str]) -> list[File]:
    """The files without those uploads that came a moment too late: installers take two names for one file (REQ-116).

    Whoever follows the store may have written records of both before either upload was checked. What people put
    into the store by themselves stays.
    """
    if all(file.checked or not file.uploader for file in files):
        return list(files)
    alike: dict[tuple[str, ...], list[File]] = {}
    for file in files:
        alike.setdefault((canonical[file.version], *_shape(file.filename)), []).append(file)
    hidden: set[str] = set()
    for group in alike.values():
        if len(group) > 1:
            hidden.update(_late(group))
    return [file for file in files if file.key not in hidden]


def _spelled_alike(files: list[File], canonical: Mapping[str, str]) -> list[File]:
    """Versions that are equal, as 1.0 and 1.0.0, are one release: that of its first file, as on PyPI."""
    if len(set(canonical.values())) == len(canonical):
        return files
    first: dict[str, File] = {}
    for file in sorted(files, key=lambda file: (file.upload_time, len(file.version), file.filename)):
        first.setdefault(canonical[file.version], file)
    return [replace(file, version=first[canonical[file.version]].version) for file in files]


def _shape(name: str) -> tuple[str, ...]:
    """What a file name says behind the version, without the order of the tags."""
    if not name.endswith(".whl"):
        return ()
    return tuple(".".join(sorted(part.lower().split("."))) for part in name.removesuffix(".whl").split("-")[2:])


def _late(group: list[File]) -> list[str]:
    """The keys of uploads that were not checked, beside another file that was, or came first."""
    first: dict[str, File] = {}
    late = []
    for file in sorted(group, key=lambda file: (not file.checked, file.upload_time, file.filename)):
        named = parse_stored(file.filename)
        if named and first.setdefault(named.identity, file) is not file and file.uploader and not file.checked:
            late.append(file.key)
    return late


def parse_status(text: str) -> tuple[Status, str]:
    """The content of a status key → status and reason; quarantined if it cannot be read, to be safe."""
    word, _, reason = text.strip().partition("\n")
    match word.strip():
        case "active" | "archived" | "deprecated" | "quarantined" as status:
            return status, reason.strip()
        case _:
            return "quarantined", f"the status key says {word[:40]!r}, which is no project status"
