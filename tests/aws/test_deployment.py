"""A stack of its own, deployed, deployed again and removed: what happens to the packages."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.support.builders import make_wheel
from tests.support.deployed import JSON, OURS, PASSWORD, Index, deploy, run_osls
from tests.support.deploying import osls
from tests.support.local_aws import CREDENTIALS, LocalAws
from tests.support.waiting import until

pytestmark = pytest.mark.aws

CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"


def test_packages_outlive_deployments(index: Index, local_aws: LocalAws, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "outlives", "1.0")
    first = deploy(local_aws, "prod")
    first.upload(wheel)
    assert index.files("outlives") == []  # a stage is an index of its own

    typo = {"ELASTICPYPI_BUCKET": f"{first.bucket}x", "ELASTICPYPI_TABLE": f"{first.table}x"}
    typo |= {"ELASTICPYPI_PASSWORD": PASSWORD, **local_aws.deployer}
    refused = osls("deploy", "--stage", "prod", **typo)
    assert refused.returncode == 1
    told = (
        f"BUCKET was {first.bucket} and is {first.bucket}x now, RECORDS_BUCKET was {first.records} and is "
        f"{first.bucket}x-records now, TABLE was {first.table} and is {first.table}x now: what is new is empty. Set "
        f"ELASTICPYPI_BUCKET={first.bucket} ELASTICPYPI_RECORDS_BUCKET={first.records} "
        f"ELASTICPYPI_TABLE={first.table}, or, to move on purpose (docs/deploy-aws.md, "
        f'"Another bucket or table"), ELASTICPYPI_MOVE_FROM={first.bucket},{first.records},{first.table}.'
    )
    assert told in refused.stdout.replace("\n", " ")
    refused = osls("deploy", "--stage", "prod", **typo, ELASTICPYPI_MOVE_FROM=f"{first.bucket},{first.records}")
    assert f"TABLE was {first.table} and is {first.table}x now: what is new is empty." in refused.stdout
    assert f"ELASTICPYPI_MOVE_FROM={first.table}.\n" in refused.stdout
    assert f"{first.bucket}x" not in buckets(local_aws)
    assert f"{first.table}x" not in local_aws.boto3("dynamodb").list_tables()["TableNames"]

    optional = {"SNAPSTART": "true", "WARM": "true", "ALARM_EMAIL": "ops@example.com"}
    optional |= {"DOMAIN": "own.example.com/pypi", "CERTIFICATE": CERTIFICATE}
    again = deploy(local_aws, "prod", STRICT_NAMES="true", **optional)
    assert again.url == first.url
    assert again.files("outlives") == [wheel.name]
    assert again.request("GET", f"/packages/{wheel.name}").content == wheel.read_bytes()
    with local_aws.session() as session:
        page = session.get("https://own.example.com/pypi/simple/outlives/", auth=OURS, headers=JSON)
        assert page.json()["files"][0]["filename"] == wheel.name
        file = session.get(urljoin(page.url, page.json()["files"][0]["url"]), auth=OURS)
        assert file.content == wheel.read_bytes()
    domain = local_aws.boto3("apigateway").get_domain_name(domainName="own.example.com")
    assert domain["regionalCertificateArn"] == CERTIFICATE
    (stack,) = local_aws.boto3("cloudformation").describe_stacks(StackName=again.stack)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs["DomainRecord"] == f"own.example.com CNAME {domain['regionalDomainName']}"
    odd = make_wheel(tmp_path, "Odd.Name", "1.0")
    assert "400" in again.upload(odd, fails=True)  # the new setting

    def left() -> tuple[bytes, list[object], list[object]]:
        stored = local_aws.boto3("s3").get_object(Bucket=again.bucket, Key=wheel.name)["Body"].read()
        return stored, local_aws.boto3("dynamodb").scan(TableName=again.table)["Items"], [*again.recorded()]

    before = left()
    assert before[0] == wheel.read_bytes()
    assert len(before[1]) > 3
    assert len(before[2]) == 2  # a file, and one that was refused
    run_osls("remove", local_aws, "prod")
    assert left() == before
    functions = local_aws.boto3("lambda").list_functions()["Functions"]
    assert not [each for each in functions if each["FunctionName"].startswith(again.stack)]


def buckets(aws: LocalAws) -> set[str]:
    return {each["Name"] for each in aws.boto3("s3").list_buckets()["Buckets"]}


def command(index: Index, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """An elasticpypi command on bucket and table, with the rights of the account's owner."""
    environ = {**index.aws.client, **CREDENTIALS, "AWS_CA_BUNDLE": str(index.aws.ca), **settings}
    line = [sys.executable, "-m", "elasticpypi", *arguments]
    return subprocess.run(line, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_an_index_moves_to_another_bucket_and_then_to_another_table(local_aws: LocalAws, tmp_path: Path) -> None:
    """As README has it: nothing is lost on the way, and what was not copied is gone at the end."""
    first, begun = deploy(local_aws, "moves"), time.time()
    kept, left = make_wheel(tmp_path, "kept", "1.0"), make_wheel(tmp_path, "left", "1.0")
    first.upload(kept, left)
    assert first.request("PUT", f"/packages/{kept.name}.yanked", data=b"bad").status_code == 200
    until(lambda: re.search("written|unchanged", first.log("sync", begun)), "the first event")

    new, old, s3 = f"{first.bucket}-new", first.bucket, local_aws.boto3("s3")
    moved = deploy(local_aws, "moves", BUCKET=new, MOVE_FROM=f"{old},{old}-records")
    assert (moved.url, moved.table) == (first.url, first.table)
    audited = local_aws.boto3("lambda").invoke(FunctionName=f"{moved.stack}-audit")
    told = f"The table '{moved.table}' belongs to the bucket '{old}', not to '{new}'"
    assert json.load(audited["Payload"])["errorMessage"].startswith(told)
    assert moved.files("kept") == [kept.name]  # on its page still, though its bytes are not there yet

    for key in (kept.name, f"{kept.name}.yanked"):  # aws s3 sync
        s3.copy_object(Bucket=new, Key=key, CopySource={"Bucket": old, "Key": key})
    download = f"/packages/{kept.name}"
    until(lambda: moved.request("GET", download).status_code == 200, "the copied file")
    assert moved.request("GET", download).content == kept.read_bytes()
    place = {"BUCKET": new, "TABLE": moved.table}
    refused = command(moved, "reindex", **place)
    assert (refused.returncode, refused.stdout.startswith(f"Error: {told}")) == (1, True)
    done = command(moved, "reindex", "--move-from", old, **place)
    assert done.returncode == 0, done.stdout
    assert (moved.files("kept"), moved.files("left")) == ([kept.name], [])
    moved.upload(make_wheel(tmp_path, "kept", "2.0"))
    assert "StatusCode" in local_aws.boto3("lambda").invoke(FunctionName=f"{moved.stack}-audit")
    assert len(moved.files("kept")) == 2
    assert moved.request("GET", "/simple/kept/", headers=JSON).json()["files"][0]["yanked"] == "bad"
    assert old in buckets(local_aws)  # outside of the stack

    table = f"{moved.table}-new"
    empty = deploy(local_aws, "moves", BUCKET=new, TABLE=table, MOVE_FROM=moved.table)
    assert (empty.url, empty.files("kept")) == (moved.url, [])
    done = command(empty, "reindex", BUCKET=new, TABLE=table)
    assert done.returncode == 0, done.stdout
    assert len(empty.files("kept")) == 2
    assert moved.table in local_aws.boto3("dynamodb").list_tables()["TableNames"]
    run_osls("remove", local_aws, "moves", BUCKET=new, TABLE=table)
