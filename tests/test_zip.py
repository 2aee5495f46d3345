"""The zip that Lambda gets."""

import os
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import boto3
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploying import ROOT, Package, packaged

RUNTIME = "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"  # what Lambda brings along
MODULES = {
    "blinker",
    "click",
    "elasticpypi",
    "flask",
    "itsdangerous",
    "jinja2",
    "markupsafe",
    "packaging",
    "serverless_wsgi.py",
    "werkzeug",
}
LEFT_OUT = r"elasticpypi/((__main__|cli|server|first_user|publish|parts)\.py|local/.*)"


@pytest.fixture(scope="module")
def package() -> Package:
    return packaged()


@pytest.fixture(scope="module")
def names(package: Package) -> set[str]:
    with zipfile.ZipFile(package.zip) as archive:
        return set(archive.namelist())


def test_it_has_what_lambda_needs_and_nothing_else(names: set[str]) -> None:
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == MODULES
    packed = {name for name in names if name.startswith("elasticpypi/")}
    paths = [path for path in (ROOT / "elasticpypi").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    here = {path.relative_to(ROOT).as_posix() for path in paths}
    assert packed == {name for name in here if not re.fullmatch(LEFT_OUT, name)}


def test_it_is_for_the_runtime(package: Package, names: set[str]) -> None:
    compiled = [name for name in names if name.endswith((".so", ".pyc", ".pyd", ".dylib"))]
    assert compiled == ["markupsafe/_speedups.cpython-313-aarch64-linux-gnu.so"]
    with zipfile.ZipFile(package.zip) as archive:
        assert archive.read(compiled[0])[18:20] == b"\xb7\x00"  # ELF: the machine is AArch64


def test_the_requirements_are_pinned_and_complete(package: Package, names: set[str]) -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in lines)
    target = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux", "extra": ""}
    with zipfile.ZipFile(package.zip) as archive:
        for name in names:
            if name.endswith(".dist-info/METADATA"):
                metadata = HeaderParser().parsestr(archive.read(name).decode())
                needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
                names_needed = {each.name for each in needed if not each.marker or each.marker.evaluate(target)}
                assert {canonicalize_name(each) for each in names_needed} <= pinned, name


CODE = """
import json
from elasticpypi import lambdas

event = {"httpMethod": "GET", "path": "/simple/", "headers": {}, "requestContext": {"stage": "dev"}, "body": None}
print(lambdas.api(event, None)["statusCode"])
try:
    lambdas.authorizer({"headers": {}, "methodArn": "arn:aws:execute-api:us-east-1:1:api/dev/GET/"}, None)
except Exception as error:
    print(error)
print(lambdas.sync({"Records": []}, None))
"""


def test_it_runs_with_nothing_but_the_runtime(package: Package, tmp_path: Path) -> None:
    task, runtime = tmp_path / "task", tmp_path / "runtime"
    with zipfile.ZipFile(package.zip) as archive:
        archive.extractall(task)
    runtime.mkdir()
    for name in RUNTIME:
        (runtime / name).symlink_to(Path(boto3.__file__).parent.parent / name)
    path = f"{task}{os.pathsep}{runtime}"
    environ = {**package.environment("ApiLambdaFunction"), "PYTHONPATH": path, "AWS_DEFAULT_REGION": "us-east-1"}
    # -S: without the site-packages of this Python.
    done = subprocess.run([sys.executable, "-S", "-c", CODE], env=environ, text=True, capture_output=True, cwd=task)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["401", "Unauthorized", "None"]
