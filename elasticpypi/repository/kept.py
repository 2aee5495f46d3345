"""Projects of other indexes whose pages are kept, for people who search. Nobody is asked for anything (REQ-U35).

Their names are all that is looked at: to read the pages would take too long while somebody types.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from packaging.utils import NormalizedName

from elasticpypi.core import blocks, search_entry
from elasticpypi.policy import Policy
from elasticpypi.repository.rulings import Rulings
from elasticpypi.upstream.pages import Upstream
from elasticpypi.upstream.verdict import Origin, origin

LOOK = 5.0  # seconds between two looks at what is kept


class Known(NamedTuple):
    """A project, and the index that it comes from."""

    name: NormalizedName
    upstream: str


class Kept:
    """What is kept of ``upstreams``. ``origin`` gives where a name comes from, at the cost of a read of our index."""

    def __init__(
        self,
        upstreams: Callable[[], tuple[Upstream, ...]],
        policy: Callable[[], Policy],
        rulings: Callable[[], Rulings],
        origin: Callable[[NormalizedName], Origin],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstreams, self._policy, self._rulings, self._origin = upstreams, policy, rulings, origin
        self._clock = clock
        self._lock = Lock()
        self._next = float("-inf")
        self._made_of: tuple[object, ...] = ()
        self._lets_in: dict[NormalizedName, bool] = {}  # by what was decided so far
        self._known: dict[NormalizedName, tuple[str, list[str]]] = {}

    def search(self, text: str, start: int, count: int) -> tuple[int, list[Known]]:
        """How many have a word that begins with each word of ``text``, and ``count`` at most of them, best first.

        Whether one became ours since is only looked at if it is one of these.
        """
        known = self._names()
        found = self._found(text, known)
        page = [Known(name, known[name][0]) for name in found[start : start + count]]
        shown = [each for each in page if self._origin(each.name).where == "upstream"]
        return len(found) - len(page) + len(shown), shown

    def alike(self, text: str, count: int) -> list[NormalizedName]:
        """So many of the names that a search finds, best first; it is not looked at whether one became ours since."""
        return self._found(text, self._names())[:count]

    def _found(self, text: str, known: dict[NormalizedName, tuple[str, list[str]]]) -> list[NormalizedName]:
        query = search_entry.asked(text)
        found = [name for name, (_, parts) in known.items() if all(_begins(word, parts) for word in query)]
        return sorted(found, key=search_entry.order(text) if query else None)

    def _names(self) -> dict[NormalizedName, tuple[str, list[str]]]:
        """Each name that the policy lets in, its index, and the words of it."""
        upstreams, policy, rulings = made_of = self._upstreams(), self._policy(), self._rulings()
        with self._lock:
            decided = any(new is not old for new, old in zip(made_of, self._made_of, strict=False))
            if decided or self._clock() >= self._next:
                if decided:
                    self._lets_in, self._known = {}, {}
                self._known = self._read(upstreams, policy, rulings)
                self._made_of, self._next = made_of, self._clock() + LOOK
            return self._known

    def _read(
        self, upstreams: tuple[Upstream, ...], policy: Policy, rulings: Rulings
    ) -> dict[NormalizedName, tuple[str, list[str]]]:
        """What is kept now; names that were there before need not be looked at again."""
        found: dict[NormalizedName, tuple[str, list[str]]] = {}
        for upstream in upstreams:
            for name in upstream.kept():
                if name not in self._lets_in:
                    said = rulings.origins.get(name, "")
                    where = origin(name, policy, said, ours=False, asked=True).where
                    self._lets_in[name] = where == "upstream" and not blocks.whole(rulings.blocks.get(name, ()))
                if self._lets_in[name] and name not in found:
                    was = self._known.get(name)
                    found[name] = was if was and was[0] == upstream.name else (upstream.name, name.split("-"))
        return found


def _begins(word: str, parts: list[str]) -> bool:
    return any(part.startswith(word) for part in parts)
