"""How many examples the properties try."""

import os

SOAK = bool(os.environ.get("SOAK"))


def examples(whole: int) -> int:
    """A twentieth of them; all with SOAK in the environment, as `make soak` has it."""
    return whole if SOAK else max(10, whole // 20)
