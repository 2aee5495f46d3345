"""A server as a group of processes: its start, its CPU time, its memory, its end. Needs the /proc of Linux."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CLEAN = {"PATH": os.defpath, "LANG": "C.UTF-8", "NO_PROXY": "*"}


class Failed(Exception):
    """A server or a tool that did not do what it was started for; says why in one line."""


class Group:
    """``command`` in a process group of its own; what it prints is in ``log``."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._begin = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env={**CLEAN, **environment},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self, answers: Callable[[], bool], patience: float) -> float:
        """Seconds from the start until ``answers``; :class:`Failed` if that takes longer than ``patience``."""
        while not answers():
            if self._process.poll() is not None or time.monotonic() - self._begin > patience:
                lines = self.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise Failed(f"it does not start: {lines[-1][:200]}")
            time.sleep(0.005)
        return time.monotonic() - self._begin

    def cpu(self) -> float:
        """Seconds of CPU that its living processes have used, and those that they have waited for."""
        ticks = 0
        for fields in self._stats():
            ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
        return ticks / TICKS

    def wait_until_idle(self, patience: float = 60) -> bool:
        """Wait until it used no CPU for 0.3 s, as a slow server goes on working for clients that have left.

        False if it still does after ``patience`` seconds.
        """
        end = time.monotonic() + patience
        used = self.cpu()
        while time.monotonic() < end:
            time.sleep(0.3)
            before, used = used, self.cpu()
            if used - before <= 1 / TICKS:
                return True
        return False

    def memory(self) -> list[float]:
        """MB of each process, the largest first; what several share is shared out (PSS)."""
        found = []
        for pid in self._members():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            [line] = [line for line in rollup.splitlines() if line.startswith("Pss:")]
            found.append(int(line.split()[1]) * 1024 / 1e6)
        return sorted(found, reverse=True)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left of the group after ten seconds."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        end = time.monotonic() + 10
        while self._members() and time.monotonic() < end:
            time.sleep(0.05)
        if self._members():
            os.killpg(self._process.pid, signal.SIGKILL)

    def _members(self) -> list[str]:
        return [fields[-1] for fields in self._stats()]

    def _stats(self) -> Iterator[list[str]]:
        """The fields of /proc/PID/stat after the name, and the PID at the end, of each process of the group."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self._process.pid and fields[0] != "Z":
                yield [*fields, folder.name]


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
