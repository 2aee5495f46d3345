"""What DynamoDB charges for each kind of request: ``python -m bench.units [PROJECTS]``.

AWS's own DynamoDB Local counts what is read, in units of 4 kB; AWS adds one for what is not there. What a
transaction writes is counted here: each item in units of 1 kB, twice. Projects are those of ``bench.aws_scale``,
with METADATA files of 10 kB.
"""

import hashlib
import io
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import boto3
from packaging.utils import NormalizedName

from bench.aws import dynamodb_local
from bench.aws_scale import items, names
from bench.process import Failed
from bench.tables import markdown
from elasticpypi.core import about
from elasticpypi.core.errors import NotFound
from elasticpypi.core.model import File
from elasticpypi.storage.aws import rootlist
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.contracts import Stat

TABLE = "units"
PAGES = 10, 30, 100, 1_000, 10_000
READ, WRITE = 0.125, 0.625  # dollars per million units on demand, us-east-1


class Meter:
    """A client of DynamoDB that adds up what its calls consume."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[str] = []
        self.read = self.written = 0.0

    def __getattr__(self, operation: str) -> Any:
        real = getattr(self._client, operation)

        def call(**request: Any) -> Any:
            self.calls.append("".join(word.title() for word in operation.split("_")))
            if "TransactItems" in request:
                self.written += written(request["TransactItems"])
                return real(**request)
            answer = real(ReturnConsumedCapacity="TOTAL", **request)
            used = answer["ConsumedCapacity"]
            units = sum(each["CapacityUnits"] for each in (used if isinstance(used, list) else [used]))
            asked = len(request.get("RequestItems", {}).get(TABLE, {}).get("Keys", [])) or 1
            found = len(answer["Responses"][TABLE]) if "Responses" in answer else bool(answer.get("Item", units))
            self.read += units + asked - found
            return answer

        return call

    def of(self, call: Callable[[], object]) -> list[str]:
        """The cells of a row: calls, units, price."""
        self.calls, self.read, self.written = [], 0.0, 0.0
        call()
        counted = [f"{self.calls.count(name)} {name}" for name in dict.fromkeys(self.calls)]
        dollars = self.read * READ + self.written * WRITE
        return [", ".join(counted), f"{self.read:,.0f}", f"{self.written:,.0f}", f"{dollars:,.2f}"]


def written(actions: list[Any]) -> int:
    """Units of a transaction that only writes (AWS: DynamoDB item sizes and formats)."""
    items = (content.get("Item", content.get("Key")) for action in actions for content in action.values())
    return sum(2 * -(-_size(item) // 1024) for item in items)


def _size(item: Any) -> int:
    values = (value for typed in item.values() for value in typed.values())
    return sum(map(len, item)) + sum(len(value if isinstance(value, bytes) else value.encode()) for value in values)


class Memory:
    """What the root list takes of :class:`~elasticpypi.storage.aws.s3.S3Files`, which DynamoDB does not charge for."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def put(self, key: str, body: bytes, **_: str) -> str:
        self._kept[key] = body
        return "revision"

    def open(self, what: Stat) -> BinaryIO:
        if what.key not in self._kept:
            raise NotFound(what.key)
        return io.BytesIO(self._kept[what.key])


def fill(client: Any, wanted: Any) -> None:
    """Write items, in batches as large as they may be."""
    wanted = list(wanted)
    for begin in range(0, len(wanted), 25):
        left = {TABLE: [{"PutRequest": {"Item": item}} for item in wanted[begin : begin + 25]]}
        while left:
            left = client.batch_write_item(RequestItems=left).get("UnprocessedItems")


def readme() -> bytes:
    """METADATA of 10 kB that compress like text."""
    chosen = random.Random(1)
    vocabulary = ["".join(chosen.choices("etaoinshrdlucmfw", k=chosen.randint(2, 10))) for _ in range(800)]
    text = " ".join(chosen.choices(vocabulary, k=1_600))
    return f"Metadata-Version: 2.4\nName: n\nVersion: 1\n\n{text}".encode()[:10_000]


def a_file(project: NormalizedName, version: str, metadata: bytes) -> File:
    digest = hashlib.sha256(version.encode()).hexdigest()
    return File(
        key=f"{project.replace('-', '_')}-{version}-py3-none-any.whl",
        project=project,
        version=version,
        size=100_000,
        sha256=digest,
        upload_time="2026-01-31T12:00:00.000000Z",
        revision=digest[:32],
        requires_python=">=3.9",
        metadata_sha256=hashlib.sha256(metadata).hexdigest(),
        uploader="elasticpypi",
    )


def pages(meter: Meter, client: Any, index: DynamoIndex) -> list[list[str]]:
    """Everything about one project."""
    rows = []
    projects = {count: NormalizedName(f"project-of-{count}-files") for count in PAGES}
    for count, name in projects.items():
        fill(client, items(name, count))
        rows.append([f"page of {count:,} files", *meter.of(lambda name=name: index.project(name))])
    name, metadata = projects[10], readme()
    rows.append(["304, or a page that the process had before", *meter.of(lambda: index.serial(name))])
    for title, project in (
        ("upload, the first file of a project", NormalizedName("new")),
        ("upload, its second file", NormalizedName("new")),
        ("upload, the 101st file", projects[100]),
        ("upload, the 1,001st file", projects[1_000]),
    ):
        file = a_file(project, f"9.{len(rows)}", metadata)

        def upload(project: NormalizedName = project, file: File = file) -> None:
            index.project(project)  # what there is already, before the bytes are stored
            index.put(file, metadata, check=lambda _: None, about=about.dump(about.parse(metadata)))

        rows.append([title, *meter.of(upload)])

    def event() -> None:
        index.record(file.project, file.key)
        rootlist.refresh(index.table, index.files)

    rows.append(["event of an upload", *meter.of(event)])
    rows.append(["download, or the link to one", *meter.of(lambda: index.file(file.project, file.filename))])
    rows.append(["metadata", *meter.of(lambda: index.metadata(file.project, file.filename))])
    rows.append(["a file that is not there", *meter.of(lambda: index.file(file.project, "new-0-py3-none-any.whl"))])
    return rows


def lists(meter: Meter, client: Any, index: DynamoIndex, most: int) -> list[list[str]]:
    """The root list as it grows."""
    rows = []
    known = names(most)
    random.Random(1).shuffle(known)
    have = 0
    for count in (1_000, 9_000, most):
        fill(client, ({"pk": rootlist.ROOT["pk"], "sk": {"S": name}} for name in known[have:count]))
        # As an upload of a new project does.
        client.update_item(
            TableName=TABLE,
            Key=rootlist.ROOT,
            UpdateExpression="ADD #serial :one",
            ExpressionAttributeNames={"#serial": "serial"},
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
        have = count
        rows.append([f"root list of {count:,}", *meter.of(index.projects)])
    rows.append([f"root list of {most:,}, once it is kept", *meter.of(index.projects)])
    return rows


def main(most: int = 100_000) -> None:
    with tempfile.TemporaryDirectory() as folder, dynamodb_local(Path(folder)) as endpoint:
        access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        client = boto3.client("dynamodb", endpoint_url=endpoint, **access)  # type: ignore[call-overload]
        client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        meter = Meter(client)
        index = DynamoIndex(TABLE, meter, Memory())  # type: ignore[arg-type]
        rows = [*pages(meter, client, index), *lists(meter, client, index, most)]
    with suppress(BrokenPipeError):
        sys.stdout.write(markdown(["", "calls", "units read", "written", "$ per million"], rows))


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except Failed as error:
        sys.exit(f"This cannot be measured: {error}.")
