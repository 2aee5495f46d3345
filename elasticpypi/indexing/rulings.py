"""The one way of a ruling into the store, with exactly one event."""

from collections.abc import Callable
from dataclasses import replace

from elasticpypi.core import ruling
from elasticpypi.core.errors import Changed, Unavailable
from elasticpypi.core.event import Event
from elasticpypi.core.ruling import NOTHING, Ruling
from elasticpypi.storage.contracts import EventLog, Objects

ATTEMPTS = 10


def read(objects: Objects, key: str) -> Ruling:
    """What holds under a key; :data:`NOTHING` if nothing was ever decided."""
    found = objects.read(key)
    return ruling.load(found.body) if found else NOTHING


def rule(
    objects: Objects,
    log: EventLog,
    key: str,
    said: Ruling,
    event: Event,
    act: Callable[[], object] = lambda: None,
) -> bool:
    """Have ``said`` hold from now on, and call ``act``, which brings it to where it acts; False if it held already.

    ``event`` tells of it, with what held before and what holds now. Whoever got no answer does the same again: then it
    acts, and its event is recorded, if it is not yet. :class:`Unavailable` if one of these cannot be done now.
    """
    for _ in range(ATTEMPTS):
        found = objects.read(key)
        was = ruling.load(found.body) if found else NOTHING
        same = was.value == said.value and (was.reason == said.reason or not said.value)
        told = was.event if same else replace(event, before=was.value or None, after=said.value or None)
        if not same:
            made = replace(said, by=event.who.name, at=f"{event.time[:19]}Z", event=told)
            try:
                objects.write(key, ruling.dump(made), found.revision if found else None)
            except Changed:
                continue
        act()
        if told:
            log.append([told])
        return not same
    raise Unavailable(f"{key!r} is being decided by too many at once: try again.")
