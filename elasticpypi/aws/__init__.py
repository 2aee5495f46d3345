"""AWS: packages in S3 (``s3.py``), the index in DynamoDB (``dynamodb.py``)."""

from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError

from elasticpypi.aws import direct
from elasticpypi.errors import ConfigurationError, Unavailable

PATIENCE = Config(
    connect_timeout=direct.CONNECT_SECONDS,
    read_timeout=direct.READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": direct.ATTEMPTS},
)


def client(service: str, config: Config) -> Any:
    """A client of ``s3`` or ``dynamodb``; :class:`ConfigurationError` where AWS is not set up (no region, say)."""
    config = PATIENCE.merge(config)
    if known := direct.credentials():
        return direct.DirectS3(known, config) if service == "s3" else direct.DirectDynamoDB(known, config)
    return real_client(service, config)


def real_client(service: str, config: Config) -> Any:
    """The same, of botocore wherever we are."""
    import boto3

    try:
        made = boto3.client(service, config=config)
        made.meta.events.register("before-send", direct.check_time, unique_id="elasticpypi")
        return made
    except BotoCoreError as error:
        raise ConfigurationError(f"AWS cannot be used: {error} Set AWS_DEFAULT_REGION or AWS_PROFILE.") from None


def credentials() -> Any:
    """What to sign with, as it is now; :class:`Unavailable` if there is nothing."""
    if known := direct.credentials():
        return known
    import boto3

    found = boto3.DEFAULT_SESSION.get_credentials() if boto3.DEFAULT_SESSION else None
    if found is None:
        raise Unavailable("There are no AWS credentials to sign a download with.")
    return found.get_frozen_credentials()
