"""The processes of one machine: they are started, ended, and replaced when they end by themselves.

The main process has one thread, and its handlers of signals only leave a note and wake its loop: whenever one comes, or
two, it cannot find a lock taken. They hold for the main process and for all of them at once, as terminals send them:

- SIGTERM and SIGINT are a stop: requests under way are finished, for half a minute at most, and the exit status is 0.
  Ctrl-C once more, a second later or after that, ends them at once.
- SIGHUP replaces all other processes; connections wait meanwhile. If the terminal of the start is gone, it is a stop.
- SIGINT or SIGHUP stays ignored if whoever started us has it so: a shell with ``&``, or ``nohup``.
"""

import ctypes
import logging
import math
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATIENCE = 30.0  # seconds that a stop waits for requests under way
REQUEST = 0.1  # seconds for the request of a connection that was taken just before a worker ends
AGAIN = 1.0  # seconds after a stop from which on another Ctrl-C is not the first one that came twice
LONG = 60.0  # seconds of life after which an end is no series of them
LONGEST = 30.0  # seconds until the next start, within a series of ends

STOPS = signal.SIGTERM, signal.SIGINT
OURS = {*STOPS, signal.SIGHUP}

log = logging.getLogger(__name__)
_terminal = False  # whether there was one at the start
_leaves = False  # whether this worker shall end


def end_at_once() -> None:
    """Have a stop end this process, with exit status 0: for the start, while there is nothing to finish yet."""
    global _terminal
    _terminal = _has_terminal()
    _handle(STOPS, lambda *_: os._exit(0))
    _handle([signal.SIGHUP], lambda *_: os._exit(0) if _terminal and not _has_terminal() else None)


@dataclass
class _Place:
    """A process that shall always be there; ``what`` it does is for the log."""

    what: str
    make: "Callable[[], BaseProcess]"
    rest: Callable[[], None]
    process: "BaseProcess" = field(init=False)
    since: float = 0
    pause: float = 0  # before its next start, if it ends now
    due: float | None = None  # when it starts again, if it has ended

    def start(self) -> None:
        """:class:`OSError` if it cannot be, as when there are too many; then all is as before."""
        process = self.make()
        process.start()
        self.process, self.since, self.due = process, time.monotonic(), None


