"""What wheels and sdists have in common: bounds, paths, folders, compressed streams."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import BinaryIO

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from elasticpypi.core.errors import BadUpload
from elasticpypi.core.filename import Name

MAX_METADATA = 4 * 1024 * 1024
MAX_MEMBERS = 100_000
MAX_NAMES = 32 * 1024 * 1024
SMALL = 64 * 1024 * 1024  # below this many unpacked bytes any ratio is fine
MAX_RATIO = 50
CHUNK = 1024 * 1024


class Unreadable(Exception):
    """The bytes are no archive, or only a part of one."""


def normal(path: str) -> str:
    """A path as a file system reads it: without ``.`` and double slashes."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def check_tree(members: list[tuple[str, bool]]) -> None:
    """The normalized path of each member, and whether it is a folder: no file is there twice or has members below."""
    # No path has a NUL, and nothing sorts before it: what lies below a path follows it at once.
    ordered = sorted((path.replace("/", "\0"), folder) for path, folder in members)
    for (path, folder), (following, also_folder) in pairwise(ordered):
        shown = path.replace("\0", "/")[:80]
        if path == following and not (folder and also_folder):
            raise BadUpload(f"The member {shown!r} is in the archive twice.")
        if not folder and following.startswith(path + "\0"):
            raise BadUpload(f"The member {shown!r} has members below it, but is no folder.")


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


def pieces_of(file: BinaryIO, length: int) -> Iterator[bytes]:
    """The next ``length`` bytes of a file; :class:`Unreadable` if there are fewer."""
    while length:
        data = file.read(min(length, CHUNK))
        if not data:
            raise Unreadable
        length -= len(data)
        yield data


def inflated(packed: Iterable[bytes], form: int) -> Iterator[bytes]:
    """One compressed stream, unpacked in pieces; ``form`` as zlib's ``wbits``.

    :class:`Unreadable` if it ends too late, :class:`BadUpload` if something follows it.
    """
    unpacker = zlib.decompressobj(form)
    for data in packed:
        yield unpacker.decompress(data, CHUNK)
        while unpacker.unconsumed_tail:
            yield unpacker.decompress(unpacker.unconsumed_tail, CHUNK)
        if unpacker.unused_data:  # also where all of a piece follows the end
            raise BadUpload("The archive has data behind the end of a compressed stream.")
    yield unpacker.flush()
    if not unpacker.eof:
        raise Unreadable
