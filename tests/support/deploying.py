"""osls, the deployment tool, started as a user would start it, and what it makes."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from tests.support import ROOT
from tests.support.servers import locked, missing

OSLS = ROOT / "node_modules" / ".bin" / "osls"
BUCKET = "packages-of-the-tests"
PASSWORD = "correct horse battery"


def require_osls() -> None:
    """Skip without Node, but never in CI; fetch what package.json names if it is not there yet."""
    if shutil.which("npm") is None:
        missing("Node.js is not installed: nothing that deploys to AWS is tested.")
    with locked("node_modules"):
        if not OSLS.exists():
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=ROOT, check=True)


def osls(*arguments: str, project: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run osls in a checkout with these variables, and none of AWS or of the project from outside."""
    require_osls()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ELASTICPYPI_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # its python3 packs the zip
    env = {**inherited, "PATH": path, **environ}
    options: dict[str, Any] = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with locked("osls"):  # it packs in folders of the project
        return subprocess.run([str(OSLS), *arguments], cwd=project, env=env, **options)


@dataclass(frozen=True)
class Package:
    """What `osls package` leaves in a folder."""

    folder: Path

    @property
    def zip(self) -> Path:
        return self.folder / "elasticpypi.zip"

    @property
    def template(self) -> Path:
        return self.folder / "cloudformation-template-update-stack.json"

    @property
    def resources(self) -> dict[str, Any]:
        resources: dict[str, Any] = json.loads(self.template.read_text())["Resources"]
        return resources

    def properties(self, kind: str) -> dict[str, Any]:
        """Logical id → properties of all resources of a type."""
        resources = self.resources.items()
        return {name: each.get("Properties", {}) for name, each in resources if each["Type"] == f"AWS::{kind}"}

    def environment(self, function: str) -> dict[str, str]:
        variables: dict[str, str] = self.properties("Lambda::Function")[function]["Environment"]["Variables"]
        return variables


def make_package(folder: str, **settings: str) -> Package:
    """`osls package` with these settings."""
    environ = {f"ELASTICPYPI_{name}": value for name, value in settings.items()}
    done = osls("package", "--package", f"build/{folder}", **environ)
    assert done.returncode == 0, done.stdout
    return Package(ROOT / "build" / folder)


def refusal(**environ: str) -> str:
    """The sentence with which `osls package` ends, in this environment."""
    done = osls("package", "--package", "build/refused", **environ)
    assert done.returncode == 1, done.stdout
    assert not (ROOT / "build" / "refused").exists()
    return done.stdout.partition("Error:\n")[2].strip()


def lint(package: Package) -> None:
    """cfn-lint has nothing to say but W3005: osls repeats as DependsOn what a reference says already."""
    linter = Path(sys.executable).parent / "cfn-lint"
    command = [str(linter), "--ignore-checks", "W3005", "--", str(package.template)]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


@cache
def packaged() -> Package:
    """The package that most tests look at, made once."""
    return make_package("serverless", BUCKET=BUCKET, PASSWORD=PASSWORD)


RUNTIME = "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"  # what Lambda brings along


def unpacked(package: Package, folder: Path) -> str:
    """A PYTHONPATH with the zip and what Lambda brings along, and nothing else."""
    task, runtime = folder / "task", folder / "runtime"
    with zipfile.ZipFile(package.zip) as archive:
        archive.extractall(task)
    runtime.mkdir()
    for name in RUNTIME:
        (runtime / name).symlink_to(Path(boto3.__file__).parent.parent / name)
    return f"{task}{os.pathsep}{runtime}"


def run_alone(code: str, *arguments: str, **environ: str) -> str:
    """What code prints, without the site-packages of this Python (-S)."""
    command = [sys.executable, "-S", "-c", code, *arguments]
    done = subprocess.run(command, env=environ, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
