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
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from packaging.utils import NormalizedName

from elasticpypi.core.upstream import COLUMNS, BadAnswer, Listing, UpstreamPage, dump, load
from elasticpypi.core.upstream_answer import read

LARGE = 1024 * 1024  # bytes of a page
SECONDS, MEMORY = 20, 2 * 1024**3  # of CPU time and of memory that one may take
PATIENCE = 30.0  # seconds for its turn, and then for itself
CHANGES = 100  # that are told of at once
MOST_GONE = 1000  # files that have left a page and are remembered, the last ones
# What an interpreter may need to start. Nothing else of our environment, where passwords are.
NEEDED = "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"
BEGIN = "import sys; sys.path[:] = sys.argv[1:]; from elasticpypi.upstream.reading import main; main()"

_turn = threading.Lock()  # one process of a worker reads one page at a time


class Sent(NamedTuple):
    """A page as it came: its type, the address that it is of, and its project."""

    body: bytes
    media_type: str
    url: str
    name: NormalizedName


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
    listing = read(*sent)
    listing, changes = _compared(listing, _loaded(old), now)
    return News(dump(listing), listing.about.serial, changes[:CHANGES])


def all_gone(old: bytes, name: NormalizedName, now: str) -> bytes:
    """What is kept of a project that is no longer there, beside what was kept of it: of which files nothing is left."""
    return dump(_compared(Listing(UpstreamPage(name), {}), _loaded(old), now)[0])


def _loaded(body: bytes | None) -> Listing | None:
    with suppress(BadAnswer):
        return load(body) if body else None
    return None


def _compared(new: Listing, old: Listing | None, now: str) -> tuple[Listing, list[Change]]:
    """What is new beside what was there: bytes that changed are not taken, and times of ours stay (REQ-U42)."""
    columns = {name: [*column] for name, column in new.columns.items()}
    before = old.columns if old else {}
    was = {path: number for number, path in enumerate(before.get("path", ()))}
    left = {fields["path"]: (at, fields) for at, fields in old.gone} if old else {}
    taken = {*old.about.taken} if old else {*""}
    changes, still_taken = [], []
    digests, times, seen = (columns.get(name, []) for name in ("sha256", "upload_time", "first_seen"))
    for number, path in enumerate(columns.get("path", [])):
        same = was.pop(path, None)
        if same is not None and times[number] and not taken and before["sha256"][same] == digests[number]:
            continue  # nearly every file
        known = _fields(before, same) if same is not None else left.pop(path, ("", {}))[1]
        if known and known["sha256"] != digests[number]:
            reason = f"It has other bytes now: sha256 {digests[number]}."
            changes.append(_change("upstream.changed", known, reason, digests[number]))
            for name, column in columns.items():
                column[number] = known[name]
        if not times[number]:
            seen[number] = known.get("first_seen") or now
        if known and (filename := columns["key"][number]) in taken:
            core = columns["metadata_sha256"]
            core[number] = core[number] or known["metadata_sha256"]
            if core[number] == known["metadata_sha256"]:
                still_taken.append(filename)
    if was or left:  # what has moved to another path is still there
        here = {*zip(columns.get("key", ()), digests, strict=True)}
        was = {path: each for path, each in was.items() if (before["key"][each], before["sha256"][each]) not in here}
        left = {path: each for path, each in left.items() if (each[1]["key"], each[1]["sha256"]) not in here}
    gone = [(now, _fields(before, number)) for number in was.values()]
    changes += [_change("upstream.vanished", fields, "It is no longer on the page.") for _, fields in gone]
    kept = (*gone, *left.values())[:MOST_GONE]
    return Listing(replace(new.about, taken=tuple(still_taken)), columns, kept), changes


def announcing(listing: Listing, filename: str, sha256: str, metadata: str) -> Listing | None:
    """A page that says the digest of the core ``metadata`` of a file; None if it says one, or has no such file."""
    columns = listing.columns
    rows = zip(*(columns.get(name, ()) for name in ("key", "sha256", "metadata_sha256")), strict=True)
    found = {number for number, row in enumerate(rows) if row == (filename, sha256, None)}
    if not found:
        return None
    core = [metadata if number in found else each for number, each in enumerate(columns["metadata_sha256"])]
    about = replace(listing.about, taken=(*listing.about.taken, filename))
    return Listing(about, {**columns, "metadata_sha256": core}, listing.gone)


def _fields(columns: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    """Those of one file."""
    return {name: columns[name][number] for name in COLUMNS}


def _change(kind: str, fields: Mapping[str, str], reason: str, new_sha256: str = "") -> Change:
    return Change(kind, fields["version"], fields["key"], fields["sha256"], reason, new_sha256)


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
    media_type, url, name, now, length, seconds, memory = json.loads(sys.stdin.buffer.readline())
    _limit(seconds, memory)
    body, old = sys.stdin.buffer.read(length), sys.stdin.buffer.read()
    try:
        found, error = made(Sent(body, media_type, url, NormalizedName(name)), old, now), ""
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
