"""`osls` for the tests: the deployment tool, started as a user would start it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OSLS = ROOT / "node_modules" / ".bin" / "osls"


def require_osls() -> None:
    """Skip without Node, but never in CI; fetch what package.json names if it is not there yet."""
    if shutil.which("npm") is None:
        message = "Node.js is not installed: nothing that deploys to AWS is tested."
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    if not OSLS.exists():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=ROOT, check=True)


def osls(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run osls in the project with these variables, and none of AWS or of the project from outside."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ELASTICPYPI_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # its python3 packs the zip
    command = [str(OSLS), *arguments]
    env = {**inherited, "PATH": path, **environ}
    return subprocess.run(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
