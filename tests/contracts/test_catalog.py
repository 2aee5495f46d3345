"""The contract of ``Catalog``, the entries of all projects, on every implementation."""

import os
import re
import time
from pathlib import Path

import boto3
import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.search_entry import Counts, Entry, words
from elasticpypi.indexing.catalog import refresh
from elasticpypi.services import Services
from elasticpypi.storage.aws.catalog import README_SECONDS, DynamoCatalog
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.contracts import Catalog
from elasticpypi.storage.local import catalog as local
from elasticpypi.storage.local.sqlite import SQLiteIndex
from tests.support import ROOT
from tests.support.application import Client
from tests.support.builders import make_wheel
from tests.support.moto_aws import TABLE

TEMPLATE = (ROOT / "serverless.yml").read_text()


@pytest.fixture
def store(services: Services) -> Catalog:
    return services.catalog


def entry(name: str, serial: int = 1, summary: str = "", time: str = "2026-01-01", **more: object) -> Entry:
    found_by = tuple(words(f"{name} {summary}"))
    return Entry(NormalizedName(name), serial, "1.0", "1.0", time, summary, found_by, **more)  # type: ignore[arg-type]


def add(store: Catalog, *entries: Entry) -> None:
    for each in entries:
        store.replace(each.name, each.serial, each)


def found(store: Catalog, text: str, start: int = 0, count: int = 100) -> tuple[int, list[str]]:
    result = store.search(text, start, count)
    return result.total, [each.name for each in result.entries]


def names(entries: list[Entry]) -> list[str]:
    return [each.name for each in entries]


def test_an_entry_is_kept_as_it_is(store: Catalog) -> None:
    demo = entry("demo", 7, "Thé \u201cbest\u201d demo", requires=(NormalizedName("other"),), releases=3, files=5)
    assert store.serial(demo.name) is None
    add(store, demo)
    assert store.serial(demo.name) == 7
    assert store.entries([NormalizedName("none"), demo.name]) == [demo]
    assert store.entries([]) == []


def test_the_later_serial_wins(store: Catalog) -> None:
    add(store, entry("demo", 7, "new"), entry("demo", 6, "old"))
    assert [each.summary for each in store.entries([NormalizedName("demo")])] == ["new"]
    store.replace(NormalizedName("demo"), 6, None)
    assert found(store, "demo") == (1, ["demo"])


def test_search_finds_beginnings_of_words(store: Catalog) -> None:
    add(store, entry("acme-tools", summary="Hammers, Sägen & more"), entry("other", summary="Tool box"), entry("none"))
    assert found(store, "tool") == (2, ["acme-tools", "other"])
    assert found(store, "TOOL ham") == (1, ["acme-tools"])
    assert found(store, "sagen") == (1, ["acme-tools"])
    assert found(store, "s\u00e4g") == (1, ["acme-tools"])
    assert found(store, "acme_tools") == (1, ["acme-tools"])
    assert found(store, "ools") == (0, [])
    assert found(store, "tool nowhere") == (0, [])
    for odd in ('"', "*", "tool*", "AND", "NEAR(", "-", "tool'", "a:b", "\0", "%", "(", "words:tool"):
        store.search(odd, 0, 10)


def test_the_best_comes_first(store: Catalog) -> None:
    add(store, entry("zz", summary="demo"), entry("my-demo"), entry("demo-b"), entry("demo"), entry("demo-a"))
    assert found(store, "demo") == (5, ["demo", "demo-a", "demo-b", "my-demo", "zz"])
    assert found(store, "demo", 1, 2) == (5, ["demo-a", "demo-b"])
    assert found(store, "demo", 10, 2) == (5, [])


