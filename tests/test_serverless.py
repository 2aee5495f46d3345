"""serverless.yml: what it refuses, what it deploys, and what is in the zip."""

import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Any

import boto3
import pytest
from deploying import ROOT, osls, require_osls
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from elasticpypi.auth import CHALLENGE
from elasticpypi.config import SETTINGS

BUCKET = "packages.of-the-tests"
PASSWORD = "correct horse battery"
SECRETS = {"USERNAME", "PASSWORD", "USERS"}
ONE_MACHINE = {"DATA", "HOST", "PORT", "WORKERS"}
RUNTIME = {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"}  # what Lambda brings along


@dataclass(frozen=True)
class Package:
    """What `osls package` makes."""

    template: Path
    zip: Path

    @property
    def resources(self) -> dict[str, Any]:
        resources: dict[str, Any] = json.loads(self.template.read_text())["Resources"]
        return resources

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [resource for resource in self.resources.values() if resource["Type"] == kind]

    def statements(self, role: str) -> list[dict[str, Any]]:
        (policy,) = self.resources[role]["Properties"]["Policies"]
        statements: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
        return statements

    def actions(self, role: str) -> set[str]:
        return {action for statement in self.statements(role) for action in listed(statement["Action"])}

    def environment(self, function: str) -> dict[str, str]:
        variables: dict[str, str] = self.resources[f"{function}LambdaFunction"]["Properties"]["Environment"]["Variables"]
        return variables

    @property
    def names(self) -> list[str]:
        with zipfile.ZipFile(self.zip) as archive:
            return archive.namelist()


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="session")
def package() -> Package:
    require_osls()
    folder = ROOT / "build" / "serverless"
    done = osls("package", "--package", str(folder), ELASTICPYPI_BUCKET=BUCKET, ELASTICPYPI_PASSWORD=PASSWORD)
    assert done.returncode == 0, done.stdout
    return Package(folder / "cloudformation-template-update-stack.json", folder / "elasticpypi.zip")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"BUCKET": ""}, "BUCKET is missing: set ELASTICPYPI_BUCKET"),
        ({"BUCKET": "My_Bucket"}, "BUCKET cannot be My_Bucket"),
        ({"PASSWORD": ""}, "PASSWORD is missing: set ELASTICPYPI_PASSWORD"),
        ({"PASSWORD": "elevenchars"}, "PASSWORD is too short"),
        ({"PASSWORD": "something-secretive"}, "PASSWORD is the sample password"),
        ({"USERS": "anna:a long enough one,ben:short"}, "USERS: the password of ben is too short"),
        ({"USERS": "anna:a long enough one,ben:something-secretive"}, "USERS: the password of 'ben' is the sample password"),
        ({"USERS": "anna"}, "USERS: entry 1 must have the form user:password"),
        ({"OVERWRITE": "maybe"}, "OVERWRITE must be true or false"),
    ],
)
def test_a_wrong_setting_stops_the_deployment_with_one_sentence(environ: dict[str, str], sentence: str) -> None:
    require_osls()
    settings = {"BUCKET": BUCKET, "PASSWORD": PASSWORD, **environ}
    done = osls("package", "--package", "build/refused", **{f"ELASTICPYPI_{name}": value for name, value in settings.items()})
    assert done.returncode == 1
    message = done.stdout.partition("Error:\n")[2].strip()
    assert message.startswith(sentence)
    assert "\n" not in message
    assert message.endswith(".")
    assert not (ROOT / "build" / "refused").exists()


def test_several_users_replace_the_one() -> None:
    require_osls()
    users = "anna:a long: enough one,ben:scrypt:32768:8:1$salt$0123456789abcdef"
    done = osls("package", "--package", "build/users", ELASTICPYPI_BUCKET=BUCKET, ELASTICPYPI_USERS=users)
    assert done.returncode == 0, done.stdout
    template = ROOT / "build" / "users" / "cloudformation-template-update-stack.json"
    assert Package(template, template).environment("Api")["USERS"] == users


def test_every_setting_can_be_given() -> None:
    text = (ROOT / "serverless.yml").read_text()
    names = {setting.name for setting in SETTINGS} - ONE_MACHINE
    assert set(re.findall(r"^    ([A-Z_]+): ", text, re.MULTILINE)) == names
    assert set(re.findall(r"ELASTICPYPI_([A-Z_]+),", text)) == names - {"SERVICE", "STAGE"}


def test_the_template_is_sound(package: Package) -> None:
    # W3005: osls repeats as DependsOn what a reference says already.
    command = [Path(sys.executable).parent / "cfn-lint", "--ignore-checks", "W3005", "--", package.template]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_only_the_functions_that_check_them_get_the_passwords(package: Package) -> None:
    assert package.environment("Api")["PASSWORD"] == PASSWORD
    assert package.environment("Authorizer")["PASSWORD"] == PASSWORD
    assert not SECRETS & package.environment("Sync").keys()
    assert package.environment("Sync")["BUCKET"] == BUCKET


