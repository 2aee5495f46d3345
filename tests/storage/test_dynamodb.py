"""What only DynamoDB has: transactions that meet, and readers that meet them half way."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from packaging.utils import NormalizedName

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.model import Decision, File
from elasticpypi.storage.aws import dynamodb, table
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from tests.support.dynamodb import Before, failing
from tests.support.moto_aws import TABLE

pytestmark = pytest.mark.usefixtures("aws")
DEMO = NormalizedName("demo")


def a_file(number: int) -> File:
    return File(f"demo-{number}.tar.gz", DEMO, str(number), 7, "ab" * 32, "2026-01-31T12:00:00.000000Z", "r1")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


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


def test_a_refusal_is_not_taken_for_an_absence() -> None:
    client = Before("batch_get_item", failing("AccessDeniedException"))
    with pytest.raises(Unavailable, match="AccessDeniedException"):
        DynamoIndex(TABLE, client).file(DEMO, "demo-1.tar.gz")  # type: ignore[arg-type]
    too_large = failing("TransactionCanceledException", CancellationReasons=[{"Code": "ItemSizeLimitExceeded"}])
    with pytest.raises(ClientError):
        DynamoIndex(TABLE, Before("transact_write_items", too_large)).put(a_file(0))  # type: ignore[arg-type]


def test_a_table_that_must_not_be_read_is_not_healthy() -> None:
    client = Before("get_item", failing("AccessDeniedException"))
    with pytest.raises(Unavailable) as error:
        DynamoIndex(TABLE, client).check()  # type: ignore[arg-type]
    assert "secret" not in str(error.value)


def test_a_table_that_is_not_there() -> None:
    index = DynamoIndex("no-such-table")
    for call in (index.check, index.projects, lambda: index.serial(DEMO), lambda: index.put(a_file(0))):
        with pytest.raises(Unavailable):
            call()


def halfway(monkeypatch: pytest.MonkeyPatch, index: DynamoIndex, change: Callable[[], object], seen: str) -> None:
    """The next Query comes in the middle of ``change``: of all that it writes, only ``seen`` is there."""
    real: Any = index.table.client.query
    before: list[Any] = []

    def query(**options: Any) -> Any:
        if not before:
            before.append(real(**options)["Items"])
            change()
            answer = real(**options)
            new = [item for item in answer["Items"] if item["sk"]["S"] == seen]
            old = [item for item in before[0] if item["sk"]["S"] != seen]
            return {**answer, "Items": sorted(new + old, key=lambda item: item["sk"]["S"])}
        return real(**options)

    monkeypatch.setattr(index.table.client, "query", query)


CHANGES: dict[str, Callable[[DynamoIndex], object]] = {
    "another file": lambda other: other.put(a_file(1)),
    "a file replaced": lambda other: other.put(replace(a_file(0), revision="r2", sha256="cd" * 32)),
    "a file removed": lambda other: other.remove(DEMO, "demo-0.tar.gz"),
    "a decision": lambda other: other.put(Decision("demo-0.tar.gz.yanked", DEMO, "yanked", "bad", "r1")),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seen", ["#project", "the item"])
def test_a_page_never_misses_a_part_of_a_change(change: str, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index, other = DynamoIndex(TABLE), DynamoIndex(TABLE)
    other.put(a_file(0))
    places = {"another file": "file#demo-1.tar.gz", "a decision": "file#demo-0.tar.gz.yanked"}
    place = seen if seen == "#project" else places.get(change, "file#demo-0.tar.gz")
    halfway(monkeypatch, index, lambda: CHANGES[change](other), place)
    project, truth = index.project(DEMO), other.project(DEMO)
    assert project is not None
    assert truth is not None
    # A page that is ahead of its serial is made anew when the serial is seen; one that is behind would stay.
    assert project == truth or project.serial < truth.serial


def test_a_project_that_is_just_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    index, other = DynamoIndex(TABLE), DynamoIndex(TABLE)
    halfway(monkeypatch, index, lambda: other.put(a_file(0)), "file#demo-0.tar.gz")
    assert index.project(DEMO) == other.project(DEMO)


@pytest.mark.parametrize("seen", ["#serial", "new"])
def test_the_root_list_never_misses_a_part_of_a_change(seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index, other = DynamoIndex(TABLE), DynamoIndex(TABLE)
    other.put(a_file(0))
    new = replace(a_file(1), project=NormalizedName("new"), key="new-1.tar.gz")
    for change in (lambda: other.put(new), lambda: other.remove(new.project, new.key)):
        with monkeypatch.context() as patches:
            halfway(patches, index, change, seen)
            serial, names = index.projects()
        assert (serial, names) == other.projects() or serial < other.projects()[0]


def test_what_was_written_by_hand_is_read_all_the_same() -> None:
    index = DynamoIndex(TABLE)
    for number in range(2):
        index.put(a_file(number))
    boto3.client("dynamodb").delete_item(TableName=TABLE, Key=dynamodb._key(DEMO, "file#demo-1.tar.gz"))
    client = Before("query")
    project = DynamoIndex(TABLE, client).project(DEMO)  # type: ignore[arg-type]
    assert project is not None
    assert project.files == (a_file(0),)
    assert client.calls == table.LOOKS
