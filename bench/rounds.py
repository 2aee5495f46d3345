"""Rounds: every row on every server, one after another, each time in another order."""

import random
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from statistics import mean

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
    order = random.Random(turn)  # what ran before a server is no other for one than for the next
    for row in rows:
        if row.once and turn:
            continue
        found: dict[str, list[float | None]] = {name: [] for name in targets}
        for _ in range(row.turns):
            for name in order.sample(list(found), len(found)):
                if None not in found[name]:
                    found[name].append(_value(row, targets[name], seconds))
        for name, its in found.items():
            values.setdefault(row.key, {}).setdefault(name, []).append(better_half(row, its))
        say(f"round {turn + 1}: " + line(row, values[row.key]))


def better_half(row: Row, found: Sequence[float | None]) -> float | None:
    """Its mean; None if there is one."""
    numbers = sorted((value for value in found if value is not None), reverse=not row.less)
    return mean(numbers[: (len(numbers) + 1) // 2]) if len(numbers) == len(found) else None


def _value(row: Row, target: Target, seconds: int) -> float | None:
    value = None
    try:
        value = row.measure(target, seconds)
    except (Failed, OSError, HTTPException) as error:
        say(f"{target.server.name}: {row.title}: {error}")
    if not target.group.wait_until_idle():
        say(f"{target.server.name} is not idle a minute after: {row.title}")
    return value
