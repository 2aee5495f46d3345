"""What is measured of indexes that ask another one, and what is to be reached."""

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from statistics import median
from urllib.parse import urljoin, urlsplit

from bench import upstream
from bench.corpus import FILES
from bench.load import HTML, JSON, links
from bench.process import Failed
from bench.resolve import uv_compile
from bench.rows import Measure, Row, file_url, page
from bench.targets import Target
from bench.upstream import ALONE, CACHING, DIRECT, HANGING, HUGE, LARGE, LARGEST, OWN, PUBLIC, SMALL

COLD = 40  # pages that are asked for first in a row; what is kept of them is asked for no more
KEPT = "public-399/"  # a page that no cold row asks for
WAITING, AGAIN = 20, 2.0  # clients that wait for the index that never answers, and ask again after so many seconds
LOOK = 0.02  # seconds between two looks at the memory of processes
INSTALLER = {"Accept": JSON, "Accept-Encoding": "gzip"}  # as pip and uv ask


def kept(measure: Measure) -> Measure:
    """Of what came from the other index before: of no server that has none, or none that answers."""

    def measured(target: Target, seconds: int) -> float | None:
        return None if target.server in (ALONE, HANGING, DIRECT) else measure(target, seconds)

    return measured


def asking(measure: Measure) -> Measure:
    """Of what comes from the other index: directly too."""

    def measured(target: Target, seconds: int) -> float | None:
        return None if target.server in (ALONE, HANGING) else measure(target, seconds)

    return measured


def own(measure: Measure) -> Measure:
    """Of what elasticpypi has itself, while some clients wait for the index that never answers."""

    def measured(target: Target, seconds: int) -> float | None:
        if target.server not in (CACHING, ALONE, HANGING):
            return None
        with waiting(target, WAITING if target.server is HANGING else 0):
            return measure(replace(target, corpus=OWN), seconds)

    return measured


@contextmanager
def waiting(target: Target, count: int) -> Iterator[None]:
    """So many clients ask for projects of the other index, each for another one when it got its answer."""
    ended = threading.Event()

    def ask(number: int) -> None:
        while not ended.is_set():
            number += count
            with suppress(OSError, http.client.HTTPException):
                _timed(target, f"{target.root}unknown-{number}/", None)
            ended.wait(AGAIN)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()  # who still waits is not waited for


def rate(name: str, media: str) -> Measure:
    """Requests per second of a page with FILES files."""
    return page(name, media, lambda corpus: FILES)


def small(name: str) -> Measure:
    """Downloads per second of the file of a project."""
    return lambda target, seconds: target.rate(file_url(target, name), {}, seconds)[0]


def megabytes(name: str) -> Measure:
    """MB per second of the same."""
    return lambda target, seconds: target.rate(file_url(target, name), {}, seconds)[1] / 1e6


def cold_page(target: Target, seconds: int) -> float | None:
    """Milliseconds of a page that nobody asked for before, beyond those of the other index for the same page."""
    beyond = []
    ours, theirs = _connection(target.root), _connection(target.upstream)
    for _ in range(COLD):
        path = f"{upstream.page(_next(target, 'page', upstream.PAGES - 1))}/"
        directly = _timed(target, f"{target.upstream}/simple/{path}", theirs)
        beyond.append((_timed(target, f"{target.root}{path}", ours) - directly) * 1000)
    return median(beyond)


def cold_resolve(target: Target, seconds: int) -> float:
    """Seconds that uv takes for what it needs, of which nobody asked for anything before."""
    return uv_compile(target.index, upstream.tree(_next(target, "tree", upstream.TREES)))


def warm_resolve(target: Target, seconds: int) -> float:
    """Seconds that it takes for what it asked for before."""
    return uv_compile(target.index, upstream.tree(0))


def largest(what: str) -> Measure:
    """A fact of the first request for a page of 46,724 files: all of them are of the same request."""

    def measured(target: Target, seconds: int) -> float | None:
        if LARGEST not in target.known:
            target.known[LARGEST] = {}  # what has failed once is no longer the first request
            target.known[LARGEST] = _largest(target, LARGEST[0])
        found: Mapping[str, float] = target.known[LARGEST]
        return found.get(what)

    return measured


