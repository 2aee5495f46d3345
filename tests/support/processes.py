"""Processes of this machine (Linux), as /proc tells of them."""

import signal
from contextlib import suppress
from pathlib import Path


def rendering_below(pid: int) -> int | None:
    """A process that renders a README, started by this one or by those that it started."""
    parents: dict[int, list[int]] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(each.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(each.parent.name))
    below = [pid]
    for process in below:
        below += parents.get(process, [])
        with suppress(OSError):
            if b"pages.rendering import main" in Path(f"/proc/{process}/cmdline").read_bytes():
                return process
    return None


def heeds_signals() -> None:
    """``preexec_fn`` of a process that is sent signals: a shell may have started the tests with SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
