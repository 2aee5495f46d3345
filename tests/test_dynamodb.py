"""What only DynamoDB has: transactions that meet, throttling, pages."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from packaging.utils import NormalizedName

from elasticpypi.aws import dynamodb
from elasticpypi.aws.dynamodb import DynamoIndex
from elasticpypi.errors import Unavailable
from elasticpypi.model import File
from tests.conftest import TABLE

pytestmark = pytest.mark.usefixtures("aws")
DEMO = NormalizedName("demo")


def a_file(number: int) -> File:
    return File(f"demo-{number}.tar.gz", DEMO, str(number), 7, "ab" * 32, "2026-01-31T12:00:00.000000Z", "r1")


class Before:
    """A client that does something else before the next calls of one operation."""

    def __init__(self, operation: str, *happenings: Callable[[], object]) -> None:
        self._client: Any = boto3.client("dynamodb")
        self._operation, self._happenings = operation, list(happenings)
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name != self._operation:
            return real

        def call(**options: Any) -> Any:
            self.calls += 1
            if self._happenings:
                self._happenings.pop(0)()
            return real(**options)

        return call


def failing(code: str, **more: Any) -> Callable[[], None]:
    def fail() -> None:
        raise ClientError({"Error": {"Code": code, "Message": "secret"}, **more}, "TransactWriteItems")

    return fail


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb.time, "sleep", lambda _: None)


def test_writers_that_meet_lose_nothing() -> None:
    other = DynamoIndex(TABLE)
    client = Before("transact_write_items", *(lambda n=number: other.put(a_file(n)) for number in range(1, 4)))
    assert DynamoIndex(TABLE, client).put(a_file(0)) is True  # type: ignore[arg-type]
    assert client.calls == 4
    project = other.project(DEMO)
    assert project is not None
    assert [file.version for file in project.files] == ["0", "1", "2", "3"]
    for number in range(4):
        other.remove(DEMO, f"demo-{number}.tar.gz")
    assert other.projects()[1] == []


def test_the_same_record_from_two_writers_counts_once() -> None:
    other = DynamoIndex(TABLE)
    client = Before("transact_write_items", lambda: other.put(a_file(0)))
    assert DynamoIndex(TABLE, client).put(a_file(0)) is False  # type: ignore[arg-type]
    other.remove(DEMO, "demo-0.tar.gz")
    assert other.projects()[1] == []


def test_conflicts_are_tried_again_but_not_for_ever() -> None:
    conflict = failing("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}])
    client = Before("transact_write_items", conflict, conflict)
    assert DynamoIndex(TABLE, client).put(a_file(0)) is True  # type: ignore[arg-type]
    endless = Before("transact_write_items", *[conflict] * 1000)
    with pytest.raises(Unavailable, match="too many writers"):
        DynamoIndex(TABLE, endless).put(a_file(1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "code",
    [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "InternalServerError",
        "ResourceNotFoundException",
    ],
)
def test_troubles_of_dynamodb_are_503(code: str) -> None:
    client = Before("batch_get_item", failing(code))
    with pytest.raises(Unavailable) as error:
        DynamoIndex(TABLE, client).file(DEMO, "demo-1.tar.gz")  # type: ignore[arg-type]
    assert "secret" not in str(error.value)


def test_a_refusal_is_not_taken_for_an_absence() -> None:
    client = Before("batch_get_item", failing("AccessDeniedException"))
    with pytest.raises(ClientError):
        DynamoIndex(TABLE, client).file(DEMO, "demo-1.tar.gz")  # type: ignore[arg-type]
    too_large = failing("TransactionCanceledException", CancellationReasons=[{"Code": "ItemSizeLimitExceeded"}])
    with pytest.raises(ClientError):
        DynamoIndex(TABLE, Before("transact_write_items", too_large)).put(a_file(0))  # type: ignore[arg-type]


def test_a_throttled_batch_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    index = DynamoIndex(TABLE)
    index.put(a_file(0))
    real = index._db.batch_get_item
    answers = iter([lambda **o: {"Responses": {}, "UnprocessedKeys": o["RequestItems"]}, real])
    monkeypatch.setattr(index._db, "batch_get_item", lambda **options: next(answers)(**options))
    assert index.file(DEMO, "demo-0.tar.gz") == a_file(0)


def test_a_table_that_is_not_there() -> None:
    index = DynamoIndex("no-such-table")
    for call in (index.check, index.projects, lambda: index.serial(DEMO), lambda: index.put(a_file(0))):
        with pytest.raises(Unavailable):
            call()