class Keeper:
    """Keeps processes running, between ``with`` and its end, which ends them all.

    Only the main thread may have one, and no other thread may be there that takes locks: a fork copies them.
    """

    def __init__(self) -> None:
        self._places: list[_Place] = []
        self._leaving: dict[BaseProcess, float] = {}  # replaced ones, and when patience with them ends
        self._stop = 0  # the signal that asked for it
        self._stopped = 0.0
        self._hurry = self._renew = False

    def __enter__(self) -> "Keeper":
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it has to wake us, nothing else
        _handle(OURS, self._note)
        _guard_forks()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_all()
        if self._stop:  # Python gives its handlers up at its end, and one more stop would be told as our death
            _handle(OURS, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.close(self._woken)
        os.close(self._wake)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not (_terminal and not _has_terminal()):
            self._renew = True
        elif not self._stop:
            self._stopped = time.monotonic()
            self._stop = number
        elif number == signal.SIGINT and time.monotonic() - self._stopped >= AGAIN:
            self._hurry = True

    def keep(
        self, what: str, make: "Callable[[], BaseProcess]", rest: Callable[[], None] = lambda: None
    ) -> "BaseProcess":
        """Start what ``make`` returns, and another one when it ends: at once, then after 1, 2, 4 ... 30 s.

        ``rest`` is called at the beginning of such a pause.
        """
        place = _Place(what, make, rest)
        place.start()
        self._places.append(place)
        return place.process

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self._stop)

    def wait(self, seconds: float | None = None, *readers: Any) -> bool:
        """Until there is something to do: a signal, a process that ended, something to read; False if it is a stop."""
        if not self._stop:
            self._sleep(seconds, *readers)
        return not self._stop

    def _sleep(self, seconds: float | None, *readers: Any) -> None:
        select.select([self._woken, *readers], [], [], seconds)
        with suppress(BlockingIOError):
            while os.read(self._woken, 4096):
                pass

    def run(
        self, renew: Callable[[], bool], stale: Callable[[], bool] = lambda: False, interval: float = math.inf
    ) -> None:
        """Until a stop is asked for. ``renew`` is called before all are replaced, and says whether they shall be.

        ``stale`` is asked each ``interval`` of seconds, and True is as good as SIGHUP.
        """
        moment = look = time.monotonic() + interval
        while self.wait(None if moment == math.inf else max(moment - time.monotonic(), 0)):
            now = time.monotonic()
            for place in self._places:
                self._look(place, now)
            for process, end in list(self._leaving.items()):
                if process.exitcode is None and now >= end:
                    _kill(process)
                if process.exitcode is not None:
                    del self._leaving[process]
            if now >= look:
                self._renew |= stale()
                look = now + interval
            if self._renew and not self._leaving:  # never more than two of each
                self._renew = False
                if renew():
                    self._replace_all(now)
            moments = [place.due for place in self._places if place.due is not None]
            moment = min([*moments, *self._leaving.values(), look])

    def _look(self, place: _Place, now: float) -> None:
        if place.due is None and (code := place.process.exitcode) is not None:
            if now - place.since >= LONG:
                place.pause = 0
            place.due = now + place.pause
            # Once may be a stop that reaches us a little later than it.
            if place.pause or code not in (0, -signal.SIGTERM):
                when = f" in {place.pause:.0f} s" if place.pause else ""
                log.error("The process that %s has ended (%s): another one does%s.", place.what, code, when)
            if place.pause:
                place.rest()
            place.pause = min(place.pause * 2 or 1, LONGEST)
        if place.due is not None and now >= place.due:
            self._start_again(place, now)

    def _replace_all(self, now: float) -> None:
        for place in self._places:
            if place.due is None:
                place.process.terminate()
                self._leaving[place.process] = now + PATIENCE
            self._start_again(place, now)

    def _start_again(self, place: _Place, now: float) -> None:
        try:
            place.start()
        except OSError as error:  # too many processes, or no memory: what is there goes on
            place.rest()
            place.due = now + LONGEST
            log.error("No process that %s can be started: %s. Trying again in %d s.", place.what, error, LONGEST)

    def _end_all(self) -> None:
        processes = [*self._leaving, *(place.process for place in self._places)]
        for process in processes:
            process.terminate()
        begin = time.monotonic()
        warned = self._stop != signal.SIGINT
        while left := [process for process in processes if process.exitcode is None]:
            took = time.monotonic() - begin
            if took >= PATIENCE or self._hurry:
                for process in left:
                    _kill(process, quietly=self._hurry)
                return
            if took >= AGAIN and not warned:
                warned = True
                log.info("Requests under way are finished, for %d s at most; Ctrl-C again ends them now.", PATIENCE)
            self._sleep(AGAIN)


def _kill(process: "BaseProcess", quietly: bool = False) -> None:
    if process.exitcode is None and not quietly:
        log.warning("A process had not ended %d s after it was told to: it was killed (%s).", PATIENCE, process.pid)
    process.kill()
    process.join()


def _handle(numbers: Any, handler: Any) -> None:
    """Set a handler for those signals that whoever started us does not want to be ignored."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


# ---- In the processes that are kept


def _guard_forks() -> None:
    """Have a stop end a process that is just being forked; Python forgets the one that comes before its first lines."""

    def begin() -> None:
        _signals_of_a_child()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)

    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, OURS),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, OURS),
        after_in_child=begin,
    )


def _signals_of_a_child() -> None:
    signal.set_wakeup_fd(-1)  # which is that of the main process
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a stop that comes while we start must not be lost
    # Ctrl-C and the end of a terminal reach the main process too, which sends SIGTERM if that is what it does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def end_with(parent: int) -> None:
    """Have this process end when the one that started it does: no orphan goes on serving."""
    _signals_of_a_child()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


def closing(app: "WSGIApplication") -> "WSGIApplication":
    """``app``, which has each connection closed behind its answer, as soon as this worker shall end."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not _leaves:
            return app(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], *rest)

        return app(environ, start)

    return application


def stop_once(event: Any, listener: int) -> Any:
    """Have SIGTERM set ``event`` once, for which the main thread of a worker waits; returns it.

    A handler of Python's would run in that thread, too late or twice at once; and a signal that comes just before the
    thread begins to wait does not wake it. So the kernel tells another thread. ``listener`` is the descriptor of the
    socket that has the connections of the worker.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)

    def stop() -> None:
        global _leaves
        os.read(reader, 1)
        _leaves = True
        # Granian closes connections without a request. So it takes no more of them, and the last ones have time for it.
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            nobody.setblocking(False)
            os.dup2(nobody.fileno(), listener, inheritable=False)
        time.sleep(REQUEST)
        event.set()

    threading.Thread(target=stop, daemon=True).start()
    return event
