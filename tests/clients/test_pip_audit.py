"""pip-audit and uv audit find the holes that were loaded here, by the API of OSV; pip-audit also by that of PyPI.

Of PyPI it knows no other address. So a proxy of the test answers for every host, by what this index says.
"""

import http.client
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.application import basic
from tests.support.builders import make_wheel
from tests.support.environments import run
from tests.support.live import PASSWORD, USER, Server, running
from tests.support.releases import releases
from tests.support.serving import run as command

LOGIN = basic(f"{USER}:{PASSWORD}")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Proxy:
    """A proxy that has a certificate for every host, and asks the index in the place of all; ``asked`` are the paths.

    ``trusted`` is the file by which clients believe it.
    """

    def __init__(self, folder: Path, index: str) -> None:
        self.folder, self.asked, self.trusted = folder, list[str](), folder / "trusted.pem"
        self._place = index.removeprefix("http://")
        openssl(*self._new("trusted"), "-subj", "/CN=tests", "-addext", "keyUsage=critical,keyCertSign")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _new(self, name: str) -> tuple[str | Path, ...]:
        key = "ec", "-pkeyopt", "ec_paramgen_curve:P-256"
        files = "-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem"
        return "req", "-x509", "-nodes", "-days", "30", "-newkey", *key, *files

    def context(self, host: str) -> ssl.SSLContext:
        """With a certificate for a host."""
        signed = "-CA", self.trusted, "-CAkey", self.folder / "trusted.key"
        about = "-subj", "/CN=host", "-addext", f"subjectAltName=DNS:{host}"
        openssl(*self._new("host"), *signed, *about, "-addext", "basicConstraints=critical,CA:FALSE")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "host.pem", self.folder / "host.key")
        return context

    def ask(self, path: str) -> tuple[int, str, bytes]:
        self.asked.append(path)
        connection = http.client.HTTPConnection(self._place, timeout=20)
        try:
            connection.request("GET", path, headers={"Authorization": LOGIN})
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read()
        finally:
            connection.close()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_CONNECT(self) -> None:
                context = proxy.context(self.path.partition(":")[0])
                self.send_response(200)
                self.end_headers()
                self.connection = context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                self.close_connection = False

            def do_GET(self) -> None:
                status, kind, body = proxy.ask(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def finish(self) -> None:
                super().finish()
                self.connection.close()

            def log_message(self, *arguments: object) -> None:
                """Nothing: the test has the paths."""

        return Handler

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def record(name: str, number: int, fixed: str) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": fixed}]
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    about = {"summary": f"A hole in {name}", "aliases": [f"CVE-2026-{number}"]}
    return {"id": f"PYSEC-2026-{number}", "modified": "2026-11-01T00:00:00Z", "affected": [affected], **about}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a project of its own, one of another index, and what advisories say of both."""
    folder = tmp_path_factory.mktemp("audited")
    data = folder / "data"
    (data / "packages").mkdir(parents=True)
    make_wheel(data / "packages", "house-tool", "0.1")
    make_wheel(data / "packages", "house-good", "0.1")
    (folder / "records.json").write_text(json.dumps([record("house_tool", 1, "0.2"), record("pub-core", 2, "1.1")]))
    loaded = command("advisories", "load", str(folder / "records.json"), "--data", str(data), HOME=str(folder))
    assert loaded.returncode == 0, loaded.stderr
    with releases() as theirs:
        for version in ("1.0", "1.1"):
            wheel = make_wheel(folder, "pub-core", version)
            theirs.add(wheel.name, wheel.read_bytes())
        with running("folder", folder, UPSTREAM=theirs.url) as server:
            yield server


@contextmanager
def proxied(folder: Path, index: Server) -> Iterator[Proxy]:
    made = Proxy(folder, index.address)
    try:
        yield made
    finally:
        made.close()


PINS = "house-tool==0.1", "house-good==0.1", "pub-core==1.0"
AUDIT = ("pip-audit", "-r", "requirements.txt", "--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json")


def audited(folder: Path, *options: str, **environment: str) -> dict[str, list[dict[str, Any]]]:
    """What pip-audit says of each project."""
    (folder / "requirements.txt").write_text("\n".join(PINS))
    more = "--cache-dir", folder / "cache", *options
    said = run(*AUDIT, *more, home=folder / "home", folder=folder, fails=True, **environment)
    [report] = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {each["name"]: each["vulns"] for each in report["dependencies"]}


def check(found: dict[str, list[dict[str, Any]]]) -> None:
    assert found["house-good"] == []
    for name, number, fixed in (("house-tool", 1, "0.2"), ("pub-core", 2, "1.1")):
        [hole] = found[name]
        assert (hole["id"], hole["aliases"]) == (f"PYSEC-2026-{number}", [f"CVE-2026-{number}"])
        assert hole["fix_versions"] == [fixed]
        assert name in hole["description"].replace("_", "-")


def test_pip_audit_shows_what_was_loaded(index: Server, tmp_path: Path) -> None:
    with proxied(tmp_path, index) as proxy:
        ways = {"HTTPS_PROXY": proxy.url, "NO_PROXY": "", "REQUESTS_CA_BUNDLE": str(proxy.trusted)}
        check(audited(tmp_path, **ways))
    assert {*proxy.asked} == {f"/pypi/{pin.replace('==', '/')}/json" for pin in PINS}


def osv(index: Server) -> str:
    """Where the API of OSV is, with credentials in it."""
    return index.index.removesuffix("simple/") + "api/osv"


def test_pip_audit_shows_it_by_an_option(index: Server, tmp_path: Path) -> None:
    check(audited(tmp_path, "--vulnerability-service", "osv", "--osv-url", f"{osv(index)}/v1/query"))


def test_uv_audit_shows_it_by_an_option(index: Server, tmp_path: Path) -> None:
    listed = ", ".join(f'"{pin}"' for pin in PINS)
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "consumer"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = [{listed}]\n'
        f'[[tool.uv.index]]\nname = "ours"\nurl = "{index.simple}"\ndefault = true\n'
    )
    login = {"UV_INDEX_OURS_USERNAME": USER, "UV_INDEX_OURS_PASSWORD": PASSWORD}
    options = "--preview", "--service-url", f"{osv(index)}/", "--output-format", "json"
    said = run("uv", "audit", *options, home=tmp_path / "home", folder=tmp_path, fails=True, **login)
    for number, fixed in ((1, "0.2"), (2, "1.1")):
        assert f"PYSEC-2026-{number}" in said
        assert f'"{fixed}"' in said
    assert "house-good" not in said.replace("house-good==", "")
