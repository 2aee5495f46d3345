"""Archives that one installer reads otherwise than another: refused, and what only looks like it is taken."""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.core import filename
from elasticpypi.core.archive import core_metadata
from elasticpypi.core.distribution import inspect
from elasticpypi.core.errors import Damaged
from elasticpypi.indexing import sync
from tests.support.application import Client
from tests.support.archives import (
    CORE,
    GOOD_TAR,
    INFO,
    MEMBERS,
    SDIST,
    WHEEL,
    member,
    packed,
    padded,
    pax,
    refused,
    tar_member,
    tar_with,
)
from tests.support.builders import RawMember, raw_zip, tar_bytes, zip_bytes

pytestmark = pytest.mark.req("REQ-130", "REQ-131")
GOOD = [RawMember(path, data) for path, data in MEMBERS.items()]
EVIL = RawMember("evil.py", b"evil")
DATA = b"print('demo')\n" * 9
CRC = zlib.crc32(DATA)
DEFLATED = zlib.compress(DATA, wbits=-15)


def with_member(path: str = "demo.py", data: bytes = DATA, **options: Any) -> bytes:
    """A good wheel with one more member."""
    return raw_zip([*GOOD, RawMember(path, data, **options)])


def extra(key: int, data: bytes) -> bytes:
    return struct.pack("<HH", key, len(data)) + data


def sizes64(*sizes: int) -> bytes:
    return extra(1, struct.pack(f"<{len(sizes)}Q", *sizes))


def taken(data: bytes, name: filename.Name = WHEEL) -> bool:
    return core_metadata(io.BytesIO(data), name) == CORE


