"""Compressed tar files: sdists (PEP 625, PEP 721).

They are read block by block, not with ``tarfile``: that ends without a word where a header is wrong, and it takes
much that other readers read otherwise (POSIX pax, section "ustar Interchange Format"; GNU tar, "Basic Tar Format").
"""

import io
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from elasticpypi.core.archive.shape import (
    CHUNK,
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
)
from elasticpypi.core.errors import BadUpload
from elasticpypi.core.filename import Name

BLOCK = 512
MAX_HEADER = 16 * 1024
FILES, FOLDER, HARD_LINK, SYMLINK = (b"0", b"\0"), b"5", b"1", b"2"
GNU_NAMES = {b"L": "path", b"K": "linkpath"}
PAX, PAX_FOR_ALL = (b"x", b"X"), b"g"
RECORD = re.compile(rb"([0-9]{1,5}) ([^=\n]+)=")


class Member(NamedTuple):
    name: str
    kind: bytes
    link: str
    size: int


def sdist_metadata(file: BinaryIO, name: Name) -> bytes:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    # One gzip stream: where a second one follows, uv ends after the first and pip goes on.
    unpacked = _Unpacked(inflated(pieces_of(file, size), 16 + zlib.MAX_WBITS), size)
    metadata: bytes | None = None
    top = ""
    kinds: dict[str, bytes] = {}
    members: list[tuple[str, bool]] = []
    names = 0
    for member in _members(unpacked):
        path = normal(member.name)
        _check_member(member, path, kinds)
        names += len(member.name) + len(member.link)
        if len(members) >= MAX_MEMBERS or names > MAX_NAMES:
            raise BadUpload(f"The archive has more than {MAX_MEMBERS} members, or very long names.")
        if path:
            members.append((path, member.kind == FOLDER))
            kinds[path] = member.kind
        top = one_top([path], top)
        if path == f"{top}/PKG-INFO" and member.kind in FILES:
            if member.size > MAX_METADATA:
                raise BadUpload(f"{path[:80]} is larger than {MAX_METADATA} bytes.")
            metadata = unpacked.exactly(member.size)
            unpacked.skip(-member.size % BLOCK)
        else:
            unpacked.skip(member.size + -member.size % BLOCK)
    check_tree(members)
    check_top(top, name)
    if metadata is None:
        raise BadUpload(f"The sdist has no {top or '<name>-<version>'}/PKG-INFO.")
    return metadata


def _check_member(member: Member, path: str, before: dict[str, bytes]) -> None:
    """``before`` has the kinds of the members so far."""
    shown = repr(member.name[:80])
    check_path(member.name)
    if member.kind not in (*FILES, FOLDER, HARD_LINK, SYMLINK):
        raise BadUpload(f"The member {shown} is a device, a pipe or a sparse file.")
    if member.kind not in FILES and member.size:
        raise BadUpload(f"The member {shown} is no file, but has {member.size} bytes.")
    if member.kind in FILES and member.name.endswith("/"):
        raise BadUpload(f"The member {shown} is a file with the name of a folder.")
    if member.kind == HARD_LINK:
        target = normal(member.link)
        if member.link.startswith("/") or ".." in target.split("/"):
            raise BadUpload(f"The link {shown} leads out of the archive.")
        if before.get(target) not in (*FILES, HARD_LINK):
            raise BadUpload(f"The link {shown} leads to no file that comes before it.")
    elif member.kind == SYMLINK:
        _check_symlink(member.link, path)


