"""What becomes of a page that another index sent: the same here and in a process of its own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.upstream import BadAnswer, load
from elasticpypi.upstream import reading
from elasticpypi.upstream.reading import Sent, made, news
from tests.support.fake_upstream import JSON, OLD

DEMO, NOW, LATER = NormalizedName("demo"), "2026-11-30T12:00:00.000000Z", "2026-11-30T13:00:00.000000Z"


def entry(version: str, digit: str = "a", **said: Any) -> dict[str, Any]:
    name = f"demo-{version}.tar.gz"
    return {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": digit * 64}, "upload-time": OLD, **said}


def sent(*files: dict[str, Any], body: bytes = b"", serial: int = 7) -> Sent:
    page = {"meta": {"api-version": "1.4", "_last-serial": serial}, "name": "demo", "files": files}
    return Sent(body or json.dumps(page).encode(), JSON, "https://x.example/simple/demo/", DEMO)


OLD_PAGE = made(sent(entry("1.0"), entry("2.0", "b"), entry("3.0", "c", **{"upload-time": None})), None, NOW).kept
NEW_PAGE = sent(entry("2.0", "d"), entry("3.0", "c", **{"upload-time": None}), entry("4.0"), serial=8)


@pytest.mark.parametrize("large", [reading.LARGE, 0], ids=["here", "apart"])
def test_what_is_new_what_changed_and_what_is_gone(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(reading, "LARGE", large)
    found = news(NEW_PAGE, OLD_PAGE, LATER)
    assert found.serial == 8
    assert [(change.kind, change.filename, change.sha256[0], change.new_sha256[:1]) for change in found.changes] == [
        ("upstream.changed", "demo-2.0.tar.gz", "b", "d"),
        ("upstream.vanished", "demo-1.0.tar.gz", "a", ""),
    ]
    page = load(found.kept).page("main")
    assert [(file.version, file.sha256[0], file.first_seen) for file in page.files] == [
        ("2.0", "b", ""),  # the bytes that were there first
        ("3.0", "c", NOW),
        ("4.0", "a", ""),
    ]
    assert [(each.file.filename, each.file.sha256[0], each.at) for each in page.gone] == [
        ("demo-1.0.tar.gz", "a", LATER),
    ]
    assert found == made(NEW_PAGE, OLD_PAGE, LATER)
    assert news(NEW_PAGE, b"of another version", LATER).changes == []


def test_a_page_of_many_megabytes_is_read_apart() -> None:
    """More than a pipe takes at once, in both directions, beside an old page of that size."""
    many = [entry(f"1.{number}", "0123456789abcdef"[number % 16], **{"upload-time": None}) for number in range(9000)]
    first = news(sent(*many), None, NOW)
    assert len(first.kept) > 512 * 1024
    found = news(sent(*many[1:], entry("2.0"), serial=9), first.kept, LATER)
    assert [(change.kind, change.filename) for change in found.changes] == [("upstream.vanished", "demo-1.0.tar.gz")]
    page = load(found.kept).page("main")
    assert (len(page.files), {file.first_seen for file in page.files}) == (9000, {NOW, ""})


@pytest.mark.parametrize("large", [reading.LARGE, 0], ids=["here", "apart"])
def test_what_is_no_page_says_why(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(reading, "LARGE", large)
    with pytest.raises(BadAnswer, match="no list of files"):
        news(sent(body=b'{"a": 1}'), None, NOW)
    with pytest.raises(BadAnswer, match="cannot be read"):
        news(sent(body=b"[" * 900), OLD_PAGE, NOW)


def test_a_process_gets_no_more_than_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGE", 0)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "MEMORY", 1024**2)
        with pytest.raises(BadAnswer, match="too large to be read"):
            news(sent(entry("1.0", pad="x" * 5 * 1024**2)), None, NOW)
    monkeypatch.setattr(reading, "PATIENCE", 0.001)
    with pytest.raises(BadAnswer, match="too large to be read"):
        news(NEW_PAGE, None, NOW)
    with reading._turn, pytest.raises(BadAnswer, match="cannot be read now: others are"):
        news(NEW_PAGE, None, NOW)


def test_a_process_knows_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are passwords in it."""
    seen: list[dict[str, str]] = []
    real = subprocess.Popen

    def popen(*arguments: Any, env: dict[str, str], **told: Any) -> Any:
        seen.append(env)
        return real(*arguments, env=env, **told)

    monkeypatch.setattr(reading, "LARGE", 0)
    monkeypatch.setenv("PASSWORD", "secret")
    monkeypatch.setattr(subprocess, "Popen", popen)
    assert news(NEW_PAGE, None, NOW).serial == 8
    [environ] = seen
    assert {*environ} <= {*reading.NEEDED}
    assert os.environ["PASSWORD"] == "secret"


def test_without_a_process_the_old_page_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGE", 0)
    monkeypatch.setattr(reading.sys, "executable", str(Path("/nowhere/python")))
    with pytest.raises(BadAnswer):
        news(NEW_PAGE, OLD_PAGE, NOW)


def test_what_has_left_is_remembered_until_it_is_there_again() -> None:
    gone = made(sent(entry("2.0", "b")), OLD_PAGE, NOW).kept
    still = load(made(sent(entry("2.0", "b")), gone, LATER).kept).page("main")
    assert [(each.file.version, each.at) for each in still.gone] == [("1.0", NOW), ("3.0", NOW)]
    again = made(sent(entry("1.0", "d"), entry("2.0", "b"), entry("3.0", "c")), gone, LATER)
    page = load(again.kept).page("main")
    assert [(file.version, file.sha256[0]) for file in page.files] == [("1.0", "a"), ("2.0", "b"), ("3.0", "c")]
    assert (page.gone, [change.kind for change in again.changes]) == ((), ["upstream.changed"])


def test_what_moves_to_another_path_has_not_left() -> None:
    found = made(sent(entry("1.0", url="/mirror/demo-1.0.tar.gz"), entry("2.0", "b"), entry("3.0", "c")), OLD_PAGE, NOW)
    assert (load(found.kept).page("main").gone, found.changes) == ((), [])


def test_of_very_many_that_leave_the_last_ones_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_GONE", 2)
    first = made(sent(entry("2.0", "b"), entry("3.0", "c")), OLD_PAGE, NOW).kept
    page = load(made(sent(), first, LATER).kept).page("main")
    assert [each.file.version for each in page.gone] == ["2.0", "3.0"]
