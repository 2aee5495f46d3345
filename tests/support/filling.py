"""Large indexes on AWS, written straight into the table, since uploads would take hours."""

import hashlib
from collections.abc import Iterable
from typing import Any

from packaging.utils import NormalizedName

from elasticpypi.core.model import File
from elasticpypi.storage.aws.dynamodb import _item
from elasticpypi.storage.aws.rootlist import ROOT

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


def fill(client: Any, table: str, *, names: Iterable[str] = (), files: int = 0, project: str = "demo") -> list[Any]:
    """Put these names into the root list, and so many files into one project; the keys of all items."""
    items = [{"pk": {"S": "#projects"}, "sk": {"S": name}} for name in names]
    if files:
        items += [_item(a_file(project, f"{number // 100}.{number % 100}.0", number)) for number in range(files)]
        head = {"serial": {"N": str(SERIAL)}, "files": {"N": str(files)}}
        items.append({"pk": {"S": f"project#{project}"}, "sk": {"S": "#project"}, **head})
    keys = [{"pk": item["pk"], "sk": item["sk"]} for item in items]
    _batches(client, table, [{"PutRequest": {"Item": item}} for item in items])
    touch(client, table)
    return keys


def empty(client: Any, table: str, keys: Iterable[Any]) -> None:
    """Take items away again."""
    _batches(client, table, [{"DeleteRequest": {"Key": key}} for key in keys])
    touch(client, table)


def touch(client: Any, table: str) -> None:
    """The root list takes another serial, as with every change of it."""
    client.update_item(
        TableName=table,
        Key=ROOT,
        UpdateExpression="SET #serial = if_not_exists(#serial, :first) + :one",
        ExpressionAttributeNames={"#serial": "serial"},
        ExpressionAttributeValues={":first": {"N": str(SERIAL)}, ":one": {"N": "1"}},
    )


def _batches(client: Any, table: str, requests: list[Any]) -> None:
    for begin in range(0, len(requests), 25):
        left = {table: requests[begin : begin + 25]}
        while left:
            left = client.batch_write_item(RequestItems=left).get("UnprocessedItems")
