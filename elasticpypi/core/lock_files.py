"""Lock files → the releases that they name: requirements.txt, uv.lock, pylock.toml, poetry.lock, pdm.lock.

Everything here is pure. A file that is wrong is :class:`BadFile`, a sentence with its line.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from posixpath import dirname, join
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, NormalizedName, canonicalize_name, canonicalize_version
from packaging.version import InvalidVersion, Version

from elasticpypi.core.errors import BadFile
from elasticpypi.core.targets import holds

DEEPEST = 20  # files that include each other
HASH = re.compile(r"\s--hash[= ]sha256:([0-9a-fA-F]{64})(?=\s|$)")
COMMENT = re.compile(r"(^|\s+)#.*$")
INCLUDE = re.compile(r"(?:-r|--requirement)[= ]?\s*(\S.*)")
HEADER = re.compile(r"^\s*\[\[\s*packages?\s*\]\]", re.MULTILINE)
TOML = ".toml", "uv.lock", "poetry.lock", "pdm.lock"
NO_PACKAGE = re.compile(r"-e\b|--editable\b|\.{0,2}/|[A-Za-z]:\\|(?:[a-z]+\+)?[a-z]+:", re.ASCII)

OWN = frozenset(("virtual", "editable"))  # sources of a project itself, in uv.lock

Environments = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Locked:
    """A release that a file names: a canonical ``version``, "" if it says none. ``files`` are names by sha256, "" where
    it says none; any file of the release if it is empty. ``elsewhere`` is where it comes from if that is no index."""

    project: NormalizedName
    version: str
    place: str  # "uv.lock, line 12"
    files: Mapping[str, str] = field(default_factory=dict)
    elsewhere: str = ""

    def __str__(self) -> str:
        return f"{self.project}=={self.version}" if self.version else self.project


class _Wrong(Exception):
    """What cannot be, as the end of a sentence that begins with the line."""


@contextmanager
def _at(place: str) -> Iterator[None]:
    try:
        yield
    except _Wrong as error:
        raise BadFile(f"{place}: {error}.") from None


def read(name: str, body: bytes, load: Callable[[str], bytes], where: Environments = ()) -> list[Locked]:
    """What a file names that is needed in one of these environments (``core/targets.py``), or at all.

    ``load`` gives the file that a requirements.txt includes by its name, beside the first one.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise BadFile(f"{name}, line {line}: this is not UTF-8.") from None
    is_toml = name.endswith(TOML) or HEADER.search(text)  # requirements.lock is none
    found = _toml(name, text, where) if is_toml else _requirements(name, text, load, where, 0)
    return joined(found)


def joined(found: Iterable[Locked]) -> list[Locked]:
    """Each release once: pdm writes one for each set of extras, and several files may name it."""
    known: dict[tuple[str, str, str], Locked] = {}
    for each in found:
        key = each.project, each.version, each.elsewhere
        before = known.setdefault(key, each)
        if before is not each and before.files:
            files = {**before.files, **each.files} if each.files else {}
            known[key] = Locked(each.project, each.version, before.place, files, each.elsewhere)
    return [*known.values()]


# ---- requirements.txt, as pip reads it


