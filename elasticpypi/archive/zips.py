"""Zip files: wheels, and the sdists of old build tools."""

import io
import struct
import zipfile
from email.parser import BytesParser
from typing import BinaryIO

from elasticpypi.archive.shape import (
    MAX_MEMBERS,
    MAX_RATIO,
    SMALL,
    check_path,
    check_top,
    one_top,
    read_metadata,
    same_release,
)
from elasticpypi.errors import BadUpload, Damaged
from elasticpypi.filename import Name

MAX_DIRECTORY = 32 * 1024 * 1024


def wheel_metadata(file: BinaryIO, name: Name, thorough: bool) -> bytes:
    with _open_zip(file, thorough) as archive:
        names = archive.namelist()
        folders = {top for top, slash, _ in (member.partition("/") for member in names) if slash}
        infos = sorted(folder for folder in folders if folder.endswith(".dist-info"))
        if len(infos) != 1:
            raise BadUpload(f"A wheel has one .dist-info folder, this one has {len(infos)}: {', '.join(infos[:3])}.")
        info = infos[0]
        if not same_release(info.removesuffix(".dist-info"), name):
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


def sdist_metadata(file: BinaryIO, name: Name, thorough: bool) -> bytes:
    with _open_zip(file, thorough) as archive:
        top = one_top(archive.namelist())
        check_top(top, name)
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
        check_path(member.orig_filename)
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
        return read_metadata(stream, member)
