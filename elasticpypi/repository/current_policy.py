"""The policy as it is now: the document is looked at again after a moment, and what is wrong with it is said."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from elasticpypi.core.errors import BadPolicy, Unavailable
from elasticpypi.indexing.rulings import read
from elasticpypi.policy import Policy, parse
from elasticpypi.storage.contracts import Objects

DOCUMENT = "policy.toml"  # the key of what people write
LAST = "policy/last"  # that of the ruling which has the last one that was taken

T = TypeVar("T")
log = logging.getLogger(__name__)


class Current(ABC, Generic[T]):
    """What is in ``objects``, looked at again after ``pause`` seconds. ``clock`` gives seconds that only grow."""

    def __init__(self, objects: Objects, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects, self._pause, self._clock = objects, pause, clock
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._known: T | None = None

    def __call__(self) -> T:
        """That of now, or of at most ``pause`` seconds ago; :class:`Unavailable` if none could ever be had."""
        known = self._known
        if known is not None and self._clock() < self._next:
            return known
        # Whoever comes while another looks takes what is known; the first ones wait for it.
        if self._lock.acquire(blocking=known is None):
            try:
                if self._known is None or self._clock() >= self._next:
                    self._look()
                    self._next = self._clock() + self._pause
            finally:
                self._lock.release()
        assert self._known is not None
        return self._known

    @abstractmethod
    def _look(self) -> None:
        """Set ``_known`` to what is there now; :class:`Unavailable` if there is nothing to go on with."""


class CurrentPolicy(Current[Policy]):
    """The policy in ``objects``, which is looked at again after ``pause`` seconds: one stat, or one call of S3.

    As long as the document is wrong, or cannot be had, the last good one holds: of this process, else the last that
    was ever taken, else an empty one. ``trouble`` says why, "" if there is none.
    """

    def __init__(self, objects: Objects, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(objects, pause, clock)
        self._revision: str | None = None
        self.trouble = ""

    def check(self) -> None:
        """:class:`BadPolicy` if the document is wrong; a start is the time to say so."""
        found = self._objects.read(DOCUMENT)
        parse(found.body if found else b"")

    def _look(self) -> None:
        try:
            revision = self._objects.revision(DOCUMENT)
            if self._known is None or revision != self._revision:
                found = self._objects.read(DOCUMENT) if revision else None
                try:
                    self._known = parse(found.body if found else b"")
                    self._said("")
                except BadPolicy as error:
                    self._known = self._known or self._last()
                    self._said(f"{error} The last good policy holds.")
                self._revision = found.revision if found else None
        except Unavailable as error:
            if self._known is None:
                raise
            self._revision = ""  # look again, whatever is there then
            self._said(f"The policy cannot be read: {error} The last one holds.")

    def _last(self) -> Policy:
        try:
            return parse(read(self._objects, LAST).value)
        except BadPolicy:
            return Policy()

    def _said(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.error("%s", trouble)
        elif self.trouble and not trouble:
            log.info("The policy is right again.")
        self.trouble = trouble
