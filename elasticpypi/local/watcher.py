"""The watcher that keeps the index in step with the folder of packages."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from elasticpypi import audit, sync
from elasticpypi.local.directory import DirectoryFiles
from elasticpypi.stores import Index

RETRY = 5.0  # seconds

log = logging.getLogger(__name__)


def watch(files: DirectoryFiles, index: Index, stop: threading.Event, done: Callable[[list[str]], None]) -> None:
    """Keep the index in step with the folder until ``stop`` is set; runs in a thread of its own.

    ``done`` is told which keys were looked at. Whatever happens to the folder or to the notices of the
    kernel: the watch begins anew, with a look at everything.
    """
    while not stop.is_set():
        try:
            _watch(files, index, stop, done)
        except Exception as error:  # nobody else would keep the index in step
            log.error("The folder of packages cannot be watched, trying again: %s", error)
            stop.wait(RETRY)


def _watch(files: DirectoryFiles, index: Index, stop: threading.Event, done: Callable[[list[str]], None]) -> None:
    from watchfiles import watch as changes_of

    root = files.root.absolute()
    identity = root.stat().st_ino
    everything = True  # what came before the kernel was told to watch
    # Quiet for 200 ms, so that a copy is seen when it is whole, but told of after 1 s in any case.
    notices = changes_of(
        root, stop_event=stop, debounce=1000, step=200, rust_timeout=1000, yield_on_timeout=True, watch_filter=None
    )
    for changes in notices:
        if root.stat().st_ino != identity:
            return  # another folder under the same name
        paths = (Path(path).relative_to(root) for _, path in changes)
        keys = {path.as_posix() for path in paths if not path.parts[0:1] or not path.parts[0].startswith(".")}
        if everything or any(isinstance(sync.meaning(key), str) for key in keys):
            # A folder that came or went may not be reported file by file.
            keys.update(audit.changed_keys(files, index))
            everything = False
        for outcome in sync.sync_all(files, index, sorted(keys)):
            if outcome.action in ("written", "removed"):
                log.info("%s: %s", outcome.action, outcome.key)
            elif outcome.reason and not isinstance(sync.meaning(outcome.key), str):
                log.warning("%s: %s: %s", outcome.action, outcome.key, outcome.reason)
        done(sorted(keys))
