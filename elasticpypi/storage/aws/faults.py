"""What S3 and DynamoDB answer instead of what was asked for, and what it means: the one place that judges.

By status first, since what stands between us and AWS knows no codes, then by code, never by text (AWS: error
responses of S3, error handling with DynamoDB). Whatever may be other than a mistake of ours is a 503: clients and
events come again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from elasticpypi.core.errors import Changed, NotFound, Unavailable

GONE = {"NoSuchKey", "NoSuchUpload"}
OTHER_BYTES = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
THROTTLED = {
    *("ThrottlingException", "ThrottlingError", "Throttling", "RequestLimitExceeded", "SlowDown", "TooManyRequests"),
    *("ProvisionedThroughputExceededException", "ProvisionedThroughputExceeded", "RequestThrottledException"),
}
# Writers that met, and troubles that take turns as they do.
CONFLICTS = {
    *("TransactionConflict", "TransactionConflictException", "TransactionInProgressException"),
    *("ConditionalCheckFailed", "ConditionalCheckFailedException", "ReplicatedWriteConflictException"),
}
PASSING = {
    *("RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete", "OperationAborted"),
    *("TransactionInProgressException", "ReplicatedWriteConflictException"),
}
# Mistakes of ours: the same request is refused for ever.
OURS = {
    *("ValidationException", "ValidationError", "SerializationException", "ItemCollectionSizeLimitExceeded"),
    *("ItemSizeLimitExceeded", "InvalidArgument", "InvalidRequest", "MalformedXML", "EntityTooLarge"),
}
CANCELED = "TransactionCanceledException"

log = logging.getLogger(__name__)


class Conflict(Unavailable):
    """Somebody else changed an item at the same moment."""


def passing(status: int, code: str) -> bool:
    """Whether the same request may be answered a moment later."""
    return status >= 500 or status == 429 or code in THROTTLED or code in PASSING


@contextmanager
def translated(what: str, key: str = "") -> Iterator[None]:
    """Errors of AWS as :class:`NotFound`, :class:`Changed`, :class:`Conflict`, :class:`Unavailable`; mistakes stay.

    ``what`` is "The table" or "The bucket", and ``key`` what is asked for in it.
    """
    try:
        yield
    except ClientError as error:
        raise _judged(error, what, key) from error
    except (BotoCoreError, ResponseParserError) as error:
        raise Unavailable(f"{what} cannot be reached ({type(error).__name__}): try again.") from error


def _judged(error: ClientError, what: str, key: str) -> Exception:
    response: Any = error.response
    status, code = (
        response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
        response.get("Error", {}).get("Code", ""),
    )
    if status >= 500 or status == 429:
        return Unavailable(f"{what} cannot be used now ({code or status}): try again.")
    if code in GONE or (code in ("404", "NotFound") and error.operation_name == "HeadObject"):  # which has no body
        return NotFound(f"There is no key {key!r}.")
    if code in OTHER_BYTES:
        return Changed(f"{key!r} was changed by somebody else at the same moment.")
    codes = {reason.get("Code", "None") for reason in response.get("CancellationReasons", [])} - {"None"}
    codes = codes if code == CANCELED and codes else {code}
    if codes & OURS:
        return error
    if codes <= CONFLICTS | (THROTTLED if code == CANCELED else set()):
        return Conflict("Somebody else changed an item at the same moment: try again.")
    if codes & THROTTLED:
        return Unavailable(f"{what} is throttled: try again.")
    named = ", ".join(sorted(codes))
    if not codes <= PASSING:  # nobody but the owner of the account can do anything about it
        log.warning("%s refuses %s: %s", what, error.operation_name, error)
    return Unavailable(f"{what} cannot be used now ({named}): try again.")
