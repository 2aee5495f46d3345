"""What is measured of elasticpypi alone as it grows."""

import gzip
import time
from collections.abc import Mapping
from statistics import median

from bench.corpus import Corpus
from bench.load import HTML, JSON, upload_rate, uploads
from bench.process import Failed
from bench.rows import Goals, Measure, Row, all_pages, largest, not_modified, project, started
from bench.servers import ELASTICPYPI
from bench.targets import Target

# Of the largest only the first thousand have ten files: a million files are beyond a small disk.
SIZES = (Corpus(100), Corpus(1_000), Corpus(10_000), Corpus(100_000, full=1_000))
GZIP_JSON = {"Accept": JSON, "Accept-Encoding": "gzip"}  # what uv asks for


def cached_root(headers: Mapping[str, str]) -> Measure:
    """Milliseconds of a root list that the server has sent before, over a new connection each."""

    def measure(target: Target, seconds: int) -> float:
        times = [_root(target, headers)[0] for _ in range(14)]
        return median(times[4:]) * 1000  # each worker has had it by then

    return measure


def changed_root(target: Target, seconds: int) -> float:
    """Milliseconds of the first root list after a new project, the worst of five; no worker may send an older one."""
    worst = 0.0
    for number in range(5):
        _upload(target, f"change{number}", 1)
        for asked in range(4):
            passed, body = _root(target, GZIP_JSON)
            worst = max(worst, passed if asked == 0 else 0.0)
            if f'"upload-change{number}-0"'.encode() not in body:
                raise Failed("a root list is older than the upload that was acknowledged")
    return worst * 1000


def upload_cost(target: Target, seconds: int) -> float:
    """Milliseconds of an upload of 20 kB, one after another."""
    return 1000 / _upload(target, "many", 500 * seconds, seconds)


def _root(target: Target, headers: Mapping[str, str]) -> tuple[float, bytes]:
    begin = time.monotonic()
    answer = target.get("", headers)
    passed = time.monotonic() - begin
    return passed, gzip.decompress(answer.body) if answer.headers["Content-Encoding"] == "gzip" else answer.body


def _upload(target: Target, what: str, count: int, seconds: float = 0) -> float:
    """Uploads per second, to projects whose names begin with ``upload-`` and what."""
    bodies = uploads(what, count, 20_000)
    return upload_rate(target.address + ELASTICPYPI.upload, target.credentials, bodies, seconds)


ROWS = (
    Row("page", "project page, 10 files, HTML", "requests/s", project(HTML)),
    Row("all", "100 project pages in turn, HTML", "requests/s", all_pages(100)),
    Row("all-1000", "1,000 project pages in turn, HTML", "requests/s", all_pages(1000)),
    Row("not-modified", "304", "requests/s", not_modified),
    Row("root-html", "root list, HTML", "ms", cached_root({"Accept": HTML}), less=True, goals=Goals(most=50)),
    Row("root-json", "root list, JSON, gzip", "ms", cached_root(GZIP_JSON), less=True, goals=Goals(most=50)),
    Row("root-changed", "the same after a new project", "ms", changed_root, less=True, goals=Goals(most=1000)),
    Row("upload", "upload of 20 kB", "ms", upload_cost, less=True),
    Row("start", "from start to the first root list", "s", started, less=True, goals=Goals(most=0.7)),
    Row("largest", "memory of its largest process", "MB", largest, less=True, goals=Goals(most=60)),
)
# Of these, what 10,000 and more projects have is within 20 % of what 100 have.
LEVEL = ("page", "all", "not-modified", "upload")
# Up to so many projects the goals of these hold.
BOUNDED = {"root-html": 100_000, "root-json": 100_000, "root-changed": 100_000, "start": 10_000, "largest": 10_000}
