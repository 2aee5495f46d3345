"""Tables in Markdown, and what is said while something is measured."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from bench.results import Values, medians
from bench.rows import Row


def say(text: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def number(value: float | None) -> str:
    """With as many digits as mean something; "-" for what there is not."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(ratio: float | None) -> str:
    """How many times better: ``12x``, ``3.4x``, ``0.45x``."""
    if ratio is None:
        return "-"
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"


def better(row: Row, ours: float | None, theirs: float | None) -> float | None:
    """How many times better one is than another; None if there is no other."""
    if not ours or not theirs:
        return None
    return theirs / ours if row.less else ours / theirs


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def medians_table(rows: Sequence[Row], values: Values, names: Sequence[str]) -> list[list[str]]:
    """A line for each row that was measured: its title, and the median of each name."""
    found = [(row, medians(values, row.key)) for row in rows if row.key in values]
    return [[f"{row.title}, {row.unit}", *(number(each.get(name)) for name in names)] for row, each in found]


def line(row: Row, values: Mapping[str, Sequence[float | None]]) -> str:
    """A row of the round that was just measured."""
    told = "  ".join(f"{name} {number(found[-1])}" for name, found in values.items())
    return f"{row.title} [{row.unit}]: {told}"
