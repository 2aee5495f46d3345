"""Wheels and sdists out of shape: refused with one sentence, in little time and memory."""

import bz2
import gzip
import io
import os
import re
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from elasticpypi.core import archive, filename
from elasticpypi.core.archive import core_metadata
from elasticpypi.core.errors import Damaged
from tests.support.archives import CORE, INFO, MEMBERS, SDIST, WHEEL, bomb, member, refused, tar_with, zip_with
from tests.support.builders import make_sdist, make_wheel, tar_bytes, zip_bytes


def test_good_archives() -> None:
    assert core_metadata(io.BytesIO(zip_bytes(MEMBERS)), WHEEL) == CORE
    assert core_metadata(io.BytesIO(tar_bytes({"demo-1.0/PKG-INFO": CORE})), SDIST) == CORE
    assert core_metadata(io.BytesIO(tar_bytes({"./demo-1.0/PKG-INFO": CORE})), SDIST) == CORE
    assert core_metadata(io.BytesIO(zip_bytes({"demo-1.0/PKG-INFO": CORE})), filename.parse("demo-1.0.zip")) == CORE


def test_no_archives() -> None:
    tar, zipped = tar_bytes({"demo-1.0/PKG-INFO": CORE}), zip_bytes(MEMBERS)
    for data in (b"x", b"not an archive" * 10, tar, os.urandom(1000)):
        assert "no zip file, or damaged" in refused(data)
    for data in (b"x", b"not an archive" * 10, zipped, os.urandom(1000), gzip.compress(b"no tar"), tar[:-9]):
        assert "no gzip-compressed tar file, or damaged" in refused(data, SDIST)
    assert "truncated" in refused(zipped[:-30])


@pytest.mark.req("REQ-130")
@pytest.mark.parametrize("missing", ["METADATA", "WHEEL", "RECORD"])
def test_a_wheel_lacks_something(missing: str) -> None:
    members = {path: data for path, data in MEMBERS.items() if not path.endswith(missing)}
    assert refused(zip_bytes(members)) == f"The wheel has no {INFO}/{missing}."


@pytest.mark.req("REQ-130", "REQ-133")
def test_dist_info_folders() -> None:
    assert "this one has 0" in refused(zip_bytes({"demo.py": b""}))
    assert "this one has 2" in refused(zip_bytes({**MEMBERS, "other-1.0.dist-info/METADATA": CORE}))
    other = {path.replace("demo-1.0", "other-1.0"): data for path, data in MEMBERS.items()}
    assert "'other-1.0.dist-info' does not belong" in refused(zip_bytes(other))


@pytest.mark.req("REQ-130", "REQ-131")
@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "C:\\x", "C:x", "a\\b"])
def test_paths_that_lead_out(path: str) -> None:
    assert "leads out of the archive" in refused(zip_bytes({**MEMBERS, path: b""}))
    assert "leads out of the archive" in refused(tar_bytes({"demo-1.0/PKG-INFO": CORE, path: b""}), SDIST)


@pytest.mark.req("REQ-130")
def test_members_that_installers_cannot_trust() -> None:
    assert "in the archive twice" in refused(zip_with("duplicate"))
    assert "neither stored nor deflated" in refused(zip_with("bzip2"))
    assert "neither stored nor deflated" in refused(zip_with("lzma"))
    assert "is encrypted" in refused(zip_with("encrypted"))


@pytest.mark.req("REQ-130")
def test_data_around_a_zip_file() -> None:
    data = zip_bytes(MEMBERS)
    assert "no zip file" in refused(b"#!/bin/sh\n" + data)
    assert "data follows" in refused(data + b"behind")
    assert "belongs to no member" in refused(data[:-22] + b"between" + data[-22:])
    assert "no zip file" in refused(tar_bytes({"demo-1.0/PKG-INFO": CORE}) + data)


def test_zip64_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in MEMBERS.items():
            with archive.open(path, "w", force_zip64=True) as member:
                member.write(data)
    assert core_metadata(io.BytesIO(buffer.getvalue()), WHEEL) == CORE


@pytest.mark.req("REQ-132")
@pytest.mark.parametrize("path", [f"{INFO}/METADATA", "demo.py"])
def test_a_zip_bomb_costs_little(path: str) -> None:
    data = bomb(path, 100_000_000)
    tracemalloc.start()
    try:
        assert "more than 50 times as much" in refused(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.req("REQ-132")
def test_a_bomb_that_lies_about_its_size() -> None:
    data = bytearray(bomb(f"{INFO}/METADATA", 20_000_000))
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 1000)
    assert refused(bytes(data))


@pytest.mark.slow
def test_headers_of_old_sdists_are_bounded() -> None:
    """``tarfile`` reads the attributes of a member whole, however large, and the map of a sparse file too."""
    name = filename.parse_stored("demo-1.0.tar.bz2")
    assert name is not None
    for kind in (b"x", b"g", b"L", b"K", b"S", b"?"):
        info = tarfile.TarInfo("demo-1.0/setup.py")
        info.type, info.size = kind, 40 * 1024 * 1024
        packed = bz2.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size + 1024))
        tracemalloc.start()
        try:
            with pytest.raises(Damaged):
                archive.check_source(io.BytesIO(packed), name)
            assert tracemalloc.get_traced_memory()[1] < 10_000_000, kind
        finally:
            tracemalloc.stop()


