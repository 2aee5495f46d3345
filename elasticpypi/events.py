"""What happened, and who is told of it.

Actions, followers, functions and commands hand the outcomes of what they did to one :class:`Events`, which tells its
subscribers. Which there are is a matter of the process (``wiring.py``): one that answers requests has none that take
long, since the follower, or an event of the bucket, tells of the same keys a moment later.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from secrets import token_bytes
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName

from elasticpypi.accounts.principal import STORE, Actor
from elasticpypi.core.errors import Refusal
from elasticpypi.core.event import STORE as NOBODY
from elasticpypi.core.event import Event, Who, new
from elasticpypi.core.keys import IgnoredKey, parse
from elasticpypi.core.outcome import Outcome
from elasticpypi.storage.contracts import EventLog, State

if TYPE_CHECKING:
    from elasticpypi.core.model import Held

FAILED_LOGIN = "login.failed"  # a kind of what may be lost
QUIET = 60  # seconds between two events of a user and an address
BLOCKED, YEARS = "upstream.blocked", 10 * 365 * 86400.0

log = logging.getLogger(__name__)


def note(lasting: EventLog, *events: Event) -> None:
    """Record events now. If that cannot be done, the log says so; those of a change are in the outbox all the same."""
    if not events:
        return
    try:
        lasting.append(events)
    except Refusal as error:
        for event in events:
            log.error("An event cannot be recorded now (%s): %s", error, event.line())


def note_failed_login(lasting: EventLog, state: State | None, name: str, address: str, reason: str) -> None:
    """Somebody tried in vain to be ``name``, "" if that is nobody: one event a minute, where there is a ``state``."""
    with suppress(Refusal):
        if state and not state.claim(FAILED_LOGIN, f"{name} {address}", token_bytes(8), QUIET):
            return
    note(lasting, new("login.failed", Who(name or "unknown", "nothing", address), reason=reason))


def notes_malware(lasting: EventLog, state: State) -> "Callable[[Held], None]":
    """What records that a file of another index is shut off by a record of malware: once per record and project."""
    told: set[str] = set()

    def note_once(held: "Held") -> None:
        file, key = held.file, f"{held.advisory} {held.file.project}"
        if key in told:
            return
        who = replace(NOBODY, name=getattr(file, "index", NOBODY.name), through="upstream")
        about = {"project": file.project, "version": file.version, "filename": file.filename, "sha256": file.sha256}
        try:
            if state.add(BLOCKED, key, 1, YEARS) == 1:
                try:
                    lasting.append([new(BLOCKED, who, reason=held.reason, after=held.advisory, **about)])
                except Refusal:
                    state.remove(BLOCKED, key)
                    raise
            told.add(key)
        except Refusal as error:  # nobody waits for a page in vain since its events cannot be written
            log.warning("%s", error)

    return note_once


@dataclass(frozen=True, slots=True)
class Change:
    """Some outcomes, and who caused them. ``projects`` are theirs, and others that have to be looked at again."""

    outcomes: Sequence[Outcome]
    actor: Actor
    projects: Sequence[NormalizedName]


Subscriber = Callable[[Change], Iterable[NormalizedName]]  # gives the projects for which it failed


class Events:
    """Whom to tell of changes."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = subscribers

    def tell(
        self, outcomes: Iterable[Outcome], actor: Actor = STORE, *, also: Iterable[NormalizedName] = ()
    ) -> list[NormalizedName]:
        """Tell all subscribers of outcomes, and of projects that have ``also`` to be looked at again.

        The projects for which one of them failed, and of which it is to be told once more.
        """
        listed = list(outcomes)
        projects = dict.fromkeys(
            [*(key.project for outcome in listed if not isinstance(key := parse(outcome.key), IgnoredKey)), *also]
        )
        change = Change(listed, actor, tuple(projects))
        failed = (name for subscriber in self._subscribers for name in subscriber(change))
        return list(dict.fromkeys(failed))
