"""The block custom.deployment of serverless.yml: what is off unless it is asked for."""

import json
import subprocess
from typing import Any

import pytest

from elasticpypi.hosts.aws import lambdas
from tests.support import scan
from tests.support.deploying import BUCKET, PASSWORD, Package, lint, make_package, packaged, refusal
from tests.support.moto_aws import BUCKET as BUCKET_OF_MOTO
from tests.support.moto_aws import TABLE

pytestmark = pytest.mark.aws

GIVEN = {"BUCKET": BUCKET, "PASSWORD": PASSWORD}


def openssl(*arguments: str, text: str = "") -> str:
    return subprocess.run(["openssl", *arguments], input=text, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def key() -> str:
    return openssl("genrsa", "2048")


@pytest.fixture(scope="module")
def full(key: str) -> Package:
    """With all that goes together."""
    switches = {"ALARM_EMAIL": "ops@example.com", "CLOUDFRONT_KEY": key, "SNAPSTART": "true", "WARM": "true"}
    return make_package("full", **GIVEN, **switches)


@pytest.fixture(scope="module")
def provisioned() -> Package:
    """With what does not, and another key."""
    return make_package("provisioned", **GIVEN, PROVISIONED="2", CLOUDFRONT_KEY=openssl("genrsa", "2048"))


def function(package: Package) -> dict[str, Any]:
    properties: dict[str, Any] = package.properties("Lambda::Function")["ApiLambdaFunction"]
    return properties


def called(package: Package) -> str:
    """Where API Gateway sends requests."""
    method = package.properties("ApiGateway::Method")["ApiGatewayMethodProxyVarAny"]
    return json.dumps(method["Integration"]["Uri"])


def test_off_is_off() -> None:
    package = packaged()
    kinds = {resource["Type"] for resource in package.resources.values()}
    assert not [kind for kind in kinds if kind.startswith("AWS::CloudFront::")]
    assert not kinds & {"AWS::SNS::Subscription", "AWS::Lambda::Version", "AWS::Lambda::Alias"}
    assert "SnapStart" not in function(package)
    assert package.properties("Events::Rule").keys() == {"AuditEventsRuleSchedule1"}
    assert not [name for name in package.environment("ApiLambdaFunction") if name.startswith("CLOUDFRONT_")]
    (statement,) = package.properties("S3::BucketPolicy")["BucketPolicy"]["PolicyDocument"]["Statement"]
    assert statement["Sid"] == "TlsOnly"


def test_the_templates_are_sound(full: Package, provisioned: Package) -> None:
    lint(full)
    lint(provisioned)


def test_the_scan_finds_what_is_accepted_and_nothing_else(full: Package) -> None:
    assert scan.findings(packaged().template, full.template) == scan.accepted()


def test_alarms_are_mailed(full: Package) -> None:
    (subscription,) = full.properties("SNS::Subscription").values()
    assert subscription == {"TopicArn": {"Ref": "Alarms"}, "Protocol": "email", "Endpoint": "ops@example.com"}


def test_cloudfront_serves_what_was_signed_and_nothing_else(full: Package, key: str) -> None:
    ((name, public),) = full.properties("CloudFront::PublicKey").items()
    assert public["PublicKeyConfig"]["EncodedKey"] == openssl("rsa", "-pubout", text=key)
    (group,) = full.properties("CloudFront::KeyGroup").values()
    assert group["KeyGroupConfig"]["Items"] == [{"Ref": name}]
    (distribution,) = full.properties("CloudFront::Distribution").values()
    config = distribution["DistributionConfig"]
    assert config["DefaultCacheBehavior"]["TrustedKeyGroups"] == [{"Ref": "LinkKeys"}]
    assert config["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "https-only"
    assert "CacheBehaviors" not in config  # none without the key
    (origin,) = config["Origins"]
    assert origin["DomainName"] == {"Fn::Sub": f"{BUCKET}.s3.${{AWS::Region}}.${{AWS::URLSuffix}}"}
    assert origin["OriginAccessControlId"] == {"Fn::GetAtt": ["BucketAccess", "Id"]}
    _, statement = full.properties("S3::BucketPolicy")["BucketPolicy"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert statement["Action"] == "s3:GetObject"
    arn = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Files}"
    assert statement["Condition"] == {"StringEquals": {"AWS:SourceArn": {"Fn::Sub": arn}}}


def test_only_the_api_signs_links(full: Package, key: str) -> None:
    environment = full.environment("ApiLambdaFunction")
    assert environment["CLOUDFRONT_KEY"] == key
    assert environment["CLOUDFRONT_HOST"] == {"Fn::GetAtt": ["Files", "DomainName"]}
    assert environment["CLOUDFRONT_KEY_ID"] == {"Ref": next(iter(full.properties("CloudFront::PublicKey")))}
    for name in ("Authorizer", "Sync", "Audit"):
        assert "CLOUDFRONT_KEY" not in full.environment(f"{name}LambdaFunction")


def test_another_key_is_another_resource(full: Package, provisioned: Package) -> None:
    # CloudFront cannot change a public key.
    keys = [package.properties("CloudFront::PublicKey") for package in (full, provisioned)]
    assert not keys[0].keys() & keys[1].keys()
    ((one,), (other,)) = (each.values() for each in keys)
    assert one["PublicKeyConfig"]["Name"] != other["PublicKeyConfig"]["Name"]


@pytest.mark.parametrize(("switch", "alias"), [("full", "snapstart"), ("provisioned", "provisioned")])
def test_requests_go_to_the_version_that_is_prepared(switch: str, alias: str, request: pytest.FixtureRequest) -> None:
    package = request.getfixturevalue(switch)
    ((version, resource),) = [each for each in package.resources.items() if each[1]["Type"] == "AWS::Lambda::Version"]
    assert "DeletionPolicy" not in resource  # AWS charges for snapshots of versions that nobody uses any more
    (properties,) = package.properties("Lambda::Alias").values()
    assert properties["FunctionVersion"] == {"Fn::GetAtt": [version, "Version"]}
    assert properties["Name"] == alias
    assert f'"{alias}"' in called(package)
    config = {"ProvisionedConcurrentExecutions": 2} if alias == "provisioned" else None
    assert properties.get("ProvisionedConcurrencyConfig") == config
    snapshot = {"ApplyOn": "PublishedVersions"} if alias == "snapstart" else None
    assert function(package).get("SnapStart") == snapshot


@pytest.mark.usefixtures("aws")
def test_the_call_that_keeps_warm_is_answered(full: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = full.properties("Events::Rule")["ApiEventsRuleSchedule1"]
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    (target,) = rule["Targets"]
    for name, value in {"BUCKET": BUCKET_OF_MOTO, "TABLE": TABLE, "USERNAME": "a", "PASSWORD": PASSWORD}.items():
        monkeypatch.setenv(name, value)
    for cached in (lambdas._services, lambdas._app):
        monkeypatch.setattr(lambdas, cached.__name__, cached.__wrapped__)
    assert lambdas.api(json.loads(target["Input"]), None)["statusCode"] == 200


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ALARM_EMAIL": "ops"}, "ALARM_EMAIL must be one address, not ops."),
        ({"THROTTLE_RATE": "0"}, "THROTTLE_RATE must be a whole number from 1 to 99999, not 0."),
        ({"THROTTLE_BURST": "many"}, "THROTTLE_BURST must be a whole number from 1 to 99999, not many."),
        ({"PROVISIONED": "-1"}, "PROVISIONED must be a whole number from 0 to 99999, not -1."),
        ({"SNAPSTART": "yes"}, "SNAPSTART must be true or false, not yes."),
        ({"WARM": "maybe"}, "WARM must be true or false, not maybe."),
        (
            {"SNAPSTART": "true", "PROVISIONED": "1"},
            "Lambda has SNAPSTART or PROVISIONED, not both: leave one out.",
        ),
        (
            {"CLOUDFRONT_KEY": "{{resolve:secretsmanager:key}}"},
            "CLOUDFRONT_KEY must be an RSA key of 2048 bits in PEM, as `openssl genrsa 2048` makes one.",
        ),
        ({"USERS": f"a:{'x' * 3892}"}, "The settings have 4100 bytes, and Lambda takes 4096: USERS is too long"),
    ],
)
def test_what_cannot_be_deployed_is_said(settings: dict[str, str], sentence: str) -> None:
    message = refusal(**{f"ELASTICPYPI_{name}": value for name, value in {**GIVEN, **settings}.items()})
    assert message.startswith(sentence)
    assert "\n" not in message


@pytest.mark.parametrize("options", [("genrsa", "1024"), ("ecparam", "-genkey", "-name", "prime256v1", "-noout")])
def test_cloudfront_takes_rsa_of_2048_bits_only(options: tuple[str, ...]) -> None:
    settings = {**GIVEN, "CLOUDFRONT_KEY": openssl(*options)}
    message = refusal(**{f"ELASTICPYPI_{name}": value for name, value in settings.items()})
    assert message.startswith("CLOUDFRONT_KEY must be an RSA key of 2048 bits in PEM")