def _largest(target: Target, name: str) -> dict[str, float]:
    url = f"{target.root}{name}/"
    target.rate(f"{target.root}{KEPT}", INSTALLER, 1)  # whatever is needed for any page is there by then
    target.group.wait_until_idle()
    cpu, memory = target.group.cpu(), sum(target.group.memory())
    with peak(target) as highest:
        first = _timed(target, url, None, timeout=120)
    target.group.wait_until_idle()
    found = {
        "cpu": target.group.cpu() - cpu,
        "memory": sum(target.group.memory()) - memory,
        "peak": highest[0] - memory,
        "seconds": first,
    }
    names = target.get(url, {"Accept": JSON}).body.count(b'"filename":')
    if names != upstream.MOST:
        raise Failed(f"{url} has {names} files, not {upstream.MOST}")
    return found


def largest_others(target: Target, seconds: int) -> float:
    """Milliseconds of the slowest answer to others while one asks for another such page for the first time."""
    with others(target, f"{target.root}{KEPT}") as slowest:
        _timed(target, f"{target.root}{LARGEST[1]}/", None, timeout=120)
    return slowest[0] * 1000


def huge_memory(target: Target, seconds: int) -> float | None:
    """MB more of all processes while a file of 500 MB comes through them for the first time."""
    return _huge(target).get("memory")


def huge_first(target: Target, seconds: int) -> float | None:
    """Milliseconds until its first byte is there, beyond those of the other index."""
    return _huge(target).get("first")


def _huge(target: Target) -> Mapping[str, float]:
    if HUGE not in target.known:
        target.known[HUGE] = {}  # what has failed once is no longer the first request
        file_url(target, SMALL)
        listing = target.get(f"{HUGE}/")
        url = urljoin(listing.url, links(listing.body)[0].partition("#")[0])
        site = urlsplit(f"{target.upstream}/packages/{HUGE}/{urlsplit(url).path.rpartition('/')[2]}").geturl()
        directly = [_first_byte(target, site, whole=False) for _ in range(5)]
        target.group.wait_until_idle()
        before = sum(target.group.memory())
        with peak(target) as highest:
            first = _first_byte(target, url, whole=True)
        target.known[HUGE] = {"memory": highest[0] - before, "first": (first - median(directly)) * 1000}
    found: Mapping[str, float] = target.known[HUGE]
    return found


def _first_byte(target: Target, url: str, *, whole: bool) -> float:
    """Seconds until the first byte of a file came; then all of them, as fast as they come."""
    connection, begin = _connection(url), time.monotonic()
    try:
        connection.request("GET", urlsplit(url).path, headers=_login(target, url))
        answer = connection.getresponse()
        answer.read(1)
        passed, size = time.monotonic() - begin, 1
        if answer.status != 200:
            raise Failed(f"{url} was answered {answer.status}")
        while whole and (chunk := answer.read(1 << 18)):
            size += len(chunk)
        if whole and size < 500 * upstream.MEGABYTE:
            raise Failed(f"{url} has ended after {size} bytes")
    finally:
        connection.close()
    return passed


