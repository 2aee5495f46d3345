"""What a file name says: project, version, kind and tags of a wheel or sdist.

``packaging`` parses; the few checks around it are for what it lets through: ``_demo-1.0-…``, names that are
not ASCII, white space, names that no file system takes.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from packaging.tags import InvalidTag, TooManyTagsError, parse_tag
from packaging.utils import (
    InvalidName,
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    canonicalize_version,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from elasticpypi.core.errors import BadUpload

Kind = Literal["bdist_wheel", "sdist"]

# Room for the suffixes of decisions and metadata below the 255 bytes that file systems allow.
LONGEST = 240
# The lists of tags in a name are multiplied: 226 characters can stand for 46,656. 111,555 wheels of PyPI had 8 at most.
MOST_TAGS = 256
ALPHABET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*", re.ASCII)
# PEP 527 ended these; clients still install them (all but .egg), so what is stored is still served.
OLD_SDISTS = (".tar.bz2", ".tar.xz", ".tar.Z", ".tgz", ".tar")


@dataclass(frozen=True, slots=True)
class Name:
    """A file name, read. ``identity`` is equal for all spellings of one file (REQ-116)."""

    filename: str
    project: NormalizedName
    version: Version
    kind: Kind
    identity: str


def project_name(text: str) -> NormalizedName:
    """A project name in any spelling → normalized; :class:`BadUpload` if it is none (PEP 503)."""
    try:
        if len(text) > LONGEST:
            raise InvalidName
        return canonicalize_name(text, validate=True)
    except InvalidName:
        raise BadUpload(
            f"{text[:80]!r} is not a project name: use ASCII letters, digits, '.', '-' and '_', "
            "with a letter or digit at both ends."
        ) from None


def parse(filename: str) -> Name:
    """A file name that an upload may have → what it says; :class:`BadUpload` says why not.

    New files are ``.whl`` and ``.tar.gz`` (PEP 427, 625) and, for old build tools, ``.zip``.
    """
    if len(filename) > LONGEST:
        raise BadUpload(f"The file name has {len(filename)} characters: {LONGEST} are allowed.")
    if not ALPHABET.fullmatch(filename):
        raise BadUpload(
            f"{filename[:80]!r} is not a file name of a package: it has characters other than "
            "ASCII letters, digits and . _ + ! -, or begins with one of these."
        )
    try:
        if filename.endswith(".whl"):
            with suppress(InvalidTag):  # which is said below
                parse_tag("-".join(filename.removesuffix(".whl").split("-")[-3:]), limit=MOST_TAGS)
            project, version, build, tags = parse_wheel_filename(filename)
            labels = "-".join(sorted(map(str, tags)))
            identity = f"{project}-{canonicalize_version(version)}-{''.join(map(str, build))}-{labels}"
            return Name(filename, _valid(filename, filename.partition("-")[0]), version, "bdist_wheel", identity)
        if filename.endswith((".tar.gz", ".zip")):
            project, version = parse_sdist_filename(filename)
            spelled = filename.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")[0]
            identity = f"{project}-{canonicalize_version(version)}"
            return Name(filename, _valid(filename, spelled), version, "sdist", identity)
    except TooManyTagsError:
        raise BadUpload(f"{filename[:80]!r} stands for more than {MOST_TAGS} tags of platforms.") from None
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise BadUpload(f"{error}.") from None
    raise BadUpload(f"{filename!r} is neither a wheel (.whl) nor an sdist (.tar.gz).")


def check_spelling(name: Name) -> None:
    """:class:`BadUpload` if a file name is not spelled as the standards of today ask (PEP 491, 625; REQ-134)."""
    project = name.project.replace("-", "_")
    if name.kind == "sdist":
        expected = f"{project}-{name.version}.tar.gz"
    else:
        expected = "-".join([project, str(name.version), *name.filename.split("-")[2:]])
    if name.filename != expected:
        raise BadUpload(f"{name.filename!r} must be spelled {expected!r}: build it with a current build tool.")


def _valid(filename: str, spelled: str) -> NormalizedName:
    try:
        return canonicalize_name(spelled, validate=True)
    except InvalidName:
        raise BadUpload(f"{filename!r} does not begin with a project name.") from None


def parse_stored(filename: str) -> Name | None:
    """A file name in the store → what it says, None if no installer would take it.

    Besides what :func:`parse` takes, the forms of old sdists that pip still installs.
    """
    for old in OLD_SDISTS:
        if filename.endswith(old):
            stored = parse_stored(filename.removesuffix(old) + ".tar.gz")
            return stored and Name(filename, stored.project, stored.version, "sdist", stored.identity)
    try:
        return parse(filename)
    except BadUpload:
        return None