def _check_symlink(link: str, path: str) -> None:
    """PEP 721: a link may not lead out of the archive."""
    parts = normal(link).split("/")
    ups = next((count for count, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[ups:]:  # after another link it would lead elsewhere than it seems
        raise BadUpload(f"The link {path[:80]!r} goes up after it went down: {link[:80]!r}.")
    if path.count("/") - ups < 1 or link.startswith("/") or "\\" in link or link[1:2] == ":" or "\0" in link:
        raise BadUpload(f"The link {path[:80]!r} leads out of the archive.")


# ---- blocks


def _members(stream: "_Unpacked") -> Iterator[Member]:
    """Each member with the names of the headers before it; whoever reads them skips what belongs to a member."""
    own: dict[str, bytes] = {}  # what the headers before a member say about it
    first = True
    while block := stream.read(BLOCK):
        if not block.strip(b"\0"):
            _check_end(stream)
            break
        try:
            size = _check_header(block)
        except ValueError:
            if first:
                raise Unreadable from None
            raise BadUpload("The archive has a header that cannot be read.") from None
        first = False
        kind = block[156:157]
        if kind in GNU_NAMES or kind in PAX or kind == PAX_FOR_ALL:
            if size > MAX_HEADER:
                raise BadUpload(f"The archive has a member with {size} bytes of name and attributes.")
            data = stream.exactly(size)
            stream.skip(-size % BLOCK)
            fields = {GNU_NAMES[kind]: data.partition(b"\0")[0]} if kind in GNU_NAMES else _records(data)
            # Readers differ in which of two they take, and in whether one holds for all members.
            if fields.keys() & own.keys() or (kind == PAX_FOR_ALL and fields):
                raise BadUpload("The archive has a member with two names or sizes.")
            own |= fields
        else:
            yield _member(block, kind, size, own)
            own = {}
    if own:
        raise BadUpload("The archive ends with the name of a member that does not follow.")


def _check_end(stream: "_Unpacked") -> None:
    while data := stream.read(CHUNK):  # the end of the stream carries its checksum
        if data.strip(b"\0"):
            raise BadUpload("The archive has data behind its end.")


def _check_header(block: bytes) -> int:
    """The size that a header says; :class:`ValueError` if some reader would not read it."""
    if len(block) < BLOCK or _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        raise ValueError
    for start, end in ((100, 108), (108, 116), (116, 124), (136, 148), (329, 337), (337, 345)):
        _number(block[start:end])  # mode, owners, time, device
    if block[257:263] != b"ustar\0" and block[345:500].strip(b"\0"):
        raise ValueError  # only in POSIX's form this is a part of the name; Python takes it for one in any form
    size = _number(block[124:136])
    if size < 0:
        raise ValueError
    return size


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], "big") - (256 ** len(field[1:]) if field[0] == 0xFF else 0)
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise ValueError
    return int(digits or b"0", 8)


def _records(data: bytes) -> dict[str, bytes]:
    """What a pax header says about names and sizes: records of ``length keyword=value``, each with a line feed."""
    fields: dict[str, bytes] = {}
    place = 0
    while place < len(data):
        match = RECORD.match(data, place)
        end = place + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise BadUpload("The archive has attributes of a member that cannot be read.")
        keyword = match[2].decode("utf-8", "replace")
        if keyword.startswith("GNU.sparse"):
            raise BadUpload("The archive has a member that is a sparse file.")
        if keyword in fields:
            raise BadUpload("The archive has a member with two names or sizes.")
        if keyword in ("path", "linkpath", "size"):
            fields[keyword] = data[match.end() : end - 1]
        place = end
    return fields


def _member(block: bytes, kind: bytes, size: int, own: dict[str, bytes]) -> Member:
    name, link, prefix = (block[start:end].partition(b"\0")[0] for start, end in ((0, 100), (157, 257), (345, 500)))
    if prefix:
        name = prefix + b"/" + name
    # uv once took the size of the header and pip that of the record: members hid between them.
    if own.get("size", str(size).encode()) != str(size).encode():
        raise BadUpload("The archive has a member with two names or sizes.")
    texts = (own.get("path", name), own.get("linkpath", link))
    return Member(texts[0].decode("utf-8", "surrogateescape"), kind, texts[1].decode("utf-8", "surrogateescape"), size)


class _Unpacked:
    """Reads a decompressed stream, until it has become suspiciously larger than the file."""

    def __init__(self, pieces: Iterator[bytes], packed: int) -> None:
        self._pieces = pieces
        self._left = max(SMALL, MAX_RATIO * packed)
        self._piece = b""
        self._place = 0

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        found = []
        while size:
            if self._place == len(self._piece):
                self._piece, self._place = next(filter(None, self._pieces), b""), 0
                self._left -= len(self._piece)
                if self._left < 0:
                    raise BadUpload(f"The archive unpacks to more than {MAX_RATIO} times its size.")
                if not self._piece:
                    break
            found.append(self._piece[self._place : self._place + size])
            self._place += len(found[-1])
            size -= len(found[-1])
        return b"".join(found)

    def exactly(self, size: int) -> bytes:
        data = self.read(size)
        if len(data) < size:
            raise Unreadable
        return data

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.exactly(min(size, CHUNK)))
