"""A ruling and its object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elasticpypi.core.event import Who, new
from elasticpypi.core.ruling import NOTHING, UNREADABLE, Ruling, dump, load


def test_what_is_written_is_read() -> None:
    event = new("policy.blocked", Who("änna"), project="demo", reason="bad")
    for ruling in (NOTHING, Ruling("blocked", 'a\n"b"', "änna", "2026-12-01T12:00:00Z", event)):
        assert load(dump(ruling)) == ruling


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b"null", b"\xff", b'{"value": 3}', b'{"value": "x", "event": 3}']
)
def test_what_cannot_be_read_holds(body: bytes) -> None:
    assert load(body) is UNREADABLE
    assert load(body).value


@given(st.binary())
def test_any_bytes_are_a_ruling(body: bytes) -> None:
    assert isinstance(load(body), Ruling)
