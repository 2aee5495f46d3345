"""Rounds: every row on every server, one after another, each round in another order."""

from collections.abc import Mapping, Sequence
from http.client import HTTPException

from bench import results
from bench.load import HTML, warm_up
from bench.process import Failed
from bench.rows import Row
from bench.tables import line, say
from bench.targets import Target


def measure(
    turn: int, rows: Sequence[Row], targets: Mapping[str, Target], seconds: int, values: results.Values
) -> None:
    """Round number ``turn`` (from 0) into ``values``; what fails has one line, and None as its value."""
    for target in targets.values():
        warm_up(target.root, {**target.login, "Accept": HTML})
        target.group.wait_until_idle()
    names = list(targets)
    start = turn % len(names)
    for row in rows:
        if row.once and turn:
            continue
        for name in names[start:] + names[:start]:
            target = targets[name]
            value = None
            try:
                value = row.measure(target, seconds)
            except (Failed, OSError, HTTPException) as error:
                say(f"{name}: {row.title}: {error}")
            if not target.group.wait_until_idle():
                say(f"{name} is not idle a minute after: {row.title}")
            values.setdefault(row.key, {}).setdefault(name, []).append(value)
        say(f"round {turn + 1}: " + line(row, values[row.key]))
