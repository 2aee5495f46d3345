"""The pages of another index, kept: fresh for a while, asked for again, and old ones while it does not answer.

What is known of a page without reading it (its ETag, until when it is fresh) is in the state, the page itself in the
store. One thread asks for all, in all processes, and nobody waits for it without end; what an index sends that cannot
be true is no news (REQ-U15 to U20).
"""

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from urllib.parse import unquote

from packaging.utils import NormalizedName

from elasticpypi.core.distribution import sha256
from elasticpypi.core.errors import LoopDetected, Refusal, Unavailable
from elasticpypi.core.event import STORE, Event, new
from elasticpypi.core.moments import text_of
from elasticpypi.core.upstream import BadAnswer, UpstreamFile, UpstreamPage, dump, load
from elasticpypi.policy import Upstream as Settings
from elasticpypi.storage.contracts import State, UpstreamStore
from elasticpypi.upstream import metadata
from elasticpypi.upstream.fetch import LONGEST_PAUSE, Answer, Client, Failed
from elasticpypi.upstream.places import Places
from elasticpypi.upstream.reading import Change, Sent, all_gone, announcing, news

KIND = "upstream.page"  # in the state
GONE = ".gone"  # behind the name of an index: what is kept of projects that it has no more
TIMELESS = "upstream.timeless"  # in the state
REMEMBERED = 86400.0  # seconds after the last page without any time
KEPT = 365 * 86400  # seconds that the state knows of a page which nobody asks for
FORGOTTEN = 3600.0  # the same of a project that does not exist: anybody can invent names
SHORTEST_AGE, LONGEST_AGE = 1, 86400  # seconds that a page is fresh: one answer is looked at several times
MISSING = 60.0  # seconds: for so long it is believed that a project does not exist (REQ-U19)
AGAIN = 30.0  # seconds until it is asked again for a page that it could not give
LONGEST = 30.0  # seconds that anybody waits for a page
PATIENCE = 5.0  # the same where an old page will do
LOOK = 0.05  # seconds between two looks whether another process has an answer
ASKING = 32  # pages that a process asks an index for at once
FILES = 60_000  # of all pages that a process has in memory
PAGES = 10_000  # of which a process knows without a look how fresh they are

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a page: when it was true, in seconds since 1970, and until when it is fresh.

    ``revision`` is that of what is kept, "" if there is no such project; ``trouble`` is why it could not be asked for;
    ``timeless``: no file of it says when it was uploaded.
    """

    revision: str
    asked: float
    until: float
    etag: str = ""
    serial: int = 0
    trouble: str = ""
    timeless: bool = False


class _Asking:
    """A thread that asks for a page, for those who wait for it: ``about`` or ``error`` is there when it is ``done``."""

    def __init__(self) -> None:
        self.begun, self.done = time.monotonic(), threading.Event()
        self.about: About | None = None
        self.error: Refusal | None = None

    def answer(self, patience: float, seconds: float | None) -> About | None:
        """What came of it, None if nothing has in time; the refusal that came.

        In time is within ``seconds`` from now, and without these within ``patience`` of its beginning.
        """
        left = self.begun + patience - time.monotonic() if seconds is None else seconds
        if not self.done.wait(max(0.0, left)):
            return None
        if self.error is not None:
            raise type(self.error)(str(self.error))
        return self.about


class Upstream:
    """One other index: its pages. ``tell`` takes the events of what has changed there.

    ``places`` are for those who wait. ``shares``: that it could not be asked is news for other processes.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        store: UpstreamStore,
        state: State,
        tell: Callable[[list[Event]], None] = lambda events: None,
        clock: Callable[[], float] = time.time,
        places: Places | None = None,
        shares: bool = True,
    ) -> None:
        self.settings, self._shares = settings, shares
        self.client = client
        self._store, self._state, self._tell, self._clock = store, state, tell, clock
        self._places = places or Places()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(ASKING)
        self._asking: dict[NormalizedName, _Asking] = {}
        self._fresh: OrderedDict[NormalizedName, About] = OrderedDict()
        self._pages: OrderedDict[NormalizedName, tuple[str, UpstreamPage]] = OrderedDict()
        self._looked_into: set[str] = set()  # wheels, for their core metadata
        self._files = 0  # of all pages: to add them up takes longer than to read one
        self._paths: dict[NormalizedName, tuple[UpstreamPage, dict[str, UpstreamFile]]] = {}

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def label(self) -> str:
        """What people read: the name that the policy gives it, and its host."""
        host = self.client.host
        return f"the index {self.name} ({host})" if host else f"the index {self.name}"

    def about(self, name: NormalizedName, seconds: float | None = None) -> About:
        """What is known of a project now, after asking if that is due; :class:`Unavailable` if nothing is.

        ``revision`` is "" for a project that does not exist there. Nobody waits longer than ``seconds``.
        """
        known = self._fresh.get(name)
        if known is not None and self._clock() < known.until:
            return self._usable(known)
        known = self._known(name) or known
        if known is not None and (self._clock() < known.until or self.settings.offline):
            return self._usable(known)
        if self.settings.offline:
            return About("", self._clock(), self._clock() + MISSING)
        asking = self._ask(name, known)
        old = known if known is not None and known.revision and self._is_good(known) else None
        try:
            with self._places:
                about = asking.answer(PATIENCE if old else LONGEST, seconds)
        except Unavailable:
            if old is None:
                raise
            about = None
        if about is None and old is None:
            raise Unavailable(f"The index {self.name!r} has not answered in time. Try again in a moment.")
        return self._usable(about or old)  # type: ignore[arg-type]

    def page(self, name: NormalizedName, about: About) -> UpstreamPage:
        """The page that :meth:`about` told of, or one that is newer."""
        return self.revised(name, about)[1]

    def revised(self, name: NormalizedName, about: About) -> tuple[str, UpstreamPage]:
        """The same, and its revision."""
        found = self._pages.get(name)
        if found is None or found[0] != about.revision:
            found = self._kept(name)
            if found is None:  # somebody removed it
                self._forget(name)
                if self.about(name).revision:
                    found = self._pages.get(name) or self._kept(name)
            if found is None:
                raise Unavailable(f"What was kept of {name!r} was removed: try again.")
            self._remember(name, *found)
        return found

    def file(self, name: NormalizedName, about: About, path: str) -> UpstreamFile | None:
        """The file of a page at a path, as an address has it when it is decoded, also one that has left it."""
        page = self.page(name, about)
        found = self._paths.get(name)
        if found is None or found[0] is not page:
            found = self._paths[name] = page, by_path(page)
        return found[1].get(path)

    def gone(self, name: NormalizedName) -> UpstreamPage | None:
        """What is kept of a project that this index does not have any more: its files have left it."""
        return self._old(self._store.page(self.name + GONE, name))

    def look_again(self, name: NormalizedName) -> None:
        """Forget what this process knows of a page: another one may have added to it."""
        with self._lock:
            self._fresh.pop(name, None)

    def has_taken(self, file: UpstreamFile) -> bool:
        """Whether the core metadata of a file are ours: the index has none that could be fetched."""
        name = file.project
        return file.filename in self.page(name, self.about(name)).taken

    def wants_metadata(self, file: UpstreamFile) -> bool:
        """Whether the core metadata of a file are to be taken from it once it is kept (REQ-U28)."""
        return not file.metadata_sha256 and file.sha256 not in self._looked_into and file.filename.endswith(".whl")

    def take_metadata(self, file: UpstreamFile) -> None:
        """Take the core metadata of a wheel that is kept and has none on its page, once, and have the page say it.

        Nobody waits for that: what goes wrong is a line in the log.
        """
        with self._lock:
            if file.sha256 in self._looked_into:
                return
            if len(self._looked_into) >= PAGES:
                self._looked_into.clear()
            self._looked_into.add(file.sha256)
        try:
            if digest := metadata.take(self._store, file):
                self._announce(file, digest)
        except (BadAnswer, Unavailable, OSError) as error:
            log.warning("The core metadata of %s are not announced: %s", file.filename, error)

    def _announce(self, file: UpstreamFile, digest: str) -> None:
        """Have the page of a file say where its core metadata are, whoever asks for the page meanwhile."""
        name, end = file.project, time.monotonic() + LONGEST
        while (turn := self._store.turn(self.name, name)) is None:
            if time.monotonic() >= end:
                raise Unavailable("Others are at its page.")
            time.sleep(LOOK)
        try:
            body = self._store.page(self.name, name)
            listing = announcing(load(body), file.filename, file.sha256, digest) if body else None
            if listing is None:  # it has left, or is announced now
                return
            kept = dump(listing)
            self._store.keep_page(self.name, name, kept)
            self._remember(name, sha256(kept), listing.page(self.name))
            if about := self._known(name):
                about = replace(about, revision=sha256(kept))
                self._state.put(KIND, self._key(name), json.dumps(asdict(about)).encode(), KEPT)
                self._note(name, about)
        finally:
            turn.drop()

    def has(self, digest: str) -> bool:
        """Whether the bytes with this sha256 are kept."""
        return self._store.size(digest) is not None

    def kept(self) -> Iterator[NormalizedName]:
        """The projects of which a page is kept."""
        return self._store.pages(self.name)

    def trouble(self, name: NormalizedName) -> str:
        """Why a page is an old one, "" if it is not."""
        known = self._known(name) or self._fresh.get(name)
        return known.trouble if known else ""

    def _key(self, name: NormalizedName) -> str:
        return f"{self.name}/{name}"

    def _known(self, name: NormalizedName) -> About | None:
        found = self._state.get(KIND, self._key(name))
        with suppress(ValueError, TypeError):  # another version of the program wrote it
            known = About(**json.loads(found)) if found else None
            if self.settings.offline:
                known = self._known_offline(name, known)
            return self._note(name, known) if known else None
        return None

    def _note(self, name: NormalizedName, about: About) -> About:
        """Until it is no longer fresh, nobody else asks: this process need not look again."""
        with self._lock:
            newest = self._fresh.get(name)  # which may not have been written yet
            if newest is None or newest.until <= about.until:
                self._fresh[name] = newest = about
            self._fresh.move_to_end(name)
            while len(self._fresh) > PAGES:
                self._fresh.popitem(last=False)
        return newest

    def _forget(self, name: NormalizedName) -> None:
        with self._lock:
            self._fresh.pop(name, None)
            self._drop(name)
        self._state.remove(KIND, self._key(name))

    def _is_good(self, about: About) -> bool:
        return self._clock() < about.asked + self.settings.stale

    def _known_offline(self, name: NormalizedName, known: About | None) -> About | None:
        """The same where nobody is asked: the store alone counts, to which somebody may have carried another page."""
        body, now = self._store.page(self.name, name), self._clock()
        return About(sha256(body), now, now + MISSING, serial=known.serial if known else 0) if body else None

    def _usable(self, about: About) -> About:
        if about.trouble and not (about.revision and self._is_good(about)):
            raise Unavailable(f"{about.trouble} Try again in a moment.")
        return about

    def _kept(self, name: NormalizedName) -> tuple[str, UpstreamPage] | None:
        """What the store has, and its revision."""
        body = self._store.page(self.name, name)
        old = self._old(body)
        return (sha256(body), old) if body and old else None

    def _ask(self, name: NormalizedName, known: About | None) -> _Asking:
        """A thread that asks, which all share who want the page; it knows by whom its request came (RFC 8586)."""
        with self._lock:
            asking = self._asking.get(name)
            if asking is None or asking.done.is_set():
                asking = _Asking()
                run = copy_context().run
                told = self._run, asking, name, known
                try:
                    threading.Thread(target=run, args=told, daemon=True, name=f"asks for {name}").start()
                except RuntimeError:
                    raise Unavailable("This index has too much to do to ask another one: try again.") from None
                self._asking[name] = asking
        return asking

    def _run(self, asking: _Asking, name: NormalizedName, known: About | None) -> None:
        try:
            if not self._slots.acquire(timeout=LONGEST):
                raise Unavailable(f"The index {self.name!r} is asked for too much at once: try again in a moment.")
            try:
                asking.about = self._asked(name, known, asking)
            finally:
                self._slots.release()
        except Refusal as error:
            asking.error = error
        except Exception:
            log.exception("%s was not asked for.", name)
            asking.error = Unavailable("Another index could not be asked; the log of this one says why.")
        finally:
            with self._lock:
                if self._asking.get(name) is asking:
                    del self._asking[name]
            asking.done.set()

    def _asked(self, name: NormalizedName, known: About | None, asking: _Asking) -> About:
        """Ask, or wait for the process that does."""
        end, turn = time.monotonic() + LONGEST, None
        try:
            while (turn := self._store.turn(self.name, name)) is None and time.monotonic() < end:
                time.sleep(LOOK)
                now = self._known(name)
                if now is not None and self._has_news(now, known):
                    return now
        except Unavailable as error:  # a full disk is no reason not to ask
            log.warning("%s: %s", name, error)
        try:
            now = self._known(name)
            if now is not None and self._has_news(now, known):
                return now  # it was asked for between two looks
            about, is_news = self._answered(name, now or known)
            about = self._note(name, about)
            try:
                if about.timeless:
                    self._note_timeless()
                asking.about = about
                asking.done.set()  # what is left is for other processes
                if is_news:
                    lasts = KEPT if about.revision else FORGOTTEN
                    self._state.put(KIND, self._key(name), json.dumps(asdict(about)).encode(), lasts)
            except Unavailable as error:
                log.warning("%s: %s", name, error)
        finally:
            if turn is not None:
                turn.drop()
        return about

    def _has_news(self, now: About, known: About | None) -> bool:
        """Whether another process has found something out meanwhile."""
        return now != known and (self._clock() < now.until or bool(now.trouble))

    def _answered(self, name: NormalizedName, known: About | None) -> tuple[About, bool]:
        """What is known of a page after asking, and whether other processes should know it."""
        now = self._clock()
        body = self._store.page(self.name, name)
        try:
            answer = self.client.page(name, known.etag if known and body is not None else "")
            if answer.status == 304 and known and body is not None:
                return replace(known, asked=now, until=now + self._age(answer), trouble=""), True
            if answer.status == 404:
                if body is not None:
                    self._told([self._event("upstream.vanished", name, reason="The project is gone.")])
                    self._keep(self.name + GONE, name, all_gone(body, name, text_of(now)))
                self._store.drop_page(self.name, name)
                return About("", now, now + MISSING), True
            if answer.status != 200:
                raise Failed(f"The index {self.name!r} has answered {answer.status}.")
            sent = Sent(answer.body, answer.media_type, answer.url, name)
            old = body if body is not None else self._store.page(self.name + GONE, name)
            kept, serial, changes = news(sent, old, text_of(now))
        except (Failed, BadAnswer) as error:
            if getattr(error, "loop", False):
                raise LoopDetected(str(error)) from None
            if getattr(error, "is_new", True):  # else each request would be a line
                log.warning("%s: %s", name, error)
            pause = min(max(AGAIN, getattr(error, "pause", 0.0)), LONGEST_PAUSE)
            until = now + pause if known and known.revision else now
            was = known or About("", now, now)
            return replace(was, until=until, trouble=str(error)), self._shares and not getattr(error, "ours", False)
        serial = serial or answer.serial
        if known and serial and serial < known.serial and self._is_good(known):
            # A server of theirs that is behind (REQ-U20); if it stays so for a day, it is the index that changed.
            log.warning("%s: the index %r has sent an older page than before.", name, self.name)
            return replace(known, until=now + MISSING, trouble=""), True
        revision = sha256(kept)
        self._told([self._event(change.kind, name, change) for change in changes if self._is_news(change)])
        if body is None or kept != body:
            self._keep(self.name, name, kept)
        if body is None:
            self._store.drop_page(self.name + GONE, name)
        page = load(kept).page(self.name)  # here, where no request waits for so many files
        self._remember(name, revision, page)
        return About(revision, now, now + self._age(answer), answer.etag, serial, timeless=page.timeless), True

    def _keep(self, index: str, name: NormalizedName, body: bytes) -> None:
        """As far as it can be kept: this process has it as long as it is fresh."""
        try:
            self._store.keep_page(index, name, body)
        except Unavailable as error:
            log.warning("%s: %s", name, error)

    def _age(self, answer: Answer) -> float:
        return float(max(self.settings.fresh if answer.age is None else min(answer.age, LONGEST_AGE), SHORTEST_AGE))

    def _told(self, events: list[Event]) -> None:
        """Nobody waits for a page in vain since its events cannot be written."""
        try:
            if events:
                self._tell(events)
        except Unavailable as error:
            log.warning("%s", error)

    def _old(self, body: bytes | None) -> UpstreamPage | None:
        try:
            return load(body).page(self.name) if body else None
        except BadAnswer:
            return None

    def _is_news(self, change: Change) -> bool:
        """Whether nobody was told yet; else each answer with other bytes would be an event."""
        if not change.new_sha256:
            return True
        try:
            told = f"{self.name}/{change.filename}/{change.new_sha256}"
            return self._state.add("upstream.changed", told, 1, KEPT) == 1
        except Unavailable:
            return False

    def _event(self, kind: str, name: NormalizedName, about: Change | None = None, *, reason: str = "") -> Event:
        who = replace(STORE, name=self.name, through="upstream")
        if about is None:
            return new(kind, who, project=name, reason=reason)
        said = {"version": about.version, "filename": about.filename, "sha256": about.sha256}
        return new(kind, who, project=name, reason=about.reason, **said)

    def _remember(self, name: NormalizedName, revision: str, page: UpstreamPage) -> None:
        with self._lock:
            self._drop(name)
            self._pages[name] = revision, page
            self._files += len(page.files) + 1
            while len(self._pages) > 1 and self._files > FILES:
                self._paths.pop(next(iter(self._pages)), None)
                self._drop(next(iter(self._pages)))

    def _drop(self, name: NormalizedName) -> None:
        if was := self._pages.pop(name, None):
            self._files -= len(was[1].files) + 1

    @property
    def timeless(self) -> bool:
        """Whether a page of the last day had no upload time at all."""
        return self._state.get(TIMELESS, self.name) is not None

    def _note_timeless(self) -> None:
        """Say it in the log once, for all processes, and remember it as long as such pages come."""
        if not self.timeless:
            log.warning(
                "The index %r does not say when its files were uploaded: no_time of [cooldown] in the policy says what "
                'becomes of them, "hide" if it says nothing.',
                self.name,
            )
        self._state.put(TIMELESS, self.name, b"1", REMEMBERED)


def by_path(page: UpstreamPage) -> dict[str, UpstreamFile]:
    """The files of a page by their paths, also those that have left it."""
    return {unquote(file.path): file for file in (*(each.file for each in page.gone), *page.files)}
