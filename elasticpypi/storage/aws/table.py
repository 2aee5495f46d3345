"""A DynamoDB table with the string keys ``pk`` and ``sk``: its calls, with errors of ours.

All reads are strongly consistent. But a Query takes each item as it finds it, and may meet a transaction half
way ("read-committed isolation"): :func:`until_whole` looks again. DynamoDB reserves many words, so every name of
an attribute in an expression is an alias.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from elasticpypi.core.errors import Unavailable
from elasticpypi.storage import aws
from elasticpypi.storage.aws.faults import translated

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = Mapping[str, Any]  # as DynamoDB has it: {"pk": {"S": "..."}, "serial": {"N": "1"}}
T = TypeVar("T")
# Writers of one item take turns; a hundred at once are through after about three seconds.
ATTEMPTS = 40
LONGEST_WAIT = 0.8  # seconds
LOOKS = 5  # a transaction is through within milliseconds; what is still not whole was changed by hand

log = logging.getLogger(__name__)


class Table:
    """A table by its name. Calls raise :class:`Unavailable` if it cannot be had now (``faults.py``)."""

    def __init__(self, name: str, client: "DynamoDBClient | None" = None) -> None:
        self.name = name
        self.client: DynamoDBClient = client or aws.client("dynamodb")

    def item(self, key: Item) -> Item | None:
        """One item, None if it does not exist."""
        with translated("The table"):
            return self.client.get_item(TableName=self.name, Key=key, ConsistentRead=True).get("Item")

    def items(self, keys: Iterable[Item]) -> list[Item]:
        """Up to 100 items by their keys, in any order; those that do not exist are left out."""
        found: list[Item] = []
        request: Any = {self.name: {"Keys": list(keys), "ConsistentRead": True}}
        with translated("The table"):
            for _ in range(ATTEMPTS):
                answer = self.client.batch_get_item(RequestItems=request)
                found += answer["Responses"].get(self.name, [])
                request = answer.get("UnprocessedKeys")
                if not request:
                    return found
                time.sleep(random.uniform(0, LONGEST_WAIT))
        raise Unavailable("The table is throttled: try again.")

    def at_once(self, *keys: Item) -> list[Item | None]:
        """Items as they were at one moment, which :meth:`items` does not promise."""
        gets = [{"Get": {"TableName": self.name, "Key": key}} for key in keys]
        with translated("The table"):
            answer = self.client.transact_get_items(TransactItems=gets)  # type: ignore[arg-type]
        return [response.get("Item") for response in answer["Responses"]]

    def write(self, actions: Iterable[Mapping[str, Item]]) -> None:
        """Some writes (TransactWriteItems, without the name of the table), all or none; :class:`Conflict`."""
        named = [{kind: {"TableName": self.name, **action} for kind, action in each.items()} for each in actions]
        with translated("The table"):
            self.client.transact_write_items(TransactItems=named)  # type: ignore[arg-type]

    def query(self, condition: str, values: Item, **options: Any) -> Iterator[Item]:
        """All items that fulfil a condition on ``#pk`` and ``#sk``, page after page."""
        names = ("pk", "sk") if "#sk" in condition else ("pk",)
        asked = {"KeyConditionExpression": condition, "ExpressionAttributeValues": values, **options}
        yield from self._pages("query", names, **asked)

    def scan(self, condition: str, values: Item) -> Iterator[Item]:
        """All items of the table whose keys, ``#pk`` and ``#sk``, fulfil a condition, page after page."""
        filters: Any = {"FilterExpression": condition, "ExpressionAttributeValues": values}
        yield from self._pages("scan", [name for name in ("pk", "sk") if f"#{name}" in condition], **filters)

    def _pages(self, operation: Literal["query", "scan"], names: Iterable[str], **request: Any) -> Iterator[Item]:
        options: Any = {
            "TableName": self.name,
            "ConsistentRead": True,
            "ExpressionAttributeNames": aliases(*names),
            **request,
        }
        while True:
            with translated("The table"):
                page = self.client.query(**options) if operation == "query" else self.client.scan(**options)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            options["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def aliases(*names: str) -> dict[str, str]:
    """The ExpressionAttributeNames that make ``#name`` of a name."""
    return {f"#{name}": name for name in names}


def until_whole(what: str, look: Callable[[], tuple[bool, T]]) -> T:
    """What ``look`` finds, as soon as it says that it is whole; it is taken as it is if it stays in pieces."""
    for attempt in range(LOOKS):
        if attempt:
            time.sleep(0.01 * 2**attempt)
        whole, found = look()
        if whole:
            return found
    log.warning("%s lacks what was written last, as if the table was changed by hand: 'reindex' repairs it", what)
    return found
