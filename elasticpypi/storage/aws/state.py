"""What may be lost, on AWS: items of the table of the index, which removes them by itself.

::

    pk              sk        holds
    state#<kind>    <key>     value, expires (a moment; the table removes the item some time later)
"""

import random
import time
from typing import Any

from elasticpypi.core.errors import Unavailable
from elasticpypi.storage.aws.faults import Conflict
from elasticpypi.storage.aws.table import ATTEMPTS, Item, Table, aliases

PAUSE = 0.1  # seconds at most, between two tries


class TableState:
    """:class:`~elasticpypi.storage.contracts.State` in a table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, kind: str, key: str) -> bytes | None:
        item = self._table.item(item_key(kind, key))
        return bytes(item["value"]["B"]) if item and not _is_over(item) else None

    def put(self, kind: str, key: str, value: bytes, seconds: float) -> None:
        self._table.write([{"Put": {"Item": {**item_key(kind, key), "value": {"B": value}, "expires": _at(seconds)}}}])

    def claim(self, kind: str, key: str, value: bytes, seconds: float) -> bool:
        put = {
            "Item": {**item_key(kind, key), "value": {"B": value}, "expires": _at(seconds)},
            "ConditionExpression": "attribute_not_exists(#pk) OR #value = :value OR #expires <= :now",
            "ExpressionAttributeNames": aliases("pk", "value", "expires"),
            "ExpressionAttributeValues": {":value": {"B": value}, ":now": _at(0)},
        }
        return self._done({"Put": put})

    def add(self, kind: str, key: str, number: int, seconds: float) -> int:
        for _ in range(ATTEMPTS):
            item = self._table.item(item_key(kind, key))
            old = item if item and not _is_over(item) else None
            total = number + (int(old["value"]["B"]) if old else 0)
            put: dict[str, Any] = {
                "Item": {
                    **item_key(kind, key),
                    "value": {"B": str(total).encode()},
                    "expires": old["expires"] if old else _at(seconds),
                },
                "ConditionExpression": "attribute_not_exists(#pk)",
                "ExpressionAttributeNames": aliases("pk"),
            }
            if item:
                put["ConditionExpression"] = "#value = :value AND #expires = :expires"
                put["ExpressionAttributeNames"] = aliases("value", "expires")
                put["ExpressionAttributeValues"] = {":value": item["value"], ":expires": item["expires"]}
            if self._done({"Put": put}):
                return total
            time.sleep(random.uniform(0, PAUSE))
        raise Unavailable(f"The number {key!r} is being changed by too many writers: try again.")

    def remove(self, kind: str, key: str) -> bool:
        delete = {
            "Key": item_key(kind, key),
            "ConditionExpression": "#expires > :now",
            "ExpressionAttributeNames": aliases("expires"),
            "ExpressionAttributeValues": {":now": _at(0)},
        }
        return self._done({"Delete": delete})

    def _done(self, action: Any) -> bool:
        """Whether the condition of an action was true."""
        try:
            self._table.write([action])
        except Conflict:
            return False
        return True


def item_key(kind: str, key: str) -> Item:
    """Where the item of a value is."""
    return {"pk": {"S": f"state#{kind}"}, "sk": {"S": key}}


def _at(seconds: float) -> dict[str, str]:
    return {"N": f"{time.time() + seconds:.0f}"}


def _is_over(item: Item) -> bool:
    return int(item["expires"]["N"]) <= time.time()
