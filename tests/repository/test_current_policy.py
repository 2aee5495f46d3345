"""The policy as it is now: it acts at once, and a wrong one changes nothing."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.accounts.principal import Actor, Principal
from elasticpypi.actions import policy_document
from elasticpypi.core.errors import BadPolicy, Unavailable
from elasticpypi.repository.current_policy import DOCUMENT, CurrentPolicy
from elasticpypi.services import POLICY_SECONDS, Services
from elasticpypi.storage.contracts import ANY, Objects
from elasticpypi.storage.local.objects import FileObjects

BOSS = Actor(Principal("boss", "command"))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """Objects, and which calls were made."""

    def __init__(self, real: Objects) -> None:
        self.real, self.calls = real, []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.calls.append(name)
        return getattr(self.real, name)  # type: ignore[no-any-return]

    calls: list[str]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def objects(services: Services) -> Counted:
    return Counted(services.objects)


@pytest.fixture
def current(objects: Counted, clock: Clock) -> CurrentPolicy:
    return CurrentPolicy(objects, 1.0, clock)


def denied(*names: str) -> bytes:
    return f"[origin]\ndenied = {list(names)}\n".encode()


def test_it_follows_the_document_and_back(current: CurrentPolicy, objects: Counted, clock: Clock) -> None:
    seen = []
    for document in (None, denied("a"), denied("b"), denied("a"), None):
        if document:
            objects.real.write(DOCUMENT, document, ANY)
        else:
            objects.real.remove(DOCUMENT)
        clock.now += 1.0
        seen.append(current().origin.denied)
    assert seen == [(), ("a",), ("b",), ("a",), ()]
    assert current.trouble == ""


def test_it_costs_one_look_a_pause(current: CurrentPolicy, objects: Counted, clock: Clock) -> None:
    objects.real.write(DOCUMENT, denied("a"), None)
    current()
    objects.calls.clear()
    for _ in range(1000):
        current()
        clock.now += 0.01
    assert objects.calls.count("revision") in (9, 10)
    assert set(objects.calls) == {"revision"}
    assert max(POLICY_SECONDS) <= 1.0


def test_a_wrong_one_changes_nothing(
    current: CurrentPolicy, objects: Counted, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    objects.real.write(DOCUMENT, denied("a"), None)
    assert current().origin.denied == ("a",)
    objects.real.write(DOCUMENT, b"[origin]\ndenid = []\n", ANY)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            clock.now += 1.0
            assert current().origin.denied == ("a",)
        assert "line 2, origin.denid" in current.trouble
        objects.real.write(DOCUMENT, denied("c"), ANY)
        clock.now += 1.0
        assert current().origin.denied == ("c",)
    assert current.trouble == ""
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    objects.real.write(DOCUMENT, b"x = 1", ANY)
    with pytest.raises(BadPolicy, match="line 1, x"):
        current.check()


def test_a_process_that_begins_meanwhile_has_the_last_one_that_was_taken(services: Services, clock: Clock) -> None:
    policy_document.apply(services, BOSS, denied("a"), "*")
    services.objects.write(DOCUMENT, b"x = 1", ANY)
    begun = CurrentPolicy(services.objects, 1.0, clock)
    assert begun().origin.denied == ("a",)
    assert "line 1, x" in begun.trouble


def test_the_store_is_away(
    current: CurrentPolicy, objects: Counted, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("It is away.")

    with monkeypatch.context() as patch:
        patch.setattr(type(objects.real), "revision", away)
        with pytest.raises(Unavailable):
            current()
    objects.real.write(DOCUMENT, denied("a"), None)
    assert current().origin.denied == ("a",)
    with monkeypatch.context() as patch:
        patch.setattr(type(objects.real), "revision", away)
        clock.now += 1.0
        assert current().origin.denied == ("a",)
        assert "It is away." in current.trouble
    objects.real.remove(DOCUMENT)
    clock.now += 1.0
    assert current().origin.denied == ()
    assert current.trouble == ""


def test_another_process_sees_it(tmp_path: Path, clock: Clock) -> None:
    one, two = (CurrentPolicy(FileObjects(tmp_path), 0.5, clock) for _ in range(2))
    assert one() == two()
    (tmp_path / DOCUMENT).write_bytes(denied("a"))  # by an editor
    clock.now += 0.5
    assert one().origin.denied == two().origin.denied == ("a",)
