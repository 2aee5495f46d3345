"""The follower of a bucket, for containers on bucket and table without the functions that S3 would tell of changes."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName

from elasticpypi.core.event import STORE, Who
from elasticpypi.core.keys import is_ignored
from elasticpypi.indexing import audit, heartbeat, sync
from elasticpypi.indexing.sync import Tell
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.contracts import Catalog

LEASE = "lease", "follower"  # kind and key of what may be lost
PAUSE = 60.0  # seconds between two listings of at most MANY keys; of more in proportion, so that the cost is the same
MANY = 10_000  # keys: ten calls of S3
WHOLE = 24 * 3600.0  # seconds between two comparisons with the whole table

log = logging.getLogger(__name__)


class Follower:
    """Keeps the table in step with the bucket, as the one container of several that has the lease for it."""

    def __init__(
        self,
        files: S3Files,
        index: DynamoIndex,
        catalog: Catalog,
        tell: Tell,
        claim: Callable[[str], None],
        beside: sync.Beside,
        state: Path,
        threads: int = 1,
    ) -> None:
        self._files, self._index, self._catalog = files, index, catalog
        self._tell, self._claim, self._beside = tell, claim, beside
        self._state, self._threads = state, threads
        self._me = secrets.token_bytes(8)
        self._known: audit.Known | None = None  # what the last listing had
        self._compared = 0.0
        self._failed: dict[str, str] = {}
        self.pause = PAUSE

    def follow(self, stop: threading.Event) -> None:
        """Until ``stop`` is set."""
        while not stop.is_set():
            reason = ""
            try:
                reason = self.look()
            except Exception as error:  # nobody else would keep the index in step
                log.error("The bucket cannot be followed, trying again in %.0f s: %s", self.pause, error)
                reason = f"The bucket cannot be followed: {error}"
            end = time.monotonic() + self.pause
            while not stop.is_set() and time.monotonic() < end:
                heartbeat.say(self._state, reason)
                stop.wait(heartbeat.OFTEN)

    def look(self) -> str:
        """One look at the listing, unless somebody else has the lease; "" or what could not be brought in.

        :class:`ConfigurationError` if the table is that of another bucket; then nothing is changed.
        """
        if self._known is None:
            self._claim("")  # first: who must not follow leaves the lease to others
        if not self._beside.state.claim(*LEASE, self._me, 3 * self.pause):
            self._known = None
            self._failed.clear()
            return ""
        keys = set(self._failed)
        known, self._known = self._known, None  # what fails on the way begins anew with everything
        stale: Iterator[NormalizedName] | None = None  # looked for with everything
        who: Who | None = STORE
        if known is None or time.monotonic() - self._compared > WHOLE:
            now, who = self._listed(), sync.put_by(self._index)
            keys.update(audit.changed_keys(self._files, self._index))
            self._compared, stale = time.monotonic(), self._catalog.stale()
        else:
            now = self._listed(known, keys)
            keys.update(self._gone(known))
            if keys:
                self._claim("")
        self._sync(keys, stale, who)
        self._known = now
        if who is None and not self._failed:
            self._index.mark_whole()
        if not self._failed:
            return ""
        key, reason = next(iter(self._failed.items()))
        return f"{len(self._failed)} files could not be brought in yet, {key!a} for one: {reason}"

    def _listed(self, known: audit.Known | None = None, differing: set[str] | None = None) -> audit.Known:
        """The bucket as it is listed now; keys that differ from what was ``known`` are added to ``differing``."""
        count = 0

        def pairs() -> Iterator[tuple[str, str, bool]]:
            nonlocal count
            for stat in self._files.list():
                count += 1
                if known and differing is not None and not known.has(stat.key, stat.revision):
                    differing.add(stat.key)
                yield stat.key, stat.revision, True

        now = audit.Known(pairs())
        self.pause = PAUSE * max(1.0, count / MANY)
        return now

    def _gone(self, known: audit.Known) -> Iterator[str]:
        """Keys of the table that the last listing had and this one has not, by a look at the whole table."""
        if known.unseen:
            for record in self._index.records():
                if known.is_unseen(record.key, record.revision):
                    yield record.key

    def _sync(self, keys: set[str], stale: Iterator[NormalizedName] | None, who: Who | None) -> None:
        outcomes = []
        options: Any = {"threads": self._threads, "who": who, "beside": self._beside}
        for outcome in sync.sync_all(self._files, self._index, sorted(keys), **options):
            outcomes.append(outcome)
            self._failed.pop(outcome.key, None)
            if outcome.action == "failed":
                self._failed[outcome.key] = outcome.reason
            if outcome.action in ("written", "removed"):
                log.info("%s: %s", outcome.action, outcome.key)
            elif outcome.reason and not is_ignored(outcome.key):
                log.warning("%s: %s: %s", outcome.action, outcome.key, outcome.reason)
            heartbeat.say(self._state, f"{len(keys)} files are being read." if len(keys) > 1 else "")
        if not outcomes and stale is None:
            return
        for name in self._tell(outcomes, also=stale or ()):
            self._failed[f"{name}.status"] = "Its entry for searches could not be made."  # any key of it will do
