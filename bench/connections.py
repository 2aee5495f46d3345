"""What many slow or idle connections of one client do to everybody else: `make bench-connections`.

A folder with a small file and one of 200 MB, and `elasticpypi serve` on it. An attack is a process of its own that
opens its connections and then does next to nothing; meanwhile others ask for a page and a small file, over new
connections and over one that is kept. The table says how long their answers took.
"""

import argparse
import http.client
import multiprocessing
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlsplit

from bench.corpus import CACHE, Corpus, wheel
from bench.load import basic
from bench.packages import make_wheel
from bench.process import Failed
from bench.server import PASSWORD, Place
from bench.servers import ELASTICPYPI
from bench.tables import markdown, say
from bench.targets import Target, running

LARGE = 200_000_000
FILLING = 2  # seconds that the first answers take, and buffers to be full
OPENING = 60  # seconds in which an attack opens its connections
LOGIN = "".join(f"{name}: {value}\r\n" for name, value in basic(ELASTICPYPI.user, PASSWORD).items())
PAGE = f"GET /simple/ HTTP/1.1\r\nHost: bench\r\n{LOGIN}\r\n".encode()
DOWNLOAD = f"GET /packages/large-1.0-py3-none-any.whl HTTP/1.1\r\nHost: bench\r\n{LOGIN}\r\n".encode()
UPLOAD = (
    f"POST /legacy/ HTTP/1.1\r\nHost: bench\r\n{LOGIN}Content-Type: multipart/form-data; boundary=x\r\n"
    "Content-Length: 10000000\r\n\r\n"
).encode()


@dataclass(frozen=True, slots=True)
class Attack:
    """``count`` connections that send ``first``, and then, each second, a byte more or read one."""

    name: str
    count: int
    first: bytes = b""
    sends: bool = False
    reads: bool = False
    answered: bool = False  # the first request is answered before anything else


ATTACKS = (
    Attack("nobody", 0),  # what the machine does by itself
    Attack("nothing is sent", 5000),
    Attack("half a request", 5000, PAGE[:-2]),
    Attack("one request, then silence", 5000, PAGE, answered=True),
    Attack("downloads of 200 MB, unread", 500, DOWNLOAD),
    Attack("downloads of 200 MB, a byte a second", 500, DOWNLOAD, reads=True),
    Attack("uploads, nothing after the head", 200, UPLOAD),
    Attack("uploads, a byte a second", 200, UPLOAD, sends=True),
)


@dataclass
class Others:
    """Everybody else, who ask until the block ends."""

    times: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def slowest(self) -> str:
        """In ms: what 999 of 1,000 answers took at most, and the slowest."""
        times = sorted(self.times)
        return f"{times[int(len(times) * 0.999)]:,.0f} ({times[-1]:,.0f})"


@contextmanager
def others(address: str) -> Iterator[Others]:
    """Ask for a page and for a small file in turn, each over a new connection and over one that is kept."""
    told, ended = Others(), threading.Event()
    headers = basic(ELASTICPYPI.user, PASSWORD)

    def ask(kept: bool) -> None:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        while not ended.is_set():
            for path in ("/simple/", "/packages/small-1.0-py3-none-any.whl", "/health"):
                begin = time.monotonic()
                try:
                    connection.request("GET", path, headers=headers)
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        told.failed.append(f"{path}: {answer.status}")
                except OSError as error:
                    told.failed.append(f"{path}: {error!r}")
                    connection.close()
                told.times.append((time.monotonic() - begin) * 1000)
                if not kept:
                    connection.close()
            ended.wait(0.005)
        connection.close()

    threads = [threading.Thread(target=ask, args=(kept,)) for kept in (False, True)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def attack(what: Attack, address: str, opened: Event, stop: Event, left: "multiprocessing.Queue[int]") -> None:
    """Open the connections, say so, and tell how many of them the server left open, again and again until ``stop``."""
    parts = urlsplit(address)
    sockets, end = [], time.monotonic() + OPENING
    for _ in range(what.count):
        with suppress(OSError):  # where no more are taken, there are fewer
            connection = socket.create_connection(
                (parts.hostname, parts.port), timeout=max(end - time.monotonic(), 0.01)
            )
            connection.sendall(what.first)
            if what.answered:
                connection.recv(65536)
            connection.setblocking(False)
            sockets.append(connection)
    opened.set()
    while not stop.wait(1):
        for connection in list(sockets):
            if _has_ended(what, connection):
                connection.close()
                sockets.remove(connection)
        left.put(len(sockets))
    for connection in sockets:
        connection.close()


def _has_ended(what: Attack, connection: socket.socket) -> bool:
    """Whether the server ended it; a byte goes to or fro first, if the attack does that."""
    with suppress(OSError):
        if what.sends:
            connection.send(b"-")
        if what.reads:
            connection.recv(1)
    # The end itself stays behind what is unread, so the state says it.
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1  # TCP_ESTABLISHED


def measure(target: Target, what: Attack, seconds: float) -> list[str]:
    """A row of the table: the slowest answer that others got while the attack came, was there, and was over."""
    opened, stop = multiprocessing.Event(), multiprocessing.Event()
    left: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=attack, args=(what, target.address, opened, stop, left), daemon=True)
    with others(target.address) as coming:
        process.start()
        opened.wait()
        time.sleep(FILLING)
    ended, open_now, begin = None, what.count, time.monotonic()
    memory = 0.0
    with others(target.address) as there:
        while ended is None and time.monotonic() - begin < seconds:
            time.sleep(0.5)
            memory = max(memory, target.group.memory()[0])
            while not left.empty():
                open_now = left.get()
            if what.count and open_now == 0:
                ended = time.monotonic() - begin
    stop.set()
    process.join(20)
    with others(target.address) as after:
        time.sleep(2)
    failed = [*coming.failed, *there.failed, *after.failed]
    if failed:
        say(f"{what.name}: {len(failed)} of the others were refused or failed, such as {failed[0]}")
    return [
        f"{what.count:,} x {what.name}" if what.count else what.name,
        *[told.slowest for told in (coming, there, after)],
        str(len(failed)),
        f"{ended:.0f}" if ended is not None else f"{open_now:,} left" if what.count else "-",
        f"{memory:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.connections", description=__doc__)
    parser.add_argument("--seconds", type=float, default=100, help="how long an attack is there at most [100]")
    parser.add_argument("--only", default="", help="only attacks whose names have this in them")
    options = parser.parse_args()
    multiprocessing.set_start_method("fork")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("Stopped."))  # and the server with us
    rows = []
    with serving() as target:
        for what in ATTACKS:
            if options.only in what.name:
                rows.append(measure(target, what, options.seconds))
                say(" | ".join(rows[-1]))
    say("\nMilliseconds that 999 of 1,000 answers to others took at most, and the slowest:\n")
    titles = ["", "while they come", "while they are there", "afterwards"]
    say(markdown([*titles, "failed", "all ended after s", "MB of a worker"], rows))


@contextmanager
def serving() -> Iterator[Target]:
    """`elasticpypi serve` on a folder with two files."""
    folder = CACHE / "run" / "connections"
    shutil.rmtree(folder, ignore_errors=True)
    packages = folder / "packages"
    packages.mkdir(parents=True)
    make_wheel(packages, "small", "1.0", files={"small.bin": bytes(20_000)})
    wheel(packages, "large", "1.0", LARGE)
    with running(ELASTICPYPI, Corpus(0), Place(folder, 0, Path(sys.executable).parent)) as target:
        yield target


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(f"This cannot be measured: {error}.")
