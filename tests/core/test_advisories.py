"""Advisories: records of OSV, the table that is made of them, and what it says of a file."""

import json
from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from elasticpypi.core import advisories
from elasticpypi.core.advisories import Acceptance, Advisory, BadRecord, BadTable, Collected, load, too_old
from elasticpypi.core.errors import BadUpload
from elasticpypi.core.moments import seconds_of
from tests.support.upstream_vectors import VECTORS, cases, ids, table_of

DEMO = NormalizedName("demo")
NOW = seconds_of(VECTORS["now"])
SHA = "ab" * 32


def record(id_: str = "PYSEC-2026-1", *affected: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": id_, "modified": "2026-11-29T00:00:00Z", "affected": list(affected) or [about()], **more}


def about(name: str = "demo", *events: dict[str, str], kind: str = "ECOSYSTEM", **more: Any) -> dict[str, Any]:
    ranges = {"ranges": [{"type": kind, "events": list(events)}]} if events else {}
    return {"package": {"ecosystem": "PyPI", "name": name}, **ranges, **more}


def said(*records: dict[str, Any]) -> tuple[Advisory, ...]:
    return table_of(*records).of(DEMO).every


def affected(found: dict[str, Any], version: str, sha256: str = "") -> bool:
    return any(each.affects(version, sha256) for each in said(found))


# ---- Which versions


CASES = [case for case in cases("osv") if not case.get("own")]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_what_malware_is(case: dict[str, Any]) -> None:
    known = table_of(case["record"]).of(canonicalize_name(case["project"]))
    named = [each.id for each in known.malware if each.affects(case["version"], case.get("sha256", SHA))]
    assert named == ([case["record"]["id"]] if case["blocked"] else [])


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([{"introduced": "0"}], ["0.dev1", "0", "1.0", "9!1"], []),
        ([{"introduced": "0"}, {"fixed": "2.0"}], ["0.dev1", "1.9", "2.0rc1", "2.0.dev3"], ["2.0", "2", "2.0.post1"]),
        ([{"introduced": "1.0"}, {"last_affected": "2.0"}], ["1", "1.5", "2.0.0"], ["0.9", "1.0rc1", "2.0.post1", "3"]),
        ([{"introduced": "1"}, {"last_affected": "1"}], ["1.0"], ["0.9", "1.1"]),
        (
            [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.3"}],
            ["1.1", "2.0", "2.2"],
            ["1.2", "1.9", "2.3", "3"],
        ),
        ([{"fixed": "2.3"}, {"introduced": "2.0"}, {"fixed": "1.2"}, {"introduced": "0"}], ["1.1", "2.2"], ["1.9"]),
        ([{"introduced": "1"}, {"fixed": "1"}], ["1.0", "2"], ["0.9"]),
        ([{"introduced": "0"}, {"limit": "2"}], ["1.9"], ["2", "3"]),
        ([{"introduced": "0"}, {"limit": "*"}], ["1.9", "3"], []),
        ([{"introduced": "2004d"}, {"fixed": "2.0"}], ["1.0"], ["2.0"]),
        ([{"introduced": "1.0"}, {"fixed": "what"}], ["1.0", "9.0"], ["0.9"]),
        ([{"fixed": "1.0"}], [], ["0.9", "1.0"]),
        ([{"introduced": "1.0+local"}, {"fixed": "1!0"}], ["1.0+local", "1.1", "99"], ["1.0", "1!0"]),
    ],
)
def test_ranges(events: list[dict[str, str]], inside: list[str], outside: list[str]) -> None:
    found = record("PYSEC-2026-1", about("demo", *events))
    assert [version for version in inside + outside if affected(found, version)] == inside


NUMBERS = st.integers(0, 12)


