"""What one client's connections may cost everybody else: limits and deadlines, in each worker of one machine.

Granian holds a thread while a body comes in or goes out, for as long as the client likes. So there are many threads, of
which bodies hold a part at most, and a connection that makes no progress is ended: its counters are in the kernel
(``TCP_INFO``), which knows what a client has taken or sent, whatever waits in buffers in between. Other systems than
Linux have the limits, but no deadline.
"""

import fcntl
import logging
import os
import resource
import socket
import struct
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from elasticpypi.core.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONNECTIONS = 8192  # of a worker; one that waits costs a few kB
BACKLOG = 4096  # that wait to be taken: a burst must not make everybody else try again after a second
THREADS = 512  # of a worker; they start when they are needed
BODIES = 448  # that hold a thread: what is short always finds another one
FILES = CONNECTIONS + 3 * BODIES + 256  # that a worker may have open: a body has its file, and its part of the index
PORTION = 64 * 1024  # bytes that a client has to send or to take
PATIENCE = 60.0  # seconds for that
UNSENT = 512 * 1024  # bytes that wait in the kernel for a client; by itself it takes 4 MB for each
BUSY = 5.0  # seconds after which a body that came is at work for long
LOOK = 10.0  # seconds between two looks at all connections
SELDOM = 60.0  # seconds between two lines about the same limit

SO_COOKIE, TCP_NOTSENT_LOWAT = 57, 25  # asm-generic/socket.h, linux/tcp.h
OPEN = (1, 8)  # TCP_ESTABLISHED, TCP_CLOSE_WAIT

log = logging.getLogger(__name__)


def room() -> int:
    """How many connections a worker may have; raises the limit of open files as far as that needs and may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if 0 <= soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a lower limit, which it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FILES:
        return CONNECTIONS
    possible = max(soft // 2, 1)
    click.echo(
        f"A worker may open {soft} files (ulimit -Hn): it takes {possible} connections at once, not {CONNECTIONS}.",
        err=True,
    )
    return possible


class Seldom:
    """Lines of the log about one limit, of which many may be reached in a second: one a minute."""

    def __init__(self) -> None:
        self._next = 0.0

    def warn(self, text: str, *values: object) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + SELDOM
            log.warning(text, *values)


class Incoming:
    """``wsgi.input`` that can be seen: whether it ``waits``, ``since`` when it does or not, how much was ``taken``."""

    def __init__(self, stream: Any, address: str, begin: Callable[[], None]) -> None:
        self._stream = stream
        self._begin = begin
        self.address = address
        self.begun = False
        self.taken = 0
        self.waits, self.since = False, time.monotonic()

    def read(self, size: int = -1) -> bytes:
        if not self.begun:
            self._begin()
            self.begun = True
        self.waits, self.since = True, time.monotonic()
        try:
            data: bytes = self._stream.read(None if size < 0 else size)
        finally:
            self.waits, self.since = False, time.monotonic()
        self.taken += len(data)
        return data


@dataclass
class Bodies:
    """The bodies that hold a thread of this worker, at most ``limit``."""

    limit: int
    incoming: set[Incoming] = field(default_factory=set)
    _held: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _full: Seldom = field(default_factory=Seldom)

    def hold(self) -> None:
        """Count one more; :class:`Unavailable` if there are too many."""
        with self._lock:
            if self._held < self.limit:
                self._held += 1
                return
        self._full.warn("%d large bodies come and go in this worker, which is its limit: others get 503.", self.limit)
        raise Unavailable("Too many large files are sent and received at this moment: try again in a minute.")

    def release(self) -> None:
        """Count one less."""
        with self._lock:
            self._held -= 1

    @contextmanager
    def outgoing(self) -> Iterator[None]:
        """While a large body is sent; :class:`Unavailable` if there are too many."""
        self.hold()
        try:
            yield
        finally:
            self.release()


class _Outgoing:
    """A body on its way. Of one that cannot be sent to its end a line in the log says why.

    Granian breaks the connection when a body is too short; of one that raises it would print a traceback, too.
    """

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body, self._next = body, iter(body).__next__

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._next()
        except Unavailable as error:
            log.warning("An answer was broken off: %s", error)
            raise StopIteration from None

    def close(self) -> None:
        getattr(self._body, "close", lambda: None)()


def bounded(app: "WSGIApplication", bodies: Bodies) -> "WSGIApplication":
    """``app``, whose requests count among ``bodies`` as soon as they read theirs.

    An answer counts itself, by ``elasticpypi.outgoing`` of its environment.
    """

    outgoing = bodies.outgoing

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["elasticpypi.outgoing"] = outgoing
        if environ.get("CONTENT_LENGTH", "0") == "0" and "HTTP_TRANSFER_ENCODING" not in environ:
            answer = app(environ, start_response)
            return answer if isinstance(answer, list) else _Outgoing(answer)
        body = Incoming(environ["wsgi.input"], environ.get("REMOTE_ADDR", ""), bodies.hold)
        environ["wsgi.input"] = body
        bodies.incoming.add(body)
        try:
            return app(environ, start_response)
        finally:
            bodies.incoming.discard(body)
            if body.begun:
                bodies.release()

    return application


@dataclass(frozen=True, slots=True)
class Counts:
    """What the kernel has counted of a connection: bytes that the other end took and sent, and that wait for it."""

    acked: int
    received: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Since when a connection owes what: to take bytes until ``goal`` if it ``takes``, else to send until there."""

    since: float
    takes: bool
    acked: int
    goal: int