def test_each_function_has_a_role_of_its_own_and_only_the_rights_that_it_needs(package: Package) -> None:
    functions = package.of_type("AWS::Lambda::Function")
    roles = [function["Properties"]["Role"]["Fn::GetAtt"][0] for function in functions]
    assert sorted(roles) == ["ApiRole", "AuthorizerRole", "SyncRole"]
    assert len(package.of_type("AWS::IAM::Role")) == 3

    logs = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert package.actions("AuthorizerRole") == logs
    table = {f"dynamodb:{verb}" for verb in ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")}
    assert package.actions("ApiRole") == logs | table | {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}
    assert package.actions("SyncRole") == logs | table | {"s3:GetObject", "s3:ListBucket", "sqs:SendMessage"}


@pytest.mark.parametrize("role", ["ApiRole", "AuthorizerRole", "SyncRole"])
def test_every_right_is_for_one_resource(package: Package, role: str) -> None:
    bucket = f"arn:${{AWS::Partition}}:s3:::{BUCKET}"
    for statement in package.statements(role):
        services = {action.partition(":")[0] for action in listed(statement["Action"])}
        allowed: dict[str, list[Any]] = {
            "logs": [{"Fn::GetAtt": [role.replace("Role", "LogGroup"), "Arn"]}],
            "s3": [{"Fn::Sub": f"{bucket}/*"}, {"Fn::Sub": bucket}],
            "dynamodb": [{"Fn::GetAtt": ["IndexTable", "Arn"]}],
            "sqs": [{"Fn::GetAtt": ["SyncFailures", "Arn"]}],
        }
        (service,) = services
        assert all(resource in allowed[service] for resource in listed(statement["Resource"]))


def test_the_runtime(package: Package) -> None:
    for function in package.of_type("AWS::Lambda::Function"):
        assert function["Properties"]["Runtime"] == "python3.13"
        assert function["Properties"]["Architectures"] == ["arm64"]
        assert "ReservedConcurrentExecutions" not in function["Properties"]
    groups = package.of_type("AWS::Logs::LogGroup")
    assert [group["Properties"]["RetentionInDays"] for group in groups] == [30, 30, 30]


def test_events_that_fail_are_kept(package: Package) -> None:
    (config,) = package.of_type("AWS::Lambda::EventInvokeConfig")
    assert config["Properties"]["FunctionName"] == {"Ref": "SyncLambdaFunction"}
    assert config["Properties"]["MaximumRetryAttempts"] == 2
    assert config["Properties"]["DestinationConfig"]["OnFailure"] == {"Destination": {"Fn::GetAtt": ["SyncFailures", "Arn"]}}
    queue = package.resources["SyncFailures"]["Properties"]
    assert queue == {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 14 * 24 * 3600}


def test_the_bucket_is_private_and_stays(package: Package) -> None:
    # The logical id is what the earlier elasticpypi had: its stack is updated and keeps the bucket.
    bucket = package.resources["S3BucketPackagesoftests"] if False else package.resources[bucket_id(package)]
    properties = bucket["Properties"]
    assert properties["BucketName"] == BUCKET
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["BucketEncryption"]
    events = properties["NotificationConfiguration"]["LambdaConfigurations"]
    assert {event["Event"] for event in events} == {"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}
    (policy,) = [each for each in package.of_type("AWS::S3::BucketPolicy") if each["Properties"]["Bucket"] == {"Ref": bucket_id(package)}]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def bucket_id(package: Package) -> str:
    (name,) = [name for name, each in package.resources.items() if each.get("Properties", {}).get("BucketName") == BUCKET]
    return name


def test_the_table(package: Package) -> None:
    properties = package.resources["IndexTable"]["Properties"]
    assert properties["TableName"] == package.environment("Api")["TABLE"] == "elasticpypi-dev-index"
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_data_survives_the_removal_of_the_stack(package: Package) -> None:
    for name in (bucket_id(package), "IndexTable"):
        # "ExceptOnCreate": what a first deployment that failed leaves behind would block the second.
        assert package.resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert package.resources[name]["UpdateReplacePolicy"] == "Retain"


def test_only_two_routes_are_open(package: Package) -> None:
    methods = {name: each["Properties"] for name, each in package.resources.items() if each["Type"] == "AWS::ApiGateway::Method"}
    open_to_all = {name for name, method in methods.items() if method["AuthorizationType"] == "NONE"}
    assert open_to_all == {"ApiGatewayMethodHealthAny", "ApiGatewayMethodOidcProxyVarAny"}
    closed = {name for name, method in methods.items() if method["AuthorizationType"] == "CUSTOM"}
    assert closed == {"ApiGatewayMethodAny", "ApiGatewayMethodProxyVarAny"}
    (authorizer,) = package.of_type("AWS::ApiGateway::Authorizer")
    assert authorizer["Properties"]["Type"] == "REQUEST"
    assert authorizer["Properties"]["IdentitySource"] == "method.request.header.Authorization"
    assert authorizer["Properties"]["AuthorizerResultTtlInSeconds"] == 300


def test_the_gateway_asks_for_a_password_itself(package: Package) -> None:
    responses = {each["Properties"]["ResponseType"]: each["Properties"] for each in package.of_type("AWS::ApiGateway::GatewayResponse")}
    header = responses["UNAUTHORIZED"]["ResponseParameters"]["gatewayresponse.header.WWW-Authenticate"]
    assert header == f"'{CHALLENGE}'"  # the quotes mean: a constant
    for response in responses.values():
        assert json.loads(response["ResponseTemplates"]["application/json"])["message"]
    assert f"s3://{BUCKET}/" in responses["REQUEST_TOO_LARGE"]["ResponseTemplates"]["application/json"]
    (deployment,) = package.of_type("AWS::ApiGateway::Deployment")
    assert {"Unauthorized", "TooLarge"} <= set(deployment["DependsOn"])
    (api,) = package.of_type("AWS::ApiGateway::RestApi")
    assert api["Properties"]["BinaryMediaTypes"] == ["*/*"]


def test_the_zip_has_what_lambda_needs_and_nothing_else(package: Package) -> None:
    top = {name.partition("/")[0] for name in package.names}
    modules = {name.removesuffix(".py") for name in top if not name.endswith(".dist-info")}
    assert modules == {
        "blinker", "click", "elasticpypi", "flask", "itsdangerous", "jinja2", "markupsafe", "packaging", "serverless_wsgi", "werkzeug",
    }  # fmt: skip
    ours = {name for name in package.names if name.startswith("elasticpypi/")}
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "elasticpypi").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    left_out = here - ours
    assert not ours - here
    assert all(re.fullmatch(r"elasticpypi/(__main__|cli|local|serve\w*|watch\w*)\.py", name) for name in left_out), left_out


def test_the_zip_is_for_the_runtime(package: Package) -> None:
    compiled = [name for name in package.names if name.endswith((".so", ".pyd", ".pyc", ".dylib"))]
    assert compiled == ["markupsafe/_speedups.cpython-313-aarch64-linux-gnu.so"]
    with zipfile.ZipFile(package.zip) as archive:
        assert archive.read(compiled[0])[18:20] == b"\xb7\x00"  # ELF: e_machine of AArch64


def test_requirements_are_complete_and_pinned(package: Package) -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(Requirement(line).name): str(Requirement(line).specifier) for line in lines}
    assert all(re.fullmatch(r"==[\w.]+", version) for version in pinned.values())
    target = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux", "platform_machine": "aarch64", "extra": ""}
    with zipfile.ZipFile(package.zip) as archive:
        for name in package.names:
            if name.endswith(".dist-info/METADATA"):
                metadata = Parser().parsestr(archive.read(name).decode(), headersonly=True)
                needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
                missing = [each.name for each in needed if not each.marker or each.marker.evaluate(target)]
                assert {canonicalize_name(each) for each in missing} <= pinned.keys(), name


