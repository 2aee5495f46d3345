"""A wheel or sdist → what the index says about it, and every check of an uploaded one.

The metadata of record comes from inside the file, never from the form (REQ-107).
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from elasticpypi import archive, filename
from elasticpypi.errors import BadUpload, Damaged

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK = 1024 * 1024
LONGEST_REQUIRES_PYTHON = 500
MOST_FIELDS = 500  # the standards know about forty
DIGESTS = {"sha256_digest": "sha256", "blake2_256_digest": "blake2_256", "md5_digest": "md5"}
# Fields that may come once; all others of the form are not looked at (REQ-106, REQ-111).
SINGLE = (
    *(":action", "protocol_version", "filetype", "pyversion", "name", "version", "metadata_version", *DIGESTS),
    *("summary", "description", "description_content_type", "author", "author_email", "maintainer"),
    *("maintainer_email", "license", "license_expression", "home_page", "download_url", "requires_python"),
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A file that was read: ``size`` in bytes, ``sha256`` lower-case hex, ``metadata`` the exact bytes
    of METADATA or PKG-INFO, None where they could not be read (possible only in a file that was put
    into the store directly). ``static`` tells whether installers may trust it without building (PEP 643)."""

    name: filename.Name
    size: int
    sha256: str
    metadata: bytes | None
    requires_python: str | None
    static: bool