def watch(bodies: Bodies, connections: int) -> None:
    """End what makes no progress, again and again, in a thread of its own; ``connections`` is the limit of granian."""
    if sys.platform == "linux":
        threading.Thread(target=_watch, args=(bodies, connections), daemon=True).start()


def _watch(bodies: Bodies, connections: int) -> None:
    full = Seldom()
    marks: dict[int, Mark] = {}
    for _ in range(500):  # granian listens soon after it has loaded the application
        if _listens_frugally():
            break
        time.sleep(0.02)
    while True:
        time.sleep(LOOK)
        try:
            marks = look(bodies, marks)
        except Exception:  # the next look may do better, and without any nothing would be ended any more
            log.exception("The connections cannot be looked at.")
            continue
        if len(marks) >= connections:
            full.warn("This worker has %d connections, which is its limit: others wait.", connections)


def _listens_frugally() -> bool:
    """Have the kernel take little of what a client has not asked for yet; False if nothing listens yet."""
    for descriptor in _descriptors():
        with suppress(OSError), _borrowed(descriptor) as listener:
            if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listener.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)  # its connections inherit it
                return True
    return False


def look(bodies: Bodies, before: dict[int, Mark]) -> dict[int, Mark]:
    """One look at all connections of this process; the marks by the numbers that the kernel gives them."""
    now = time.monotonic()
    marks: dict[int, Mark] = {}
    ended: Counter[str] = Counter()
    for number, descriptor in enumerate(_descriptors()):
        if number % 100 == 99:
            time.sleep(0.001)  # for the other threads
        with suppress(OSError), _borrowed(descriptor) as connection:
            counts = _counts(connection)
            cookie = struct.unpack("Q", connection.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
            mark = marks[cookie] = progress(before.get(cookie), counts, now)
            if now - mark.since >= PATIENCE and _is_stalled(connection, mark, counts, bodies, now):
                # What waits to be sent is not worth the memory: the end is a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                ended[connection.getpeername()[0]] += 1
                connection.shutdown(socket.SHUT_RDWR)
    if ended:
        [(address, count)] = ended.most_common(1)
        log.warning(
            "%d connections moved less than %d kB in %d s and were ended, %d of them of %s.",
            *(ended.total(), PORTION // 1024, PATIENCE, count, address),
        )
    return marks


def progress(mark: Mark | None, counts: Counts, now: float) -> Mark:
    """The mark of a connection: the same as before, as long as it has not done what it owed then."""
    takes = counts.waiting > 0
    if mark and mark.takes == takes:
        if takes and counts.acked < mark.goal:
            return mark
        if not takes and counts.acked == mark.acked and counts.received < mark.goal:
            return mark
    goal = counts.acked + min(counts.waiting, PORTION) if takes else counts.received + PORTION
    return Mark(now, takes, counts.acked, goal)


def _is_stalled(connection: socket.socket, mark: Mark, counts: Counts, bodies: Bodies, now: float) -> bool:
    """Whether it is the client that others wait for, and not we.

    No connection has the name of its request. One that owes bytes to a body has been waited for, from its address; it
    may be one whose body came long ago and is looked at since, if it has sent as much as that.
    """
    if mark.takes:
        return True
    address = connection.getpeername()[0]
    late = busy = False
    for body in list(bodies.incoming):
        if body.address == address and body.taken <= counts.received:
            late |= body.waits and now - body.since >= PATIENCE
            busy |= not body.waits and now - body.since >= BUSY
    return late and not busy


def _descriptors() -> list[int]:
    with os.scandir("/proc/self/fd") as entries:
        return [int(entry.name) for entry in entries]


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """A descriptor as a socket, which is left open: a copy that is closed would take the locks of SQLite along."""
    connection = socket.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()


def _counts(connection: socket.socket) -> Counts:
    """Of a TCP connection that is open; :class:`OSError` for everything else, and where the kernel does not count."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
    if len(info) < 136 or info[0] not in OPEN:
        raise OSError("This is no open connection.")
    acked, received = struct.unpack_from("QQ", info, 120)
    [waiting] = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
    if waiting and not received:  # an answer to nothing
        raise OSError("This kernel does not count.")
    return Counts(acked, received, waiting)
