"""A deployed index, and what its clients need to know."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.aws.local_aws import LocalAws
from tests.deploying import osls

BUCKET = "elasticpypi-of-the-tests"
USER = "elasticpypi"
PASSWORD = "a:colon@and/more%20"  # what has to be quoted in a URL
FUNCTION = "elasticpypi-dev-"


@dataclass(frozen=True)
class Index:
    """An index at ``url``, such as https://<api>.execute-api.us-east-1.amazonaws.com/dev, in ``aws``."""

    aws: LocalAws
    url: str

    @property
    def simple(self) -> str:
        return f"{self.url}/simple/"

    @property
    def simple_with_credentials(self) -> str:
        return self.simple.replace("://", f"://{quote(USER)}:{quote(PASSWORD, safe='')}@")

    def run(self, *command: str | Path, **environ: str) -> str:
        """Run a client, such as pip, and return what it says."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env={**self.aws.client, **environ},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, f"{done.stdout}\nThe log of the emulator is {self.aws.log}."
        return done.stdout

    def files(self, project: str) -> list[str]:
        """The file names on the page of a project, none if there is no page."""
        with self.aws.session() as session:
            accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
            answer = session.get(f"{self.simple}{project}/", auth=(USER, PASSWORD), headers=accept)
        if answer.status_code == 404:
            return []
        answer.raise_for_status()
        return [file["filename"] for file in answer.json()["files"]]


def deploy(aws: LocalAws) -> Index:
    """A real `osls deploy`."""
    done = osls("deploy", ELASTICPYPI_BUCKET=BUCKET, ELASTICPYPI_PASSWORD=PASSWORD, **aws.deployer)
    assert done.returncode == 0, f"{done.stdout}\nThe log of the emulator is {aws.log}."
    (stack,) = aws.boto3("cloudformation").describe_stacks(StackName="elasticpypi-dev")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return Index(aws, outputs["IndexUrl"].removesuffix("/simple/"))
