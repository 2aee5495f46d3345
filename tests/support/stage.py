"""Actors who work on one store and one index, each acting between the calls of the others.

An actor is a greenlet that stops before every call of the store and the index (on AWS: of S3 and DynamoDB).
A script of bytes chooses who goes on, which event is delivered, who is killed, whose call fails. The same
actions and script are always the same play.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from greenlet import getcurrent, greenlet
from packaging.utils import NormalizedName

from elasticpypi.actions import decisions, upload
from elasticpypi.core import filename
from elasticpypi.core.errors import Refusal, Unavailable
from elasticpypi.core.model import File, Project
from elasticpypi.indexing import sync
from elasticpypi.services import Services
from tests.support.builders import ACTOR

# What a byte of the script means from here on. Below, somebody goes on, or an event is delivered.
STAY, TWICE, FAIL, FAIL_AFTER, KILL = 100, 208, 224, 236, 244
LONGEST = 2000  # calls of a play


class Killed(BaseException):
    """The process ends here."""


class Lost(AssertionError):
    """It is as it must never be."""


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody does: a method of :class:`Stage`, for a key of the store or a project."""

    verb: str
    key: str
    content: str = ""


@dataclass(eq=False, slots=True)
class Actor:
    """One action under way. An event (verb ``sync``) is delivered again if it fails."""

    number: int
    action: Action
    run: Any = None
    call: str = ""  # what comes next
    fault: BaseException | None = None
    fault_after: bool = False
    killed: bool = False


@dataclass(slots=True)
class Change:
    """A key of the store got bytes with this digest, or was removed (None)."""

    moment: int
    by: str
    digest: str | None


class Family(Protocol):
    """Empty stores for one play: ``raw`` as they are, and such as stop before each call."""

    raw: Services

    def services(self, stage: "Stage", actor: Actor) -> Services:
        """Those of one actor, as of a process of its own."""

    def leave(self, actor: Actor) -> None:
        """The actor is done."""

    def put(self, stage: "Stage", services: Services, key: str, data: bytes) -> None:
        """Put bytes under a key as people do, by way of none of our modules."""

    def fault(self, call: str, after: bool) -> BaseException | None:
        """What goes wrong with a call, or with the answer to it; None if nothing can."""


