"""What the benchmark in front of another index asks for, and what its goals say, without a clock."""

from collections.abc import Mapping

import pytest
from packaging.utils import NormalizedName

from bench import report, upstream, upstream_rows
from bench.results import Values
from elasticpypi.core import upstream_answer as pages

JSON = "application/vnd.pypi.simple.v1+json"
RUN = {"date": "2026-01-02", "machine": "2 cores", "elasticpypi": "1.0", "rounds": "3 rounds of 3 s"}


def test_the_page_with_the_most_files_is_one_as_on_pypi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages._Page, "add", lambda *_: pytest.fail("a file is looked at for itself"))
    name = upstream.LARGEST[1]
    listing = pages.read(upstream.largest_page(name), JSON, f"https://x.example/simple/{name}/", NormalizedName(name))
    assert len({*listing.columns["key"]}) == upstream.MOST == 46_724
    assert listing.about.left_out == 0


def test_each_row_has_a_key_and_each_goal_a_row() -> None:
    keys = [row.key for row in upstream_rows.ROWS]
    assert len({*keys}) == len(keys)
    names = {server.name for server in (upstream.DIRECT, *upstream.SERVERS)}
    for goal in upstream_rows.GOALS:
        assert goal.row in keys
        assert goal.server in names
        assert bool(goal.least) != bool(goal.most)
        assert goal.than is None or (goal.than[0] in keys and goal.than[1] in names)


def goals(values: Mapping[str, Mapping[str, float]]) -> dict[str, list[str]]:
    found: Values = {row: {server: [value] for server, value in of.items()} for row, of in values.items()}
    table = report.upstream_goals({**RUN, "servers": {}, "values": found})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {title: rest for title, *rest in cells}


def test_goals() -> None:
    found = goals(
        {
            "kept-json": {"elasticpypi": 99.0, "nginx-cache": 500.0},
            "own-json": {"elasticpypi": 100.0, "elasticpypi-alone": 100.0, "elasticpypi-hanging": 50.0},
            "cold-page": {"elasticpypi": 5.5, "devpi": 40.0},
            "cold-resolve": {"elasticpypi": 1.1, "directly": 1.0},
            "warm-resolve": {"directly": 1.0},
            "huge-first": {"elasticpypi": 7.0},
        }
    )
    assert found == {
        "kept page, JSON, against own": ["0.97x or more", "0.99x", "reached"],
        "own page, JSON beside another index, against no other index": ["0.97x or more", "1.00x", "reached"],
        "own page, JSON beside one that hangs, against no other index": ["0.97x or more", "0.50x", "**missed**"],
        "cold page, beyond the other index's own time, ms": ["at most 5.00", "5.50", "**missed**"],
        "cold resolve of 60 projects, against directly": ["at most 1.15x", "1.10x", "reached"],
        "its first byte, beyond the other index's, ms": ["at most 50.0", "7.00", "reached"],
    }


def test_what_was_measured_is_in_the_document() -> None:
    values = {"cold-page": {"elasticpypi": [4.0, None, 6.0], "devpi": [60.0]}}
    run = {**RUN, "servers": {"elasticpypi": "granian", "devpi": "waitress"}, "values": values}
    text = report.document({"upstream": run})
    assert "## In front of another index" in text
    assert "| cold page, beyond the other index's own time, ms | 5.00 | 60.0 |" in text
