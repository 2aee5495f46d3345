"""A stack of its own, deployed, deployed again and removed: what happens to the packages."""

from pathlib import Path

import pytest

from tests.support.builders import make_wheel
from tests.support.deployed import PASSWORD, Index, deploy, run_osls
from tests.support.deploying import osls
from tests.support.local_aws import LocalAws

pytestmark = pytest.mark.aws


def test_packages_outlive_deployments(index: Index, local_aws: LocalAws, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "outlives", "1.0")
    first = deploy(local_aws, "prod")
    first.upload(wheel)
    assert index.files("outlives") == []  # a stage is an index of its own

    typo = {"ELASTICPYPI_BUCKET": f"{first.bucket}x", "ELASTICPYPI_PASSWORD": PASSWORD, **local_aws.deployer}
    refused = osls("deploy", "--stage", "prod", **typo)
    assert refused.returncode == 1
    assert f"BUCKET was {first.bucket} and is {first.bucket}x now" in refused.stdout
    assert f"{first.bucket}x" not in {each["Name"] for each in local_aws.boto3("s3").list_buckets()["Buckets"]}

    optional = {"SNAPSTART": "true", "WARM": "true", "ALARM_EMAIL": "ops@example.com"}
    again = deploy(local_aws, "prod", STRICT_NAMES="true", **optional)
    assert again.url == first.url
    assert again.files("outlives") == [wheel.name]
    assert again.request("GET", f"/packages/{wheel.name}").content == wheel.read_bytes()
    odd = make_wheel(tmp_path, "Odd.Name", "1.0")
    assert "400" in again.upload(odd, fails=True)  # the new setting

    def left() -> tuple[bytes, list[object]]:
        stored = local_aws.boto3("s3").get_object(Bucket=again.bucket, Key=wheel.name)["Body"].read()
        return stored, local_aws.boto3("dynamodb").scan(TableName=again.table)["Items"]

    before = left()
    assert before[0] == wheel.read_bytes()
    assert len(before[1]) > 3
    run_osls("remove", local_aws, "prod")
    assert left() == before
    functions = local_aws.boto3("lambda").list_functions()["Functions"]
    assert not [each for each in functions if each["FunctionName"].startswith(again.stack)]
