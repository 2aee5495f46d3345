"""The contract of ``Objects``, on both families."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from elasticpypi.core.errors import Changed, NotFound, Unavailable
from elasticpypi.storage.contracts import ANY, Objects
from elasticpypi.storage.local.objects import FileObjects
from tests.support.moto_aws import BUCKET
from tests.support.waiting import until


@pytest.fixture(params=["folder", *(pytest.param(name, marks=pytest.mark.moto) for name in ("s3", "s3 on Lambda"))])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return FileObjects(tmp_path)
    request.getfixturevalue("aws")
    if request.param == "s3 on Lambda":  # without botocore's clients
        request.getfixturevalue("on_lambda").setenv("AWS_ENDPOINT_URL", request.getfixturevalue("aws_endpoint"))
    from elasticpypi.storage.aws.objects import BucketObjects

    return BucketObjects(f"{BUCKET}-records")


def read(objects: Objects, key: str) -> bytes | None:
    found = objects.read(key)
    return found.body if found else None


def test_a_life_of_an_object(objects: Objects) -> None:
    assert objects.read("names/demo") is None
    assert objects.revision("names/demo") is None
    first = objects.write("names/demo", b"one", None)
    assert objects.revision("names/demo") == first
    found = objects.read("names/demo")
    assert found
    assert (found.body, found.revision) == (b"one", first)
    second = objects.write("names/demo", b"two!", first)
    assert second != first
    assert read(objects, "names/demo") == b"two!"
    objects.write("names/demo", b"three", ANY)
    objects.write("names/other", b"", ANY)
    assert read(objects, "names/other") == b""
    for _ in range(2):
        objects.remove("names/demo")
    assert objects.read("names/demo") is None
    assert objects.write("names/demo", b"four", None)


def test_who_comes_late_changes_nothing(objects: Objects) -> None:
    def refused(over: str | None) -> None:
        with pytest.raises(Changed, match="somebody else"):
            objects.write("policy.toml", b"late", over)

    refused("1-2-3")
    first = objects.write("policy.toml", b"one", None)
    objects.write("policy.toml", b"two", first)
    refused(None)
    refused(first)
    assert read(objects, "policy.toml") == b"two"
    objects.remove("policy.toml")
    refused(first)
    assert objects.read("policy.toml") is None


@pytest.mark.parametrize("over", ["new", "revision"])
def test_one_of_many_wins(objects: Objects, over: str) -> None:
    known = objects.write("policy/origins/demo", b"before", None) if over == "revision" else None

    def write(number: int) -> bool:
        try:
            objects.write("policy/origins/demo", b"%d" % number, known)
        except Changed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, ours in enumerate(pool.map(write, range(24))) if ours]
    assert len(won) == 1
    assert read(objects, "policy/origins/demo") == b"%d" % won[0]


def test_keys_by_prefix(objects: Objects) -> None:
    keys = ["names/a", "names/ab", "policy/blocks/a", "policy/blocks/a==1!2.0+x", "policy/blocks/sha256=ff", "top"]
    for key in reversed(keys):
        objects.write(key, b"x", None)
    assert objects.keys("") == keys
    assert objects.keys("names/") == keys[:2]
    assert objects.keys("policy/blocks/a==") == [keys[3]]
    assert objects.keys("policy/") == keys[2:5]
    assert objects.keys("none/") == objects.keys("names/b") == []


def test_a_mark_is_another_one_after_each_change(objects: Objects) -> None:
    def settled(folder: str) -> str:
        return until(lambda: objects.mark(folder), "what was written a moment ago is settled")

    marks = [settled("policy/blocks/")]
    others = settled("policy/origins/")
    changes: list[Callable[[], object]] = [
        lambda: objects.write("policy/blocks/demo", b"one", None),
        lambda: objects.write("policy/blocks/demo", b"two", ANY),
        lambda: objects.write("policy/blocks/other", b"two", ANY),
        lambda: objects.remove("policy/blocks/demo"),
        lambda: objects.remove("policy/blocks/other"),
    ]
    for change in changes:
        change()
        assert objects.mark("policy/blocks/") not in marks[-1:]
        marks.append(settled("policy/blocks/"))
        assert settled("policy/blocks/") == marks[-1]
    assert len({*marks[:-1]}) == len(changes)
    assert marks[-1] == marks[0]
    assert settled("policy/origins/") == others


# ---- one machine


def test_what_follows_at_once_is_never_taken_for_the_same(tmp_path: Path) -> None:
    """The clock of a file system may stand still for some milliseconds."""
    objects = FileObjects(tmp_path)
    known: dict[str, bytes] = {}
    for number in range(500):
        objects.write("policy/blocks/demo", b"%03d" % number, ANY)
        if mark := objects.mark("policy/blocks/"):
            assert known.setdefault(mark, b"%03d" % number) == b"%03d" % number


@pytest.mark.parametrize("content", [b"new", b"longer"])
def test_an_editor_that_writes_into_the_same_file_is_seen(tmp_path: Path, content: bytes) -> None:
    objects = FileObjects(tmp_path)
    objects.write("policy/blocks/demo", b"old", None)
    before = until(lambda: objects.mark("policy/blocks/"), "it is settled")
    with (tmp_path / "policy/blocks/demo").open("r+b") as file:
        file.write(content)
    assert objects.mark("policy/blocks/") != before
    assert until(lambda: objects.mark("policy/blocks/"), "it is settled") != before


def test_files_are_for_their_user_and_nothing_is_left(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path)
    objects.write("policy/blocks/demo", b"x", None)
    objects.write("policy/blocks/demo", b"y", ANY)
    assert [path.name for path in (tmp_path / "policy/blocks").iterdir()] == ["demo"]
    assert (tmp_path / "policy/blocks/demo").stat().st_mode & 0o777 == 0o600


def test_what_an_editor_leaves_is_no_object(tmp_path: Path) -> None:
    objects = FileObjects(tmp_path)
    objects.write("names/demo", b"x", None)
    (tmp_path / "names/.demo.swp").write_text("x")
    (tmp_path / "names/folder").mkdir()
    assert objects.keys("names/") == ["names/demo"]
    assert objects.read("names/folder") is objects.revision("names/folder") is None


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "names/../../x", "names/.x", "a//b", "a\0b", "a\\b"])
def test_no_key_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    objects = FileObjects(tmp_path / "data")
    calls: list[Callable[[], object]] = [
        lambda: objects.read(key),
        lambda: objects.write(key, b"x", ANY),
        lambda: objects.remove(key),
    ]
    for call in calls:
        with pytest.raises(NotFound, match="no object"):
            call()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable, match="permission denied"):
        FileObjects(tmp_path).write("names/demo", b"x", ANY)
    tmp_path.chmod(0o700)


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="too long"):
        FileObjects(tmp_path).write(f"names/{'x' * 300}", b"x", ANY)


# ---- AWS


@pytest.mark.moto
def test_more_keys_than_one_answer_has(aws: None, on_lambda: pytest.MonkeyPatch, aws_endpoint: str) -> None:
    on_lambda.setenv("AWS_ENDPOINT_URL", aws_endpoint)
    from elasticpypi.storage.aws.objects import BucketObjects

    objects, client = BucketObjects(f"{BUCKET}-records"), boto3.client("s3")
    odd = ["names/a b", "names/a&b", "names/a+b", "names/\u00e4", "names/a=b?c#d"]
    keys = sorted([*odd, *(f"names/n{number:04}" for number in range(1100))])
    for key in keys:
        client.put_object(Bucket=f"{BUCKET}-records", Key=key, Body=b"x")
    assert objects.keys("names/") == keys
    assert objects.keys("names/a+") == ["names/a+b"]
