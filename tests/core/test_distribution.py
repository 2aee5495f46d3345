"""Every check of an uploaded file: form, digests, name, archive, metadata."""

import base64
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from elasticpypi.core import filename
from elasticpypi.core.distribution import check_upload, inspect
from elasticpypi.core.errors import BadUpload, Damaged
from tests.support.builders import make_old_sdist, make_sdist, make_wheel, metadata, upload_form
from tests.support.uploads import CORES, REFUSED, md5


def check(path: Path, **changes: str | None) -> object:
    form = {field: [value] for field, value in upload_form(path, **changes).items()}
    with path.open("rb") as content:
        return check_upload(form, path.name, content)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(
        tmp_path, "demo-b", "1.0", requires_python=">=3.8,<4", requires_dist=["flask>=2", "x @ https://e.org/x.zip"]
    )


@pytest.mark.parametrize("make", [make_wheel, make_sdist])
def test_what_a_good_file_says(tmp_path: Path, make: Callable[..., Path]) -> None:
    path = make(tmp_path, "Demo-B", "1.0+local.1", requires_python=">=3.8,<4", description="h\u00e9llo")
    with path.open("rb") as content:
        dist = check_upload({field: [value] for field, value in upload_form(path).items()}, path.name, content)
    assert (dist.name.project, str(dist.name.version)) == ("demo-b", "1.0+local.1")
    assert dist.size == path.stat().st_size
    assert dist.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dist.metadata == metadata("Demo-B", "1.0+local.1", requires_python=">=3.8,<4", description="h\u00e9llo")
    assert dist.requires_python == ">=3.8,<4"


@pytest.mark.req("REQ-105", "REQ-106")
def test_forms_that_clients_send(wheel: Path) -> None:
    digest = upload_form(wheel)["sha256_digest"]
    check(wheel, sha256_digest=digest.upper())
    check(wheel, blake2_256_digest=None)
    check(wheel, sha256_digest=None, blake2_256_digest="", md5_digest=md5(wheel))
    check(wheel, md5_digest=base64.urlsafe_b64encode(bytes.fromhex(md5(wheel))).decode().rstrip("="))
    check(wheel, name="Demo.B", version="v1.0.0")
    check(wheel, name=None, version=None, metadata_version=None, pyversion="", protocol_version=None)
    check(wheel, name="UNKNOWN", requires_python="", summary="x" * 9999, unknown="field")


@pytest.mark.req("REQ-105", "REQ-108", "REQ-109", "REQ-118")
@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_a_form_that_does_not_fit(wheel: Path, changes: dict[str, str | None], sentence: str) -> None:
    with pytest.raises(BadUpload) as refused:
        check(wheel, **changes)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


@pytest.mark.req("REQ-111")
def test_a_field_that_comes_twice(wheel: Path) -> None:
    form = {field: [value] for field, value in upload_form(wheel).items()}
    with wheel.open("rb") as content, pytest.raises(BadUpload, match="'name' is in the form 2 times"):
        check_upload({**form, "name": ["demo-b", "demo-b"]}, wheel.name, content)


@pytest.mark.req("REQ-39", "REQ-110", "REQ-133")
@pytest.mark.parametrize(("core", "sentence"), CORES)
def test_metadata_that_does_not_fit(tmp_path: Path, core: bytes, sentence: str) -> None:
    with pytest.raises(BadUpload) as refused:
        check(make_wheel(tmp_path, "demo", "1.0", core=core))
    assert str(refused.value).startswith(sentence)


@pytest.mark.req("REQ-110")
def test_newer_minor_metadata_versions_are_taken(tmp_path: Path) -> None:
    check(make_wheel(tmp_path, "demo", "1.0", core=b"Metadata-Version: 2.9\nName: demo\nVersion: 1.0\n"))


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0.tar.gz"
    path.write_bytes(b"")
    with pytest.raises(BadUpload, match="is empty"):
        check(path)


def test_what_is_in_the_store_is_taken_as_it_is(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0", core=b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    with path.open("rb") as content:
        dist = inspect(filename.parse(path.name), content)
    assert dist.metadata is None
    assert dist.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dist.size == path.stat().st_size


def test_an_old_sdist_in_the_store_is_taken_if_it_is_whole(tmp_path: Path) -> None:
    path = make_old_sdist(tmp_path, "demo", "1.0")
    name = filename.parse_stored(path.name)
    assert name is not None
    assert inspect(name, io.BytesIO(path.read_bytes())).size == path.stat().st_size
    with pytest.raises(Damaged, match="it is damaged, or a part of a file"):
        inspect(name, io.BytesIO(path.read_bytes()[:-20]))


@pytest.mark.parametrize("make", [make_wheel, make_sdist])
def test_half_a_file_is_damaged(tmp_path: Path, make: Callable[..., Path]) -> None:
    path = make(tmp_path, "demo", "1.0", description="text " * 2000)
    half = io.BytesIO(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Damaged):
        inspect(filename.parse(path.name), half)
