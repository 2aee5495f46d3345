"""Every requirement has a test, or a reason why not; CONFORMANCE.md is the table of both."""

from tests.support.conformance import TABLE, marked, render, requirements


def test_every_mark_is_a_requirement() -> None:
    known = [row.id for row in requirements()]
    assert len(known) == len(set(known))
    assert set(marked()) <= set(known)


def test_every_must_and_should_has_a_test() -> None:
    needed = {row.id for row in requirements() if row.level in ("MUST", "SHOULD")}
    assert needed <= set(marked())


def test_what_has_no_test_has_a_reason() -> None:
    tests = marked()
    for row in requirements():
        assert row.id in tests or row.note.startswith(("not built: ", "chosen: ")), row


def test_the_table_is_up_to_date() -> None:
    everything = {test: {"passed"} for tests in marked().values() for test in tests}
    assert TABLE.read_text() == render(everything), "run: python -m tests.support.conformance"
