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
from typing import TYPE_CHECKING, NamedTuple

from packaging.utils import NormalizedName
from packaging.version import Version

from elasticpypi.accounts.permissions import Permission, Permissions
from elasticpypi.accounts.principal import Principal
from elasticpypi.core.advisories import NONE, Advisories
from elasticpypi.core.errors import Blocked, NotFound, Unavailable
from elasticpypi.core.event import Event
from elasticpypi.core.model import BLOCKS, File, Held, Project
from elasticpypi.core.upstream import UpstreamFile, UpstreamPage, project_of
from elasticpypi.policy import Policy
from elasticpypi.repository.base import Repository, State
from elasticpypi.repository.rulings import Rulings
from elasticpypi.storage.contracts import IndexReader
from elasticpypi.upstream.pages import FILES, About, Upstream, by_path
from elasticpypi.upstream.verdict import ASK, Origin, Verdict, matching, merged, origin, verdict

if TYPE_CHECKING:
    from elasticpypi.core.about import About as Facts

LOOK = 0.2  # seconds between two looks at what was decided
AGAIN = 1.0  # seconds until it is asked again whether a page has no files: a name may be given back meanwhile
OFFLINE_LOOK = 60.0  # seconds between two looks at what is kept of an index that is offline
OWN = "private", "none", "both"  # origins of names whose own files are served

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """A project of another index as it is seen now."""

    upstream: Upstream
    about: About
    verdict: Verdict
    version: str  # another one where the verdict is another one, or the page it is about

    @property
    def state(self) -> State:
        until = self.about.until if self.verdict.until is None else min(self.about.until, self.verdict.until)
        return State(self.version, self.about.serial, until)


