"""`elasticpypi upload` of what no request to a Lambda can hold: parts, links, the event, the checks, the page."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.builders import make_sparse_wheel, make_wheel
from tests.support.deployed import PASSWORD, USER, Index

pytestmark = pytest.mark.aws

MB = 1024 * 1024


def upload(index: Index, *arguments: str | Path) -> tuple[int, list[str]]:
    """Exit status, and the lines of the command."""
    command = [sys.executable, "-m", "elasticpypi", "upload", "--repository-url", index.simple, *map(str, arguments)]
    environ = {**index.aws.client, "TWINE_USERNAME": USER, "TWINE_PASSWORD": PASSWORD}
    done = subprocess.run(
        command, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
    )
    return done.returncode, done.stdout.splitlines()


def files(index: Index) -> set[str]:
    """Every key of the bucket, except what is only noted of uploads."""
    return {key for key in index.stored() if not key.endswith((".session", ".result"))}


@pytest.mark.parametrize("megabytes", [20, 150])
def test_from_the_command_to_pip(index: Index, tmp_path: Path, megabytes: int) -> None:
    project = f"large{megabytes}"
    if megabytes == 20:
        wheel = make_wheel(tmp_path, project, "1.0", files={f"{project}.bin": os.urandom(megabytes * MB)})
    else:
        wheel = make_sparse_wheel(tmp_path, project, "1.0", megabytes * MB)  # three parts
    small = make_wheel(tmp_path, project, "0.9")
    told = [line for path in (small, wheel) for line in (f"Uploading {path.name}", f"{path.name} is in the index.")]
    assert upload(index, small, wheel) == (0, told)
    assert index.files(project) == [small.name, wheel.name]
    assert not any(key.startswith(".uploads/") for key in files(index))
    assert upload(index, wheel) == (0, [f"{wheel.name} is in the index already."])
    install = "install", "--index-url", index.simple_with_credentials, project
    index.run("pip", *install, "--no-cache-dir", "--target", tmp_path / "pip")
    assert (tmp_path / "pip" / f"{project}.bin").stat().st_size == megabytes * MB


def test_other_bytes_are_refused_before_they_are_sent(index: Index, tmp_path: Path) -> None:
    for folder in ("first", "other"):
        (tmp_path / folder).mkdir()
    wheel = make_wheel(tmp_path / "first", "large-taken", "1.0")
    assert upload(index, wheel)[0] == 0
    other = make_wheel(tmp_path / "other", "large-taken", "1.0", files={"large.bin": os.urandom(20 * MB)})
    code, [told] = upload(index, other)
    assert code == 1
    assert told.startswith(f"Error: {other.name}: File already exists: ")
    assert upload(index, "--skip-existing", other) == (0, [f"Skipping {other.name}: it exists already."])
    assert index.files("large-taken") == [wheel.name]


def test_what_is_refused_is_never_seen(index: Index, tmp_path: Path) -> None:
    whole = make_wheel(tmp_path, "large-broken", "1.0", files={"large.bin": os.urandom(20 * MB)})
    broken = tmp_path / "dist" / whole.name
    broken.parent.mkdir()
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            if not name.endswith("RECORD"):
                target.writestr(name, source.read(name))
    code, lines = upload(index, broken)
    assert code == 1
    assert lines[0] == f"Uploading {broken.name}"
    assert lines[1].startswith(f"Error: {broken.name}: ")
    assert "RECORD" in lines[1]
    assert index.files("large-broken") == []
    assert not any(key.startswith(".uploads/") or "large_broken" in key for key in files(index))
