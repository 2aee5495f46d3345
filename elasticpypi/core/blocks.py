"""Blocks: what administrators shut off, by project, version or digest; and how they are named.

::

    demo               everything of the project
    demo==1.0          a release, in any spelling of its version
    sha256:<64 hex>    these very bytes, wherever they are

The index has all blocks of a project in one record of the kind ``blocked`` (``indexing/blocks.py``), so that no reader
asks anybody else.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import NormalizedName, canonicalize_version

from elasticpypi.core.errors import BadUpload
from elasticpypi.core.filename import project_name

if TYPE_CHECKING:
    from elasticpypi.core.model import File

KIND = "blocked"
RECORD = ".blocked"  # the key of the record in the index: no key of the store, since it begins with a dot
FOLDER = "policy/blocks/"
DIGEST = "sha256="  # before a digest in a key; a colon is none of the letters that every file system takes
LIFT = "Ask an administrator of this index."


class Block(NamedTuple):
    """``what`` is "" for the whole project, else a canonical version or ``sha256:<hex>``; ``at`` is UTC."""

    what: str
    reason: str
    by: str = ""
    at: str = ""


class Target(NamedTuple):
    """What is to be blocked: exactly one of a project, a release of it (a canonical version), a digest."""

    project: NormalizedName | None
    version: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"{self.project}=={self.version}" if self.version else str(self.project)

    @property
    def key(self) -> str:
        """The key of its object."""
        return f"{FOLDER}{DIGEST}{self.sha256}" if self.sha256 else f"{FOLDER}{self}"

    @property
    def what(self) -> str:
        """As :class:`Block` has it."""
        return f"sha256:{self.sha256}" if self.sha256 else self.version


def parse(text: str) -> Target:
    """What people call it; :class:`BadUpload` says what can be blocked."""
    text = text.strip()
    if text.lower().startswith(("sha256:", DIGEST)):
        digest = text[7:].strip().lower()
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise BadUpload(f"{text[:80]!r} is no digest: give sha256: and 64 hexadecimal digits.")
        return Target(None, sha256=digest)
    name, equals, version = text.partition("==")
    project = project_name(name.strip())
    if not equals:
        return Target(project)
    from elasticpypi.core.metadata import version as parsed  # which no reader needs

    return Target(project, canonicalize_version(parsed("the release", version.strip())))


def of_key(key: str) -> Target | None:
    """The key of an object → what it blocks, None if it is none of these."""
    try:
        return parse(key.removeprefix(FOLDER)) if key.startswith(FOLDER) else None
    except BadUpload:
        return None


def dump(blocks: Collection[Block]) -> str:
    """Blocks → the text of a record; equal for equal blocks."""
    return json.dumps(sorted(blocks), separators=(",", ":"), ensure_ascii=False) if blocks else ""


def load(text: str) -> tuple[Block, ...]:
    """The text of a record → blocks."""
    return tuple(Block(*fields) for fields in json.loads(text))


def whole(blocks: Sequence[Block]) -> Block | None:
    """The block of the whole project, if there is one."""
    return next((block for block in blocks if not block.what), None)


def about(blocks: Sequence[Block], file: "File") -> Block | None:
    """The block that a file falls under, None if it falls under none."""
    return of(blocks, file.version, file.sha256)


def of(blocks: Sequence[Block], version: str, sha256: str) -> Block | None:
    """The same by its version and its digest."""
    names = ("", canonicalize_version(version), f"sha256:{sha256}") if blocks else ()
    return next((block for block in blocks if block.what in names), None)


def sentence(what: str, block: Block) -> str:
    """What everybody is told who asks for ``what``."""
    return f"{what[:200]} is blocked: {block.reason.rstrip('.')}. {LIFT}"
