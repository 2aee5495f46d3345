"""One local AWS and one deployment for the whole run."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from deploying import osls, require_osls
from local_aws import LocalAws

BUCKET = "elasticpypi-of-the-tests"
USER = "elasticpypi"
PASSWORD = "a:colon@and/more%20"  # what has to be quoted in a URL


@dataclass(frozen=True)
class Index:
    """A deployed index."""

    aws: LocalAws
    url: str  # https://<api>.execute-api.us-east-1.amazonaws.com/dev

    @property
    def simple(self) -> str:
        return f"{self.url}/simple/"

    @property
    def simple_with_credentials(self) -> str:
        return self.simple.replace("://", f"://{quote(USER)}:{quote(PASSWORD, safe='')}@")


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    require_osls()
    local = LocalAws(tmp_path_factory.mktemp("aws"))
    yield local
    local.stop()


@pytest.fixture(scope="session")
def index(aws: LocalAws) -> Index:
    done = osls("deploy", ELASTICPYPI_BUCKET=BUCKET, ELASTICPYPI_PASSWORD=PASSWORD, **aws.deployer)
    assert done.returncode == 0, f"{done.stdout}\nThe log of the emulator is {aws.log}."
    (stack,) = aws.boto3("cloudformation").describe_stacks(StackName="elasticpypi-dev")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return Index(aws, outputs["IndexUrl"].removesuffix("/simple/"))
