"""Rulings: of many who decide at once, none is lost, and each has one event."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import Who, new
from elasticpypi.core.ruling import NOTHING, Ruling
from elasticpypi.indexing.rulings import read, rule
from elasticpypi.services import Services

KEY = "policy/origins/demo"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)


def decide(services: Services, value: str) -> bool:
    return rule(services.objects, services.log, KEY, Ruling(value) if value else NOTHING, new("policy.x", Who("anna")))


def test_the_events_make_a_chain(services: Services) -> None:
    values = ["private", "both", "", "denied"] * 2
    with ThreadPoolExecutor(4) as pool:
        changed = sum(pool.map(lambda value: decide(services, value), values))
    assert services.log
    events = services.log.read(most=100)
    assert len(events) == changed
    assert all(event.before != event.after for event in events)
    # Each event begins where another one ended: the first one with nothing, and nobody goes on from the last one.
    begun, ended = (Counter(getattr(event, name) or "" for event in events) for name in ("before", "after"))
    assert begun + Counter([read(services.objects, KEY).value]) == ended + Counter([""])


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("last", range(3))
@pytest.mark.parametrize("before", [True, False])
def test_wherever_a_process_ends_there_is_one_event(services: Services, last: int, before: bool) -> None:
    """Before or after the object is written, it acts, or the event is recorded."""
    count = iter(range(100))
    acted = []

    def point(real: Any) -> Any:
        def call(*arguments: Any) -> Any:
            ours = next(count) == last
            if ours and before:
                raise Killed
            answer = real(*arguments)
            if ours:
                raise Killed
            return answer

        return call

    class Part:
        def __init__(self, real: Any, name: str) -> None:
            self.real, self.name = real, name

        def __getattr__(self, name: str) -> Any:
            found = getattr(self.real, name)
            return point(found) if name == self.name else found

    parts: Any = Part(services.objects, "write"), Part(services.log, "append")
    said, event = Ruling("private"), new("policy.x", Who("anna"))
    with pytest.raises(Killed):
        rule(parts[0], parts[1], KEY, said, event, point(lambda: acted.append(1)))
    rule(services.objects, services.log, KEY, said, new("policy.x", Who("anna")), lambda: acted.append(2))
    assert services.log
    assert [event.after for event in services.log.read()] == ["private"]
    assert acted[-1] == 2


def test_too_many_at_once_are_told_so(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    real = type(services.objects).write

    def write(self: Any, key: str, body: bytes, over: str | None) -> str:
        real(self, key, b"{}" + body[:0], "*")  # somebody else is always faster
        return real(self, key, body, over)

    services.objects.write(KEY, b"{}", None)
    monkeypatch.setattr(type(services.objects), "write", write)
    if services.config.on_aws:  # the same bytes have the same ETag there: nothing was lost
        assert decide(services, "private")
    else:
        with pytest.raises(Unavailable, match="too many"):
            decide(services, "private")