class FirstMatch:
    """:class:`~elasticpypi.repository.base.Repository` over ``own`` and other indexes, which are asked in their order.

    ``upstreams`` gives these, ``ours`` tells whether a name ever had a file here; ``clock`` gives seconds since 1970.
    ``malware`` is told of each file that a record of ``advisories`` shuts off, whenever that is found.
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
        clock: Callable[[], float] = time.time,
        advisories: Callable[[], Advisories] = lambda: NONE,
        malware: Callable[[Held], None] = lambda held: None,
    ) -> None:
        self._own, self._index, self._permissions = own, index, permissions
        self._upstreams, self._policy, self._rulings, self._ours = upstreams, policy, rulings, ours
        self._clock, self._advisories, self._malware = clock, advisories, malware
        self._lock = Lock()
        self._look, self._changes, self._mark = 0.0, 0, b""
        self._decided: tuple[object, ...] = None, None, None
        self._verdicts: OrderedDict[NormalizedName, _Remembered] = OrderedDict()
        self._size = 0  # of all verdicts: to add them up takes longer than to judge a page

    def state(self, reader: Principal, name: NormalizedName | None) -> State | None:
        if name is None or not self._upstreams():
            return self._own.state(reader, name)
        if not self._may_read(reader, name):
            return None
        where = self.origin(name)
        own = self._own.state(reader, name) if where.where in OWN else None
        if where.where in ("private", "none", "denied"):
            return own or self._empty(where)
        seen = self._seen(name)
        if seen is None or not own:
            return seen.state if seen else own
        return _both(own, seen.state)

    def ready(self, reader: Principal, name: NormalizedName) -> None:
        may_read = bool(self._upstreams()) and self._permissions.allowed(reader, Permission.READ, name)
        if may_read and self.origin(name).where in ("upstream", "both"):
            any(upstream.about(name).revision for upstream in self._upstreams())

    def projects(self, reader: Principal) -> tuple[State, list[NormalizedName]]:
        return self._own.projects(reader)

    def project(self, reader: Principal, name: NormalizedName) -> tuple[State, Project] | None:
        if not self._upstreams():
            return self._own.project(reader, name)
        if not self._may_read(reader, name):
            return None
        where = self.origin(name)
        own = self._own.project(reader, name) if where.where in OWN else None
        if where.where in ("private", "none", "denied"):
            return own or self._without_files(reader, name, where)
        seen = self._seen(name)
        if seen is None:
            return own
        theirs = _project(name, seen)
        if own is None:  # it may have a record all the same, such as of a file that was deleted
            state = self._own.state(reader, name) if where.where == "both" else None
            return _both(state, seen.state) if state else seen.state, theirs
        closed = own[1].status == "quarantined" or own[1].blocked
        return _both(own[0], seen.state), own[1] if closed else _merged(own[1], theirs)

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
            try:
                decided = self._told()
            except Unavailable:  # of the advisories: own pages need none, and who needs them says so
                decided = self._policy(), self._rulings(), NONE
            if any(new is not old for new, old in zip(decided, self._decided, strict=True)):
                self._decided, self._changes = decided, self._changes + 1
                self._mark = b"%d" % self._changes
            self._look = now + LOOK
        return self._mark

    def origin(self, name: NormalizedName, policy: Policy | None = None) -> Origin:
        """Where a name comes from, and why, by the policy of now or by another one."""
        override = self._rulings().origins.get(name, "")
        ours = override == "" and (self._ours(name) or self._has_records(name))
        return origin(name, policy or self._policy(), override, ours=ours, asked=bool(self._upstreams()))

    def taken(self, name: NormalizedName, seconds: float) -> str:
        """Why a first file of our own may not have this name: a sentence, "" if it may (REQ-U08).

        Another index is asked for ``seconds`` at most; :class:`Unavailable`, or :class:`LoopDetected`, if it cannot be.
        """
        where, policy = self.origin(name), self._policy()
        if where.where in OWN:
            return ""
        if self._rulings().origins.get(name) or matching(name, policy.origin.denied):
            return where.rule
        end = time.monotonic() + seconds
        for upstream in self._upstreams():
            if upstream.about(name, end - time.monotonic()).revision:
                return f"There is a project of this name in {upstream.label}."
        return ""

    def upstream_file(self, reader: Principal, index: str, path: str) -> tuple[Upstream, UpstreamFile]:
        """The file at a path of another index: :class:`NotFound`, or :class:`Blocked` with the reason.

        No address has the project in it, so that one prefix is right for a whole lock file: the file name says it.
        """
        name = project_of(path)
        if name and self._may_read(reader, name):
            where = self.origin(name)
            if where.where == "denied":
                raise Blocked(_denied(name, where))
            found = self._at(name, index, path) if where.where in ("upstream", "both") else None
            if found:
                upstream, page, file = found
                if where.where == "both":
                    self._check_own(reader, name)
                self._check(upstream, page, file)
                return upstream, file
        raise NotFound(f"There is no file {path[-200:]!r} of the index {index[:40]!r} here.")

    def _at(self, name: NormalizedName, index: str, path: str) -> tuple[Upstream, UpstreamPage, UpstreamFile] | None:
        """The file at a path of another index, also one that has left it, with the page that it is or was on."""
        for upstream in self._upstreams():
            about = upstream.about(name)
            if upstream.name == index:
                page = upstream.page(name, about) if about.revision else upstream.gone(name)
                file = upstream.file(name, about, path) if about.revision else page and by_path(page).get(path)
                return (upstream, page, file) if page and file else None
            if about.revision:  # it answers alone
                return None
        return None

    def gone(self, name: NormalizedName) -> Project | None:
        """What is known of a project that is nowhere, and was once: why nothing of it is seen."""
        if self.origin(name).where in ("upstream", "both"):
            for upstream in self._upstreams():
                if page := upstream.gone(name):
                    held = self._judged(upstream, page).held
                    return Project(name, 0, upstream=upstream.name, held=held)
        return None

    def _check_own(self, reader: Principal, name: NormalizedName) -> None:
        """:class:`Blocked` for what others have of a project of ours that is in quarantine (REQ-U09)."""
        own = self._own.project(reader, name)
        if own and own[1].status == "quarantined":
            raise Blocked(f"{name} is in quarantine here, with all that other indexes have of it. {ASK}.")

    def _check(self, upstream: Upstream, page: UpstreamPage, file: UpstreamFile) -> None:
        """:class:`Blocked` for a file that may not be seen: the verdict is on this one, whatever was seen before."""
        gone = tuple(each for each in page.gone if each.file.path == file.path)
        found = self._judged(upstream, replace(page, files=() if gone else (file,), gone=gone))
        if found.closed:
            raise Blocked(found.closed)
        for held in found.held:
            if held.rule == "gone" and upstream.has(file.sha256):
                return
            if held.rule in ("offline", "gone"):
                raise NotFound(f"{held.reason} Nothing is." if held.rule == "gone" else held.reason)
            if held.rule in (*BLOCKS, "vanished") or self._policy().cooldown.where == "everywhere":
                log.warning("refused: %s", held.reason)
                raise Blocked(held.reason)
            log.warning('let through, since "where" of [cooldown] is "index": %s', held.reason)

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
        state = (self._own.state(reader, name) if where.where == "private" else None) or self._empty(where)
        if state is None:
            return None
        if where.where == "denied":
            return state, Project(name, 0, status="quarantined", status_reason=_denied(name, where))
        return state, Project(name, state.serial)

    def _empty(self, where: Origin) -> State | None:
        """Of a page without files, None where there is none."""
        if where.where == "none":
            return None
        return State(_version(*where), 0, self._clock() + AGAIN)

    def _may_read(self, reader: Principal, name: NormalizedName) -> bool:
        """Nobody is asked for what the reader may not see."""
        return self._permissions.allowed(reader, Permission.READ, name)

    def _known(self, name: NormalizedName) -> tuple[Upstream, About] | None:
        """The first index that has the project answers for it alone; an error of one before it is an error."""
        for upstream in self._upstreams():
            about = upstream.about(name)
            if about.revision:
                return upstream, about
        return None

    def _seen(self, name: NormalizedName) -> Seen | None:
        """A project as it is seen now; the verdict on it is remembered until it may be another one."""
        if (known := self._known(name)) is None:
            return None
        upstream, about = known
        now, basis = self._clock(), (upstream.name, about.revision, *self._told())
        with self._lock:
            found = self._verdicts.get(name)
        if found is None or found.basis != basis or not found.holds(now):
            revision, page = upstream.revised(name, about)  # it may be newer than what is known of it
            made = self._judged(upstream, page)
            held = [f"{held.file.filename} {held.reason}" for held in made.held]
            if upstream.settings.offline:
                held += [file.metadata_sha256 or "" for file in made.visible]
            version = _version(upstream.name, revision, self._policy().cooldown.where, made.closed, *held)
            found = _Remembered(basis, now, made, version)
            self._remember(name, found)
        return Seen(upstream, about, found.verdict, found.version)

    def judged(self, page: UpstreamPage, policy: Policy) -> Verdict:
        """What may be seen of a page by a policy and by what was decided, whatever is kept of its files."""
        _, rulings, advisories = self._told()
        exempt, blocked = rulings.exemptions.get(page.name, ()), rulings.blocks_of(page.name)
        return verdict(page, policy, exempt, blocked, self._clock(), advisories.of(page.name), rulings.accepted)

    def _judged(self, upstream: Upstream, page: UpstreamPage) -> Verdict:
        found = self.judged(page, self._policy())
        for held in found.held:
            if held.advisory:
                self._malware(held)
        return _kept_alone(found, upstream, self._clock()) if upstream.settings.offline else found

    def _told(self) -> tuple[Policy, Rulings, Advisories]:
        """All that a verdict is made of besides the page and the time."""
        return self._policy(), self._rulings(), self._advisories()

    def _remember(self, name: NormalizedName, found: "_Remembered") -> None:
        with self._lock:
            if old := self._verdicts.pop(name, None):
                self._size -= old.size
            self._verdicts[name] = found
            self._size += found.size
            while len(self._verdicts) > 1 and self._size > FILES:
                self._size -= self._verdicts.popitem(last=False)[1].size


class _Remembered(NamedTuple):
    """A verdict of ``since``, and what it was made of."""

    basis: tuple[object, ...]
    since: float
    verdict: Verdict
    version: str

    def holds(self, now: float) -> bool:
        return self.since <= now and (self.verdict.until is None or now < self.verdict.until)

    @property
    def size(self) -> int:
        """It keeps so many files in memory, and a little of its own."""
        return len(self.verdict.visible) + len(self.verdict.held) + 10


def _version(*parts: str) -> str:
    return hashlib.blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=12).hexdigest()


def _kept_alone(found: Verdict, upstream: Upstream, now: float) -> Verdict:
    """Of an index that is not asked: what is not kept cannot be had (REQ-U70). Somebody may bring it at any time."""
    visible: list[UpstreamFile] = []
    held = list(found.held)
    for file in found.visible:
        if upstream.has(file.sha256):
            with_metadata = file.metadata_sha256 and upstream.has(file.metadata_sha256)
            visible.append(file if with_metadata else replace(file, metadata_sha256=None))
        else:
            why = f"{file.filename!r} is not kept here, and the index {upstream.name!r} is not asked: it is offline."
            held.append(Held(file, None, why, "offline"))
    until = min(now + OFFLINE_LOOK, found.until if found.until is not None else now + OFFLINE_LOOK)
    return Verdict(tuple(visible), tuple(held), found.closed, until)


def _both(own: State, theirs: State) -> State:
    return State(f"{own.version}-{theirs.version}", own.serial, theirs.fresh_until)


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
    """Files by name; of two spellings of one file ours is it, also if it was deleted (REQ-U09, REQ-116)."""
    ours = {file.filename for file in own.files} | {*own.deleted}
    names = set(merged(ours, [file.filename for file in theirs.listed])) - ours
    files = [*own.files, *(file for file in theirs.listed if file.filename in names)]
    ranks = {text: Version(text) for text in {file.version for file in files}}
    ordered = sorted(files, key=lambda file: (ranks[file.version], file.filename))
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
