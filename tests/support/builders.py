"""Small valid wheels and sdists, built on the spot; options bend them out of shape."""

import base64
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from elasticpypi.accounts.principal import Actor, Principal

ACTOR = Actor(Principal("alice"))
QUICKLY = 1  # of what Deflate is asked for; some tests have megabytes
BOUNDARY = "b0undary"  # of all forms: for each one Werkzeug compiles five patterns
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def metadata(name: str, version: str, **fields: str | list[str]) -> bytes:
    """Core metadata; ``requires_python=">=3.8"`` becomes a ``Requires-Python`` line, a list several lines."""
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    description = fields.pop("description", "")
    for field, values in fields.items():
        title = "-".join(part.capitalize() for part in field.split("_"))
        lines += [f"{title}: {value}" for value in ([values] if isinstance(values, str) else values)]
    return ("\n".join(lines) + f"\n\n{description}").encode()


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    tag: str = "py3-none-any",
    build: str = "",
    files: Mapping[str, bytes] | None = None,
    core: bytes | None = None,
    wheel_version: str = "1.0",
    **fields: str | list[str],
) -> Path:
    """``folder/name-version-tag.whl`` with a module, METADATA, WHEEL and RECORD.

    ``core`` replaces METADATA, ``files`` adds members; other options are fields of :func:`metadata`.
    """
    spelled = name.replace("-", "_")
    info = f"{spelled}-{version}.dist-info"
    module = spelled.lower().replace(".", "_")
    members = {
        f"{module}.py": f"version = {version!r}\n".encode(),
        **(files or {}),
        f"{info}/METADATA": metadata(name, version, **fields) if core is None else core,
        f"{info}/WHEEL": f"Wheel-Version: {wheel_version}\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{path},{_record_hash(data)},{len(data)}\n" for path, data in members.items())
    members[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    parts = [spelled, version, *([build] if build else []), tag]
    path = folder / f"{'-'.join(parts)}.whl"
    path.write_bytes(zip_bytes(members))
    return path


def make_old_sdist(folder: Path, name: str, version: str) -> Path:
    """``folder/name-version.tar.bz2`` with a setup.py, as distutils made it."""
    path = folder / f"{name}-{version}.tar.bz2"
    with tarfile.open(path, "w:bz2") as archive:
        info = tarfile.TarInfo(f"{name}-{version}/setup.py")
        info.size = 7
        archive.addfile(info, io.BytesIO(b"setup()"))
    return path


def make_sparse_wheel(folder: Path, name: str, version: str, size: int) -> Path:
    """A valid wheel with a stored member of ``size`` bytes of zeros, which take no room on the disk."""
    small = make_wheel(folder, name, version)
    with zipfile.ZipFile(small) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    zeros = bytes(1024 * 1024)
    with _Sparse(small, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open(zipfile.ZipInfo(f"{name}.bin"), "w", force_zip64=True) as member:
            for begin in range(0, size, len(zeros)):
                member.write(zeros[: size - begin])
        for path, data in members.items():
            archive.writestr(path, data)
    return small


class _Sparse(io.FileIO):
    def write(self, data: Any, /) -> int:
        if len(data) > 1000 and data == bytes(len(data)):
            self.seek(len(data), io.SEEK_CUR)
            return len(data)
        return super().write(data)


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    """A zip file with these members, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, QUICKLY)
    return buffer.getvalue()


NOTHING: Mapping[str, Any] = MappingProxyType({})


class RawMember(NamedTuple):
    """A member of :func:`raw_zip`; ``fields`` replaces fields of both its headers, ``local`` and ``central`` of one."""

    path: str
    data: bytes = b""
    fields: Mapping[str, Any] = NOTHING
    local: Mapping[str, Any] = NOTHING
    central: Mapping[str, Any] = NOTHING
    behind: bytes = b""

    def headers(self, offset: int) -> tuple[bytes, bytes]:
        """The header before the member, and the entry of the directory."""
        sizes = {"crc": zlib.crc32(self.data), "packed": len(self.data), "size": len(self.data)}
        common = {"flags": 0, "method": 0, **sizes, "name": self.path.encode(), "extra": b"", **self.fields}
        numbers = ("flags", "method", "crc", "packed", "size")
        one, two = {**common, **self.local}, {**common, "disk": 0, "comment": b"", "offset": offset, **self.central}
        local = struct.pack("<4sHHH4xIIIHH", b"PK\3\4", 20, *map(one.get, numbers), len(one["name"]), len(one["extra"]))
        lengths = (len(two["name"]), len(two["extra"]), len(two["comment"]))
        places = (two["disk"], two["offset"])
        central = struct.pack("<4sHHHH4xIIIHHHH6xI", b"PK\1\2", 20, 20, *map(two.get, numbers), *lengths, *places)
        return local + one["name"] + one["extra"], central + two["name"] + two["extra"] + two["comment"]


def raw_zip(members: Sequence[RawMember], gap: bytes = b"", comment: bytes = b"", **end: int) -> bytes:
    """A zip file made byte by byte; ``gap`` is before its directory, ``end`` replaces fields of the end record."""
    bodies = directory = b""
    for member in members:
        local, central = member.headers(len(bodies))
        body = zlib.compress(member.data, wbits=-15) if member.fields.get("method") == 8 else member.data
        bodies, directory = bodies + local + body + member.behind, directory + central
    bodies += gap
    counts = {"disk": 0, "first": 0, "here": len(members), "count": len(members)}
    record = {**counts, "length": len(directory), "offset": len(bodies), **end}
    return bodies + directory + struct.pack("<4sHHHHIIH", b"PK\5\6", *record.values(), len(comment)) + comment


def make_sdist(
    folder: Path,
    name: str,
    version: str,
    *,
    files: Mapping[str, bytes] | None = None,
    core: bytes | None = None,
    **fields: str | list[str],
) -> Path:
    """``folder/name-version.tar.gz`` that a PEP 517 front end can build without the network.

    It brings its own tiny build backend, so that installing it needs nothing else.
    """
    spelled = name.replace("-", "_").replace(".", "_").lower()
    top = f"{spelled}-{version}"
    members = {
        "PKG-INFO": metadata(name, version, **fields) if core is None else core,
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _BACKEND.format(name=name, version=version, spelled=spelled).encode(),
        f"{spelled}.py": f"version = {version!r}\n".encode(),
        **(files or {}),
    }
    path = folder / f"{top}.tar.gz"
    path.write_bytes(tar_bytes({f"{top}/{member}": data for member, data in members.items()}))
    return path


def tar_bytes(members: Mapping[str, bytes]) -> bytes:
    """A gzip-compressed tar file with these members, the same bytes each time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in members.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), QUICKLY, mtime=0)


