"""What only the deployed stack shows of serverless.yml."""

import pytest

from tests.support.deployed import Index

pytestmark = pytest.mark.aws


@pytest.fixture
def api(index: Index) -> str:
    return index.url.removeprefix("https://").partition(".")[0]


def test_everything_is_tagged_for_the_bill(index: Index, api: str) -> None:
    ours = {"service": "elasticpypi", "stage": "dev"}
    # CloudFormation hands the tags of the stack on to what it makes. The stage, which has the bill of the
    # gateway, is not among that.
    (stack,) = index.aws.boto3("cloudformation").describe_stacks(StackName="elasticpypi-dev")["Stacks"]
    assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]} == ours
    stage = f"arn:aws:apigateway:us-east-1::/restapis/{api}/stages/dev"
    assert index.aws.boto3("apigateway").get_tags(resourceArn=stage)["tags"] == ours
    function = f"arn:aws:lambda:us-east-1:000000000000:function:{index.stack}-api"
    assert index.aws.boto3("lambda").list_tags(Resource=function)["Tags"].items() >= ours.items()


def test_the_stage_has_its_limits_and_no_tracing(index: Index, api: str) -> None:
    stage = index.aws.boto3("apigateway").get_stage(restApiId=api, stageName="dev")
    settings = stage["methodSettings"]["*/*"]
    assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (200, 1000)
    assert stage["tracingEnabled"] is False


def test_the_alarms_are_there(index: Index) -> None:
    alarms = index.aws.boto3("cloudwatch").describe_alarms()["MetricAlarms"]
    names = {alarm["AlarmName"] for alarm in alarms}
    for name in ("SyncErrors", "SyncFailuresLeft", "AuditErrors", "ApiErrors", "ApiThrottles"):
        assert [each for each in names if each.startswith(f"elasticpypi-dev-{name}-")]
