"""What is decided on AWS, by whoever writes to the records bucket."""

from pathlib import Path
from typing import Any

from elasticpypi.core.ruling import Ruling, dump
from tests.support.application import Client
from tests.support.builders import make_sdist
from tests.support.events import call
from tests.support.moto_aws import BUCKET
from tests.test_calls import LOGIN, client  # noqa: F401

RECORDS = f"{BUCKET}-records"


def event(bucket: str, *keys: str) -> dict[str, Any]:
    return {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys]}


def test_a_block_that_is_put_into_the_bucket(client: Client, deployed: Any, tmp_path: Path) -> None:  # noqa: F811
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
