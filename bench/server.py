"""What a server is to the benchmarks: how it is installed, filled and started."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.corpus import Corpus
from bench.process import CLEAN, Failed
from bench.tools import environment

PASSWORD = "correct-horse-battery-staple"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server runs: its folder, its port, the ``bin`` of its environment, the address of nginx."""

    folder: Path
    port: int
    programs: Path
    upstream: str = ""


@dataclass(frozen=True)
class Server:
    """How one of them is installed, filled and started.

    ``fill`` puts a corpus into a new folder; ``simple`` is the path of the root list, ``upload`` that of
    uploads, "" if it takes none. ``needs`` names the server that it is a proxy of.
    """

    name: str
    runs_on: str
    command: Callable[[Place], list[str]]
    fill: Callable[[Corpus, Place], None] = lambda corpus, place: None
    requirements: tuple[str, ...] = ()
    settings: Callable[[Place], Mapping[str, str]] = lambda place: {}
    simple: str = "/simple/"
    upload: str = ""
    user: str = "bench"  # with PASSWORD
    login: bool = False  # to read; uploads always log in
    needs: str = ""
    peer: bool = True  # one of the Python indexes whose best is the measure
    version: Callable[[], str] = str  # where that is not in the requirements

    def describe(self) -> str:
        """What it is made of and how it runs."""
        return ", ".join(filter(None, [self.version(), *self.requirements, self.runs_on])).replace("==", " ")

    def programs(self) -> Path:
        """The ``bin`` of its environment, made if need be; :class:`Failed` if it cannot be had here."""
        if not self.requirements:
            return Path(sys.executable).parent
        return environment(self.requirements)


def links(corpus: Corpus, name: Callable[[str, Path], Path]) -> None:
    """Link each wheel to the path that ``name`` makes of project and file."""
    for project, wheel in corpus.wheels():
        path = name(project, wheel)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(wheel, path)


def run(place: Place, *command: str | Path, stdin: str = "") -> str:
    """What a program of the server's environment prints."""
    environment = {**CLEAN, "HOME": str(place.folder)}
    done = subprocess.run(command, input=stdin, cwd=place.folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{command[0]}: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
    return done.stdout.strip()
