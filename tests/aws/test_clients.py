"""The real clients, over TLS at the real URL."""

from pathlib import Path

import pytest

from tests.support.builders import make_sdist, make_wheel
from tests.support.deployed import PASSWORD, USER, Index

pytestmark = pytest.mark.aws


def test_from_twine_to_pip_and_uv(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "from-twine", "1.0")
    index.upload(wheel)
    assert index.files("from-twine") == [wheel.name]  # at once: the answer comes after the record
    _install(index, "from-twine", tmp_path)


def test_from_uv_to_pip_and_uv(index: Index, tmp_path: Path) -> None:
    files = make_wheel(tmp_path, "from-uv", "1.0"), make_sdist(tmp_path, "from-uv", "1.0")
    options = "--publish-url", index.simple, "--check-url", index.simple_with_credentials
    for told in ("Uploading", "already exists"):
        said = index.run("uv", "publish", *options, *files, UV_PUBLISH_USERNAME=USER, UV_PUBLISH_PASSWORD=PASSWORD)
        assert said.count(told) == 2, said
    assert set(index.files("from-uv")) == {path.name for path in files}
    _install(index, "from-uv", tmp_path)


def _install(index: Index, project: str, folder: Path) -> None:
    install = "install", "--index-url", index.simple_with_credentials, project
    index.run("pip", *install, "--no-cache-dir", "--target", folder / "pip")
    index.run("uv", "pip", *install, "--no-cache", "--target", folder / "uv")
    for installed in (folder / "pip", folder / "uv"):
        assert (installed / f"{project.replace('-', '_')}-1.0.dist-info").is_dir()


def test_the_second_download_transfers_no_file(index: Index, large_wheel: Path, tmp_path: Path) -> None:
    command = "download", "--no-deps", "--index-url", index.simple_with_credentials, "--cache-dir", tmp_path / "cache"
    for target, transfers in (tmp_path / "first", [large_wheel.stat().st_size]), (tmp_path / "second", []):
        before = len(index.aws.traffic())
        said = index.run("pip", *command, "--dest", target, "large")
        assert (target / large_wheel.name).read_bytes() == large_wheel.read_bytes()
        traffic = [line for line in index.aws.traffic()[before:] if line["client"].startswith("pip/")]
        assert [line["bytes"] for line in traffic if line["host"].startswith(f"{index.bucket}.s3.")] == transfers, said
    assert [(line["status"], line["bytes"]) for line in traffic] == [(304, 0), (302, 0)]
