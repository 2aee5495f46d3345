"""checkov over compiled templates: ``python -m tests.support.scan TEMPLATE...`` fails for what is not accepted here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

VENV = ROOT / ".cache" / "checkov"
CHECKOV = "checkov==3.3.30"  # in an environment of its own, since it pins a hundred others

Finding = tuple[str, str]  # check, resource

FUNCTIONS = {f"AWS::Lambda::Function.{name}LambdaFunction" for name in ("Api", "Authorizer", "Sync", "Audit")}
ACCEPTED: dict[str, tuple[str, set[str]]] = {
    "CKV_AWS_18": (
        "Access logs need a bucket of their own that somebody reads; CloudTrail has data events for those who do.",
        {f"AWS::S3::Bucket.{name}" for name in ("ServerlessDeploymentBucket", "S3Bucket", "RecordsBucket")},
    ),
    "CKV_AWS_21": (
        "osls keeps the last five packages in this bucket; the sources are in git.",
        {"AWS::S3::Bucket.ServerlessDeploymentBucket"},
    ),
    "CKV_AWS_26": (
        "CloudWatch cannot publish to a topic with the key of AWS; the messages are names of alarms.",
        {"AWS::SNS::Topic.Alarms"},
    ),
    "CKV_AWS_27": (
        "It is encrypted, with the key of SQS; the check looks for one of KMS only.",
        {"AWS::SQS::Queue.SyncFailures"},
    ),
    "CKV_AWS_59": (
        "A monitor asks without credentials, and so does the probe for trusted publishing: no packages there.",
        {f"AWS::ApiGateway::Method.ApiGatewayMethod{name}Any" for name in ("Health", "OidcProxyVar")},
    ),
    "CKV_AWS_68": (
        "Requests without a signed link end at the edge already; a firewall has a price of its own.",
        {"AWS::CloudFront::Distribution.Files"},
    ),
    "CKV_AWS_86": (
        "As CKV_AWS_18: logs need a bucket, and somebody who reads them.",
        {"AWS::CloudFront::Distribution.Files"},
    ),
    "CKV_AWS_115": (
        "Reserved concurrency is taken from that of the account, which is 10 at first; the stage has limits.",
        FUNCTIONS,
    ),
    "CKV_AWS_116": (
        "api and authorizer are never called asynchronously, sync has a destination, audit an alarm and a next day.",
        FUNCTIONS,
    ),
    "CKV_AWS_117": (
        "They talk to AWS only; a VPC would need a NAT gateway or endpoints, and hides nothing here.",
        FUNCTIONS,
    ),
    "CKV_AWS_119": (
        "It is encrypted, with the key of DynamoDB, and holds what is in the bucket.",
        {"AWS::DynamoDB::Table.IndexTable"},
    ),
    "CKV_AWS_158": (
        "They are encrypted, with the key of CloudWatch; no password is ever logged.",
        {f"AWS::Logs::LogGroup.{name}LogGroup" for name in ("Api", "Authorizer", "Sync", "Audit")},
    ),
    "CKV_AWS_174": (
        "The certificate of cloudfront.net leaves no choice of TLS versions; one of your own does.",
        {"AWS::CloudFront::Distribution.Files"},
    ),
    "CKV_AWS_173": (
        "They are encrypted, with the key of Lambda; a key of one's own costs a call in each cold start.",
        FUNCTIONS,
    ),
}


def findings(*templates: Path) -> set[Finding]:
    """What checkov finds in templates; buckets of packages without what their name adds to the logical id."""
    stamp = VENV / "package"
    if not stamp.is_file() or stamp.read_text() != CHECKOV:
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([VENV / "bin" / "python", "-m", "pip", "install", "--quiet", CHECKOV], check=True)
        stamp.write_text(CHECKOV)
    options = "--skip-download", "--quiet", "--compact", "--framework", "cloudformation", "--output", "json"
    # It guesses which values are secrets, and not in every run the same. The password is one, unless it is a hash
    # or a reference (docs/deploy-aws.md).
    options += "--skip-check", "CKV_AWS_45"
    done = subprocess.run(
        [VENV / "bin" / "checkov", *options, "--file", *templates],
        env={**os.environ, "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true", "LOG_LEVEL": "ERROR"},
        stdout=subprocess.PIPE,
    )
    report = json.loads(done.stdout)
    if report.get("summary", {"parsing_errors": 1})["parsing_errors"]:
        raise ValueError(f"checkov cannot read {templates}: {report}")
    return {
        (failed["check_id"], re.sub(r"(Bucket\.S3Bucket)\w+", r"\1", failed["resource"]))
        for failed in report["results"]["failed_checks"]
    }


def accepted() -> set[Finding]:
    """What is known and stays."""
    return {(check, resource) for check, (_, resources) in ACCEPTED.items() for resource in resources}


if __name__ == "__main__":
    if new := findings(*map(Path, sys.argv[1:])) - accepted():
        sys.exit("\n".join(f"{check}: {resource}" for check, resource in sorted(new)))
