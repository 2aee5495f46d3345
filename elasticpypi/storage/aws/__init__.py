"""AWS: packages in S3 (``s3.py``), the index in DynamoDB (``dynamodb.py``)."""

from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, IncompleteReadError

from elasticpypi.core.errors import ConfigurationError, Unavailable
from elasticpypi.storage.aws import direct

PATIENCE = Config(
    connect_timeout=direct.CONNECT_SECONDS,
    read_timeout=direct.READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": direct.ATTEMPTS},
)


def client(service: str, config: Config | None = None) -> Any:
    """A client of ``s3`` or ``dynamodb``; :class:`ConfigurationError` where AWS is not set up (no region, say)."""
    config = PATIENCE.merge(config) if config else PATIENCE
    if known := direct.credentials():
        return direct.DirectS3(known, config) if service == "s3" else direct.DirectDynamoDB(known, config)
    return real_client(service, config)


def real_client(service: str, config: Config) -> Any:
    """The same, of botocore wherever we are."""
    import boto3

    try:
        made = boto3.client(service, config=config)
        made.meta.events.register("before-send", direct.check_time, unique_id="elasticpypi-time")
        made.meta.events.register("before-parse", _check_length, unique_id="elasticpypi-length")
        return made
    except BotoCoreError as error:
        raise ConfigurationError(f"AWS cannot be used: {error} Set AWS_DEFAULT_REGION or AWS_PROFILE.") from None


def _check_length(operation_model: Any, response_dict: Any, **_: object) -> None:
    """botocore takes the half of an answer for a whole one, and of JSON that is half for one that says nothing."""
    body, length = response_dict["body"], response_dict["headers"].get("Content-Length")
    if isinstance(body, bytes) and length and operation_model.http.get("method") != "HEAD" and len(body) < int(length):
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(length))


def credentials() -> Any:
    """What to sign with, as it is now; :class:`Unavailable` if there is nothing."""
    if known := direct.credentials():
        return known
    import boto3

    found = boto3.DEFAULT_SESSION.get_credentials() if boto3.DEFAULT_SESSION else None
    if found is None:
        raise Unavailable("There are no AWS credentials to sign a download with.")
    return found.get_frozen_credentials()
