"""What another index has sent → what is kept of it, and what has changed; of a large page in a process of its own.

A page of 46,000 files takes a second or two of Python, for which all other threads of a worker would wait.
"""

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from packaging.utils import NormalizedName

from elasticpypi.core.upstream import BadAnswer, Listing, dump, load, read

LARGE = 1024 * 1024  # bytes of a page
SECONDS, MEMORY = 20, 2 * 1024**3  # of CPU time and of memory that one may take
PATIENCE = 30.0  # seconds for its turn, and then for itself
CHANGES = 100  # that are told of at once
# What an interpreter may need to start. Nothing else of our environment, where passwords are.
NEEDED = "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"
BEGIN = "import sys; sys.path[:] = sys.argv[1:]; from elasticpypi.upstream.reading import main; main()"

_turn = threading.Lock()  # one process of a worker reads one page at a time


class Sent(NamedTuple):
    """A page as it came: its type, the address that it is of, its project, and our name of the index."""

    body: bytes
    media_type: str
    url: str
    name: NormalizedName
    upstream: str


class Change(NamedTuple):
    """``kind`` is the type of an event, the rest is what it says."""

    kind: str
    version: str
    filename: str
    sha256: str
    reason: str
    new_sha256: str = ""


class News(NamedTuple):
    """What is to be kept of a page; its serial, 0 if it has none; and what is another than before."""

    kept: bytes
    serial: int
    changes: list[Change]


def news(sent: Sent, old: bytes | None, now: str) -> News:
    """What is kept of a page beside what was kept of it; :class:`BadAnswer` if it is none, or beyond the limits.

    ``now`` is a moment (``core/moments.py``).
    """
    return made(sent, old, now) if len(sent.body) <= LARGE else _apart(sent, old, now)


def made(sent: Sent, old: bytes | None, now: str) -> News:
    """The same, here."""
    listing = read(sent.body, sent.media_type, sent.url, sent.name)
    listing, changes = _compared(listing, _loaded(old), now)
    return News(dump(listing), listing.about.serial, changes[:CHANGES])


def _loaded(body: bytes | None) -> Listing | None:
    with suppress(BadAnswer):
        return load(body) if body else None
    return None


def _compared(new: Listing, old: Listing | None, now: str) -> tuple[Listing, list[Change]]:
    """What is new beside what was there: bytes that changed are not taken, and times of ours stay (REQ-U42)."""
    columns = {name: [*column] for name, column in new.columns.items()}
    before = old.columns if old else {}
    was = {path: number for number, path in enumerate(before.get("path", ()))}
    changes = []
    times, seen = columns.get("upload_time", []), columns.get("first_seen", [])
    for number, path in enumerate(columns.get("path", [])):
        same = was.pop(path, None)
        if same is not None and before["sha256"][same] != columns["sha256"][number]:
            sha256 = columns["sha256"][number]
            changes.append(
                _change("upstream.changed", before, same, f"It has other bytes now: sha256 {sha256}.", sha256)
            )
            for name, column in columns.items():
                column[number] = before[name][same]
        if not times[number]:
            seen[number] = (before["first_seen"][same] if same is not None else "") or now
    changes += [_change("upstream.vanished", before, each, "It is no longer on the page.") for each in was.values()]
    return Listing(new.about, columns), changes


def _change(kind: str, columns: Mapping[str, Sequence[str]], number: int, reason: str, new_sha256: str = "") -> Change:
    version, filename, sha256 = (columns[name][number] for name in ("version", "key", "sha256"))
    return Change(kind, version, filename, sha256, reason, new_sha256)


def _apart(sent: Sent, old: bytes | None, now: str) -> News:
    path = [*map(os.path.abspath, sys.path), str(Path(__file__).parents[2])]
    command = [sys.executable, "-ISB", "-X", "utf8", "-c", BEGIN, *path]
    environ = {name: os.environ[name] for name in NEEDED if name in os.environ}
    told = json.dumps([*sent[1:], now, len(sent.body), SECONDS, MEMORY]).encode()
    failed = f"The page of {sent.name!r} is too large to be read."
    if not _turn.acquire(timeout=PATIENCE):
        raise BadAnswer(f"The page of {sent.name!r} cannot be read now: others are.")
    try:
        said, _, kept = _said(command, environ, told, b"\n", sent.body, old or b"").partition(b"\n")
        error, serial, changes = json.loads(said)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise BadAnswer(failed) from None
    finally:
        _turn.release()
    if error:
        raise BadAnswer(error)
    return News(kept, serial, [Change(*each) for each in changes])


def _said(command: list[str], environ: Mapping[str, str], *given: bytes) -> bytes:
    """What a process says that is given so many bytes, and has read them all before it says anything.

    ``subprocess.communicate`` gives 4 kB at a time, which holds everybody else up when it is 30 MB.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environ) as process:
        late = threading.Timer(PATIENCE, process.kill)
        late.start()
        try:
            for part in given:
                process.stdin.write(part)  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
            said: bytes = process.stdout.read()  # type: ignore[union-attr]
        finally:
            process.kill()
            late.cancel()
    return said


def main() -> None:
    """In the process: what is told on stdin → what became of it on stdout."""
    gc.disable()  # it ends before there is anything to collect
    media_type, url, name, index, now, length, seconds, memory = json.loads(sys.stdin.buffer.readline())
    _limit(seconds, memory)
    body, old = sys.stdin.buffer.read(length), sys.stdin.buffer.read()
    try:
        found, error = made(Sent(body, media_type, url, NormalizedName(name), index), old, now), ""
    except BadAnswer as failed:
        found, error = News(b"", 0, []), str(failed)
    sys.stdout.buffer.write(json.dumps([error, found.serial, found.changes]).encode() + b"\n")
    sys.stdout.buffer.write(found.kept)
    sys.stdout.buffer.flush()
    os._exit(0)  # without giving back, one by one, what a page of 46,000 files is made of


def _limit(seconds: int, memory: int) -> None:
    """As far as this system has limits."""
    with suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
