"""A wheel or sdist → what the index says about it, and every check of an uploaded one.

The metadata of record comes from inside the file, never from the form (REQ-107).
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from packaging.metadata import RawMetadata

from elasticpypi.core import archive, filename, metadata
from elasticpypi.core.errors import BadUpload, Damaged

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK = 1024 * 1024
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
    into the store directly), ``raw`` what they say. ``static`` tells whether installers may trust it without
    building (PEP 643)."""

    name: filename.Name
    size: int
    sha256: str
    metadata: bytes | None
    requires_python: str | None
    static: bool
    raw: RawMetadata | None = None


Form = Mapping[str, Sequence[str]]


def check_upload(form: Form, file_name: str, content: BinaryIO) -> Distribution:
    """An upload (legacy API: all fields of the form, the name and the bytes of the part ``content``).

    :class:`BadUpload` with one sentence if anything does not fit; nothing is stored here.
    """
    fields, name = _check_form(form, file_name)
    wanted = {DIGESTS[field] for field in DIGESTS if field in fields} | {"sha256"}
    if len(fields.get("blake2_256_digest", "")) == 128:  # setup.py of Python 3.9 to 3.11 sends all 512 bits
        wanted.add("blake2_512")
    size, digests = _digests(content, wanted)
    if not size:
        raise BadUpload(f"{file_name!r} is empty.")
    _check_digests(fields, digests)
    data = archive.core_metadata(content, name)
    return _read(name, size, digests["sha256"].hex(), data)


def announced(form: Form, file_name: str, size: int) -> Distribution:
    """What a form says of a file of ``size`` bytes that is still to come; :class:`BadUpload` as for an upload."""
    fields, name = _check_form(form, file_name)
    if "sha256_digest" not in fields:
        raise BadUpload("A file that comes by parts needs the field 'sha256_digest'.")
    return Distribution(
        name, size, _digest_bytes("sha256_digest", fields["sha256_digest"], 32).hex(), None, None, False
    )


def warnings(form: Form, dist: Distribution) -> list[str]:
    """What the one who uploads should know although the file was taken, a sentence each."""
    found = []
    if form.get("attestations"):  # PEP 740: an index that cannot verify them must not claim to have them
        found.append("The attestations were not kept: this index does not support them.")
    if dist.raw is not None and (newer := metadata.newer_version(dist.raw)):
        found.append(f"Metadata-Version {newer[:20]} is newer than this index knows.")
    return found


def inspect(
    name: filename.Name, content: BinaryIO, sha256: str | None = None, *, outside: bool = False
) -> Distribution:
    """A file that is in the store already; ``sha256`` saves reading it whole.

    What an upload would refuse is taken as it is here, without its metadata. :class:`Damaged` if it is half a file,
    such as a copy that is still under way, or an archive that nothing could be built from. What a link leads to
    that goes ``outside`` of the store may be anything: then it must be a package that can be read.
    """
    core: bytes | None = None
    if not name.filename.endswith(filename.OLD_SDISTS):
        try:
            core = archive.core_metadata(content, name, thorough=False)
        except Damaged:
            raise
        except BadUpload:
            if outside and name.kind == "bdist_wheel":
                raise Damaged("It is a link that leads out of the folder, and to no wheel.") from None
    if core is None and name.kind == "sdist":
        archive.check_source(content, name)
    if sha256 is None:
        sha256 = sha256_of(content)
    size = content.seek(0, os.SEEK_END)
    if core is not None:
        with suppress(BadUpload):
            return _read(name, size, sha256, core)
    return Distribution(name, size, sha256, None, None, False)


def _read(name: filename.Name, size: int, sha256: str, core: bytes) -> Distribution:
    """A file with its core metadata; :class:`BadUpload` if they do not fit."""
    raw = metadata.check(core, name)
    return Distribution(name, size, sha256, core, metadata.requires_python(raw), metadata.is_static(raw, name), raw)


def sha256(data: bytes) -> str:
    """The digest of some bytes, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(content: BinaryIO) -> str:
    """The digest of a file, read from its start."""
    return _digests(content, {"sha256"})[1]["sha256"].hex()


def _check_form(form: Form, file_name: str) -> tuple[dict[str, str], filename.Name]:
    fields = _single_fields(form)
    name = filename.parse(file_name)
    for check in FORM_CHECKS:
        check(fields, name)
    return fields, name


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


def check_action(action: str) -> None:
    """:class:`BadUpload` for what old tools ask besides an upload: ``register``, ``doc_upload``, ``verify`` ..."""
    if action in ("submit", "submit_pkg_info", "verify"):
        raise BadUpload(
            f"':action' must be 'file_upload', not {action!r}: nothing needs to be registered here, upload the files."
        )
    if action != "file_upload":
        raise BadUpload(f"':action' must be 'file_upload', not {action[:40]!r}: this index takes files only.")


def _check_action(fields: dict[str, str], _: filename.Name) -> None:
    action = fields.get(":action", "")
    check_action(action)
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
        if algorithm.startswith("blake2_"):
            hashes[algorithm] = hashlib.blake2b(digest_size=int(algorithm.removeprefix("blake2_")) // 8)
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
        if field == "blake2_256_digest":
            found = digests.get("blake2_512", found)
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


def _check_form_agrees(fields: dict[str, str], name: filename.Name) -> None:
    """REQ-108: name and version of the form, where given, are those of the file."""
    if "name" in fields and filename.project_name(fields["name"]) != name.project:
        raise BadUpload(f"The form names the project {fields['name'][:80]!r}, the file {name.project!r}.")
    if "version" in fields and metadata.version("the form", fields["version"]) != name.version:
        raise BadUpload(f"The form has version {fields['version'][:80]!r}, the file {str(name.version)!r}.")


# Each looks at one thing that the form says, and refuses it with a sentence.
FORM_CHECKS = (_check_action, _check_filetype, _check_form_agrees)
