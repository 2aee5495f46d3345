"""Version 1.0, out of the history."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support import ROOT

VERSION_1_0 = "01c5c4b5a3df59ad9e7dcc63a16c9613623577a7"


def checkout(folder: Path) -> Path:
    """Its code in a folder; the test is skipped for whoever has the code without its history."""
    git = subprocess.run(["git", "archive", VERSION_1_0], cwd=ROOT, capture_output=True)
    if git.returncode:
        pytest.skip("The history is not there (git fetch --unshallow): an update from version 1.0 is not tested.")
    with tarfile.open(fileobj=io.BytesIO(git.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