def _requirements(
    name: str, text: str, load: Callable[[str], bytes], where: Environments, depth: int
) -> Iterator[Locked]:
    for number, line in _lines(text):
        place = f"{name}, line {number}"
        with _at(place):
            if include := INCLUDE.fullmatch(line):
                inner = join(dirname(name), include[1])
                if depth == DEEPEST:
                    raise _Wrong("files include each other without end")
                try:
                    content = load(inner).decode("utf-8-sig")
                except (OSError, UnicodeDecodeError):
                    raise _Wrong(f"{inner!r} cannot be read") from None
                yield from _requirements(inner, content, load, where, depth + 1)
            elif NO_PACKAGE.match(line):
                yield Locked(NormalizedName(line[:200]), "", place, elsewhere="a path or an address")
            elif not line.startswith("-"):  # where a tool looks, and how, is no matter here
                yield from _requirement(line, place, where)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with something in them, those joined that end with a backslash, each with the number of its first one."""
    begin, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        begin = begin if parts else number
        parts.append(COMMENT.sub("", line).removesuffix("\\"))
        if not line.endswith("\\") or COMMENT.match(line):
            if whole := "".join(parts).strip():
                yield begin, whole
            parts = []
    if whole := "".join(parts).strip():
        yield begin, whole


def _requirement(line: str, place: str, where: Environments) -> Iterator[Locked]:
    text = re.split(r"\s--", line, maxsplit=1)[0].strip()
    try:
        found = Requirement(text)
    except InvalidRequirement:
        raise _Wrong(f"{text[:80]!r} is no requirement") from None
    if not holds(found.marker, where):
        return
    name = canonicalize_name(found.name)
    if found.url:
        yield Locked(name, "", place, elsewhere="an address")
        return
    exact = [each for each in found.specifier if each.operator in ("==", "===") and not each.version.endswith(".*")]
    if len(exact) != 1:
        raise _Wrong(f"{text[:80]!r} names no exact version: lock it, such as by uv pip compile")
    yield Locked(name, _version(exact[0].version), place, {digest.lower(): "" for digest in HASH.findall(line)})


# ---- Files in TOML


def _toml(name: str, text: str, where: Environments) -> Iterator[Locked]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at ")
        at = re.match(r"line (\d+)", place)
        raise BadFile(
            f"{name}, line {at[1] if at else len(text.splitlines()) or 1}: this is not TOML: {what}."
        ) from None
    except RecursionError:
        raise BadFile(f"{name}: this is nested too deeply.") from None
    places = _places(name, text)
    if isinstance(found.get("lock-version"), str):
        return _pylock(found, places, where)
    packages = found.get("package", [])
    if not isinstance(packages, list):
        raise BadFile(f"{places(0)}: this is no list of packages.")
    if isinstance(found.get("metadata"), dict):
        return _poetry(found["metadata"], packages, places, where)
    if found.get("version") == 1:
        return _uv(packages, places, where)
    known = "a requirements.txt, uv.lock, pylock.toml, poetry.lock or pdm.lock"
    raise BadFile(f"{name}, line 1: this is no lock file that is known here: give {known}.")


Place = Callable[[int], str]


def _places(name: str, text: str) -> Place:
    """Where the package with a number (from 0) begins."""
    lines = [number for number, line in enumerate(text.splitlines(), 1) if HEADER.match(line)]
    return lambda number: f"{name}, line {lines[number] if 0 <= number < len(lines) else 1}"


def _pylock(found: dict[str, Any], place: Place, where: Environments) -> Iterator[Locked]:
    """PEP 751."""
    try:
        lock = Pylock.from_dict(found)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        at = re.match(r"packages\[(\d+)\]", error.context or "")
        said = error.message.partition("\n")[0]
        where_in = f" in {error.context}" if error.context else ""
        raise BadFile(f"{place(int(at[1]) if at else -1)}: {said}{where_in}.") from None
    for number, package in enumerate(lock.packages):
        if not holds(package.marker, where):
            continue
        version = canonicalize_version(package.version) if package.version else ""
        if package.is_direct:
            yield Locked(package.name, version, place(number), elsewhere="a path or an address")
            continue
        files = [*(package.wheels or ()), *([package.sdist] if package.sdist else ())]
        named = {str(each.hashes.get("sha256", "")).lower(): each.filename for each in files}
        yield Locked(package.name, version, place(number), {} if "" in named else named)


def _poetry(metadata: dict[str, Any], packages: list[Any], place: Place, where: Environments) -> Iterator[Locked]:
    """That of poetry, and of pdm, which looks the same."""
    older = metadata.get("files")  # of poetry before 1.5
    for number, package in enumerate(packages):
        with _at(place(number)):
            name, version = _name(package), _version(_text(package, "version"))
            if not _any_holds(package.get("markers", package.get("marker")), where):
                continue
            kind = _table(package.get("source", {})).get("type", "legacy")
            kind = next((each for each in ("git", "url", "path") if each in package), kind)  # pdm
            if kind not in ("legacy", "pypi"):
                yield Locked(name, version, place(number), elsewhere=str(kind))
                continue
            files = package.get("files")
            if files is None and isinstance(older, dict):
                files = next((each for key, each in older.items() if canonicalize_name(key) == name), None)
            named = {_digest(each): _filename(each.get("file") or each.get("url")) for each in _list(files or [])}
            yield Locked(name, version, place(number), {} if "" in named else named)


def _uv(packages: list[Any], place: Place, where: Environments) -> Iterator[Locked]:
    """uv.lock has markers on the ways to a package only."""
    for number, package in enumerate(packages):
        with _at(place(number)):
            _name(package)
            _table(package.get("source"))
    needed = _reached(packages, place, where) if where else range(len(packages))
    for number, package in enumerate(packages):
        with _at(place(number)):
            name, source = _name(package), package["source"]
            if number not in needed or not OWN.isdisjoint(source):
                continue
            version = _version(_text(package, "version")) if "version" in package else ""
            if "registry" not in source:
                yield Locked(name, version, place(number), elsewhere=next(iter(source), "nowhere"))
                continue
            files = [*_list(package.get("wheels", [])), *_list([package["sdist"]] if "sdist" in package else [])]
            named = {_digest(each): _filename(each.get("url") or each.get("path")) for each in files}
            yield Locked(name, version, place(number), {} if "" in named else named)


def _reached(packages: list[dict[str, Any]], place: Place, where: Environments) -> set[int]:
    """The numbers of packages to which a way leads from a project of ours whose markers may all be true."""
    by_name: dict[str, list[int]] = {}
    for number, package in enumerate(packages):
        by_name.setdefault(_name(package), []).append(number)
    own = [number for number, package in enumerate(packages) if not OWN.isdisjoint(package["source"])]
    left, reached = own or [*range(len(packages))], set[int]()
    while left:
        number = left.pop()
        if number not in reached:
            reached.add(number)
            with _at(place(number)):
                edges = [edge for edge in _edges(packages[number]) if _any_holds(edge.get("marker"), where)]
                left += [each for edge in edges for each in by_name.get(_name(edge), ()) if _fits(edge, packages[each])]
    return reached


def _edges(package: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that a package depends on, with every extra and group."""
    yield from _list(package.get("dependencies", []))
    for key in ("optional-dependencies", "dev-dependencies"):
        for group in _table(package.get(key, {})).values():
            yield from _list(group)


