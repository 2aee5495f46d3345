"""The real clients: each in an environment of its own, made once and kept in ``.cache/clients``.

``python -m tests.support.environments`` makes them all.
"""

import os
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from tests.support import ROOT
from tests.support.servers import locked

CACHE = ROOT / ".cache" / "clients"

PATIENCE = 300.0  # seconds that a command of a client may take: machines are busy

# Those before it do not start on Python 3.11, and on 3.12.
OLDEST_PIP = "19.2" if sys.version_info < (3, 12) else "23.1.2"

# Between those two, caches have changed, and what is read of an index.
PIPS_BETWEEN = ("pip 20.3", "pip 22.3.1") if sys.version_info < (3, 12) else ()

# The first requirement is the client; what follows keeps its dependencies at versions with which it works.
CLIENTS = {
    "pip": ["pip==26.3"],
    "oldest pip": [f"pip=={OLDEST_PIP}"],
    **{name: [name.replace(" ", "==")] for name in PIPS_BETWEEN},
    "uv": ["uv==0.13.9"],
    "twine": ["twine==7.0.0"],
    "poetry": ["poetry==2.5.1"],
    "pdm": ["pdm==2.29.3", "hishel<2", "unearth<0.19"],
    "hatch": ["hatch==1.18.2"],
    "flit": ["flit==4.2.0"],
    "pip-tools": ["pip-tools==7.6.2", "pip==26.3"],
    "pipenv": ["pipenv==2026.10.3"],
    "pypi-simple": ["pypi-simple==1.8.0"],
    "mousebender": ["mousebender==2025.1"],
    "bandersnatch": ["bandersnatch==6.8.0"],
    "pip-audit": ["pip-audit==2.10.1"],
    # Other indexes, which ours asks.
    "devpi-server": ["devpi-server==6.20.3"],
    "pypiserver": ["pypiserver==2.4.2"],
}


@cache
def environment(client: str) -> Path:
    """The folder of a client's virtual environment, made if it is not there yet."""
    requirements = CLIENTS[client]
    folder = CACHE / requirements[0].replace("==", "-")
    stamp = folder / "made-of.txt"
    wanted = "\n".join([sys.version, *requirements])
    with locked(folder.name):
        if not stamp.exists() or stamp.read_text() != wanted:
            venv.create(folder, clear=True, symlinks=True)
            install = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet", *requirements]
            done = subprocess.run(install, capture_output=True, text=True)
            assert done.returncode == 0, f"{client} cannot be installed: {done.stderr}"
            stamp.write_text(wanted)
    return folder


def make_all() -> None:
    """Make what is missing, several at once."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(environment, CLIENTS))


def clean(home: Path) -> dict[str, str]:
    """Environment variables that keep everything of this machine and of the network away from a client."""
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "COLUMNS": "300",
        "NO_PROXY": "*",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PDM_CHECK_UPDATE": "false",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "VIRTUALENV_NO_PERIODIC_UPDATE": "1",
    }


def run(
    command: str | Path,
    *arguments: str | Path,
    home: Path,
    folder: Path,
    fails: bool = False,
    of: str = "",
    seconds: float = PATIENCE,
    **variables: str,
) -> str:
    """Run a client by its name, or a program by its path, in ``folder``; returns all that it printed.

    ``of`` is the client if the command has another name.
    """
    program = environment(of or command) / "bin" / command if isinstance(command, str) else command
    line = [str(program), *map(str, arguments)]
    done = subprocess.run(
        line,
        cwd=folder,
        env=clean(home) | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    told = f"{' '.join(line)}\n{done.stdout}\nexit status {done.returncode}"
    assert bool(done.returncode) == fails, told
    return told


def new_venv(folder: Path) -> Path:
    """A fresh environment with nothing in it; returns its Python."""
    venv.create(folder, clear=True, symlinks=True)
    return folder / "bin" / "python"


if __name__ == "__main__":
    make_all()
