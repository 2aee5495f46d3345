"""A ruling: what an administrator decided about one name, version or digest. One small JSON object for each.

It holds the event that tells of it, so that whoever finds that the event was never recorded can do so, once. A ruling
that was taken back stays as one without a value: nobody who decides at the same moment can be lost.
"""

import json
from dataclasses import dataclass

from elasticpypi.core import event
from elasticpypi.core.event import Event


@dataclass(frozen=True, slots=True)
class Ruling:
    """``value`` is what holds (``blocked``, ``private`` ...), "" once it was taken back; ``at`` is UTC."""

    value: str
    reason: str = ""
    by: str = ""
    at: str = ""
    event: Event | None = None


NOTHING = Ruling("")
UNREADABLE = Ruling("unreadable", "The decision cannot be read: an administrator has to make it again.")


def dump(ruling: Ruling) -> bytes:
    """A ruling → the content of its object."""
    fields = {name: getattr(ruling, name) for name in ("value", "reason", "by", "at")}
    told = ruling.event.as_dict() if ruling.event else None
    return json.dumps({**fields, "event": told}, ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n"


def load(body: bytes) -> Ruling:
    """The content of an object → the ruling. What cannot be read is :data:`UNREADABLE`, and holds."""
    try:
        fields = json.loads(body)
        value, reason, by, at = (fields.get(name, "") for name in ("value", "reason", "by", "at"))
        if not all(isinstance(text, str) for text in (value, reason, by, at)):
            return UNREADABLE
        told = fields.get("event")
        return Ruling(value, reason, by, at, event.load(json.dumps(told)) if told else None)
    except (ValueError, AttributeError):
        return UNREADABLE
