"""What the process that follows a store says of itself, in a file, to all others on its machine."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

FILE = "follower.json"  # on one machine, beside the index
SILENCE = 60.0  # seconds without a word after which it is told to be behind
OFTEN = 10.0  # seconds between two words, while there is nothing new


def say(path: Path, reason: str) -> None:
    """``reason`` is "" or why the index may differ from the store."""
    with suppress(OSError):  # a disk that is full has other witnesses
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"behind": reason, "pid": os.getpid()}))
        temporary.replace(path)


def behind(path: Path) -> str:
    """What was said last: "" or why the index may differ from the store."""
    try:
        silent = time.time() - path.stat().st_mtime
        reason = str(json.loads(path.read_text())["behind"])
    except (OSError, ValueError, KeyError, TypeError):
        return "Nothing follows the packages: `elasticpypi serve` does."
    if silent > SILENCE:
        return f"The process that follows the packages has said nothing for {silent:.0f} s."
    return reason
