"""Names that are ours for ever."""

from contextlib import suppress
from pathlib import Path

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
