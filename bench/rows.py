"""What is measured: a row of the table is a title, a unit, and a function of a running server."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from bench.corpus import FILES, LARGE, SMALL, THOUSAND, Corpus
from bench.load import HTML, JSON, links, upload_rate, uploads
from bench.process import Failed
from bench.resolve import uv_compile
from bench.targets import Target

MANY = Corpus(1_000, special=True)
MORE = Corpus(10_000, full=1_000)

Measure = Callable[[Target, int], float | None]


@dataclass(frozen=True, slots=True)
class Goals:
    """At least so many times the best peer, nginx, nginx with a password; ``most``, in the unit of the row. 0: none."""

    peers: float = 0
    nginx: float = 0
    login: float = 0
    most: float = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row. ``measure`` takes a server and seconds; None means that the server has no such thing."""

    key: str
    title: str
    unit: str
    measure: Measure
    corpus: Corpus = MANY
    less: bool = False  # is better
    once: bool = False  # as it is the same in every round
    turns: int = 1  # of all servers in each round, of which the better half counts
    goals: Goals = Goals()


def page(path: str, media: str, entries: Callable[[Corpus], int]) -> Measure:
    """Requests per second of a page, after a look whether it has all its entries, and a second that does not count."""

    def measure(target: Target, seconds: int) -> float | None:
        answer = target.get(path, {"Accept": media})
        if answer.status != 200:
            raise Failed(f"{answer.url} was answered {answer.status}")
        if media == JSON:
            if not answer.headers["Content-Type"].startswith(JSON):
                return None
            found = len(json.loads(answer.body)["files" if path else "projects"])
        else:
            found = len(links(answer.body))
        if found < entries(target.corpus) or (path and found > entries(target.corpus)):
            raise Failed(f"{answer.url} has {found} entries, not {entries(target.corpus)}")
        target.rate(answer.url, {"Accept": media}, 1)
        return target.rate(answer.url, {"Accept": media}, seconds)[0]

    return measure


def root(media: str) -> Measure:
    """The root list."""
    return page("", media, lambda corpus: corpus.projects)


def project(media: str) -> Measure:
    """The page of a project with FILES files."""
    return page("project-000007/", media, lambda corpus: FILES)


def thousand(media: str) -> Measure:
    """The page of the project with 1,000 files."""
    return page(f"{THOUSAND}/", media, lambda corpus: 1000)


def all_pages(count: int) -> Measure:
    """Requests per second when each is for the page of another project, of the first ``count``."""

    def measure(target: Target, seconds: int) -> float | None:
        if count > target.corpus.projects:
            return None
        paths = [f"{target.server.simple}{target.corpus.project(number)}/" for number in range(count)]
        target.rate(target.root, {"Accept": HTML}, 4, paths)  # what a server keeps, its processes have kept by then
        return target.rate(target.root, {"Accept": HTML}, seconds, paths)[0]

    return measure


def not_modified(target: Target, seconds: int) -> float | None:
    """Requests per second of a page that the client has already."""
    answer = target.get("project-000007/", {"Accept": HTML})
    headers = {"Accept": HTML}
    if etag := answer.headers["ETag"]:
        headers["If-None-Match"] = etag
    if modified := answer.headers["Last-Modified"]:
        headers["If-Modified-Since"] = modified
    if target.get(answer.url, headers).status != 304:
        return None
    return target.rate(answer.url, headers, seconds)[0]


def file_url(target: Target, name: str) -> str:
    """The URL of the one file of a project, as its page has it, after redirects."""
    listing = target.get(f"{name}/", {"Accept": HTML})
    url = urljoin(listing.url, links(listing.body)[0].partition("#")[0])
    [wheel] = (target.corpus.folder / name).iterdir()
    for _ in range(100):
        answer = target.get(url)
        if len(answer.body) != wheel.stat().st_size:
            raise Failed(f"{answer.url} has {len(answer.body)} bytes, not {wheel.stat().st_size}")
        if urlsplit(answer.url).netloc == urlsplit(target.address).netloc:
            return answer.url
        time.sleep(0.1)  # proxpi sends its clients to its index until it has the file itself
    raise Failed(f"{url} leads to another server")


