"""What a cold start costs: the real zip, run by AWS's own runtime client, in a new process each time.

``python -m bench.cold_start [RUNS]`` (Linux) prints a table of medians: CPU time to the first answer, CPU time of
each later one, peak memory in MB as Lambda counts them (2^20 bytes). S3 and DynamoDB are moto, behind TLS and
outside of the process that is measured.
"""

import base64
import http.server
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore
from moto.server import DomainDispatcherApplication, create_backend_app

from bench.aws import CREDENTIALS, PATIENCE, ROOT, make_certificate, package, python_313
from bench.packages import make_sdist, make_wheel
from bench.process import Failed, Group, free_port
from bench.tables import say
from elasticpypi.indexing.sync import sync_all
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files

# awslambdaric is what runs a function in Lambda's Python; boto3 is there too.
RUNTIME = "awslambdaric==4.2.2", f"boto3=={boto3.__version__}"
BUCKET, TABLE = "packages-of-the-benchmark", "elasticpypi-dev-index"
PASSWORD = "correct horse battery"
WARM = 10
RELEASES = 10  # a wheel and an sdist of each are on the page
HOST = "abcdefghij.execute-api.us-east-1.amazonaws.com"
PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
NEW = [f"fresh-1.{number}-py3-none-any.whl" for number in range(WARM + 1)]

Event = Mapping[str, Any]


def asked(path: str, accept: str, encoding: str = "identity") -> Event:
    """A request for a path, as API Gateway hands it to the application and to the authorizer."""
    headers = {
        "Accept": accept,
        "Accept-Encoding": encoding,
        "Authorization": f"Basic {base64.b64encode(f'elasticpypi:{PASSWORD}'.encode()).decode()}",
        "Host": HOST,
        "User-Agent": 'pip/26.3 {"ci":null,"cpu":"x86_64","implementation":{"name":"CPython","version":"3.13.0"}}',
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "GET",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path[1:]},
        "requestContext": {"stage": "dev", "path": f"/dev{path}", "domainName": HOST},
        "body": None,
        "isBase64Encoded": False,
        "methodArn": f"arn:aws:execute-api:us-east-1:123456789012:abcdefghij/dev/GET{path}",
    }


def put(key: str) -> Event:
    """What S3 tells of a new object."""
    return {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}}}]}


@dataclass(frozen=True)
class Way:
    """A way through a function: the events of one process, in their order, and what is in every answer."""

    title: str
    function: str
    events: Sequence[Event]
    answer: str


def _api(title: str, event: Event, status: int) -> Way:
    return Way(title, "api", [event] * len(NEW), f'"statusCode": {status}')


PAGE = asked("/simple/demo/", PIP, "gzip, deflate")
WAYS = (
    _api("project page, JSON", PAGE, 200),
    _api("project page, HTML", asked("/simple/demo/", "text/html", "gzip, deflate"), 200),
    _api("metadata", asked("/packages/demo-1.0-py3-none-any.whl.metadata", "*/*"), 200),
    _api("download of 100 kB", asked("/packages/inline-1.0-py3-none-any.whl", "*/*"), 200),
    _api("download by link", asked("/packages/large-1.0-py3-none-any.whl", "*/*"), 302),
    _api("/health", asked("/health", "*/*"), 200),
    Way("sync of a new wheel", "sync", [put(name) for name in NEW], "null"),
    Way("authorizer", "authorizer", [PAGE] * len(NEW), '"Effect": "Allow"'),
)
EMPTY = Way("empty handler", "handler", [{}] * len(NEW), "{}")


def fill(folder: Path, bucket: str, table: str) -> None:
    """The packages that the ways lead to; those of sync are in the bucket only."""
    described: dict[str, Any] = {"requires_python": ">=3.11", "description": "What it does, at length. " * 300}
    paths = [make_wheel(folder, "demo", f"1.{number}", **described) for number in range(RELEASES)]
    paths += [make_sdist(folder, "demo", f"1.{number}", **described) for number in range(RELEASES)]
    paths += [make_wheel(folder, "inline", "1.0", files={"inline.bin": os.urandom(100_000)})]
    paths += [make_wheel(folder, "large", "1.0", files={"large.bin": os.urandom(5_000_000)})]
    new = [make_wheel(folder, "fresh", name.split("-")[1], **described) for name in NEW]
    s3 = boto3.client("s3")
    for path in [*paths, *new]:
        s3.put_object(Bucket=bucket, Key=path.name, Body=path.read_bytes())
    for outcome in sync_all(S3Files(bucket), DynamoIndex(table), [path.name for path in paths]):
        assert outcome.action == "written", outcome


# ---- Where the functions run


