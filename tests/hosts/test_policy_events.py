"""What is decided on AWS, by whoever writes to the records bucket."""

from pathlib import Path
from typing import Any

import pytest

from elasticpypi.config import Config
from elasticpypi.core.ruling import Ruling, dump
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.wiring import on_bucket
from tests.support.application import PASSWORD, USER, Client, basic
from tests.support.builders import make_sdist
from tests.support.events import call
from tests.support.moto_aws import BUCKET, TABLE

RECORDS = f"{BUCKET}-records"
LOGIN = {"Authorization": basic(f"{USER}:{PASSWORD}")}


@pytest.fixture
def client(aws: None) -> Client:
    config = Config(users={USER: PASSWORD}, bucket=BUCKET, table=TABLE)
    return Client(on_bucket(config, S3Files(BUCKET), DynamoIndex(TABLE)))


def event(bucket: str, *keys: str) -> dict[str, Any]:
    return {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys]}


def test_a_block_that_is_put_into_the_bucket(client: Client, deployed: Any, tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, "demo", "1.0")
    assert client.upload(sdist).status_code == 200
    objects = client.services.objects
    path = f"/packages/{sdist.name}"
    assert call(deployed, path, LOGIN).status == 200
    objects.write("policy/blocks/demo", dump(Ruling("blocked", "bad")), None)
    deployed.sync(event(RECORDS, "policy/blocks/demo", "policy/last", "policy/origins/demo"), None)
    assert call(deployed, path, LOGIN).status == 403
    objects.remove("policy/blocks/demo")
    deployed.sync(event(RECORDS, "policy/blocks/demo"), None)
    assert call(deployed, path, LOGIN).status == 200
    deployed.sync(event(BUCKET, sdist.name), None)
    assert objects.keys("names/") == ["names/demo"]
