"""What each function may do to AWS, and that it may do nothing else.

The credentials are those that Lambda gives to any function with the role: one of ours tells them.
"""

import io
import json
import secrets
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from tests.support.deployed import Index

pytestmark = pytest.mark.aws

Credentials = tuple[str, str, str]

ITEMS = {f"dynamodb:{name}" for name in ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem")}
LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
READ = {"s3:GetObject", "s3:ListBucket"}
WRITE = {"s3:PutObject", "s3:DeleteObject"}
EVENT = {"s3:PutObject of events, new"}
DECIDED = {f"s3:GetObject of {place}" for place in ("names", "policy", "policy.toml", "policy/last")}
FOLLOWING = EVENT | DECIDED | {"s3:ListBucket of records", "s3:PutObject of policy/last"}
FOLLOWING |= {"s3:PutObject of names", "s3:PutObject of names, new"}
RECORD = FOLLOWING | {"s3:GetObject of events", "s3:GetObject of advisories", "s3:PutObject of policy.toml"}
RECORD |= {f"s3:{action}" for action in ("PutObject of policy", "PutObject of policy, new")}
RECORD |= {f"s3:DeleteObject of {folder}" for folder in ("names", "policy")}
ALLOWED = {
    "api": READ | WRITE | ITEMS | LOG | RECORD | {"s3:ListMultipartUploadParts"},
    "sync": READ | WRITE | ITEMS | LOG | FOLLOWING | {"sqs:SendMessage"},
    "audit": READ | WRITE | ITEMS | LOG | FOLLOWING | {"dynamodb:Scan"},
    "authorizer": LOG | EVENT,
}

TELL = """
import os
def handler(event, context):
    return [os.environ["AWS_" + name] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
"""


@pytest.fixture(scope="module")
def roles(index: Index) -> dict[str, Credentials]:
    """The functions of the deployment, each with the credentials that its role gives."""
    functions = index.aws.boto3("lambda")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("tell.py", TELL)

    def credentials(role: str) -> Credentials:
        functions.create_function(
            FunctionName="tell",
            Role=role,
            Runtime="python3.13",
            Handler="tell.handler",
            Code={"ZipFile": code.getvalue()},
        )
        access, secret, token = json.load(functions.invoke(FunctionName="tell")["Payload"])
        functions.delete_function(FunctionName="tell")
        return access, secret, token

    known = {each["FunctionName"]: each["Role"] for each in functions.list_functions()["Functions"]}
    ours = {name: role for name, role in known.items() if name.startswith(f"{index.stack}-")}
    return {name.removeprefix(f"{index.stack}-"): credentials(role) for name, role in ours.items()}


def test_every_function_is_in_the_table(roles: dict[str, Credentials]) -> None:
    assert set(roles) == set(ALLOWED)


@pytest.mark.parametrize("function", ALLOWED)
def test_a_role_allows_what_is_needed_and_no_more(index: Index, roles: dict[str, Credentials], function: str) -> None:
    index.put("role-test", b"x")

    def is_allowed(right: str, operation: str, arguments: dict[str, Any]) -> bool:
        client = index.aws.boto3(right.partition(":")[0], roles[function])
        try:
            getattr(client, xform_name(operation))(**arguments)
        except ClientError as error:
            return error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException", "403")
        return True

    allowed = {right for right, *_ in (each for each in attempts(index, function) if is_allowed(*each))}
    assert allowed == ALLOWED[function]


def attempts(index: Index, function: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What somebody who took a function over would try: the right that it takes, the operation, its arguments."""
    buckets = [each["Name"] for each in index.aws.boto3("s3").list_buckets()["Buckets"]]
    [elsewhere] = [name for name in buckets if name != index.bucket and index.stack in name]
    bucket, thing = {"Bucket": index.bucket}, {"Bucket": index.bucket, "Key": "role-test"}
    yield "s3:GetObject", "GetObject", thing
    yield "s3:PutObject", "PutObject", {**thing, "Body": b"y"}
    yield "s3:ListBucket", "ListObjectsV2", bucket
    yield "s3:DeleteObject", "DeleteObject", thing
    yield "s3:DeleteObjectVersion", "DeleteObject", {**thing, "VersionId": "null"}
    yield "s3:GetObjectVersion", "GetObject", {**thing, "VersionId": "null"}
    parts = {"Bucket": index.bucket, "Key": ".uploads/role-test", "UploadId": "x"}
    yield "s3:ListMultipartUploadParts", "ListParts", parts
    yield "s3:ListMultipartUploadParts elsewhere", "ListParts", {**parts, "Key": "role-test"}
    yield "s3:AbortMultipartUpload", "AbortMultipartUpload", parts
    yield "s3:PutObjectAcl", "PutObjectAcl", {**thing, "ACL": "public-read"}
    yield "s3:ListBucketVersions", "ListObjectVersions", bucket
    yield "s3:GetBucketPolicy", "GetBucketPolicy", bucket
    yield "s3:PutBucketPolicy", "PutBucketPolicy", {**bucket, "Policy": "{}"}
    yield "s3:DeleteBucketPolicy", "DeleteBucketPolicy", bucket
    yield "s3:PutLifecycleConfiguration", "DeleteBucketLifecycle", bucket
    yield "s3:PutBucketNotification", "PutBucketNotificationConfiguration", {**bucket, "NotificationConfiguration": {}}
    yield "s3:DeleteBucket", "DeleteBucket", bucket
    yield "s3:ListAllMyBuckets", "ListBuckets", {}
    yield "s3:ListBucket elsewhere", "ListObjectsV2", {"Bucket": elsewhere}
    yield "s3:GetObject elsewhere", "GetObject", {"Bucket": elsewhere, "Key": "x"}
    yield "s3:PutObject elsewhere", "PutObject", {"Bucket": elsewhere, "Key": "x", "Body": b"y"}

    yield "s3:ListBucket of records", "ListObjectsV2", {"Bucket": index.records}
    yield "s3:PutBucketPolicy of records", "PutBucketPolicy", {"Bucket": index.records, "Policy": "{}"}
    for place in ("policy.toml", "policy/last"):
        record = {"Bucket": index.records, "Key": place}
        yield f"s3:GetObject of {place}", "GetObject", record
        yield f"s3:PutObject of {place}", "PutObject", {**record, "Body": b"", "IfMatch": '"of nothing"'}
    for folder in ("advisories", "events", "names", "policy", "else"):
        record = {"Bucket": index.records, "Key": f"{folder}/role-test-{function}"}
        new = {**record, "Key": f"{folder}/role-test-{function}-{secrets.token_hex(8)}", "IfNoneMatch": "*"}
        yield f"s3:PutObject of {folder}, new", "PutObject", {**new, "Body": b"y"}
        yield f"s3:PutObject of {folder}", "PutObject", {**record, "Body": b"y"}
        yield f"s3:GetObject of {folder}", "GetObject", record
        yield f"s3:DeleteObject of {folder}", "DeleteObject", record
        yield f"s3:DeleteObjectVersion of {folder}", "DeleteObject", {**record, "VersionId": "null"}

    for where, table in ("", index.table), (" elsewhere", "another-table"):
        key = {"pk": {"S": "role-test"}, "sk": {"S": "x"}}
        one = {"TableName": table, "Key": key}
        query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": key["pk"]}}
        yield f"dynamodb:PutItem{where}", "PutItem", {"TableName": table, "Item": key}
        yield f"dynamodb:GetItem{where}", "GetItem", one
        yield f"dynamodb:BatchGetItem{where}", "BatchGetItem", {"RequestItems": {table: {"Keys": [key]}}}
        yield f"dynamodb:Query{where}", "Query", {"TableName": table, **query}
        yield f"dynamodb:UpdateItem{where}", "UpdateItem", one
        yield f"dynamodb:DeleteItem{where}", "DeleteItem", one
        yield f"dynamodb:Scan{where}", "Scan", {"TableName": table}
        write = {"RequestItems": {table: [{"DeleteRequest": {"Key": key}}]}}
        yield f"dynamodb:BatchWriteItem{where}", "BatchWriteItem", write
        yield f"dynamodb:DescribeTable{where}", "DescribeTable", {"TableName": table}
        yield f"dynamodb:DeleteTable{where}", "DeleteTable", {"TableName": table}
    yield "dynamodb:ListTables", "ListTables", {}

    [queue] = index.aws.boto3("sqs").list_queues(QueueNamePrefix=f"{index.stack}-SyncFailures")["QueueUrls"]
    yield "sqs:SendMessage", "SendMessage", {"QueueUrl": queue, "MessageBody": "from the test of the roles"}
    yield "sqs:ReceiveMessage", "ReceiveMessage", {"QueueUrl": queue}
    yield "sqs:PurgeQueue", "PurgeQueue", {"QueueUrl": queue}

    for where, name in ("", function), (" elsewhere", "sync" if function == "api" else "api"):
        stream = {"logGroupName": f"/aws/lambda/{index.stack}-{name}", "logStreamName": "role-test"}
        yield f"logs:CreateLogStream{where}", "CreateLogStream", stream
        yield f"logs:PutLogEvents{where}", "PutLogEvents", {**stream, "logEvents": [{"timestamp": 0, "message": "x"}]}
        yield f"logs:GetLogEvents{where}", "GetLogEvents", stream
    yield "lambda:GetFunction", "GetFunction", {"FunctionName": f"{index.stack}-api"}
    yield "lambda:InvokeFunction", "Invoke", {"FunctionName": f"{index.stack}-sync"}
    yield "lambda:UpdateFunctionCode", "UpdateFunctionCode", {"FunctionName": f"{index.stack}-api", "ZipFile": b""}
    role = index.aws.boto3("lambda").get_function_configuration(FunctionName=f"{index.stack}-api")["Role"]
    yield "sts:AssumeRole", "AssumeRole", {"RoleArn": role, "RoleSessionName": "role-test"}
    yield "iam:ListRoles", "ListRoles", {}
    yield "iam:CreateUser", "CreateUser", {"UserName": "role-test"}
    yield "cloudformation:DeleteStack", "DeleteStack", {"StackName": index.stack}
    yield "ssm:GetParametersByPath", "GetParametersByPath", {"Path": "/"}
    yield "secretsmanager:ListSecrets", "ListSecrets", {}