@dataclass
class Run:
    """One process: CPU seconds after each answer, the answers as text, peak memory in bytes."""

    cpu: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    peak: int = 0

    @property
    def later(self) -> float:
        """CPU seconds of an answer that is not the first."""
        return statistics.median(after - before for before, after in zip(self.cpu, self.cpu[1:], strict=False))


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """What the runtime client asks for events, and tells the answers (AWS: Lambda runtime API)."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    waiting: Iterator[Event]
    run: Run
    process: "subprocess.Popen[bytes]"
    done: threading.Event

    def do_GET(self) -> None:  # .../invocation/next
        event = next(self.waiting, None)
        if event is None:
            self.done.set()
            return
        self._send(200, json.dumps(event).encode())

    def do_POST(self) -> None:  # .../response, .../error
        answer = b"".join(self._body()).decode()
        self.run.cpu.append(time.clock_gettime(~self.process.pid << 3 | 2))  # Linux: clock_getcpuclockid
        self.run.answers.append(answer)
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.run.peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        self._send(202)
        if "/init/error" in self.path:
            self.done.set()

    def _send(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 30) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:it")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> Iterator[bytes]:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *_: object) -> None:
        pass


def invoke(python: Path, task: Path, handler: str, events: Sequence[Event], environ: Mapping[str, str]) -> Run:
    """Start a function as Lambda does, hand it the events one after another, and stop it."""
    api = type("Api", (RuntimeApi,), {"waiting": iter(events), "run": Run(), "done": threading.Event()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), api) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        of_lambda = {
            "PATH": "/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "it",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "LAMBDA_TASK_ROOT": str(task),
            "PYTHONPATH": str(task),
            "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only
            "_HANDLER": handler,
        }
        command = [str(python), "-m", "awslambdaric", handler]
        with subprocess.Popen(
            command, cwd=task, env={**CREDENTIALS, **environ, **of_lambda}, stdout=subprocess.DEVNULL
        ) as process:
            api.process = process
            while not api.done.wait(0.05) and process.poll() is None:
                pass
            process.kill()
        server.shutdown()
    run: Run = api.run
    return run


@contextmanager
def backends(folder: Path) -> Iterator[dict[str, str]]:
    """Empty S3 and DynamoDB; the environment that leads to them."""
    certificate, key = make_certificate(folder)
    # As many certificates as a client on Lambda has to load, and ours.
    bundle = folder / "bundle.pem"
    bundle.write_bytes(Path(botocore.__file__).with_name("cacert.pem").read_bytes() + certificate.read_bytes())
    port = free_port()
    # Not moto's own server, which closes each connection: AWS keeps them.
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--log-level", "error"]
    tls = ["--ssl-certificate", certificate, "--ssl-keyfile", key]
    environ = {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    server = Group([*command, *tls, "--factory", "bench.cold_start:moto"], environ, folder / "moto.log")
    try:
        server.ready(lambda: listens(port), PATIENCE)
        yield {"AWS_ENDPOINT_URL": f"https://127.0.0.1:{port}", "AWS_CA_BUNDLE": str(bundle)}
    finally:
        server.stop()


def moto() -> DomainDispatcherApplication:
    """What Granian serves."""
    return DomainDispatcherApplication(create_backend_app)


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Figures:
    """Medians: CPU milliseconds of the first answer and of a later one, peak memory in MB."""

    first: float
    later: float
    peak: float


def measure(python: Path, task: Path, way: Way, environ: Mapping[str, str], runs: int) -> Figures:
    """What a way takes in a new process, of so many."""
    module = "empty" if way is EMPTY else "elasticpypi.lambdas"
    found = []
    for number in range(runs + 1):
        for name in NEW:
            DynamoIndex(TABLE).remove("fresh", name)  # type: ignore[arg-type]
        run = invoke(python, task, f"{module}.{way.function}", way.events, environ)
        assert len(run.answers) == len(way.events), run.answers
        assert all(way.answer in answer for answer in run.answers), run.answers[0]
        if number:  # the first fills the page cache
            found.append(run)
    return Figures(
        statistics.median(run.cpu[0] for run in found) * 1000,
        statistics.median(run.later for run in found) * 1000,
        statistics.median(run.peak for run in found) / 2**20,
    )


@dataclass(frozen=True)
class Deployed:
    """The functions as they would be deployed, on stores of this machine: what is needed to run one."""

    python: Path
    task: Path
    megabytes: float  # of the zip
    environment: Callable[[Way], Mapping[str, str]]


@contextmanager
def deployed(**stores: str) -> Iterator[Deployed]:
    """The real zip on an empty bucket and an empty table; ``stores`` are variables that lead to others than moto's."""
    python = python_313(*RUNTIME)
    packed = package(BUCKET=BUCKET, PASSWORD=PASSWORD)
    with tempfile.TemporaryDirectory() as name:
        folder, task = Path(name), Path(name, "task")
        with zipfile.ZipFile(packed.zip) as archive:
            archive.extractall(task)
        (task / "empty.py").write_text("def handler(event, context):\n    return {}\n")
        with backends(folder) as environ:
            environ |= stores
            os.environ.update({**CREDENTIALS, **environ})
            for bucket in (BUCKET, f"{BUCKET}-records"):
                boto3.client("s3").create_bucket(Bucket=bucket)
            table = packed.resources["IndexTable"]
            needed = "TableName", "KeySchema", "AttributeDefinitions", "BillingMode"
            boto3.client("dynamodb").create_table(**{name: table[name] for name in needed})
            fill(folder, BUCKET, TABLE)

            def environment(way: Way) -> Mapping[str, str]:
                return {**packed.variables("api" if way is EMPTY else way.function), **environ}

            yield Deployed(python, task, packed.zip.stat().st_size / 1e6, environment)


def main(runs: int = 9) -> None:
    with deployed() as functions:
        what = f"zip of {functions.megabytes:.1f} MB, median of {runs}"
        say(f"| {what} | first answer, ms | a later one, ms | peak, MB |")
        say("|---|---|---|---|")
        for way in (EMPTY, *WAYS):
            found = measure(functions.python, functions.task, way, functions.environment(way), runs)
            say(f"| {way.title} | {found.first:.0f} | {found.later:.1f} | {found.peak:.0f} |")


if __name__ == "__main__":
    try:
        main(*map(int, sys.argv[1:]))
    except Failed as error:
        sys.exit(f"This cannot be measured: {error}.")
