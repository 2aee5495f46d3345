"""The pages of another index, kept: fresh for a while, asked for again, and old ones while it does not answer.

What is known of a page without reading it (its ETag, until when it is fresh) is in the state, the page itself in the
store. One asks for all, in all processes; what an index sends that cannot be true is no news (REQ-U15 to U20).
"""

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from urllib.parse import unquote

from packaging.utils import NormalizedName

from elasticpypi.core.distribution import sha256
from elasticpypi.core.errors import LoopDetected, Unavailable
from elasticpypi.core.event import STORE, Event, new
from elasticpypi.core.moments import text_of
from elasticpypi.core.upstream import BadAnswer, UpstreamFile, UpstreamPage, dump, load, read
from elasticpypi.policy import Upstream as Settings
from elasticpypi.repository.fetch import WHOLE, Answer, Client, Failed
from elasticpypi.storage.contracts import State, UpstreamStore

KIND = "upstream.page"  # in the state
TIMELESS = "upstream.timeless"  # in the state
REMEMBERED = 86400.0  # seconds after the last page without any time
KEPT = 365 * 86400  # seconds that the state knows of a page which nobody asks for
MISSING = 60.0  # seconds: for so long it is believed that a project does not exist (REQ-U19)
AGAIN = 30.0  # seconds until it is asked again for a page that it could not give
LEASE = 25.0  # seconds that one process has to ask, before others do
LEAST = 0.2  # seconds that one has to have left to ask
PATIENCE = 5.0  # seconds that others wait for it where an old page will do
LOOK = 0.05  # seconds between two looks whether it has answered
FILES = 60_000  # of all pages that a process has in memory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a page: when it was true, in seconds since 1970, and until when it is fresh.

    ``revision`` is that of what is kept, "" if there is no such project; ``trouble`` is why it could not be asked for.
    ``timeless``: no file of it says when it was uploaded.
    """

    revision: str
    asked: float
    until: float
    etag: str = ""
    serial: int = 0
    trouble: str = ""
    timeless: bool = False


class Upstream:
    """One other index: its pages. ``tell`` takes the events of what has changed there."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        store: UpstreamStore,
        state: State,
        tell: Callable[[list[Event]], None] = lambda events: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.client = client
        self._store, self._state, self._tell, self._clock = store, state, tell, clock
        self._lock = threading.Lock()
        self._asking: dict[NormalizedName, threading.Lock] = {}
        self._pages: OrderedDict[NormalizedName, tuple[str, UpstreamPage]] = OrderedDict()
        self._paths: dict[NormalizedName, tuple[UpstreamPage, dict[str, UpstreamFile]]] = {}

    @property
    def name(self) -> str:
        return self.settings.name

    def about(self, name: NormalizedName, seconds: float = WHOLE) -> About:
        """What is known of a project now, after asking if that is due; :class:`Unavailable` if nothing is.

        ``revision`` is "" for a project that does not exist there. It takes ``seconds`` at most, about.
        """
        end = time.monotonic() + seconds
        known = self._known(name)
        if known is not None and (self._clock() < known.until or self.settings.offline):
            return self._usable(known)
        if self.settings.offline:
            return About("", self._clock(), self._clock() + MISSING)
        with self._turn(name, end):
            again = self._known(name)
            if again is not None and again != known and self._clock() < again.until:
                return self._usable(again)
            if time.monotonic() > end - LEAST:  # others had the turn for so long: that says nothing of the index
                raise self._late()
            return self._usable(self._asked(name, again, end))

    def page(self, name: NormalizedName, about: About) -> UpstreamPage:
        """The page that :meth:`about` told of, or one that is newer."""
        found = self._pages.get(name)
        if found is None or found[0] != about.revision:
            body = self._store.page(self.name, name)
            if body is None:
                self._state.remove(KIND, self._key(name))
                raise Unavailable(f"What is kept of {name!r} was removed: try again.")
            try:
                found = sha256(body), load(body, self.name)
            except BadAnswer as error:
                self._state.remove(KIND, self._key(name))
                raise Unavailable(f"{error} Try again.") from None
            self._remember(name, *found)
        return found[1]

    def file(self, name: NormalizedName, about: About, path: str) -> UpstreamFile | None:
        """The file of a page at a path, as an address has it when it is decoded."""
        page = self.page(name, about)
        found = self._paths.get(name)
        if found is None or found[0] is not page:
            found = self._paths[name] = page, {unquote(file.path): file for file in page.files}
        return found[1].get(path)

    def has(self, digest: str) -> bool:
        """Whether the bytes with this sha256 are kept."""
        return self._store.size(digest) is not None

    def kept(self) -> Iterator[NormalizedName]:
        """The projects of which a page is kept."""
        return self._store.pages(self.name)

    def trouble(self, name: NormalizedName) -> str:
        """Why a page is an old one, "" if it is not."""
        known = self._known(name)
        return known.trouble if known else ""

    def _key(self, name: NormalizedName) -> str:
        return f"{self.name}/{name}"

    def _known(self, name: NormalizedName) -> About | None:
        found = self._state.get(KIND, self._key(name))
        known = About(**json.loads(found)) if found else None
        return self._known_offline(name, known) if self.settings.offline else known

    def _known_offline(self, name: NormalizedName, known: About | None) -> About | None:
        """The same where nobody is asked: the store alone counts, which somebody may have carried here."""
        if known and known.revision:
            return replace(known, trouble="")
        body = self._store.page(self.name, name)
        return About(sha256(body), self._clock(), self._clock() + MISSING) if body else None

    def _usable(self, about: About) -> About:
        if about.trouble and not (about.revision and self._clock() < about.asked + self.settings.stale):
            raise Unavailable(f"{about.trouble} Try again in a moment.")
        return about

    @contextmanager
    def _turn(self, name: NormalizedName, end: float) -> Iterator[None]:
        """One thread of this process at a time asks for a page."""
        with self._lock:
            turn = self._asking.setdefault(name, threading.Lock())
        held = turn.acquire(timeout=max(0.0, end - time.monotonic()))
        try:
            if not held:
                raise self._late()
            yield
        finally:
            if held:
                turn.release()
            with self._lock:
                if not turn.locked():
                    self._asking.pop(name, None)

    def _asked(self, name: NormalizedName, known: About | None, end: float) -> About:
        """Ask, or wait for the process that does."""
        key, mine = self._key(name), f"{threading.get_ident()}-{time.monotonic()}".encode()
        patience = time.monotonic() + (PATIENCE if known and known.revision else LEASE)
        while not self._state.claim("upstream.asking", key, mine, LEASE):
            time.sleep(LOOK)
            now = self._known(name)
            if now is not None and now != known:
                return now
            if time.monotonic() > min(patience, end):
                if known and known.revision:
                    return known
                raise self._late()
        try:
            about = self._answered(name, known, end)
            self._state.put(KIND, key, json.dumps(asdict(about)).encode(), KEPT)
            if about.timeless:
                self._note_timeless()
        finally:
            self._state.remove("upstream.asking", key)
        return about

    def _late(self) -> Unavailable:
        return Unavailable(f"The index {self.name!r} has not answered in time. Try again in a moment.")

    def _answered(self, name: NormalizedName, known: About | None, end: float) -> About:
        now = self._clock()
        body = self._store.page(self.name, name) if known and known.revision else None
        try:
            etag = known.etag if known and body is not None else ""
            answer = self.client.page(name, etag, end - time.monotonic())
            if answer.status == 304 and known and body is not None:
                return replace(known, asked=now, until=now + self._fresh(answer), trouble="")
            if answer.status == 404:
                self._store.drop_page(self.name, name)
                if body is not None:
                    self._tell([self._event("upstream.vanished", name, reason="The project is gone.")])
                return About("", now, now + MISSING)
            if answer.status != 200:
                raise Failed(f"The index {self.name!r} has answered {answer.status}.")
            page = read(answer.body, answer.media_type, answer.url, name, self.name)
        except (Failed, BadAnswer) as error:
            if getattr(error, "loop", False):
                raise LoopDetected(str(error)) from None
            log.warning("%s: %s", name, error)
            until = now + max(AGAIN, getattr(error, "pause", 0.0)) if known and known.revision else now
            was = known or About("", now, now)
            return replace(was, until=until, trouble=str(error))
        serial = page.serial or answer.serial
        if known and serial and serial < known.serial:  # a server of theirs that is behind (REQ-U20)
            log.warning("%s: the index %r has sent an older page than before.", name, self.name)
            return replace(known, asked=now, until=now + MISSING, trouble="")
        old = self._old(body)
        page, events = self._compared(page, old, now)
        kept = dump(page)
        revision = sha256(kept)
        if body is None or kept != body:
            self._store.keep_page(self.name, name, kept)
        self._remember(name, revision, page)
        self._tell(events)
        return About(revision, now, now + self._fresh(answer), answer.etag, serial, timeless=page.timeless)

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

    def _fresh(self, answer: Answer) -> float:
        return float(self.settings.fresh if answer.age is None else min(answer.age, 86400))

    def _old(self, body: bytes | None) -> UpstreamPage | None:
        try:
            return load(body, self.name) if body else None
        except BadAnswer:
            return None

    def _compared(self, page: UpstreamPage, old: UpstreamPage | None, now: float) -> tuple[UpstreamPage, list[Event]]:
        """What is new beside what was there: bytes that changed are not taken, and times of ours stay (REQ-U42)."""
        was = {file.path: file for file in old.files} if old else {}
        events, files = [], []
        for file in page.files:
            before = was.pop(file.path, None)
            if before is not None and before.sha256 != file.sha256:
                reason = f"It has other bytes now: sha256 {file.sha256}."
                events.append(self._event("upstream.changed", page.name, before, reason=reason))
                file = before
            if not file.upload_time:
                file = replace(file, first_seen=before.first_seen if before and before.first_seen else text_of(now))
            files.append(file)
        for file in was.values():
            events.append(self._event("upstream.vanished", page.name, file, reason="It is no longer on the page."))
        return replace(page, files=tuple(files)), events[:100]

    def _event(self, kind: str, name: NormalizedName, file: UpstreamFile | None = None, *, reason: str) -> Event:
        about = {"version": file.version, "filename": file.filename, "sha256": file.sha256} if file else {}
        return new(kind, replace(STORE, name=self.name, through="upstream"), project=name, reason=reason, **about)

    def _remember(self, name: NormalizedName, revision: str, page: UpstreamPage) -> None:
        with self._lock:
            self._pages[name] = revision, page
            self._pages.move_to_end(name)
            while len(self._pages) > 1 and sum(len(each.files) for _, each in self._pages.values()) > FILES:
                self._paths.pop(self._pages.popitem(last=False)[0], None)
