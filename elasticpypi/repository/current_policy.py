"""The policy as it is now: the document is looked at again after a moment, and what is wrong with it is said."""

import logging
import time
from collections.abc import Callable

from elasticpypi.core.errors import BadPolicy, Unavailable
from elasticpypi.indexing.rulings import read
from elasticpypi.policy import Policy, parse
from elasticpypi.repository.current import Current
from elasticpypi.storage.contracts import Objects

DOCUMENT = "policy.toml"  # the key of what people write
LAST = "policy/last"  # that of the ruling which has the last one that was taken

log = logging.getLogger(__name__)


class CurrentPolicy(Current[Policy]):
    """The policy in ``objects``, which is looked at again after ``pause`` seconds: one stat, or one call of S3.

    As long as the document is wrong, or cannot be had, the last good one holds: of this process, else the last that
    was ever taken, else an empty one. ``trouble`` says why, "" if there is none.
    """

    def __init__(self, objects: Objects, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(objects, pause, clock)
        self._revision: str | None = None
        self.trouble = ""

    def check(self) -> None:
        """:class:`BadPolicy` if the document is wrong; a start is the time to say so."""
        found = self._objects.read(DOCUMENT)
        parse(found.body if found else b"")

    def _look(self) -> None:
        try:
            revision = self._objects.revision(DOCUMENT)
            if self._known is None or revision != self._revision:
                found = self._objects.read(DOCUMENT) if revision else None
                try:
                    self._known = parse(found.body if found else b"")
                    self._said("")
                except BadPolicy as error:
                    self._known = self._known or self._last()
                    self._said(f"{error} The last good policy holds.")
                self._revision = found.revision if found else None
        except Unavailable as error:
            if self._known is None:
                raise
            self._revision = ""  # look again, whatever is there then
            self._said(f"The policy cannot be read: {error} The last one holds.")

    def _last(self) -> Policy:
        try:
            return parse(read(self._objects, LAST).value)
        except BadPolicy:
            return Policy()

    def _said(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.error("%s", trouble)
        elif self.trouble and not trouble:
            log.info("The policy is right again.")
        self.trouble = trouble