def upload_form(path: Path, **changes: str | None) -> dict[str, str]:
    """The fields that twine sends for a file; ``changes`` replaces or, with None, removes some."""
    parts = path.name.removesuffix(".tar.gz").split("-")
    data = path.read_bytes()
    form: dict[str, str | None] = {
        ":action": "file_upload",
        "protocol_version": "1",
        "filetype": "bdist_wheel" if path.suffix == ".whl" else "sdist",
        "pyversion": "py3" if path.suffix == ".whl" else "source",
        "metadata_version": "2.4",
        "name": parts[0],
        "version": parts[1],
        "sha256_digest": hashlib.sha256(data).hexdigest(),
        "blake2_256_digest": hashlib.blake2b(data, digest_size=32).hexdigest(),
        **changes,
    }
    return {field: value for field, value in form.items() if value is not None}


def _record_hash(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


_BACKEND = """
import base64, hashlib, pathlib, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info = "{spelled}-{version}.dist-info"
    members = {{
        "{spelled}.py": pathlib.Path("{spelled}.py").read_bytes(),
        info + "/METADATA": pathlib.Path("PKG-INFO").read_bytes(),
        info + "/WHEEL": b"Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    record = ""
    for path, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += path + ",sha256=" + digest + "," + str(len(data)) + "\\n"
    members[info + "/RECORD"] = (record + info + "/RECORD,,\\n").encode()
    name = "{spelled}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as archive:
        for path, data in members.items():
            archive.writestr(path, data)
    return name
"""
