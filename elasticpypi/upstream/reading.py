"""What another index has sent → what is kept of it, and what has changed; of a large page in a process of its own.

A page of 46,000 files takes a second or two of Python, for which all other threads of a worker would wait.
"""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from packaging.utils import NormalizedName

from elasticpypi.core.upstream import BadAnswer, Gone, UpstreamFile, UpstreamPage, dump, load, read

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
    page = read(*sent)
    page, changes = _compared(page, _loaded(old, sent.upstream), now)
    return News(dump(page), page.serial, changes[:CHANGES])


def all_gone(old: bytes, name: NormalizedName, upstream: str, now: str) -> bytes:
    """What is kept of a project that is no longer there, beside what was kept of it: of which files nothing is left."""
    return dump(_compared(UpstreamPage(name), _loaded(old, upstream), now)[0])


def _loaded(body: bytes | None, index: str) -> UpstreamPage | None:
    with suppress(BadAnswer):
        return load(body, index) if body else None
    return None


def _compared(page: UpstreamPage, old: UpstreamPage | None, now: str) -> tuple[UpstreamPage, list[Change]]:
    """What is new beside what was there: bytes that changed are not taken, and times of ours stay (REQ-U42)."""
    was = {file.path: file for file in old.files} if old else {}
    left = {each.file.path: each for each in old.gone} if old else {}
    taken = {*old.taken} if old else {*""}
    changes, files, still_taken = [], [], []
    for file in page.files:
        before = was.pop(file.path, None)
        if before is None and (again := left.pop(file.path, None) if left else None):
            before = again.file
        if before is not None and before.sha256 != file.sha256:
            reason = f"It has other bytes now: sha256 {file.sha256}."
            changes.append(_change("upstream.changed", before, reason, file.sha256))
            file = before
        if not file.upload_time:
            file = replace(file, first_seen=before.first_seen if before and before.first_seen else now)
        if taken and before is not None and file.filename in taken:
            if not file.metadata_sha256:
                file = replace(file, metadata_sha256=before.metadata_sha256)
            if file.metadata_sha256 == before.metadata_sha256:
                still_taken.append(file.filename)
        files.append(file)
    if was or left:  # what has moved to another path is still there
        here = {(file.filename, file.sha256) for file in files}
        was = {path: file for path, file in was.items() if (file.filename, file.sha256) not in here}
        left = {path: each for path, each in left.items() if (each.file.filename, each.file.sha256) not in here}
    changes += [_change("upstream.vanished", file, "It is no longer on the page.") for file in was.values()]
    gone = (*(Gone(file, now) for file in was.values()), *left.values())
    return replace(page, files=tuple(files), gone=gone[:MOST_GONE], taken=tuple(still_taken)), changes


def _change(kind: str, file: UpstreamFile, reason: str, new_sha256: str = "") -> Change:
    return Change(kind, file.version, file.filename, file.sha256, reason, new_sha256)


def _apart(sent: Sent, old: bytes | None, now: str) -> News:
    path = [*map(os.path.abspath, sys.path), str(Path(__file__).parents[2])]
    command = [sys.executable, "-ISB", "-X", "utf8", "-c", BEGIN, *path]
    environ = {name: os.environ[name] for name in NEEDED if name in os.environ}
    told = json.dumps([*sent[1:], now, len(sent.body), SECONDS, MEMORY]).encode()
    failed = f"The page of {sent.name!r} is too large to be read."
    if not _turn.acquire(timeout=PATIENCE):
        raise BadAnswer(f"The page of {sent.name!r} cannot be read now: others are.")
    try:
        given = b"".join((told, b"\n", sent.body, old or b""))
        done = subprocess.run(command, input=given, capture_output=True, env=environ, timeout=PATIENCE, check=True)
        said, _, kept = done.stdout.partition(b"\n")
        error, serial, changes = json.loads(said)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise BadAnswer(failed) from None
    finally:
        _turn.release()
    if error:
        raise BadAnswer(error)
    return News(kept, serial, [Change(*each) for each in changes])


def main() -> None:
    """In the process: what is told on stdin → what became of it on stdout."""
    media_type, url, name, index, now, length, seconds, memory = json.loads(sys.stdin.buffer.readline())
    _limit(seconds, memory)
    body, old = sys.stdin.buffer.read(length), sys.stdin.buffer.read()
    try:
        found, error = made(Sent(body, media_type, url, NormalizedName(name), index), old, now), ""
    except BadAnswer as failed:
        found, error = News(b"", 0, []), str(failed)
    sys.stdout.buffer.write(json.dumps([error, found.serial, found.changes]).encode() + b"\n")
    sys.stdout.buffer.write(found.kept)


def _limit(seconds: int, memory: int) -> None:
    """As far as this system has limits."""
    with suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
