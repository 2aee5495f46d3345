"""The calls of a DynamoDB table: pages, conditions, and troubles as errors of ours."""

import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from elasticpypi.core.errors import Unavailable
from elasticpypi.storage.aws.faults import Conflict
from elasticpypi.storage.aws.table import ATTEMPTS, LOOKS, Table, aliases, until_whole
from tests.support.dynamodb import Before, failing
from tests.support.moto_aws import TABLE

pytestmark = pytest.mark.usefixtures("aws")


def table(client: Any = None) -> Table:
    return Table(TABLE, client)


def key(sort: str) -> dict[str, Any]:
    return {"pk": {"S": "demo"}, "sk": {"S": sort}}


def put(sort: str, **values: str) -> dict[str, Any]:
    return {"Put": {"Item": {**key(sort), **{name: {"S": value} for name, value in values.items()}}}}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def test_what_was_written_is_read() -> None:
    table().write([put("a", kind="x"), put("b"), put("ca", kind="y")])
    assert table().item(key("a")) == {**key("a"), "kind": {"S": "x"}}
    assert table().item(key("z")) is None
    assert [item["sk"]["S"] for item in table().items([key("b"), key("z")])] == ["b"]
    assert table().at_once(key("z"), key("b")) == [None, key("b")]
    found = table().scan("begins_with(#sk, :sk)", {":sk": {"S": "c"}})
    assert [item["sk"]["S"] for item in found] == ["ca"]


def test_a_query_goes_on_page_after_page() -> None:
    table().write([put(sort) for sort in "abcde"])
    client = Before("query")
    values = {":pk": {"S": "demo"}, ":sk": {"S": "b"}}
    found = table(client).query("#pk = :pk AND #sk >= :sk", values, Limit=2)
    assert next(found) == key("b")
    assert client.calls == 1  # the next page is not asked for before somebody wants it
    assert [item["sk"]["S"] for item in found] == ["c", "d", "e"]
    assert client.calls > 1
    backwards = table().query("#pk = :pk", {":pk": {"S": "demo"}}, ScanIndexForward=False)
    assert [item["sk"]["S"] for item in backwards] == ["e", "d", "c", "b", "a"]


def test_all_writes_or_none() -> None:
    table().write([put("a")])
    new = {
        **put("b")["Put"],
        "ConditionExpression": "attribute_not_exists(#pk)",
        "ExpressionAttributeNames": aliases("pk"),
    }
    with pytest.raises(Conflict):
        table().write([put("c"), {"Put": {**new, "Item": key("a")}}])
    assert table().item(key("c")) is None
    table().write([put("c"), {"Put": new}])
    assert len(table().items([key("b"), key("c")])) == 2


@pytest.mark.parametrize(
    "code",
    [
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "ResourceNotFoundException",
    ],
)
def test_troubles_of_dynamodb_are_503(code: str) -> None:
    with pytest.raises(Unavailable) as error:
        table(Before("batch_get_item", failing(code))).items([key("a")])
    assert "secret" not in str(error.value)
    assert not isinstance(error.value, Conflict)


def test_a_table_that_cannot_be_reached_is_a_503() -> None:
    def unreachable() -> None:
        raise EndpointConnectionError(endpoint_url="https://secret")

    with pytest.raises(Unavailable) as error:
        table(Before("get_item", unreachable)).item(key("a"))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "reason", ["ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"]
)
def test_writers_that_meet_are_a_conflict(reason: str) -> None:
    reasons = [{"Code": "None"}, {"Code": reason}]
    for code in ("TransactionCanceledException", "TransactionInProgressException"):
        client = Before("transact_write_items", failing(code, CancellationReasons=reasons))
        with pytest.raises(Conflict):
            table(client).write([put("a")])


def test_a_refusal_is_not_taken_for_an_absence() -> None:
    calls: dict[str, Callable[[Table], object]] = {
        "get_item": lambda table: table.item(key("a")),
        "batch_get_item": lambda table: table.items([key("a")]),
        "transact_get_items": lambda table: table.at_once(key("a")),
        "query": lambda table: list(table.query("#pk = :pk", {":pk": {"S": "demo"}})),
        "scan": lambda table: list(table.scan("#sk = :sk", {":sk": {"S": "a"}})),
    }
    for operation, call in calls.items():
        with pytest.raises(Unavailable, match="AccessDeniedException"):
            call(table(Before(operation, failing("AccessDeniedException"))))
    too_large = failing("TransactionCanceledException", CancellationReasons=[{"Code": "ItemSizeLimitExceeded"}])
    with pytest.raises(ClientError):
        table(Before("transact_write_items", too_large)).write([put("a")])


def test_a_throttled_batch_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("dynamodb")
    table(client).write([put("a"), put("b")])
    real = client.batch_get_item

    def one_at_a_time(RequestItems: Any) -> Any:
        first, *rest = RequestItems[TABLE]["Keys"]
        answer = real(RequestItems={TABLE: {**RequestItems[TABLE], "Keys": [first]}})
        return {**answer, "UnprocessedKeys": {TABLE: {**RequestItems[TABLE], "Keys": rest}} if rest else {}}

    monkeypatch.setattr(client, "batch_get_item", one_at_a_time)
    assert len(table(client).items([key("a"), key("b")])) == 2
    calls = []

    def throttled(RequestItems: Any) -> Any:
        calls.append(RequestItems)
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    monkeypatch.setattr(client, "batch_get_item", throttled)
    with pytest.raises(Unavailable, match="throttled"):
        table(client).items([key("a")])
    assert len(calls) == ATTEMPTS


def test_what_is_in_pieces_is_looked_at_again(caplog: pytest.LogCaptureFixture) -> None:
    looks = iter([(False, 1), (True, 2)])
    assert until_whole("It", lambda: next(looks)) == 2
    assert not caplog.records
    looks = iter([(False, number) for number in range(LOOKS)])
    assert until_whole("It", lambda: next(looks)) == LOOKS - 1
    assert "It lacks what was written last" in caplog.text
