"""What administrators decided, as readers of other indexes know it: at once, and back."""

from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.accounts.principal import Actor, Principal
from elasticpypi.actions import policy
from elasticpypi.core.blocks import Block
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.ruling import NOTHING, Ruling, dump
from elasticpypi.repository.rulings import CurrentRulings, Rulings
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANY, Object, Objects
from elasticpypi.storage.local.objects import FileObjects
from tests.support.waiting import until

BOSS = Actor(Principal("boss", "command"))
DEMO, OTHER = NormalizedName("demo"), NormalizedName("other-one")
SHA = "ab" * 32
END = "2026-12-31T23:59:59.000000Z"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """Objects in a folder: how many were read, and whether they can be had."""

    def __init__(self, folder: Path) -> None:
        self._real = FileObjects(folder)
        self.read_keys: list[str] = []
        self.away = False

    def read(self, key: str) -> Object | None:
        self.read_keys.append(key)
        self._check()
        return self._real.read(key)

    def keys(self, prefix: str) -> list[str]:
        self._check()
        return self._real.keys(prefix)

    def mark(self, prefix: str) -> str | None:
        self._check()
        return self._real.mark(prefix)

    def revision(self, key: str) -> str | None:
        return self._real.revision(key)

    def write(self, key: str, body: bytes, over: str | None) -> str:
        return self._real.write(key, body, over)

    def remove(self, key: str) -> None:
        self._real.remove(key)

    def _check(self) -> None:
        if self.away:
            raise Unavailable("The folder is away.")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def objects(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.fixture
def current(objects: Watched, clock: Clock) -> CurrentRulings:
    return CurrentRulings(objects, 0.5, clock)


def write(objects: Objects, key: str, said: Ruling) -> None:
    objects.write(key, dump(said), ANY)


def test_what_commands_decide_is_known(services: Services, clock: Clock) -> None:
    current = CurrentRulings(services.objects, 0.5, clock)
    assert current() == Rulings()
    policy.set_origin(services, BOSS, DEMO, "both")
    policy.block(services, BOSS, "Other.One==1.0", "bad")
    policy.block(services, BOSS, f"sha256:{SHA}", "worse")
    clock.now += 0.5
    found = current()
    assert found.origins == {DEMO: "both"}
    [block] = found.blocks[OTHER]
    assert (block.what, block.reason, block.by) == ("1", "bad", "boss")
    assert [each.what for each in found.blocks_of(OTHER)] == ["1", f"sha256:{SHA}"]
    assert [each.reason for each in found.blocks_of(DEMO)] == ["worse"]
    policy.set_origin(services, BOSS, DEMO, "unset")
    policy.unblock(services, BOSS, "other-one==1")
    policy.unblock(services, BOSS, f"sha256:{SHA}")
    clock.now += 0.5
    assert current() == Rulings()


def test_exemptions(objects: Watched, current: CurrentRulings) -> None:
    write(objects, "policy/exemptions/demo==1", Ruling(END, "a repair", "boss"))
    write(objects, "policy/exemptions/demo==2", NOTHING)
    write(objects, "policy/exemptions/demo", Ruling(END))
    [exemption] = current().exemptions[DEMO]
    assert exemption == ("1", END, "a repair", "boss", "")


def test_what_cannot_be_read_lets_nothing_in(objects: Watched, current: CurrentRulings) -> None:
    for key in ("policy/origins/demo", "policy/blocks/demo==1", "policy/exemptions/demo==1"):
        objects.write(key, b"{", None)
    found = current()
    assert found.origins == {DEMO: "unreadable"}
    assert [block.what for block in found.blocks[DEMO]] == ["1"]
    assert found.exemptions == {}


def test_what_is_put_there_by_hand_counts_in_every_spelling(objects: Watched, current: CurrentRulings) -> None:
    write(objects, "policy/origins/Other_One", Ruling("denied"))
    write(objects, "policy/origins/DEMO", Ruling("upstream"))
    write(objects, "policy/origins/demo", Ruling("private"))
    write(objects, "policy/blocks/Other.One", Ruling("blocked", "bad"))
    found = current()
    assert found.origins == {OTHER: "denied", DEMO: "private"}
    assert found.blocks == {OTHER: [Block("", "bad")]}


@pytest.mark.parametrize("name", ["a\\b", "a\x01", "..x", " ", "a b", "\udcff", "demo==", "==1", "sha256=ab"])
def test_no_file_in_the_folders_breaks_anything(
    objects: Watched, current: CurrentRulings, tmp_path: Path, name: str
) -> None:
    for folder in ("origins", "blocks", "exemptions"):
        (tmp_path / "policy" / folder / "folder").mkdir(parents=True)
        (tmp_path / "policy" / folder / name).write_bytes(dump(Ruling("denied")))
    write(objects, "policy/origins/demo", Ruling("private"))
    assert current().origins[DEMO] == "private"


def test_it_costs_one_look_a_pause_and_reads_only_what_has_changed(
    objects: Watched, current: CurrentRulings, clock: Clock
) -> None:
    write(objects, "policy/origins/demo", Ruling("private"))
    current()
    until(lambda: objects.mark("policy/origins/"), "it is settled")
    clock.now += 0.5
    first = current()
    objects.read_keys.clear()
    for _ in range(100):
        clock.now += 0.4
        assert current() is first
    assert objects.read_keys == []
    write(objects, "policy/origins/demo", Ruling("denied"))
    assert current() is first  # it was looked at a moment ago
    clock.now += 0.5
    assert current().origins == {DEMO: "denied"}
    assert objects.read_keys != []


def test_another_number_whenever_something_has_changed(objects: Watched, current: CurrentRulings, clock: Clock) -> None:
    marks = [current.mark]
    for said in ("private", "private", "denied"):
        write(objects, "policy/origins/demo", Ruling(said))
        clock.now += 0.5
        marks.append(current.mark)
    assert marks[1] == marks[2]
    assert len({*marks}) == 3


def test_another_process_sees_it_at_once(tmp_path: Path, clock: Clock) -> None:
    one, two = (CurrentRulings(FileObjects(tmp_path), 0.5, clock) for _ in range(2))
    assert one() == two() == Rulings()
    for said in ("private", "denied", "both", "private"):  # within one tick of the clock of the file system
        write(FileObjects(tmp_path), "policy/origins/demo", Ruling(said))
        clock.now += 0.5
        assert one().origins == two().origins == {DEMO: said}


def test_the_store_is_away(objects: Watched, current: CurrentRulings, clock: Clock) -> None:
    objects.away = True
    with pytest.raises(Unavailable):
        current()
    objects.away = False
    write(objects, "policy/origins/demo", Ruling("private"))
    assert current().origins == {DEMO: "private"}
    objects.away = True
    clock.now += 0.5
    assert current().origins == {DEMO: "private"}
    objects.away = False
    write(objects, "policy/origins/demo", Ruling("denied"))
    clock.now += 0.5
    assert current().origins == {DEMO: "denied"}
