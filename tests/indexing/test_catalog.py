"""How the entry of a project is made, by which people find it."""

from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.outcome import Outcome
from elasticpypi.core.search_entry import Counts, Entry
from elasticpypi.services import Services
from elasticpypi.wiring import with_subscribers
from tests.support.application import Client
from tests.support.builders import make_sdist, make_wheel


def tell(services: Services, *keys: str) -> list[NormalizedName]:
    return with_subscribers(services).events.tell([Outcome(key, "written") for key in keys])


def uploaded(client: Client, *paths: Path) -> Entry | None:
    for path in paths:
        assert client.upload(path).status_code == 200
    services = client.services
    tell(services, *(path.name for path in paths))
    return next(iter(services.catalog.entries([NormalizedName("demo")])), None)


def test_an_entry_says_what_the_latest_release_says(client: Client, tmp_path: Path) -> None:
    old = make_wheel(tmp_path, "demo", "1.0", Summary="Old")
    new = make_wheel(
        tmp_path,
        "demo",
        "2.0",
        Summary="A  demo",
        Keywords="fast, small",
        Requires_Dist=["Base.One >=1", "base-two; extra == 'x'", "demo[x]"],
    )
    made = uploaded(client, new, make_sdist(tmp_path, "demo", "2.0"), old)
    assert made is not None
    assert (made.version, made.summary) == ("2.0", "A demo")
    assert made.words == ("demo", "fast", "small", "a")
    assert made.requires == ("base-one", "base-two")
    assert (made.releases, made.files) == (2, 3)
    assert made.serial == client.services.index.serial(NormalizedName("demo"))


def test_a_project_that_nobody_may_see_has_no_entry(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    assert uploaded(client, wheel) is not None
    client.request("PUT", "/packages/demo.status", data="quarantined")
    services = client.services
    tell(services, "demo.status")
    assert services.catalog.search("demo", 0, 9).entries == []
    client.request("DELETE", "/packages/demo.status")
    tell(services, "demo.status")
    assert [each.name for each in services.catalog.search("demo", 0, 9).entries] == ["demo"]
    client.request("DELETE", f"/packages/{wheel.name}")
    tell(services, wheel.name)
    assert services.catalog.counts() == Counts()


def test_a_failure_holds_up_nothing(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("demo", "other"):
        client.upload(make_wheel(tmp_path, name, "1.0"))
    services = client.services
    real = services.index.project

    def failing(name: NormalizedName) -> object:
        if name == "demo":
            raise Unavailable("now")
        return real(name)

    monkeypatch.setattr(services.index, "project", failing)
    assert tell(services, "demo-1.0.tar.gz", "README.md", "other-1.0.tar.gz") == ["demo"]
    assert [each.name for each in services.catalog.newest(5)] == ["other"]
