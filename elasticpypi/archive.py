"""What is inside a wheel or an sdist: its core metadata, read with bounded memory and time.

Nothing is ever unpacked. Every refusal is a :class:`BadUpload` that names the member or the number
that was found. The bounds on size are PyPI's (REQ-130 to REQ-132).
"""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import PurePosixPath
from typing import IO, BinaryIO, Self

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from elasticpypi.errors import BadUpload, Damaged
from elasticpypi.filename import Name

MAX_METADATA = 4 * 1024 * 1024
MAX_MEMBERS = 100_000
MAX_DIRECTORY = 64 * 1024 * 1024
MAX_HEADER = 1024 * 1024
HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
SMALL = 64 * 1024 * 1024  # below this many unpacked bytes any ratio is fine
MAX_RATIO = 50


def core_metadata(file: BinaryIO, name: Name, *, thorough: bool = True) -> bytes:
    """The bytes of METADATA (wheel) or PKG-INFO (sdist); ``file`` is seekable.

    ``thorough`` also holds each member of a zip file against the directory, which is a jump per member.
    """
    try:
        if name.kind == "bdist_wheel":
            return _wheel_metadata(file, name, thorough)
        if name.filename.endswith(".zip"):
            return _zip_sdist_metadata(file, name, thorough)
        return _tar_sdist_metadata(file, name)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, struct.error, gzip.BadGzipFile):
        form = "zip" if name.filename.endswith((".whl", ".zip")) else "gzip-compressed tar"
        raise Damaged(f"{name.filename!r} cannot be read: it is no {form} file, or damaged.") from None
    except (NotImplementedError, RuntimeError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise BadUpload(f"{name.filename!r} cannot be read: {error}."[:400].replace("\n", " ")) from None


# ---- wheels and zip files


def _wheel_metadata(file: BinaryIO, name: Name, thorough: bool) -> bytes:
    with _open_zip(file, thorough) as archive:
        names = archive.namelist()
        folders = {top for top, slash, _ in (member.partition("/") for member in names) if slash}
        infos = sorted(folder for folder in folders if folder.endswith(".dist-info"))
        if len(infos) != 1:
            raise BadUpload(f"A wheel has one .dist-info folder, this one has {len(infos)}: {', '.join(infos[:3])}.")
        info = infos[0]
        if not _same_release(info.removesuffix(".dist-info"), name):
            raise BadUpload(f"The folder {info!r} does not belong to the file name {name.filename!r}.")
        present = set(names)
        for needed in ("METADATA", "WHEEL", "RECORD"):  # PEP 427
            if f"{info}/{needed}" not in present:
                raise BadUpload(f"The wheel has no {info}/{needed}.")
        wheel = BytesParser().parsebytes(_read_member(archive, f"{info}/WHEEL"), headersonly=True)
        version = str(wheel.get("Wheel-Version", "")).strip()
        if version.partition(".")[0] != "1":  # PEP 427: installers fail if the major version is greater
            raise BadUpload(f"{info}/WHEEL has Wheel-Version {version[:20]!r}: 1.x can be installed.")
        return _read_member(archive, f"{info}/METADATA")


def _same_release(folder: str, name: Name) -> bool:
    """Whether ``demo_b-1.0`` names the project and version of the file, in any spelling."""
    try:
        project, version, _, _ = parse_wheel_filename(f"{folder}-py3-none-any.whl")
    except InvalidWheelFilename:
        return False
    return project == name.project and version == name.version


def _zip_sdist_metadata(file: BinaryIO, name: Name, thorough: bool) -> bytes:
    with _open_zip(file, thorough) as archive:
        top = _one_top(archive.namelist())
        _check_top(top, name)
        if f"{top}/PKG-INFO" not in archive.namelist():
            raise BadUpload(f"The sdist has no {top}/PKG-INFO.")
        return _read_member(archive, f"{top}/PKG-INFO")


def _open_zip(file: BinaryIO, thorough: bool) -> zipfile.ZipFile:
    """The archive, after the checks that hold for its directory as a whole."""
    size = file.seek(0, io.SEEK_END)
    _check_directory(file, size)
    archive = zipfile.ZipFile(file)
    seen: set[str] = set()
    packed = unpacked = 0
    for member in archive.infolist():
        _check_path(member.orig_filename)
        if member.orig_filename in seen:
            raise BadUpload(f"The member {member.filename[:80]!r} is in the archive twice.")
        seen.add(member.orig_filename)
        if member.flag_bits & 0x1:
            raise BadUpload(f"The member {member.filename[:80]!r} is encrypted.")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadUpload(f"The member {member.filename[:80]!r} is neither stored nor deflated.")
        packed += member.compress_size
        unpacked += member.file_size
    if packed > size:
        raise BadUpload(f"The members claim {packed} bytes of an archive of {size} bytes.")
    if unpacked > SMALL and unpacked > MAX_RATIO * size:
        raise BadUpload(f"The archive of {size} bytes unpacks to {unpacked}: more than {MAX_RATIO} times as much.")
    if thorough:
        _check_local_headers(file, archive)
    return archive


def _check_local_headers(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """uv reads the headers before the members, pip the directory: both must see the same, and nothing besides."""
    end = 0
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        # APPNOTE.TXT 4.3.9: after a streamed member its sizes may follow, with or without a signature.
        gap = member.header_offset - end
        if gap not in (0, 12, 16, 20, 24) or (gap and end == 0):
            raise BadUpload(f"The archive has data that belongs to no member, before {member.filename[:80]!r}.")
        file.seek(member.header_offset)
        signature, flags, length, extra = struct.unpack("<4s2xH18xHH", file.read(30))
        encoding = "utf-8" if flags & 0x800 else "cp437"
        if signature != b"PK\x03\x04" or file.read(length).decode(encoding) != member.orig_filename:
            raise BadUpload(f"The member {member.filename[:80]!r} has another name in its own header.")
        end = member.header_offset + 30 + length + extra + member.compress_size
    if archive.start_dir - end not in (0, 12, 16, 20, 24):
        raise BadUpload("The archive has data that belongs to no member, before its directory.")


def _check_directory(file: BinaryIO, size: int) -> None:
    """Bound the directory before zipfile reads it, and refuse data before or behind the archive."""
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        raise zipfile.BadZipFile
    # APPNOTE.TXT 4.3.16: the end record has 22 bytes and a comment; no tool writes one into wheels.
    file.seek(max(0, size - 22))
    end = file.read(22)
    if len(end) != 22 or end[:4] != b"PK\x05\x06":
        raise Damaged("The archive does not end with a zip end record: it is truncated, or data follows it.")
    count, length, offset, comment = struct.unpack("<10xHIIH", end)
    file.seek(max(0, size - 42))
    behind = size - 22
    if file.read(4) == b"PK\x06\x07":  # from 2 GB on, Python writes it though the fields above have room
        count, length, offset, behind = _zip64_directory(file, size)
    if comment or offset + length != behind:
        raise BadUpload("The archive has data that belongs to no member.")
    if count > MAX_MEMBERS or length > MAX_DIRECTORY:
        raise BadUpload(f"The archive lists {count} members in {length} bytes: {MAX_MEMBERS} members are allowed.")


def _zip64_directory(file: BinaryIO, size: int) -> tuple[int, int, int, int]:
    """Members, length and place of the directory of a zip64 archive, and what is behind it (APPNOTE.TXT 4.3.14)."""
    file.seek(max(0, size - 42))
    signature, where = struct.unpack("<4s4xQ4x", file.read(20))
    if signature != b"PK\x06\x07" or where + 56 > size:
        raise zipfile.BadZipFile
    file.seek(where)
    signature, count, length, offset = struct.unpack("<4s28xQQQ", file.read(56))
    if signature != b"PK\x06\x06" or where + 56 != size - 42:
        raise zipfile.BadZipFile
    return count, length, offset, where


def _read_member(archive: zipfile.ZipFile, member: str) -> bytes:
    with archive.open(member) as stream:
        return _read_metadata(stream, member)


def _read_metadata(stream: IO[bytes], member: str) -> bytes:
    data = stream.read(MAX_METADATA + 1)
    if len(data) > MAX_METADATA:
        raise BadUpload(f"{member[:80]} is larger than {MAX_METADATA} bytes.")
    return data


# ---- sdists


def _tar_sdist_metadata(file: BinaryIO, name: Name) -> bytes:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    metadata: bytes | None = None
    top = ""
    with gzip.GzipFile(fileobj=file) as unpacked:
        bounded = _Bounded(unpacked, size)
        # Mode "r|" reads forwards only, so a member that hides behind a seek cannot exist.
        with tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Member) as archive:
            for member in _members(archive):
                path = member.name.removeprefix("./")
                top = _one_top([path], top)
                if path == f"{top}/PKG-INFO" and member.isfile():
                    if metadata is not None:
                        raise BadUpload(f"The sdist has {top[:80]}/PKG-INFO twice.")
                    stream = archive.extractfile(member)
                    assert stream is not None  # a regular file has content
                    metadata = _read_metadata(stream, path)
        while bounded.read(1024 * 1024):  # the end of the stream carries its checksum
            pass
    _check_top(top, name)
    if metadata is None:
        raise BadUpload(f"The sdist has no {top or '<name>-<version>'}/PKG-INFO.")
    return metadata


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for count, member in enumerate(archive, 1):
        archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header otherwise
        if count > MAX_MEMBERS:
            raise BadUpload(f"The archive has more than {MAX_MEMBERS} members.")
        _check_path(member.name)
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


class _Member(tarfile.TarInfo):
    """tarfile reads the long names and attributes that stand before a member whole: bound them."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in HEADERS and member.size > MAX_HEADER:
            raise BadUpload(f"The archive has a member with {member.size} bytes of name and attributes.")
        return member

    def _refuse_sparse(self, *_: object) -> Self:
        raise BadUpload(f"The member {self.name[:80]!r} is a sparse file.")

    # How tarfile reads the maps of sparse files, old and new: without a bound.
    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


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


def _check_top(top: str, name: Name) -> None:
    """PEP 625: the folder is called as the file is, here in any spelling."""
    if top and not _same_release(top.replace("-", "_", top.count("-") - 1), name):
        raise BadUpload(f"The folder {top[:80]!r} in the sdist does not belong to the file name {name.filename!r}.")


# ---- both


def _check_path(path: str) -> None:
    if path.startswith("/") or "\\" in path or "\0" in path or path[1:2] == ":" or ".." in path.split("/") or not path:
        raise BadUpload(f"The member {path[:80]!r} has a path that leads out of the archive.")


def _one_top(paths: list[str], top: str = "") -> str:
    """The one folder at the top of an sdist (PEP 625)."""
    for path in paths:
        folder = path.removeprefix("./").partition("/")[0]
        if not folder or folder == ".":
            continue
        if top and folder != top:
            raise BadUpload(f"An sdist has one folder at the top, this one has {top[:60]!r} and {folder[:60]!r}.")
        top = folder
    return top
