"""Store against index: every difference is found, named and repaired, however large both are."""

import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.actions.audit import audit as audit_services
from elasticpypi.core.about import FORM
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.model import File, Record
from elasticpypi.core.outcome import Outcome
from elasticpypi.indexing import audit, sync
from elasticpypi.services import Services
from elasticpypi.storage.contracts import Stat
from tests.support.builders import make_sdist, make_wheel
from tests.support.store import put

DEMO = NormalizedName("demo")
NOW = datetime.now(UTC)


def run(services: Services, *, repair: bool = False) -> tuple[list[str], str]:
    report = audit.Report(repair=repair)
    return sorted(audit.line(outcome) for outcome in audit_services(services, report)), str(report)


def records(services: Services) -> list[Record]:
    return sorted(services.index.records(), key=lambda record: record.key)


def all_of(services: Services) -> list[Outcome]:
    keys = audit.every_key(services.files, services.index)
    return list(sync.sync_all(services.files, services.index, keys, force=True))


@pytest.fixture(params=[1, 4], ids=["one thread", "threads"])
def filled(services: Services, request: pytest.FixtureRequest, tmp_path: Path) -> Services:
    """Two wheels, an sdist and a yank, in the index; what is no package, and half a one, which cannot be."""
    services = replace(services, threads=request.param)
    for path in (
        *(make_wheel(tmp_path, "demo", version) for version in ("1.0", "2.0")),
        make_sdist(tmp_path, "b", "1"),
    ):
        put(services.files, path.name, path.read_bytes())
    put(services.files, "demo-1.0-py3-none-any.whl.yanked", b"bad")
    put(services.files, "README.md", b"hello")
    put(services.files, "demo-0.1-py3-none-any.whl", path.read_bytes()[:100])
    all_of(services)
    return services


LEFT_OUT = [
    "left out: README.md: Its name is none of a wheel or an sdist.",
    "left out: demo-0.1-py3-none-any.whl: 'demo-0.1-py3-none-any.whl' cannot be read: it is no zip file, or damaged.",
]


def disturb(services: Services, tmp_path: Path) -> None:
    """One key of each kind of difference."""
    services.index.remove(DEMO, "demo-1.0-py3-none-any.whl")
    other = make_wheel(tmp_path, "demo", "2.0", summary="other")
    put(services.files, other.name, other.read_bytes())
    services.files.delete("b-1.tar.gz")


@pytest.mark.parametrize("repair", [False, True])
def test_what_agrees_is_left_alone(filled: Services, repair: bool) -> None:
    before = records(filled), filled.index.projects()
    repaired = "repaired" if repair else "differ"
    assert run(filled, repair=repair) == (LEFT_OUT, f"6 keys: 4 agree, 0 {repaired}, 2 left out.")
    assert (records(filled), filled.index.projects()) == before


def test_every_difference_is_named_and_repaired(filled: Services, tmp_path: Path) -> None:
    disturb(filled, tmp_path)
    before = records(filled)
    found = [
        "gone from the store: b-1.tar.gz",
        *LEFT_OUT,
        "missing in the index: demo-1.0-py3-none-any.whl",
        "stale in the index: demo-2.0-py3-none-any.whl",
    ]
    kinds = "(1 gone from the store, 1 missing in the index, 1 stale in the index)"
    assert run(filled) == (found, f"6 keys: 1 agree, 3 differ {kinds}, 2 left out.")
    assert records(filled) == before
    assert run(filled, repair=True) == (found, f"6 keys: 1 agree, 3 repaired {kinds}, 2 left out.")
    assert run(filled) == (LEFT_OUT, "5 keys: 3 agree, 0 differ, 2 left out.")
    repaired = records(filled)
    for record in repaired:
        filled.index.remove(record.project, record.key)
    all_of(filled)
    assert records(filled) == repaired


def test_a_key_that_became_half_a_file_is_repaired_once(filled: Services) -> None:
    put(filled.files, "demo-1.0-py3-none-any.whl", b"PK\x03\x04 half")
    assert run(filled)[1] == "6 keys: 3 agree, 1 differ (1 stale in the index), 2 left out."
    assert run(filled, repair=True)[1] == "6 keys: 3 agree, 1 repaired (1 stale in the index), 2 left out."
    assert run(filled, repair=True)[1] == "6 keys: 3 agree, 0 repaired, 3 left out."


