"""Large indexes on AWS, written straight into the table, since uploads would take hours."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from packaging.utils import NormalizedName

from elasticpypi.aws.dynamodb import _item
from elasticpypi.model import File

SERIAL = 1_800_000_000_000


def a_file(project: str, version: str, number: int = 0) -> File:
    """A record as that of a real wheel is; ``number`` makes its digests."""
    digests = [
        hashlib.sha256(f"{kind}{project}{version}{number}".encode()).hexdigest() for kind in ("file", "metadata")
    ]
    return File(
        key=f"{project.replace('-', '_')}-{version}-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        project=NormalizedName(project),
        version=version,
        size=1_234_567 + number,
        sha256=digests[0],
        upload_time=f"2026-01-31T12:00:00.{number:06}Z",
        revision=digests[1][:32],
        requires_python=">=3.10",
        metadata_sha256=digests[1],
        uploader="alice",
    )


def fill(table: Any, *, projects: int = 0, files: int = 0, project: str = "demo") -> None:
    """Put a root list of so many names, and one project with so many files, into a table (boto3's resource)."""
    with table.batch_writer() as batch:
        for item in (*_list(projects), *_project(project, files)):
            batch.put_item(item)


def _list(count: int) -> Iterable[Mapping[str, Any]]:
    for number in range(count):
        yield {"pk": "#projects", "sk": f"project-{number:06}"}
    yield {"pk": "#projects", "sk": "#serial", "serial": SERIAL}


def _project(name: str, count: int) -> Iterable[Mapping[str, Any]]:
    for number in range(count):
        item = _item(a_file(name, f"{number // 100}.{number % 100}.0", number))
        yield {field: int(value["N"]) if "N" in value else value["S"] for field, value in item.items()}
    yield {"pk": f"project#{name}", "sk": "#project", "serial": SERIAL, "files": count}
