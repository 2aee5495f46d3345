"""Exemptions: releases of other indexes that may be seen before their time, each until a day (REQ-U50).

An object for each, ``policy/exemptions/<project>==<version>``, is a ruling whose value is the end.
"""

from datetime import UTC, date, datetime, time
from typing import NamedTuple

from packaging.utils import NormalizedName, canonicalize_version

from elasticpypi.core import moments
from elasticpypi.core.errors import BadUpload
from elasticpypi.core.filename import project_name

FOLDER = "policy/exemptions/"


class Target(NamedTuple):
    """A release: its version is canonical."""

    project: NormalizedName
    version: str

    def __str__(self) -> str:
        return f"{self.project}=={self.version}"

    @property
    def key(self) -> str:
        """The key of its object."""
        return f"{FOLDER}{self}"


class Exemption(NamedTuple):
    """What is exempt: a canonical version; ``until``, and ``at``, when that was said, are UTC (``core/moments.py``)."""

    version: str
    until: str
    reason: str = ""
    by: str = ""
    at: str = ""


def parse(text: str) -> Target:
    """``demo==1.0`` in any spelling; :class:`BadUpload` says that it has to be that."""
    from elasticpypi.core.metadata import version  # which no reader needs

    name, equals, rest = text.strip().partition("==")
    if not equals:
        raise BadUpload(f"{text[:80]!r} is no release: give its name and its version, such as demo==1.0.")
    return Target(project_name(name.strip()), canonicalize_version(version("the release", rest.strip())))


def end(text: str, now: float) -> str:
    """``2026-12-31``, with all of that day, or a moment → the end of an exemption; :class:`BadUpload` if it is over.

    ``now`` are seconds since 1970; what names no zone is UTC.
    """
    try:
        try:
            found = datetime.combine(date.fromisoformat(text.strip()), time(23, 59, 59), UTC)
        except ValueError:
            moment = datetime.fromisoformat(text.strip()[:40])
            found = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = found.timestamp()
    except (ValueError, OverflowError):
        raise BadUpload(
            f"{text[:80]!r} is no end: give a day or a moment, such as 2026-12-31 or 2026-12-31T18:00:00Z."
        ) from None
    if seconds <= now:
        raise BadUpload(f"{text[:80]!r} is over: the end of an exemption lies in the future.")
    return moments.text_of(seconds)


def is_end(value: str) -> bool:
    """Whether a ruling exempts until a moment; one that was taken back, or that cannot be read, exempts nothing."""
    try:
        moments.seconds_of(value)
    except (ValueError, OverflowError):
        return False
    return True


def of_key(key: str) -> Target | None:
    """The key of an object → what it is about, None if it is none of these."""
    name, equals, version = key.removeprefix(FOLDER).partition("==")
    return Target(NormalizedName(name), version) if key.startswith(FOLDER) and equals else None
