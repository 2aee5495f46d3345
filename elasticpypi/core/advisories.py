"""Advisories: OSV records (osv-schema 1.7) → one compact table → what they say of a file (REQ-U57, U58).

Everything here is pure. A record whose id begins with ``MAL-`` says that something is malware; all others tell of a
hole. The table is gzip: a line of JSON about all of it, then a line for each project with what is known of it.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from packaging.utils import InvalidName, NormalizedName, canonicalize_name, canonicalize_version
from packaging.version import Version

from elasticpypi.core.errors import BadUpload
from elasticpypi.core.event import clean
from elasticpypi.core.moments import seconds_of, text_of

KEY = "advisories/table"  # of the object that has the table
ACCEPTED = "policy/acceptances/"
FORMAT = 1
LARGEST = 64 * 1024 * 1024  # bytes of a table that is not compressed
ECOSYSTEM, SCHEMA = "PyPI", "1.7.0"
MALWARE, DRAFTS = "MAL-", "MAL-0000-"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{64}")
LONGEST_LINK = 500
DAY = 24 * 3600
OLD = 7 * DAY  # there is new malware every day
KINDS = {"fixed": "f", "introduced": "i", "last_affected": "a", "limit": "l"}  # in this order at one version
BEGIN = "0"  # is before every version


class BadRecord(Exception):
    """It is no record of OSV; the text says why, in half a sentence."""


class BadTable(Exception):
    """It is no table of ours, or of another version of the program; the text says so, in a sentence."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """What a record says of one project, since the moment ``modified``. ``versions`` are canonical; ``ranges`` has of
    each range its events, as (kind, version) in their order; ``digests`` are sha256 of files. ``summary`` is one line.
    """

    id: str
    modified: str = ""
    summary: str = ""
    link: str = ""
    aliases: tuple[str, ...] = ()
    versions: frozenset[str] = frozenset()
    ranges: tuple[tuple[tuple[str, str], ...], ...] = ()
    digests: frozenset[str] = frozenset()

    @property
    def malware(self) -> bool:
        """Whether it says that something is malware, and not only that it has a hole."""
        return self.id.startswith(MALWARE)

    @property
    def fixed(self) -> list[str]:
        """The versions that mend it, the oldest first."""
        return sorted({version for events in self.ranges for kind, version in events if kind == "f"}, key=_parsed)

    def affects(self, version: str, sha256: str = "") -> bool:
        """Whether it is about a version, or a file of it."""
        if sha256 in self.digests or (self.versions and _canonical(version) in self.versions):
            return True
        return any(_within(_parsed(version), events) for events in self.ranges)


class Known(NamedTuple):
    """What is known of a project: all advisories, those of malware, and canonical versions that mend a hole."""

    every: tuple[Advisory, ...] = ()
    malware: tuple[Advisory, ...] = ()
    fixed: frozenset[str] = frozenset()


NOTHING = Known()


@dataclass(frozen=True, slots=True)
class About:
    """Of a table: when it was ``loaded`` and ``by`` whom, and when the ``newest`` record was changed (moments, UTC)."""

    loaded: str
    by: str
    newest: str
    records: int
    malware: int
    projects: int
    digest: str  # of what is in it, whoever loaded it
    event: Any = None  # the one that tells of it, so that none is lost


class Advisories:
    """A table that was loaded; ``about`` is None where there is none. ``mark`` differs whenever its content does.

    Each process has one, so it stays one text, whose lines begin at ``begin`` and are sorted by project.
    """

    def __init__(self, about: About | None = None, text: bytes = b"", begin: int = 0) -> None:
        self.about = about
        self.mark = about.digest if about else ""
        self._text, self._begin = text, begin
        self.of = lru_cache(256)(self._of)

    def _of(self, name: NormalizedName) -> Known:
        """What is known of a project."""
        line = self._line(name.encode())
        if not line:
            return NOTHING
        every = tuple(_loaded(fields) for fields in json.loads(line))
        fixed = frozenset(canonicalize_version(version) for each in every for version in each.fixed)
        return Known(every, tuple(each for each in every if each.malware), fixed)

    def projects_of(self, record: str) -> list[NormalizedName]:
        """The projects that a record is about."""
        sought, found = json.dumps(record).encode(), []
        place = self._text.find(sought, self._begin)
        while place >= 0:
            begin, end = self._around(place)
            name = NormalizedName(self._text[begin:end].partition(b"\t")[0].decode())
            if any(each.id == record for each in self.of(name).every):  # it may be an alias of another one
                found.append(name)
            place = self._text.find(sought, end)
        return found

    def _line(self, name: bytes) -> bytes:
        """The line of a project without its name, empty if it has none."""
        low, high = self._begin, len(self._text)
        while low < high:
            begin, end = self._around((low + high) // 2)
            found, _, line = self._text[begin:end].partition(b"\t")
            if found == name:
                return line
            low, high = (end + 1, high) if found < name else (low, begin)
        return b""

    def _around(self, place: int) -> tuple[int, int]:
        """Where the line begins and ends that has this place."""
        return self._text.rfind(b"\n", 0, place) + 1, self._text.find(b"\n", place)


NONE = Advisories()


class Collected:
    """Records on their way into a table. Of two with one id, the one that was changed later counts."""

    def __init__(self) -> None:
        self._found: dict[NormalizedName, dict[str, tuple[str, str]]] = {}
        self._newest = ""
        self._size = 0

    def add(self, record: object, now: float) -> bool:
        """Take a record; whether it says anything about a project of PyPI. :class:`BadRecord` if it is none.

        What is said to be changed after ``now`` makes no table younger.
        """
        modified, known = read(record)
        for name, advisory in known.items():
            of_it = self._found.setdefault(name, {})
            if modified < of_it.get(_id(record), ("", ""))[0]:
                continue
            text = json.dumps(_dumped(advisory), separators=(",", ":")) if advisory else ""
            self._size += len(text)
            if self._size > LARGEST:
                raise BadRecord(f"with it, they are more than {LARGEST >> 20} MB")
            of_it[_id(record)] = modified, text
        if known and modified <= text_of(now):
            self._newest = max(self._newest, modified)
        return bool(known)

    def about(self) -> About:
        """What is there so far; nobody has loaded it yet."""
        alive = {name: found for name, of_it in self._found.items() if (found := _alive(of_it))}
        ids = {record for found in alive.values() for record in found}
        malware = sum(record.startswith(MALWARE) for record in ids)
        digest = hashlib.sha256()
        for line in self._lines():
            digest.update(line)
        return About("", "", self._newest, len(ids), malware, len(alive), digest.hexdigest())

    def dump(self, about: About) -> bytes:
        """The table; equal for equal records and the same ``about``."""
        packer = zlib.compressobj(6, wbits=31)
        head = json.dumps({"format": FORMAT, **asdict(about)}).encode() + b"\n"
        return b"".join([packer.compress(head), *map(packer.compress, self._lines()), packer.flush()])

    def _lines(self) -> Iterator[bytes]:
        for name in sorted(self._found):
            if alive := _alive(self._found[name]):
                yield f"{name}\t[{','.join(alive[record] for record in sorted(alive))}]\n".encode()


def load(body: bytes) -> Advisories:
    """A table as it was stored; :class:`BadTable` if it cannot be read."""
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(body, LARGEST * 2)
        if not unpacker.eof:
            raise ValueError("a part of it is missing")
        begin = text.find(b"\n") + 1
        about = json.loads(text[:begin])
        if about.pop("format") != FORMAT:
            raise ValueError("it is of another version")
        if not text.endswith(b"\n"):
            raise ValueError("a part of it is missing")
        return Advisories(About(**about), text, begin)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, zlib.error) as error:
        raise BadTable(f"The advisories cannot be read ({error}): load them again.") from None


def too_old(about: About, now: float) -> str:
    """What administrators are told of advisories that are old: a sentence, "" if they are not."""
    days = int((now - seconds_of(about.newest)) // DAY)
    if days * DAY < OLD:
        return ""
    return f"The advisories are {days} days old: load newer ones with elasticpypi advisories load."


# ---- Records


def read(record: object) -> tuple[str, dict[NormalizedName, Advisory | None]]:
    """A record → when it was changed, and what it says of each project of PyPI; None: nothing any more.

    :class:`BadRecord` if it is none.
    """
    if not isinstance(record, dict) or not ID.fullmatch(_text(record, "id")):
        raise BadRecord('it has no "id"')
    try:
        changed = datetime.fromisoformat(_text(record, "modified"))
        modified = text_of(changed.replace(tzinfo=changed.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        raise BadRecord('"modified" is no moment') from None
    found: dict[NormalizedName, Advisory | None] = {}
    if record["id"].startswith(DRAFTS):
        return modified, found
    for affected in _dicts(record, "affected"):
        package = affected.get("package")
        if not isinstance(package, dict) or package.get("ecosystem") != ECOSYSTEM:
            continue
        try:
            name = canonicalize_name(_text(package, "name"), validate=True)
        except InvalidName:
            continue  # no index has such a project
        before = found.get(name) or _described(record, modified)
        found[name] = None if record.get("withdrawn") else _joined(before, affected)
    if not found or record.get("withdrawn"):
        return modified, found
    everywhere = _digests(record)
    return modified, {name: replace(each, digests=each.digests | everywhere) for name, each in found.items() if each}


def _described(record: dict[str, Any], modified: str) -> Advisory:
    summary = clean(_text(record, "summary") or _text(record, "details"))
    aliases = tuple(each for each in _list(record, "aliases") if isinstance(each, str) and ID.fullmatch(each))
    links = {_text(each, "type"): _text(each, "url") for each in reversed(_dicts(record, "references"))}
    link = links.get("ADVISORY") or links.get("REPORT") or links.get("WEB") or ""
    fine = link.startswith(("https://", "http://")) and link.isprintable() and len(link) <= LONGEST_LINK
    return Advisory(record["id"], modified, summary, link if fine else "", aliases)


def _joined(known: Advisory, affected: dict[str, Any]) -> Advisory:
    """With what one more entry says; versions that are within a range are not kept one by one."""
    ranges = [
        events
        for each in _dicts(affected, "ranges")
        if each.get("type") == "ECOSYSTEM" and (events := _events(_dicts(each, "events")))
    ]
    versions = {version for text in _list(affected, "versions") if (version := _version(text))}
    alone = {canonicalize_version(each) for each in versions if not any(_within(each, events) for events in ranges)}
    return replace(
        known,
        versions=known.versions | alone,
        ranges=(*known.ranges, *ranges),
        digests=known.digests | _digests(affected),
    )


def _events(said: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    """The events of a range in their order. What cannot be read never makes a range smaller."""
    found: list[tuple[str, str]] = []
    for each in said:
        for kind, letter in KINDS.items():
            if kind not in each:
                continue
            version = _version(each[kind])
            if letter == "i":
                found.append((letter, BEGIN if each[kind] == BEGIN or version is None else str(version)))
            elif version is not None:
                found.append((letter, str(version)))
    order = "".join(KINDS.values())
    found.sort(key=lambda event: (event != ("i", BEGIN), _parsed(event[1]), order.index(event[0])))
    return tuple(found) if any(kind == "i" for kind, _ in found) else ()


def _within(version: Version, events: Iterable[tuple[str, str]]) -> bool:
    """Whether a version is in a range, as OSV evaluates it."""
    inside, limits = False, []
    for kind, text in events:
        if kind == "l":
            limits.append(_parsed(text))
        elif kind == "i":
            inside = inside or text == BEGIN or version >= _parsed(text)
        elif kind == "f":
            inside = inside and version < _parsed(text)
        else:
            inside = inside and version <= _parsed(text)
    return inside and (not limits or any(version < limit for limit in limits))


def _digests(part: dict[str, Any]) -> frozenset[str]:
    """The sha256 of files that reporters have found to be malware."""
    found = set()
    specific = part.get("database_specific")
    indicators = specific.get("indicators") if isinstance(specific, dict) else None
    for each in _dicts(indicators, "package_integrity"):
        hashes = each.get("hashes")
        digest = _text(hashes, "sha256").lower() if isinstance(hashes, dict) else ""
        if DIGEST.fullmatch(digest):
            found.add(digest)
    return frozenset(found)


def _id(record: Any) -> str:
    return str(record["id"])


def _alive(of_it: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {record: text for record, (_, text) in of_it.items() if text}


def _dumped(each: Advisory) -> list[Any]:
    lists = sorted(each.versions), each.ranges, sorted(each.digests)
    return [each.id, each.modified, each.summary, each.link, each.aliases, *lists]


def _loaded(fields: list[Any]) -> Advisory:
    id_, modified, summary, link, aliases, versions, ranges, digests = fields
    events = tuple(tuple((kind, version) for kind, version in each) for each in ranges)
    return Advisory(id_, modified, summary, link, tuple(aliases), frozenset(versions), events, frozenset(digests))


def _version(text: object) -> Version | None:
    """A version as PEP 440 has it, None for any other."""
    try:
        return _parsed(text) if isinstance(text, str) and len(text) < 100 else None
    except ValueError:  # InvalidVersion, or a number with thousands of digits
        return None


@lru_cache(20_000)
def _parsed(text: str) -> Version:
    return Version(text)


@lru_cache(20_000)
def _canonical(version: str) -> str:
    return canonicalize_version(version)


def _list(part: object, key: str) -> list[Any]:
    found = part.get(key) if isinstance(part, dict) else None
    return found if isinstance(found, list) else []


def _dicts(part: object, key: str) -> list[dict[str, Any]]:
    return [each for each in _list(part, key) if isinstance(each, dict)]


def _text(part: dict[str, Any], key: str) -> str:
    found = part.get(key)
    return found if isinstance(found, str) else ""


def as_record(known: Mapping[NormalizedName, Advisory]) -> dict[str, Any]:
    """What is known of one record, by project → a record of OSV again, as far as it was kept."""
    one = next(iter(known.values()))
    names = {letter: kind for kind, letter in KINDS.items()}
    return {
        "schema_version": SCHEMA,
        "id": one.id,
        "modified": one.modified,
        "summary": one.summary,
        "aliases": list(one.aliases),
        "references": [{"type": "ADVISORY", "url": one.link}] if one.link else [],
        "affected": [
            {
                "package": {"ecosystem": ECOSYSTEM, "name": name},
                "versions": sorted(each.versions),
                "ranges": [
                    {"type": "ECOSYSTEM", "events": [{names[letter]: version} for letter, version in events]}
                    for events in each.ranges
                ],
            }
            for name, each in known.items()
        ],
    }


# ---- Acceptances


class Acceptance(NamedTuple):
    """An administrator lets a file in although a record says that it is malware: a ruling whose value is its id."""

    record: str
    sha256: str
    reason: str = ""
    by: str = ""
    at: str = ""

    def __str__(self) -> str:
        return f"{self.record} for sha256:{self.sha256}"

    @property
    def key(self) -> str:
        """The key of its object."""
        return f"{ACCEPTED}{self.record}=sha256={self.sha256}"


def acceptance(record: str, digest: str) -> Acceptance:
    """``MAL-2026-1`` and ``sha256:<64 hex>``; :class:`BadUpload` says what they have to be."""
    record, sha256 = record.strip(), digest.strip().lower().removeprefix("sha256:")
    if not ID.fullmatch(record) or not record.startswith(MALWARE):
        raise BadUpload(f"{record[:80]!r} is no record of malware: their ids begin with MAL-, such as MAL-2026-1.")
    if not DIGEST.fullmatch(sha256):
        raise BadUpload(f"{digest[:80]!r} is no digest: give sha256: and 64 hexadecimal digits.")
    return Acceptance(record, sha256)


def of_key(key: str) -> Acceptance | None:
    """The key of an object → what it accepts, None if it is none of these."""
    record, _, sha256 = key.removeprefix(ACCEPTED).partition("=sha256=")
    try:
        return acceptance(record, sha256) if key.startswith(ACCEPTED) else None
    except BadUpload:
        return None
