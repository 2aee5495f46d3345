"""https on one machine: what is refused, what is renewed, and what stays as it is."""

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.core.errors import ConfigurationError
from elasticpypi.hosts.machine.tls import Certificate
from tests.support.application import basic
from tests.support.builders import make_wheel
from tests.support.certificates import P521, RSA, make_certificate
from tests.support.serving import Server, run
from tests.support.waiting import until

pytestmark = pytest.mark.network

USERS = {"USERS": "alice:x"}
LOGIN = {"Authorization": basic("alice:x")}
STARTED = re.compile(r" at https://(?:(127\.0\.0\.1)|\[(::1)\]):(\d+)/simple/")


class Encrypted(Server):
    """A running index that speaks https; ``cert`` is the file that has its certificate."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.cert, self.key = make_certificate(folder)
        settings = {"TLS_CERT": str(self.cert), "TLS_KEY": str(self.key), **USERS, **environ}
        super().__init__(folder / "data", wait=False, **settings)

    def wait_until_up(self) -> None:
        self.wait_for(lambda: STARTED.search("".join(self.said)))
        found = STARTED.search("".join(self.said))
        assert found is not None
        self.host, self.port = found[1] or found[2], int(found[3])
        self.wait_for(lambda: self.served() is not None)

    def served(self) -> str | None:
        """The certificate that a new connection gets, in PEM; None if there is none."""
        try:
            return ssl.get_server_certificate((self.host, self.port), timeout=20)
        except OSError:
            return None

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """Over a connection of its own, to a server that proves who it is."""
        context = ssl.create_default_context(cafile=str(self.cert))
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=20, context=context)
        connection.request("GET", path, headers={**LOGIN, **headers, "Connection": "close"})
        return connection.getresponse()

    def workers(self) -> set[int]:
        """Those who have the port, whoever follows the folder."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return set(map(int, pids))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Encrypted]]:
    running: list[Encrypted] = []

    def started(**environ: str) -> Encrypted:
        running.append(Encrypted(tmp_path, **environ))
        running[-1].wait_until_up()
        return running[-1]

    yield started
    for server in running:
        server.close()


def same(pem: str | None, path: Path) -> bool:
    return pem is not None and ssl.PEM_cert_to_DER_cert(pem) == ssl.PEM_cert_to_DER_cert(path.read_text())


def replace(files: tuple[Path, Path], server: Encrypted) -> None:
    """As those do who renew certificates: one after the other, each at once."""
    for new, old in zip(files, (server.cert, server.key), strict=True):
        new.replace(old)


def test_addresses_are_https(tmp_path: Path, start: Callable[..., Encrypted]) -> None:
    server = start()
    wheel = make_wheel(tmp_path / "data" / "packages", "demo", "1.0")
    server.wait_for(lambda: server.get("/simple/demo/").status == 200)
    base = f"https://127.0.0.1:{server.port}/"
    assert base in server.get("/pypi/demo/json").read().decode()
    page = server.get("/", Accept="text/html,*/*;q=0.8").read().decode()
    assert f"pip install --index-url {base}simple/ PACKAGE" in page
    assert "http://" not in page
    assert server.get(f"/packages/{wheel.name}").read() == wheel.read_bytes()
    assert server.stop() == 0


def test_http_at_the_port_of_https_is_no_redirect(tmp_path: Path, start: Callable[..., Encrypted]) -> None:
    server = start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"GET /simple/ HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = b""
        while part := connection.recv(4096):
            answer += part
    assert b"HTTP" not in answer  # but an alert of TLS, and the end
    assert server.get("/health").status == 200
    assert len(server.said) == len([line for line in server.said if "ERROR" not in line and "panic" not in line])


