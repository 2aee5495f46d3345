"""What a cold start loads: time and memory that every first request pays for (`make bench-cold-start`)."""

import json
import sys
from pathlib import Path

import pytest

from bench.cold_start import WAYS, Way, fill
from tests.support.deploying import Package, packaged, run_alone, unpacked
from tests.support.local_aws import CREDENTIALS
from tests.support.moto_aws import BUCKET, TABLE

pytestmark = pytest.mark.aws


@pytest.fixture(scope="module")
def package() -> Package:
    return packaged()


@pytest.fixture(scope="module")
def path(package: Package, tmp_path_factory: pytest.TempPathFactory) -> str:
    return unpacked(package, tmp_path_factory.mktemp("lambda"))


LOADED = """
import json, sys
from elasticpypi import lambdas

answer = getattr(lambdas, sys.argv[1])(json.loads(sys.argv[2]), None)
print(json.dumps([json.dumps(answer), sorted(sys.modules)]))
"""
# What no first request may need: botocore's clients with their models, and what only uploads need.
NEVER = {"boto3", "s3transfer", "botocore.session", "botocore.client", "botocore.loaders", "jmespath", "pytest"}
UPLOADS = {f"elasticpypi.{name}" for name in ("core.archive", "core.distribution", "core.metadata", "actions")}
RENDERING = {
    "elasticpypi.web.pages.readme",
    "elasticpypi.web.pages.rendering",
    "readme_renderer",
    "nh3",
    "comrak",
    "docutils",
    "pygments",
}
NOT_HERE = {
    "api": NEVER
    | UPLOADS
    | RENDERING
    | {"elasticpypi.core.json_api", "elasticpypi.indexing.sync", "packaging.metadata", "tarfile"},
    "sync": NEVER | {"flask", "werkzeug", "jinja2", "click", "elasticpypi.web.app"},
    "authorizer": NEVER | {"flask", "werkzeug", "botocore", "packaging", "ssl", "elasticpypi.wiring"},
}
# How many modules that are not Python's own.
MOST = {"api": 240, "sync": 142, "authorizer": 14}
BESIDE = {"/health": 2}  # no installer asks for it: it says how old the advisories are


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title)
def test_a_cold_start_loads_only_what_it_needs(
    package: Package, path: str, way: Way, aws: None, aws_endpoint: str, tmp_path: Path
) -> None:
    fill(tmp_path, BUCKET, TABLE)
    environ = {
        **package.environment(f"{way.function.title()}LambdaFunction"),
        **CREDENTIALS,
        "BUCKET": BUCKET,
        "TABLE": TABLE,
        "RECORDS_BUCKET": f"{BUCKET}-records",
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_LAMBDA_FUNCTION_NAME": way.function,
        "_HANDLER": f"elasticpypi.lambdas.{way.function}",
        "PYTHONPATH": path,
    }
    answer, modules = json.loads(run_alone(LOADED, way.function, json.dumps(way.events[0]), **environ))
    assert way.answer in answer
    assert not NOT_HERE[way.function] & set(modules)
    others = [name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names]
    assert len(others) <= MOST[way.function] + BESIDE.get(way.title, 0), sorted(others)
