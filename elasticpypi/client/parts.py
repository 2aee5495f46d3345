"""Parts of a large file to their signed links: several at once, read as they are sent, each tried again."""

import logging
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import requests

THREADS = 4
TRIES = 8  # of a part, or of a question to the index: the pauses between them add up to a minute
TIMEOUT = 30, 120  # seconds: to connect or to send one block, and until the answer begins
log = logging.getLogger(__name__)


class Failed(Exception):
    """One sentence: why a file is not in the index.

    ``status`` is that of HTTP if it was the index that refused; ``hopeless``: other files would fare no better.
    """

    def __init__(self, sentence: str, status: int = 0, *, hopeless: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.hopeless = hopeless or status == 401


@dataclass
class Parts:
    """The parts of a file that are to be sent.

    ``size`` and ``part_size`` are in bytes; ``links`` has the numbers of the parts, from "1", and where to PUT them.
    ``fresh`` asks for the links of what is still missing. ``moved`` is told how many bytes went, less than none when
    a part broke.
    """

    path: Path
    size: int
    part_size: int
    links: dict[str, str]
    fresh: Callable[[], dict[str, str]]
    moved: Callable[[int], object]
    verify: bool | str = True
    _stop: threading.Event = field(default_factory=threading.Event)
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def length(self, number: str) -> int:
        """The bytes of one part."""
        return min(self.part_size, self.size - (int(number) - 1) * self.part_size)

    def send(self) -> None:
        """Send all of them; :class:`Failed` as soon as one cannot be sent."""
        todo: SimpleQueue[str] = SimpleQueue()
        done: SimpleQueue[BaseException | None] = SimpleQueue()
        numbers = sorted(self.links, key=int)
        for number in numbers:
            todo.put(number)
        for _ in numbers[:THREADS]:
            # Daemons, so that Ctrl-C waits for no answer.
            threading.Thread(target=self._work, args=(todo, done), daemon=True).start()
        try:
            for _ in numbers:
                if error := _next(done):
                    raise error
        finally:
            self._stop.set()

    def _work(self, todo: "SimpleQueue[str]", done: "SimpleQueue[BaseException | None]") -> None:
        with requests.Session() as session, suppress(Empty):
            session.auth = lambda request: request  # the link says it all; S3 refuses what netrc would add
            while not self._stop.is_set():
                number = todo.get_nowait()
                try:
                    self._send(session, number)
                    done.put(None)
                except BaseException as error:
                    done.put(error)

    def _send(self, session: requests.Session, number: str) -> None:
        why = ""
        for attempt in range(TRIES):
            if attempt:
                log.info("Part %s: %s. Trying again.", number, why)
                if self._stop.wait(pause(attempt)):
                    return
                with self._asking:
                    missing = self.fresh()
                if number not in missing:  # it had arrived, only the answer had not
                    self.moved(self.length(number))
                    return
                self.links.update(missing)
            begin = (int(number) - 1) * self.part_size
            with closing(_Range(self.path, begin, self.length(number), self._count)) as content:
                try:
                    with session.put(
                        self.links[number], data=content, timeout=TIMEOUT, verify=self.verify, allow_redirects=False
                    ) as answer:
                        if answer.status_code in (200, 201, 204):
                            return
                        why = f"{answer.status_code} {answer.reason}"
                except requests.RequestException as error:
                    why = reason(error)
                self.moved(-content.gone)
        raise Failed(f"Part {number} could not be sent ({why}): run the same command again to go on.")

    def _count(self, size: int) -> None:
        if self._stop.is_set():
            raise Failed("Stopped.")
        self.moved(size)


class _Range:
    """What is sent as a body: a stretch of a file, never more of it in memory than one block."""

    def __init__(self, path: Path, begin: int, size: int, count: Callable[[int], None]) -> None:
        self.size, self.gone, self._count = size, 0, count
        self._file = path.open("rb")
        self._file.seek(begin)

    def __len__(self) -> int:
        return self.size

    def read(self, size: int = -1, /) -> bytes:
        left = self.size - self.gone
        data = self._file.read(left if size < 0 else min(size, left))
        if left and not data:
            raise Failed("The file became shorter while it was sent.")
        self.gone += len(data)
        self._count(len(data))
        return data

    def close(self) -> None:
        self._file.close()


def _next(done: "SimpleQueue[BaseException | None]") -> BaseException | None:
    """What the next part came to. Ctrl-C just before a wait is acted on after it, so no wait is long."""
    while True:
        with suppress(Empty):
            return done.get(timeout=0.2)


def pause(attempt: int) -> float:
    """Seconds before a further attempt: 0.5, 1, 2, … 30."""
    return min(0.5 * float(2 ** (attempt - 1)), 30)


def reason(error: OSError) -> str:
    """Why a file or a connection failed, without the address: a link is a secret for as long as it lives."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "the connection broke" if isinstance(error, requests.RequestException) else str(error)
