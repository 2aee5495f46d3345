"""What logins may cost: few checks at a time, failures slowed, and a line in the log.

A process counts for itself: with two workers a stranger has twice as many tries. Only what was never found right or
wrong comes here; a header that was right before is let in without any of this (``auth.gatekeeper``).
"""

import hashlib
import logging
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Full, Queue
from time import monotonic
from typing import NamedTuple, TypeVar

CHECKS = 2  # at a time
PLACES = 16  # of headers that are checked or wait for it, each of which holds a thread
SHARE = 12  # of these places for one address
JOINED = 16  # threads that wait for what another one finds out about the very same header
ASIDE = 8  # checks that no thread waits for

REMEMBERED = 10_000  # users, addresses, pairs of both
FORGOTTEN = 900  # seconds after the last failure
QUIET = 60  # seconds between two lines on the same user and address

log = logging.getLogger(__name__)

_Key = TypeVar("_Key")
_Entry = TypeVar("_Entry")


class _Limit(NamedTuple):
    """So many failures cost nothing; then the next try has to wait, twice as long each time."""

    free: int
    longest: int  # seconds


# A user at an address. An address with all the users that it tries, and a user whom many addresses try, are kept from
# more than one check a second; there may be others in that crowd (``auth.gatekeeper``).
PAIR, ADDRESS, USER = _Limit(5, 60), _Limit(50, 1), _Limit(100, 1)


@dataclass(slots=True)
class _Count:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0


@dataclass(slots=True)
class _Line:
    wrong: int = 0
    refused: int = 0
    last: float = -math.inf


class Attempts:
    """The failures of a process, in bounded memory; each wait is in whole seconds, 0: there is none."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._counts: OrderedDict[bytes, _Count] = OrderedDict()  # the one that failed last at the end
        self._lock = threading.Lock()

    def crowd(self, name: str, address: str) -> int:
        """How long an address has to wait, or a user, because of others."""
        with self._lock:
            return self._wait(self._keys(name, address)[1:])

    def pair(self, name: str, address: str) -> int:
        """How long this user at this address has to wait."""
        with self._lock:
            return self._wait(self._keys(name, address)[:1])

    def begin(self, name: str, address: str) -> int:
        """The longest of these; if there is none, the check that begins now is a failure until :meth:`succeeded`.

        So those who guess at one user wait for few checks, and never for a place that others need.
        """
        keys, now = self._keys(name, address), monotonic()
        with self._lock:
            if seconds := self._wait(keys):
                return seconds
            for key, limit in keys:
                count = _entry(self._counts, key, _Count)
                count.failures = count.failures + 1 if now - count.last < FORGOTTEN else 1
                count.last = now
                if count.failures >= limit.free:
                    count.until = now + min(2.0 ** min(count.failures - limit.free, 20), limit.longest)
            return 0

    def succeeded(self, name: str, address: str) -> None:
        """The check was no failure: this user at this address begins anew."""
        pair, *others = self._keys(name, address)
        with self._lock:
            self._counts.pop(pair[0], None)
            for key, _ in others:
                if count := self._counts.get(key):
                    count.failures -= 1
                    count.until = 0.0

    def _keys(self, name: str, address: str) -> list[tuple[bytes, _Limit]]:
        """The pair first. As digests: a name may be long, and a password in the wrong field."""
        network = _network(address)
        texts = {f"pair {network} {name}": PAIR, f"address {network}": ADDRESS, f"user {name}": USER}
        return [(self._digest(text), limit) for text, limit in texts.items()]

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=16).digest()

    def _wait(self, keys: Sequence[tuple[bytes, _Limit]]) -> int:
        counts = [self._counts.get(key) for key, _ in keys]
        return math.ceil(max(0.0, *(count.until - monotonic() for count in counts if count), 0.0))


Note = Callable[[str, str, str], None]  # who tried ("": nobody that is known), from which address, how often


class Failures:
    """The log of them: a line a minute for a user and an address. Names that are not ``known`` may be passwords.

    ``note`` is called as often as there is a line.
    """

    def __init__(self, known: Container[str], note: "Note | None" = None) -> None:
        self._known = known
        self._note = note
        self._lines: OrderedDict[tuple[str, str], _Line] = OrderedDict()
        self._lock = threading.Lock()

    def tell(self, name: str, address: str, *, wrong: int = 0, refused: int = 0) -> None:
        """So many were wrong, or refused without a check."""
        who = f"user {name[:100]!r}" if name in self._known else "an unknown user"
        with self._lock:
            line = _entry(self._lines, (who, _network(address)), _Line)
            line.wrong += wrong
            line.refused += refused
            if monotonic() - line.last < QUIET:
                return
            wrong, refused = line.wrong, line.refused
            line.wrong, line.refused, line.last = 0, 0, monotonic()
        place = address or "an unknown address"
        log.warning("Failed logins of %s from %s: %d wrong, %d refused unchecked.", who, place, wrong, refused)
        if self._note:
            self._note(name if name in self._known else "", address, f"{wrong} wrong, {refused} refused unchecked")


class Turns:
    """Whose credentials are checked now: ``checks`` is to be held for that, a place while waiting for it too."""

    def __init__(self) -> None:
        self.checks = threading.Semaphore(CHECKS)
        self._lock = threading.Lock()
        self._places: dict[bytes, tuple[str, threading.Event]] = {}
        self._joined = 0

    @contextmanager
    def place(self, digest: bytes, address: str) -> Iterator[bool | None]:
        """Is it for this thread to check a header? False, later: another thread did so. None: too many wait already.

        So strangers never hold all threads of a worker, and one address not all places.
        """
        network = _network(address)
        with self._lock:
            taken = [each for each, _ in self._places.values()]
            if under_way := self._places.get(digest):
                room = self._joined < JOINED
                self._joined += room
            elif room := len(taken) < PLACES and taken.count(network) < SHARE:
                done = threading.Event()
                self._places[digest] = network, done
        if not room:
            yield None
        elif under_way:
            under_way[1].wait()
            with self._lock:
                self._joined -= 1
            yield False
        else:
            try:
                yield True
            finally:
                with self._lock:
                    del self._places[digest]
                done.set()


class Aside:
    """A thread for checks that no request waits for. What comes when ``ASIDE`` wait is left out."""

    def __init__(self) -> None:
        self._todo: Queue[Callable[[], object]] = Queue(ASIDE)
        self._lock = threading.Lock()
        self._begun = False

    def put(self, check: Callable[[], object]) -> None:
        """Have it done soon; the thread begins with the first, so that no process forks with it."""
        with self._lock:
            if not self._begun:
                threading.Thread(target=self._work, daemon=True).start()
                self._begun = True
        with suppress(Full):
            self._todo.put_nowait(check)

    def _work(self) -> None:
        while True:
            check = self._todo.get()
            try:
                check()
            except Exception:
                log.exception("A password could not be checked.")


def _entry(table: OrderedDict[_Key, _Entry], key: _Key, make: Callable[[], _Entry]) -> _Entry:
    """What a table has, now its newest; what was touched last of all makes room."""
    if key not in table:
        if len(table) >= REMEMBERED:
            table.popitem(last=False)
        table[key] = make()
    table.move_to_end(key)
    return table[key]


def _network(address: str) -> str:
    """What belongs to one customer: an IPv4 address, the first half of an IPv6 address; any other text as it is."""
    if ":" not in address:
        return address
    import ipaddress

    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or f"{int(parsed) >> 64:x}::")
