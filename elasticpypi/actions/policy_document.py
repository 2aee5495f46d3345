"""The policy document: read, compared, replaced as a whole, and told of as an event."""

import difflib

from elasticpypi.accounts.principal import STORE, Actor
from elasticpypi.actions.policy import require
from elasticpypi.core.distribution import sha256
from elasticpypi.core.errors import BadPolicy, Changed, Outdated, Unconditional
from elasticpypi.core.event import new
from elasticpypi.core.ruling import Ruling
from elasticpypi.indexing.rulings import read as ruling_of
from elasticpypi.indexing.rulings import rule
from elasticpypi.policy import parse
from elasticpypi.repository.current_policy import DOCUMENT, LAST
from elasticpypi.services import Services
from elasticpypi.storage.contracts import EventLog, Objects

EMPTY = "# There is no policy yet: docs/operate.md has one by example.\n"
ANY = "*"


def read(services: Services, actor: Actor) -> tuple[str, str]:
    """The document as it is, right or wrong, and its tag; one that is not there is empty."""
    require(services, actor)
    found = services.objects.read(DOCUMENT)
    text = found.body.decode("utf-8", "replace") if found else ""
    return text, tag(text)


def tag(text: str) -> str:
    """What differs whenever the document does."""
    return sha256(text.encode())[:32]


def difference(before: str, after: str) -> str:
    """What changes, line by line, as diff -u shows it; "" if nothing does."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "policy of now", "new policy", lineterm="")
    return "\n".join(lines)


def apply(services: Services, actor: Actor, document: bytes, known: str | None) -> tuple[bool, str]:
    """Replace the document of the tag ``known`` ("*": whatever it is); whether it changed, and the new tag.

    It acts within a second in all processes. :class:`BadPolicy` if it is wrong, :class:`Unconditional` without
    ``known``, :class:`Outdated` if somebody else was faster.
    """
    require(services, actor)
    parse(document)
    if known is None:
        raise Unconditional("Say which policy you replace: send If-Match with the ETag that GET /policy gave you.")
    found = services.objects.read(DOCUMENT)
    before = found.body.decode("utf-8", "replace") if found else ""
    text = document.decode()
    if text != before:
        if known not in (ANY, tag(before)):
            raise _outdated()
        try:
            services.objects.write(DOCUMENT, document, found.revision if found else None)
        except Changed:
            raise _outdated() from None
    # Also where it is there already: whoever got no answer does it again, and its event may be missing.
    return _told(services.objects, services.log, actor, text), tag(text)


def note_edited(objects: Objects, log: EventLog) -> bool:
    """A document that was edited in the store is told of too, by nobody's name, if it is right; whether one was."""
    found = objects.read(DOCUMENT)
    try:
        parse(found.body if found else b"")
    except BadPolicy:
        return False
    text = found.body.decode() if found else ""
    return text != last(objects) and _told(objects, log, STORE, text)


def last(objects: Objects) -> str:
    """The last document that was taken."""
    return ruling_of(objects, LAST).value


def _told(objects: Objects, log: EventLog, actor: Actor, text: str) -> bool:
    return rule(objects, log, LAST, Ruling(text), new("policy.changed", actor.who))


def _outdated() -> Outdated:
    return Outdated("Somebody else has changed the policy since you read it: read it again, and apply yours to that.")