@contextmanager
def peak(target: Target) -> Iterator[list[float]]:
    """The MB that its processes had at most until the block ends."""
    highest, ended = [sum(target.group.memory())], threading.Event()

    def look() -> None:
        while not ended.wait(LOOK):
            highest[0] = max(highest[0], sum(target.group.memory()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        ended.set()
        thread.join()


@contextmanager
def others(target: Target, url: str) -> Iterator[list[float]]:
    """The longest time that an answer took to four others, who ask for a page that is kept until the block ends."""
    slowest, ended = [0.0], threading.Event()

    def ask() -> None:
        connection = _connection(url)
        _timed(target, url, connection)
        while not ended.is_set():
            slowest[0] = max(slowest[0], _timed(target, url, connection))
            ended.wait(0.01)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield slowest
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _timed(target: Target, url: str, connection: http.client.HTTPConnection | None, timeout: float = 60) -> float:
    """Seconds of a page as an installer asks for it; over a connection of its own if none is given."""
    used = connection or _connection(url, timeout)
    begin = time.monotonic()
    used.request("GET", urlsplit(url).path, headers={**INSTALLER, **_login(target, url)})
    answer = used.getresponse()
    answer.read()
    passed = time.monotonic() - begin
    if connection is None:
        used.close()
    if answer.status != 200 and target.server is not HANGING:
        raise Failed(f"{url} was answered {answer.status}")
    return passed


def _connection(url: str, timeout: float = 60) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)


def _login(target: Target, url: str) -> dict[str, str]:
    return target.login if url.startswith(target.address) else {}


def _next(target: Target, what: str, most: int) -> int:
    """Each number once: what nobody asked this server for."""
    number = int(target.known.get(what, 0))
    if number >= most:
        raise Failed(f"there are no more than {most} of what nobody asked for")
    target.known[what] = number + 1
    return number


def _row(key: str, title: str, unit: str, measure: Measure, *, less: bool = False, turns: int = 1) -> Row:
    return Row(key, title, unit, measure, PUBLIC, less=less, turns=turns)


# The order counts: what is cold is asked for before it is kept.
ROWS = (
    _row("cold-page", "cold page, beyond the other index's own time", "ms", kept(cold_page), less=True, turns=3),
    _row("cold-resolve", "`uv pip compile` of 60 projects, cold", "s", asking(cold_resolve), less=True, turns=8),
    _row("warm-resolve", "the same, warm", "s", asking(warm_resolve), less=True, turns=8),
    _row("largest-cpu", "first request for a page of 46,724 files, CPU", "s", kept(largest("cpu")), less=True),
    _row("largest-seconds", "time until it is there", "s", kept(largest("seconds")), less=True),
    _row("largest-others", "slowest answer to others meanwhile", "ms", kept(largest_others), less=True),
    _row("largest-peak", "memory more, at most", "MB", kept(largest("peak")), less=True),
    _row("largest-memory", "memory more, afterwards", "MB", kept(largest("memory")), less=True),
    _row("huge-memory", "first request for a file of 500 MB, memory more", "MB", kept(huge_memory), less=True),
    _row("huge-first", "its first byte, beyond the other index's", "ms", kept(huge_first), less=True),
    _row("kept-html", "kept page, 10 files, HTML", "requests/s", kept(rate(KEPT, HTML))),
    _row("own-html", "own page, 10 files, HTML", "requests/s", own(rate(f"{upstream.OWN_PAGE}/", HTML))),
    _row("kept-json", "kept page, 10 files, JSON", "requests/s", kept(rate(KEPT, JSON))),
    _row("own-json", "own page, 10 files, JSON", "requests/s", own(rate(f"{upstream.OWN_PAGE}/", JSON))),
    _row("kept-small", "kept file of 20 kB", "requests/s", kept(small(SMALL))),
    _row("own-small", "own file of 20 kB", "requests/s", own(small(upstream.OWN_SMALL))),
    _row("kept-large", "kept file of 50 MB", "MB/s", kept(megabytes(LARGE))),
    _row("own-large", "own file of 50 MB", "MB/s", own(megabytes(upstream.OWN_LARGE))),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """What elasticpypi has to reach in a row: ``least`` or ``most``, in its unit; of ``than``, a row and a server,
    if there is one."""

    title: str
    row: str
    least: float = 0
    most: float = 0
    than: tuple[str, str] | None = None
    server: str = CACHING.name


AS_FAST = 0.97  # less is not to be told apart from one run to the next
PAIRS = (("html", "page, HTML"), ("json", "page, JSON"), ("small", "file of 20 kB"), ("large", "file of 50 MB"))
GOALS = (
    *(
        Goal(f"kept {what}, against own", f"kept-{key}", AS_FAST, 0, (f"own-{key}", CACHING.name))
        for key, what in PAIRS
    ),
    *(
        Goal(f"own {what} {how}, against no other index", f"own-{key}", AS_FAST, 0, (f"own-{key}", ALONE.name), server)
        for server, how in ((CACHING.name, "beside another index"), (HANGING.name, "beside one that hangs"))
        for key, what in PAIRS
    ),
    Goal("cold page, beyond the other index's own time, ms", "cold-page", most=5),
    Goal("page of 46,724 files, CPU seconds", "largest-cpu", most=0.6),
    Goal("page of 46,724 files, MB more afterwards", "largest-memory", most=150),
    Goal("cold resolve of 60 projects, against directly", "cold-resolve", 0, 1.15, ("cold-resolve", DIRECT.name)),
    Goal("warm resolve of 60 projects, against directly", "warm-resolve", 0, 1, ("warm-resolve", DIRECT.name)),
    Goal("file of 500 MB, MB more", "huge-memory", most=16),
    Goal("its first byte, beyond the other index's, ms", "huge-first", most=50),
)
