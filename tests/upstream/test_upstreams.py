"""The other indexes of now: those of the policy, else that of the setting."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi import policy
from elasticpypi.core.errors import ConfigurationError, Unavailable
from elasticpypi.storage.local.state import SQLiteState
from elasticpypi.storage.local.upstream import FolderUpstream
from elasticpypi.upstream.fetch import Failed
from elasticpypi.upstream.upstreams import Upstreams
from tests.support.fake_upstream import fake_upstream

DEMO = NormalizedName("demo")


class Changing(Upstreams):
    """With a policy that a test can change."""

    def __init__(self, folder: Path, setting: str, document: str, pip: Callable[[], str], environ: dict[str, str]):
        self.change(document)
        store, state = FolderUpstream(folder), SQLiteState(folder)
        super().__init__(setting, pip, lambda: self.document, store, state, lambda events: None, environ=environ)

    def change(self, document: str) -> None:
        self.document = policy.parse(document)


Make = Callable[..., Changing]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def one(setting: str = "", document: str = "", pip: Callable[[], str] = str, **environ: str) -> Changing:
        return Changing(tmp_path, setting, document, pip, environ)

    return one


TWO = """
[upstream.first]
url = "https://one.example/simple/"
[upstream.second]
url = "https://two.example/simple/"
room = "80GB"
"""


def addresses(upstreams: Upstreams) -> list[str]:
    return [each.client.address for each in upstreams()]


def test_without_setting_and_policy_there_is_none(make: Make) -> None:
    assert make()() == ()


def test_the_setting_is_one_until_the_policy_has_some(make: Make) -> None:
    upstreams = make("https://main.example/simple")
    [main] = upstreams()
    assert (main.name, main.client.address) == ("main", "https://main.example/simple/")
    upstreams.change(TWO)
    assert [each.name for each in upstreams()] == ["first", "second"]
    assert addresses(upstreams) == ["https://one.example/simple/", "https://two.example/simple/"]
    upstreams.change("")
    assert addresses(upstreams) == ["https://main.example/simple/"]


def test_those_that_stay_the_same_go_on(make: Make) -> None:
    """With their connections, and what they know of how hosts have answered."""
    upstreams = make(document=TWO)
    first, second = upstreams()
    assert upstreams() is upstreams()
    upstreams.change(TWO.replace("80GB", "90GB"))
    assert upstreams()[0] is first
    assert upstreams()[1] is not second


def test_pip_is_asked_for_its_address_when_that_is_needed(make: Make) -> None:
    asked: list[int] = []

    def pip() -> str:
        asked.append(1)
        return "https://anna:secret@pip.example/simple"

    upstreams = make("pip", pip=pip)
    [main] = upstreams()
    assert not asked  # who reads a package of our own never waits for pip
    assert main.client.address == main.client.address == "https://pip.example/simple/"
    assert asked == [1]


def test_without_a_pip_others_and_own_packages_go_on(make: Make) -> None:
    def pip() -> str:
        raise ConfigurationError("There is no pip here.")

    [main] = make("pip", pip=pip)()
    with pytest.raises(ConfigurationError):  # at the start, which stops
        _ = main.client.address
    with pytest.raises(Unavailable, match="There is no pip here"):
        main.about(NormalizedName("demo"))


def test_credentials_of_the_setting_and_of_a_variable_are_in_nothing_that_is_shown(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    document = '[upstream.main]\nurl = "https://x.example/simple/"\ncredentials = "MINE"\n'
    for upstreams in (make("https://anna:secret@x.example/simple/"), make(document=document, MINE="anna:secret")):
        [main] = upstreams()
        assert main.client.address == "https://x.example/simple/"
        assert "secret" not in repr((main.settings, upstreams._known, main.client._hosts))
        assert main.client.link("https://x.example/file") is None  # only we have them
    assert "MINE" not in caplog.text


def test_a_variable_without_a_value_is_a_line_in_the_log(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        make(document='[upstream.main]\nurl = "https://x.example/"\ncredentials = "MINE"\n')()
    assert "'main' cannot be asked: MINE has no value here, and should have its user:password." in caplog.text


def test_without_the_variable_nobody_is_asked_and_other_processes_go_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elasticpypi.upstream.pages.SHORTEST_AGE", 0)
    with fake_upstream("Basic YW5uYTpzZWNyZXQ=") as fake:
        fake.add("demo-1.0.tar.gz", b"demo")
        document = f'[upstream.main]\nurl = "{fake.url}"\ncredentials = "MINE"\nfresh = "0"\n'
        [knows] = make(document=document, MINE="anna:secret")()
        assert knows.about(DEMO).revision
        [lacks] = make(document=document)()
        assert "MINE has no value" in lacks.about(DEMO).trouble
        with pytest.raises(Unavailable, match="MINE has no value"):
            lacks.about(NormalizedName("other"))
        with pytest.raises(Failed, match="MINE has no value"):
            lacks.client.link(f"{fake.base}/demo-1.0.tar.gz")
        assert len(fake.requests) == 1
        assert not knows.about(DEMO).trouble
        assert len(fake.requests) == 2


@pytest.mark.parametrize(("setting", "document", "room"), [("", "", 50), ("pip", "", 50), ("pip", TWO, 80)])
def test_there_is_as_much_room_as_one_of_them_may_have(
    make: Make, setting: str, document: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: list[int] = []
    upstreams = make(setting, document)
    monkeypatch.setattr(upstreams.store, "tidy", lambda room: rooms.append(room) or 0)
    assert upstreams.tidy() == 0
    assert rooms == [room * 10**9]


def test_the_first_one_is_asked_and_no_connection_is_open_before(make: Make) -> None:
    with fake_upstream() as fake:
        fake.add("demo-1.0.tar.gz", b"demo")
        [main] = make(fake.url)()
        assert main.client._process is None
        assert main.about(NormalizedName("demo")).revision
