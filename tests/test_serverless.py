"""serverless.yml: what it refuses, and what it deploys."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.auth import CHALLENGE
from elasticpypi.config import SETTINGS
from tests.deploying import BUCKET, PASSWORD, ROOT, Package, make_package, osls, packaged

SECRETS = {"USERNAME", "PASSWORD", "USERS"}
ONE_MACHINE = {"DATA", "LISTEN", "PORT", "WORKERS"}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TABLE = {"GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"}
RIGHTS = {
    "AuthorizerRole": LOGS,
    "ApiRole": LOGS
    | {f"dynamodb:{verb}" for verb in TABLE}
    | {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"},
    "SyncRole": LOGS | {f"dynamodb:{verb}" for verb in TABLE} | {"s3:GetObject", "s3:ListBucket", "sqs:SendMessage"},
}


@pytest.fixture(scope="module")
def package() -> Package:
    return packaged()


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("BUCKET", "", "BUCKET is missing: set ELASTICPYPI_BUCKET"),
        ("BUCKET", "My_Bucket", "BUCKET cannot be My_Bucket"),
        ("PASSWORD", "", "PASSWORD is missing: set ELASTICPYPI_PASSWORD"),
        ("PASSWORD", "elevenchars", "PASSWORD is too short"),
        ("PASSWORD", "something-secretive", "PASSWORD is the sample password"),
        ("USERS", "anna:long enough for us,ben:short", "USERS: the password of ben is too short"),
        ("USERS", "anna:something-secretive", "USERS: the password of 'anna' is the sample password"),
        ("USERS", "anna", "USERS: entry 1 must have the form user:password"),
        ("OVERWRITE", "maybe", "OVERWRITE must be true or false"),
    ],
)
def test_a_wrong_setting_stops_the_deployment_with_one_sentence(setting: str, value: str, sentence: str) -> None:
    environ = {"ELASTICPYPI_BUCKET": BUCKET, "ELASTICPYPI_PASSWORD": PASSWORD, f"ELASTICPYPI_{setting}": value}
    done = osls("package", "--package", "build/refused", **environ)
    assert done.returncode == 1
    message = done.stdout.partition("Error:\n")[2].strip()
    assert message.startswith(sentence)
    assert message.endswith(".")
    assert "\n" not in message
    assert not (ROOT / "build" / "refused").exists()


def test_several_users_replace_the_one() -> None:
    users = "anna:a long: enough one,ben:scrypt:32768:8:1$salt$0123456789abcdef"
    assert make_package("users", BUCKET=BUCKET, USERS=users).environment("ApiLambdaFunction")["USERS"] == users


def test_every_setting_can_be_given() -> None:
    text = (ROOT / "serverless.yml").read_text()
    names = {setting.name for setting in SETTINGS} - ONE_MACHINE
    assert set(re.findall(r"^    ([A-Z_]+): ", text, re.MULTILINE)) == names
    assert set(re.findall(r"ELASTICPYPI_([A-Z_]+),", text)) == names - {"SERVICE", "STAGE"}


def test_the_template_is_sound(package: Package) -> None:
    # W3005: osls repeats as DependsOn what a reference says already.
    linter = Path(sys.executable).parent / "cfn-lint"
    command = [str(linter), "--ignore-checks", "W3005", "--", str(package.template)]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_only_the_functions_that_check_passwords_get_them(package: Package) -> None:
    assert package.environment("ApiLambdaFunction")["PASSWORD"] == PASSWORD
    assert package.environment("AuthorizerLambdaFunction")["PASSWORD"] == PASSWORD
    assert not SECRETS & package.environment("SyncLambdaFunction").keys()
    assert package.environment("SyncLambdaFunction")["BUCKET"] == BUCKET


def test_each_function_has_a_role_of_its_own(package: Package) -> None:
    functions = package.properties("Lambda::Function")
    assert functions.keys() == {f"{name}LambdaFunction" for name in ("Api", "Authorizer", "Sync")}
    for name, function in functions.items():
        assert function["Role"] == {"Fn::GetAtt": [name.replace("LambdaFunction", "Role"), "Arn"]}
    assert package.properties("IAM::Role").keys() == RIGHTS.keys()


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_has_the_rights_that_are_needed_each_for_one_resource(package: Package, role: str) -> None:
    (policy,) = package.properties("IAM::Role")[role]["Policies"]
    bucket = f"arn:${{AWS::Partition}}:s3:::{BUCKET}"
    resources: dict[str, list[Any]] = {
        "logs": [{"Fn::GetAtt": [role.replace("Role", "LogGroup"), "Arn"]}],
        "s3": [{"Fn::Sub": f"{bucket}/*"}, {"Fn::Sub": bucket}],
        "dynamodb": [{"Fn::GetAtt": ["IndexTable", "Arn"]}],
        "sqs": [{"Fn::GetAtt": ["SyncFailures", "Arn"]}],
    }
    rights = set()
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        rights |= set(actions)
        for action in actions:
            assert statement["Resource"] in resources[action.partition(":")[0]]
    assert rights == RIGHTS[role]


def test_the_runtime(package: Package) -> None:
    for function in package.properties("Lambda::Function").values():
        assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])
        assert "ReservedConcurrentExecutions" not in function
    groups = package.properties("Logs::LogGroup")
    assert {name: group["RetentionInDays"] for name, group in groups.items()} == {
        "ApiLogGroup": 30,
        "AuthorizerLogGroup": 30,
        "SyncLogGroup": 30,
    }


def test_events_that_fail_are_kept(package: Package) -> None:
    (config,) = package.properties("Lambda::EventInvokeConfig").values()
    assert config["FunctionName"] == {"Ref": "SyncLambdaFunction"}
    assert config["MaximumRetryAttempts"] == 2
    queue = {"Destination": {"Fn::GetAtt": ["SyncFailures", "Arn"]}}
    assert config["DestinationConfig"] == {"OnFailure": queue}
    fourteen_days = 14 * 24 * 3600
    assert package.properties("SQS::Queue") == {
        "SyncFailures": {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": fourteen_days}
    }


def test_the_bucket_is_private(package: Package) -> None:
    # The logical id is the one of the earlier elasticpypi: its stack keeps the bucket when it is updated.
    bucket = package.properties("S3::Bucket")["S3BucketPackagesofthetests"]
    assert bucket["BucketName"] == BUCKET
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["BucketEncryption"]
    events = bucket["NotificationConfiguration"]["LambdaConfigurations"]
    assert {event["Event"] for event in events} == {"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}
    policy = package.properties("S3::BucketPolicy")["BucketPolicy"]
    assert policy["Bucket"] == {"Ref": "S3BucketPackagesofthetests"}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_table(package: Package) -> None:
    table = package.properties("DynamoDB::Table")["IndexTable"]
    assert table["TableName"] == package.environment("ApiLambdaFunction")["TABLE"] == "elasticpypi-dev-index"
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize("name", ["S3BucketPackagesofthetests", "IndexTable"])
def test_data_survives_the_removal_of_the_stack(package: Package, name: str) -> None:
    # "ExceptOnCreate": what a first deployment that failed left behind would block the second.
    assert package.resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert package.resources[name]["UpdateReplacePolicy"] == "Retain"


def test_only_two_routes_are_open(package: Package) -> None:
    kinds = {name: method["AuthorizationType"] for name, method in package.properties("ApiGateway::Method").items()}
    assert kinds == {
        "ApiGatewayMethodAny": "CUSTOM",
        "ApiGatewayMethodProxyVarAny": "CUSTOM",
        "ApiGatewayMethodHealthAny": "NONE",
        "ApiGatewayMethodOidcProxyVarAny": "NONE",
    }
    (authorizer,) = package.properties("ApiGateway::Authorizer").values()
    assert authorizer["Type"] == "REQUEST"
    assert authorizer["IdentitySource"] == "method.request.header.Authorization"
    assert authorizer["AuthorizerResultTtlInSeconds"] == 300


def test_the_gateway_speaks_for_itself(package: Package) -> None:
    responses = package.properties("ApiGateway::GatewayResponse")
    assert {name: each["ResponseType"] for name, each in responses.items()} == {
        "Unauthorized": "UNAUTHORIZED",
        "TooLarge": "REQUEST_TOO_LARGE",
    }
    header = responses["Unauthorized"]["ResponseParameters"]["gatewayresponse.header.WWW-Authenticate"]
    assert header == f"'{CHALLENGE}'"  # API Gateway: the single quotes mean a constant
    texts = {name: json.loads(each["ResponseTemplates"]["application/json"]) for name, each in responses.items()}
    assert texts["Unauthorized"]["message"]
    assert f"s3://{BUCKET}/" in texts["TooLarge"]["message"]
    (deployment,) = (each for each in package.resources.values() if each["Type"] == "AWS::ApiGateway::Deployment")
    assert responses.keys() <= set(deployment["DependsOn"])
    (api,) = package.properties("ApiGateway::RestApi").values()
    assert api["BinaryMediaTypes"] == ["*/*"]
