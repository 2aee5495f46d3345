"""Yank, status and deletion: over HTTP, and as keys of the bucket."""

from pathlib import Path

import pytest

from tests.support.builders import make_wheel
from tests.support.deployed import JSON, Index
from tests.support.waiting import until

pytestmark = pytest.mark.aws


def test_a_deleted_file_is_gone_at_once_and_never_comes_back_with_other_bytes(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "deleted", "1.0+local.1")
    index.upload(wheel)
    answer = index.request("DELETE", f"/packages/{wheel.name}")
    assert answer.status_code == 200, answer.text
    assert index.files("deleted") == []
    assert index.request("GET", f"/packages/{wheel.name}").status_code == 404
    assert {key for key in index.stored() if key.startswith("deleted-")} == {f"{wheel.name}.deleted"}

    other = make_wheel(tmp_path, "deleted", "1.0+local.1", files={"other.py": b""})
    assert "409" in index.upload(other, fails=True)
    # Whoever frees the name says so in the bucket.
    index.aws.boto3("s3").delete_object(Bucket=index.bucket, Key=f"{wheel.name}.deleted")
    index.upload(other)
    assert index.files("deleted") == [wheel.name]


def test_a_yank_goes_with_its_key(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "yanked", "1.0")
    index.upload(wheel)

    def yanked() -> object:
        [file] = index.request("GET", "/simple/yanked/", headers=JSON).json()["files"]
        return file.get("yanked")

    reason = "br\u00f6ken & <worse>"
    assert index.request("PUT", f"/packages/{wheel.name}.yanked", data=reason.encode()).status_code == 200
    assert yanked() == reason
    index.put(f"{wheel.name}.yanked", b"even worse")
    until(lambda: yanked() == "even worse", "the other reason")
    index.aws.boto3("s3").delete_object(Bucket=index.bucket, Key=f"{wheel.name}.yanked")
    until(lambda: not yanked(), "the yank to go")


def test_an_archived_project_takes_no_upload(index: Index, tmp_path: Path) -> None:
    index.upload(make_wheel(tmp_path, "archived", "1.0"))
    assert index.request("PUT", "/packages/archived.status", data=b"archived").status_code == 200
    assert "403" in index.upload(make_wheel(tmp_path, "archived", "2.0"), fails=True)
    assert index.request("DELETE", "/packages/archived.status").status_code == 200
    index.upload(make_wheel(tmp_path, "archived", "2.0"))
