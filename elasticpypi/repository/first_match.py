"""Own projects first, then what other indexes have, as the policy allows it (REQ-U01 to U09, U73).

Where a name comes from is decided before anything else: nobody is asked for a name that is ours. What another index
has is seen through the verdict on its page, which is the same for the page and for each file.
"""

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName
from packaging.version import Version

from elasticpypi.accounts.permissions import Permission, Permissions
from elasticpypi.accounts.principal import Principal
from elasticpypi.core.errors import Blocked, NotFound
from elasticpypi.core.event import Event
from elasticpypi.core.model import File, Project
from elasticpypi.core.upstream import UpstreamFile, project_of
from elasticpypi.policy import Policy
from elasticpypi.repository.base import Repository, State
from elasticpypi.repository.rulings import Rulings
from elasticpypi.repository.transfers import Places
from elasticpypi.repository.upstream import About, Upstream
from elasticpypi.repository.verdict import Origin, Verdict, merged, origin, verdict
from elasticpypi.storage.contracts import IndexReader

if TYPE_CHECKING:
    from elasticpypi.core.about import About as Facts

LOOK = 0.2  # seconds between two looks at what was decided
VERDICTS = 500  # that are remembered
OWN = "private", "none", "both"  # origins of names whose own files are served

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """A project of another index as it is seen now."""

    upstream: Upstream
    about: About
    verdict: Verdict


