"""The Dockerfile, as far as it can be checked without an engine: what it names is there."""

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from elasticpypi.cli import main
from tests.support import ROOT
from tests.support.certificates import make_certificate

Stages = dict[str, list[tuple[str, str]]]


@pytest.fixture(scope="module")
def stages() -> Stages:
    """Stage → its instructions with their arguments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found: Stages = {}
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            assert image in found or re.fullmatch(r"python:3\.13\.\d+-slim-\w+", image)
            found[name] = []
        else:
            found[name].append((word, rest.strip()))
    return found


def test_the_stages(stages: Stages) -> None:
    assert list(stages) == ["base", "test", "build", "serve"]  # the last is what `docker build .` makes
    assert any("pytest" in rest for word, rest in stages["test"] if word == "RUN")


def test_what_is_copied_is_there_and_not_ignored(stages: Stages) -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    for stage in stages.values():
        for rest in (rest for word, rest in stage if word == "COPY"):
            options = [word for word in rest.split() if word.startswith("--from=")]
            assert all(option.removeprefix("--from=") in stages for option in options)
            for source in [] if options else [word for word in rest.split()[:-1] if not word.startswith("--")]:
                assert (ROOT / source).exists()
                assert source not in ignored
    assert {".git", ".venv", "data", "node_modules"} <= set(ignored)


def test_the_command_is_one_that_the_command_line_has(stages: Stages) -> None:
    last = dict(stages["serve"])
    assert json.loads(last["ENTRYPOINT"]) == ["elasticpypi"]
    name, *options = json.loads(last["CMD"])
    context = main.commands[name].make_context(name, list(options))
    assert context.params["host"] == "0.0.0.0"
    assert str(context.params["data"]) == last["VOLUME"] == "/data"
    assert last["USER"] == "elasticpypi"
    assert last["EXPOSE"] == "8080"


@pytest.fixture(params=[(200, False), (503, False), (200, True)], ids=["200", "503", "https"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HTTPServer]:
    status, encrypted = request.param

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as listening:
        listening.status = status  # type: ignore[attr-defined]
        listening.settings = {}  # type: ignore[attr-defined]
        if encrypted:
            cert, key = make_certificate(tmp_path)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key)
            listening.socket = context.wrap_socket(listening.socket, server_side=True)
            listening.settings = {"TLS_CERT": str(cert)}  # type: ignore[attr-defined]
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield listening
        listening.shutdown()


def test_the_health_check_fails_when_health_does(stages: Stages, server: HTTPServer) -> None:
    python, *arguments = json.loads(dict(stages["serve"])["HEALTHCHECK"].partition("CMD ")[2])
    assert python == "python"
    environ = {**os.environ, "PORT": str(server.server_port), "NO_PROXY": "127.0.0.1"}
    environ |= server.settings  # type: ignore[attr-defined]
    done = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True)
    assert (done.returncode == 0) == (server.status == 200)  # type: ignore[attr-defined]
