"""The real server in a process of its own, in both families: what the clients and the demo talk to."""

import base64
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3

from tests.support import ROOT
from tests.support.waiting import until

FAMILIES = ("folder", "s3")
USER, PASSWORD = "alice", "pa:ss-w0rd"
BUCKET, TABLE = "packages-of-the-clients", "index-of-the-clients"


@dataclass(frozen=True)
class Server:
    """A running index; ``environment`` is what its process has."""

    family: str
    address: str
    data: Path
    environment: Mapping[str, str]
    access_log: Path
    aws_log: Path

    @property
    def upload_url(self) -> str:
        return f"{self.address}/legacy/"

    @property
    def simple(self) -> str:
        return f"{self.address}/simple/"

    @property
    def trust(self) -> dict[str, str]:
        """What makes clients believe a certificate that nobody else vouches for."""
        cert = self.environment.get("TLS_CERT")
        names = "PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"
        return dict.fromkeys(names, cert) if cert else {}

    @property
    def index(self) -> str:
        """The index URL with credentials in it."""
        return self.simple.replace("://", f"://{quote(USER)}:{quote(PASSWORD, safe='')}@")

    def page(self, project: str) -> dict[str, Any]:
        """The JSON page of a project, {} if there is none."""
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Accept": "application/vnd.pypi.simple.v1+json"}
        try:
            return dict(json.loads(self.get(f"{self.simple}{project}/", headers)))
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return {}

    def get(self, url: str, headers: dict[str, str]) -> bytes:
        """What is at a URL of this index; :class:`urllib.error.HTTPError` if it is not a 200."""
        return _get(url, headers, self.environment.get("TLS_CERT"))

    def files(self, project: str) -> dict[str, dict[str, Any]]:
        """The entries of a project's page by file name."""
        return {file["filename"]: file for file in self.page(project).get("files", [])}

    def put(self, key: str, content: bytes) -> None:
        """Put a file straight into the store. Nothing tells the index about it on this S3."""
        if self.family == "folder":
            (self.data / "packages" / key).write_bytes(content)
        else:
            _client("s3", self.environment).put_object(Bucket=BUCKET, Key=key, Body=content)
            self._reindex()

    def remove(self, key: str) -> None:
        """Remove a file straight from the store."""
        if self.family == "folder":
            (self.data / "packages" / key).unlink()
        else:
            _client("s3", self.environment).delete_object(Bucket=BUCKET, Key=key)
            self._reindex()

    def _reindex(self) -> None:
        command = [sys.executable, "-m", "elasticpypi", "reindex"]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def requests(self, path: str) -> list[str]:
        """What the access log says about a path: ``GET 200`` and so on, oldest first."""
        end = f"/health/{time.monotonic_ns()}"  # logged after all that was asked before
        with suppress(urllib.error.HTTPError):
            self.get(f"{self.address}{end}", {})
        until(lambda: end in self.access_log.read_text(), "the access log")
        lines = self.access_log.read_text().splitlines()
        found = (re.search(r'"(\w+) (\S+)" (\d+)', line) for line in lines)
        return [f"{line[1]} {line[3]}" for line in found if line and line[2] == path]

    def signed_requests(self, filename: str) -> int:
        """How often S3 gave a file to somebody with a signed link."""
        lines = self.aws_log.read_text().splitlines() if self.aws_log.exists() else []
        return sum(f"/{quote(filename)}?" in line and "X-Amz-Signature" in line and " 200 " in line for line in lines)


@contextmanager
def running(family: str, folder: Path, **settings: str) -> Iterator[Server]:
    """A server of one family with its data in ``folder``; it must stop without an error and have logged none."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
        **{"HOME": str(folder), "USERNAME": USER, "PASSWORD": PASSWORD, **settings},
    }
    aws_log = folder / "aws.log"
    if family == "folder":
        with _serving(family, folder, environment, aws_log) as server:
            yield server
    else:
        with _process([sys.executable, "-m", "tests.support.moto_server"], environment, aws_log, aws_log) as moto:
            started = _first(r"Running on (http://\S+)", aws_log, moto)
            environment |= {"AWS_ENDPOINT_URL": started, "AWS_DEFAULT_REGION": "us-east-1"}
            environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
            environment |= {"BUCKET": BUCKET, "TABLE": TABLE}
            make_stores(environment)
            with _serving(family, folder, environment, aws_log) as server:
                yield server


@contextmanager
def _serving(family: str, folder: Path, environment: Mapping[str, str], aws_log: Path) -> Iterator[Server]:
    log, access_log = folder / "server.log", folder / "access.log"
    command = [sys.executable, "-m", "elasticpypi", "serve", "--port", "0", "--data", str(folder / "data")]
    with _process(command, environment, access_log, log) as process:
        address = _first(r" at (https?://\S+)/simple/", log, process)
        until(lambda: _healthy(address, environment.get("TLS_CERT")), f"{address}/health to say 200")
        yield Server(family, address, folder / "data", environment, access_log, aws_log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    errors = [line for line in log.read_text().splitlines() if re.search(r"ERROR|Traceback", line)]
    assert not errors, log.read_text()


def make_stores(environment: Mapping[str, str]) -> None:
    """The buckets and the table, as serverless.yml makes them."""
    for bucket in (BUCKET, f"{BUCKET}-records"):
        _client("s3", environment).create_bucket(Bucket=bucket)
    _client("dynamodb", environment).create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )


@contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], output: Path, errors: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as stdout, errors.open("ab") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stdout, stderr=stderr)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(40)


def _first(pattern: str, log: Path, process: subprocess.Popen[bytes]) -> str:
    """The first match in a log that is being written."""

    def match() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(pattern, log.read_text())

    found = until(match, f"{pattern} in {log}")
    assert found is not None
    return found[1]


def _healthy(address: str, cafile: str | None) -> bool:
    try:
        _get(f"{address}/health", {}, cafile)
    except OSError:
        return False
    return True


def _get(url: str, headers: dict[str, str], cafile: str | None) -> bytes:
    context = ssl.create_default_context(cafile=cafile) if cafile else None
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30, context=context) as answer:
        return bytes(answer.read())


def _client(service: str, environment: Mapping[str, str]) -> Any:
    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