def _fits(edge: dict[str, Any], package: dict[str, Any]) -> bool:
    return edge.get("version") in (None, package.get("version"))


def _any_holds(said: Any, where: Environments) -> bool:
    """Whether a marker may be true; poetry has one for each group, where they differ."""
    if said is None or not where:
        return True
    try:
        markers = said.values() if isinstance(said, dict) else [said]
        return any(holds(Marker(_string("a marker", each)), where) for each in markers)
    except InvalidMarker:
        raise _Wrong("it has a marker that is none") from None


def _name(package: Any) -> NormalizedName:
    try:
        return canonicalize_name(_text(_table(package), "name"), validate=True)
    except InvalidName:
        raise _Wrong(f"{package['name'][:80]!r} is no name of a project") from None


def _version(text: str) -> str:
    try:
        return canonicalize_version(Version(text))
    except InvalidVersion:
        raise _Wrong(f"{text[:80]!r} is no version") from None


def _digest(file: dict[str, Any]) -> str:
    """The sha256 of a file, "" if another digest is all there is."""
    kind, _, digest = _text(file, "hash").partition(":")
    if kind == "sha256" and not re.fullmatch("[0-9a-fA-F]{64}", digest):
        raise _Wrong(f"{digest[:80]!r} is no sha256")
    return digest.lower() if kind == "sha256" else ""


def _filename(address: Any) -> str:
    return unquote(urlsplit(_string("an address", address)).path.rpartition("/")[2])


def _text(table: dict[str, Any], key: str) -> str:
    if key not in table:
        raise _Wrong(f"a package or a file has no {key}")
    return _string(key, table[key])


def _string(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"{what} is no text")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong("there is no table where one should be")
    return value


def _list(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise _Wrong("there is no list where one should be")
    return [_table(each) for each in value]
