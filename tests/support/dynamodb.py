"""Clients of DynamoDB that something happens to."""

from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import ClientError


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
