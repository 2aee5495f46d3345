"""Moments, as PEP 700 writes them: UTC with microseconds, so that texts sort as the moments do."""

from datetime import UTC, datetime

FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
LAST = 253402300799  # the end of the year 9999


def seconds_of(text: str) -> float:
    """A moment → seconds since 1970; :class:`ValueError` if it is none."""
    return datetime.fromisoformat(text).timestamp()


def text_of(seconds: float) -> str:
    """Seconds since 1970 → a moment."""
    return f"{datetime.fromtimestamp(min(max(seconds, 0), LAST), UTC):{FORMAT}}"