def test_the_zip_runs_with_nothing_but_the_runtime(package: Package, tmp_path: Path) -> None:
    with zipfile.ZipFile(package.zip) as archive:
        archive.extractall(tmp_path)
    code = """
import json, sys
from elasticpypi import lambdas
event = {"httpMethod": "GET", "path": "/simple/", "headers": {}, "requestContext": {"stage": "dev"}, "body": None}
print(json.dumps(lambdas.api(event, None)))
try:
    lambdas.authorizer({"headers": {}, "methodArn": "arn:aws:execute-api:us-east-1:1:api/dev/GET/"}, None)
except Exception as error:
    print(error)
lambdas.sync({"Records": []}, None)
print(json.dumps([module.__file__ for module in list(sys.modules.values()) if getattr(module, "__file__", None)]))
"""
    site_packages = Path(boto3.__file__).parent.parent
    environ = {**package.environment("Api"), "PYTHONPATH": f"{tmp_path}{os.pathsep}{site_packages}", "AWS_DEFAULT_REGION": "us-east-1"}
    # -S: no site-packages but the one named; -P: nor the folder where this runs.
    done = subprocess.run([sys.executable, "-S", "-P", "-B", "-c", code], env=environ, text=True, capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    answer, refusal, files = done.stdout.splitlines()
    assert json.loads(answer)["statusCode"] == 401
    assert refusal == "Unauthorized"
    foreign = {Path(file).relative_to(site_packages).parts[0].removesuffix(".py") for file in json.loads(files) if file.startswith(str(site_packages))}
    assert foreign <= RUNTIME
