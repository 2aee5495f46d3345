"""Small valid wheels and sdists, and the form in which they are uploaded."""

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def make_wheel(
    folder: Path, name: str, version: str, *, files: Mapping[str, bytes] | None = None, **fields: str | list[str]
) -> Path:
    """``folder/name-version-py3-none-any.whl``; ``fields`` are of its metadata. The same bytes each time."""
    spelled = name.replace("-", "_")
    info = f"{spelled}-{version}.dist-info"
    members = {
        f"{spelled}.py": f"version = {version!r}\n".encode(),
        **(files or {}),
        f"{info}/METADATA": metadata(name, version, **fields),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in members.items())
    members[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    path = folder / f"{spelled}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return path


def make_sdist(folder: Path, name: str, version: str, **fields: str | list[str]) -> Path:
    """``folder/name-version.tar.gz`` with nothing but its metadata."""
    top = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{top}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        data = metadata(name, version, **fields)
        member = tarfile.TarInfo(f"{top}/PKG-INFO")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return path


def metadata(name: str, version: str, **fields: str | list[str]) -> bytes:
    """Core metadata; ``requires_python=">=3.8"`` becomes a ``Requires-Python`` line, a list several lines."""
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    description = fields.pop("description", "")
    for field, values in fields.items():
        title = field.replace("_", "-").title()
        lines += [f"{title}: {value}" for value in ([values] if isinstance(values, str) else values)]
    return ("\n".join(lines) + f"\n\n{description}").encode()


def upload_form(wheel: Path) -> dict[str, str]:
    """The fields that twine sends for a wheel."""
    name, version, *_ = wheel.name.split("-")
    data = wheel.read_bytes()
    return {
        ":action": "file_upload",
        "protocol_version": "1",
        "filetype": "bdist_wheel",
        "pyversion": "py3",
        "metadata_version": "2.4",
        "name": name,
        "version": version,
        "sha256_digest": hashlib.sha256(data).hexdigest(),
        "blake2_256_digest": hashlib.blake2b(data, digest_size=32).hexdigest(),
    }


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
