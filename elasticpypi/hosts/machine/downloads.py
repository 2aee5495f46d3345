"""Who fetched which file: noted in a moment, written beside the requests.

A request only leaves its path, user and address. A thread of the worker looks at them, and writes what is new today.
The end of the worker does it once more. What is lost when a process is killed stays lost.
"""

import logging
import threading
import time
from collections import deque
from datetime import UTC, date, datetime
from multiprocessing.util import Finalize

from packaging.utils import canonicalize_version

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.filename import parse_stored
from elasticpypi.storage.contracts import Downloads, Fetched

PATHS = {"upstream": ("/upstream/",), "all": ("/upstream/", "/packages/"), "none": ()}  # by the setting DOWNLOADS
EVERY = 3.0  # seconds between two looks
WAITING = 50_000  # requests that wait for one; of more, the oldest are lost
KNOWN = 100_000  # that a worker remembers to have written today

log = logging.getLogger(__name__)

Noted = tuple[str, str, str]  # the path as WSGI has it, the user, the address


class Recorder:
    """Takes what was fetched, from any thread, and has it in ``store`` after a moment."""

    def __init__(self, store: Downloads) -> None:
        self._store = store
        self._waiting: deque[Noted] = deque(maxlen=WAITING)
        self._lock = threading.Lock()
        self._day: date | None = None
        self._known: set[Noted] = set()
        self._trouble = ""

    def __call__(self, path: str, user: str, address: str) -> None:
        """A request was answered with a file."""
        self._waiting.append((path, user, address))

    def begin(self) -> None:
        """In the process that answers: write now and then, and at its end."""
        Finalize(None, self.write, exitpriority=10)
        threading.Thread(target=self._follow, daemon=True, name="records downloads").start()

    def _follow(self) -> None:
        while True:
            time.sleep(EVERY)
            self.write()

    def write(self) -> None:
        """Write what waits, except what was written today."""
        with self._lock:
            today = datetime.now(UTC).date()
            if today != self._day or len(self._known) > KNOWN:
                self._day, self._known = today, set()
            new = {self._waiting.popleft() for _ in range(len(self._waiting))} - self._known
            if not new:
                return
            try:
                self._store.add(today, filter(None, map(_fetched, new)))
                self._known |= new
                self._trouble = ""
            except Unavailable as error:
                if not self._trouble:
                    log.warning("Who fetches files is not recorded now: %s", error)
                self._trouble = str(error)


def _fetched(noted: Noted) -> Fetched | None:
    """None for what is no file, such as its metadata."""
    path, user, address = noted
    _, kind, *rest, filename = path.encode("latin-1", "replace").decode("utf-8", "replace").split("/")
    named = parse_stored(filename)
    if named is None:
        return None
    index = rest[0] if kind == "upstream" and rest else ""
    return Fetched(named.project, canonicalize_version(str(named.version)), filename, index, user, address)
