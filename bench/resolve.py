"""What pip and uv take to find out what a project needs."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.corpus import TREE
from bench.process import CLEAN, Failed
from bench.tools import environment

PIP, UV = "pip==26.3", "uv==0.13.9"  # as in the tests
_REQUEST = re.compile(rb"(?:^|\r\n\r\n)(?:GET|HEAD) \S+ HTTP/1\.1\r\n")


@dataclass
class Traffic:
    """What went through a :func:`counted` address."""

    address: str
    requests: int = 0
    received: int = 0


def pip_traffic(index: str) -> Traffic:
    """What pip asks of the index (its URL, login included) to resolve TREE, with nothing in its cache."""
    with tempfile.TemporaryDirectory() as folder, counted(index) as traffic:
        pip_resolve(traffic.address, Path(folder))
    return traffic


def pip_resolve(index: str, folder: Path) -> None:
    """Resolve all of TREE with pip; it must find all of it."""
    options = ["--dry-run", "--ignore-installed", "--no-cache-dir", "--index-url", index]
    told = _run([program(PIP), "install", *options, TREE[0]], folder)
    if not re.search(rf"Would install (tree-\d\d-1\.2 ?){{{len(TREE)}}}", told):
        raise Failed(f"pip found something else: {told}")


def uv_compile(index: str, projects: Sequence[str] = TREE) -> float:
    """Seconds of `uv pip compile` of the first of some projects, which needs them all; nothing is in its cache."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--no-cache", "--no-config", "--python", sys.executable, "--index-url", index]
        line = [program(UV), "pip", "compile", *options, "-"]
        begin = time.monotonic()
        told = _run(line, Path(folder), projects[0])
        passed = time.monotonic() - begin
    if told.count("==1.2") != len(projects):
        raise Failed(f"uv found something else: {told}")
    return passed


def program(client: str) -> Path:
    """The client of this requirement, installed by itself; :class:`Failed` if it cannot be had."""
    return environment((client,)) / client.partition("==")[0]


def _run(line: list[Path | str], folder: Path, stdin: str = "") -> str:
    """All that a client prints, without the settings of this machine."""
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "NO_COLOR": "1"}
    environ = {**CLEAN, "HOME": str(folder), **settings}
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run(line, input=stdin, cwd=folder, env=environ, **options).stdout


@contextmanager
def counted(url: str) -> Iterator[Traffic]:
    """An address in front of ``url`` that counts what goes through it."""
    parts = urlsplit(url)
    target = (parts.hostname or "", parts.port or 80)
    with socket.create_server(("127.0.0.1", 0)) as server:
        login, at, _ = parts.netloc.rpartition("@")
        traffic = Traffic(f"http://{login}{at}127.0.0.1:{server.getsockname()[1]}{parts.path}")
        threading.Thread(target=_accept, args=(server, target, traffic), daemon=True).start()
        yield traffic
        server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket, target: tuple[str, int], traffic: Traffic) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        upstream = socket.create_connection(target)
        for source, sink, up in ((client, upstream, True), (upstream, client, False)):
            threading.Thread(target=_pump, args=(source, sink, traffic, up), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, traffic: Traffic, up: bool) -> None:
    try:
        while data := source.recv(65536):
            if up:
                traffic.requests += len(_REQUEST.findall(data))
            else:
                traffic.received += len(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
