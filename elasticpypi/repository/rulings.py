"""What administrators decided about names, releases and digests, for those who read what other indexes have.

The objects are looked at again after a moment; only folders that have changed are read.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from packaging.utils import NormalizedName, canonicalize_name

from elasticpypi.core import advisories, blocks, exemptions, ruling
from elasticpypi.core.advisories import Acceptance
from elasticpypi.core.blocks import Block
from elasticpypi.core.errors import NotFound, Unavailable
from elasticpypi.core.exemptions import Exemption
from elasticpypi.repository.current_policy import Current
from elasticpypi.storage.contracts import Objects

ORIGINS = "policy/origins/"
FOLDERS = ORIGINS, blocks.FOLDER, exemptions.FOLDER, advisories.ACCEPTED


@dataclass(frozen=True, slots=True)
class Rulings:
    """All of them, by project; ``digests`` are the blocks that are about bytes wherever they are.

    ``accepted`` has what was accepted of which record of malware, by the record and the sha256.
    """

    origins: dict[NormalizedName, str] = field(default_factory=dict)
    blocks: dict[NormalizedName, list[Block]] = field(default_factory=dict)
    exemptions: dict[NormalizedName, list[Exemption]] = field(default_factory=dict)
    digests: tuple[Block, ...] = ()
    accepted: dict[tuple[str, str], Acceptance] = field(default_factory=dict)

    def blocks_of(self, name: NormalizedName) -> tuple[Block, ...]:
        """All that may concern a file of this project."""
        return (*self.blocks.get(name, ()), *self.digests)


class CurrentRulings(Current[Rulings]):
    """The rulings in ``objects``, which are looked at again after ``pause`` seconds."""

    def __init__(self, objects: Objects, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(objects, pause, clock)
        self._marks: tuple[str | None, ...] = ()
        self._number = 0

    @property
    def mark(self) -> int:
        """Another number whenever they were read anew."""
        self()
        return self._number

    def _look(self) -> None:
        try:
            marks = tuple(map(self._objects.mark, FOLDERS))
            if self._known is None or None in marks or marks != self._marks:
                found = self._read()
                if found != self._known:
                    self._known = found
                    self._number += 1
                self._marks = marks
        except Unavailable:
            if self._known is None:
                raise

    def _read(self) -> Rulings:
        found, digests = Rulings(), []
        spelled = {key: canonicalize_name(key.removeprefix(ORIGINS)) for key in self._objects.keys(ORIGINS)}
        for key, name in sorted(spelled.items(), key=lambda each: each[0] == f"{ORIGINS}{each[1]}"):
            if value := self._said(key).value:  # somebody may have put it there by hand; what commands write wins
                found.origins[name] = value
        for key in self._objects.keys(blocks.FOLDER):
            target, said = blocks.of_key(key), self._said(key)
            if target and said.value:
                block = Block(target.what, said.reason, said.by, said.at)
                if target.project:
                    found.blocks.setdefault(target.project, []).append(block)
                else:
                    digests.append(block)
        for key in self._objects.keys(exemptions.FOLDER):
            release, said = exemptions.of_key(key), self._said(key)
            if release and exemptions.is_end(said.value):
                exempt = Exemption(release.version, said.value, said.reason, said.by, said.at)
                found.exemptions.setdefault(release.project, []).append(exempt)
        for key in self._objects.keys(advisories.ACCEPTED):
            accepted, said = advisories.of_key(key), self._said(key)
            if accepted and said.value == accepted.record:
                made = accepted._replace(reason=said.reason, by=said.by, at=said.at)
                found.accepted[made.record, made.sha256] = made
        return Rulings(found.origins, found.blocks, found.exemptions, tuple(digests), found.accepted)

    def _said(self, key: str) -> ruling.Ruling:
        with suppress(NotFound):  # a file that somebody put there, and that can be no object
            if found := self._objects.read(key):
                return ruling.load(found.body)
        return ruling.NOTHING
