"""The zip that Lambda gets. What its functions load of it: ``tests/bench/test_cold_start.py``."""

import _imp
import importlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT
from tests.support.deploying import PASSWORD, Package, osls, packaged, run_alone, unpacked
from tests.support.local_aws import lambda_python
from tests.support.moto_aws import BUCKET

pytestmark = pytest.mark.aws

MODULES = {
    "blinker",
    "click",
    "comrak",
    "docutils",
    "elasticpypi",
    "flask",
    "itsdangerous",
    "jinja2",
    "markupsafe",
    "nh3",
    "packaging",
    "pygments",
    "readme_renderer",
    "serverless_wsgi.py",
    "werkzeug",
}
MAGIC = (3571).to_bytes(2, "little") + b"\r\n"  # the bytecode of CPython 3.13
LARGEST = 9_300_000  # bytes; what renders READMEs is three quarters of it, what asks other indexes a hundredth
LEFT_OUT = (
    r"elasticpypi/(__main__\.py|(cli|client|hosts/machine|storage/local)/.*"
    r"|actions/(carry|names|policy_trial|prefetch)\.py|core/(lock_files|targets)\.py)"
)


@pytest.fixture(scope="module")
def package() -> Package:
    return packaged()


@pytest.fixture(scope="module")
def names(package: Package) -> set[str]:
    with zipfile.ZipFile(package.zip) as archive:
        return set(archive.namelist())


def test_it_has_what_lambda_needs_and_nothing_else(names: set[str]) -> None:
    packed = {name for name in names if ".dist-info/" not in name and not name.endswith(".pyc")}
    assert {name.partition("/")[0] for name in packed} == MODULES
    packed = {name for name in packed if name.startswith("elasticpypi/")}
    paths = [path for path in (ROOT / "elasticpypi").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    here = {path.relative_to(ROOT).as_posix() for path in paths}
    assert packed == {name for name in here if not re.fullmatch(LEFT_OUT, name)}


def test_it_is_for_the_runtime(package: Package, names: set[str]) -> None:
    compiled = [name for name in names if name.endswith((".so", ".pyd", ".dylib"))]
    assert sorted(compiled) == [
        "comrak/comrak.abi3.so",
        "markupsafe/_speedups.cpython-313-aarch64-linux-gnu.so",
        "nh3/nh3.abi3.so",
    ]
    with zipfile.ZipFile(package.zip) as archive:
        for name in compiled:
            assert archive.read(name)[18:20] == b"\xb7\x00"  # ELF: the machine is AArch64


def test_it_is_small(package: Package) -> None:
    assert package.zip.stat().st_size < LARGEST


def bytecode(package: Package) -> dict[str, bytes]:
    with zipfile.ZipFile(package.zip) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.endswith(".pyc")}


def test_its_bytecode_is_taken_for_true(package: Package, names: set[str]) -> None:
    """For the Python of the runtime, whatever date a file has (PEP 552: unchecked), and of these very sources."""
    found = bytecode(package)
    version = subprocess.run([lambda_python(), "-V"], text=True, capture_output=True).stdout
    if not found:
        assert not version.startswith("Python 3.13."), f"{lambda_python()} could have made it"
        pytest.skip("There is no Python 3.13 on this machine: the zip has no bytecode.")
    with zipfile.ZipFile(package.zip) as archive:
        sources = {name: archive.read(name) for name in names if name.endswith(".py")}
    expected = {}
    for name, source in sources.items():
        folder, _, base = name.rpartition("/")
        cached = f"{folder}/__pycache__/{base}c" if folder else f"__pycache__/{base}c"
        digest = _imp.source_hash(int.from_bytes(MAGIC, "little"), source)
        expected[cached.replace(".pyc", ".cpython-313.pyc")] = MAGIC + (1).to_bytes(4, "little") + digest
    assert {name: data[:16] for name, data in found.items()} == expected
    assert all(f"/var/task/{name}".encode() in found[each] for name, each in zip(sources, expected, strict=True))


def test_without_the_python_of_the_runtime_it_goes_without_bytecode(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, target in {"python3": sys.executable, "node": shutil.which("node"), "uv": "/bin/false"}.items():
        (tools / name).write_text(f'#!/bin/sh\nexec {target} "$@"\n')
        (tools / name).chmod(0o755)
    settings = {"ELASTICPYPI_BUCKET": BUCKET, "ELASTICPYPI_PASSWORD": PASSWORD}
    environ = {"PATH": str(tools), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path), **settings}
    done = osls("package", "--package", "build/slow", **environ)
    assert done.returncode == 0, done.stdout
    (said,) = (line for line in done.stdout.splitlines() if "Python 3.13" in line)
    assert "`uv python install 3.13`" in said
    assert not bytecode(Package(ROOT / "build" / "slow"))


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


@pytest.fixture(scope="module")
def path(package: Package, tmp_path_factory: pytest.TempPathFactory) -> str:
    return unpacked(package, tmp_path_factory.mktemp("lambda"))


CODE = """
import json
from elasticpypi import lambdas

event = {"httpMethod": "GET", "path": "/simple/", "headers": {}, "requestContext": {"stage": "dev"}, "body": None}
print(lambdas.api(event, None)["statusCode"])
event = {"headers": {}, "methodArn": "arn:aws:execute-api:us-east-1:1:api/dev/GET/"}
print(lambdas.authorizer(event, None)["principalId"])
print(lambdas.sync({"Records": []}, None))
"""


def test_it_runs_with_nothing_but_the_runtime(package: Package, path: str) -> None:
    environ = {**package.environment("ApiLambdaFunction"), "PYTHONPATH": path, "AWS_DEFAULT_REGION": "us-east-1"}
    assert run_alone(CODE, **environ).split() == ["401", "nobody", "None"]


def test_a_readme_is_rendered_with_nothing_but_the_runtime(package: Package, path: str, tmp_path: Path) -> None:
    """In a process that gets the paths of this one, and not its environment."""
    for name in ("comrak", "nh3"):  # as built for this machine
        (tmp_path / name).symlink_to(Path(str(importlib.import_module(name).__file__)).parent)
    code = "from elasticpypi.web.pages import readme; print(readme._render(*sys.argv[1:], 'GFM'))"
    for text, media_type in (
        ("*a*\n\n```python\nx\n```", "text/markdown"),
        ("*a*\n\n.. code:: python\n\n   x", "text/x-rst"),
    ):
        said = run_alone(f"import sys; {code}", text, media_type, PYTHONPATH=f"{tmp_path}{os.pathsep}{path}")
        assert "<em>a</em>" in said
        assert '<span class="n">x</span>' in said