@pytest.mark.parametrize("minimum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_old_clients_speak_too(tmp_path: Path, start: Callable[..., Encrypted], minimum: ssl.TLSVersion) -> None:
    server = start(LISTEN="[::1]")
    context = ssl.create_default_context(cafile=str(server.cert))
    context.minimum_version = context.maximum_version = minimum
    with (
        socket.create_connection(("::1", server.port), timeout=20) as connection,
        context.wrap_socket(connection, server_hostname="::1"),
    ):
        pass


@pytest.mark.parametrize("by_signal", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["SIGHUP", "by itself"])
def test_a_new_certificate_is_taken(tmp_path: Path, start: Callable[..., Encrypted], by_signal: bool) -> None:
    server = start()
    old = server.served()
    replace(make_certificate(tmp_path, "new", RSA), server)
    if by_signal:
        server.process.send_signal(signal.SIGHUP)
    server.wait_for(lambda: same(server.served(), server.cert), 40)
    assert not same(old, server.cert)
    server.wait_for(lambda: all(same(server.served(), server.cert) for _ in range(10)))
    assert server.get("/simple/").status == 200
    server.wait_for(lambda: "The certificate of TLS_CERT is another one" in "".join(server.said))
    assert server.stop() == 0


def test_what_counts_as_a_change(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    certificate = Certificate(cert, key, lambda *_: True)
    certificate.load()

    def changes() -> list[bool]:
        return [certificate.changed() for _ in range(3)]

    assert changes() == [False] * 3
    os.utime(cert, (1, 1))
    key.rename(tmp_path / "moved")
    (tmp_path / "moved").rename(key)
    assert changes() == [False] * 3  # the same bytes
    new = make_certificate(tmp_path, "new")
    new[0].replace(cert)
    assert not certificate.changed()
    new[1].replace(key)
    assert changes() == [False, True, True]  # as soon as it stays so
    certificate.load()
    assert changes() == [False] * 3
    key.unlink()
    assert changes() == [False, True, True]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        certificate.load()
    assert changes() == [False] * 3  # it was told
    assert Path(certificate.cert).read_bytes() == cert.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems tell of processes in other ways")
def test_a_bad_certificate_changes_nothing(tmp_path: Path, start: Callable[..., Encrypted]) -> None:
    server = start()
    good = server.cert.read_bytes(), server.key.read_bytes()
    served, workers = server.served(), server.workers()

    def said(sentence: str) -> bool:
        return f"ERROR: {sentence} Everything goes on as before." in "".join(server.said)

    replace(make_certificate(tmp_path, "new", P521), server)
    server.wait_for(lambda: said(NOT_SERVED), 40)
    server.key.unlink()
    server.wait_for(lambda: said(f"TLS_KEY: the file '{server.key}' cannot be read (no such file or directory)."), 40)
    server.key.write_bytes(good[1])
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(lambda: said("TLS_KEY is not the key of the first certificate in TLS_CERT."))
    assert (server.served(), server.workers()) == (served, workers)
    # Who starts now has what was good.
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    server.wait_for(lambda: len(server.workers() - workers) == len(workers) and server.served() == served, 40)
    server.cert.write_bytes(good[0])
    assert server.get("/simple/").status == 200
    assert server.stop() == 0


NOT_SERVED = (
    "TLS_CERT and TLS_KEY cannot be served: take a certificate of version 3 and a key that is RSA of 2048 bits or "
    "more, ECDSA on P-256 or P-384, or Ed25519."
)


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def no_cert(cert: Path, key: Path) -> None:
    cert.unlink()


def no_pem(cert: Path, key: Path) -> None:
    cert.write_bytes(b"\x30\x82")


def no_key(cert: Path, key: Path) -> None:
    key.write_bytes(cert.read_bytes())


def half(cert: Path, key: Path) -> None:
    cert.write_bytes(cert.read_bytes()[:300])


def other_key(cert: Path, key: Path) -> None:
    make_certificate(key.parent, "other")[1].replace(key)


def key_of_another_kind(cert: Path, key: Path) -> None:
    make_certificate(key.parent, "other", RSA)[1].replace(key)


def password(cert: Path, key: Path) -> None:
    openssl("pkey", "-in", key, "-aes128", "-passout", "pass:x", "-out", key.with_suffix(".new"))
    key.with_suffix(".new").replace(key)


def weak(cert: Path, key: Path) -> None:
    for made, path in zip(make_certificate(cert.parent, "other", ("rsa:1024",)), (cert, key), strict=True):
        made.replace(path)


def unknown_curve(cert: Path, key: Path) -> None:
    for made, path in zip(make_certificate(cert.parent, "other", P521), (cert, key), strict=True):
        made.replace(path)


def version_1(cert: Path, key: Path) -> None:
    openssl("req", "-new", "-key", key, "-subj", "/CN=x", "-out", cert.with_suffix(".csr"))
    openssl("x509", "-req", "-in", cert.with_suffix(".csr"), "-signkey", key, "-out", cert)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_cert, "TLS_CERT: the file '{cert}' cannot be read (no such file or directory)."),
        (no_pem, "TLS_CERT: the file '{cert}' has no certificate in PEM."),
        (no_key, "TLS_KEY: the file '{key}' has no private key in PEM."),
        (half, "TLS_CERT or TLS_KEY is damaged: is each file whole, and PEM?"),
        (other_key, "TLS_KEY is not the key of the first certificate in TLS_CERT."),
        (key_of_another_kind, "TLS_KEY is not the key of the first certificate in TLS_CERT."),
        (password, "TLS_KEY needs a password: take it off with `openssl pkey -in KEY -out NEW_KEY`."),
        (weak, NOT_SERVED),
        (unknown_curve, NOT_SERVED),
        (version_1, NOT_SERVED),
    ],
)
def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path, spoil: Any, sentence: str) -> None:
    cert, key = make_certificate(tmp_path)
    spoil(cert, key)
    data = tmp_path / "data"
    environ = {"TLS_CERT": str(cert), "TLS_KEY": str(key)}
    done = run("serve", "--port", "0", "--data", str(data), **environ)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {sentence.format(cert=cert, key=key)}\n")
    assert not (data / "user").exists()


def test_key_and_certificate_may_be_one_file(tmp_path: Path, start: Callable[..., Encrypted]) -> None:
    server = start()
    server.cert.write_bytes(server.key.read_bytes() + server.cert.read_bytes())
    server.key.unlink()
    server.key.symlink_to(server.cert)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "is another one" in "".join(server.said), "the renewal")
    server.wait_for(lambda: server.served() is not None)
    assert server.get("/health").status == 200