@given(st.lists(NUMBERS, min_size=1, max_size=6, unique=True), st.randoms(), NUMBERS)
def test_ranges_are_the_stretches_between_their_events(points: list[int], random: Any, asked: int) -> None:
    """Whatever the order in which a record has them, and whether versions are listed too or not."""
    points.sort()
    events = [{"introduced" if place % 2 == 0 else "fixed": str(point)} for place, point in enumerate(points)]
    stretches = [(low, high) for place, (low, high) in enumerate(pairwise([*points, 99])) if place % 2 == 0]
    random.shuffle(events)
    versions = [str(number) for number in range(13) if any(low <= number < high for low, high in stretches)]
    found = record("PYSEC-2026-1", about("demo", *events, versions=versions))
    # 0 is before every version, so that 0 itself begins nothing later
    assert affected(found, str(asked)) == (str(asked) in versions)
    assert said(found)[0].versions == frozenset()


def test_other_ranges_say_nothing() -> None:
    for kind in ("GIT", "SEMVER", ""):
        assert not affected(record("MAL-2026-1", about("demo", {"introduced": "0"}, kind=kind)), "1.0")


@pytest.mark.parametrize("spelled", ["1.0", "1", "1.0.0", "v1.0", "1.0.0.0"])
def test_versions_are_compared_as_versions(spelled: str) -> None:
    found = record("MAL-2026-1", about(versions=[spelled, "2004d", "x" * 500, 7, None]))
    assert affected(found, "1.0")
    assert affected(found, "1")
    assert not affected(found, "1.0.1")
    assert not affected(found, "1.0.post1")


def test_digests_count_for_their_project_alone() -> None:
    indicators = {"indicators": {"package_integrity": [{"hashes": {"sha256": SHA.upper()}}, {"hashes": 7}, 8]}}
    for found in (
        record("MAL-2026-1", about(versions=["1.0"], database_specific=indicators)),
        record("MAL-2026-1", about(versions=["1.0"]), database_specific=indicators),
    ):
        assert affected(found, "9.9", SHA)
        assert not affected(found, "9.9", "cd" * 32)
        assert table_of(found).of(NormalizedName("other")).every == ()


def test_entries_of_one_project_are_one() -> None:
    first, second = about("Demo", {"introduced": "0"}, {"fixed": "1.5"}), about("de.mo", versions=["3.0"])
    third = about("DEMO", {"introduced": "2.0"}, {"fixed": "2.1"})
    found = table_of(record("PYSEC-2026-1", first, second, third))
    [one] = found.of(DEMO).every
    assert one.fixed == ["1.5", "2.1"]
    assert [version for version in ("1.0", "1.6", "2.0", "2.2") if one.affects(version)] == ["1.0", "2.0"]
    assert found.of(NormalizedName("de-mo")).every[0].affects("3.0")


def test_what_mends_a_hole() -> None:
    one = record("PYSEC-2026-1", about("demo", {"introduced": "0"}, {"fixed": "2.10.0"}, {"fixed": "2.9"}))
    other = record("GHSA-1", about("demo", {"introduced": "0"}, {"fixed": "1.0rc1"}))
    known = table_of(one, other).of(DEMO)
    assert known.fixed == {"2.10", "2.9", "1rc1"}
    assert {each.id: each.fixed for each in known.every} == {"GHSA-1": ["1.0rc1"], "PYSEC-2026-1": ["2.9", "2.10.0"]}
    assert known.malware == ()


# ---- Which records


def test_what_is_withdrawn_ends() -> None:
    found = record("MAL-2026-1", about(versions=["1.0"]))
    gone = {**found, "withdrawn": "2026-11-29T01:00:00Z", "modified": "2026-11-29T01:00:00Z"}
    assert affected(found, "1.0")
    for order in ((found, gone), (gone, found)):
        table = table_of(*order)
        assert table.of(DEMO).every == ()
        assert table.about is not None
        assert (table.about.records, table.about.projects) == (0, 0)


def test_of_two_with_one_id_the_later_counts() -> None:
    old = record("MAL-2026-1", about(versions=["1.0"]))
    new = {**record("MAL-2026-1", about(versions=["2.0"])), "modified": "2026-11-29T00:00:01+00:00"}
    for order in ((old, new), (new, old)):
        assert [version for version in ("1.0", "2.0") if any(each.affects(version) for each in said(*order))] == ["2.0"]