def test_a_key_that_fails_does_not_block_the_others(
    filled: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturb(filled, tmp_path)
    real = filled.files.open

    def failing(what: Any) -> Any:
        if what.key == "demo-1.0-py3-none-any.whl":
            raise Unavailable("The bucket cannot be used now (SlowDown).")
        return real(what)

    monkeypatch.setattr(filled.files, "open", failing)
    lines, report = run(filled, repair=True)
    assert "failed: demo-1.0-py3-none-any.whl: The bucket cannot be used now (SlowDown)." in lines
    kinds = "(1 gone from the store, 1 stale in the index)"
    assert report == f"6 keys: 1 agree, 2 repaired {kinds}, 2 left out, 1 failed."
    monkeypatch.undo()
    assert run(filled, repair=True)[1] == "5 keys: 2 agree, 1 repaired (1 missing in the index), 2 left out."


def test_an_audit_that_has_to_end_is_continued_by_the_next(services: Services, tmp_path: Path) -> None:
    names = [make_wheel(tmp_path, "demo", str(number)).name for number in range(10)]
    for name in names:
        put(services.files, name, (tmp_path / name).read_bytes())
    reports = []
    while len(reports) < 4:
        answers = iter([True, True, True])
        report = audit.Report(repair=True)
        list(audit_services(services, report, lambda answers=answers: next(answers, False)))  # type: ignore[misc]
        reports.append(str(report))
    missing = "(3 missing in the index)"
    assert reports == [
        f"3 keys: 0 agree, 3 repaired {missing}, 0 left out; the time did not suffice for all.",
        f"6 keys: 3 agree, 3 repaired {missing}, 0 left out; the time did not suffice for all.",
        f"9 keys: 6 agree, 3 repaired {missing}, 0 left out; the time did not suffice for all.",
        "10 keys: 9 agree, 1 repaired (1 missing in the index), 0 left out.",
    ]


def test_a_change_during_the_audit_is_no_difference(filled: Services, tmp_path: Path) -> None:
    """Between the reading of the index and of the store a file is put, replaced or removed, and synced."""
    one, two = make_wheel(tmp_path, "demo", "3.0"), make_wheel(tmp_path, "demo", "2.0", summary="new")

    def meanwhile() -> Iterator[Record]:
        yield from real()
        for path in (one, two):
            put(filled.files, path.name, path.read_bytes())
            sync.sync(filled.files, filled.index, path.name)
        filled.files.delete("b-1.tar.gz")
        sync.sync(filled.files, filled.index, "b-1.tar.gz")

    real = filled.index.records
    index = type(
        "Meanwhile",
        (),
        {"__getattr__": lambda _, name: getattr(filled.index, name), "records": lambda _: next(reads)()},
    )()
    reads = iter([meanwhile, real])
    assert run(replace(filled, index=index)) == (LEFT_OUT, "6 keys: 4 agree, 0 differ, 2 left out.")


def test_only_what_differs_is_looked_at(filled: Services, tmp_path: Path) -> None:
    assert list(audit.changed_keys(filled.files, filled.index)) == ["demo-0.1-py3-none-any.whl"]
    disturb(filled, tmp_path)
    keys = list(audit.changed_keys(filled.files, filled.index))
    assert keys[-1] == "b-1.tar.gz"  # what is gone comes last
    assert sorted(keys) == [
        "b-1.tar.gz",
        "demo-0.1-py3-none-any.whl",
        "demo-1.0-py3-none-any.whl",
        "demo-2.0-py3-none-any.whl",
    ]


class Many:
    """A store, and an index of it that has every thousandth key wrong, lacks one, and has one too many."""

    def __init__(self, count: int) -> None:
        self.count = count

    def list(self) -> Iterator[Stat]:
        for number in range(self.count):
            yield Stat(f"demo-{number}.tar.gz", 1, f"r{number}", NOW)

    def stat(self, key: str) -> Stat | None:
        number = int(key[5:-7])
        return Stat(key, 1, f"r{number}", NOW) if number < self.count else None

    def records(self) -> Iterator[Record]:
        numbers = list(range(0, self.count, 1000))
        random.Random(1).shuffle(numbers)
        for thousand in numbers:
            for number in range(thousand + 1, thousand + 1001):
                revision = "old" if number % 1000 == 1 else f"r{number}"
                yield File(f"demo-{number}.tar.gz", DEMO, "1", 1, "", "", revision, form=FORM)


@pytest.mark.soak
def test_the_memory_is_bounded() -> None:
    many: Any = Many(100_000)
    tracemalloc.start()
    try:
        differing = sum(1 for _ in audit.changed_keys(many, many))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert differing == 102
    assert peak < 2_500_000
