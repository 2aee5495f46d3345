"""What the index is made of: records, and the project that they add up to.

The store (bucket or folder) is the truth. Every key in it that means something (``core/keys.py``) has one record:
a :class:`File` or a :class:`Decision`. An index stores records and knows nothing about how they combine: that is
:func:`assemble`, for all implementations alike.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import quote

from packaging.utils import NormalizedName, canonicalize_version
from packaging.version import Version

from elasticpypi.core import blocks
from elasticpypi.core.blocks import Block
from elasticpypi.core.filename import parse_stored
from elasticpypi.core.keys import SIDECARS, Decided, Status


@dataclass(frozen=True, slots=True)
class File:
    """One distribution in the store.

    ``version`` is normalized (PEP 440), ``size`` in bytes, ``sha256`` lower-case hex, ``upload_time``
    UTC as ``2026-01-31T12:00:00.000000Z`` (PEP 700), ``revision`` the store's mark of these very
    bytes, ``metadata_sha256`` the digest of the core metadata file if one can be served (PEP 658),
    ``uploader`` the user who uploaded it if the store knows, ``form`` that of what is kept of its core metadata for
    pages (``about.py``), ``checked`` 1 if an upload was held against the other files of the project, ``yanked`` the
    reason (may be empty) or None (PEP 592), ``blocked`` why it is not served or None.
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
    blocked: str | None = None

    @property
    def filename(self) -> str:
        """The last part of the key: what pip calls the file."""
        return self.key.rpartition("/")[2]

    @property
    def address(self) -> str:
        """Where it is served, below the home page."""
        return f"packages/{quote(self.filename, safe='')}"  # REQ-31: + and ! are encoded

    @property
    def ours(self) -> bool:
        """Whether it lies in our store, so that we know what is in it."""
        return True


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a file or a project.

    ``kind`` is one of ``keys.SIDECARS``, or ``blocks.KIND`` for all blocks of a project; ``text`` is the content of its
    key as pages may show it, ``by`` who made it at ``at`` (UTC, ``2026-12-01T12:00:00Z``); both are None where the key
    does not say so, and an index need not keep them.
    """

    key: str
    project: NormalizedName
    kind: str
    text: str
    revision: str
    by: str | None = None
    at: str | None = None

    @property
    def subject(self) -> str:
        """The key (of a file) or the name (of a project) that the decision is about."""
        return self.key.rpartition(".")[0]


Record = File | Decision


MALWARE = "malware"  # the rule of a file that a record names
BLOCKS = "block", MALWARE  # the rules that the policy does not weaken


class Held(NamedTuple):
    """A file of another index that may not be seen yet: ``until`` is when it may, in seconds since 1970.

    None: the clock alone changes nothing. ``reason`` is a sentence with the remedy, ``rule`` one word for it;
    ``advisory`` is the id of the record that says it is malware.
    """

    file: File
    until: float | None
    reason: str
    rule: str
    advisory: str = ""


@dataclass(frozen=True, slots=True)
class Project:
    """A project as its page shows it.

    ``serial`` grows with every change of the project and never repeats, also across a rebuilt index.
    ``files`` are ordered by version and file name; of several keys with one file name only one is
    here. ``deleted`` maps file names to the sha256 that they had, ``tombstones`` are the keys of these files.
    ``blocks`` are those about the project, its releases, and files that it has. ``upstream`` is the other index that it
    comes from, "" if it is ours, and ``held`` is what may not be seen of it; ``trouble`` is why that may be old.
    """

    name: NormalizedName
    serial: int
    files: tuple[File, ...] = ()
    deleted: Mapping[str, str] = field(default_factory=dict)
    status: Status = "active"
    status_reason: str = ""
    tombstones: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    upstream: str = ""
    held: tuple[Held, ...] = ()
    trouble: str = ""

    @property
    def listed(self) -> tuple[File, ...]:
        """The files that installers may see: none of a quarantined project (PEP 792), none that is blocked."""
        if self.status == "quarantined":
            return ()
        return tuple(file for file in self.files if file.blocked is None) if self.blocks else self.files

    @property
    def blocked(self) -> Block | None:
        """The block of the whole project, if there is one."""
        return blocks.whole(self.blocks)

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
    decided = Decided()
    blocked: tuple[Block, ...] = ()
    for record in records:
        if isinstance(record, File):
            other = winners.get(record.filename)
            if other is None or precedence(record.key) < precedence(other.key):
                winners[record.filename] = record
        elif record.kind == blocks.KIND:
            blocked = blocks.load(record.text)
        else:
            SIDECARS[record.kind].decide(decided, record.subject, record.text)
    yanked = decided.yanked
    canonical = {text: canonicalize_version(text) for text in {file.version for file in winners.values()}}
    names = _spelled_alike(_names(winners.values(), canonical), canonical)
    files = (replace(file, yanked=yanked[file.key]) if file.key in yanked else file for file in names)
    texts = sorted({file.version for file in names})  # in every process alike
    versions = sorted(texts, key=Version)
    ranks = {version: rank for rank, version in enumerate(versions)}
    ordered = tuple(sorted(files, key=lambda file: (ranks[file.version], file.filename)))
    if blocked:
        ordered = tuple(marked(file, blocked) for file in ordered)
    tombstones = tuple(sorted(decided.tombstones))
    return Project(name, serial, ordered, decided.deleted, decided.status, decided.reason, tombstones, blocked)


def marked(file: File, among: tuple[Block, ...]) -> File:
    """A file with the reason why it is blocked, if it is."""
    block = blocks.about(among, file)
    return replace(file, blocked=block.reason) if block else file


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


def latest(project: Project) -> Version:
    """The version that people mean: the highest that is no pre-release and not wholly yanked, if there is one."""
    alive = {file.version for file in project.listed if file.yanked is None}
    versions = set(map(Version, alive or project.versions))
    return max({version for version in versions if not version.is_prerelease} or versions)


def of_version(project: Project, version: Version) -> list[File]:
    """The listed files of a release."""
    spelled = {text for text in project.versions if Version(text) == version}
    return [file for file in project.listed if file.version in spelled]


def described(project: Project, version: Version) -> File | None:
    """The file whose core metadata describe a version: a wheel if there is one."""
    files = of_version(project, version)
    return min(files, key=lambda file: (not file.filename.endswith(".whl"), file.filename), default=None)


def held_of(project: Project, version: str) -> Held | None:
    """Why a release of another index may not be seen, in any spelling of its version, if it is held."""
    wanted = canonicalize_version(version[:80])
    return next((held for held in project.held if canonicalize_version(held.file.version) == wanted), None)


def why_nothing(project: Project) -> str:
    """Why nothing may be seen of a project that is not ours, "" if that is not so, or if it has no files there."""
    if not project.files and project.status == "quarantined":  # one of ours that is has files
        return project.status_reason
    return project.held[0].reason if project.held and not project.files else ""


def block_of(project: Project, version: str) -> Block | None:
    """Why a release is not there, in any spelling of its version, if that is a block."""
    text = version[:80]
    wanted = canonicalize_version(text)
    hidden = (file for file in project.files if file.blocked is not None)
    gone = next((file for file in hidden if canonicalize_version(file.version) == wanted), None)
    return blocks.about(project.blocks, gone) if gone else blocks.of(project.blocks, text, "")
