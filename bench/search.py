"""What a search costs: ``python -m bench.search [PROJECTS]``.

Fills a catalog on SQLite and asks it; for DynamoDB, adds up the sizes of the items that a search would read.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click
from packaging.utils import NormalizedName

from elasticpypi.core.search_entry import Entry, words
from elasticpypi.indexing.catalog import near
from elasticpypi.storage.aws.catalog import _marks
from elasticpypi.storage.local.catalog import SQLiteCatalog
from elasticpypi.storage.local.sqlite import SQLiteIndex

TEAMS = ("acme", "billing", "orders", "search", "mail", "audit", "data", "web", "mobile", "infra", "legacy", "shared")
THINGS = (
    "client",
    "server",
    "tools",
    "models",
    "schema",
    "worker",
    "utils",
    "plugin",
    "adapter",
    "common",
    "proto",
    "cli",
)
WORDS = 5000  # different ones in the summaries, some of them frequent
RUNS = 20


def entries(count: int) -> Iterator[Entry]:
    """Projects with names of three parts and summaries of ten words, frequent ones more often (Zipf)."""
    chosen = random.Random(1)
    vocabulary = ["".join(chosen.choices("abcdefghijklmnopqrstuvwxyz", k=chosen.randint(3, 10))) for _ in range(WORDS)]
    weights = [1 / rank for rank in range(1, WORDS + 1)]
    for number in range(count):
        name = NormalizedName(f"{chosen.choice(TEAMS)}-{chosen.choice(THINGS)}-{number}")
        summary = " ".join(chosen.choices(vocabulary, weights, k=10))
        needs = (NormalizedName(f"acme-base-{chosen.randint(1, 50)}"),)
        found_by = tuple(words(f"{name} {summary}"))
        time_ = f"2026-01-01T00:00:00.{number % 1_000_000:06}Z"
        yield Entry(name, 1, "1.0", "1.0", time_, summary, found_by, needs, 3, 6)


def milliseconds(call: Callable[[], object]) -> str:
    """Median and longest of several calls."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(times):7.1f} {max(times):7.1f}"


def sqlite(count: int) -> None:
    """Times of all that the pages ask of a catalog."""
    with tempfile.TemporaryDirectory() as folder:
        catalog = SQLiteCatalog(SQLiteIndex(Path(folder, "index.db")))
        began = time.perf_counter()
        for entry in entries(count):
            catalog.replace(entry.name, entry.serial, entry)
        seconds = time.perf_counter() - began
        size = Path(folder, "index.db").stat().st_size / 1e6
        click.echo(f"{count} entries: {seconds * 1000 / count:.2f} ms to write each, {size:.0f} MB\n")
        click.echo(f"{'':38} found  median longest (ms)")
        for text in ("a", "ac", "acme", "acme client", "acme-client-24", "client 77", "nothing", ""):
            total = catalog.search(text, 0, 20).total
            click.echo(f"search {text!r:30} {total:6} {milliseconds(lambda text=text: catalog.search(text, 0, 20))}")
        click.echo(f"{'newest':44} {milliseconds(lambda: catalog.newest(12))}")
        click.echo(f"{'counts':44} {milliseconds(catalog.counts)}")
        click.echo(f"{'dependents':44} {milliseconds(lambda: catalog.dependents(NormalizedName('acme-base-7'), 50))}")
        click.echo(f"{'near a name':44} {milliseconds(lambda: near(catalog, NormalizedName('acme-clinet-24')))}")


def dynamodb(count: int) -> None:
    """Bytes and read units (4 kB, strongly consistent) of searches, from the sizes of keys and values."""
    sizes: dict[str, int] = {}
    marks = bodies = 0
    for entry in entries(count):
        bodies += len(json.dumps(asdict(entry))) + len(entry.name) + 40
        for partition, mark in _marks(entry):
            marks += 1
            if partition.startswith("word#"):
                sizes[mark] = len(partition) + len(mark) + len("pk") + len("sk")
    click.echo(f"\nDynamoDB: {marks / count:.0f} marks and {bodies / count:.0f} bytes of entry per project")
    for text in ("a", "acme", "acme client", "acme-client-24"):
        read = [sum(size for mark, size in sizes.items() if mark.startswith(word)) for word in words(text)]
        calls = sum(1 + size // 1_000_000 for size in read) + 1
        units = sum(-(-size // 4096) for size in read) + 20
        dollars = units * 0.125  # per million units, us-east-1
        click.echo(
            f"search {text!r:18} {sum(read) / 1000:7.0f} kB {units:6} units, {calls} calls, ${dollars:.0f} per million"
        )


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sqlite(number)
    dynamodb(number)
