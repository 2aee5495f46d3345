"""A deployed index, and what its clients need to know."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from tests.support import ROOT
from tests.support.deploying import osls
from tests.support.environments import environment
from tests.support.local_aws import LocalAws

USER = "elasticpypi"
PASSWORD = "a:colon@and/more%20"  # what has to be quoted in a URL
OURS = USER, PASSWORD
JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
LINK_SECONDS = 86400  # not the default: hardly a run sees the links change


@dataclass(frozen=True)
class Index:
    """An index at ``url``, such as https://<api>.execute-api.us-east-1.amazonaws.com/dev, in ``aws``."""

    aws: LocalAws
    stage: str
    url: str

    @property
    def simple(self) -> str:
        return f"{self.url}/simple/"

    @property
    def simple_with_credentials(self) -> str:
        return self.simple.replace("://", f"://{quote(USER)}:{quote(PASSWORD, safe='')}@")

    @property
    def bucket(self) -> str:
        return bucket(self.stage)

    @property
    def records(self) -> str:
        return f"{self.bucket}-records"

    @property
    def table(self) -> str:
        return f"{self.stack}-index"

    @property
    def stack(self) -> str:
        """Also what the names of the functions begin with."""
        return f"elasticpypi-{self.stage}"

    def run(self, client: str, *arguments: str | Path, fails: bool = False, **environ: str) -> str:
        """Run a client, such as pip, and return what it says."""
        done = subprocess.run(
            [environment(client) / "bin" / client, *arguments],
            env={**self.aws.client, **environ},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert (done.returncode != 0) == fails, f"{done.stdout}\nThe log of the emulator is {self.aws.log}."
        return done.stdout

    def upload(self, *files: Path, fails: bool = False) -> str:
        """What twine says when it uploads these files."""
        options = "--non-interactive", "--verbose", "--disable-progress-bar", "--repository-url", self.simple
        return self.run("twine", "upload", *options, *files, fails=fails, TWINE_USERNAME=USER, TWINE_PASSWORD=PASSWORD)

    def request(self, method: str, path: str, auth: tuple[str, str] | None = OURS, **options: Any) -> requests.Response:
        """A plain request, from a client that is logged in unless told otherwise."""
        with self.aws.session() as session:
            return session.request(method, f"{self.url}{path}", auth=auth, **options)

    def files(self, project: str) -> list[str]:
        """The file names on the page of a project, none if there is no page."""
        answer = self.request("GET", f"/simple/{project}/", headers=JSON)
        if answer.status_code == 404:
            return []
        answer.raise_for_status()
        return [file["filename"] for file in answer.json()["files"]]

    def put(self, key: str, content: bytes) -> None:
        """Put an object straight into the bucket."""
        self.aws.boto3("s3").put_object(Bucket=self.bucket, Key=key, Body=content)

    def stored(self) -> set[str]:
        """Every key of the bucket."""
        pages = self.aws.boto3("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    def recorded(self) -> list[dict[str, Any]]:
        """The events in the bucket of records, the oldest first."""
        s3 = self.aws.boto3("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.records, Prefix="events/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return [json.load(s3.get_object(Bucket=self.records, Key=key)["Body"]) for key in keys]

    def log(self, function: str, since: float) -> str:
        """What a function has written since then, in seconds since 1970.

        The log of the whole run is too long to ask for: MiniStack gives the first 10,000 lines, and no token for more.
        """
        found = self.aws.boto3("logs").filter_log_events(
            logGroupName=f"/aws/lambda/{self.stack}-{function}", startTime=int(since * 1000)
        )
        assert len(found["events"]) < 10_000, f"The log of {function} is cut off: ask for less of it."
        return "\n".join(event["message"] for event in found["events"])


def bucket(stage: str) -> str:
    return f"elasticpypi-of-the-tests-{stage}"


def deploy(aws: LocalAws, stage: str = "dev", project: Path = ROOT, **settings: str) -> Index:
    """A real `osls deploy`, of any checkout of the project."""
    run_osls("deploy", aws, stage, project, **settings)
    (stack,) = aws.boto3("cloudformation").describe_stacks(StackName=f"elasticpypi-{stage}")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return Index(aws, stage, outputs["IndexUrl"].removesuffix("/simple/"))


def run_osls(command: str, aws: LocalAws, stage: str, project: Path = ROOT, **settings: str) -> None:
    settings = {"BUCKET": bucket(stage), "PASSWORD": PASSWORD, "LINK_SECONDS": str(LINK_SECONDS), **settings}
    environ = {f"ELASTICPYPI_{name}": value for name, value in settings.items()}
    done = osls(command, "--stage", stage, project=project, **environ, **aws.deployer)
    assert done.returncode == 0, f"{done.stdout}\nThe log of the emulator is {aws.log}."