@pytest.mark.req("REQ-132")
@pytest.mark.slow
def test_a_million_members_are_not_read() -> None:
    data = bytearray(zip_bytes(MEMBERS))
    data[-12:-8] = struct.pack("<HH", 0xFFFE, 0xFFFE)[:4]
    assert refused(bytes(data))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(100_001):
            archive.writestr(str(number), b"")
    assert "100001 members" in refused(buffer.getvalue())


@pytest.mark.req("REQ-132")
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
@pytest.mark.slow
def test_a_gzip_bomb_costs_little(kind: bytes) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    header = member("demo-1.0/data", kind)
    header.size = 10**10
    data = packer.compress(header.tobuf(tarfile.GNU_FORMAT))
    for _ in range(200):
        data += packer.compress(bytes(1_000_000))
    data += packer.flush()
    tracemalloc.start()
    try:
        assert re.search("more than|name and attributes", refused(data, SDIST))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.req("REQ-131")
def test_tar_members_that_installers_cannot_trust() -> None:
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        assert "is a device, a pipe" in refused(tar_with(member("demo-1.0/x", kind)), SDIST)
    assert "goes up after" in refused(tar_with(member("demo-1.0/x", tarfile.SYMTYPE, "a/../../../x")), SDIST)
    for link in ("../../x", "/etc/passwd", "C:x", "..\\x"):
        assert "leads out" in refused(tar_with(member("demo-1.0/x", tarfile.SYMTYPE, link)), SDIST)
    assert "leads out" in refused(tar_with(member("demo-1.0/x", tarfile.LNKTYPE, "../x")), SDIST)
    inside = [
        member("demo-1.0/a/x", tarfile.SYMTYPE, "../b"),
        member("demo-1.0/y", tarfile.LNKTYPE, "demo-1.0/PKG-INFO"),
    ]
    assert core_metadata(io.BytesIO(tar_with(*inside)), SDIST) == CORE


@pytest.mark.parametrize("wheel", [b"", b"\xff\xfe", b"Wheel-Version: 2.0\n", b"Generator: x\n"])
def test_wheel_versions_that_no_installer_takes(wheel: bytes) -> None:
    assert "1.x can be installed" in refused(zip_bytes({**MEMBERS, f"{INFO}/WHEEL": wheel}))


@pytest.mark.parametrize("size", [2**62, 8 * 2**30 - 1])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_member_that_claims_more_than_there_is_ends_soon(size: int, form: int) -> None:
    header = tarfile.TarInfo("demo-1.0/x")
    header.size = size
    # What does not fit the octal digits of a header is a record before it, and then 0 there.
    told = "two names or sizes" if (size, form) == (2**62, tarfile.PAX_FORMAT) else "damaged"
    assert told in refused(gzip.compress(header.tobuf(form) + bytes(2048)), SDIST)


def test_long_names_and_attributes_are_bounded() -> None:
    header = member("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    header.size = 20_000_000
    data = header.tobuf(tarfile.GNU_FORMAT) + os.urandom(1000) * 20_000
    assert "20000000 bytes of name and attributes" in refused(gzip.compress(data), SDIST)


def test_both_directories_of_a_zip_file_must_agree() -> None:
    data = bytearray(zip_bytes({**MEMBERS, "demo.py": b"x"}))
    place = data.index(b"demo.py")
    data[place : place + 7] = b"evil.py"
    assert "another name in its own header" in refused(bytes(data))
    hidden = zip_bytes(MEMBERS)
    first = hidden.index(b"PK\x01\x02")
    extra = zip_bytes({"evil.py": b"x"})
    extra = extra[: extra.index(b"PK\x01\x02")]
    moved = bytearray(hidden[:first] + extra + hidden[first:])
    moved[-6:-2] = struct.pack("<I", first + len(extra))
    assert "belongs to no member" in refused(bytes(moved))


def test_streamed_members_are_fine() -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    buffer = Unseekable()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in MEMBERS.items():
            archive.writestr(path, data)
    assert core_metadata(io.BytesIO(buffer.getvalue()), WHEEL) == CORE


@pytest.mark.req("REQ-131")
def test_shape_of_an_sdist() -> None:
    assert "one folder at the top" in refused(tar_bytes({"demo-1.0/PKG-INFO": CORE, "other/x": b""}), SDIST)
    assert "has no demo-1.0/PKG-INFO" in refused(tar_bytes({"demo-1.0/setup.py": b""}), SDIST)
    assert "has no demo-1.0/PKG-INFO" in refused(tar_bytes({"demo-1.0/a/PKG-INFO": CORE}), SDIST)
    assert "has no" in refused(tar_bytes({}), SDIST)
    twice = tar_with(member("demo-1.0/PKG-INFO", tarfile.REGTYPE))
    assert "'demo-1.0/PKG-INFO' is in the archive twice" in refused(twice, SDIST)
    assert "behind the end" in refused(tar_bytes({"demo-1.0/PKG-INFO": CORE}) + b"behind", SDIST)
    assert "has no demo-1.0/PKG-INFO" in refused(zip_bytes({"demo-1.0/x": b""}), filename.parse("demo-1.0.zip"))


def test_real_builders(tmp_path: Path) -> None:
    wheel, sdist = make_wheel(tmp_path, "demo", "1.0"), make_sdist(tmp_path, "demo", "1.0")
    assert core_metadata(io.BytesIO(wheel.read_bytes()), WHEEL) == CORE
    assert core_metadata(io.BytesIO(sdist.read_bytes()), SDIST) == CORE
