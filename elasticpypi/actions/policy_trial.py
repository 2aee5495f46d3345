"""What a policy would hide of other indexes that can be seen now, and the other way round, before it holds (REQ-U56).

Nobody is asked for anything: it is about kept pages of projects that somebody asked for of late.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from packaging.utils import NormalizedName
from packaging.version import Version

from elasticpypi.accounts.principal import Actor
from elasticpypi.actions.policy import require
from elasticpypi.core.errors import ConfigurationError
from elasticpypi.core.model import File, Held
from elasticpypi.core.moments import text_of
from elasticpypi.core.upstream import UpstreamPage
from elasticpypi.policy import Policy, parse
from elasticpypi.repository.first_match import FirstMatch
from elasticpypi.services import Services

DAYS = 30
STRICTER = (
    'where of [cooldown] is "index" now, and would be "everywhere": what is held could not be had by its exact address '
    "any more, so lock files that name some of it would fail."
)


@dataclass(frozen=True, slots=True)
class Effect:
    """What becomes of a project: so many files are ``hidden`` that are seen now, so many ``shown`` that are not.

    ``newest`` is the newest version of which one is hidden, ``until`` when and ``reason`` why, "" if none is.
    """

    name: str
    hidden: int
    shown: int
    newest: str = ""
    until: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """``asked`` is how many projects were asked for in the last ``days``; ``projects`` are those that would change."""

    days: int
    asked: int
    projects: tuple[Effect, ...]
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _View:
    """What is seen of a project by name; of the rest why it is not, or why nothing is."""

    files: dict[str, File]
    held: dict[str, Held]
    closed: str = ""


def tried(services: Services, actor: Actor, document: bytes) -> Trial:
    """What a policy document would change; :class:`BadPolicy` if it is wrong."""
    require(services, actor)
    new = parse(document)
    first_match, upstreams = services.first_match, services.upstreams
    if first_match is None or upstreams is None:
        raise ConfigurationError("Other indexes are not asked here, so there is nothing to try.")
    old = services.policy()
    since = time.time() - DAYS * 86400
    names = sorted({name for upstream in upstreams() for name in upstream.asked_since(since)})
    known = {upstream.name: upstream for upstream in upstreams()}
    order = upstreams.names(new)
    effects = []
    for name in names:
        pages = {index: page for index, upstream in known.items() if (page := upstream.kept_page(name))}
        before = _view(first_match, name, old, [*known], pages)
        after = _view(first_match, name, new, order, pages)
        if before.files.keys() != after.files.keys():
            effects.append(_effect(name, before, after))
    warnings = [
        f"The index {index!r} is not asked now: what it has is not known." for index in order if index not in known
    ]
    if (old.cooldown.where, new.cooldown.where) == ("index", "everywhere"):
        warnings.append(STRICTER)
    return Trial(DAYS, len(names), tuple(effects), tuple(warnings))


def _view(
    first_match: FirstMatch,
    name: NormalizedName,
    policy: Policy,
    order: Sequence[str],
    pages: dict[str, UpstreamPage],
) -> _View:
    """What would be seen of a project: the first index that has it answers for it alone."""
    where = first_match.origin(name, policy)
    if where.where not in ("upstream", "both"):
        return _View({}, {}, where.rule)
    page = next((pages[index] for index in order if index in pages), None)
    if page is None:
        return _View({}, {}, "No index that is asked then is known to have it.")
    found = first_match.judged(page, policy)
    held = {each.file.filename: each for each in found.held}
    return _View({file.filename: file for file in found.visible}, held, found.closed)


def _effect(name: NormalizedName, before: _View, after: _View) -> Effect:
    hidden = before.files.keys() - after.files.keys()
    shown = len(after.files.keys() - before.files.keys())
    if not hidden:
        return Effect(name, 0, shown)
    newest = max(hidden, key=lambda filename: (Version(before.files[filename].version), filename))
    held = after.held.get(newest)
    until = None if held is None or held.until is None else f"{text_of(held.until)[:19]}Z"
    reason = held.reason if held else after.closed or "The index that answers for it then has no such file."
    return Effect(name, len(hidden), shown, before.files[newest].version, until, reason)
