"""A project and the core metadata of one of its releases → what its page says of them. Everything here is pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import getaddresses
from functools import cached_property
from urllib.parse import quote, urlsplit

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from elasticpypi import json_api
from elasticpypi.model import File, Project

LONGEST_LICENCE = 100  # older packages have the whole text of it in the field
ADDRESS = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+")
EXTRA = re.compile(r'extra == "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Download:
    """A file; ``address`` is relative to ``packages/``, ``tags`` are those of a wheel: Python, ABI, platform."""

    file: File
    address: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """A version with its files; ``time`` is when it appeared, ``yanked`` the reason if all of its files are."""

    version: str
    time: str
    downloads: tuple[Download, ...]
    prerelease: bool
    yanked: str | None

    @property
    def address(self) -> str:
        """The last part of the address of its page."""
        return quote(self.version, safe="")


@dataclass(frozen=True, slots=True)
class Person:
    """Who made something: either may be empty."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the metadata; ``url`` is empty where it leads nowhere a browser should go."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Need:
    """A dependency: the project, how it is spelled, and the rest of the line."""

    name: NormalizedName
    spelled: str
    rest: str


@dataclass(frozen=True)
class About:
    """What the core metadata of a release say, as people read it."""

    raw: RawMetadata

    @classmethod
    def parse(cls, metadata: bytes) -> "About":
        """The bytes of METADATA or PKG-INFO; nothing is said by b""."""
        return cls(parse_email(metadata)[0])

    @property
    def summary(self) -> str:
        return _line(self.raw.get("summary", ""))

    @property
    def description(self) -> str:
        return self.raw.get("description", "").strip("\n")

    @property
    def content_type(self) -> str:
        return self.raw.get("description_content_type", "")

    @property
    def requires_python(self) -> str:
        return _line(self.raw.get("requires_python", ""))

    @property
    def licence(self) -> str:
        """An expression (PEP 639), else the old field if it is short, else what the classifiers say."""
        if expression := _line(self.raw.get("license_expression", "")):
            return expression
        text = self.raw.get("license", "").strip()
        if text and "\n" not in text and len(text) <= LONGEST_LICENCE:
            return text
        classified = (each.split(" :: ") for each in self.raw.get("classifiers", []))
        return ", ".join(parts[-1] for parts in classified if parts[0] == "License" and len(parts) > 1)

    @property
    def people(self) -> list[tuple[str, list[Person]]]:
        """Authors and maintainers, under their titles."""
        authors = _people(self.raw.get("author", ""), self.raw.get("author_email", ""))
        maintainers = _people(self.raw.get("maintainer", ""), self.raw.get("maintainer_email", ""))
        return [(title, found) for title, found in (("Authors", authors), ("Maintainers", maintainers)) if found]

    @property
    def links(self) -> list[Link]:
        """Home page, download and project URLs, each address once."""
        known = {"Homepage": self.raw.get("home_page", ""), "Download": self.raw.get("download_url", "")}
        found: dict[str, Link] = {}
        for label, url in [*self.raw.get("project_urls", {}).items(), *known.items()]:
            if url and url != "UNKNOWN":
                found.setdefault(url, Link(_line(label) or url, url if _leads_somewhere(url) else ""))
        return list(found.values())

    @property
    def keywords(self) -> list[str]:
        return list(filter(None, map(_line, self.raw.get("keywords", []))))

    @property
    def extras(self) -> list[str]:
        return sorted(set(map(_line, self.raw.get("provides_extra", []))))

    @property
    def classifiers(self) -> list[tuple[str, list[str]]]:
        """Classifiers by their first part."""
        groups: dict[str, list[str]] = {}
        for classifier in self.raw.get("classifiers", []):
            group, _, rest = _line(classifier).partition(" :: ")
            groups.setdefault(group, []).append(rest or group)
        return sorted((group, sorted(set(each))) for group, each in groups.items())

    @cached_property
    def needs(self) -> list[tuple[str, list[Need]]]:
        """Dependencies by the extra that asks for them; those that are always there come first, under ""."""
        groups: dict[str, list[Need]] = {}
        for line in self.raw.get("requires_dist", []):
            try:
                requirement = Requirement(line)
            except (InvalidRequirement, ValueError, RecursionError):
                continue
            extra, marker = _extra(str(requirement.marker or ""))
            requirement.marker = None
            rest = f"{str(requirement)[len(requirement.name) :].strip()} {marker and f'; {marker}'}".strip()
            need = Need(canonicalize_name(requirement.name), requirement.name, rest)
            groups.setdefault(extra, []).append(need)
        return sorted(groups.items())

    @property
    def needed(self) -> list[NormalizedName]:
        """Every project that is depended on, once."""
        return list(dict.fromkeys(need.name for _, needs in self.needs for need in needs))


def releases(project: Project) -> list[Release]:
    """The releases that installers may see, newest version first. Spellings of one version are one."""
    groups: dict[Version, list[File]] = {}
    for file in project.listed:
        groups.setdefault(Version(file.version), []).append(file)
    return [_release(version, groups[version]) for version in sorted(groups, reverse=True)]


def _release(version: Version, files: list[File]) -> Release:
    yanked = all(file.yanked is not None for file in files)
    return Release(
        version=files[0].version,
        time=min(file.upload_time for file in files),
        downloads=tuple(Download(file, quote(file.filename, safe=""), _tags(file.filename)) for file in files),
        prerelease=version.is_prerelease,
        yanked=(files[0].yanked or "") if yanked else None,
    )


def find(found: Iterable[Release], project: Project, version: str) -> Release | None:
    """The release of a version in any spelling, of the version that people mean for ""; None if there is none."""
    try:
        wanted = Version(version) if version else json_api.latest(project)
    except ValueError:  # InvalidVersion, or a number with thousands of digits
        return None
    return next((release for release in found if Version(release.version) == wanted), None)


def _extra(marker: str) -> tuple[str, str]:
    """A marker → the extra that it asks for, "" if none, and the rest of it."""
    extras = EXTRA.findall(marker)
    if len(extras) == 1 and " or " not in marker:
        kept = (part for part in marker.split(" and ") if not EXTRA.fullmatch(part.strip("()")))
        return extras[0], " and ".join(kept)
    return (extras[0] if extras else ""), marker


def _tags(filename: str) -> tuple[str, ...]:
    return tuple(filename.removesuffix(".whl").split("-")[-3:]) if filename.endswith(".whl") else ()


def _people(names: str, addresses: str) -> list[Person]:
    """``Author`` and ``Author-Email``, which may have the name in it, or several people (core metadata)."""
    listed = [(_line(name), address) for name, address in getaddresses([_line(addresses)])]
    people = [Person(name, address if ADDRESS.fullmatch(address) else "") for name, address in listed]
    people = [person for person in people if person.name or person.address]
    alone = _line(names)
    if not alone or alone == "UNKNOWN" or alone in (person.name for person in people):
        return people
    if len(people) == 1 and not people[0].name:
        return [Person(alone, people[0].address)]
    return [Person(alone, ""), *people]


def _leads_somewhere(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _line(text: str) -> str:
    return " ".join(text.split())
