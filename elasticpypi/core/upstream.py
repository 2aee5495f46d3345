"""What is kept of a project's page of another index, and its files. Everything here is pure.

A page may have 46,724 files, so it stays columns until somebody needs these, and they are made column by column.
"""

import gc
import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from itertools import repeat
from typing import Any, NamedTuple

from packaging.utils import InvalidName, NormalizedName, canonicalize_name

from elasticpypi.core.filename import ALPHABET, OLD_SDISTS
from elasticpypi.core.filename import LONGEST as LONGEST_NAME
from elasticpypi.core.keys import Status
from elasticpypi.core.model import File

LARGEST = 64 * 1024 * 1024  # bytes of a page, as an index sends it
FORMAT = 3
METADATA = ".metadata"  # behind the address of a file: that of its metadata (PEP 658)
SDISTS = (".tar.gz", ".zip", *OLD_SDISTS)
DIGEST = re.compile(r"[0-9a-f]{64}")
# The fields of a file that are read, in this order, and all that are kept.
ROW = (
    *("key", "version", "size", "sha256", "upload_time", "requires_python", "metadata_sha256", "yanked"),
    *("site", "path", "link"),
)
COLUMNS = (*ROW, "first_seen")
MAY_BE_NONE = "requires_python", "metadata_sha256"


class BadAnswer(Exception):
    """What another index sent is no page, or that of another project; the text says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class UpstreamFile(File):
    """A file of another index. It lies at ``path`` below ``site`` there, as the index spells it; else ``link`` says
    where, and ``path`` is what we call it.

    ``upload_time`` is "" and ``size`` is -1 if the index does not say. ``first_seen`` is when we saw it first, for
    those without a time.
    """

    site: str = ""
    path: str = ""
    link: str = ""
    index: str = ""  # the name that the policy gives the index
    first_seen: str = ""

    @property
    def filename(self) -> str:
        return self.key

    @property
    def url(self) -> str:
        """Where it lies there."""
        return self.link or f"{self.site}{self.path}"

    @property
    def address(self) -> str:
        return f"upstream/{self.index}/{self.path}"

    @property
    def ours(self) -> bool:
        return False


class Gone(NamedTuple):
    """A file that has left the page of its project, and when that was seen (``core/moments.py``)."""

    file: UpstreamFile
    at: str


@dataclass(frozen=True, slots=True)
class UpstreamPage:
    """All that we keep of a project's page. ``serial`` is 0 if the index has none; ``left_out`` counts its files that
    no installer takes, or that have no sha256 (REQ-U27). ``gone`` are those that it had once (REQ-U60), ``taken``
    the names of wheels whose core metadata we have taken out, since the index announces none (REQ-U28)."""

    name: NormalizedName
    files: tuple[UpstreamFile, ...] = ()
    status: Status = "active"
    reason: str = ""
    serial: int = 0
    left_out: int = 0
    gone: tuple[Gone, ...] = ()
    taken: tuple[str, ...] = ()

    @property
    def timeless(self) -> bool:
        """Whether no file of it says when it was uploaded."""
        return bool(self.files) and not any(file.upload_time for file in self.files)


class Listing(NamedTuple):
    """A page before its files are made: ``about`` has none, ``columns`` have their fields by the names of COLUMNS.

    Of a page without files there are no columns. ``gone`` are the fields of those that have left it, and when.
    """

    about: UpstreamPage
    columns: Mapping[str, Sequence[Any]]
    gone: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    def page(self, index: str) -> UpstreamPage:
        """The page, with its files; ``index`` is what we call the index that it is of."""
        name = self.about.name
        left = {each: [fields[each] for _, fields in self.gone] for each in COLUMNS} if self.gone else {}
        with uncollected():
            gone = tuple(map(Gone, _files(name, index, left), (at for at, _ in self.gone)))
            return replace(self.about, files=_files(name, index, self.columns), gone=gone)


def project_of(path: str) -> NormalizedName | None:
    """The project that the file at a path belongs to, by its name; None if no installer takes such a file."""
    begin = begin_of(path.rpartition("/")[2])
    try:
        return canonicalize_name(begin[0], validate=True) if begin else None
    except InvalidName:
        return None


def begin_of(filename: str) -> tuple[str, str] | None:
    """A file name → how it spells project and version; None if no installer takes such a file."""
    if len(filename) > LONGEST_NAME or not ALPHABET.fullmatch(filename):
        return None
    if filename.endswith(".whl"):
        parts = filename.split("-")
        return (parts[0], parts[1]) if len(parts) in (5, 6) else None
    if not filename.endswith(SDISTS):
        return None
    suffix = next(suffix for suffix in SDISTS if filename.endswith(suffix))
    spelled, _, version = filename.removesuffix(suffix).rpartition("-")
    return spelled, version


def _files(project: NormalizedName, index: str, columns: Mapping[str, Iterable[Any]]) -> tuple[UpstreamFile, ...]:
    """Files out of columns of their fields. One by one, a frozen dataclass takes three times as long to make."""
    if not columns:
        return ()
    keys = tuple(columns["key"])
    made = tuple([object.__new__(UpstreamFile) for _ in keys])
    known = {**columns, "key": keys, "project": repeat(project), "index": repeat(index)}
    known["revision"] = known["sha256"]
    for field in fields(UpstreamFile):
        column = known.get(field.name, repeat(None if field.default is MISSING else field.default))
        deque(map(getattr(UpstreamFile, field.name).__set__, made, column), 0)
    return made


_pauses, _collects = 0, True
_lock = threading.Lock()


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector of cycles: a page has none, and to look for them takes as long as to read it."""
    global _pauses, _collects
    with _lock:
        if not _pauses:
            _collects = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses and _collects:
                gc.enable()


