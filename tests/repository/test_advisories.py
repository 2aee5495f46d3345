"""The advisories of now: seen at once, read once, and the last good ones when something is wrong with them."""

import logging
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.advisories import KEY, Collected
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.moments import seconds_of
from elasticpypi.repository.advisories import CurrentAdvisories
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANY, Object
from elasticpypi.storage.local.objects import FileObjects

DEMO = NormalizedName("demo")


class Watched(FileObjects):
    """Objects in a folder: what was asked of them, and whether they can be had."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []
        self.away = False

    def read(self, key: str) -> Object | None:
        self._note("read")
        return super().read(key)

    def revision(self, key: str) -> str | None:
        self._note("revision")
        return super().revision(key)

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self.away:
            raise Unavailable("It is away.")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def table(*ids: str, modified: str = "2026-11-29T00:00:00Z") -> bytes:
    collected = Collected()
    affected = [{"package": {"ecosystem": "PyPI", "name": "demo"}, "versions": ["1.0"]}]
    for each in ids:
        collected.add({"id": each, "modified": modified, "affected": affected}, seconds_of("2999-01-01T00:00:00Z"))
    return collected.dump(collected.about())


def of_demo(current: CurrentAdvisories) -> list[str]:
    return [each.id for each in current().of(DEMO).every]


def test_they_are_read_once_and_when_they_change(tmp_path: Path) -> None:
    objects, clock = Watched(tmp_path), Clock()
    current = CurrentAdvisories(objects, 10.0, clock)
    assert of_demo(current) == []
    assert current().about is None
    assert objects.asked == ["read"]
    FileObjects(tmp_path).write(KEY, table("MAL-2026-1"), None)
    assert of_demo(current) == []
    clock.now += 10
    assert of_demo(current) == ["MAL-2026-1"]
    known = current()
    clock.now += 10
    assert current() is known
    assert objects.asked == ["read", "revision", "read", "revision"]
    FileObjects(tmp_path).write(KEY, table("MAL-2026-1", "PYSEC-2026-1"), ANY)
    clock.now += 10
    assert of_demo(current) == ["MAL-2026-1", "PYSEC-2026-1"]
    FileObjects(tmp_path).remove(KEY)
    clock.now += 10
    assert of_demo(current) == []


def test_the_last_good_ones_hold(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    objects, clock = Watched(tmp_path), Clock()
    objects.write(KEY, table("MAL-2026-1"), None)
    current = CurrentAdvisories(objects, 0.0, clock)
    assert of_demo(current) == ["MAL-2026-1"]
    objects.write(KEY, b"damaged", ANY)
    with caplog.at_level(logging.WARNING):
        assert of_demo(current) == of_demo(current) == ["MAL-2026-1"]
    assert "load them again" in current.warning()
    assert caplog.text.count("load them again") == 1
    objects.asked.clear()
    of_demo(current)
    assert objects.asked == ["revision"]
    objects.away = True
    assert of_demo(current) == ["MAL-2026-1"]
    assert current.warning() == "The advisories cannot be read: It is away. The last ones hold."
    objects.away = False
    assert "load them again" in current.warning()
    objects.write(KEY, table("MAL-2026-2"), ANY)
    assert of_demo(current) == ["MAL-2026-2"]
    assert "load them again" not in current.warning()


def test_what_could_never_be_had_is_no_empty_answer(tmp_path: Path) -> None:
    objects = Watched(tmp_path)
    objects.away = True
    current = CurrentAdvisories(objects, 0.0)
    with pytest.raises(Unavailable):
        current()
    assert current.warning() == "The advisories cannot be read: It is away."
    objects.away = False
    assert current.warning() == ""
    assert of_demo(current) == []


def test_what_is_damaged_at_the_start_is_said(tmp_path: Path) -> None:
    FileObjects(tmp_path).write(KEY, b"damaged", None)
    current = CurrentAdvisories(FileObjects(tmp_path), 0.0)
    assert of_demo(current) == []
    assert "load them again" in current.warning()


def test_old_ones_are_a_line_a_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    FileObjects(tmp_path).write(KEY, table("MAL-2026-1", modified="2020-01-01T00:00:00Z"), None)
    clock = Clock()
    current = CurrentAdvisories(FileObjects(tmp_path), 1.0, clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            current()
            clock.now += 3600
    assert caplog.text.count("days old: load newer ones") == 1
    clock.now += 24 * 3600
    with caplog.at_level(logging.WARNING):
        current()
    assert caplog.text.count("days old: load newer ones") == 2


def test_in_both_families(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.services.ADVISORY_SECONDS", (0.0, 0.0))
    objects: Any = services.objects
    current = services.advisories
    assert of_demo(current) == []
    revision = objects.write(KEY, table("MAL-2026-1"), None)
    assert of_demo(current) == ["MAL-2026-1"]
    objects.write(KEY, table("MAL-2026-2"), revision)
    assert of_demo(current) == ["MAL-2026-2"]