class FirstMatch:
    """:class:`~elasticpypi.repository.base.Repository` over ``own`` and other indexes, which are asked in their order.

    ``upstreams`` gives these, ``ours`` tells whether a name ever had a file here; ``clock`` gives seconds since 1970.
    """

    def __init__(
        self,
        own: Repository,
        index: IndexReader,
        permissions: Permissions,
        upstreams: Callable[[], tuple[Upstream, ...]],
        policy: Callable[[], Policy],
        rulings: Callable[[], Rulings],
        ours: Callable[[NormalizedName], bool],
        places: Places,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._own, self._index, self._permissions = own, index, permissions
        self._upstreams, self._policy, self._rulings, self._ours = upstreams, policy, rulings, ours
        self._clock = clock
        self._places = places
        self._lock = Lock()
        self._look, self._changes, self._mark = 0.0, 0, b""
        self._decided: tuple[Policy | None, Rulings | None] = None, None
        self._verdicts: OrderedDict[NormalizedName, tuple[tuple[object, ...], float, Verdict]] = OrderedDict()

    def state(self, reader: Principal, name: NormalizedName | None) -> State | None:
        own = self._own.state(reader, name)
        if name is None or not self._upstreams():
            return own
        where = self.origin(name)
        if where.where in ("private", "none"):
            return own or _empty(where)
        if where.where == "denied":
            return _empty(where)
        theirs = self._seen(reader, name)
        if theirs is None:
            return own if where.where == "both" else None
        return _both(own, _state(theirs)) if own and where.where == "both" else _state(theirs)

    def projects(self, reader: Principal) -> tuple[State, list[NormalizedName]]:
        return self._own.projects(reader)

    def project(self, reader: Principal, name: NormalizedName) -> tuple[State, Project] | None:
        if not self._upstreams():
            return self._own.project(reader, name)
        where = self.origin(name)
        own = self._own.project(reader, name) if where.where in OWN else None
        if where.where in ("private", "none", "denied"):
            return own or self._without_files(reader, name, where)
        seen = self._seen(reader, name)
        if seen is None or (own and (own[1].status == "quarantined" or own[1].blocked)):
            return own
        theirs = _state(seen), _project(name, seen)
        return (_both(own[0], theirs[0]), _merged(own[1], theirs[1])) if own else theirs

    def file(self, reader: Principal, name: NormalizedName, filename: str) -> File | None:
        return self._own.file(reader, name, filename) if self._has_own(name) else None

    def metadata(self, reader: Principal, name: NormalizedName, filename: str) -> tuple[File, bytes] | None:
        return self._own.metadata(reader, name, filename) if self._has_own(name) else None

    def recent(self, reader: Principal, name: NormalizedName, most: int) -> list[Event]:
        return self._own.recent(reader, name, most)

    def about(
        self, reader: Principal, name: NormalizedName, filename: str, *, text: bool = False
    ) -> "tuple[Facts, str]":
        return self._own.about(reader, name, filename, text=text)

    def mark(self) -> bytes:
        """Equal to another mark if nothing that was decided has changed in between, a moment ago at the latest."""
        now = time.monotonic()
        if now >= self._look:
            decided = self._policy(), self._rulings()
            if any(new is not old for new, old in zip(decided, self._decided, strict=True)):
                self._decided, self._changes = decided, self._changes + 1
                self._mark = b"%d" % self._changes
            self._look = now + LOOK
        return self._mark

    def origin(self, name: NormalizedName) -> Origin:
        """Where a name comes from, and why."""
        override = self._rulings().origins.get(name, "")
        ours = override == "" and (self._ours(name) or self._has_records(name))
        return origin(name, self._policy(), override, ours=ours, asked=bool(self._upstreams()))

    def upstream_file(self, reader: Principal, index: str, path: str) -> tuple[Upstream, UpstreamFile]:
        """The file at a path of another index: :class:`NotFound`, or :class:`Blocked` with the reason.

        No address has the project in it, so that one prefix is right for a whole lock file: the file name says it.
        """
        name = project_of(path)
        where = self.origin(name) if name else None
        if name and where and where.where == "denied":
            raise Blocked(_denied(name, where))
        if name and where and where.where in ("upstream", "both"):
            seen = self._seen(reader, name)
            file = seen.upstream.file(name, seen.about, path) if seen and seen.upstream.name == index else None
            if seen and file:
                self._check(seen.verdict, file)
                return seen.upstream, file
        raise NotFound(f"There is no file {path[-200:]!r} of the index {index[:40]!r} here.")

    def _check(self, found: Verdict, file: UpstreamFile) -> None:
        if found.closed:
            raise Blocked(found.closed)
        held = next((held for held in found.held if held.file is file or held.file == file), None)
        if held and (held.rule == "block" or self._policy().cooldown.where == "everywhere"):
            log.warning("refused: %s", held.reason)
            raise Blocked(held.reason)

    def _has_records(self, name: NormalizedName) -> bool:
        """Whether the index knows a name by more than blocks, which may be about what others have."""
        project = self._index.project(name) if self._index.serial(name) is not None else None
        return bool(project and (project.files or project.deleted or project.tombstones or project.status != "active"))

    def _has_own(self, name: NormalizedName) -> bool:
        """Whether own files of a name are served: not where an administrator said that it comes from elsewhere."""
        if not self._upstreams() or name not in self._rulings().origins:
            return True
        where = self.origin(name)
        if where.where == "denied":
            raise Blocked(_denied(name, where))
        return where.where in OWN

    def _without_files(self, reader: Principal, name: NormalizedName, where: Origin) -> tuple[State, Project] | None:
        """A name that is ours, or denied: 200 without files, since of a 404 installers would look elsewhere."""
        state = (self._own.state(reader, name) if where.where == "private" else None) or _empty(where)
        if state is None:
            return None
        if where.where == "denied":
            return state, Project(name, 0, status="quarantined", status_reason=_denied(name, where))
        return state, Project(name, state.serial)

    def _seen(self, reader: Principal, name: NormalizedName) -> Seen | None:
        """The first index that has the project answers for it alone; an error of one before it is an error."""
        if not self._permissions.allowed(reader, Permission.READ, name):
            return None
        with self._places:
            for upstream in self._upstreams():
                about = upstream.about(name)
                if about.revision:
                    return Seen(upstream, about, self._verdict(upstream, name, about))
        return None

    def _verdict(self, upstream: Upstream, name: NormalizedName, about: About) -> Verdict:
        now, policy, rulings = self._clock(), self._policy(), self._rulings()
        known = upstream.name, about.revision, policy, rulings
        with self._lock:
            found = self._verdicts.get(name)
        if found and found[0] == known and found[1] <= now and (found[2].until is None or now < found[2].until):
            return found[2]
        page = upstream.page(name, about)
        made = verdict(page, policy, rulings.exemptions.get(name, ()), rulings.blocks_of(name), now)
        with self._lock:
            self._verdicts[name] = known, now, made
            self._verdicts.move_to_end(name)
            while len(self._verdicts) > VERDICTS:
                self._verdicts.popitem(last=False)
        return made


def _state(seen: Seen) -> State:
    said = [seen.about.revision, seen.verdict.closed]
    said += [f"{held.file.filename} {held.reason}" for held in seen.verdict.held]
    version = hashlib.blake2b("\n".join(said).encode("utf-8", "replace"), digest_size=12).hexdigest()
    moments = [seen.about.until] + ([seen.verdict.until] if seen.verdict.until is not None else [])
    return State(version, seen.about.serial, min(moments))


def _both(own: State, theirs: State) -> State:
    return State(f"{own.version}-{theirs.version}", own.serial, theirs.fresh_until)


def _empty(where: Origin) -> State | None:
    """Of a page without files, None where there is none."""
    if where.where == "none":
        return None
    return State(hashlib.blake2b("".join(where).encode(), digest_size=12).hexdigest(), 0)


def _denied(name: NormalizedName, where: Origin) -> str:
    return f"{name} is not let in. {where.rule} Ask an administrator of this index: elasticpypi origin {name} upstream."


def _project(name: NormalizedName, seen: Seen) -> Project:
    about, found = seen.about, seen.verdict
    page = seen.upstream.page(name, about)
    if found.closed:
        page = replace(page, status="quarantined", reason=found.closed)
    return Project(
        name,
        about.serial,
        found.visible,
        status=page.status,
        status_reason=page.reason,
        upstream=seen.upstream.name,
        held=found.held,
        trouble=about.trouble,
    )


def _merged(own: Project, theirs: Project) -> Project:
    """Files by name; of two spellings of one file ours is it (REQ-U09, REQ-116)."""
    ours = {file.filename for file in own.files}
    names = set(merged(ours, [file.filename for file in theirs.listed])) - ours
    files = [*own.files, *(file for file in theirs.listed if file.filename in names)]
    ordered = sorted(files, key=lambda file: (Version(file.version), file.filename))
    return Project(
        own.name,
        own.serial,
        tuple(ordered),
        own.deleted,
        own.status,
        own.status_reason,
        own.tombstones,
        own.blocks,
        theirs.upstream,
        theirs.held,
        theirs.trouble,
    )
