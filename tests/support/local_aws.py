"""AWS on this machine: the emulator, the certificate of its host names, and the environment of its clients."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config

from tests.support.servers import fetched, free_ports

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
    "*.example.com",
)


def emulator_python() -> Path:
    """The interpreter of the emulator, which also runs the Lambdas; its environment is made once."""

    def make(folder: Path) -> None:
        subprocess.run([lambda_python(), "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PACKAGES], check=True)

    return fetched("ministack", PACKAGES, make) / "bin" / "python"


def lambda_python() -> str:
    """The Python of the Lambda runtime if this machine has it, else the one that runs the tests."""
    for candidate in (shutil.which("python3.13"), *Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13")):
        # A shim of pyenv can be there without a Python behind it.
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return str(candidate)
    return sys.executable


def make_certificate(folder: Path) -> None:
    """``ca.pem``, and ``server.pem`` and ``server.key`` for the host names of AWS, signed by it."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"  # RSA takes a hundred times as long
    lasting = "-days", "30"
    openssl("req", "-x509", *new_key, *lasting, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA of the tests")
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=AWS of the tests")
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    extensions = f"basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName={names},IP:127.0.0.1\n"
    (folder / "server.ext").write_text(extensions)
    signing = "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "server.ext"
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signing)


class LocalAws:
    """A running emulator, with the items of its tables in the DynamoDB Local at ``dynamodb``.

    Everything it writes is in ``folder``, its log in ``folder/emulator.log``.
    """

    def __init__(self, folder: Path, dynamodb: str) -> None:
        self.log = folder / "emulator.log"
        self._requests = folder / "requests.log"
        self._session = boto3.Session(region_name=REGION)
        self._clients: dict[tuple[str, str], Any] = {}
        self.ca, self.certificate = folder / "ca.pem", folder / "server.pem"
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
            "MINISTACK_SSL_CERT": str(self.certificate),
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
        command = [str(emulator_python()), str(Path(__file__).with_name("emulator.py")), str(proxy_port), str(port)]
        command += [dynamodb, str(self._requests)]
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
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def traffic(self, host: str = "") -> list[dict[str, Any]]:
        """Every request so far whose host begins so: host, client, method, path, target, status, bytes."""
        lines = map(json.loads, self._requests.read_text().splitlines())
        return [line for line in lines if line["host"].startswith(host)]

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

    def boto3(self, service: str, credentials: Sequence[str] = ("test", "test", "")) -> Any:
        """A client with the rights of the account's owner, or with other credentials."""
        access, secret, token = credentials
        if (service, access) not in self._clients:
            self._clients[service, access] = self._session.client(
                service,
                config=Config(proxies={"https": self.proxy}, retries={"total_max_attempts": 1}),
                verify=str(self.ca),
                aws_access_key_id=access,
                aws_secret_access_key=secret,
                aws_session_token=token or None,
            )
        return self._clients[service, access]
