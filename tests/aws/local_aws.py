"""AWS on this machine: the emulator, the certificate of its host names, and the environment of its clients."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

HERE = Path(__file__).resolve().parent
VENV = HERE.parent.parent / ".cache" / "ministack"
PACKAGES = "ministack==1.5.33", "boto3==1.43.106"
REGION = "us-east-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
HOSTS = (
    "localhost",
    f"*.execute-api.{REGION}.amazonaws.com",
    f"*.s3.{REGION}.amazonaws.com",
    "*.s3.amazonaws.com",
    f"*.{REGION}.amazonaws.com",
    "*.amazonaws.com",
)


def emulator_python() -> Path:
    """The interpreter of the emulator, which also runs the Lambdas; its environment is made once."""
    python = VENV / "bin" / "python"
    stamp = VENV / "packages"
    if not stamp.is_file() or stamp.read_text() != repr(PACKAGES):
        subprocess.run([lambda_python(), "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        stamp.write_text(repr(PACKAGES))
    return python


def lambda_python() -> str:
    """The Python of the Lambda runtime if this machine has it, else the one that runs the tests."""
    for candidate in (shutil.which("python3.13"), *Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13")):
        # A shim of pyenv can be there without a Python behind it.
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return str(candidate)
    return sys.executable


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def make_certificate(folder: Path) -> None:
    """``ca.pem``, and ``server.pem`` and ``server.key`` for the host names of AWS, signed by it."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = "-newkey", "rsa:2048", "-nodes", "-days", "30"
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA of the tests")
    openssl("req", *new_key[:3], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=AWS of the tests")
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    extensions = f"basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName={names},IP:127.0.0.1\n"
    (folder / "server.ext").write_text(extensions)
    signing = "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "server.ext"
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signing)


class LocalAws:
    """A running emulator. Everything it writes is in ``folder``, its log in ``folder/emulator.log``."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "emulator.log"
        self.ca = folder / "ca.pem"
        make_certificate(folder)
        port, proxy_port = free_ports(2)
        self.endpoint = f"https://127.0.0.1:{port}"
        self.proxy = f"http://127.0.0.1:{proxy_port}"
        environ = {
            **CREDENTIALS,
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
            "AUTH": "true",  # roles have exactly the rights that their policies give
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": f"{REGION}.amazonaws.com",
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(folder / "server.pem"),
            "MINISTACK_SSL_KEY": str(folder / "server.key"),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
            # What Lambdas inherit: real host names (also in signed URLs) through the proxy.
            "AWS_ENDPOINT_URL": "",
            "AWS_CA_BUNDLE": str(self.ca),
            "HTTPS_PROXY": self.proxy,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        command = [str(emulator_python()), str(HERE / "emulator.py"), str(proxy_port), str(port)]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with self.session() as session:
                    session.get(
                        f"{self.endpoint}/_ministack/health", timeout=5, proxies={"https": ""}
                    ).raise_for_status()
                return
            except requests.RequestException:
                time.sleep(0.1)
        raise RuntimeError(f"The emulator did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End the emulator and the Lambdas, which are in its process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(10)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    @property
    def deployer(self) -> dict[str, str]:
        """Environment of a deployment tool: straight to the emulator."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint, "NODE_EXTRA_CA_CERTS": str(self.ca)}

    @property
    def client(self) -> dict[str, str]:
        """Environment of pip, uv and twine: nothing of this machine's settings, everything by way of the proxy."""
        certificates = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"), str(self.ca))
        quiet = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_NO_CONFIG": "1"}
        base = {"PATH": os.environ["PATH"], "HOME": str(self.log.parent), "LANG": "C.UTF-8"}
        return {**base, **certificates, **quiet, "HTTPS_PROXY": self.proxy}

    def session(self) -> requests.Session:
        """For plain requests to the real host names."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca)
        session.proxies = {"https": self.proxy}
        return session

    def boto3(self, service: str) -> Any:
        """A client with the rights of the account's owner."""
        config = Config(proxies={"https": self.proxy}, retries={"total_max_attempts": 1})
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        return session.client(service, config=config, verify=str(self.ca))


if __name__ == "__main__":
    emulator_python()
