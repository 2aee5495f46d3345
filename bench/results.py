"""What was measured, where and when: ``results.json``, from which tables and plots are drawn."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from elasticpypi import __version__

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"

# Row → server → the value of each round; None where a server has no such thing.
Values = dict[str, dict[str, list[float | None]]]


def conditions(rounds: int, seconds: int) -> dict[str, str]:
    """What a reader must know of a run."""
    cpu = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = int(_lines("/proc/meminfo")[0].split()[1]) / 1024**2
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=FOLDER, capture_output=True, text=True
    ).stdout
    return {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores ({cpu[0] if cpu else platform.machine()}), {memory:.0f} GB, "
        f"Linux {platform.release()}, Python {sys.version.split()[0]}",
        "elasticpypi": f"{__version__} ({commit.strip() or 'no git'})",
        "rounds": f"{rounds} rounds of {seconds} s, load {os.getloadavg()[0]:.1f} before",
    }


def load() -> dict[str, Any]:
    """All runs that were kept, by their name."""
    return dict(json.loads(RESULTS.read_text())) if RESULTS.exists() else {}


def keep(name: str, run: Mapping[str, Any]) -> None:
    """Keep a run instead of the one of that name before."""
    RESULTS.write_text(json.dumps({**load(), name: run}, indent=1) + "\n")


def medians(values: Values, row: str) -> dict[str, float]:
    """Server → the median of its rounds, of those that have a value."""
    found = {server: [value for value in rounds if value is not None] for server, rounds in values.get(row, {}).items()}
    return {server: median(rounds) for server, rounds in found.items() if rounds}


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
