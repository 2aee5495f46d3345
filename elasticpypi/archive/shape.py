"""What wheels and sdists have in common: bounds, paths, folders, the metadata file."""

from typing import IO

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from elasticpypi.errors import BadUpload
from elasticpypi.filename import Name

MAX_METADATA = 4 * 1024 * 1024
MAX_MEMBERS = 100_000
SMALL = 64 * 1024 * 1024  # below this many unpacked bytes any ratio is fine
MAX_RATIO = 50


def check_path(path: str) -> None:
    if path.startswith("/") or "\\" in path or "\0" in path or path[1:2] == ":" or ".." in path.split("/") or not path:
        raise BadUpload(f"The member {path[:80]!r} has a path that leads out of the archive.")


def one_top(paths: list[str], top: str = "") -> str:
    """The one folder at the top of an sdist (PEP 625)."""
    for path in paths:
        folder = path.removeprefix("./").partition("/")[0]
        if not folder or folder == ".":
            continue
        if top and folder != top:
            raise BadUpload(f"An sdist has one folder at the top, this one has {top[:60]!r} and {folder[:60]!r}.")
        top = folder
    return top


def check_top(top: str, name: Name) -> None:
    """PEP 625: the folder is called as the file is, here in any spelling."""
    try:
        fits = not top or parse_sdist_filename(f"{top}.tar.gz") == (name.project, name.version)
    except InvalidSdistFilename:
        fits = False
    if not fits:
        raise BadUpload(f"The folder {top[:80]!r} in the sdist does not belong to the file name {name.filename!r}.")


def same_release(folder: str, name: Name) -> bool:
    """Whether ``demo_b-1.0`` names the project and version of the file, in any spelling."""
    try:
        project, version, _, _ = parse_wheel_filename(f"{folder}-py3-none-any.whl")
    except InvalidWheelFilename:
        return False
    return project == name.project and version == name.version


def read_metadata(stream: IO[bytes], member: str) -> bytes:
    data = stream.read(MAX_METADATA + 1)
    if len(data) > MAX_METADATA:
        raise BadUpload(f"{member[:80]} is larger than {MAX_METADATA} bytes.")
    return data
