"""One local AWS and one deployment for the whole run."""

from collections.abc import Iterator

import pytest

from tests.aws.deployed import Index, deploy
from tests.aws.local_aws import LocalAws
from tests.deploying import require_osls


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    require_osls()
    local = LocalAws(tmp_path_factory.mktemp("aws"))
    yield local
    local.stop()


@pytest.fixture(scope="session")
def index(local_aws: LocalAws) -> Index:
    return deploy(local_aws)
