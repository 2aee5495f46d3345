"""The advisories as they are now: their table is looked at again after a moment, and read when it is another one."""

import logging
import time
from collections.abc import Callable

from elasticpypi.core import advisories
from elasticpypi.core.advisories import KEY, NONE, Advisories, BadTable
from elasticpypi.core.errors import Unavailable
from elasticpypi.repository.current_policy import Current
from elasticpypi.storage.contracts import Objects

DAY = 24 * 3600.0

log = logging.getLogger(__name__)


class CurrentAdvisories(Current[Advisories]):
    """The table in ``objects``, which is looked at again after ``pause`` seconds: one stat, or one call of S3.

    As long as it cannot be read, the last good one holds. ``clock`` gives seconds that only grow.
    """

    def __init__(self, objects: Objects, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(objects, pause, clock)
        self._revision: str | None = None
        self._damage = self._away = ""
        self._told = ("", float("-inf"))

    def warning(self) -> str:
        """What administrators should know of them: a sentence, "" if there is nothing."""
        try:
            self()
        except Unavailable as error:
            return f"The advisories cannot be read: {error}"
        return self._warning()

    def _warning(self) -> str:
        about = self._known.about if self._known else None
        return self._away or self._damage or (advisories.too_old(about, time.time()) if about else "")

    def _look(self) -> None:
        self._read()
        self._say()

    def _read(self) -> None:
        self._away = ""
        try:
            if self._known is not None and self._objects.revision(KEY) == self._revision:
                return
            found = self._objects.read(KEY)
            self._revision = found.revision if found else None
            self._known = advisories.load(found.body) if found else NONE
            self._damage = ""
        except BadTable as error:
            self._known = self._known or NONE
            self._damage = str(error)
        except Unavailable as error:
            if self._known is None:
                raise
            self._away = f"The advisories cannot be read: {error} The last ones hold."

    def _say(self) -> None:
        """A line in the log, of each trouble once a day."""
        said = self._warning()
        if said and (said != self._told[0] or self._clock() >= self._told[1] + DAY):
            log.warning("%s", said)
            self._told = said, self._clock()
