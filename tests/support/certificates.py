"""Certificates of the tests, by ``openssl``."""

import subprocess
from pathlib import Path

RSA, P256, P521 = (
    ("rsa:2048",),
    ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    ("ec", "-pkeyopt", "ec_paramgen_curve:P-521"),
)


def make_certificate(folder: Path, name: str = "server", key: tuple[str, ...] = P256) -> tuple[Path, Path]:
    """The paths of a certificate for 127.0.0.1 that vouches for itself, and of its key."""
    cert, private = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", *key, "-out", cert, "-keyout", private]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"]
    command += [
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]  # uv takes no certificate of an authority for a server's
    subprocess.run(command, check=True, capture_output=True)
    return cert, private
