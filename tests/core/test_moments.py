"""Moments as texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elasticpypi.core.moments import LAST, seconds_of, text_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00.000000Z", 0),
        ("2026-11-30T12:00:00.000000Z", 1796040000),
        ("2026-11-30T12:00:00.250000Z", 1796040000.25),
        ("9999-12-31T23:59:59.000000Z", LAST),
    ],
)
def test_a_moment_is_seconds(text: str, seconds: float) -> None:
    assert (seconds_of(text), text_of(seconds)) == (seconds, text)


def test_a_moment_is_read_in_every_zone() -> None:
    assert seconds_of("2026-11-30T12:00:00Z") == seconds_of("2026-11-30T14:00:00+02:00") == 1796040000


@pytest.mark.parametrize("text", ["", "now", "2026-13-01T00:00:00Z", "2026-11-30T25:00:00Z", "1796040000"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        seconds_of(text)


@pytest.mark.parametrize(("seconds", "text"), [(-1, "1970-01-01T00:00:00.000000Z"), (1e300, text_of(LAST))])
def test_what_lies_outside_is_the_nearest(seconds: float, text: str) -> None:
    assert text_of(seconds) == text


@given(st.floats(0, LAST), st.floats(0, LAST))
def test_texts_sort_as_moments_do(one: float, two: float) -> None:
    if abs(one - two) > 1e-4:
        assert (text_of(one) < text_of(two)) == (one < two)
