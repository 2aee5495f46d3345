"""What people find a project by: its entry, the words of a search, and the order of what was found."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from elasticpypi.core.about import About
from elasticpypi.core.model import Project, latest

MOST_WORDS = 60
LONGEST_WORD = 40
MOST_ASKED = 8  # words of a search that are looked for: each is a query


@dataclass(frozen=True, slots=True)
class Entry:
    """What lists and searches show of a project, as of its ``serial``.

    ``version`` is the one that people mean (``model.latest``), ``released`` the one that appeared last, at
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
    return order(query)(name)


def order(query: str) -> Callable[[NormalizedName], tuple[int, NormalizedName]]:
    """:func:`rank` for many names: the query is looked at once."""
    spelled, wanted = canonicalize_name(query.strip()), asked(query)

    def key(name: NormalizedName) -> tuple[int, NormalizedName]:
        if name == spelled:
            return 0, name
        if name.startswith(spelled):
            return 1, name
        parts = name.split("-")
        named = all(any(part.startswith(word) for part in parts) for word in wanted)
        return 2 if named else 3, name

    return key


def matches(query: Iterable[str], entry: Entry) -> bool:
    """Whether each word of a query begins a word of the entry."""
    return all(any(word.startswith(begin) for word in entry.words) for begin in query)


def describe(project: Project, about: About) -> Entry:
    """A project that has listed files, and what its latest version says of itself → its entry.

    It is bounded, since an :class:`About` is; DynamoDB takes 400 kB.
    """
    first: dict[str, str] = {}  # when each version appeared
    for file in project.listed:
        first[file.version] = min(first.get(file.version, file.upload_time), file.upload_time)
    released = max(first, key=lambda version: (first[version], Version(version)))
    return Entry(
        name=project.name,
        serial=project.serial,
        version=str(latest(project)),
        released=released,
        time=first[released],
        summary=about["summary"],
        words=tuple(words(" ".join([project.name, *about["keywords"]["shown"], about["summary"]]))[:MOST_WORDS]),
        requires=tuple(name for name in about["requires"]["shown"] if name != project.name),
        releases=len(first),
        files=len(project.listed),
    )