RENAMED = extra(0x7075, struct.pack("<BI", 1, zlib.crc32(b"demo.py")) + b"evil.py")
N = len(DATA)
MOST = 0xFFFFFFFF
ZIPS = {
    "name": (with_member(local={"name": b"evil.py"}), "another name"),
    "encoding of the name": (with_member("d\u00e9mo.py", local={"flags": 0x800}), "another name"),
    "method": (with_member(local={"method": 8}), "packed in another way"),
    "encryption": (with_member(local={"flags": 1}), "packed in another way"),
    "descriptor": (with_member(local={"flags": 8}), "packed in another way"),
    "checksum": (with_member(local={"crc": 1}), "another size or checksum in its own header"),
    "no checksum, not streamed": (with_member(local={"crc": 0}), "another size or checksum in its own header"),
    "size": (with_member(local={"size": N - 1}), "another size or checksum in its own header"),
    "packed size": (with_member(local={"packed": N - 1}), "another size or checksum in its own header"),
    "sizes of 64 bit": (with_member(local={"extra": sizes64(N, N - 1)}), "another size or checksum in its own"),
    "sizes of 64 bit instead": (
        with_member(local={"extra": sizes64(N, N - 1), "size": MOST, "packed": MOST}),
        "another size or checksum in its own header",
    ),
    "full sizes without more": (with_member(local={"size": MOST, "packed": MOST}), "another size"),
    "one size of 64 bit": (with_member(local={"extra": sizes64(N)}), "another size or checksum in its own header"),
    "sizes of 64 bit twice": (with_member(local={"extra": sizes64(N, N) * 2}), "extra fields that cannot be read"),
    "sizes of 64 bit in the directory": (with_member(central={"extra": sizes64(N, N)}), "has two sizes"),
    "sizes of 64 bit twice in the directory": (
        with_member(central={"size": MOST, "extra": sizes64(N) * 2}),
        "extra fields that cannot be read",
    ),
    "too many sizes of 64 bit": (with_member(central={"size": MOST, "extra": sizes64(N, N)}), "two sizes"),
    "disk": (with_member(central={"disk": 1}), "one of several parts"),
    "a place behind all": (
        raw_zip([*GOOD[1:], RawMember(*GOOD[0][:2], central={"offset": MOST, "extra": sizes64(2**63 - 1)})]),
        "would begin behind the directory",
    ),
    "Unicode path": (with_member(fields={"extra": RENAMED}), "a second name"),
    "Unicode path in the directory": (with_member(central={"extra": RENAMED}), "a second name"),
    "Unicode path before the member": (with_member(local={"extra": RENAMED}), "a second name"),
    "extra field without an end": (with_member(fields={"extra": b"\x0a\x00\xff\x00x"}), "extra fields that cannot"),
    "rubbish behind a member": (with_member(behind=bytes(12)), "belongs to no member"),
    "rubbish between members": (raw_zip([EVIL, *GOOD[:2], RawMember("x", behind=bytes(16)), GOOD[2]]), "before 'demo"),
    "a hidden member": (raw_zip([RawMember("a", behind=EVIL.headers(0)[0] + b"evil"), *GOOD]), "before 'demo"),
    "rubbish before the directory": (raw_zip(GOOD, gap=b"x" * 16), "before its directory"),
    "a hidden member at the start": (EVIL.headers(0)[0] + b"evil" + raw_zip(GOOD), "belongs to no member"),
    "count too small": (raw_zip([*GOOD, EVIL], here=3, count=3), "has 4 members, but its end record says 3"),
    "count too large": (raw_zip(GOOD, here=4, count=4), "has 3 members, but its end record says 4"),
    "count of this disk": (raw_zip(GOOD, here=2), "one of several parts"),
    "number of the disk": (raw_zip(GOOD, disk=1), "one of several parts"),
    "disk of the directory": (raw_zip(GOOD, first=1), "one of several parts"),
    "comment with an end record": (raw_zip(GOOD, comment=raw_zip([])), "two end records"),
    "comment with the begin of an end record": (raw_zip(GOOD, comment=b"x PK\x05\x06 y"), "does not end with"),
    "two end records": (
        raw_zip([*GOOD, RawMember("x", struct.pack("<4s16xH", b"PK\x05\x06", 0))])[:-22]
        + struct.pack("<4s16xH", b"PK\x05\x06", 22)
        + raw_zip(GOOD)[-22:],
        "end records",
    ),
    "dot before": (with_member("./demo.py"), "can be spelled shorter: 'demo.py'"),
    "dot between": (with_member("a/./b"), "can be spelled shorter: 'a/b'"),
    "two slashes": (with_member(f"{INFO}//METADATA"), "can be spelled shorter"),
    "two slashes at the end": (with_member("a//", b""), "can be spelled shorter"),
    "line feed": (with_member("a\nb"), "control characters"),
    "escape": (with_member("a\x1b[2Jb"), "control characters"),
    "C1": (with_member("a\x9bb", fields={"flags": 0x800}), "control characters"),
    "a folder and a file": (raw_zip([*GOOD, RawMember("x/"), RawMember("x")]), "'x' is in the archive twice"),
    "a file as a folder": (raw_zip([*GOOD, RawMember("x"), RawMember("x/y/z.py")]), "'x' has members below it"),
    "a file as a folder, with others between": (
        raw_zip([*GOOD, RawMember("x/y"), RawMember("x-"), RawMember("x"), RawMember("x.py")]),
        "'x' has members below it",
    ),
    "a folder with content": (with_member("x/"), "cannot have"),
    "stored, but smaller": (with_member(fields={"size": N + 1}), "cannot have"),
    "dist-info in another case": (with_member("Demo-1.0.DIST-INFO/METADATA"), "this one has 2"),
}


@pytest.mark.parametrize("case", ZIPS)
def test_zip_files_of_two_minds(case: str) -> None:
    data, sentence = ZIPS[case]
    assert sentence in refused(data)


def streamed(behind: bytes, data: bytes = DATA, body: bytes = DEFLATED, **options: Any) -> bytes:
    """A member whose sizes follow it; ``body`` is what is in the file."""
    sizes = {"crc": zlib.crc32(data), "packed": len(body), "size": len(data)}
    fields = {"flags": 8, "method": 0, **sizes}
    local = {"method": 8, "crc": 0, "packed": 0, "size": 0, **options}
    member = RawMember("demo.py", body, fields, local, {"method": 8}, behind)
    return raw_zip([GOOD[0], member, *GOOD[1:]])


DESCRIPTORS = {
    "32 bit": struct.pack("<4sIII", b"PK\x07\x08", CRC, len(DEFLATED), N),
    "32 bit, no signature": struct.pack("<III", CRC, len(DEFLATED), N),
    "64 bit": struct.pack("<4sIQQ", b"PK\x07\x08", CRC, len(DEFLATED), N),
    "64 bit, no signature": struct.pack("<IQQ", CRC, len(DEFLATED), N),
}


