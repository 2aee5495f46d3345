"""Servers that run: filled once, copied if they take uploads, started, asked, stopped."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from statistics import mean
from typing import Any
from urllib.parse import urljoin

from bench.corpus import CACHE, Corpus
from bench.load import HTML, Answer, basic, get, wrk
from bench.process import Failed, Group, free_port
from bench.resolve import Traffic, pip_traffic
from bench.server import PASSWORD, Place, Server

PATIENCE = 300  # seconds for a start
FIRST_PATIENCE = 1800  # for the first one, which may read everything


@dataclass
class Target:
    """A server that runs at ``address`` on a corpus; ``started`` is how many seconds its start took.

    ``upstream`` is the address of the server that it asks; ``known`` is what rows know of it, by their names.
    """

    server: Server
    corpus: Corpus
    address: str
    group: Group
    started: float = 0.0
    upstream: str = ""
    known: dict[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The URL of the root list."""
        return self.address + self.server.simple

    @property
    def login(self) -> dict[str, str]:
        """The header that reading takes."""
        return self.credentials if self.server.login else {}

    @property
    def credentials(self) -> dict[str, str]:
        """The header that an upload takes."""
        return basic(self.server.user, PASSWORD)

    @property
    def index(self) -> str:
        """The index URL for pip and uv."""
        return self.root.replace("://", f"://{self.server.user}:{PASSWORD}@") if self.server.login else self.root

    @cached_property
    def traffic(self) -> Traffic:
        """What pip takes to resolve."""
        return pip_traffic(self.index)

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """One GET of a URL relative to the root list."""
        return get(urljoin(self.root, url), {"Accept": HTML, **self.login, **(headers or {})})

    def rate(
        self, url: str, headers: Mapping[str, str], seconds: int, paths: Sequence[str] = ()
    ) -> tuple[float, float]:
        """Requests and bytes per second of a URL, or of paths in turn: the mean of runs of a second.

        Each has new connections, since two of them at one process are slower than one at each, which is luck.
        """
        runs = []
        for _ in range(seconds):
            self.group.wait_until_idle()
            runs.append(wrk(url, {**self.login, **headers}, paths))
        return mean(requests for requests, _ in runs), mean(size for _, size in runs)

    def answers(self) -> bool:
        """Whether the root list can be had; :class:`Failed` if it is refused."""
        try:
            status = self.get("").status
        except OSError:
            return False
        if 400 <= status < 500:
            raise Failed(f"its root list is answered {status}")
        return status == 200


def filled(server: Server, corpus: Corpus) -> Place:
    """The data of a server on a corpus, made if they are not there; :class:`Failed` if they cannot be made."""
    programs = server.programs()
    folder = CACHE / "data" / f"{server.name}-{corpus.name}"
    stamp, wanted = folder / "made-of.txt", "\n".join(server.requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        server.fill(corpus, Place(folder, 0, programs))
        stamp.write_text(wanted)
    return Place(folder, 0, programs)


def empty(server: Server) -> Place:
    """A new folder for a server that has no data."""
    folder = CACHE / "run" / server.name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return Place(folder, 0, server.programs())


def copied(place: Place) -> Place:
    """The same data in another folder, for uploads; wheels are linked."""
    folder = CACHE / "run" / place.folder.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place.folder, folder, copy_function=_link_or_copy)
    return Place(folder, 0, place.programs)


def _link_or_copy(source: str, target: str) -> None:
    (os.link if source.endswith(".whl") else shutil.copy2)(source, target)


@contextmanager
def running(
    server: Server, corpus: Corpus, place: Place, upstream: str = "", patience: float = PATIENCE
) -> Iterator[Target]:
    """The server on its data, from the first answer until the block ends."""
    port = free_port()
    place = Place(place.folder, port, place.programs, upstream)
    environment = {"HOME": str(place.folder), **server.settings(place)}
    group = Group(server.command(place), environment, place.folder / "output.log")
    target = Target(server, corpus, f"http://127.0.0.1:{port}", group, upstream=upstream)
    try:
        target.started = group.ready(target.answers, patience)
        group.wait_until_idle(patience)
        yield target
    finally:
        group.stop()


def prepared(server: Server, corpus: Corpus, upstream: str = "") -> Place:
    """Data that were served once, so that nothing is left to be read; :class:`Failed` if it does not run here."""
    place = filled(server, corpus)
    with running(server, corpus, place, upstream, FIRST_PATIENCE) as target:
        found = target.get("").body.count(corpus.project(0).encode())
        if not found:
            raise Failed("its root list lacks what it was filled with")
    return place
