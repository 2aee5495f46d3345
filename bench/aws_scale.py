"""A large table on AWS: ``python -m bench.aws_scale [RUNS] [PROJECTS]``, `make bench-aws-scale`.

The functions as in ``bench.cold_start``, on AWS's own DynamoDB Local: once with what those ways need alone, once
with so many projects of ten files each beside it (100,000, which makes 1,000,000 files), and one of 10,000 files.
"""

import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import boto3
from packaging.utils import NormalizedName

from bench.aws import dynamodb_local
from bench.cold_start import PIP, TABLE, WAYS, Figures, Way, asked, deployed, measure
from bench.process import Failed
from bench.tables import say
from elasticpypi.core.model import File, first_serial
from elasticpypi.storage.aws.dynamodb import _item

LARGEST = "ten-thousand-files"
SYLLABLES = "ba be bo ca co da de di fa ga go ha hi ja ka ki la le lo ma me mi na ne no pa pi po ra re ri ro sa se to"


def _page(title: str, path: str, accept: str) -> Way:
    return Way(title, "api", [asked(path, accept, "gzip, deflate")] * 11, '"statusCode": 200')


ROOT = (_page("root list, JSON", "/simple/", PIP), _page("root list, HTML", "/simple/", "text/html"))
LONG = (
    _page("page of 10,000 files, JSON", f"/simple/{LARGEST}/", PIP),
    _page("page of 10,000 files, HTML", f"/simple/{LARGEST}/", "text/html"),
)


def names(count: int) -> list[NormalizedName]:
    """So many names of two to five syllables and, now and then, a number."""
    chosen, found = random.Random(1), set[str]()
    syllables = SYLLABLES.split()
    while len(found) < count:
        parts = ["".join(chosen.choices(syllables, k=chosen.randint(1, 3))) for _ in range(chosen.randint(1, 3))]
        found.add("-".join(parts) + (str(chosen.randint(1, 99)) if chosen.random() < 0.3 else ""))
    return [NormalizedName(name) for name in sorted(found)]


def items(name: NormalizedName, files: int) -> Iterator[Any]:
    """The items of a project, as the index writes them."""
    yield {"pk": {"S": "#projects"}, "sk": {"S": name}}
    for number in range(files):
        version = f"1.{number // 2}"
        spelled = name.replace("-", "_")
        key = f"{spelled}-{version}.tar.gz" if number % 2 else f"{spelled}-{version}-py3-none-any.whl"
        digest = hashlib.sha256(key.encode()).hexdigest()
        file = File(
            key=key,
            project=name,
            version=version,
            size=100_000 + number,
            sha256=digest,
            upload_time="2026-01-31T12:00:00.000000Z",
            revision=digest[:32],
            requires_python=">=3.9",
            metadata_sha256=digest[::-1],
            uploader="elasticpypi",
        )
        yield _item(file)
    head = {
        "pk": {"S": f"project#{name}"},
        "sk": {"S": "#project"},
        "last": {"S": key},
        "revision": {"S": file.revision},
    }
    yield {**head, "serial": {"N": str(first_serial())}, "files": {"N": str(files)}}


def load(projects: Iterable[tuple[NormalizedName, int]], endpoint: str) -> int:
    """Write the items of these projects with so many files each; how many items that were."""
    client = boto3.client("dynamodb", endpoint_url=endpoint)

    def write(batch: Iterable[Any]) -> int:
        puts = [{"PutRequest": {"Item": item}} for item in batch]
        left: Any = {TABLE: puts}
        while left:
            left = client.batch_write_item(RequestItems=left).get("UnprocessedItems")
        return len(puts)

    every = (item for name, files in projects for item in items(name, files))
    total = 0
    with ThreadPoolExecutor(4) as pool:
        while block := list(islice(every, 10_000)):  # not all of them in memory at once
            total += sum(pool.map(write, (block[begin : begin + 25] for begin in range(0, len(block), 25))))
    return total


def table(ways: Iterable[Way], runs: int, projects: int) -> dict[str, Figures]:
    """Way → what it takes with so many projects beside it, and the longest project page if there are any."""
    with (
        tempfile.TemporaryDirectory() as folder,
        dynamodb_local(Path(folder)) as endpoint,
        deployed(AWS_ENDPOINT_URL_DYNAMODB=endpoint) as functions,
    ):
        if projects:
            begin = time.monotonic()
            total = load([*((name, 10) for name in names(projects)), (NormalizedName(LARGEST), 10_000)], endpoint)
            say(f"{total:,} items in {time.monotonic() - begin:.0f} s\n")
        return {
            way.title: measure(functions.python, functions.task, way, functions.environment(way), runs) for way in ways
        }


def main(runs: int = 5, projects: int = 100_000) -> None:
    small = table((*WAYS, *ROOT), runs, 0)
    large = table((*WAYS, *ROOT, *LONG), runs, projects)
    say(f"Medians of {runs}: alone, and with {projects:,} projects.\n")
    say("| | first answer, ms | with | a later one, ms | with | peak, MB | with |")
    say("|---|---:|---:|---:|---:|---:|---:|")
    for title, with_many in large.items():
        few = small.get(title)
        cells = [
            f"{getattr(each, name):.{digits}f}" if each else "-"
            for name, digits in (("first", 0), ("later", 1), ("peak", 0))
            for each in (few, with_many)
        ]
        say(f"| {title} | {' | '.join(cells)} |")


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except Failed as error:
        sys.exit(f"This cannot be measured: {error}.")
