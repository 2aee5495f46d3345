"""Waiting for what will happen."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(found: Callable[[], T], what: str = "what should happen", seconds: float = 60) -> T:
    """What ``found`` gives as soon as it is true; AssertionError after a while."""
    end = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)
    return result
