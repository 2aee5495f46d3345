"""What people find of other indexes: by name alone, in the order in which the indexes are asked, if it is let in."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from packaging.utils import NormalizedName

from elasticpypi.core.blocks import Block
from elasticpypi.policy import Policy, parse
from elasticpypi.repository.kept import LOOK, Kept, Known
from elasticpypi.repository.rulings import Rulings
from elasticpypi.storage.local.upstream import FolderUpstream
from elasticpypi.upstream.verdict import Origin

THEIRS = Origin("upstream", "It is none of ours.")


class Scene:
    """Two indexes with pages in a folder, a policy, rulings and a clock."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderUpstream(folder)
        self.policy, self.rulings, self.now = Policy(), Rulings(), 0.0
        self.ours: set[str] = set()
        self.upstreams: Any = tuple(map(self._upstream, ("main", "second")))
        self.kept = Kept(lambda: self.upstreams, lambda: self.policy, lambda: self.rulings, self._origin, self._clock)

    def _upstream(self, index: str) -> SimpleNamespace:
        def kept() -> Iterator[NormalizedName]:
            return self.store.pages(index)

        return SimpleNamespace(name=index, kept=kept)

    def _origin(self, name: NormalizedName) -> Origin:
        return Origin("private", "It has a file here.") if name in self.ours else THEIRS

    def _clock(self) -> float:
        return self.now

    def keep(self, index: str, *names: str) -> None:
        for name in names:
            self.store.keep_page(index, NormalizedName(name), b"")
        self.now += LOOK

    def found(self, text: str) -> list[str]:
        return [each.name for each in self.kept.search(text, 0, 100)[1]]


def test_names_are_found_by_the_beginnings_of_their_words_best_first(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.keep("main", "typing-extensions", "six", "types-six", "sixpack", "asix")
    assert scene.found("six") == ["six", "sixpack", "types-six"]
    assert scene.found("Typing.Ext") == ["typing-extensions"]
    assert scene.found("extensions typ") == ["typing-extensions"]
    assert scene.found("") == ["asix", "six", "sixpack", "types-six", "typing-extensions"]
    assert scene.found("nothing") == []
    assert scene.kept.search("six", 1, 1) == (3, [Known(NormalizedName("sixpack"), "main")])
    assert scene.kept.search("six", 5, 1) == (3, [])


def test_the_first_index_that_has_a_project_answers_for_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.keep("second", "six", "only-second")
    scene.keep("main", "six")
    assert scene.kept.search("", 0, 9)[1] == [("only-second", "second"), ("six", "main")]


def test_nothing_is_found_that_is_not_let_in(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.keep("main", "acme-core", "blocked", "denied", "six", "ours", "said-private")
    scene.policy = parse('[origin]\nprivate = ["acme"]\ndenied = ["denied"]\n')
    six, blocked, said = map(NormalizedName, ("six", "blocked", "said-private"))
    blocks = {blocked: [Block("", "bad")], six: [Block("1.0", "one release")]}
    scene.rulings = replace(Rulings(), origins={said: "private"}, blocks=blocks)
    scene.ours = {"ours"}
    assert scene.found("") == ["six"]
    scene.policy = parse('[origin]\nallowed = ["denied"]\n')
    assert scene.found("") == ["denied"]


def test_the_folder_is_looked_at_now_and_then(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.keep("main", "six")
    assert scene.found("six") == ["six"]
    scene.store.keep_page("main", NormalizedName("sixpack"), b"")
    assert scene.found("six") == ["six"]
    scene.now += LOOK
    assert scene.found("six") == ["six", "sixpack"]
