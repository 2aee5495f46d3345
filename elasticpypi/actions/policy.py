"""What administrators decide about names, versions and digests. Each is an object of its own, and an event."""

import time
from collections.abc import Callable, Iterable

from packaging.utils import NormalizedName, canonicalize_name

from elasticpypi.accounts.permissions import Permission
from elasticpypi.accounts.principal import Actor
from elasticpypi.actions.decisions import reason_of
from elasticpypi.core import blocks, exemptions, moments
from elasticpypi.core.errors import AlreadyExists, BadUpload, Forbidden, NotFound
from elasticpypi.core.event import new
from elasticpypi.core.ruling import NOTHING, Ruling
from elasticpypi.events import Events, note
from elasticpypi.indexing import blocks as indexed
from elasticpypi.indexing import names
from elasticpypi.indexing.rulings import read, rule
from elasticpypi.repository.rulings import ORIGINS as ORIGIN_FOLDER
from elasticpypi.services import Services

ORIGINS = "private", "upstream", "both", "denied"
UNSET = "unset"
PAGE = 100  # decisions of a list


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

    event = new(kind, actor.who, reason=said.reason or None, **about)
    rule(services.objects, services.log, target.key, said, event, act)
    return str(target)


def exempt(services: Services, actor: Actor, release: str, until: str, reason: str) -> tuple[str, str]:
    """Let a release of another index (``demo==1.0``) be seen before its time; it, and the end, each in one spelling.

    ``until`` is a day or a moment. It acts within a second. Again: another end, another reason.
    """
    target = exemptions.parse(release)
    require(services, actor, target.project)
    end = exemptions.end(until, time.time())
    if not (said := reason_of(reason)):
        raise BadUpload("An exemption needs a reason: it is what everybody is told who asks why the release is there.")
    _exempt(services, actor, target, "policy.exempted", Ruling(end, said))
    return str(target), end


def unexempt(services: Services, actor: Actor, release: str) -> str:
    """Take that back; :class:`NotFound` if it is not exempt."""
    target = exemptions.parse(release)
    require(services, actor, target.project)
    if services.objects.revision(target.key) is None:
        raise NotFound(f"{target} is not exempt.")
    _exempt(services, actor, target, "policy.unexempted", NOTHING)
    return str(target)


def _exempt(services: Services, actor: Actor, target: exemptions.Target, kind: str, said: Ruling) -> None:
    event = new(kind, actor.who, project=target.project, version=target.version, reason=said.reason or None)
    rule(services.objects, services.log, target.key, said, event)


def follow(services: Services, keys: Iterable[str]) -> list[NormalizedName]:
    """Decisions were written to the store: bring them to where they act; the projects for which that failed."""
    targets = list(filter(None, map(blocks.of_key, keys)))
    of_it = {target.project for target in targets if target.project}
    if digests := {target.sha256 for target in targets if target.sha256}:
        of_it |= indexed.of_digests(services.index, digests)
    for name in of_it:  # also where a block is gone, which its subscriber does not look for
        indexed.sync(services.objects, services.index, name)
    return services.events.tell([], also=of_it)


def disown(services: Services, actor: Actor, name: NormalizedName) -> None:
    """Let go of the name of a project that has no file any more; :class:`AlreadyExists` if it has one.

    :class:`NotFound` if it is not kept.
    """
    require(services, actor, name)
    project = services.index.project(name)
    if project and project.files:
        raise AlreadyExists(f"Files of {name!r} already exist in this index: delete them first.")
    if services.objects.revision(names.key_of(name)) is None:
        raise NotFound(f"The name {name!r} is not kept: it never had a file here.")
    event = new("policy.name_disowned", actor.who, project=name)
    rule(services.objects, services.log, names.key_of(name), Ruling(names.NOT_OURS), event)
    services.objects.remove(names.key_of(name))


def set_origin(services: Services, actor: Actor, name: NormalizedName, origin: str, reason: str = "") -> None:
    """Say where a name comes from, whatever the document says; ``unset``: as it does again."""
    require(services, actor, name)
    if origin not in (*ORIGINS, UNSET):
        raise BadUpload(f"An origin is {', '.join(ORIGINS)} or {UNSET}; {origin[:40]!r} is none of these.")
    said = NOTHING if origin == UNSET else Ruling(origin, reason_of(reason))
    event = new("policy.origin_changed", actor.who, project=name, reason=said.reason or None)
    rule(services.objects, services.log, f"{ORIGIN_FOLDER}{name}", said, event)


def origin(services: Services, name: NormalizedName) -> Ruling:
    """What was said of a name by :func:`set_origin`."""
    return read(services.objects, f"{ORIGIN_FOLDER}{name}")


def listed(services: Services, actor: Actor, kind: str, after: str = "") -> tuple[list[dict[str, str]], str | None]:
    """What administrators decided and holds now: ``blocks``, ``origins`` or ``exemptions``, a hundred at most.

    Each says what it is about, what holds, why, by whom and since when. The second is what to give as ``after`` for
    the next ones, None at the end.
    """
    require(services, actor)
    folder, name_of, about, value = KINDS[kind]
    keys = [key for key in services.objects.keys(folder) if key > f"{folder}{after}"]
    found = []
    for key in keys[:PAGE]:
        said, name = read(services.objects, key), name_of(key)
        if name and said.value and not (kind == "exemptions" and _is_over(said.value)):
            what = {about: str(name), **({value: said.value} if value else {})}
            found.append({**what, "reason": said.reason, "by": said.by, "at": said.at})
    return found, keys[PAGE - 1].removeprefix(folder) if len(keys) > PAGE else None


def _is_over(end: str) -> bool:
    return exemptions.is_end(end) and moments.seconds_of(end) <= time.time()


def _origin_of(key: str) -> str:
    return canonicalize_name(key.removeprefix(ORIGIN_FOLDER))


# Where the decisions of a kind lie, what one is about, and how that and what holds are called.
KINDS: dict[str, tuple[str, Callable[[str], object], str, str]] = {
    "blocks": (blocks.FOLDER, blocks.of_key, "what", ""),
    "origins": (ORIGIN_FOLDER, _origin_of, "project", "origin"),
    "exemptions": (exemptions.FOLDER, exemptions.of_key, "release", "until"),
}


def restore(services: Services, *, thorough: bool = False) -> list[str]:
    """Write what is missing beside the index and in it; a line for each.

    ``thorough``: look through the whole index for what has to go from it too.
    """
    from elasticpypi.actions.policy_document import note_edited

    objects, index = services.objects, services.index
    note_edited(objects, services.log)
    kept = [f"kept: the name {name}" for name in names.keep_all(objects, index)]
    return kept + [f"blocked again: {name}" for name in indexed.restore(objects, index, all_records=thorough)]
