"""What lies in the store and is looked at again after a moment, by one for all who ask meanwhile."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from elasticpypi.storage.contracts import Objects

T = TypeVar("T")


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
