"""The entries of all projects: the contract of ``stores.Catalog`` on both implementations, and how entries are made."""

import os
import re
import time
from pathlib import Path

import boto3
import pytest
from packaging.utils import NormalizedName

from elasticpypi.core import about, search_entry
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.model import File, Project
from elasticpypi.core.outcome import Outcome
from elasticpypi.core.search_entry import Counts, Entry, words
from elasticpypi.indexing.catalog import refresh
from elasticpypi.services import Services
from elasticpypi.storage.aws.catalog import README_SECONDS, DynamoCatalog
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.contracts import Catalog
from elasticpypi.storage.local import catalog as local
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.wiring import with_subscribers
from tests.builders import make_sdist, make_wheel
from tests.conftest import TABLE, Client
from tests.deploying import ROOT

TEMPLATE = (ROOT / "serverless.yml").read_text()


def tell(services: Services, *keys: str) -> list[NormalizedName]:
    return with_subscribers(services).events.tell([Outcome(key, "written") for key in keys])


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


# ---- How an entry is made


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


def test_the_newest_release_is_the_one_that_appeared_last() -> None:
    demo = NormalizedName("demo")
    appeared = {"2.0": "2026-01-01", "1.0": "2026-03-01", "1.1": "2026-02-01"}
    files = [File(f"demo-{version}.tar.gz", demo, version, 1, "", time, "r") for version, time in appeared.items()]
    files.append(File("demo-1.1-py3-none-any.whl", demo, "1.1", 1, "", "2026-04-01", "r"))  # a wheel of an old release
    made = search_entry.describe(Project(demo, 1, tuple(files)), about.parse(None))
    assert (made.version, made.released, made.time) == ("2.0", "1.0", "2026-03-01")


def test_a_project_that_nobody_may_see_has_no_entry(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    assert uploaded(client, wheel) is not None
    client.request("PUT", "/packages/demo.status", data="quarantined")
    services = client.services
    tell(services, "demo.status")
    assert found(services.catalog, "demo") == (0, [])
    client.request("DELETE", "/packages/demo.status")
    tell(services, "demo.status")
    assert found(services.catalog, "demo") == (1, ["demo"])
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
    assert names(services.catalog.newest(5)) == ["other"]


def test_words() -> None:
    assert words("Caf\u00e9 cafe X_y-z 3D \u4e2d\u6587") == ["cafe", "x", "y", "z", "3d", "\u4e2d\u6587"]
    assert words("a" * 100) == ["a" * search_entry.LONGEST_WORD]
