"""Core metadata: the file METADATA of a wheel, PKG-INFO of an sdist, read and held against the file name."""

import re

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from elasticpypi import filename
from elasticpypi.errors import BadUpload

LONGEST_REQUIRES_PYTHON = 500
LONGEST_REQUIRES_DIST = 5000
MOST_FIELDS = 500  # the standards know about forty
KNOWN_VERSIONS = ("1.0", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6")


def check(data: bytes, name: filename.Name) -> tuple[str | None, bool]:
    """The bytes of the file → Requires-Python, in one line, and whether installers may trust all of it.

    :class:`BadUpload` with one sentence if it cannot be read or belongs to another file.
    """
    file = "METADATA" if name.kind == "bdist_wheel" else "PKG-INFO"
    raw = _parse(data, file)
    for each in CHECKS:
        each(raw, name, file)
    return requires_python(raw), name.kind == "bdist_wheel" or _is_static(raw)


def requires_python(raw: RawMetadata) -> str | None:
    """What the metadata say of Python versions, also if it was folded into several lines."""
    return " ".join(raw.get("requires_python", "").split()) or None


def newer_version(data: bytes) -> str | None:
    """The Metadata-Version of a file that passed :func:`check`, if the standards of today do not know it."""
    version = parse_email(data)[0].get("metadata_version", "").strip()
    return None if version in KNOWN_VERSIONS else version


def _parse(data: bytes, file: str) -> RawMetadata:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadUpload(f"{file} is not UTF-8: byte {error.start} cannot be read.") from None
    # The parser looks each field up among all: tens of thousands of different ones would take it minutes.
    lines = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0].splitlines()
    if len({line.partition(b":")[0].lower() for line in lines if not line[:1].isspace()}) > MOST_FIELDS:
        raise BadUpload(f"{file} has more than {MOST_FIELDS} different fields.")
    try:
        raw, unreadable = parse_email(data)
    except RecursionError:  # messages in messages, which a Content-Type can make of the description
        raise BadUpload(f"{file} is nested too deep.") from None
    for field in ("name", "version", "metadata-version", "requires-python"):
        if len(unreadable.get(field, ())) > 1:
            raise BadUpload(f"{file} has {field.title()} {len(unreadable[field])} times.")
    return raw


def _check_present(raw: RawMetadata, _: filename.Name, file: str) -> None:
    for field in ("metadata_version", "name", "version"):
        if not raw.get(field):
            raise BadUpload(f"{file} has no {field.title().replace('_', '-')}.")


def _check_version_of_metadata(raw: RawMetadata, _: filename.Name, file: str) -> None:
    """A higher minor version may be read, a higher major one not (REQ-110)."""
    if not re.fullmatch(r"[12]\.[0-9]{1,3}", raw["metadata_version"]):
        raise BadUpload(f"{file} has Metadata-Version {raw['metadata_version'][:20]!r}: 1.0 to 2.x can be read.")


def _check_project(raw: RawMetadata, name: filename.Name, file: str) -> None:
    if filename.project_name(raw["name"]) != name.project:  # REQ-133
        raise BadUpload(f"{file} names the project {raw['name'][:80]!r}, the file name {name.project!r}.")


def _check_version(raw: RawMetadata, name: filename.Name, file: str) -> None:
    if version(file, raw["version"]) != name.version:  # REQ-133
        raise BadUpload(f"{file} has version {raw['version'][:80]!r}, the file name {str(name.version)!r}.")


def _check_requires_python(raw: RawMetadata, _: filename.Name, file: str) -> None:
    """uv hides a file whose Requires-Python it cannot read (REQ-39)."""
    wanted = requires_python(raw) or ""
    if len(wanted) > LONGEST_REQUIRES_PYTHON:
        raise BadUpload(f"Requires-Python in {file} is longer than {LONGEST_REQUIRES_PYTHON} characters.")
    try:
        SpecifierSet(wanted)
    except InvalidSpecifier:
        raise BadUpload(f"Requires-Python {wanted[:80]!r} in {file} is no version specifier.") from None


def _check_requires_dist(raw: RawMetadata, _: filename.Name, file: str) -> None:
    for requirement in raw.get("requires_dist", []):
        if len(requirement) > LONGEST_REQUIRES_DIST:
            raise BadUpload(f"{file} has a Requires-Dist of more than {LONGEST_REQUIRES_DIST} characters.")
        try:
            Requirement(requirement)
        except (InvalidRequirement, ValueError, RecursionError) as error:
            reason = str(error).partition("\n")[0]
            raise BadUpload(f"Requires-Dist {requirement[:120]!r} in {file} cannot be read: {reason[:120]}.") from None


# Each looks at one thing, in this order, and refuses it with a sentence.
CHECKS = (
    _check_present,
    _check_version_of_metadata,
    _check_project,
    _check_version,
    _check_requires_python,
    _check_requires_dist,
)


def _is_static(raw: RawMetadata) -> bool:
    """PEP 643: the PKG-INFO of an sdist is what a build will say from 2.2 on, but for its Dynamic fields."""
    if raw["metadata_version"] in ("1.0", "1.1", "1.2", "2.0", "2.1"):
        return False
    dynamic = {field.lower() for field in raw.get("dynamic", [])}
    return not dynamic & {"requires-dist", "requires-python", "provides-extra"}


def version(where: str, text: str) -> Version:
    """A version as ``where`` has it; :class:`BadUpload` if it is none (PEP 440)."""
    try:
        return Version(text)
    except ValueError:  # InvalidVersion, or a number with thousands of digits
        raise BadUpload(f"{text[:80]!r} in {where} is not a version (PEP 440).") from None
