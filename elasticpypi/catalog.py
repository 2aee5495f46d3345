"""What people search and browse: an entry per project, made from the index after each of its changes.

Installers never read it. It follows the index by a moment, and can be made anew like the index itself.
"""

import difflib
import logging
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from elasticpypi import about, json_api, sync
from elasticpypi.about import About
from elasticpypi.model import Project
from elasticpypi.stores import Catalog, Index

MOST_WORDS = 60
LONGEST_WORD = 40
MOST_ASKED = 8  # words of a search that are looked for: each is a query
NEAR = 2  # letters that a name and one that is near to it begin with
MOST_NEAR = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """What lists and searches show of a project, as of its ``serial``.

    ``version`` is the one that people mean (``json_api.latest``), ``released`` the one that appeared last, at
    ``time`` (UTC, as ``File.upload_time``); ``words`` are what it is found by; ``requires`` the projects that
    ``version`` depends on, extras included.
    """

    name: NormalizedName
    serial: int
    version: str
    released: str
    time: str
    summary: str = ""
    words: tuple[str, ...] = ()
    requires: tuple[NormalizedName, ...] = ()
    releases: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search: how many there are in all, and those of this page, best first."""

    total: int
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is in the index."""

    projects: int = 0
    releases: int = 0
    files: int = 0


def words(text: str) -> list[str]:
    """Text → its words as they are compared: lower case, without accents, in order, each once."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return list(dict.fromkeys(word[:LONGEST_WORD] for word in re.findall(r"[^\W_]+", plain)))


def asked(text: str) -> list[str]:
    """The words that a search looks for: the first few."""
    return words(text)[:MOST_ASKED]


def rank(query: str, name: NormalizedName) -> tuple[int, NormalizedName]:
    """Sort key of a project that was found: its very name, its beginning, words of the name, anything else."""
    spelled = canonicalize_name(query.strip())
    if name == spelled:
        return 0, name
    if name.startswith(spelled):
        return 1, name
    parts = name.split("-")
    named = all(any(part.startswith(word) for part in parts) for word in asked(query))
    return 2 if named else 3, name


def matches(query: Iterable[str], entry: Entry) -> bool:
    """Whether each word of a query begins a word of the entry."""
    return all(any(word.startswith(begin) for word in entry.words) for begin in query)


def near(catalog: Catalog, name: NormalizedName, count: int = 5) -> list[NormalizedName]:
    """Projects that may have been meant by a name that is none: likest first, then those that have its words."""
    alike = [entry.name for entry in catalog.search(name[:NEAR], 0, MOST_NEAR).entries]
    related = [entry.name for entry in catalog.search(name, 0, count).entries]
    best = difflib.get_close_matches(name, {*alike, *related}, count)
    return [NormalizedName(each) for each in dict.fromkeys([*best, *related])][:count]


def projects_of(keys: Iterable[str]) -> set[NormalizedName]:
    """The projects that keys of the store belong to."""
    meanings = (sync.meaning(key) for key in keys)
    return {means.project for means in meanings if not isinstance(means, str)}


def refresh(index: Index, catalog: Catalog, keys: Iterable[str]) -> list[NormalizedName]:
    """Bring the entries of all projects that these keys of the store belong to up to date; those that failed."""
    return refresh_projects(index, catalog, projects_of(keys))


def refresh_projects(index: Index, catalog: Catalog, projects: Iterable[NormalizedName]) -> list[NormalizedName]:
    """Bring the entries of these projects up to date; the projects for which that failed.

    Nothing is raised: what people browse must not hold up what installers need.
    """
    failed = []
    for name in projects:
        try:
            refresh_project(index, catalog, name)
        except Exception:
            log.exception("the entry of %r could not be brought up to date", name)
            failed.append(name)
    return failed


def refresh_project(index: Index, catalog: Catalog, name: NormalizedName) -> None:
    """Make the entry of a project from the index, unless it is of the same serial already."""
    serial = index.serial(name)
    if serial is None or catalog.serial(name) == serial:
        return
    project = index.project(name)
    if project is None:
        return
    if not project.listed:
        catalog.replace(name, project.serial, None)
        return
    described = json_api.described(project, json_api.latest(project))
    said = about.read(index, name, described.filename)[0] if described else about.parse(None)
    catalog.replace(name, project.serial, describe(project, said))


def describe(project: Project, said: About) -> Entry:
    """A project that has listed files, and what its latest version says of itself → its entry.

    It is bounded, since what is said is; DynamoDB takes 400 kB.
    """
    first: dict[str, str] = {}  # when each version appeared
    for file in project.listed:
        first[file.version] = min(first.get(file.version, file.upload_time), file.upload_time)
    released = max(first, key=lambda version: (first[version], Version(version)))
    return Entry(
        name=project.name,
        serial=project.serial,
        version=str(json_api.latest(project)),
        released=released,
        time=first[released],
        summary=said["summary"],
        words=tuple(words(" ".join([project.name, *said["keywords"]["shown"], said["summary"]]))[:MOST_WORDS]),
        requires=tuple(name for name in said["requires"]["shown"] if name != project.name),
        releases=len(first),
        files=len(project.listed),
    )
