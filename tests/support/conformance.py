"""The requirements of the standards and of today's clients, the tests that prove them, and what came of these.

``python -m tests.support.conformance`` runs every test that is marked with a requirement and writes ``CONFORMANCE.md``;
``pytest --conformance`` does the same with whatever tests it runs.
"""

import ast
import csv
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest

from tests.support import ROOT

TESTS = ROOT / "tests"
TABLE = ROOT / "CONFORMANCE.md"
HEAD = """\
# Conformance

What the standards of Python packaging and the clients of today ask of a package index, and the tests that prove it for
this one, on one machine and on AWS alike. MUST: a standard demands it, or a client breaks without it. Made by
`make conformance` from `tests/support/requirements.tsv` and the outcome of the tests that are marked with these
numbers; besides, `tests/clients` has the real clients at work.
"""

Outcomes = dict[str, set[str]]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A row of ``requirements.tsv``; ``note`` says why there is nothing to test, or what was chosen."""

    id: str
    level: str
    section: str
    requirement: str
    note: str


def requirements() -> list[Requirement]:
    with Path(__file__).with_name("requirements.tsv").open(newline="") as table:
        return [Requirement(**row) for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)]


@cache
def marked() -> dict[str, list[str]]:
    """Requirement → the tests that are marked with it, as the code has them."""
    found: dict[str, list[str]] = {}
    texts = {path: path.read_text() for path in sorted(TESTS.rglob("test_*.py"))}
    for path, text in texts.items():
        for test in ast.parse(text).body if "mark.req(" in text else []:
            if isinstance(test, ast.FunctionDef):
                name = f"{path.relative_to(ROOT).as_posix()}::{test.name}"
                for mark in test.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.req":
                        for argument in mark.args:
                            found.setdefault(ast.literal_eval(argument), []).append(name)
    return found


def render(outcomes: Outcomes) -> str:
    """``CONFORMANCE.md``; ``outcomes`` has what came of each test."""
    tests = marked()
    lines = [HEAD]
    for section, rows in groupby(requirements(), key=lambda row: row.section):
        lines += [f"## {section}\n", "| | Level | Requirement | Result | Tests |", "|---|---|---|---|---|"]
        for row in rows:
            proofs = tests.get(row.id, [])
            result = "; ".join(part for part in (_result(proofs, outcomes), row.note) if part)
            names = "<br>".join(f"`{test}`" for test in proofs)
            lines.append(f"| {row.id} | {row.level} | {row.requirement} | {result} | {names} |")
        lines.append("")
    return "\n".join(lines)


def _result(tests: list[str], outcomes: Mapping[str, set[str]]) -> str:
    for test in tests:
        if "failed" in outcomes.get(test, ()):
            return "**failed**"
        if "passed" not in outcomes.get(test, ()):
            return "**not run**"
    return "passed" if tests else ""


class Recorder:
    """A pytest plugin that writes the table at the end of a run."""

    def __init__(self) -> None:
        self.outcomes: Outcomes = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self.outcomes.setdefault(report.nodeid.partition("[")[0], set()).add(report.outcome)

    def pytest_sessionfinish(self) -> None:
        TABLE.write_text(render(self.outcomes))


if __name__ == "__main__":
    sys.exit(pytest.main(["-m", "req", "--conformance", *sys.argv[1:]]))
