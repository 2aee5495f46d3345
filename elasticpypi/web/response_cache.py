"""In front of the application: what is asked for again is answered from finished bytes.

A page or a small file depends on its address, on the headers that choose among its representations, on who reads it,
and on the state of its project. So an answer of the application is kept under the first three, and given again as long
as the state has the same version, and is fresh: one indexed read, which sees what any process has written.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from packaging.utils import NormalizedName, is_normalized_name
from werkzeug.http import remove_entity_headers

from elasticpypi.accounts.passwords import Authenticator, address_of
from elasticpypi.accounts.permissions import Permission, Permissions
from elasticpypi.accounts.principal import Principal
from elasticpypi.core.errors import Refusal, Unavailable
from elasticpypi.core.filename import parse_stored
from elasticpypi.repository.base import Repository, State

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

ROOM = 16 * 1024 * 1024  # bytes of answers in each worker
LARGEST_PAGE = ROOM // 2
LARGEST_FILE = 256 * 1024
ADDED = 2_000  # bytes that an answer takes beside its body and what it is kept under, about
MADE_WHOLE = ("simple", "project", "pypi")  # below these, pages are in memory as a whole while they are made
LONGEST_TURN = 60  # seconds that one waits for another who has the same page made
MOST_WAITING = 128  # that do so in a process: each holds a thread, of which everybody else needs some
# Whoever sends one of these may want something else than the whole answer.
CONDITIONS = "HTTP_RANGE", "HTTP_IF_RANGE", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE"

LOOP = "HTTP_CDN_LOOP"  # of an index that asks us, and that we may have asked
USER = "elasticpypi.user"  # in the environment of a request: who it was that logged in
MADE_OF = "elasticpypi.made_of"  # in the environment of a request: a list that views append the state of a page to

_Asked = tuple[str, str | None, str | None, str]  # the path, Accept, Accept-Encoding, and the view of the reader


@dataclass(slots=True)
class _Answer:
    project: NormalizedName | None
    state: State
    etag: str
    headers: "Headers"
    body: bytes | None  # None: all that was asked for is whether the client's is still the same
    unchanged: "Headers"  # of a 304
    size: int  # bytes in memory
    mark: bytes | None = None  # of the index when ``state`` was the state of ``project``


@dataclass(slots=True)
class _Turn:
    """Who has a page made holds ``lock``; ``wanted`` is how many hold it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    wanted: int = 0


