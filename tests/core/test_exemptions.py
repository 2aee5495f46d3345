"""Exemptions: what they are called, where they lie, and when they end."""

import pytest

from elasticpypi.core import exemptions
from elasticpypi.core.errors import BadUpload
from elasticpypi.core.moments import seconds_of

NOW = seconds_of("2026-11-30T12:00:00Z")


@pytest.mark.parametrize("text", ["demo==1.0", " Demo == 1.0.0 ", "demo==1"])
def test_one_release_has_one_key(text: str) -> None:
    target = exemptions.parse(text)
    assert (str(target), target.key) == ("demo==1", "policy/exemptions/demo==1")
    assert exemptions.of_key(target.key) == target


@pytest.mark.parametrize("text", ["demo", "demo==", "demo==1.*", "demo>=1", "demo==1,==2", "==1", "", "sha256:00"])
def test_nothing_but_an_exact_release(text: str) -> None:
    with pytest.raises(BadUpload):
        exemptions.parse(text)


@pytest.mark.parametrize("key", ["policy/exemptions/demo", "policy/blocks/demo==1", "demo==1"])
def test_other_keys_are_none(key: str) -> None:
    assert exemptions.of_key(key) is None


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-11-30", "2026-11-30T23:59:59.000000Z"),
        (" 2026-12-31 ", "2026-12-31T23:59:59.000000Z"),
        ("2026-12-31T18:00:00Z", "2026-12-31T18:00:00.000000Z"),
        ("2026-12-31T18:00:00+02:00", "2026-12-31T16:00:00.000000Z"),
        ("2026-12-31 18:00", "2026-12-31T18:00:00.000000Z"),
        ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.000000Z"),
    ],
)
def test_an_end_is_a_day_or_a_moment(text: str, end: str) -> None:
    assert exemptions.end(text, NOW) == end
    assert exemptions.is_end(end)


@pytest.mark.parametrize(
    "text", ["2026-11-29", "2026-11-30T12:00:00Z", "2026-11-30T13:00+02:00", "0001-01-01T00:00+14:00"]
)
def test_an_end_is_in_the_future(text: str) -> None:
    with pytest.raises(BadUpload, match=r"is over|is no end"):
        exemptions.end(text, NOW)


@pytest.mark.parametrize("text", ["", "tomorrow", "31.12.2026", "2026-02-30", "2026-12-31T", "99999-01-01"])
def test_what_is_no_end(text: str) -> None:
    with pytest.raises(BadUpload, match="such as 2026-12-31"):
        exemptions.end(text, NOW)


@pytest.mark.parametrize("value", ["", "unreadable", "private"])
def test_what_cannot_be_read_exempts_nothing(value: str) -> None:
    assert not exemptions.is_end(value)
