"""Real packages are taken: what the checks of archives refuse, no build tool has made, or its reason is here."""

import subprocess
import sys

import pytest

from elasticpypi.core import filename
from elasticpypi.core.archive import core_metadata
from elasticpypi.core.errors import BadUpload
from tests.support import ROOT
from tests.support.real_packages import UNREACHABLE, packages

# None of these is refused for how its archive is made.
REFUSED = {
    "docutils-0.15.post1-py2-none-any.whl": "does not belong to the file name",  # its version inside is 0.15
    "orjson-2.0.7.tar.gz": "one folder at the top",  # an early maturin: no folder at all
    "orjson-3.4.6.tar.gz": "one folder at the top",
    "pycrypto-2.3.tar.gz": "has no pycrypto-2.3/PKG-INFO",  # made by git archive
    "pytz-2005k.tar.gz": "invalid version",  # older than PEP 440
    "pytz-2011e.zip": "invalid version",
}


@pytest.mark.soak
def test_real_packages_are_taken() -> None:
    fetched = subprocess.run(
        [sys.executable, "-m", "tests.support.real_packages"], cwd=ROOT, capture_output=True, text=True
    )
    if fetched.returncode == UNREACHABLE:
        pytest.skip(f"Real packages were not tried, PyPI cannot be reached: {fetched.stderr.strip()}")
    assert fetched.returncode == 0, fetched.stderr
    said = {}
    for package in packages():
        try:
            with package.path.open("rb") as content:
                assert core_metadata(content, filename.parse(package.file))
        except BadUpload as refusal:
            said[package.file] = str(refusal)
    assert said.keys() == REFUSED.keys(), said
    for file, reason in REFUSED.items():
        assert reason in said[file]


def test_the_list_of_real_packages() -> None:
    listed = packages()
    assert len(listed) >= 480
    assert len({package.file for package in listed}) == len(listed)
    assert sum("2007" <= package.uploaded <= "2020" for package in listed) >= 200
    for kind in (".tar.gz", ".zip", "manylinux", "musllinux", "macosx", "win_amd64", "win32", "py3-none-any.whl"):
        assert sum(kind in package.file for package in listed) >= 10, kind