@pytest.mark.parametrize(
    "package", [{"ecosystem": "npm", "name": "demo"}, {"ecosystem": "pypi", "name": "demo"}, {"name": "demo"}, None, 7]
)
def test_other_ecosystems_are_left_out(package: object) -> None:
    assert said(record("MAL-2026-1", {"package": package, "versions": ["1.0"]})) == ()


def test_names_that_no_project_has_are_left_out() -> None:
    collected = Collected()
    assert not collected.add(record("MAL-2026-1", about("-x-", versions=["1.0"])), NOW)
    assert not collected.add(record("MAL-2026-1", about("a\tb\n", versions=["1.0"])), NOW)
    assert collected.about().projects == 0


def test_drafts_are_left_out() -> None:
    collected = Collected()
    assert not collected.add(record("MAL-0000-demo-1", about(versions=["1.0"])), NOW)
    assert collected.add(record("MAL-2026-0000", about(versions=["1.0"])), NOW)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, '"id"'),
        ([], '"id"'),
        ("x", '"id"'),
        ({}, '"id"'),
        ({"id": 7}, '"id"'),
        ({"id": "MAL-1\n"}, '"id"'),
        ({"id": "../x"}, '"id"'),
        ({"id": "MAL-1"}, '"modified"'),
        ({"id": "MAL-1", "modified": "soon"}, '"modified"'),
    ],
)
def test_what_is_no_record(found: object, why: str) -> None:
    with pytest.raises(BadRecord, match=why):
        Collected().add(found, NOW)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["PyPI", "ECOSYSTEM", "1.0"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["package", "ranges", "events", "versions", "introduced", "fixed", "type", "hashes"]),
                inner,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["affected", "aliases", "summary", "details", "references", "database_specific", "withdrawn"]),
)
def test_odd_parts_of_a_record_break_nothing(part: object, key: str) -> None:
    found = {**record("MAL-2026-1", about(versions=["1.0"])), key: part}
    table = table_of(found)
    for each in table.of(DEMO).every:
        each.affects("1.0", SHA)
        json.dumps([each.summary, each.link, each.aliases]).encode()


def test_what_people_read_of_it() -> None:
    links = [{"type": "WEB", "url": "https://a.example/"}, {"type": "ADVISORY", "url": "https://b.example/"}]
    [one] = said(
        record(summary=" A\nhole\x1b[31m ", details="Long.", aliases=["CVE-2026-1", 7, "a b"], references=links)
    )
    assert (one.summary, one.link, one.aliases) == ("A hole[31m", "https://b.example/", ("CVE-2026-1",))
    [other] = said(record(details="word " * 1000, references=[{"type": "WEB", "url": "javascript:alert(1)"}]))
    assert other.summary.startswith("word word")
    assert (len(other.summary), other.link) == (300, "")


# ---- The table


def test_a_table_is_what_was_dumped() -> None:
    collected = Collected()
    some = [record(f"MAL-2026-{n}", about(f"evil-{n % 7}", versions=[f"{n}.0"])) for n in range(1, 50)]
    for each in some:
        collected.add(each, NOW)
    table = collected.about()
    assert (table.records, table.malware, table.projects) == (49, 49, 7)
    assert table.newest == "2026-11-29T00:00:00.000000Z"
    known = load(collected.dump(table))
    assert known.about == table
    assert [each.id for each in known.of(NormalizedName("evil-1")).every] == [
        f"MAL-2026-{n}" for n in (1, 15, 22, 29, 36, 43, 8)
    ]
    assert known.projects_of("MAL-2026-8") == ["evil-1"]
    assert known.projects_of("MAL-2026-80") == []
    other = Collected()
    for each in reversed(some):
        other.add(each, NOW)
    assert other.dump(other.about()) == collected.dump(collected.about())
    other.add(record("MAL-2026-99", about("evil-1", versions=["7"])), NOW)
    assert other.about().digest != table.digest


