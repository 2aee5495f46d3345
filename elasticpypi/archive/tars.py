"""Compressed tar files: sdists (PEP 625, PEP 721)."""

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, Self

from elasticpypi.archive.shape import MAX_MEMBERS, MAX_RATIO, SMALL, check_path, check_top, one_top, read_metadata
from elasticpypi.errors import BadUpload
from elasticpypi.filename import Name

MAX_HEADER = 16 * 1024
ORDINARY_HEADER = 1024
HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


def sdist_metadata(file: BinaryIO, name: Name) -> bytes:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    metadata: bytes | None = None
    top = ""
    with gzip.GzipFile(fileobj=file) as unpacked:
        bounded = _Bounded(unpacked, size)
        # Mode "r|" reads forwards only, so a member that hides behind a seek cannot exist.
        with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_member_class()) as archive:
            for member in _members(archive):
                path = member.name.removeprefix("./")
                top = one_top([path], top)
                if path == f"{top}/PKG-INFO" and member.isfile():
                    if metadata is not None:
                        raise BadUpload(f"The sdist has {top[:80]}/PKG-INFO twice.")
                    stream = archive.extractfile(member)
                    assert stream is not None  # a regular file has content
                    metadata = read_metadata(stream, path)
        while bounded.read(1024 * 1024):  # the end of the stream carries its checksum
            pass
    check_top(top, name)
    if metadata is None:
        raise BadUpload(f"The sdist has no {top or '<name>-<version>'}/PKG-INFO.")
    return metadata


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for count, member in enumerate(archive, 1):
        archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header otherwise
        if count > MAX_MEMBERS:
            raise BadUpload(f"The archive has more than {MAX_MEMBERS} members.")
        check_path(member.name)
        if member.issym() or member.islnk():
            _check_link(member)
        elif not (member.isfile() or member.isdir()) or member.issparse():
            raise BadUpload(f"The member {member.name[:80]!r} is a device, a pipe or a sparse file.")
        yield member


def _check_link(member: tarfile.TarInfo) -> None:
    """PEP 721: a link may not lead out of the archive."""
    depth = len(PurePosixPath(member.name).parts) - 1 if member.issym() else 0
    for part in PurePosixPath(member.linkname).parts:
        depth += -1 if part == ".." else 1
        if depth < 1 or part == "/":
            raise BadUpload(f"The link {member.name[:80]!r} leads out of the archive.")


def _member_class() -> type[tarfile.TarInfo]:
    """Members for one archive. tarfile reads the long names and attributes before a member whole, looks for
    digits in them in quadratic time, and reads the maps of sparse files without a bound."""
    spent = 0

    class Member(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
            nonlocal spent
            member = super().frombuf(buf, encoding, errors)
            if member.type in HEADERS and member.size > ORDINARY_HEADER:
                spent += member.size**2
                if member.size > MAX_HEADER or spent > 20 * MAX_HEADER**2:
                    raise BadUpload(f"The archive has a member with {member.size} bytes of name and attributes.")
            return member

        def _refuse_sparse(self, *_: object) -> Self:
            raise BadUpload(f"The member {self.name[:80]!r} is a sparse file.")

        _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse

    return Member


class _Bounded(io.RawIOBase):
    """Passes a decompressed stream on until it has become suspiciously larger than the file.

    At its end it gives up on a reader that asks again and again, as tarfile does to skip a member that
    claims more bytes than there are.
    """

    def __init__(self, stream: gzip.GzipFile, packed: int) -> None:
        self._stream = stream
        self._left = max(SMALL, MAX_RATIO * packed)
        self._ends = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(min(size, 1024 * 1024) if size >= 0 else 1024 * 1024)
        self._left -= len(data)
        self._ends += not data
        if self._ends > 3:
            raise EOFError
        if self._left < 0:
            raise BadUpload(f"The archive unpacks to more than {MAX_RATIO} times its size.")
        return data
