"""What is inside a wheel or an sdist: its core metadata, read with bounded memory and time.

Nothing is ever unpacked to the disk. Every refusal is a :class:`BadUpload` that names the member or the number
that was found. The bounds on size are PyPI's (REQ-130 to REQ-132).
"""

import bz2
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from gzip import GzipFile
from typing import Any, BinaryIO

from elasticpypi.core.archive import tars, zips
from elasticpypi.core.archive.shape import MAX_MEMBERS, MAX_RATIO, SMALL, Unreadable
from elasticpypi.core.errors import BadUpload, Damaged
from elasticpypi.core.filename import Name

BUILT_FROM = {"PKG-INFO", "setup.py", "pyproject.toml"}
LARGEST = 64 * 1024  # bytes of the name and the attributes of a member
COMPRESS = b"\x1f\x9d"  # how a .tar.Z begins, which nothing here can unpack


def core_metadata(file: BinaryIO, name: Name, *, thorough: bool = True) -> bytes:
    """The bytes of METADATA (wheel) or PKG-INFO (sdist); ``file`` is seekable.

    ``thorough`` also holds each member of a zip file against the directory, which is a jump per member.
    """
    try:
        if name.kind == "bdist_wheel":
            return zips.wheel_metadata(file, name, thorough)
        if name.filename.endswith(".zip"):
            return zips.sdist_metadata(file, name, thorough)
        return tars.sdist_metadata(file, name)
    except (Unreadable, zlib.error, struct.error):
        form = "zip" if name.filename.endswith((".whl", ".zip")) else "gzip-compressed tar"
        raise Damaged(f"{name.filename!r} cannot be read: it is no {form} file, or damaged.") from None
    except UnicodeDecodeError as error:
        raise BadUpload(f"{name.filename!r} cannot be read: {error}."[:400].replace("\n", " ")) from None


class _Bounded(tarfile.TarInfo):
    """A header that is read whole is small, and no file is sparse: ``tarfile`` has no bounds for either."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type == tarfile.GNUTYPE_SPARSE or (self.type not in tarfile.SUPPORTED_TYPES and self.size > LARGEST):
            raise tarfile.ReadError("a header without bounds")
        headers = tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE
        if self.type in (*headers, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and self.size > LARGEST:
            raise tarfile.ReadError("a header without bounds")
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return]

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise tarfile.ReadError("a sparse file")


def check_source(file: BinaryIO, name: Name) -> None:
    """:class:`Damaged` if an old sdist, or one without core metadata, is half an archive or cannot be built from."""
    file.seek(0)
    found = False
    try:
        if name.filename.endswith(".tar.Z"):
            found = file.read(2) == COMPRESS
        else:
            # To the end: half a file has its first members too.
            for member in _source_members(file, name):
                found = found or member.rpartition("/")[2] in BUILT_FROM
    except BadUpload:
        return  # a directory that an upload would be refused for
    except (Unreadable, tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, struct.error, ValueError):
        raise Damaged(f"{name.filename!r} cannot be read: it is damaged, or a part of a file.") from None
    if not found:
        raise Damaged(f"{name.filename!r} is no sdist: it has none of {', '.join(sorted(BUILT_FROM))}.")


def _source_members(file: BinaryIO, name: Name) -> Iterator[str]:
    """The paths of an archive, as long as it is not larger than any sdist is."""
    if name.filename.endswith(".zip"):
        yield from zips.names(file)
        return
    limit = max(SMALL, MAX_RATIO * file.seek(0, 2))
    file.seek(0)
    with _unpacked(file, name) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Bounded) as tar:
        for number, member in enumerate(tar):
            if number >= MAX_MEMBERS or member.offset_data + member.size > limit:
                raise tarfile.ReadError("larger than any sdist")
            yield member.name


def _unpacked(file: BinaryIO, name: Name) -> AbstractContextManager[Any]:
    """A stream that unpacks as much as is asked for; what ``tarfile`` has for that unpacks all that it has read."""
    if name.filename.endswith(".bz2"):
        return bz2.open(file)
    if name.filename.endswith(".xz"):
        return lzma.open(file)
    return nullcontext(file) if name.filename.endswith(".tar") else GzipFile(fileobj=file)
