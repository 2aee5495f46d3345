"""Zip files: wheels, and the sdists of old build tools (APPNOTE.TXT).

They are read byte by byte, not with ``zipfile``: its versions differ (from 3.13 on an extra field renames members),
and it passes over much that other readers read otherwise.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from email.parser import BytesParser
from typing import BinaryIO, NamedTuple

from elasticpypi.core.archive.scripts import check_scripts
from elasticpypi.core.archive.shape import (
    MAX_MEMBERS,
    MAX_METADATA,
    MAX_NAMES,
    MAX_RATIO,
    SMALL,
    Unreadable,
    check_path,
    check_top,
    check_tree,
    inflated,
    normal,
    one_top,
    pieces_of,
    same_release,
)
from elasticpypi.core.errors import BadUpload, Damaged
from elasticpypi.core.filename import Name

MAX_SCRIPTS = 1024 * 1024
END, LOCATOR, END64, CENTRAL, LOCAL = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06", b"PK\x01\x02", b"PK\x03\x04"
MAX16, MAX32 = 0xFFFF, 0xFFFFFFFF
ENCRYPTED, STREAMED, UTF8 = 0x2041, 0x8, 0x800
STORED, DEFLATED = 0, 8
SIZES64 = 0x0001  # the extra field with sizes of 64 bit
RENAMING = (0x7075, 0x2605)  # Info-ZIP's Unicode path, ZipIt's long name
SIGNATURE = re.compile(rb"PK(?:\x01\x02|\x03\x04|\x05\x06|\x06\x06|\x07\x08)")
CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")


class Member(NamedTuple):
    """An entry of the directory; ``packed`` bytes unpack to ``size``."""

    name: str
    raw: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def wheel_metadata(file: BinaryIO, name: Name, thorough: bool) -> bytes:
    members = _open_zip(file, thorough)
    folders = {top for top, slash, _ in (member.partition("/") for member in members) if slash}
    infos = sorted(folder for folder in folders if folder.lower().endswith(".dist-info"))
    if len(infos) != 1:
        raise BadUpload(f"A wheel has one .dist-info folder, this one has {len(infos)}: {', '.join(infos[:3])}.")
    info = infos[0]
    if not same_release(info.removesuffix(".dist-info"), name):
        raise BadUpload(f"The folder {info!r} does not belong to the file name {name.filename!r}.")
    for needed in ("METADATA", "WHEEL", "RECORD"):  # PEP 427
        if f"{info}/{needed}" not in members:
            raise BadUpload(f"The wheel has no {info}/{needed}.")
    wheel = BytesParser().parsebytes(_read(file, members[f"{info}/WHEEL"]), headersonly=True)
    version = str(wheel.get("Wheel-Version", "")).strip()
    if version.partition(".")[0] not in ("0", "1"):  # PEP 427: installers fail if the major version is greater
        raise BadUpload(f"{info}/WHEEL has Wheel-Version {version[:20]!r}: 1.x can be installed.")
    for path, member in members.items():
        if path.lower() == f"{info}/entry_points.txt".lower():  # some file systems know no case
            check_scripts(_read(file, member, MAX_SCRIPTS))
    return _read(file, members[f"{info}/METADATA"])


def sdist_metadata(file: BinaryIO, name: Name, thorough: bool) -> bytes:
    members = _open_zip(file, thorough)
    top = one_top(list(members))
    check_top(top, name)
    if f"{top}/PKG-INFO" not in members:
        raise BadUpload(f"The sdist has no {top}/PKG-INFO.")
    return _read(file, members[f"{top}/PKG-INFO"])


def names(file: BinaryIO) -> list[str]:
    """The names in the directory of a zip file, whatever else it is."""
    return [member.name for member in _members(file)[0]]


def _open_zip(file: BinaryIO, thorough: bool) -> dict[str, Member]:
    """The members by their names, after the checks that hold for the archive as a whole."""
    members, size, directory = _members(file)
    for member in members:
        _check_member(member)
        if member.offset >= directory:
            raise BadUpload(f"The member {member.name[:80]!r} would begin behind the directory.")
    check_tree([(member.name.rstrip("/"), member.name.endswith("/")) for member in members])
    packed = sum(member.packed for member in members)
    unpacked = sum(member.size for member in members)
    if packed > size:
        raise BadUpload(f"The members claim {packed} bytes of an archive of {size} bytes.")
    if unpacked > SMALL and unpacked > MAX_RATIO * size:
        raise BadUpload(f"The archive of {size} bytes unpacks to {unpacked}: more than {MAX_RATIO} times as much.")
    if thorough:
        _check_bodies(file, members, directory)
    return {member.name: member for member in members}


def _check_member(member: Member) -> None:
    shown = repr(member.name[:80])
    check_path(member.name)
    # Installers look some paths up by their spelling and others on the disk, where both spellings are one.
    if member.name.removesuffix("/") != normal(member.name):
        raise BadUpload(f"The member {shown} has a path that can be spelled shorter: {normal(member.name)[:80]!r}.")
    if CONTROL.search(member.name):
        raise BadUpload(f"The member {shown} has control characters in its name.")
    if member.flags & ENCRYPTED:
        raise BadUpload(f"The member {shown} is encrypted.")
    if member.method not in (STORED, DEFLATED):
        raise BadUpload(f"The member {shown} is neither stored nor deflated.")
    if (member.method == STORED and member.packed != member.size) or (member.name.endswith("/") and member.size):
        raise BadUpload(f"The member {shown} cannot have {member.size} bytes, packed as {member.packed}.")


# ---- the directory, at the end


def _members(file: BinaryIO) -> tuple[list[Member], int, int]:
    """The entries of the directory, the size of the file, and the place of the directory in it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(4) != LOCAL:
        raise Unreadable
    count, length, offset = _end_record(file, size)
    if count > MAX_MEMBERS or length > MAX_NAMES:
        raise BadUpload(f"The archive lists {count} members in {length} bytes: {MAX_MEMBERS} members are allowed.")
    file.seek(offset)
    members = list(_entries(file.read(length)))
    if len(members) != count:
        raise BadUpload(f"The archive has {len(members)} members, but its end record says {count}.")
    return members, size, offset


