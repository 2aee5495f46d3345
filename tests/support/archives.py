"""A good wheel and a good sdist in memory, and archives that are bent out of shape."""

import io
import tarfile
import zipfile
import zlib

import pytest

from elasticpypi.core import filename
from elasticpypi.core.archive import core_metadata
from elasticpypi.core.errors import BadUpload
from tests.support.builders import QUICKLY, metadata

WHEEL = filename.parse("demo-1.0-py3-none-any.whl")
SDIST = filename.parse("demo-1.0.tar.gz")
CORE = metadata("demo", "1.0")
INFO = "demo-1.0.dist-info"
MEMBERS = {f"{INFO}/METADATA": CORE, f"{INFO}/WHEEL": b"Wheel-Version: 1.0\n", f"{INFO}/RECORD": b""}


def refused(data: bytes, name: filename.Name = WHEEL) -> str:
    with pytest.raises(BadUpload) as error:
        core_metadata(io.BytesIO(data), name)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    return str(error.value)


def zip_with(change: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in MEMBERS.items():
            archive.writestr(path, data)
        if change == "duplicate":
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr(f"{INFO}/METADATA", CORE)
        elif change in ("bzip2", "lzma"):
            archive.writestr("x", b"x", zipfile.ZIP_BZIP2 if change == "bzip2" else zipfile.ZIP_LZMA)
    data = buffer.getvalue()
    if change == "encrypted":
        place = data.index(b"PK\x01\x02") + 8
        data = data[:place] + b"\x01\x00" + data[place + 2 :]
    return data


def bomb(path: str, size: int) -> bytes:
    """A zip file whose last member unpacks to ``size`` zeros, built without holding them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=QUICKLY) as archive:
        for member, data in MEMBERS.items():
            if member != path:
                archive.writestr(member, data)
        with archive.open(path, "w", force_zip64=True) as stream:
            for _ in range(size // 1_000_000):
                stream.write(bytes(1_000_000))
    return buffer.getvalue()


def tar_with(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        core = tarfile.TarInfo("demo-1.0/PKG-INFO")
        core.size = len(CORE)
        archive.addfile(core, io.BytesIO(CORE))
        for member in members:
            archive.addfile(member)
    return buffer.getvalue()


def member(path: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, link
    return info


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    """One header, whatever it promises."""
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, size
    return header.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


GOOD_TAR = padded(tar_member("demo-1.0/PKG-INFO", size=len(CORE)) + CORE)


def pax(records: dict[str, str]) -> bytes:
    """An extended header (POSIX pax)."""
    lines = b""
    for keyword, value in records.items():
        length = len(keyword) + len(value) + 3
        length += len(str(length + len(str(length))))
        lines += f"{length} {keyword}={value}\n".encode()
    return tar_member("x", tarfile.XHDTYPE, len(lines)) + padded(lines)


def packed(*pieces: bytes) -> bytes:
    packer = zlib.compressobj(QUICKLY, zlib.DEFLATED, 31)
    return b"".join(map(packer.compress, pieces)) + packer.flush()
