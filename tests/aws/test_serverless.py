"""serverless.yml: what it refuses, and what it deploys."""

import json
import re
from typing import Any

import pytest

from elasticpypi.accounts.passwords import CHALLENGE
from elasticpypi.config import SETTINGS
from tests.support import ROOT
from tests.support.deploying import BUCKET, PASSWORD, Package, lint, make_package, packaged, refusal

pytestmark = pytest.mark.aws

PARTS = "Action", "Resource"
SECRETS = {"USERNAME", "PASSWORD", "USERS"}
ONE_MACHINE = {"DATA", "DOWNLOADS", "UPSTREAM", "FOLLOW", "LISTEN", "PORT", "TLS_CERT", "TLS_KEY", "WORKERS"}
FRONT = {"CLOUDFRONT_HOST", "CLOUDFRONT_KEY_ID", "CLOUDFRONT_KEY"}  # given by deployment.js
BUCKET_ITSELF = {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{BUCKET}"}
OBJECTS = {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{BUCKET}/*"}
STAGED = {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{BUCKET}/.uploads/*"}
TABLE = {"Fn::GetAtt": ["IndexTable", "Arn"]}
ITEMS = {
    f"dynamodb:{verb}": TABLE
    for verb in ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
}
READING = {"s3:ListBucket": BUCKET_ITSELF, "s3:GetObject": OBJECTS}
FILES = {**READING, "s3:PutObject": OBJECTS, "s3:DeleteObject": OBJECTS}
RECORDS = f"arn:${{AWS::Partition}}:s3:::{BUCKET}-records"
EVENTS, NAMES, POLICY = ({"Fn::Sub": f"{RECORDS}/{folder}/*"} for folder in ("events", "names", "policy"))
ADVISORIES = {"Fn::Sub": f"{RECORDS}/advisories/*"}
DOCUMENT, LAST = {"Fn::Sub": f"{RECORDS}/policy.toml"}, {"Fn::Sub": f"{RECORDS}/policy/last"}
FOLLOWING = [  # of the records, for those whom nobody waits for
    ("s3:ListBucket", {"Fn::Sub": RECORDS}),
    *(("s3:GetObject", place) for place in (NAMES, POLICY, DOCUMENT)),
    *(("s3:PutObject", place) for place in (EVENTS, NAMES, LAST)),
]
RIGHTS: dict[str, list[tuple[str, Any]]] = {
    "AuthorizerRole": [("s3:PutObject", EVENTS)],
    "ApiRole": [
        *ITEMS.items(),
        *FILES.items(),
        ("s3:ListMultipartUploadParts", STAGED),
        ("s3:ListBucket", {"Fn::Sub": RECORDS}),
        *(("s3:GetObject", place) for place in (ADVISORIES, EVENTS, NAMES, POLICY, DOCUMENT)),
        *(("s3:PutObject", place) for place in (EVENTS, NAMES, POLICY, DOCUMENT)),
        *(("s3:DeleteObject", place) for place in (NAMES, POLICY)),
    ],
    "SyncRole": [
        *ITEMS.items(),
        *FILES.items(),
        ("sqs:SendMessage", {"Fn::GetAtt": ["SyncFailures", "Arn"]}),
        *FOLLOWING,
    ],
    "AuditRole": [
        *ITEMS.items(),
        *FILES.items(),
        ("dynamodb:Scan", TABLE),
        *FOLLOWING,
    ],
}


@pytest.fixture(scope="module")
def package() -> Package:
    return packaged()


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("BUCKET", "", "BUCKET is missing: set ELASTICPYPI_BUCKET"),
        ("BUCKET", "My_Bucket", "BUCKET cannot be My_Bucket"),
        ("BUCKET", "b" * 60, f"RECORDS_BUCKET cannot be {'b' * 60}-records"),
        ("RECORDS_BUCKET", "Records", "RECORDS_BUCKET cannot be Records"),
        ("RECORDS_BUCKET", BUCKET, "RECORDS_BUCKET is BUCKET: set it to a bucket of its own"),
        ("TABLE", "my table", "TABLE cannot be my table"),
        ("PASSWORD", " correct horse battery ", "PASSWORD begins or ends with white space"),
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
    message = refusal(**environ)
    assert message.startswith(sentence)
    assert message.endswith(".")
    assert "\n" not in message


def test_several_users_replace_the_one() -> None:
    users = "anna:a long: enough one,ben:scrypt:32768:8:1$salt$0123456789abcdef"
    assert make_package("users", BUCKET=BUCKET, USERS=users).environment("ApiLambdaFunction")["USERS"] == users


def test_every_setting_can_be_given() -> None:
    text = (ROOT / "serverless.yml").read_text()
    names = {setting.name for setting in SETTINGS} - ONE_MACHINE - FRONT
    environment, deployment = text.split("\n  deployment:\n")
    assert set(re.findall(r"^    ([A-Z_]+): ", environment, re.MULTILINE)) == names
    assert set(re.findall(r"ELASTICPYPI_([A-Z_]+),", environment)) == names - {"SERVICE", "STAGE"}
    options = re.findall(r"^    ([A-Z_]+): ", deployment, re.MULTILINE)
    assert options == re.findall(r"ELASTICPYPI_([A-Z_]+),", deployment)


def test_the_template_is_sound(package: Package) -> None:
    lint(package)


def test_only_the_functions_that_check_passwords_get_them(package: Package) -> None:
    assert package.environment("ApiLambdaFunction")["PASSWORD"] == PASSWORD
    assert package.environment("AuthorizerLambdaFunction")["PASSWORD"] == PASSWORD
    for function in ("SyncLambdaFunction", "AuditLambdaFunction"):
        assert not SECRETS & package.environment(function).keys()
        assert package.environment(function)["BUCKET"] == BUCKET


def test_each_function_has_a_role_of_its_own(package: Package) -> None:
    functions = package.properties("Lambda::Function")
    assert functions.keys() == {f"{name}LambdaFunction" for name in ("Api", "Authorizer", "Sync", "Audit")}
    for name, function in functions.items():
        assert function["Role"] == {"Fn::GetAtt": [name.replace("LambdaFunction", "Role"), "Arn"]}
    assert package.properties("IAM::Role").keys() == RIGHTS.keys()


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_has_the_rights_that_are_needed_each_for_one_resource(package: Package, role: str) -> None:
    (policy,) = package.properties("IAM::Role")[role]["Policies"]
    log = {"Fn::GetAtt": [role.replace("Role", "LogGroup"), "Arn"]}
    rights = []
    for statement in policy["PolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Allow"
        actions, resources = (each if isinstance(each, list) else [each] for each in map(statement.get, PARTS))
        rights += [(action, json.dumps(resource)) for action in actions for resource in resources]
        new = {"Null": {"s3:if-none-match": "false"}}  # an event is never replaced
        assert statement.get("Condition") == (new if resources == [EVENTS] and actions == ["s3:PutObject"] else None)
    expected = [("logs:CreateLogStream", log), ("logs:PutLogEvents", log), *RIGHTS[role]]
    assert sorted(rights) == sorted((action, json.dumps(resource)) for action, resource in expected)


def test_the_runtime(package: Package) -> None:
    for function in package.properties("Lambda::Function").values():
        assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])
        assert "ReservedConcurrentExecutions" not in function
    groups = package.properties("Logs::LogGroup")
    assert groups.keys() == {role.replace("Role", "LogGroup") for role in RIGHTS}
    assert {group["RetentionInDays"] for group in groups.values()} == {30}


def test_events_that_fail_are_kept(package: Package) -> None:
    config = package.properties("Lambda::EventInvokeConfig")["SyncLambdaEvConf"]
    assert config["FunctionName"] == {"Ref": "SyncLambdaFunction"}
    assert config["MaximumRetryAttempts"] == 2
    queue = {"Destination": {"Fn::GetAtt": ["SyncFailures", "Arn"]}}
    assert config["DestinationConfig"] == {"OnFailure": queue}
    fourteen_days = 14 * 24 * 3600
    assert package.properties("SQS::Queue") == {
        "SyncFailures": {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": fourteen_days}
    }


def test_the_audit_runs_once_a_day(package: Package) -> None:
    (rule,) = package.properties("Events::Rule").values()
    assert rule["ScheduleExpression"] == "rate(1 day)"
    assert rule["State"] == "ENABLED"
    assert [target["Arn"] for target in rule["Targets"]] == [{"Fn::GetAtt": ["AuditLambdaFunction", "Arn"]}]
    assert package.properties("Lambda::Function")["AuditLambdaFunction"]["Timeout"] == 900
    config = package.properties("Lambda::EventInvokeConfig")["AuditLambdaEvConf"]
    assert config["MaximumRetryAttempts"] == 0


def test_what_fails_rings_an_alarm(package: Package) -> None:
    alarms = package.properties("CloudWatch::Alarm")
    watched = {name: (each["MetricName"], each["Dimensions"][0]["Value"]) for name, each in alarms.items()}
    assert watched == {
        "SyncErrors": ("Errors", {"Ref": "SyncLambdaFunction"}),
        "SyncFailuresLeft": ("ApproximateNumberOfMessagesVisible", {"Fn::GetAtt": ["SyncFailures", "QueueName"]}),
        "AuditErrors": ("Errors", {"Ref": "AuditLambdaFunction"}),
        "ApiErrors": ("5XXError", "dev-elasticpypi"),
        "ApiThrottles": ("Throttles", {"Ref": "ApiLambdaFunction"}),
    }
    (api,) = package.properties("ApiGateway::RestApi").values()
    assert api["Name"] == "dev-elasticpypi"
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}]
    assert package.properties("SNS::Topic").keys() == {"Alarms"}


def test_nothing_is_traced(package: Package) -> None:
    assert not [each for each in package.properties("Lambda::Function").values() if "TracingConfig" in each]


def test_the_outputs_are_ready_to_be_pasted(package: Package) -> None:
    outputs = json.loads(package.template.read_text())["Outputs"]
    url = "https://${ApiGatewayRestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/dev/simple/"
    assert {name: outputs[name]["Value"]["Fn::Sub"] for name in outputs if "Fn::Sub" in outputs[name]["Value"]} == {
        "IndexUrl": url,
        "PipInstall": f"pip install --index-url {url} PACKAGE",
        "UvInstall": f"uv pip install --index-url {url} PACKAGE",
        "TwineUpload": f"twine upload --repository-url {url} dist/*",
        "UvPublish": f"uv publish --publish-url {url} dist/*",
        "Upload": f"elasticpypi upload --repository-url {url} dist/*",
    }


def test_large_uploads_leave_nothing_behind(package: Package) -> None:
    bucket = package.properties("S3::Bucket")["S3BucketPackagesofthetests"]
    rules = {rule.get("Prefix"): rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert rules[".uploads/"]["ExpirationInDays"] == 7
    assert rules[".uploads/"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    aborted = [rule.get("AbortIncompleteMultipartUpload") for rule in bucket["LifecycleConfiguration"]["Rules"]]
    assert {"DaysAfterInitiation": 7} in aborted


def test_the_bucket_is_private(package: Package) -> None:
    # The logical id is the one of the earlier elasticpypi: its stack keeps the bucket when it is updated.
    bucket = package.properties("S3::Bucket")["S3BucketPackagesofthetests"]
    assert bucket["BucketName"] == BUCKET
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    # Any page may put what it has a signed link for, and nothing else.
    assert bucket["CorsConfiguration"] == {"CorsRules": [{"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"]}]}
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


@pytest.mark.parametrize("name", ["S3BucketPackagesofthetests", "IndexTable", "RecordsBucket", "RecordsBucketPolicy"])
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
        "Throttled": "THROTTLED",
        "Denied": "ACCESS_DENIED",
        "Slow": "INTEGRATION_TIMEOUT",
        "Failed": "INTEGRATION_FAILURE",
        "AuthorizerFailed": "AUTHORIZER_FAILURE",
        "AnyFailure": "DEFAULT_5XX",
    }
    for name in ("Unauthorized", "Denied"):
        header = responses[name]["ResponseParameters"]["gatewayresponse.header.WWW-Authenticate"]
        assert header == f"'{CHALLENGE}'"  # API Gateway: the single quotes mean a constant
        assert responses[name]["StatusCode"] == "401"
    for name in ("Slow", "Failed", "AuthorizerFailed", "AnyFailure"):
        assert responses[name]["StatusCode"] == "503"  # after which pip tries again
        assert responses[name]["ResponseParameters"] == {"gatewayresponse.header.Retry-After": "'5'"}
    texts = {name: json.loads(each["ResponseTemplates"]["application/json"]) for name, each in responses.items()}
    assert all(text["message"].endswith((".", "/.")) for text in texts.values())
    assert f"elasticpypi upload FILE, or aws s3 cp FILE s3://{BUCKET}/" in texts["TooLarge"]["message"]
    # pip tries again after 429 only with this header.
    assert responses["Throttled"]["ResponseParameters"] == {"gatewayresponse.header.Retry-After": "'2'"}
    assert texts["Throttled"]["message"]
    (deployment,) = (each for each in package.resources.values() if each["Type"] == "AWS::ApiGateway::Deployment")
    assert responses.keys() <= set(deployment["DependsOn"])
    (api,) = package.properties("ApiGateway::RestApi").values()
    assert api["BinaryMediaTypes"] == ["*/*"]


def test_every_function_knows_the_records(package: Package) -> None:
    for function in package.properties("Lambda::Function"):
        assert package.environment(function)["RECORDS_BUCKET"] == f"{BUCKET}-records"


def test_the_records_are_private_and_stay(package: Package) -> None:
    packages, records = (package.properties("S3::Bucket")[n] for n in ("S3BucketPackagesofthetests", "RecordsBucket"))
    assert records["BucketName"] == f"{BUCKET}-records"
    for name in ("PublicAccessBlockConfiguration", "OwnershipControls", "BucketEncryption", "VersioningConfiguration"):
        assert records[name] == packages[name]
    for each in (told := records["NotificationConfiguration"]["LambdaConfigurations"]):
        assert each["Filter"] == {"S3Key": {"Rules": [{"Name": "prefix", "Value": "policy/"}]}}  # and of no event
        assert each["Function"] == {"Fn::GetAtt": ["SyncLambdaFunction", "Arn"]}
    assert [each["Event"] for each in told] == ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    permission = package.properties("Lambda::Permission")["RecordsPermission"]
    assert (permission["Principal"], permission["SourceArn"]) == ("s3.amazonaws.com", {"Fn::Sub": RECORDS})
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}  # nobody else's bucket of that name
    # What lasts has no end; what can be fetched again has one.
    kept = {rule.get("Prefix"): rule.keys() - {"Id", "Status", "Prefix"} for rule in _rules(records)}
    assert kept == {
        None: {"AbortIncompleteMultipartUpload"},
        "upstream/": {"NoncurrentVersionExpiration", "ExpiredObjectDeleteMarker"},
    }
    [upstream] = [rule for rule in _rules(records) if rule.get("Prefix") == "upstream/"]
    assert upstream["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_nobody_deletes_an_event(package: Package) -> None:
    policy = package.properties("S3::BucketPolicy")["RecordsBucketPolicy"]
    assert policy["Bucket"] == {"Ref": "RecordsBucket"}
    tls, stay = policy["PolicyDocument"]["Statement"]
    assert (tls["Effect"], tls["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert (stay["Effect"], stay["Principal"]) == ("Deny", "*")
    assert stay["Resource"] == {"Fn::Sub": "${RecordsBucket.Arn}/events/*"}
    assert stay["Action"] == ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    assert "Condition" not in stay


def test_the_bucket_is_there_before_a_function_uses_it(package: Package) -> None:
    """CloudFormation changes a function after its role. The bucket itself waits for ``sync``, whom it calls."""
    for role in RIGHTS.keys() - {"SyncRole"}:
        assert package.resources[role]["DependsOn"] == ["RecordsBucket"]


def _rules(bucket: dict[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = bucket["LifecycleConfiguration"]["Rules"]
    return rules
