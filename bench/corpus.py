"""What the servers are filled with: real wheels, built once and kept in ``.cache/bench``."""

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.packages import make_wheel

CACHE = Path(__file__).parents[1] / ".cache" / "bench"
VERSION = 1  # of what is built here: another one, and everything is built anew

FILES = 10  # of a project
THOUSAND, SMALL, LARGE = "thousand", "small", "large"  # a project of 1,000 files, of one of 20 kB, of one of 50 MB
TREE = [f"tree-{number:02}" for number in range(20)]  # each needs two others: what pip and uv resolve
DESCRIPTION = "What a project says of itself is some kilobytes long, and all of it is metadata. " * 50


@dataclass(frozen=True, slots=True)
class Corpus:
    """``folder`` has a folder per project with its wheels: ``projects`` of them, the first ``full`` with FILES each,
    what is beyond them with one.

    ``special`` says whether THOUSAND, SMALL, LARGE and TREE are there too.
    """

    projects: int
    special: bool = False
    full: int = 10_000

    @property
    def name(self) -> str:
        thin = f"-{self.full}" if self.full < self.projects else ""
        return f"{self.projects}{thin}{'-special' if self.special else ''}-v{VERSION}"

    @property
    def folder(self) -> Path:
        return CACHE / "corpus" / self.name

    def project(self, number: int) -> str:
        """The name of one of the ``projects``."""
        return f"project-{number:06}"

    def count(self) -> int:
        """How many wheels there are."""
        return sum(1 for _ in self.wheels())

    def wheels(self) -> Iterator[tuple[str, Path]]:
        """Project and wheel, of all that are there."""
        with os.scandir(self.folder) as projects:
            for project in sorted(projects, key=lambda entry: entry.name):
                for wheel in sorted(Path(project.path).iterdir()):
                    yield project.name, wheel


def build(corpus: Corpus) -> None:
    """Make what is not there yet; a corpus that is there is whole."""
    if corpus.folder.exists():
        return
    unfinished = corpus.folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for number in range(corpus.projects):
        make_project(unfinished, corpus.project(number), FILES if number < corpus.full else 1)
    if corpus.special:
        make_project(unfinished, THOUSAND, 1000)
        make_project(unfinished, SMALL, 1, 20_000)
        make_project(unfinished, LARGE, 1, 50_000_000)
        for number, name in enumerate(TREE):
            needed = [TREE[child] for child in (2 * number + 1, 2 * number + 2) if child < len(TREE)]
            make_project(unfinished, name, 3, 1_700_000, requires_dist=needed, description=DESCRIPTION)
    unfinished.rename(corpus.folder)


def wheel(folder: Path, name: str, version: str, size: int = 0, **fields: Any) -> Path:
    """A wheel of at least ``size`` bytes that do not compress, the same each time."""
    files = {"data.bin": random.Random(f"{name} {version}").randbytes(size)} if size else {}
    return make_wheel(folder, name, version, files=files, requires_python=">=3.8", **fields)


def make_project(folder: Path, name: str, count: int, size: int = 0, **fields: Any) -> None:
    """``folder/name`` with so many wheels."""
    place = folder / name
    place.mkdir(parents=True)
    for number in range(count):
        wheel(place, name, f"1.{number}", size, **fields)