def test_all_projects_without_words(store: Catalog, client: Client, tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        client.upload(make_wheel(tmp_path, name, "1.0"))
        refresh(client.services.index, client.services.catalog, NormalizedName(name))
    assert found(client.services.catalog, " ", 1, 1) == (3, ["b"])


def test_newest_first(store: Catalog) -> None:
    add(store, *(entry(f"p{number}", time=f"2026-01-0{number}") for number in (3, 1, 2)))
    add(store, entry("p1", 2, time="2026-02-01"))
    assert names(store.newest(2)) == ["p1", "p3"]
    assert names(store.newest(10)) == ["p1", "p3", "p2"]


def test_dependents(store: Catalog) -> None:
    base = NormalizedName("base")
    add(store, entry("b", requires=(base,)), entry("a", requires=(base, NormalizedName("x"))), entry("base"))
    assert store.dependents(base, 9) == {"shown": ["a", "b"], "more": 0}
    assert store.dependents(base, 1) == {"shown": ["a"], "more": 1}
    add(store, entry("a", 2))
    assert store.dependents(base, 9)["shown"] == ["b"]


def test_counts_follow(store: Catalog) -> None:
    assert store.counts() == Counts()
    add(store, entry("a", releases=2, files=3), entry("b", releases=1, files=1), entry("a", 2, releases=3, files=5))
    assert store.counts() == Counts(2, 4, 6)
    store.replace(NormalizedName("b"), 2, None)
    assert store.counts() == Counts(1, 3, 5)
    store.replace(NormalizedName("b"), 3, None)
    assert store.counts() == Counts(1, 3, 5)


def test_what_is_gone_is_not_found(store: Catalog) -> None:
    add(store, entry("demo", summary="word", requires=(NormalizedName("base"),)))
    store.replace(NormalizedName("demo"), 2, None)
    assert found(store, "demo") == found(store, "word") == (0, [])
    assert store.newest(5) == store.dependents(NormalizedName("base"), 9)["shown"] == []
    assert store.entries([NormalizedName("demo")]) == []
    add(store, entry("demo", 3))
    assert found(store, "demo") == (1, ["demo"])


def test_other_words_after_a_change(store: Catalog) -> None:
    add(store, entry("demo", summary="old words"), entry("demo", 2, summary="new words"))
    assert found(store, "old") == (0, [])
    assert found(store, "new words") == (1, ["demo"])


def test_many_entries_at_once(store: Catalog) -> None:
    many = [entry(f"p{number:03}") for number in range(105)]
    add(store, *many)
    assert store.entries([each.name for each in many]) == many


# ---- READMEs, kept by the digest of what they are made of


def test_a_readme_is_kept_as_it_is(store: Catalog) -> None:
    digests = [f"{number:064x}" for number in range(3)]
    bodies = [b"", b"\x00<p>", os.urandom(350_000)]
    for digest, body in zip(digests, bodies, strict=True):
        assert store.readme(digest) is None
        store.keep_readme(digest, body)
    assert [store.readme(digest) for digest in digests] == bodies
    store.keep_readme(digests[0], b"another")
    assert [store.readme(digest) for digest in digests] == [b"another", *bodies[1:]]
    assert store.counts() == Counts()
    assert found(store, "") == (0, [])


def test_the_oldest_readmes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine has room for so many bytes; on AWS the table removes what has expired."""
    store = local.SQLiteCatalog(SQLiteIndex(tmp_path / "index.db"))
    monkeypatch.setattr(local, "ROOM", 5 * (1000 + local.ROW))
    for number in range(8):
        store.keep_readme(str(number), bytes(1000))
    assert [number for number in range(8) if store.readme(str(number)) is not None] == [3, 4, 5, 6, 7]
    store.keep_readme("3", bytes(1000))  # the newest now
    store.keep_readme("8", bytes(2000))
    assert [number for number in range(9) if store.readme(str(number)) is not None] == [3, 6, 7, 8]


def test_a_readme_expires_on_aws(aws: None) -> None:
    before = int(time.time())
    DynamoCatalog(DynamoIndex(TABLE)).keep_readme("0", b"x")
    [item] = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
    assert before < int(item["expires"]["N"]) - README_SECONDS + 1 <= time.time() + 1
    [table] = re.findall(r"TimeToLiveSpecification:.*\n +AttributeName: (\w+)\n +Enabled: true", TEMPLATE)
    assert table in item
