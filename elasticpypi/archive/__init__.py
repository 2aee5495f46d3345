"""What is inside a wheel or an sdist: its core metadata, read with bounded memory and time.

Nothing is ever unpacked to the disk. Every refusal is a :class:`BadUpload` that names the member or the number
that was found. The bounds on size are PyPI's (REQ-130 to REQ-132).
"""

import struct
import zlib
from typing import BinaryIO

from elasticpypi.archive import tars, zips
from elasticpypi.archive.shape import Unreadable
from elasticpypi.errors import BadUpload, Damaged
from elasticpypi.filename import Name


def core_metadata(file: BinaryIO, name: Name, *, thorough: bool = True) -> bytes:
    """The bytes of METADATA (wheel) or PKG-INFO (sdist); ``file`` is seekable.

    ``thorough`` also holds each member of a zip file against the directory, which is a jump per member.
    """
    try:
        if name.kind == "bdist_wheel":
            return zips.wheel_metadata(file, name, thorough)
        if name.filename.endswith(".zip"):
            return zips.sdist_metadata(file, name, thorough)
        return tars.sdist_metadata(file, name)
    except (Unreadable, zlib.error, struct.error):
        form = "zip" if name.filename.endswith((".whl", ".zip")) else "gzip-compressed tar"
        raise Damaged(f"{name.filename!r} cannot be read: it is no {form} file, or damaged.") from None
    except UnicodeDecodeError as error:
        raise BadUpload(f"{name.filename!r} cannot be read: {error}."[:400].replace("\n", " ")) from None