def files(target: Target, seconds: int) -> float:
    """Downloads per second of a small file."""
    return target.rate(file_url(target, SMALL), {}, seconds)[0]


def megabytes(target: Target, seconds: int) -> float:
    """MB per second of a large file."""
    return target.rate(file_url(target, LARGE), {}, seconds)[1] / 1e6


def upload(target: Target, seconds: int) -> float | None:
    """Uploads per second, one after another, to ten projects in turn."""
    if not target.server.upload:
        return None
    bodies = uploads("many", 500 * seconds, 20_000)
    return upload_rate(target.address + target.server.upload, target.credentials, bodies, seconds)


def pip_megabytes(target: Target, seconds: int) -> float:
    """MB that pip receives until it knows what TREE needs."""
    return target.traffic.received / 1e6


def pip_requests(target: Target, seconds: int) -> float:
    """Requests that it sends for that."""
    return target.traffic.requests


def uv_seconds(target: Target, seconds: int) -> float:
    """Seconds that uv takes for it. Most of it is the start of processes, which varies: it takes many turns."""
    return uv_compile(target.index)


def memory(target: Target, seconds: int) -> float:
    """MB of all processes."""
    return sum(target.group.memory())


def largest(target: Target, seconds: int) -> float:
    """MB of the largest process."""
    return target.group.memory()[0]


def started(target: Target, seconds: int) -> float:
    """Seconds from its start to the first root list."""
    return target.started


PAGE = Goals(peers=10, nginx=1 / 3)
AS_FAST = Goals(nginx=0.97, login=0.97)  # where less is not to be told apart from one run to the next
ROWS = (
    Row("root-html", "root list, HTML", "requests/s", root(HTML), goals=PAGE),
    Row("root-json", "root list, JSON", "requests/s", root(JSON), goals=PAGE),
    Row("page-html", "project page, 10 files, HTML", "requests/s", project(HTML), goals=PAGE),
    Row("page-json", "project page, 10 files, JSON", "requests/s", project(JSON), goals=PAGE),
    Row("all-html", "1,000 project pages in turn, HTML", "requests/s", all_pages(1000), goals=PAGE),
    Row("thousand-html", "project page, 1,000 files, HTML", "requests/s", thousand(HTML), goals=PAGE),
    Row("thousand-json", "project page, 1,000 files, JSON", "requests/s", thousand(JSON), goals=PAGE),
    Row("not-modified", "304", "requests/s", not_modified, goals=PAGE),
    Row("small-file", "file of 20 kB", "requests/s", files, goals=Goals(peers=5)),
    Row("large-file", "file of 50 MB", "MB/s", megabytes, goals=Goals(nginx=1)),
    Row("pip-bytes", "pip resolves 20 projects", "MB", pip_megabytes, less=True, once=True, goals=Goals(nginx=0.9)),
    Row("pip-requests", "the same", "requests", pip_requests, less=True, once=True, goals=Goals(nginx=1)),
    Row("uv", "`uv pip compile` of the same", "s", uv_seconds, less=True, turns=40, goals=AS_FAST),
    Row("upload", "uploads of 20 kB, one by one", "uploads/s", upload, goals=Goals(peers=5)),
    Row("memory", "memory of all its processes", "MB", memory, less=True),
    Row("largest", "memory of its largest process", "MB", largest, less=True, goals=Goals(most=60)),
    Row("start", "from start to the first root list", "s", started, less=True, goals=Goals(most=0.7)),
    Row("more-root-html", "root list of 10,000 projects, HTML", "requests/s", root(HTML), MORE, goals=PAGE),
    Row("more-root-json", "root list of 10,000 projects, JSON", "requests/s", root(JSON), MORE, goals=PAGE),
    Row("more-page-html", "10-file page of 10,000, HTML", "requests/s", project(HTML), MORE, goals=PAGE),
    Row("more-page-json", "10-file page of 10,000, JSON", "requests/s", project(JSON), MORE, goals=PAGE),
    Row("more-largest", "largest process with 10,000 projects", "MB", largest, MORE, less=True, goals=Goals(most=60)),
    Row("more-start", "start with 10,000 projects", "s", started, MORE, less=True, goals=Goals(most=0.7)),
)