# What is kept of a page: a line of JSON with facts, then its files by column, a value in a line; a column in which all
# are alike is one line, as most are of a page of PyPI.
def dump(listing: Listing) -> bytes:
    """A page → what is kept of it."""
    about, columns, gone = listing
    count = len(columns["key"]) if columns else 0
    parts, lengths = [], []
    for name in COLUMNS if count else ():
        column = columns[name]
        if column.count(column[0]) == count:
            column = column[:1]
        if name == "size":
            column = [str(size) for size in column]
        elif name == "yanked":  # the reason of one may be empty
            column = ["" if text is None else f"yanked {text}" for text in column]
        elif name in MAY_BE_NONE:
            column = [text or "" for text in column]
        lengths.append(len(column))
        parts.append("\n".join(column).encode())
    left = [[at, *(fields[name] for name in COLUMNS)] for at, fields in gone]
    facts = [about.name, about.status, about.reason, about.serial, about.left_out, about.taken, left, count, lengths]
    return b"\n".join([json.dumps([FORMAT, *facts]).encode(), *parts])


def load(body: bytes) -> Listing:
    """What is kept of a page → the page; :class:`BadAnswer` if this is none, or of another version of the program."""
    try:
        first, _, rest = body.partition(b"\n")
        form, name, status, reason, serial, left_out, taken, left, count, lengths = json.loads(first)
        if form != FORMAT:
            raise ValueError("it is of another version")
        with uncollected():
            lines = rest.decode().split("\n") if count else []
            if len(lines) != sum(lengths) or not {*lengths} <= {1, count} or len(lengths) != len(COLUMNS) * bool(count):
                raise ValueError("a part of it is missing")
            columns, start = dict[str, list[Any]](), 0
            for column, length in zip(COLUMNS, lengths, strict=False):
                columns[column] = _values(column, lines[start : start + length]) * (count // length)
                start += length
        about = UpstreamPage(NormalizedName(name), (), status, reason, serial, left_out, taken=tuple(taken))
        return Listing(about, columns, tuple((at, dict(zip(COLUMNS, row, strict=True))) for at, *row in left))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadAnswer(f"What is kept of a page cannot be read: {error}.") from None


def _values(column: str, texts: list[str]) -> list[Any]:
    """The values of a column, out of what is written of them."""
    if column == "size":
        return [int(text) for text in texts]
    if column == "yanked":
        return [text[7:] if text else None for text in texts]
    return [text or None for text in texts] if column in MAY_BE_NONE else texts
