"""DynamoDB: the index in one table with the string keys ``pk`` and ``sk``.

::

    pk               sk                              holds
    project#<name>   #project                        serial, files (how many)
    project#<name>   #status                         the decision on the project
    project#<name>   file#<file name>[#<key>]        a file; the key follows where it has a prefix
    project#<name>   file~deleted#…, file~yanked#…   the decisions on files
    project#<name>   metadata#<file name>[#<key>]    core metadata, compressed
    #projects        <name>                          one item per project with a file
    #projects        #serial                         serial of the root list

A page is one Query over everything up to ``file~``, a 304 one GetItem, a file one BatchGetItem. Every
attribute name is aliased, since DynamoDB reserves many words. All reads are strongly consistent.
"""

import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from packaging.utils import NormalizedName

from elasticpypi.errors import Unavailable
from elasticpypi.model import Decision, File, Project, Record, assemble, parse_status, precedence

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
ATTEMPTS = 10