def _end_record(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Number of members, length and place of the directory (APPNOTE.TXT 4.3.14 to 4.3.16).

    Readers look for the record from the end on, since a comment may follow it, such as the commit of ``git archive``.
    """
    begin = max(0, size - 22 - MAX16)
    file.seek(begin)
    tail = file.read(size - begin)
    found = tail.rfind(END)
    fitting = [
        match.start()
        for match in re.finditer(re.escape(END), tail[:-18])
        if match.start() + 22 + int.from_bytes(tail[match.start() + 20 : match.start() + 22], "little") == len(tail)
    ]
    if found not in fitting:
        raise Damaged("The archive does not end with a zip end record: it is truncated, or data follows it.")
    if len(fitting) > 1:
        raise BadUpload("The archive has two end records.")
    numbers = struct.unpack_from("<HHHHII", tail, found + 4)
    disk, first, here, count, length, offset = numbers
    behind = begin + found
    file.seek(max(0, behind - 20))
    if file.read(4) == LOCATOR:  # from 2 GB on, Python writes it though the fields above have room
        numbers64, behind = _end_record64(file, behind - 20)
        for small, large, most in zip(numbers, numbers64, (MAX16,) * 4 + (MAX32,) * 2, strict=True):
            if small not in (large, most):
                raise BadUpload("The two end records of the archive disagree.")
        disk, first, here, count, length, offset = numbers64
    if (disk, first, here) != (0, 0, count):
        raise BadUpload("The archive is one of several parts.")
    if offset + length != behind:
        raise BadUpload("The archive has data that belongs to no member.")
    return count, length, offset


def _end_record64(file: BinaryIO, locator: int) -> tuple[tuple[int, int, int, int, int, int], int]:
    """The fields of the zip64 end record, and its place."""
    where, parts = struct.unpack("<4xQI", file.read(16))
    if where + 56 != locator or parts > 1:
        raise Unreadable
    file.seek(where)
    signature, length, *numbers = struct.unpack("<4sQ4xIIQQQQ", file.read(56))
    if signature != END64 or length != 44:
        raise Unreadable
    disk, first, here, count, size, offset = numbers
    return (disk, first, here, count, size, offset), where


def _entries(directory: bytes) -> Iterator[Member]:
    place = 0
    while place < len(directory):
        signature, flags, method, crc, packed, size, *lengths, disk, offset = struct.unpack_from(
            "<4s4xHH4xIIIHHHH6xI", directory, place
        )
        start, (name, extra, comment) = place + 46, lengths
        place = start + name + extra + comment
        if signature != CENTRAL or place > len(directory):
            raise Unreadable
        raw = directory[start : start + name]
        shown = raw.decode("utf-8" if flags & UTF8 else "cp437")
        if extra:
            fields = _extra(directory[start + name : start + name + extra], shown)
            size, packed, offset, disk = _with_64_bit(fields.get(SIZES64), (size, packed, offset), disk, shown)
        if disk:
            raise BadUpload("The archive is one of several parts.")
        yield Member(shown, raw, flags, method, crc, packed, size, offset)


def _extra(data: bytes, name: str) -> dict[int, bytes]:
    """The extra fields of one header (APPNOTE.TXT 4.5)."""
    fields: dict[int, bytes] = {}
    place = 0
    while place < len(data):
        key, length = struct.unpack_from("<HH", data, place)
        place += 4 + length
        if place > len(data) or (key == SIZES64 and key in fields):
            raise BadUpload(f"The member {name[:80]!r} has extra fields that cannot be read.")
        if key in RENAMING:
            raise BadUpload(f"The member {name[:80]!r} has a second name, in an extra field.")
        fields[key] = data[place - length : place]
    return fields


def _with_64_bit(data: bytes | None, numbers: tuple[int, int, int], disk: int, name: str) -> tuple[int, int, int, int]:
    """Size, packed size, offset and disk: those that are full are in the extra field, in this order (4.5.3)."""
    if data is None:
        return *numbers, disk
    full = [number == MAX32 for number in numbers]
    if len(data) != 8 * sum(full) + 4 * (disk == MAX16):
        raise BadUpload(f"The member {name[:80]!r} has two sizes.")
    more = iter(struct.unpack_from(f"<{sum(full)}Q", data))
    size, packed, offset = (next(more) if is_full else number for number, is_full in zip(numbers, full, strict=True))
    return size, packed, offset, int.from_bytes(data[-4:], "little") if disk == MAX16 else disk


# ---- the members, from the start on


def _check_bodies(file: BinaryIO, members: list[Member], directory: int) -> None:
    """uv reads the headers before the members, pip the directory: both must see the same, and nothing besides."""
    end = 0
    for member in sorted(members, key=lambda member: member.offset):
        if member.offset != end:
            raise BadUpload(f"The archive has data that belongs to no member, before {member.name[:80]!r}.")
        end = _check_local(file, member)
        begin = end - member.packed
        # uv 0.8 goes on where a compressed stream ends, others where the directory says that it ends.
        if member.flags & STREAMED or (member.method == DEFLATED and _has_signature(file, member, begin)):
            for _ in _content(file, member, begin):
                pass
        if member.flags & STREAMED:
            end += _descriptor_length(file, member, end)
    if directory != end:
        raise BadUpload("The archive has data that belongs to no member, before its directory.")


def _check_local(file: BinaryIO, member: Member) -> int:
    """Hold the header before a member against the directory; where the member ends."""
    file.seek(member.offset)
    signature, flags, method, crc, packed, size, length, more = struct.unpack("<4s2xHH4xIIIHH", file.read(30))
    raw, extra = file.read(length), file.read(more)
    shown = repr(member.name[:80])
    if signature != LOCAL or raw != member.raw or (flags ^ member.flags) & UTF8:
        raise BadUpload(f"The member {shown} has another name in its own header.")
    if method != member.method or (flags ^ member.flags) & (ENCRYPTED | STREAMED):
        raise BadUpload(f"The member {shown} is packed in another way by its own header.")
    large = _extra(extra, member.name).get(SIZES64) if extra else None
    unknown = 0 if flags & STREAMED else None  # what follows the member is not known before it
    ok = crc in (member.crc, unknown)
    if large is None:
        ok = ok and size in (member.size, unknown) and packed in (member.packed, unknown)
    else:
        sizes = (member.size, member.packed)
        ok = ok and size in (member.size, unknown, MAX32) and packed in (member.packed, unknown, MAX32)
        ok = ok and (large == struct.pack("<QQ", *sizes) or (unknown == 0 and large == bytes(16)))
    if not ok:
        raise BadUpload(f"The member {shown} has another size or checksum in its own header.")
    return member.offset + 30 + len(raw) + len(extra) + member.packed


def _has_signature(file: BinaryIO, member: Member, place: int) -> bool:
    """Whether something that looks like another header is in the packed bytes; by chance once in a gigabyte."""
    file.seek(place)
    before = b""
    for piece in pieces_of(file, member.packed):
        if SIGNATURE.search(before + piece):
            return True
        before = piece[-3:]
    return False


def _descriptor_length(file: BinaryIO, member: Member, place: int) -> int:
    """The length of what follows a streamed member: with or without a signature, 32 or 64 bit (4.3.9)."""
    file.seek(place)
    data = file.read(24)
    large = max(member.packed, member.size) > MAX32
    for form in ("<IQQ",) if large else ("<III", "<IQQ"):
        numbers = struct.pack(form, member.crc, member.packed, member.size)
        for descriptor in (b"PK\x07\x08" + numbers, numbers):
            if data.startswith(descriptor):
                return len(descriptor)
    raise BadUpload(f"The member {member.name[:80]!r} has another size or checksum behind it.")


def _read(file: BinaryIO, member: Member, most: int = MAX_METADATA) -> bytes:
    if member.size > most:
        raise BadUpload(f"{member.name[:80]} is larger than {most} bytes.")
    file.seek(member.offset)
    signature, length, more = struct.unpack("<4s22xHH", file.read(30))
    if signature != LOCAL:
        raise Unreadable
    return b"".join(_content(file, member, member.offset + 30 + length + more))


def _content(file: BinaryIO, member: Member, place: int) -> Iterator[bytes]:
    """The unpacked bytes of a member, piece by piece; :class:`Unreadable` unless they are those of the directory."""
    file.seek(place)
    pieces = pieces_of(file, member.packed)
    size = crc = 0
    for piece in inflated(pieces, -zlib.MAX_WBITS) if member.method == DEFLATED else pieces:
        size += len(piece)
        crc = zlib.crc32(piece, crc)
        if size > member.size:
            raise Unreadable
        yield piece
    if size != member.size or crc != member.crc:
        raise Unreadable