class Stage:
    """One play; :class:`Lost` is raised when something is seen that must never be."""

    def __init__(self, family: Family, contents: Mapping[str, bytes], script: bytes) -> None:
        self.family = family
        self.contents = contents
        self.raw = family.raw
        self.script = iter(script)
        self.moment = 0
        self.trace: list[object] = []
        self.actors: list[Actor] = []
        self.writer: Actor | None = None  # who holds the lock of SQLite
        self.events: list[str] = []
        self.history: dict[str, list[Change]] = {}
        self.acknowledged: list[tuple[int, str, str]] = []
        self.interrupted: set[str] = set()  # keys whose deletion was broken off
        self.pages: dict[NormalizedName, Project] = {}
        self.root: tuple[int, list[NormalizedName]] = (0, [])
        self.last: Actor | None = None
        self._count = 0

    def play(self, actions: list[Action]) -> None:
        """Until nobody has anything left to do."""
        try:
            for action in actions:
                self._enter(action)
            while self.actors or self.events:
                self._turn()
        finally:
            for actor in list(self.actors):
                self._kill(actor)

    # ---- what actors do

    def put(self, services: Services, action: Action) -> None:
        self.family.put(self, services, action.key, self.contents[action.content])

    def take(self, services: Services, action: Action) -> None:
        services.files.delete(action.key)

    def sync(self, services: Services, action: Action) -> None:
        sync.sync(services.files, services.index, action.key)

    def upload(self, services: Services, action: Action) -> None:
        began, data = self.moment, self.contents[action.content]
        digest = sha256(data)
        form = {":action": ["file_upload"], "filetype": ["bdist_wheel"], "sha256_digest": [digest]}
        upload.accept(services, ACTOR, form, action.key, io.BytesIO(data))
        self._acknowledge(action.key, digest, began)

    def delete(self, services: Services, action: Action) -> None:
        try:
            decisions.delete(services, ACTOR, action.key)
        except (Killed, Unavailable):
            self.interrupted.add(action.key)
            raise

    def yank(self, services: Services, action: Action) -> None:
        decisions.yank(services, ACTOR, action.key, "bad")

    def unyank(self, services: Services, action: Action) -> None:
        decisions.unyank(services, ACTOR, action.key)

    def archive(self, services: Services, action: Action) -> None:
        decisions.set_status(services, ACTOR, NormalizedName(action.key), "archived")

    def activate(self, services: Services, action: Action) -> None:
        decisions.set_status(services, ACTOR, NormalizedName(action.key), "active")

    # ---- what must never be seen

    def _acknowledge(self, key: str, digest: str, began: int) -> None:
        """An upload is told that its file is in the index."""
        self.acknowledged.append((self.moment, key, digest))
        seen = {digest for at in self.history if at.endswith(key) for digest in self._since(at, began)}
        if digest not in seen:
            raise Lost(f"{key} was acknowledged, but never stored.")
        deleted = key in self.interrupted or any(actor.action.verb == "delete" for actor in self.actors)
        if self._since(key, began) == {digest} and not deleted:
            record = self.raw.index.record(filename.parse(key).project, key)
            if not isinstance(record, File) or record.sha256 != digest:
                raise Lost(f"{key} was acknowledged, but is not in the index: {record}.")

    def _since(self, key: str, moment: int) -> set[str | None]:
        """Everything that a key of the store was, from a moment until now."""
        history = self.history.get(key, [])
        changes = [change for change in history if change.moment > moment]
        return {change.digest for change in history[-1 - len(changes) :]}

    def stored(self, key: str, digest: str | None) -> None:
        """The store was written to: an event is on its way."""
        actor = self.current()
        by = actor.action.verb if actor else ""
        if digest is None and by == "upload":
            self._withdrawn(key)
        self.history.setdefault(key, []).append(Change(self.moment, by, digest))
        self.events.append(key)

    def _withdrawn(self, key: str) -> None:
        for moment, acknowledged, digest in self.acknowledged:
            if acknowledged == key and self._since(key, moment) == {digest}:
                raise Lost(f"{key} was acknowledged, and withdrawn by another upload.")

    def indexed(self, name: NormalizedName) -> None:
        """The index was written to: serials grow, and each stands for one content."""
        page, before = self.raw.index.project(name), self.pages.get(name)
        if page is None and before is None:  # nothing was there to remove
            return
        if page is None or (before is not None and page != before and page.serial <= before.serial):
            raise Lost(f"{name} had {before} and has {page}.")
        self.pages[name] = page
        if bool(page.files) != bool(before and before.files):
            root = self.raw.index.projects()
            if root != self.root and root[0] <= self.root[0]:
                raise Lost(f"The root list had {self.root} and has {root}.")
            self.root = root

    # ---- who is next

    def current(self) -> Actor | None:
        run = getcurrent()
        return next((actor for actor in self.actors if actor.run is run), None)

    def before(self, call: str) -> None:
        """A call comes: others act, and it may fail."""
        actor = self.current()
        if actor is not None:
            if actor.killed:  # what "finally" would do is not done any more
                raise Killed
            actor.call = call
            actor.run.parent.switch()
            self.moment += 1
            if self.moment > LONGEST:
                raise Lost("It never ends.")
            self.trace.append((actor.number, call, bool(actor.fault), actor.fault_after))
            if not actor.fault_after:
                self._fail(actor)

    def after(self) -> None:
        """It is made, but its answer may be lost."""
        if actor := self.current():
            self._fail(actor)

    def _fail(self, actor: Actor) -> None:
        fault, actor.fault = actor.fault, None
        if fault is not None:
            raise fault

    def _turn(self) -> None:
        byte = next(self.script, 0)
        ready = [actor for actor in self.actors if not self._waits(actor)]
        events = list(dict.fromkeys(self.events))
        if byte >= FAIL and ready:
            actor = ready[byte % len(ready)]
            if byte >= KILL:
                self._kill(actor)
            else:
                actor.fault_after = byte >= FAIL_AFTER
                actor.fault = self.family.fault(actor.call, actor.fault_after)
                self._go(actor)
            return
        if byte < STAY and self.last in ready:
            self._go(self.last)
            return
        choice = byte % (len(ready) + len(events))
        if choice < len(ready):
            self._go(ready[choice])
            return
        key = events[choice - len(ready)]
        if byte < TWICE:
            self.events.remove(key)
        self._enter(Action("sync", key))

    def _waits(self, actor: Actor) -> bool:
        """SQLite lets one write at a time: the others wait inside their call."""
        return self.writer not in (None, actor) and actor.call in ("index.put", "index.remove")

    def _enter(self, action: Action) -> None:
        self._count += 1
        actor = Actor(self._count, action)
        actor.run = greenlet(lambda: self._act(actor))
        self.actors.append(actor)
        self._go(actor)

    def _act(self, actor: Actor) -> None:
        self.before("begin")
        try:
            getattr(self, actor.action.verb)(self.family.services(self, actor), actor.action)
        except Refusal:
            self._again(actor)

    def _go(self, actor: Actor) -> None:
        self.last = actor
        actor.run.switch()
        if actor.run.dead:
            self._leave(actor)

    def _kill(self, actor: Actor) -> None:
        self.trace.append((actor.number, "killed"))
        actor.killed = True
        with suppress(Killed):
            actor.run.throw(Killed)
        self._again(actor)
        self._leave(actor)

    def _again(self, actor: Actor) -> None:
        if actor.action.verb == "sync":
            self.events.append(actor.action.key)

    def _leave(self, actor: Actor) -> None:
        self.actors.remove(actor)
        if self.writer is actor:
            self.writer = None
        self.family.leave(actor)


class Calls:
    """An object before whose calls others act; ``told`` are to be called after those that change something."""

    def __init__(self, stage: Stage, part: str, real: object, **told: Callable[..., None]) -> None:
        self._stage, self._part, self._real, self._told = stage, part, real, told

    def __getattr__(self, name: str) -> Any:
        stage, real, told = self._stage, getattr(self._real, name), self._told.get(name)

        def call(*arguments: Any, **options: Any) -> Any:
            stage.before(f"{self._part}.{name}")
            locks = self._part == "index" and told is not None
            if locks:
                stage.writer = stage.current()
            try:
                answer = real(*arguments, **options)
            finally:
                if locks:
                    stage.writer = None
            if told:
                told(*arguments, **options)
            stage.after()
            return answer

        return call


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
