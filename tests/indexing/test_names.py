"""Names that are ours for ever."""

from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.actions import policy
from elasticpypi.actions.audit import audit
from elasticpypi.core.errors import AlreadyExists, NotFound, Unavailable
from elasticpypi.core.outcome import Outcome
from elasticpypi.indexing import names, sync
from elasticpypi.indexing.audit import Report
from elasticpypi.services import Services
from elasticpypi.wiring import with_subscribers
from tests.support.application import Client
from tests.support.builders import ACTOR, make_wheel

DEMO = NormalizedName("demo")


def kept(services: Services) -> list[str]:
    return services.objects.keys(names.FOLDER)


def lose_index(services: Services) -> None:
    for record in list(services.index.records()):
        services.index.remove(record.project, record.key)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, "demo", "1.0")


def test_the_first_file_of_a_project_keeps_its_name(client: Client, wheel: Path) -> None:
    client.upload(wheel)
    told = with_subscribers(client.services)
    for _ in range(2):
        told.events.tell([Outcome(wheel.name, "unchanged")])
    assert kept(client.services) == ["names/demo"]
    client.request("DELETE", f"/packages/{wheel.name}")
    told.events.tell([], also=[DEMO, NormalizedName("never")])
    lose_index(client.services)
    assert kept(client.services) == ["names/demo"]


def test_an_audit_keeps_what_an_earlier_version_did_not(client: Client, wheel: Path) -> None:
    client.upload(wheel)
    list(audit(client.services, Report(repair=False)))
    assert kept(client.services) == []
    list(audit(client.services, Report(repair=True)))
    assert kept(client.services) == ["names/demo"]


def test_what_cannot_be_written_is_told_again(client: Client, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client.upload(wheel)

    def full(*_: object) -> None:
        raise Unavailable("The disk is full.")

    told = with_subscribers(client.services)
    with monkeypatch.context() as patch:
        patch.setattr(type(client.services.objects), "write", full)
        assert told.events.tell([], also=[DEMO]) == [DEMO]
    assert told.events.tell([], also=[DEMO]) == []
    assert kept(client.services) == ["names/demo"]


def test_only_an_administrator_gives_a_name_back(client: Client, wheel: Path) -> None:
    services = with_subscribers(client.services)
    client.upload(wheel)
    services.events.tell([], also=[DEMO])
    with pytest.raises(AlreadyExists, match="delete them first"):
        policy.disown(services, ACTOR, DEMO)
    services.files.delete(wheel.name)
    sync.sync(services.files, services.index, wheel.name)
    policy.disown(services, ACTOR, DEMO)
    assert kept(services) == []
    with suppress(NotFound):
        policy.disown(services, ACTOR, DEMO)
    services.events.tell([], also=[DEMO])
    assert kept(services) == []


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("last", range(6))
def test_a_name_that_is_let_go_of_is_one_event_wherever_the_process_ends(
    client: Client, wheel: Path, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after each write; then somebody gives the command again."""
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)
    services, calls = with_subscribers(client.services), count()

    class Mortal:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            found = getattr(self._real, name)
            if name not in ("write", "append", "remove"):
                return found

            def call(*arguments: Any) -> Any:
                if next(calls) >= last:
                    raise Killed
                answer = found(*arguments)
                if next(calls) >= last:
                    raise Killed
                return answer

            return call

    client.upload(wheel)
    client.request("DELETE", f"/packages/{wheel.name}")
    services.events.tell([], also=[DEMO])
    services.objects.write(names.key_of(DEMO), b'{"name": "demo"}', None)  # as it may be of an earlier version
    mortal: Any = replace(services, objects=Mortal(services.objects), log=Mortal(services.log))
    with pytest.raises(Killed):
        policy.disown(mortal, ACTOR, DEMO)
    with suppress(NotFound):  # it is done
        policy.disown(services, ACTOR, DEMO)
    assert kept(services) == []
    [event] = [event for event in services.log.read() if event.type == "policy.name_disowned"]
    assert (event.project, event.after) == (DEMO, "not ours")


def test_a_name_is_ours_again_and_let_go_of_again(
    client: Client, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file comes after a process ended that let go of the name: that is another time, and another event."""
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)
    services = with_subscribers(client.services)
    services.objects.write(names.key_of(DEMO), b'{"name": "demo"}', None)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(type(services.objects), "remove", killed)
        with pytest.raises(Killed):
            policy.disown(services, ACTOR, DEMO)
    client.upload(wheel)
    services.events.tell([Outcome(wheel.name, "unchanged")])
    client.request("DELETE", f"/packages/{wheel.name}")
    policy.disown(services, ACTOR, DEMO)
    found = [event for event in services.log.read() if event.type == "policy.name_disowned"]
    assert [(event.before, event.after) for event in found] == [(None, "not ours"), ("ours", "not ours")]