KNOWN_METADATA = ("1.0", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6")

Form = Mapping[str, Sequence[str]]


def check_upload(form: Form, file_name: str, content: BinaryIO) -> Distribution:
    """An upload (legacy API: all fields of the form, the name and the bytes of the part ``content``).

    :class:`BadUpload` with one sentence if anything does not fit; nothing is stored here.
    """
    fields = _single_fields(form)
    _check_action(fields)
    name = filename.parse(file_name)
    _check_filetype(fields, name)
    size, digests = _digests(content, {DIGESTS[field] for field in DIGESTS if field in fields} | {"sha256"})
    if not size:
        raise BadUpload(f"{file_name!r} is empty.")
    _check_digests(fields, digests)
    metadata = archive.core_metadata(content, name)
    requires_python, static = _check_metadata(metadata, name)
    _check_form_agrees(fields, name)
    return Distribution(name, size, digests["sha256"].hex(), metadata, requires_python, static)


def warnings(form: Form, dist: Distribution) -> list[str]:
    """What the one who uploads should know although the file was taken, a sentence each."""
    said = []
    if form.get("attestations"):  # PEP 740: an index that cannot verify them must not claim to have them
        said.append("The attestations were not kept: this index does not support them.")
    raw, _ = parse_email(dist.metadata or b"")
    if raw.get("metadata_version", "") not in KNOWN_METADATA:
        said.append(f"Metadata-Version {raw.get('metadata_version', '')[:20]} is newer than this index knows.")
    return said


def inspect(name: filename.Name, content: BinaryIO, sha256: str | None = None) -> Distribution:
    """A file that is in the store already; ``sha256`` saves reading it whole.

    What an upload would refuse is taken as it is here, without its metadata; :class:`Damaged` if it is
    half a file, such as a copy that is still under way.
    """
    metadata: bytes | None = None
    requires_python, static = None, False
    if not name.filename.endswith(filename.OLD_SDISTS):
        try:
            found = archive.core_metadata(content, name, thorough=False)
            requires_python, static = _check_metadata(found, name)
            metadata = found
        except Damaged:
            raise
        except BadUpload:
            pass
    if sha256 is None:
        sha256 = sha256_of(content)
    return Distribution(name, content.seek(0, os.SEEK_END), sha256, metadata, requires_python, static)


def sha256(data: bytes) -> str:
    """The digest of some bytes, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(content: BinaryIO) -> str:
    """The digest of a file, read from its start."""
    return _digests(content, {"sha256"})[1]["sha256"].hex()


def _single_fields(form: Form) -> dict[str, str]:
    """The fields that count, without those that are absent in truth: "" and UNKNOWN (REQ-106)."""
    fields: dict[str, str] = {}
    for field in SINGLE:
        values = form.get(field, ())
        if len(values) > 1:
            raise BadUpload(f"The field {field!r} is in the form {len(values)} times: send it once.")
        if values and values[0].strip() not in ("", "UNKNOWN"):
            fields[field] = values[0].strip()
    return fields


def _check_action(fields: dict[str, str]) -> None:
    action = fields.get(":action", "")
    if action != "file_upload":
        raise BadUpload(f"':action' must be 'file_upload', not {action[:40]!r}: this index takes files only.")
    if fields.get("protocol_version", "1") != "1":
        raise BadUpload(f"'protocol_version' must be 1, not {fields['protocol_version'][:40]!r}.")


def _check_filetype(fields: dict[str, str], name: filename.Name) -> None:
    filetype = fields.get("filetype", "")
    if filetype not in ("bdist_wheel", "sdist"):
        raise BadUpload(f"'filetype' must be 'bdist_wheel' or 'sdist', not {filetype[:40]!r}.")
    if filetype != name.kind:
        raise BadUpload(f"'filetype' says {filetype}, the file name {name.filename!r} says {name.kind}.")
    if filetype == "sdist" and fields.get("pyversion", "source") != "source":
        raise BadUpload(f"'pyversion' of an sdist must be 'source', not {fields['pyversion'][:40]!r}.")


def _digests(content: BinaryIO, wanted: set[str]) -> tuple[int, dict[str, bytes]]:
    """Size and digests of a file, read once from its start."""
    hashes: dict[str, _Hash | hashlib.blake2b] = {}
    for algorithm in wanted:
        if algorithm == "blake2_256":
            hashes[algorithm] = hashlib.blake2b(digest_size=32)
        else:
            hashes[algorithm] = hashlib.new(algorithm, usedforsecurity=False)
    content.seek(0)
    size = 0
    while chunk := content.read(CHUNK):
        size += len(chunk)
        for hasher in hashes.values():
            hasher.update(chunk)
    return size, {algorithm: hasher.digest() for algorithm, hasher in hashes.items()}


def _check_digests(fields: dict[str, str], digests: dict[str, bytes]) -> None:
    """REQ-105: every digest that is given, and at least one."""
    given = [field for field in DIGESTS if field in fields]
    if not given:
        raise BadUpload("The form has no digest: send sha256_digest, blake2_256_digest or md5_digest.")
    for field in given:
        found = digests[DIGESTS[field]]
        if not hmac.compare_digest(_digest_bytes(field, fields[field], len(found)), found):
            raise BadUpload(
                f"{field!r} does not fit the file: it says {fields[field][:64]}, "
                f"the bytes that arrived have {found.hex()}."
            )


def _digest_bytes(field: str, text: str, length: int) -> bytes:
    """Hex in any case; PyPI's documentation asks for MD5 in URL-safe base64, so that form too."""
    try:
        if len(text) == 2 * length:
            return bytes.fromhex(text)
        if field == "md5_digest":
            decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if len(decoded) == length:
                return decoded
    except (ValueError, binascii.Error):
        pass
    raise BadUpload(f"{field!r} must be {2 * length} hex digits, not {text[:80]!r}.")


def _check_metadata(metadata: bytes, name: filename.Name) -> tuple[str | None, bool]:
    """What the core metadata must say (REQ-39, REQ-110, REQ-133); returns Requires-Python and ``static``."""
    file = "METADATA" if name.kind == "bdist_wheel" else "PKG-INFO"
    try:
        metadata.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadUpload(f"{file} is not UTF-8: byte {error.start} cannot be read.") from None
    # The parser looks each field up among all: tens of thousands of different ones would take it minutes.
    fields = {
        line.partition(b":")[0].lower() for line in re.split(rb"\r?\n\r?\n", metadata, maxsplit=1)[0].splitlines()
    }
    if len({field for field in fields if not field[:1].isspace()}) > MOST_FIELDS:
        raise BadUpload(f"{file} has more than {MOST_FIELDS} different fields.")
    try:
        raw, unreadable = parse_email(metadata)
    except RecursionError:  # messages in messages, which a Content-Type can make of the description
        raise BadUpload(f"{file} is nested too deep.") from None
    for field in ("name", "version", "metadata-version", "requires-python"):
        if len(unreadable.get(field, ())) > 1:
            raise BadUpload(f"{file} has {field.title()} {len(unreadable[field])} times.")
    for field in ("metadata_version", "name", "version"):
        if not raw.get(field):
            raise BadUpload(f"{file} has no {field.title().replace('_', '-')}.")
    if raw["metadata_version"].partition(".")[0] not in ("1", "2"):
        raise BadUpload(f"{file} has Metadata-Version {raw['metadata_version'][:20]!r}: 1.0 to 2.x can be read.")
    if filename.project_name(raw["name"]) != name.project:
        raise BadUpload(f"{file} names the project {raw['name'][:80]!r}, the file name {name.project!r}.")
    if version(file, raw["version"]) != name.version:
        raise BadUpload(f"{file} has version {raw['version'][:80]!r}, the file name {str(name.version)!r}.")
    requires_python = " ".join(raw.get("requires_python", "").split()) or None
    if len(requires_python or "") > LONGEST_REQUIRES_PYTHON:
        raise BadUpload(f"Requires-Python in {file} is longer than {LONGEST_REQUIRES_PYTHON} characters.")
    try:
        SpecifierSet(requires_python or "")
        for requirement in raw.get("requires_dist", []):
            Requirement(requirement)
    except InvalidSpecifier:
        raise BadUpload(f"Requires-Python {str(requires_python)[:80]!r} in {file} is no version specifier.") from None
    except (InvalidRequirement, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise BadUpload(f"Requires-Dist {requirement[:120]!r} in {file} cannot be read: {reason[:120]}.") from None
    return requires_python, name.kind == "bdist_wheel" or _is_static(raw)


def _is_static(raw: RawMetadata) -> bool:
    """PEP 643: the PKG-INFO of an sdist is what a build will say from 2.2 on, but for its Dynamic fields."""
    if raw["metadata_version"] in ("1.0", "1.1", "1.2", "2.0", "2.1"):
        return False
    return not {field.lower() for field in raw.get("dynamic", [])} & {
        "requires-dist",
        "requires-python",
        "provides-extra",
    }


def version(where: str, text: str) -> Version:
    """A version as ``where`` has it; :class:`BadUpload` if it is none (PEP 440)."""
    try:
        return Version(text)
    except ValueError:  # InvalidVersion, or a number with thousands of digits
        raise BadUpload(f"{text[:80]!r} in {where} is not a version (PEP 440).") from None


def _check_form_agrees(fields: dict[str, str], name: filename.Name) -> None:
    """REQ-108: name and version of the form, where given, are those of the file."""
    if "name" in fields and filename.project_name(fields["name"]) != name.project:
        raise BadUpload(f"The form names the project {fields['name'][:80]!r}, the file {name.project!r}.")
    if "version" in fields and version("the form", fields["version"]) != name.version:
        raise BadUpload(f"The form has version {fields['version'][:80]!r}, the file {str(name.version)!r}.")
