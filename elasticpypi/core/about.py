"""Core metadata → what pages say of a release: parsed once, when a file is indexed, and kept beside its record.

Whatever the metadata say, there is a page: what cannot be read is left out, each property by itself, and what is
long is cut and says how much more there is. So it is plain data of a bounded size, which JSON holds as it is.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from email.utils import getaddresses
from typing import Any, Generic, TypedDict, TypeVar, cast
from urllib.parse import urlsplit

from packaging.metadata import RawMetadata
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from elasticpypi.core import metadata
from elasticpypi.core.errors import BadUpload
from elasticpypi.core.filename import LONGEST

T = TypeVar("T")

FORM = 1  # of what is kept: another number makes the next audit build it anew
# Of a list, so many are kept at most, and so many bytes of JSON.
MOST_WORDS, MOST_LINKS, MOST_PEOPLE, MOST_EXTRAS, MOST_NEEDS, MOST_REQUIRES = 100, 50, 50, 200, 300, 500
LONGEST_LIST = 24_000
LARGEST_INFO = 150_000  # bytes of JSON of all fields that programs get as they are
LONGEST_LINE = 512  # characters
LONGEST_URL = 2000
LONGEST_LICENCE = 100  # older packages have the whole text of it in the field
ADDRESS = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+")
EXTRA = re.compile(r'extra == "([^"]+)"')
MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
VARIANT = re.compile(r';\s*variant\s*=\s*"?(GFM|CommonMark)"?\s*(?:;|$)', re.IGNORECASE)
INFO = (
    *("author", "author_email", "classifiers", "description_content_type", "home_page", "license"),
    *("license_expression", "maintainer", "maintainer_email", "project_urls", "provides_extra", "requires_dist"),
    *("requires_python", "summary"),
)


class Some(TypedDict, Generic[T]):
    """The first of a list, and how many ``more`` there are."""

    shown: list[T]
    more: int


class Person(TypedDict):
    """Who made something: either may be empty."""

    name: str
    address: str


class Link(TypedDict):
    """A link of the metadata; ``url`` is empty where it leads nowhere a browser should go."""

    label: str
    url: str


class Classifier(TypedDict):
    """A classifier by its first part."""

    group: str
    value: str


class Need(TypedDict):
    """A dependency: the extra that asks for it or "", the project, how it is spelled, and the rest of the line."""

    extra: str
    name: NormalizedName
    spelled: str
    rest: str


class About(TypedDict):
    """What pages and lists say of a release; ``info`` are fields as they stand, for programs.

    Of ``info``, a field that is longer than there is room is missing: half of a list would be wrong.
    ``requires`` are the projects that are depended on, each once, without names that no project can have.
    """

    name: str
    summary: str
    requires_python: str
    licence: str
    content_type: str
    authors: Some[Person]
    maintainers: Some[Person]
    links: Some[Link]
    keywords: Some[str]
    extras: Some[str]
    classifiers: Some[Classifier]
    needs: Some[Need]
    requires: Some[NormalizedName]
    info: dict[str, Any]


def parse(core: bytes | None) -> About:
    """The bytes of METADATA or PKG-INFO, whatever they are; nothing is said by None."""
    try:
        return of(metadata.read(core)[0] if core else RawMetadata())
    except BadUpload:
        return of(RawMetadata())


def of(raw: RawMetadata) -> About:
    """Core metadata that were read (``metadata.read``), whatever they say."""
    about = {name: _one(make, raw) for name, make in PROPERTIES.items()}
    needs = _one(_needs, raw)
    names = sorted({need["name"] for need in needs if len(need["name"]) <= LONGEST})
    return cast(About, {**about, "needs": _some(needs, MOST_NEEDS), "requires": _some(names, MOST_REQUIRES)})


def _one(make: Callable[[RawMetadata], T], raw: RawMetadata) -> T:
    try:
        return make(raw)
    except Exception:  # whatever a text does to a parser, the others are shown
        return make(RawMetadata())


def dump(about: About) -> bytes:
    """As it is kept."""
    return json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()


def _name(raw: RawMetadata) -> str:
    return _line(raw.get("name", ""))


def _summary(raw: RawMetadata) -> str:
    return _line(raw.get("summary", ""))


def _requires_python(raw: RawMetadata) -> str:
    return _line(raw.get("requires_python", ""))


def _licence(raw: RawMetadata) -> str:
    """An expression (PEP 639), else the old field if it is short, else what the classifiers say."""
    if expression := _line(raw.get("license_expression", "")):
        return expression
    text = raw.get("license", "").strip()
    if text and "\n" not in text and len(text) <= LONGEST_LICENCE:
        return _line(text)
    classified = (each.split(" :: ") for each in raw.get("classifiers", []))
    return _line(", ".join(parts[-1] for parts in classified if parts[0] == "License" and len(parts) > 1))


def _content_type(raw: RawMetadata) -> str:
    """Media type and variant of the description, "" if none is given: all that rendering asks for (PEP 566)."""
    text = " ".join(raw.get("description_content_type", "")[:LONGEST_LINE].split())
    if not text:
        return ""
    media_type = text.partition(";")[0].strip().lower()
    variant = VARIANT.search(text)
    plain = media_type if MEDIA_TYPE.fullmatch(media_type) else "text/plain"
    return f"{plain}; variant={variant[1]}" if variant else plain


def _authors(raw: RawMetadata) -> Some[Person]:
    return _people(raw.get("author", ""), raw.get("author_email", ""))


def _maintainers(raw: RawMetadata) -> Some[Person]:
    return _people(raw.get("maintainer", ""), raw.get("maintainer_email", ""))


def _people(names: str, addresses: str) -> Some[Person]:
    """``Author`` and ``Author-Email``, which may have the name in it, or several people (core metadata)."""
    try:
        listed = getaddresses([" ".join(addresses.split())])
    except (RecursionError, ValueError):  # comments in comments
        listed = []
    people = [Person(name=_line(name), address=_address(address)) for name, address in listed]
    people = [person for person in people if person["name"] or person["address"]]
    alone = _line(names)
    if alone and alone != "UNKNOWN" and alone not in (person["name"] for person in people):
        if len(people) == 1 and not people[0]["name"]:
            people[0]["name"] = alone
        else:
            people.insert(0, Person(name=alone, address=""))
    return _some(people, MOST_PEOPLE)


def _address(text: str) -> str:
    return text if ADDRESS.fullmatch(text) and text.isprintable() and len(text) <= LONGEST_LINE else ""


def _links(raw: RawMetadata) -> Some[Link]:
    """Home page, download and project URLs, each address once."""
    known = {"Homepage": raw.get("home_page", ""), "Download": raw.get("download_url", "")}
    found: dict[str, Link] = {}
    for label, url in [*raw.get("project_urls", {}).items(), *known.items()]:
        if url and url != "UNKNOWN":
            link = Link(label=_line(label) or _line(url), url=url if _leads_somewhere(url) else "")
            found.setdefault(url, link)
    return _some(found.values(), MOST_LINKS)


def _leads_somewhere(url: str) -> bool:
    if len(url) > LONGEST_URL or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _keywords(raw: RawMetadata) -> Some[str]:
    return _some(filter(None, map(_line, raw.get("keywords", []))), MOST_WORDS)


def _extras(raw: RawMetadata) -> Some[str]:
    return _some(sorted(set(map(_line, raw.get("provides_extra", [])))), MOST_EXTRAS)


def _classifiers(raw: RawMetadata) -> Some[Classifier]:
    parts = sorted({_line(each).partition(" :: ")[::2] for each in raw.get("classifiers", [])})
    return _some((Classifier(group=group, value=rest or group) for group, rest in parts), MOST_WORDS)


def _needs(raw: RawMetadata) -> list[Need]:
    """Dependencies by the extra that asks for them; those that are always there come first."""
    found = []
    for line in raw.get("requires_dist", []):
        if len(line) > metadata.LONGEST_REQUIRES_DIST or line.count("(") > metadata.MOST_PARENTHESES:
            continue
        try:
            found.append(_need(Requirement(line)))
        except (InvalidRequirement, ValueError, RecursionError):
            continue
    return sorted(found, key=lambda need: need["extra"])


def _need(requirement: Requirement) -> Need:
    extra, marker = _extra(str(requirement.marker or ""))
    requirement.marker = None
    rest = f"{str(requirement)[len(requirement.name) :].strip()} {marker and f'; {marker}'}".strip()
    name = canonicalize_name(requirement.name)
    return Need(extra=_line(extra), name=name, spelled=_line(requirement.name), rest=_line(rest))


def _extra(marker: str) -> tuple[str, str]:
    """A marker → the extra that it asks for, "" if none, and the rest of it."""
    extras = EXTRA.findall(marker)
    if len(extras) == 1 and " or " not in marker:
        kept = (part for part in marker.split(" and ") if not EXTRA.fullmatch(part.strip("()")))
        return extras[0], " and ".join(kept)
    return (extras[0] if extras else ""), marker


def _info(raw: RawMetadata) -> dict[str, Any]:
    """The shortest first, for as long as there is room."""
    fields: dict[str, Any] = {field: raw[field] for field in INFO if field in raw}  # type: ignore[literal-required]
    if "keywords" in raw:
        fields["keywords"] = ",".join(raw["keywords"])
    kept, room = {}, LARGEST_INFO
    for weight, field in sorted((_weight(value), field) for field, value in fields.items()):
        room -= weight
        if room >= 0:
            kept[field] = fields[field]
    return kept


PROPERTIES: Mapping[str, Callable[[RawMetadata], Any]] = {
    "name": _name,
    "summary": _summary,
    "requires_python": _requires_python,
    "licence": _licence,
    "content_type": _content_type,
    "authors": _authors,
    "maintainers": _maintainers,
    "links": _links,
    "keywords": _keywords,
    "extras": _extras,
    "classifiers": _classifiers,
    "info": _info,
}


def _some(values: Iterable[T], most: int) -> Some[T]:
    """The first ``most``, as far as there is room, and the number of all others."""
    listed, shown, room = list(values), [], LONGEST_LIST
    for value in listed[:most]:
        room -= _weight(value)
        if room < 0:
            break
        shown.append(value)
    return Some(shown=shown, more=len(listed) - len(shown))


def _weight(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode()) + 1


def _line(text: str) -> str:
    """In one line, without what cannot be printed, and cut where it is long."""
    plain = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return plain if len(plain) <= LONGEST_LINE else f"{plain[: LONGEST_LINE - 1]}…"
