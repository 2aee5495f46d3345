"""What a measurement needs and this machine may lack: wrk and nginx from Debian, each peer in its own environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from bench.corpus import CACHE
from bench.process import Failed


@cache
def debian(command: str, package: str) -> str:
    """The path of a command of Debian; root gets its package installed. :class:`Failed` if it is not there."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    path = shutil.which(command, path=places)
    if path is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        for line in (["apt-get", "update", "-qq"], install):
            subprocess.run(line, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True)
        path = shutil.which(command, path=places)
    if path is None:
        raise Failed(f"there is no {command}: apt-get install {package}")
    return path


def kept(name: str, source: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name`` of the cache, made anew unless it was made of this very ``source``."""
    folder = CACHE / name
    stamp = folder / "made-of.txt"
    if not stamp.exists() or stamp.read_text() != source:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        stamp.write_text(source)
    return folder


@cache
def environment(requirements: tuple[str, ...], python: str = sys.executable) -> Path:
    """The folder ``bin`` of an environment with these packages from PyPI; :class:`Failed` if there is none."""
    version = subprocess.check_output([python, "-c", "import sys; print(sys.version, end='')"], text=True)

    def make(folder: Path) -> None:
        subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
        # Wheels only: nobody should need a compiler.
        options = ["install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
        install = [sys.executable, "-m", "pip", "--python", str(folder), *options, *requirements]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise Failed(f"pip cannot install it on Python {version.split()[0]}: {errors[-1] if errors else ''}")

    name = requirements[0].replace("==", "-")
    return kept(f"environments/{name}", "\n".join([version, *requirements]), make) / "bin"
