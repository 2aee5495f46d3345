"""Where a name comes from, and what may be seen of another index: the rules, without any index."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName, canonicalize_name

from elasticpypi.core.advisories import NOTHING, Known
from elasticpypi.core.blocks import Block
from elasticpypi.core.exemptions import Exemption
from elasticpypi.core.model import Held
from elasticpypi.core.moments import seconds_of, text_of
from elasticpypi.core.upstream import Gone, UpstreamFile, UpstreamPage
from elasticpypi.policy import Cooldown, Policy, parse
from elasticpypi.upstream.verdict import Verdict, merged, origin, verdict
from tests.support.upstream_vectors import VECTORS, cases, exemptions_of, ids, policy_of, table_of

DEMO = NormalizedName("demo")
DAY = 86400
NOW = seconds_of(VECTORS["now"])


def name(text: str) -> NormalizedName:
    return canonicalize_name(text)


def file(version: str = "1.0", age: float | None = 100.0, **changes: Any) -> UpstreamFile:
    """A wheel that is so many days old; None: nobody knows."""
    project = changes.pop("project", DEMO)
    filename, time = f"{project}-{version}-py3-none-any.whl", "" if age is None else text_of(NOW - age * DAY)
    usual = UpstreamFile(
        filename, project, version, 7, "ab" * 32, time, "r", site="https://f/", path=filename, index="main"
    )
    return replace(usual, **changes)


def judged(*files: UpstreamFile, policy: Policy | None = None, now: float = NOW, **more: Any) -> Verdict:
    page = UpstreamPage(files[0].project if files else DEMO, files, **more.pop("page", {}))
    told = policy or Policy(), more.pop("exempt", ()), more.pop("blocked", ()), now
    return verdict(page, *told, more.pop("known", NOTHING), more.pop("accepted", ()))


def why(found: Verdict) -> Held:
    [held] = found.held
    return held


def cooldown(**changes: Any) -> Policy:
    return Policy(cooldown=replace(Cooldown(), **changes))


# ---- Origins


ORIGINS = cases("origin")


@pytest.mark.parametrize("case", ORIGINS, ids=ids(ORIGINS))
def test_origins(case: dict[str, Any]) -> None:
    section, asked = VECTORS["origin"], name(case["name"])
    override = section["overrides"].get(asked, "")
    found = origin(asked, policy_of(case, "origin"), override, ours=asked in section["own"], asked=True)
    assert found.where == case["origin"]
    assert found.rule.endswith(".")


UPLOADS = cases("upload")


@pytest.mark.parametrize("case", UPLOADS, ids=ids(UPLOADS))
def test_whether_a_first_file_needs_an_administrator(case: dict[str, Any]) -> None:
    """Another index is asked for names that would come from there, and for no others."""
    policy = policy_of(cases("origin")[0], "origin")
    where = origin(name(case["name"]), policy, "private" if case["said"] else "", ours=False, asked=True).where
    refused = where == "upstream" and case["theirs"]
    assert refused == (case["status"] == 409)
    assert (where == "upstream") == (case["name"] == "brand-new")


POLICY = parse(
    '[origin]\nprivate = ["acme"]\ndenied = ["evil", "bad-*"]\nallowed = ["good", "fine-*", "evil", "acme-x"]\n'
)


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        *(("good", "upstream"), ("fine", "upstream"), ("fine-x", "upstream"), ("fine-x-y", "upstream")),
        *(("finer", "denied"), ("good-x", "denied"), ("other", "denied")),
        *(("evil", "denied"), ("bad", "denied"), ("bad-x", "denied")),
        *(("acme", "private"), ("acme-x", "private"), ("acme-x-y", "private")),
        *(("acmex", "denied"), ("x-acme", "denied")),
    ],
)
def test_lists_of_names(asked: str, where: str) -> None:
    assert origin(name(asked), POLICY, "", ours=False, asked=True).where == where


def test_denied_comes_before_allowed_and_private_before_both() -> None:
    policy = parse('[origin]\nprivate = ["acme"]\ndenied = ["acme", "acme-*", "x"]\nallowed = ["x"]\n')
    assert origin(name("acme"), policy, "", ours=False, asked=True).where == "private"
    assert origin(name("x"), policy, "", ours=False, asked=True).where == "denied"
    assert origin(name("x"), policy, "", ours=True, asked=True).where == "private"


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("where", ["private", "upstream", "both", "denied"])
def test_what_an_administrator_said_wins(where: str, ours: bool) -> None:
    policy = parse('[origin]\nprivate = ["demo"]\ndenied = ["demo"]\n')
    assert origin(DEMO, policy, where, ours=ours, asked=True).where == where


@pytest.mark.parametrize(
    ("override", "where"),
    [("private", "private"), ("upstream", "none"), ("both", "private"), ("denied", "denied"), ("unreadable", "denied")],
)
def test_what_an_administrator_said_where_no_index_is_asked(override: str, where: str) -> None:
    assert origin(DEMO, Policy(), override, ours=True, asked=False).where == where


def test_where_no_index_is_asked() -> None:
    assert origin(DEMO, POLICY, "", ours=False, asked=False).where == "none"
    assert origin(DEMO, POLICY, "", ours=True, asked=False).where == "private"
    assert origin(name("acme-x"), POLICY, "", ours=False, asked=False).where == "private"
    assert origin(name("evil"), POLICY, "", ours=False, asked=False).where == "none"


def test_a_decision_that_cannot_be_read_lets_nothing_in() -> None:
    assert origin(DEMO, Policy(), "unreadable", ours=False, asked=True).where == "denied"
    assert origin(DEMO, Policy(), "something", ours=True, asked=True).where == "denied"


# ---- Merging


MERGES = [case for case in cases("merge") if case["origin"] == "both"]


@pytest.mark.parametrize("case", MERGES, ids=ids(MERGES))
def test_merging(case: dict[str, Any]) -> None:
    assert sorted(merged(case["own"], case["theirs"])) == sorted(case["shown"])


def test_other_spellings_of_one_wheel_are_one_file() -> None:
    own = ["Demo_X-1.0-py2.py3-none-any.whl"]
    same = ["demo_x-1.0.0-py3.py2-none-any.whl", "Demo.X-1.0-py2.py3-none-any.whl"]
    others = ["demo_x-1.0-1-py2.py3-none-any.whl", "demo_x-1.0-py3-none-any.whl", "demo_x-1.0.tar.gz"]
    assert merged(own, [*same, *others]) == own + others


def test_what_is_no_name_of_ours_stays() -> None:
    assert merged([], ["demo-1.0-foo-py3-none-any.whl"]) == ["demo-1.0-foo-py3-none-any.whl"]
    assert merged(["a"], []) == ["a"]


# ---- Cooldown


COOLDOWN = [case for case in cases("cooldown") if not case.get("own")]


@pytest.mark.parametrize("case", COOLDOWN, ids=ids(COOLDOWN))
def test_cooldown(case: dict[str, Any]) -> None:
    project = name(case["project"])
    time, seen = (text_of(seconds_of(said)) if said else "" for said in (case["time"], case.get("first_seen")))
    one = file(case["version"], project=project, upload_time=time, first_seen=seen)
    exempt = [said for of, said in exemptions_of(case) if of == project]
    found = judged(one, policy=policy_of(case, "cooldown"), now=seconds_of(case["now"]), exempt=exempt)
    assert bool(found.visible) == case["visible"]
    assert len(found.visible) + len(found.held) == 1


MATURING = cases("cooldown", "maturing")


@pytest.mark.parametrize("case", MATURING, ids=ids(MATURING))
def test_a_page_changes_when_its_next_file_is_old_enough(case: dict[str, Any]) -> None:
    files = [file(said["version"], upload_time=text_of(seconds_of(said["time"]))) for said in case["files"]]
    policy, read = policy_of(case, "cooldown"), seconds_of(case["read"])
    before = judged(*files, policy=policy, now=read)
    assert [each.version for each in before.visible] == ["1.0"]
    assert before.until is not None
    assert read < before.until
    after = judged(*files, policy=policy, now=before.until)
    assert [each.version for each in after.visible] == ["1.0", "1.1"]
    assert after.until is None
    if moment := case.get("next_change"):
        assert before.until == pytest.approx(seconds_of(moment), abs=1e-3)
    if asked := case.get("asked"):
        assert before.until < seconds_of(asked)
        assert case["status"] == 200


@given(st.integers(1, 10 * DAY), st.integers(0, 10 * DAY * 10**6), st.integers(0, 10**6))
def test_the_moment_that_is_told_is_the_moment_of_change(age: int, micros: int, offset: int) -> None:
    """For every age and every microsecond: before it the file is held, and from then on it is not."""
    now = NOW + offset / 1e6
    one = file(upload_time=text_of(now - micros / 1e6))
    found = judged(one, policy=cooldown(age=age), now=now)
    if found.visible:
        assert micros / 1e6 > age - 1e-4
        assert found.until is None
        return
    assert why(found).rule in ("age", "future")
    assert found.until is not None
    assert found.until > now
    policy = cooldown(age=age)
    assert judged(one, policy=policy, now=found.until).visible
    assert judged(one, policy=policy, now=found.until - 1e-4).held


def test_a_file_ripens_when_its_index_says_the_future() -> None:
    """It waits from then on as every other file."""
    found = judged(file(age=-1.0), policy=cooldown(age=DAY))
    assert (why(found).rule, found.visible) == ("future", ())
    later = judged(file(age=-1.0), policy=cooldown(age=DAY), now=NOW + 1.5 * DAY)
    assert why(later).rule == "age"
    assert judged(file(age=-1.0), policy=cooldown(age=DAY), now=NOW + 2.01 * DAY).visible


def test_the_future_is_held_also_where_nothing_waits() -> None:
    found = judged(file(age=-0.5), policy=cooldown(age=0))
    assert why(found).rule == "future"
    assert found.until is not None
    assert found.until >= NOW + 0.5 * DAY
    assert judged(file(age=-0.5), policy=cooldown(age=0), now=found.until).visible


def test_each_file_waits_for_itself() -> None:
    files = file("1.0"), file("2.0", 1.0), file("2.0", 10.0, key="demo-2.0.tar.gz")
    found = judged(*files)
    assert found.visible == (files[0], files[2])
    assert why(found).file is files[1]


def test_ages_of_projects() -> None:
    policy = parse('[cooldown]\nage = "7d"\n[cooldown.project]\nDe_mo = "0"\nother = "30d"\n')
    other = name("other")
    assert why(judged(file(age=1.0), policy=policy)).until == pytest.approx(NOW + 6 * DAY, abs=1)
    demo = file(project=name("de-mo"), age=0.0001)
    assert judged(demo, policy=policy).visible
    assert judged(file(project=other, age=10.0), policy=policy).held
    assert judged(file(project=other, age=31.0), policy=policy).visible


@pytest.mark.parametrize(
    ("no_time", "seen", "visible", "rule"),
    [
        ("hide", 100.0, False, "no_time"),
        ("hide", None, False, "no_time"),
        ("allow", None, True, ""),
        ("allow", 0.0, True, ""),
        ("first_seen", 100.0, True, ""),
        ("first_seen", 1.0, False, "age"),
        ("first_seen", None, False, "no_time"),
    ],
)
def test_files_without_a_time(no_time: str, seen: float | None, visible: bool, rule: str) -> None:
    one = file(age=None, first_seen="" if seen is None else text_of(NOW - seen * DAY))
    found = judged(one, policy=cooldown(no_time=no_time))
    assert bool(found.visible) == visible
    assert [held.rule for held in found.held] == ([rule] if rule else [])
    assert (found.until is not None) == (rule == "age")


def test_a_time_that_the_index_says_counts_and_not_when_we_saw_it() -> None:
    one = file(age=1.0, first_seen=text_of(NOW - 100 * DAY))
    assert why(judged(one, policy=cooldown(no_time="first_seen"))).rule == "age"
    old = file(age=100.0, first_seen=text_of(NOW))
    assert judged(old, policy=cooldown(no_time="first_seen")).visible


CUT = datetime.fromtimestamp(NOW - 50 * DAY, UTC)


@pytest.mark.parametrize(
    ("age", "rule"),
    [(100.0, ""), (50.0, "cutoff"), (49.0, "cutoff"), (1.0, "cutoff"), (None, "no_time"), (-1.0, "future")],
)
def test_a_cutoff(age: float | None, rule: str) -> None:
    found = judged(file(age=age), policy=cooldown(cutoff=CUT))
    assert [held.rule for held in found.held] == ([rule] if rule else [])


def test_a_cutoff_in_the_future_leaves_the_age_alone() -> None:
    policy = cooldown(cutoff=datetime.fromtimestamp(NOW + DAY, UTC))
    assert why(judged(file(age=1.0), policy=policy)).rule == "age"
    assert judged(file(age=100.0), policy=policy).visible


def test_a_cutoff_is_about_files_without_a_time_too() -> None:
    one = file(age=None, first_seen=text_of(NOW - 40 * DAY))
    assert why(judged(one, policy=cooldown(cutoff=CUT, no_time="first_seen"))).rule == "cutoff"
    assert judged(one, policy=cooldown(cutoff=CUT, no_time="allow")).visible


# ---- Exemptions, blocks, quarantine


def exempt(version: str, days: float) -> Exemption:
    return Exemption(version, text_of(NOW + days * DAY), "a repair")


@pytest.mark.parametrize("age", [1.0, 0.0, -1.0, None])
@pytest.mark.parametrize("policy", [Policy(), cooldown(cutoff=CUT), cooldown(age=0)])
def test_an_exemption_passes_every_wait(age: float | None, policy: Policy) -> None:
    one = file("1.0.0", age)
    found = judged(one, policy=policy, exempt=[exempt("1", 2.0)])
    assert found.visible == (one,)
    assert found.until == pytest.approx(NOW + 2 * DAY)
    assert judged(file("1.0.1", age), policy=policy, exempt=[exempt("1", 2.0)]).visible == (
        (file("1.0.1", age),) if policy == cooldown(age=0) and age in (1.0, 0.0) else ()
    )


def test_an_exemption_ends_by_the_clock() -> None:
    one = file(age=0.0)
    before = judged(one, exempt=[exempt("1", 0.5)])
    assert before.visible
    assert before.until == NOW + 0.5 * DAY
    assert judged(one, exempt=[exempt("1", 0.5)], now=before.until).held


@pytest.mark.parametrize("what", ["1", f"sha256:{'ab' * 32}"])
def test_a_block_holds_whatever_else_is_said(what: str) -> None:
    one, other = file("1.0.0"), file("2.0", sha256="cd" * 32)
    blocked = [Block(what, "It steals passwords."), Block("3", "no")]
    found = judged(one, other, blocked=blocked, exempt=[exempt("1", 1.0)], policy=cooldown(no_time="allow"))
    assert found.visible == (other,)
    held = why(found)
    assert (held.rule, held.until) == ("block", None)
    assert "It steals passwords." in held.reason


def test_the_first_block_is_the_one_that_is_told() -> None:
    blocked = [Block(f"sha256:{'ab' * 32}", "first"), Block(f"sha256:{'ab' * 32}", "second")]
    assert "first" in why(judged(file(), blocked=blocked)).reason


def test_a_project_that_is_blocked_is_closed() -> None:
    found = judged(file(), blocked=[Block("", "bad")])
    assert (found.visible, found.held) == ((), ())
    assert "demo is blocked: bad." in found.closed


@pytest.mark.parametrize(("reason", "told"), [("", "comes from."), ("Malware.", "comes from: Malware.")])
def test_quarantine_at_the_other_index_closes_all(reason: str, told: str) -> None:
    found = judged(file(), page={"status": "quarantined", "reason": reason}, exempt=[exempt("1", 1.0)])
    assert found == Verdict(closed=f"demo is in quarantine at the index that it {told}")


def test_other_statuses_hide_nothing() -> None:
    for status in ("active", "archived", "deprecated"):
        assert judged(file(), page={"status": status}).visible


def test_a_reason_is_a_sentence_with_the_remedy() -> None:
    found = judged(
        *(file("1", 1.0), file("2", None), file("3", -1.0)), blocked=[Block("4", "bad")], policy=cooldown(age=3 * DAY)
    )
    sentences = [held.reason for held in found.held]
    assert "until 2026-12-02T12:00:00Z, since it is younger than 3 days" in sentences[0]
    assert "elasticpypi exempt demo==1" in sentences[0]
    assert "first_seen" in sentences[1]
    assert "in the future, 2026-12-01T12:00:00Z" in sentences[2]
    assert "nothing newer than 2026-10-11" in why(judged(file(age=1.0), policy=cooldown(cutoff=CUT))).reason
    for age, told in (
        (3600, "1 hour."),
        (7200, "2 hours."),
        (90, "90 seconds."),
        (60, "1 minute."),
        (36 * 3600, "36 hours."),
    ):
        assert told in why(judged(file(age=0.0), policy=cooldown(age=age))).reason
    assert all(sentence.endswith(".") for sentence in sentences)


# ---- Files that have left their page (REQ-U60)


def left(version: str, age: float, days_ago: float = 0.0) -> Gone:
    """A file of so many days that left so many days ago."""
    return Gone(file(version, age), text_of(NOW - days_ago * DAY))


@pytest.mark.parametrize(
    ("age", "days_ago", "rule"),
    [(29.9, 0, "vanished"), (30.0, 0, "gone"), (400, 371, "vanished"), (400, 1, "gone"), (None, 1, "vanished")],
    ids=["E10", "on the thirtieth day", "long ago, but soon then", "E11", "nobody knows how old"],
)
def test_what_leaves_soon_is_refused_and_what_leaves_later_is_only_not_listed(
    age: float | None, days_ago: float, rule: str
) -> None:
    gone = Gone(file("1.0", age), text_of(NOW - days_ago * DAY))
    found = judged(file("2.0"), page={"gone": (gone,)}, policy=cooldown(no_time="allow"))
    assert ([each.version for each in found.visible], why(found).rule, found.until) == (["2.0"], rule, None)
    assert f"has left the index 'main' ({gone.at[:10]})" in why(found).reason


def test_an_exemption_lets_through_what_left_before_it_and_never_what_left_since() -> None:
    for days, rule in ((1, "gone"), (3, "vanished")):
        exempt = Exemption("1", text_of(NOW + DAY), "we need it", "boss", text_of(NOW - days * DAY))
        found = judged(file("2.0"), page={"gone": (left("1.0", 10, 2),)}, exempt=[exempt])
        assert why(found).rule == rule
        assert found.until == NOW + DAY


def test_what_has_left_is_held_as_other_files_are() -> None:
    gone = left("1.0", 60)
    assert why(judged(page={"gone": (gone,)}, policy=cooldown(age=90 * 86400))).rule == "age"
    blocked = [Block("1", "bad")]
    assert why(judged(page={"gone": (gone,)}, blocked=blocked)).rule == "block"
    assert judged(page={"gone": (gone,), "status": "quarantined"}).closed


# ---- Advisories


FIXED = cases("osv", "fixed")


@pytest.mark.parametrize("case", FIXED, ids=ids(FIXED))
def test_what_mends_a_hole_waits_shorter(case: dict[str, Any]) -> None:
    """The version before it, which is as young, waits as every other one."""
    project, policy, now = name(case["project"]), policy_of(case, "cooldown"), seconds_of(case["now"])
    time, known = text_of(seconds_of(case["time"])), table_of(case["record"]).of(project)
    one = file(case["version"], project=project, upload_time=time)
    found = judged(one, policy=policy, now=now, known=known)
    assert bool(found.visible) == case["visible"]
    if found.held:
        assert why(found).until == pytest.approx(seconds_of(time) + policy.cooldown.security_age, abs=1e-3)
        assert judged(one, policy=policy, now=why(found).until or 0, known=known).visible
    assert judged(one, policy=policy, now=now).held
    assert judged(file("5.1", project=project, upload_time=time), policy=policy, now=now, known=known).held
    other = file("5.2.1.0", project=project, upload_time=time)
    assert bool(judged(other, policy=policy, now=now, known=known).visible) == case["visible"]


def test_the_security_age_never_makes_a_wait_longer() -> None:
    known = Known(fixed=frozenset({"1"}))
    assert judged(file(age=0.001), policy=cooldown(age=0, security_age=9 * DAY), known=known).visible
    assert judged(file(age=2.0), policy=cooldown(age=DAY, security_age=9 * DAY), known=known).visible
    assert judged(file(age=0.1), policy=cooldown(security_age=0), known=known).visible
    policy = parse('[cooldown.project]\ndemo = "30d"\n')
    assert judged(file(age=2.0), policy=policy, known=known).visible


@pytest.mark.parametrize(("age", "rule"), [(49.0, "cutoff"), (-1.0, "future"), (None, "no_time")])
def test_what_mends_a_hole_passes_nothing_else(age: float | None, rule: str) -> None:
    found = judged(file(age=age), policy=cooldown(cutoff=CUT), known=Known(fixed=frozenset({"1"})))
    assert why(found).rule == rule


MALWARE = {
    "id": "MAL-2026-7",
    "modified": "2026-11-29T00:00:00Z",
    "summary": "Malicious code in demo.",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "demo"}, "versions": ["1.0"]}],
}


def test_malware_is_blocked_whatever_else_is_said() -> None:
    known, one, other = table_of(MALWARE).of(DEMO), file("1.0.0"), file("1.1")
    policy = cooldown(no_time="allow", age=0)
    found = judged(one, other, policy=policy, exempt=[exempt("1", 2.0)], known=known)
    assert found.visible == (other,)
    held = why(found)
    assert (held.file, held.until, held.rule, held.advisory) == (one, None, "malware", "MAL-2026-7")
    assert held.reason == (
        f"{one.filename} is blocked: MAL-2026-7 says that it is malware: Malicious code in demo. Ask an administrator "
        "of this index."
    )
    blocked = [Block("1", "no")]
    assert why(judged(one, blocked=blocked, known=known)).rule == "malware"


def test_an_acceptance_is_of_a_record_and_of_bytes() -> None:
    """E08: what was accepted is let in; the same record for other bytes, and another record, are not."""
    known, one = table_of(MALWARE).of(DEMO), file()
    accepted = {("MAL-2026-7", one.sha256)}
    assert judged(one, known=known, accepted=accepted).visible == (one,)
    assert judged(file(sha256="cd" * 32), known=known, accepted=accepted).held
    second = {**MALWARE, "id": "MAL-2026-8"}
    both = table_of(MALWARE, second).of(DEMO)
    assert why(judged(one, known=both, accepted=accepted)).advisory == "MAL-2026-8"
    assert judged(one, known=both, accepted={*accepted, ("MAL-2026-8", one.sha256)}).visible
    assert why(judged(one, known=known, accepted=accepted, blocked=[Block("1", "no")])).rule == "block"
    assert why(judged(file(age=1.0), known=known, accepted=accepted)).rule == "age"


def test_holes_block_nothing() -> None:
    hole = {**MALWARE, "id": "PYSEC-2026-1"}
    assert judged(file(), known=table_of(hole).of(DEMO)).visible


@pytest.mark.parametrize("age", [5.0, 500.0])
def test_malware_that_has_left_is_blocked_too(age: float) -> None:
    """Whether it left early or late, what is kept of it is not given to those who have its address."""
    gone = Gone(file("1.0", age), text_of(NOW - DAY))
    known = table_of(MALWARE).of(DEMO)
    assert why(judged(page={"gone": (gone,)}, known=known)).rule == "malware"
    assert why(judged(page={"gone": (gone,)})).rule in ("vanished", "gone")
    accepted = {("MAL-2026-7", gone.file.sha256)}
    assert why(judged(page={"gone": (gone,)}, known=known, accepted=accepted)).rule in ("vanished", "gone")
