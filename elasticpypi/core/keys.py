"""The keys of the store: what each one stands for, and the kinds of sidecars.

::

    demo-1.0-py3-none-any.whl           a file: a wheel or an sdist; the last part of the key is the file name
    team/demo-1.1.tar.gz                the same below a prefix
    demo-1.0-py3-none-any.whl.yanked    a sidecar of a file: the reason, maybe empty (PEP 592)
    demo-1.0-py3-none-any.whl.deleted   a tombstone: the sha256 that the file had
    demo.status                         a sidecar of a project: "archived", and the reason in the next line (PEP 792)
    .uploads/<id>                       a large upload that waits for its check: hidden, as all that begins with a dot

A sidecar is a small text that holds one decision. Its last line may say who made it, and when (:func:`sign`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from packaging.utils import NormalizedName, is_normalized_name

from elasticpypi.core import filename
from elasticpypi.core.filename import Name

LONGEST = 700  # bytes of a key; a DynamoDB sort key has at most 1,024, and it holds the key and the file name
SIGNATURE = re.compile(r"# by (?P<by>.{1,200}) at (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")

Status = Literal["active", "archived", "quarantined", "deprecated"]


@dataclass(slots=True)
class Decided:
    """What all decisions about a project add up to; ``model.assemble`` makes it."""

    yanked: dict[str, str] = field(default_factory=dict)  # key of a file → reason
    deleted: dict[str, str] = field(default_factory=dict)  # file name → sha256
    tombstones: list[str] = field(default_factory=list)  # keys of deleted files
    status: Status = "active"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A kind of sidecar. Its key is ``<subject>.<kind>``, and its subject the key of a file or the name of a project.

    ``largest`` is how many bytes of its text count. ``clean`` makes of any text what pages may show. ``decide`` adds a
    decision, by its subject and its clean text, to all those about the project.
    """

    kind: str
    of: Literal["file", "project"]
    clean: Callable[[str], str]
    decide: Callable[[Decided, str, str], None]
    largest: int = 8192  # a reason of a thousand characters, and who gave it, in any letters


@dataclass(frozen=True, slots=True)
class FileKey:
    """The key of a wheel or sdist."""

    key: str
    name: Name

    @property
    def project(self) -> NormalizedName:
        """The project of the file."""
        return self.name.project


@dataclass(frozen=True, slots=True)
class SidecarKey:
    """The key of a decision about a file or a project."""

    key: str
    project: NormalizedName
    sidecar: Sidecar

    @property
    def subject(self) -> str:
        """The key of the file, or the name of the project, that the decision is about."""
        return self.key.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class IgnoredKey:
    """A key that no record is made of, and why: one sentence."""

    key: str
    reason: str


Key = FileKey | SidecarKey | IgnoredKey


def parse(key: str) -> Key:
    """A key of the store → what it stands for."""
    if reason := _unusable(key):
        return IgnoredKey(key, reason)
    base = key.rpartition("/")[2]
    subject, _, suffix = base.rpartition(".")
    if sidecar := SIDECARS.get(suffix):
        return _sidecar(key, base, subject, sidecar)
    name = filename.parse_stored(base)
    return FileKey(key, name) if name else IgnoredKey(key, "Its name is none of a wheel or an sdist.")


def is_ignored(key: str) -> bool:
    """Whether no record is made of a key."""
    return isinstance(parse(key), IgnoredKey)


def is_hidden(key: str) -> bool:
    """Whether a key is one that the index keeps for itself, or any other that begins with a dot."""
    return any(part.startswith(".") for part in key.split("/"))


def is_staged(key: str) -> bool:
    """Whether a key is a large upload whose parts were joined, and that waits for its check."""
    return re.fullmatch(r"\.uploads/[0-9a-f]{64}", key) is not None


def tombstone_of(key: str) -> str:
    """The key of the tombstone of a file."""
    return f"{key}.deleted"


class Signed(NamedTuple):
    """The text of a sidecar without its signature, who signed it and when; both are None if nobody did."""

    text: str
    by: str | None = None
    at: str | None = None


def sign(text: str, by: str) -> str:
    """A decision with a last line that says who made it, and when (UTC): ``# by anna at 2026-12-01T12:00:00Z``."""
    who = " ".join("".join(letter if letter.isprintable() else "?" for letter in by).split())[:200] or "?"
    return f"{text}\n# by {who} at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n"


def unsign(text: str) -> Signed:
    """The text of a sidecar → the decision, and who made it when; texts without a signature are whole."""
    rest, _, last = text.rstrip().rpartition("\n")
    if found := SIGNATURE.fullmatch(last.strip()):
        return Signed(rest, found["by"], found["at"])
    return Signed(text)


def is_signed(text: str) -> bool:
    """Whether the text of a record ends with a signature, which version 1.0 left in it."""
    begin = text.rfind("# by ")
    return begin >= 0 and SIGNATURE.fullmatch(text, begin) is not None


def parse_status(text: str) -> tuple[Status, str]:
    """The text of a status → status and reason; quarantined if it cannot be read, to be safe."""
    word, _, reason = text.strip().partition("\n")
    match word.strip():
        case "active" | "archived" | "deprecated" | "quarantined" as status:
            return status, reason.strip()
        case _:
            return "quarantined", f"the status key says {word[:40]!r}, which is no project status"


def _unusable(key: str) -> str:
    """Why a key cannot be used, whatever it is called; "" if it can."""
    if key.endswith("/"):
        return "It is a folder."
    if not key.isprintable():
        return "It has characters that are not text."
    if len(key.encode()) > LONGEST:
        return f"The key is longer than {LONGEST} bytes."
    if is_hidden(key):
        return "It is hidden."
    return ""


def _sidecar(key: str, base: str, subject: str, sidecar: Sidecar) -> Key:
    if sidecar.of == "project":
        if key == base and is_normalized_name(subject):
            return SidecarKey(key, NormalizedName(subject), sidecar)
        return IgnoredKey(key, f"It has the form of a project {sidecar.kind}, but names no project.")
    name = filename.parse_stored(subject)
    if name is None:
        return IgnoredKey(key, f"It marks as {sidecar.kind} what is no package.")
    return SidecarKey(key, name.project, sidecar)


def _clean_lines(text: str) -> list[str]:
    """Whoever wrote it, pages get clean lines."""
    return ["".join(letter for letter in line if letter.isprintable()).strip() for line in text.strip().splitlines()]


def _one_line(text: str) -> str:
    return " ".join(_clean_lines(text)).strip()


def _two_lines(text: str) -> str:
    """The first line by itself, all others in one."""
    first, *rest = _clean_lines(text) or [""]
    return "\n".join([first, " ".join(rest)]).strip()


def _yank(decided: Decided, subject: str, text: str) -> None:
    decided.yanked[subject] = text


def _delete(decided: Decided, subject: str, text: str) -> None:
    decided.deleted[subject.rpartition("/")[2]] = text.strip()
    decided.tombstones.append(subject)


def _set_status(decided: Decided, subject: str, text: str) -> None:
    decided.status, decided.reason = parse_status(text)


SIDECARS = {
    sidecar.kind: sidecar
    for sidecar in (
        Sidecar("yanked", "file", _one_line, _yank),
        Sidecar("deleted", "file", _one_line, _delete),
        Sidecar("status", "project", _two_lines, _set_status),
    )
}
