"""Room for requests that wait for other indexes: the rest is told to come again, so that own packages go on."""

import threading

from elasticpypi.core.errors import Unavailable

PLACES = 160  # requests of a process that wait, of its 512 threads


class Places:
    """So many may wait at once; whoever comes then gets :class:`Unavailable`."""

    def __init__(self, count: int = PLACES) -> None:
        self._free = threading.BoundedSemaphore(count)

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            raise Unavailable("Too many wait for other indexes now: try again in a moment.")

    def __exit__(self, *_: object) -> None:
        self._free.release()