class ResponseCache:
    """A WSGI application that asks ``app`` only for what it has not got.

    A file costs one more read of the index the first time. Without ``files`` they are left to ``app``. Two marks
    that are equal mean that nothing in the index was written in between; None that nobody knows. ``clock`` gives
    seconds since 1970.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        repository: Repository,
        permissions: Permissions,
        authenticate: Authenticator,
        *,
        files: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._repository = repository
        self._permissions = permissions
        self._authenticate = authenticate
        self._files = files
        self._clock = clock
        self.mark: Callable[[], bytes | None] = lambda: None
        self._kept: dict[_Asked, _Answer] = {}  # the oldest first
        self._size = 0
        self._lock = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        get = environ.get
        try:  # before anything that others may wait for, since a check can take a second
            reader = self._authenticate(get("HTTP_AUTHORIZATION", ""), address_of(environ))
        except Refusal as error:
            return self._refuse(environ, start_response, error)
        environ[USER] = reader.user
        known = get("HTTP_IF_NONE_MATCH", "")
        if (
            environ["REQUEST_METHOD"] != "GET"
            or get("QUERY_STRING")
            or "," in known
            or known == "*"
            or any(name in environ for name in CONDITIONS)
        ):
            try:
                with self._turn(environ, reader):
                    return self._app(environ, start_response)
            except Exception as error:
                return self._refuse(environ, start_response, error)
        view = self._permissions.view(reader)
        asked = environ["PATH_INFO"], get("HTTP_ACCEPT"), get("HTTP_ACCEPT_ENCODING"), view
        try:
            answer = self._known(reader, asked, known)
            if answer is None:
                with self._turn(environ, reader) as waited:
                    answer = self._known(reader, asked, known) if waited else None
                    if answer is None:
                        return self._ask(environ, start_response, reader, asked)
        except Exception as error:  # a mistake of ours too has a sentence and a line in the log
            return self._refuse(environ, start_response, error)
        if answer.body is None or known.removeprefix("W/") == answer.etag:
            start_response("304 NOT MODIFIED", list(answer.unchanged))
            return []
        start_response("200 OK", list(answer.headers))
        return [answer.body]

    def _refuse(self, environ: "WSGIEnvironment", start_response: "StartResponse", error: Exception) -> Iterable[bytes]:
        """The application says it as it should be said."""
        environ["elasticpypi.refusal"] = error.with_traceback(None) if isinstance(error, Refusal) else error
        return self._app(environ, start_response)

    def _known(self, reader: Principal, asked: _Asked, known: str) -> _Answer | None:
        """What is kept for a client that has the ETag ``known``, if it is still true, and this reader may see it."""
        answer = self._kept.get(asked)
        if answer is None or (answer.body is None and known.removeprefix("W/") != answer.etag):
            return None
        if not self._permissions.allowed(reader, Permission.READ, answer.project):
            return None
        until, mark = answer.state.fresh_until, self.mark()
        if mark is None or mark != answer.mark or (until is not None and self._clock() >= until):
            state = self._repository.state(reader, answer.project)
            if state is None or state.version != answer.state.version:
                self._drop(asked)
                return None
            answer.state, answer.mark = state, mark
        return answer

    @contextmanager
    def _turn(self, environ: "WSGIEnvironment", reader: Principal) -> Iterator[bool]:
        """One at a time for each page that is made whole; whether somebody else had a turn meanwhile.

        Else forty who ask for a page of 20,000 files at once are forty such pages in memory. :class:`Unavailable` if
        too many wait already.
        """
        kind, _, rest = environ["PATH_INFO"][1:].partition("/")
        if kind not in MADE_WHOLE or LOOP in environ:
            yield False
            return
        name = rest.partition("/")[0]
        page = f"{kind}/{name}"
        if is_normalized_name(name):  # nobody has a turn while another index is waited for
            self._repository.ready(reader, NormalizedName(name))
        with self._lock:
            if page in self._turns and sum(turn.wanted - 1 for turn in self._turns.values()) >= MOST_WAITING:
                raise Unavailable("Too many wait for pages that are being made: try again in a few seconds.")
            turn = self._turns.setdefault(page, _Turn())
            turn.wanted += 1
        at_once = turn.lock.acquire(blocking=False)
        held = at_once or turn.lock.acquire(timeout=LONGEST_TURN)
        try:
            yield not at_once
        finally:
            if held:
                turn.lock.release()
            with self._lock:
                turn.wanted -= 1
                if not turn.wanted:
                    del self._turns[page]

    def _ask(
        self, environ: "WSGIEnvironment", start_response: "StartResponse", reader: Principal, asked: _Asked
    ) -> Iterable[bytes]:
        """The answer of the application, kept if it is one to keep."""
        subject = _subject(asked[0])
        is_file = asked[0].startswith(("/packages/", "/upstream/"))
        if subject is None or (is_file and not self._files):
            return self._app(environ, start_response)
        # A page says what it was made of. For a file it is read before: were it to change meanwhile, the
        # answer is made anew next time.
        state = self._repository.state(reader, subject) if is_file else None
        begun: list[Any] = []

        def listen(status: str, headers: "Headers", *rest: Any) -> Any:
            begun[:] = status, headers
            return start_response(status, headers, *rest)

        made_of: list[State] = []
        environ[MADE_OF] = made_of
        body = self._app(environ, listen)
        status, headers = begun
        named = {name.lower(): value for name, value in headers}
        if made_of:
            state = made_of[-1]
        limit, whole = LARGEST_FILE if is_file else LARGEST_PAGE, status[:3] == "200"
        if state is None or "etag" not in named or not (whole or status[:3] == "304"):
            return body
        if whole and int(named.get("content-length", limit + 1)) > limit:
            return body
        try:
            content = b"".join(body)
        finally:
            getattr(body, "close", lambda: None)()
        lasting = [(name, value) for name, value in headers if name.lower() != "date"]
        unchanged = list(lasting)
        remove_entity_headers(unchanged, allowed=("content-type",))  # of a body that is not there
        kept = content if whole else None
        size = len(content) + sum(len(part or "") for part in asked) + ADDED
        self._keep(asked, _Answer(subject or None, state, named["etag"], lasting, kept, unchanged, size))
        return [content]

    def _keep(self, asked: _Asked, answer: _Answer) -> None:
        with self._lock:
            self._remove(asked)  # another thread may have asked for the same
            self._kept[asked] = answer
            self._size += answer.size
            while self._size > ROOM:
                self._remove(next(iter(self._kept)))

    def _drop(self, asked: _Asked) -> None:
        with self._lock:
            self._remove(asked)

    def _remove(self, asked: _Asked) -> None:
        if old := self._kept.pop(asked, None):
            self._size -= old.size


def _subject(path: str) -> NormalizedName | None:
    """The project whose serial an address depends on, "" for the root list, None if it is none of these."""
    match path.split("/"):
        case ["", "simple", ""]:
            return NormalizedName("")
        case ["", "simple", name, ""] if is_normalized_name(name):
            return NormalizedName(name)
        case ["", "packages", file_name]:
            named = parse_stored(file_name.removesuffix(".metadata"))
            return named.project if named else None
        case ["", "upstream", _, *_, file_name]:
            named = parse_stored(file_name.removesuffix(".metadata"))
            return named.project if named else None
    return None
