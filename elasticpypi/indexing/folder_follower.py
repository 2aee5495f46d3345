"""The follower of the folder of packages: whatever happens to either, the index equals the folder again."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import STORE, Who
from elasticpypi.core.keys import is_ignored
from elasticpypi.core.outcome import Outcome
from elasticpypi.indexing import audit, heartbeat, sync
from elasticpypi.indexing.sync import Tell
from elasticpypi.storage.contracts import Catalog
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex

LOOK = 30.0  # seconds between two looks at everything
SHARE = 50  # times as long as a look takes, nothing is looked at
LATEST = 60.0  # seconds until a change is seen that the kernel did not tell of, where a look takes 15 s at most
LEAST_SHARE = 2  # times as long as a longer look takes, nothing is looked at
SELDOM = 300.0  # seconds between two looks at most
RETRY = 5.0  # seconds until the next look after one that failed

log = logging.getLogger(__name__)


def rest(took: float, *, failed: bool = False) -> float:
    """Seconds until the next look at everything, after one that ``took`` so many; ``failed``: not all came in."""
    least, share = (RETRY, RETRY) if failed else (LOOK, SHARE)
    latest = max(LATEST - 2 * took, LEAST_SHARE * took)  # a change that just misses a look waits for the end of two
    return min(max(least, share * took), latest, SELDOM)


class Follower:
    """Keeps ``index`` in step with ``files``, and tells of it; one process at a time does that."""

    def __init__(
        self,
        files: DirectoryFiles,
        index: SQLiteIndex,
        catalog: Catalog,
        tell: Tell,
        data: Path,
        beside: sync.Beside | None = None,
    ) -> None:
        self._files = files
        self._index = index
        self._catalog = catalog
        self._tell_of = tell
        self._beside = beside
        self._state = data / heartbeat.FILE
        self._said: tuple[str, float] = ("", 0.0)
        self._logged: set[str] = set()  # what the log says already, of what goes on
        self._left_out: dict[str, str] = {}  # keys that cannot be indexed, and of which revision that is
        self._failed: dict[str, str] = {}  # keys, and why
        self._trouble = ""  # why the kernel tells nothing, if it does not
        self._took = 0.0

    def look(self, announce: Callable[[int], None] = lambda _: None) -> None:
        """Look at everything, reading only what differs; ``announce`` is told how many keys that are.

        :class:`Unavailable` if the folder or the index cannot be read.
        """
        begin = time.monotonic()
        self._behind(self._reason())  # a start is told at once
        self._index.make()  # if somebody removed it
        self._failed.clear()
        keys, who = list(self._differing()), sync.put_by(self._index)
        self._took = time.monotonic() - begin
        announce(len(keys))
        self._sync(keys, who)
        self._tell_of([], also=self._catalog.stale())
        if who is None:
            self._index.mark_whole()
        self._files.remove_leftovers()

    def follow(self, stop: threading.Event) -> None:
        """Until ``stop`` is set: look at everything, and then for some time at what the kernel tells of."""
        while not stop.is_set():
            try:
                self._watch(stop)
                if not self._failed:
                    self._logged.clear()
            except Exception as error:  # nobody else would keep the index in step
                pause = max(RETRY, RETRY * self._took)
                self._trouble = (
                    f"The folder of packages is looked at every {pause:.0f} s, it cannot be watched: {error}"
                )
                self._once("%s", self._trouble)
                self._behind(self._trouble)
                with suppress(Exception):
                    self.look()
                stop.wait(pause)

    def _watch(self, stop: threading.Event) -> None:
        """One look at everything, and the changes until the next one."""
        from watchfiles import watch as changes_of

        folders = {folder.absolute() for folder in self._files.folders()}
        end: float | None = None
        # Quiet for 200 ms, so that a copy is seen when it is whole, but told of after 1 s in any case.
        notices = changes_of(
            *folders,
            stop_event=stop,
            debounce=1000,
            step=200,
            rust_timeout=1000,
            yield_on_timeout=True,
            watch_filter=None,
            recursive=False,  # a folder that may not be read would end it all
        )
        with closing(notices):
            for changes in notices:
                if end is None:  # what came before the kernel was told to watch
                    self._trouble = ""
                    self.look()
                    end = time.monotonic() + rest(self._took, failed=bool(self._failed))
                paths = {Path(path) for _, path in changes}
                if self._is_another(folders, paths):
                    return
                self._sync(self._keys(paths))
                self._behind(self._reason())
                if time.monotonic() >= end:
                    return

    def _is_another(self, folders: set[Path], changed: set[Path]) -> bool:
        """Whether folders came or went: the kernel has to be told to watch others."""
        return any(path in folders or path.is_dir() for path in changed if not path.name.startswith("."))

    def _keys(self, paths: Iterable[Path]) -> list[str]:
        keys = (path.relative_to(self._files.root.absolute()).as_posix() for path in paths)
        return sorted(key for key in keys if not is_ignored(key))

    def _differing(self) -> Iterator[str]:
        for key, revision in audit.changed(self._files, self._index):
            if self._left_out.get(key) != revision:
                yield key

    def _sync(self, keys: list[str], who: Who | None = STORE) -> None:
        outcomes = []
        for outcome in sync.sync_all(self._files, self._index, keys, who=who, beside=self._beside):
            outcomes.append(outcome)
            self._note(outcome)
            self._behind(self._reason() or (f"{len(keys)} files are being read." if len(keys) > 1 else ""))
        self._tell_of(outcomes)

    def _note(self, outcome: Outcome) -> None:
        key = outcome.key
        self._failed.pop(key, None)
        self._left_out.pop(key, None)
        if outcome.action in ("written", "removed"):
            log.info("%s: %s", outcome.action, key)
        elif outcome.action == "failed":
            self._failed[key] = outcome.reason
            self._once("failed: %s: %s", ascii(key), outcome.reason)
        elif outcome.reason:
            with suppress(Unavailable):
                if stat := self._files.stat(key):
                    self._left_out[key] = stat.revision
            self._once("left out: %s: %s", ascii(key), outcome.reason)

    def _once(self, text: str, *values: str) -> None:
        if (line := text % values) not in self._logged:
            self._logged.add(line)
            log.warning("%s", line)

    def _reason(self) -> str:
        if self._trouble or not self._failed:
            return self._trouble
        key, reason = next(iter(self._failed.items()))
        return f"{len(self._failed)} files could not be brought in yet, {key!a} for one: {reason}"

    def _behind(self, reason: str) -> None:
        """Say "" or why the index may differ from the folder; at least every few seconds, so that others know."""
        now = time.monotonic()
        said, at = self._said
        if reason != said or now - at >= RETRY:
            self._said = reason, now
            heartbeat.say(self._state, reason)