def test_each_project_is_found_in_a_table() -> None:
    """Whatever is before and behind it, and however long that is."""
    names = [f"p{'x' * (n % 7)}-{n}" for n in range(200)] + ["a", "a-b", "a0", "z", "zz"]
    table = table_of(*(record(f"MAL-2026-{n + 1}", about(name, versions=["1"])) for n, name in enumerate(names)))
    for number, name in enumerate(names):
        assert [each.id for each in table.of(NormalizedName(name)).every] == [f"MAL-2026-{number + 1}"]
        assert table.projects_of(f"MAL-2026-{number + 1}") == [name]
        for other in (f"{name}0", name[:-1], f"{name}-"):
            assert other in names or table.of(NormalizedName(other)).every == ()
    assert table_of(record()).of(NormalizedName("a")).every == table_of().of(DEMO).every == ()


def test_a_record_is_not_found_by_an_alias() -> None:
    table = table_of(record("PYSEC-1", aliases=["MAL-2026-5"]), record("MAL-2026-5", about("other", versions=["1"])))
    assert table.projects_of("MAL-2026-5") == ["other"]


def test_what_cannot_be_read_says_so() -> None:
    collected = Collected()
    collected.add(record("MAL-2026-1", about(versions=["1.0"])), NOW)
    body = collected.dump(collected.about())
    for damaged in (b"", b"x", body[:-9], body[:40], body[:30] + b"\0" + body[31:]):
        with pytest.raises(BadTable, match="load them again"):
            load(damaged)
    later = advisories.zlib.compress(b'{"format": 99}\n', wbits=31)
    with pytest.raises(BadTable, match="another version"):
        load(later)


def test_a_table_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advisories, "LARGEST", 2000)
    collected = Collected()
    some = [record(f"MAL-2026-{number}", about(versions=["1.0"])) for number in range(1, 100)]
    with pytest.raises(BadRecord, match="more than"):
        deque((collected.add(each, NOW) for each in some), 0)


def test_how_old_it_is() -> None:
    table = table_of(record()).about
    assert table is not None
    assert too_old(table, NOW) == ""
    assert too_old(table, seconds_of(table.newest) + 7 * 86400 - 1) == ""
    assert "8 days old" in too_old(table, seconds_of(table.newest) + 8.5 * 86400)


def test_a_record_of_the_future_makes_nothing_younger() -> None:
    collected = Collected()
    later = datetime.fromtimestamp(NOW, UTC) + timedelta(days=300)
    collected.add(record(), NOW)
    collected.add({**record("MAL-2026-2"), "modified": later.isoformat()}, NOW)
    assert collected.about().newest == "2026-11-29T00:00:00.000000Z"


@pytest.mark.parametrize(
    "moment",
    ["2026-11-29T00:00:00Z", "2026-11-29T00:00:00.123456789Z", "2026-11-29T01:00:00+01:00", "2026-11-29T00:00:00"],
)
def test_moments(moment: str) -> None:
    assert advisories.read({**record(), "modified": moment})[0][:19] == "2026-11-29T00:00:00"


# ---- Acceptances


def test_an_acceptance_has_a_key_of_its_own() -> None:
    made = advisories.acceptance(" MAL-2026-1 ", f"SHA256:{SHA.upper()}")
    assert made == Acceptance("MAL-2026-1", SHA)
    assert advisories.of_key(made.key) == made
    for key in ("policy/blocks/demo", "policy/acceptances/MAL-2026-1", f"policy/acceptances/GHSA-1=sha256={SHA}"):
        assert advisories.of_key(key) is None


@pytest.mark.parametrize(
    ("named", "digest", "why"),
    [
        ("GHSA-1", SHA, "begin with MAL-"),
        ("../MAL-1", SHA, "begin with MAL-"),
        ("MAL-1", "ab", "64 hexadecimal"),
        ("MAL-1", f"{SHA}=", "64 hexadecimal"),
    ],
)
def test_what_is_no_acceptance(named: str, digest: str, why: str) -> None:
    with pytest.raises(BadUpload, match=why):
        advisories.acceptance(named, digest)


def test_versions_of_ranges_are_versions() -> None:
    """What a record has as a version reaches no reader who would not understand it."""
    [one] = said(record("PYSEC-2026-1", about("demo", {"introduced": "v1.0"}, {"fixed": " 2.0 "})))
    assert [str(Version(version)) for version in one.fixed] == one.fixed == ["2.0"]
