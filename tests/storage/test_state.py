"""What may be lost: both implementations of the contract, and that nothing of it lasts."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from elasticpypi.services import Services
from elasticpypi.storage.contracts import State
from elasticpypi.storage.local.state import SQLiteState


@pytest.fixture
def state(services: Services) -> State:
    return services.state


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("elasticpypi.storage.local.state.time.time", clock)
    return clock


def test_a_value_lasts_for_its_time(state: State, clock: Clock) -> None:
    assert state.get("session", "a") is None
    state.put("session", "a", b"one", 60)
    state.put("session", "b", b"two", 600)
    state.put("other", "a", b"three", 60)
    assert [state.get("session", "a"), state.get("session", "b"), state.get("other", "a")] == [b"one", b"two", b"three"]
    clock.now += 59
    state.put("session", "a", b"four", 60)
    clock.now += 2
    assert [state.get("session", "a"), state.get("other", "a")] == [b"four", None]
    clock.now += 60
    assert [state.get("session", "a"), state.get("session", "b")] == [None, b"two"]


def test_a_lease_has_one_holder(state: State, clock: Clock) -> None:
    assert [state.claim("lease", "x", who, 60) for who in (b"a", b"b", b"a")] == [True, False, True]
    clock.now += 59
    assert state.claim("lease", "x", b"a", 60)
    clock.now += 59
    assert not state.claim("lease", "x", b"b", 60)
    clock.now += 1
    assert state.claim("lease", "x", b"b", 60)
    assert not state.claim("lease", "x", b"a", 60)


def test_a_number_counts_from_its_beginning(state: State, clock: Clock) -> None:
    assert [state.add("count", "x", 2, 60) for _ in range(3)] == [2, 4, 6]
    assert state.get("count", "x") == b"6"
    clock.now += 59
    assert state.add("count", "x", 1, 60) == 7
    clock.now += 1
    assert state.add("count", "x", 1, 60) == 1


def test_what_is_removed_was_there_once(state: State, clock: Clock) -> None:
    state.put("once", "x", b"1", 60)
    assert [state.remove("once", "x") for _ in range(2)] == [True, False]
    state.put("once", "x", b"1", 60)
    clock.now += 60
    assert not state.remove("once", "x")


def test_of_many_at_once_one_gets_it(state: State) -> None:
    together = threading.Barrier(8)

    def claim(number: int) -> bool:
        together.wait(20)
        return state.claim("lease", "x", b"%d" % number, 60)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1
        assert sorted(pool.map(lambda _: state.add("count", "x", 1, 60), range(8))) == list(range(1, 9))
        state.put("once", "x", b"1", 60)
        assert sum(pool.map(lambda _: state.remove("once", "x"), range(8))) == 1


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 1000])
def test_the_file_may_be_removed_or_damaged(tmp_path: Path, content: bytes | None) -> None:
    state = SQLiteState(tmp_path)
    state.put("session", "a", b"one", 60)
    path = tmp_path / "state.db"
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for _ in range(2):
        try:
            state.put("session", "a", b"two", 60)
        except Exception:  # once: it is made anew
            assert content
    assert state.get("session", "a") == b"two"
