"""AWS: packages in S3 (``s3.py``), the index in DynamoDB (``dynamodb.py``)."""

from typing import Any

import boto3
from botocore.exceptions import BotoCoreError

from elasticpypi.errors import ConfigurationError


def client(service: str, config: Any) -> Any:
    """A boto3 client for a service; :class:`ConfigurationError` where AWS is not set up (no region, say)."""
    try:
        return boto3.client(service, config=config)
    except BotoCoreError as error:
        raise ConfigurationError(f"AWS cannot be used: {error} Set AWS_DEFAULT_REGION or AWS_PROFILE.") from None
