"""What became of a key of the store."""

from dataclasses import dataclass
from typing import Literal

Found = Literal["", "missing in the index", "stale in the index", "gone from the store"]
Action = Literal["unchanged", "written", "removed", "ignored", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one key; ``reason`` is a sentence where it was ignored or failed.

    ``found`` is how the index differed from the store, empty if it did not.
    """

    key: str
    action: Action
    reason: str = ""
    found: Found = ""
