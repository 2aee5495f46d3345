"""What administrators decide about names, versions and digests. Each is an object of its own, and an event."""

import logging
from collections.abc import Callable
from dataclasses import replace

from packaging.utils import NormalizedName

from elasticpypi.accounts.permissions import Permission
from elasticpypi.accounts.principal import Actor
from elasticpypi.actions.decisions import reason_of
from elasticpypi.core import blocks, ruling
from elasticpypi.core.errors import AlreadyExists, BadUpload, Changed, Forbidden, NotFound, Unavailable
from elasticpypi.core.event import Event, new
from elasticpypi.core.ruling import NOTHING, Ruling
from elasticpypi.events import Events, note
from elasticpypi.indexing import blocks as indexed
from elasticpypi.indexing import names
from elasticpypi.services import Services

ATTEMPTS = 10

log = logging.getLogger(__name__)


def require(services: Services, actor: Actor, project: NormalizedName | None = None) -> None:
    """:class:`Forbidden` for everybody but administrators, which is an event."""
    try:
        services.permissions.require(actor.principal, Permission.ADMINISTER, project)
    except Forbidden as refusal:
        note(services.log, new("policy.refused", actor.who, project=project, reason=str(refusal)))
        raise


def block(services: Services, actor: Actor, what: str, reason: str) -> str:
    """Shut off a project, a release (``demo==1.0``) or some bytes (``sha256:...``); what is blocked, in one spelling.

    Pages, files, metadata and searches refuse it with the next request. Again: a new reason.
    """
    target = blocks.parse(what)
    require(services, actor, target.project)
    if not (said := reason_of(reason)):
        raise BadUpload("A block needs a reason: it is what everybody is told who asks for it.")
    return _block(services, actor, target, "policy.blocked", Ruling("blocked", said))


def unblock(services: Services, actor: Actor, what: str) -> str:
    """Take that back; :class:`NotFound` if it is not blocked."""
    target = blocks.parse(what)
    require(services, actor, target.project)
    if services.objects.revision(target.key) is None:
        raise NotFound(f"{target} is not blocked.")
    return _block(services, actor, target, "policy.unblocked", NOTHING)


def _block(services: Services, actor: Actor, target: blocks.Target, kind: str, said: Ruling) -> str:
    about = {"project": target.project, "version": target.version or None, "sha256": target.sha256 or None}

    def act() -> None:
        index = services.index
        of_it = {target.project} if target.project else indexed.of_digests(index, {target.sha256})
        for name in of_it:
            indexed.sync(services.objects, index, name)
        Events(*services.subscribers).tell([], actor, also=of_it)  # seldom, and searches have to know at once

    _rule(services, actor, target.key, said, new(kind, actor.who, reason=said.reason or None, **about), act)
    return str(target)


def give_back(services: Services, actor: Actor, name: NormalizedName) -> None:
    """A name that has no file any more is ours no longer; :class:`AlreadyExists` if it has one.

    :class:`NotFound` if it is not kept.
    """
    require(services, actor, name)
    project = services.index.project(name)
    if project and project.files:
        raise AlreadyExists(f"Files of {name!r} already exist in this index: delete them first.")
    if services.objects.revision(names.key_of(name)) is None:
        raise NotFound(f"The name {name!r} is not kept: it never had a file here.")
    record(services, new("policy.name_given_back", actor.who, project=name, before="ours", after="given back"))
    services.objects.remove(names.key_of(name))


def restore(services: Services, *, thorough: bool = False) -> list[str]:
    """Write what is missing beside the index and in it; a line for each.

    ``thorough``: look through the whole index for what has to go from it too.
    """
    objects, index = services.objects, services.index
    kept = [f"kept: the name {name}" for name in names.keep_all(objects, index)]
    return kept + [f"blocked again: {name}" for name in indexed.restore(objects, index, all_records=thorough)]


def record(services: Services, *events: Event) -> None:
    """Record events for good; :class:`Unavailable` if that cannot be done now: then nothing else is done either."""
    if services.log:
        services.log.append(events)


def _rule(
    services: Services, actor: Actor, key: str, said: Ruling, event: Event, project: Callable[[], object]
) -> bool:
    """Have ``said`` hold from now on, and call ``project``, which makes it act; False if it held already.

    Whoever got no answer does the same again: then it acts, and its event is recorded, if it is not yet.
    """
    for _ in range(ATTEMPTS):
        found = services.objects.read(key)
        was = ruling.load(found.body) if found else NOTHING
        same = was.value == said.value and (was.reason == said.reason or not said.value)
        told = was.event if same else replace(event, before=was.value or None, after=said.value or None)
        if not same:
            by = replace(said, by=actor.user, at=f"{event.time[:19]}Z", event=told)
            try:
                services.objects.write(key, ruling.dump(by), found.revision if found else None)
            except Changed:
                continue
        project()
        if told:
            record(services, told)
        return not same
    raise Unavailable(f"{key!r} is being decided by too many at once: try again.")