@pytest.mark.parametrize("form", DESCRIPTORS)
def test_descriptors(form: str) -> None:
    good = DESCRIPTORS[form]
    assert taken(streamed(good))
    assert taken(streamed(good, crc=CRC, packed=len(DEFLATED), size=N))
    assert taken(streamed(good, extra=sizes64(0, 0)))
    assert taken(streamed(good, extra=sizes64(0, 0), size=MOST, packed=MOST))
    assert "in its own header" in refused(streamed(good, extra=sizes64(1, 0)))
    assert "in its own header" in refused(streamed(good, size=1))
    for place in range(4 if form.endswith("t") else 0, len(good)):
        assert "another size or checksum behind it" in refused(
            streamed(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        )
    assert "belongs to no member" in refused(streamed(good + b"x"))
    assert "another size or checksum behind it" in refused(streamed(good[:-1]))
    assert "another size or checksum behind it" in refused(streamed(b""))


def test_a_member_that_hides_behind_the_end_of_a_streamed_one() -> None:
    """Readers of streams find the end of a streamed member by unpacking it, others in the directory."""
    first = struct.pack("<4sIII", b"PK\x07\x08", CRC, len(DEFLATED), N)
    body = DEFLATED + first + EVIL.headers(0)[0] + EVIL.data
    behind = struct.pack("<4sIII", b"PK\x07\x08", CRC, len(body), N)
    assert "behind the end of a compressed stream" in refused(streamed(behind, body=body))
    with zipfile.ZipFile(io.BytesIO(streamed(behind, body=body))) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize("signature", [b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\7\x08"])
def test_a_member_that_hides_behind_the_end_of_a_compressed_one(signature: bytes) -> None:
    for filler in (0, 1024 * 1024 - len(DEFLATED) - 2):  # across two pieces that are read
        stream = b"\0\0\0\xff\xff" * (filler // 5) + DEFLATED  # empty blocks
        body = stream + signature + bytes(50)
        fields = {"method": 8, "crc": CRC, "packed": len(body), "size": N}
        hidden = RawMember("demo.py", body, {**fields, "method": 0}, {"method": 8}, {"method": 8})
        assert "behind the end of a compressed stream" in refused(raw_zip([*GOOD, hidden]))
    noise = b"".join(struct.pack("<I", number * 2654435761 % 2**32) for number in range(500)) + signature
    assert taken(with_member(data=noise, fields={"method": 8, "packed": len(zlib.compress(noise, wbits=-15))}))


def test_what_only_looks_odd() -> None:
    assert taken(raw_zip(GOOD, comment=b"0123456789abcdef" * 4000))  # git archive: the commit
    assert taken(raw_zip(GOOD, comment=b"PK\x05"))
    assert taken(with_member(fields={"extra": extra(0x5455, b"\1" + bytes(4)) + extra(0x6375, b"\1" + bytes(5))}))
    assert taken(with_member(local={"extra": sizes64(N, N)}))  # Python before 3.11.4
    assert taken(raw_zip([*GOOD, RawMember("x", central={"extra": sizes64(0), "size": MOST})]))
    assert taken(raw_zip([*GOOD, RawMember("x/"), RawMember("x/y"), RawMember("X"), RawMember("x-y")]))
    assert taken(with_member("d\u00e9mo.py", fields={"flags": 0x800}))
    last = RawMember(GOOD[2].path, GOOD[2].data, central={"comment": b"of a member"})
    assert taken(raw_zip([*GOOD[:2], last]))


def test_the_fields_of_a_zip64_end_record() -> None:
    data = raw_zip(GOOD)
    length, offset = struct.unpack("<II", data[-10:-2])

    def zip64(behind: bytes = b"\xff" * 16, parts: int = 1, size: int = 44, **changes: int) -> bytes:
        fields = {"disk": 0, "first": 0, "here": 3, "count": 3, "length": length, "offset": offset, **changes}
        record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", size, 45, 45, *fields.values())
        return (
            data[:-22]
            + record
            + struct.pack("<4sIQI", b"PK\6\7", 0, len(data) - 22, parts)
            + b"PK\5\6"
            + behind
            + bytes(2)
        )

    assert taken(zip64())
    assert taken(zip64(data[-18:-2]))
    for bad in (
        *(
            zip64(**{field: value})
            for field, value in {"disk": 1, "first": 1, "here": 2, "count": 2, "length": 0}.items()
        ),
        *(zip64(offset=offset - 1), zip64(parts=2), zip64(size=45), zip64(bytes(16)), zip64(count=1 << 40)),
        zip64(struct.pack("<HHHHII", 0, 0, 3, 3, length, offset - 1)),
    ):
        refused(bad)


SCRIPTS = {
    "console": "[console_scripts]\n{} = demo:main\n",
    "gui": "[gui_scripts]\n{}=demo:main\n",
    "spaces": "[ console_scripts ]\n  {}  =  demo:main\n",
    "case": "[Console_Scripts]\n{} = demo:main\n",
    "second": "[other]\na = b\n[console_scripts]\ndemo = demo:main\n{} = demo:main\n[more]\n",
    "continued": "[console_scripts]\ndemo = demo:main\n {} = demo:main\n",
    "byte order mark": "\ufeff[console_scripts]\n{} = demo:main\n",
    "carriage returns": "[console_scripts]\r\n{} = demo:main\r\n",
}


@pytest.mark.parametrize("form", SCRIPTS)
def test_commands_that_are_paths(form: str) -> None:
    def wheel(name: str, path: str = f"{INFO}/entry_points.txt") -> bytes:
        return zip_bytes({**MEMBERS, path: SCRIPTS[form].format(name).encode()})

    for name in ("../x", "a/b", "/etc/x", "..\\x", "C:x", "a\\b", "..", ".", "a..b", "", "x:y"):
        assert f"The command {name!r} in entry_points.txt is a path" in refused(wheel(name))
    for name in ("a\0b", "a\x0b../b", "a\u2028b", "a\x1b[31m"):
        assert "control characters" in refused(wheel(name))
    assert "is a path" in refused(wheel("../x", f"{INFO}/Entry_Points.TXT"))
    for name in ("demo", "demo-3.11", "d\u00e9mo", "demo.py", "my demo", "demo+x", "[demo", "demo@2"):
        assert taken(wheel(name))
    assert taken(wheel("../x", "demo/entry_points.txt"))


def test_entry_points_that_are_no_commands() -> None:
    text = (
        "# ../x = y\n[console_scripts]\n; a/b = c\n# d/e = f\n\ndemo = demo.cli:main [extra]\n[pytest11]\na/b:c = d\n"
    )
    assert taken(zip_bytes({**MEMBERS, f"{INFO}/entry_points.txt": text.encode()}))
    assert taken(zip_bytes({**MEMBERS, f"{INFO}/entry_points.txt": b""}))
    assert taken(zip_bytes({**MEMBERS, f"{INFO}/entry_points.txt": b"\xff\xfe"}))


def test_large_entry_points() -> None:
    large = {**MEMBERS, f"{INFO}/entry_points.txt": b"[console_scripts]\n" + b"a=b\n" * 300_000}
    assert "larger than 1048576 bytes" in refused(zip_bytes(large))
    assert taken(zip_bytes({**MEMBERS, f"{INFO}/entry_points.txt": b"[console_scripts]\n" + b"a=b\n" * 200_000}))


# ---- sdists


def tar(*blocks: bytes) -> bytes:
    return packed(*blocks, bytes(1024))


def with_number(place: int, digits: bytes) -> bytes:
    """An empty member whose header has other bytes at ``place``, and a checksum that fits."""
    header = bytearray(tar_member("demo-1.0/x"))
    header[place : place + len(digits)] = digits
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


FILE = tar_member("demo-1.0/x")
LONG = tar_member("x", tarfile.GNUTYPE_LONGNAME, 10) + padded(b"demo-1.0/a")
LINKS = {
    "a member below a link": [
        member("demo-1.0/a", tarfile.SYMTYPE, "b"),
        member("demo-1.0/a/x", tarfile.REGTYPE),
    ],
    "a member below a link that comes later": [
        member("demo-1.0/a/x", tarfile.REGTYPE),
        member("demo-1.0/./a", tarfile.SYMTYPE, "b"),
    ],
    "a link below a link": [
        member("demo-1.0/a", tarfile.SYMTYPE, "b/c"),
        member("demo-1.0/a/x", tarfile.SYMTYPE, "../y"),
    ],
    "a member below a file": [
        member("demo-1.0/a", tarfile.REGTYPE),
        member("demo-1.0/a/x/y", tarfile.REGTYPE),
    ],
    "up after down": [member("demo-1.0/a/x", tarfile.SYMTYPE, "b/../../y")],
    "nothing to link to": [member("demo-1.0/a", tarfile.LNKTYPE, "demo-1.0/b")],
    "a hard link to what comes later": [
        member("demo-1.0/a", tarfile.LNKTYPE, "demo-1.0/b"),
        member("demo-1.0/b", tarfile.REGTYPE),
    ],
    "a hard link to a link": [
        member("demo-1.0/b", tarfile.SYMTYPE, "c"),
        member("demo-1.0/a", tarfile.LNKTYPE, "demo-1.0/b"),
    ],
    "a hard link to a folder": [
        member("demo-1.0/b", tarfile.DIRTYPE),
        member("demo-1.0/a", tarfile.LNKTYPE, "demo-1.0/b"),
    ],
    "a file and a folder": [member("demo-1.0/a", tarfile.REGTYPE), member("demo-1.0/a", tarfile.DIRTYPE)],
    "PKG-INFO and a link": [member("demo-1.0/PKG-INFO", tarfile.SYMTYPE, "x")],
    "PKG-INFO and a hard link": [
        member("demo-1.0/x", tarfile.REGTYPE),
        member("demo-1.0/PKG-INFO", tarfile.LNKTYPE, "demo-1.0/x"),
    ],
    **{
        f"PKG-INFO and {path}": [member(path, tarfile.REGTYPE)]
        for path in ("demo-1.0/./PKG-INFO", "demo-1.0//PKG-INFO", "./demo-1.0/PKG-INFO", "demo-1.0/PKG-INFO/.")
    },
}
TARS = {
    **{case: tar_with(*members) for case, members in LINKS.items()},
    "a second archive": gzip.compress(GOOD_TAR + bytes(1024) + GOOD_TAR + bytes(1024)),
    "a member behind one block of zeros": gzip.compress(GOOD_TAR + bytes(512) + FILE + bytes(1024)),
    "one byte behind the end": gzip.compress(GOOD_TAR + bytes(9000) + b"x" + bytes(239)),
    "a second gzip stream": gzip.compress(GOOD_TAR) + gzip.compress(FILE + bytes(1024)),
    "a second gzip stream without content": tar(GOOD_TAR) + gzip.compress(b""),
    "zeros behind the gzip stream": tar(GOOD_TAR) + bytes(100),
    "a header with a wrong checksum": tar(GOOD_TAR, FILE[:148] + b"0000000\0" + FILE[156:]),
    "a time that is no number": tar(GOOD_TAR, with_number(136, b"0x1"), FILE),
    "a mode with a sign": tar(GOOD_TAR, with_number(100, b"-1"), FILE),
    "a size with an underscore": tar(GOOD_TAR, with_number(124, b"1_0"), FILE),
    "a size below zero": tar(GOOD_TAR, with_number(124, b"\xff" * 12), FILE),
    "a prefix that is none": tar(GOOD_TAR, with_number(345, b"demo-1.0/y")),
    "a folder with bytes": tar(GOOD_TAR, tar_member("demo-1.0/y", tarfile.DIRTYPE, 512), FILE),
    "a link with bytes": tar(GOOD_TAR, tar_member("demo-1.0/y", tarfile.SYMTYPE, 512), FILE),
    "a contiguous file": tar(GOOD_TAR, tar_member("demo-1.0/y", tarfile.CONTTYPE)),
    "an unknown kind": tar(GOOD_TAR, tar_member("demo-1.0/y", b"Z")),
    "a file with a slash": tar(GOOD_TAR, with_number(0, b"demo-1.0/y/")),
    "another size in a record": tar(GOOD_TAR, pax({"size": "512"}), FILE, FILE),
    "two long names": tar(GOOD_TAR, LONG, LONG, FILE),
    "a long name and a record": tar(GOOD_TAR, LONG, pax({"path": "demo-1.0/b"}), FILE),
    "two records": tar(GOOD_TAR, pax({"path": "demo-1.0/a"}), pax({"path": "demo-1.0/b"}), FILE),
    "one record twice": tar(
        GOOD_TAR,
        tar_member("x", tarfile.XHDTYPE, 2 * 19) + padded(b"19 path=demo-1.0/a\n19 path=demo-1.0/b\n"),
        FILE,
    ),
    "a record without an end": tar(GOOD_TAR, tar_member("x", tarfile.XHDTYPE, 9) + padded(b"99 path=x"), FILE),
    "a name for nothing": tar(GOOD_TAR, LONG),
}  # fmt: skip


@pytest.mark.parametrize("case", TARS)
def test_tar_files_of_two_minds(case: str) -> None:
    refused(TARS[case], SDIST)


def test_a_name_for_all_members() -> None:
    header = bytearray(pax({"path": "demo-1.0/a"}))
    header[156:157] = tarfile.XGLTYPE
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    assert "two names" in refused(tar(GOOD_TAR, bytes(header), FILE), SDIST)


def test_tar_files_that_only_look_odd() -> None:
    links = [
        member("demo-1.0/a", tarfile.DIRTYPE),
        member("demo-1.0/a", tarfile.DIRTYPE),
        member("demo-1.0/a/x", tarfile.SYMTYPE, "../b/c"),
        member("demo-1.0/a/y", tarfile.SYMTYPE, "x"),
        member("demo-1.0/y", tarfile.LNKTYPE, "./demo-1.0//PKG-INFO"),
        member("demo-1.0/z", tarfile.LNKTYPE, "demo-1.0/y"),
        member("demo-1.0/a-b", tarfile.REGTYPE),
    ]
    assert taken(tar_with(*links), SDIST)
    for data in (
        gzip.compress(GOOD_TAR),  # no marker of the end
        gzip.compress(GOOD_TAR + bytes(512)),
        gzip.compress(GOOD_TAR + bytes(20_000)),
        tar(GOOD_TAR, LONG, FILE),
        tar(GOOD_TAR, pax({"mtime": "1.5", "path": "demo-1.0/a", "comment": "x"}), FILE),
        tar(GOOD_TAR, pax({"size": "0"}), FILE),
        tar(GOOD_TAR, with_number(136, b"\x80" + bytes(10) + b"\1")),
        tar(GOOD_TAR, with_number(156, b"\0")),
        tar_bytes({"demo-1.0//./PKG-INFO": CORE, f"demo-1.0/{'long/' * 60}x": b""}),
    ):
        assert taken(data, SDIST)
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as archive:
            for path, data in (("demo-1.0/PKG-INFO", CORE), ("demo-1.0/" + "l\u00f6ng/" * 20 + "x", DATA)):
                info = tarfile.TarInfo(path)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        assert taken(buffer.getvalue(), SDIST)


def test_names_are_bounded() -> None:
    name = b"demo-1.0/" + b"x" * 16_000
    long = tar_member("x", tarfile.GNUTYPE_LONGNAME, len(name)) + padded(name) + FILE
    assert "very long names" in refused(packed(GOOD_TAR, *[long] * 2200), SDIST)


# ---- at the outside edge


def test_what_lies_in_the_store_is_still_taken(tmp_path: Path) -> None:
    for name, archives in ((WHEEL, [data for data, _ in ZIPS.values()]), (SDIST, TARS.values())):
        for data in archives:
            # Half a file, for all that can be said, is left out.
            with suppress(Damaged), (tmp_path / name.filename).open("wb+") as file:
                file.write(data)
                assert inspect(name, file).size == len(data)
    assert inspect(WHEEL, io.BytesIO(ZIPS["checksum"][0])).metadata == CORE
    assert inspect(SDIST, io.BytesIO(TARS["a second archive"])).metadata is None


def test_uploads_of_two_minds_are_refused(client: Client, tmp_path: Path) -> None:
    commands = zip_bytes({**MEMBERS, f"{INFO}/entry_points.txt": SCRIPTS["console"].format("../x").encode()})
    for name, data in (
        (WHEEL.filename, ZIPS["Unicode path"][0]),
        (WHEEL.filename, ZIPS["checksum"][0]),
        (WHEEL.filename, commands),
        (SDIST.filename, TARS["a second archive"]),
        (SDIST.filename, TARS["a member below a link"]),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        response = client.upload(path)
        assert response.status_code == 400, response.text
        assert response.text.count("\n") == 1
    assert client.get("/simple/demo/").status_code == 404
    path = tmp_path / WHEEL.filename
    path.write_bytes(raw_zip(GOOD, comment=b"6f1ed002ab5595859014ebf0951522d9"))
    assert client.upload(path).status_code == 200


def test_a_file_name_of_thousands_of_tags(client: Client, tmp_path: Path) -> None:
    letters = ".".join("abcdefghijklmnopqrstuvwxyz")
    path = tmp_path / f"demo-1.0-{letters}-{letters}-{letters}.whl"
    path.write_bytes(raw_zip(GOOD))
    response = client.upload(path)
    assert (response.status_code, response.text.count("\n")) == (400, 1)
    assert "stands for more than 256 tags" in response.text
    files, index = client.services.files, client.services.index
    with path.open("rb") as content:  # it was put into the store directly
        files.save(path.name, content, hashlib.sha256(path.read_bytes()).hexdigest())
    assert sync.sync(files, index, path.name).action == "ignored"
    assert client.get(f"/packages/{path.name}").status_code == 404
