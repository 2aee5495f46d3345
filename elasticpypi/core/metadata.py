"""Core metadata: the file METADATA of a wheel, PKG-INFO of an sdist, read and held against the file name."""

import re
from collections.abc import Iterator

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from elasticpypi.core import filename
from elasticpypi.core.errors import BadUpload

LONGEST_REQUIRES_PYTHON = 500
LONGEST_REQUIRES_DIST = 5000
MOST_PARENTHESES = 30  # of one marker: the time to read them grows with the square of their depth
LONGEST_VERSION = 1000
# What is given to parsers is bounded first. boto3-stubs has 80 kB in 1,350 lines, with as many as any.
MOST_FIELDS = 10_000
LONGEST_FIELD = 32_000  # bytes
LARGEST_FIELDS = 200_000  # bytes of all that are parsed, together
# The fields that are read here. Nothing is parsed of all others: the parser looks each one up among all.
FIELDS = (
    *(b"metadata-version", b"name", b"version", b"dynamic", b"summary", b"keywords", b"home-page", b"download-url"),
    *(b"author", b"author-email", b"maintainer", b"maintainer-email", b"license-expression", b"classifier"),
    *(b"requires-dist", b"requires-python", b"provides-extra", b"project-url", b"description-content-type"),
)
TEXTS = (b"description", b"license")  # of any length, and never parsed
# The rules of Python's parser of e-mail, which installers use: where a field begins, and where it does not go on.
BEGIN = re.compile(rb"([!-9;-~]*):|[ \t]")
END = re.compile(rb"(?:\r\n|\r(?!\n)|\n)(?![ \t])")
# With a field Content-Type, that parser reads the description as messages in messages, until it has no stack left.
NESTED = re.compile(rb"(?:^|[\r\n])content-type:\s*(?:multipart|message)/", re.IGNORECASE)
DEEPEST = 50
LINE_BREAK = re.compile(rb"\r\n|\r|\n")
KNOWN_VERSIONS = ("1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6")


def check(data: bytes, name: filename.Name) -> RawMetadata:
    """The bytes of the file → what they say, read once for whatever is asked of them.

    :class:`BadUpload` with one sentence if it cannot be read or belongs to another file.
    """
    file = "METADATA" if name.kind == "bdist_wheel" else "PKG-INFO"
    raw = _parse(data, file)
    for each in CHECKS:
        each(raw, name, file)
    return raw


def requires_python(raw: RawMetadata) -> str | None:
    """What the metadata say of Python versions, also if it was folded into several lines."""
    return " ".join(raw.get("requires_python", "").split()) or None


def newer_version(raw: RawMetadata) -> str | None:
    """The Metadata-Version of a file that passed :func:`check`, if the standards of today do not know it."""
    version = raw.get("metadata_version", "").strip()
    return None if version in KNOWN_VERSIONS else version


def read(data: bytes, file: str = "METADATA") -> tuple[RawMetadata, dict[str, list[str]]]:
    """What ``packaging.metadata.parse_email`` says of the fields that are read here, and of the body.

    :class:`BadUpload` if there is too much of it, before anything is parsed.
    """
    fields, texts = _split(data, file)
    raw, unreadable = parse_email("\n".join(fields))  # as text: of bytes, it takes ten times as long
    if licence := texts.get(b"license"):
        raw["license"] = licence
    if text := texts.get(b"description"):
        raw["description"] = text
    return raw, unreadable


def description(data: bytes) -> str:
    """The description alone, "" if there is none; nothing is parsed."""
    try:
        return _split(data, "METADATA")[1].get(b"description", "")
    except BadUpload:
        return ""


def _split(data: bytes, file: str) -> tuple[list[str], dict[bytes, str]]:
    """The lines of the fields to parse, and the texts; the body comes before a field Description."""
    fields: list[str] = []
    texts: dict[bytes, str] = {}
    size = 0
    for name, value in _fields(data, file):
        if name in TEXTS:
            texts.setdefault(name, value.decode("utf-8", "replace").lstrip(" \t"))
        elif name in FIELDS:
            size += len(value)
            if len(value) > LONGEST_FIELD:
                raise BadUpload(f"{file} has a {name.decode().title()} of more than {LONGEST_FIELD:,} bytes.")
            if size > LARGEST_FIELDS:
                raise BadUpload(f"{file} has more than {LARGEST_FIELDS:,} bytes of fields, beside the description.")
            fields.append((name + b":" + value).decode("utf-8", "replace"))
        elif not name and value.strip():
            texts[b"description"] = value.decode("utf-8", "replace")
    return fields, texts


def _fields(data: bytes, file: str) -> Iterator[tuple[bytes, bytes]]:
    """Each field of core metadata: its name in lower case, and its value as it stands; at last the body, under b""."""
    place = count = 0
    while begun := BEGIN.match(data, place):
        count += 1
        if count > MOST_FIELDS:
            raise BadUpload(f"{file} has more than {MOST_FIELDS:,} fields.")
        ended = END.search(data, begun.end())
        if begun[1]:
            yield begun[1].lower(), data[begun.end() : ended.start() if ended else len(data)]
        place = ended.end() if ended else len(data)
    blank = LINE_BREAK.match(data, place)
    yield b"", data[blank.end() if blank else place :]


def _parse(data: bytes, file: str) -> RawMetadata:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadUpload(f"{file} is not UTF-8: byte {error.start} cannot be read.") from None
    if len(NESTED.findall(data)) > DEEPEST and any(name == b"content-type" for name, _ in _fields(data, file)):
        raise BadUpload(f"{file} is nested too deep: leave its field Content-Type out.")
    raw, unreadable = read(data, file)
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
        if requirement.count("(") > MOST_PARENTHESES:
            raise BadUpload(f"{file} has a Requires-Dist with more than {MOST_PARENTHESES} parentheses.")
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


def is_static(raw: RawMetadata, name: filename.Name) -> bool:
    """Whether installers may trust all of it: METADATA, a PKG-INFO from 2.2 on, but for Dynamic fields (PEP 643)."""
    if name.kind == "bdist_wheel":
        return True
    if raw["metadata_version"] in ("1.0", "1.1", "1.2", "2.0", "2.1"):
        return False
    dynamic = {field.lower() for field in raw.get("dynamic", [])}
    return not dynamic & {"requires-dist", "requires-python", "provides-extra"}


def version(where: str, text: str) -> Version:
    """A version as ``where`` has it; :class:`BadUpload` if it is none (PEP 440)."""
    try:
        if len(text) <= LONGEST_VERSION:
            return Version(text)
    except ValueError:  # InvalidVersion, or a number with thousands of digits
        pass
    raise BadUpload(f"{text[:80]!r} in {where} is not a version (PEP 440).")
