"""The contracts of ``Files`` and ``Index``, on every implementation."""

import hashlib
import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.errors import AlreadyExists, Changed, NotFound
from elasticpypi.core.model import Decision, File, Project
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.contracts import Files, Index, Stat
from tests.support.moto_aws import TABLE

DEMO = NormalizedName("demo")
OTHER = NormalizedName("other")


def save(files: Files, key: str, data: bytes, *, overwrite: bool = False) -> Stat:
    return files.save(key, io.BytesIO(data), hashlib.sha256(data).hexdigest(), overwrite=overwrite)


def opened(files: Files, key: str) -> BinaryIO:
    stat = files.stat(key)
    assert stat is not None
    return files.open(stat)


def read(files: Files, key: str) -> bytes:
    with opened(files, key) as content:
        return content.read()


# ---- Files


@pytest.mark.parametrize(
    "key", ["demo-1.0.tar.gz", "team/deep/demo-1.0.tar.gz", "demo-1.0+local.tar.gz", "a b.txt", "d\u00e9mo"]
)
def test_what_is_saved_can_be_read(files: Files, key: str) -> None:
    stat = save(files, key, b"content")
    assert read(files, key) == b"content"
    assert files.stat(key) == stat
    assert (stat.key, stat.size) == (key, 7)
    assert stat.sha256 in (None, hashlib.sha256(b"content").hexdigest())
    assert abs(datetime.now(UTC) - stat.modified) < timedelta(minutes=1)
    assert [(entry.key, entry.size, entry.revision) for entry in files.list()] == [(key, 7, stat.revision)]


def test_a_source_is_saved_from_its_start(files: Files) -> None:
    source = io.BytesIO(b"content")
    source.read()
    files.save("a.txt", source, hashlib.sha256(b"content").hexdigest())
    assert read(files, "a.txt") == b"content"


def test_an_existing_key_is_not_replaced(files: Files) -> None:
    first = save(files, "a.txt", b"one")
    with pytest.raises(AlreadyExists, match="already exist"):
        save(files, "a.txt", b"two")
    assert read(files, "a.txt") == b"one"
    assert files.stat("a.txt") == first


def test_overwriting_replaces_and_changes_the_revision(files: Files) -> None:
    first = save(files, "a.txt", b"one")
    second = save(files, "a.txt", b"two", overwrite=True)
    assert read(files, "a.txt") == b"two"
    assert second.revision != first.revision
    assert files.stat("a.txt") == second


def test_of_many_writers_one_wins(files: Files) -> None:
    start = threading.Barrier(8)

    def write(number: int) -> bool:
        start.wait()
        try:
            save(files, "a.txt", b"%d" % number)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert read(files, "a.txt") == b"%d" % won.index(True)


def test_a_missing_key(files: Files) -> None:
    assert files.stat("none") is None
    assert files.stat("none/below") is None
    files.delete("none")
    assert list(files.list()) == []


def test_a_deleted_key_is_gone_and_can_be_saved_again(files: Files) -> None:
    save(files, "a.txt", b"one")
    files.delete("a.txt")
    assert files.stat("a.txt") is None
    assert list(files.list()) == []
    save(files, "a.txt", b"two")
    assert read(files, "a.txt") == b"two"


def test_reading_in_jumps(files: Files) -> None:
    data = bytes(range(256)) * 1000
    save(files, "a.bin", data)
    with opened(files, "a.bin") as content:
        assert content.seek(0, io.SEEK_END) == len(data)
        assert content.read(10) == b""
        content.seek(-5, io.SEEK_END)
        assert content.read() == data[-5:]
        content.seek(1000)
        assert content.read(3) == data[1000:1003]
        content.seek(7, io.SEEK_CUR)
        assert content.read(3) == data[1010:1013]
        assert content.tell() == 1013


def test_a_zip_file_can_be_read_in_the_store(files: Files) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hello.txt", "hello")
    save(files, "a.zip", buffer.getvalue())
    with opened(files, "a.zip") as content, zipfile.ZipFile(content) as archive:
        assert archive.read("hello.txt") == b"hello"


def test_reading_on_after_a_change_never_mixes(files: Files) -> None:
    save(files, "a.bin", b"1" * 100_000)
    with opened(files, "a.bin") as content:
        content.seek(50_000)
        save(files, "a.bin", b"2" * 100_000, overwrite=True)
        try:
            assert set(content.read(1000)) == {ord("1")}
            content.seek(0)
            assert set(content.read(1000)) == {ord("1")}
        except Changed:
            pass


def test_only_the_bytes_that_were_asked_for_are_read(files: Files) -> None:
    old = save(files, "a.bin", b"1" * 1000)
    save(files, "a.bin", b"2" * 1000, overwrite=True)
    with pytest.raises(Changed, match=r"'a\.bin'"), files.open(old) as content:
        content.read(1)
    files.delete("a.bin")
    with pytest.raises(NotFound, match=r"'a\.bin'"), files.open(old) as content:
        content.read(1)


def test_a_listing_has_every_key(files: Files) -> None:
    keys = {f"{folder}demo-{number}.tar.gz" for folder in ("", "a/", "a/b/") for number in range(40)}
    for key in keys:
        save(files, key, key.encode())
    assert sorted(stat.key for stat in files.list()) == sorted(keys)


def test_a_store_that_is_there(files: Files) -> None:
    files.check()


# ---- Index


def a_file(key: str = "demo-1.0.tar.gz", **changes: object) -> File:
    file = File(
        key=key,
        project=DEMO,
        version="1.0",
        size=7,
        sha256="ab" * 32,
        upload_time="2026-01-31T12:00:00.000000Z",
        revision="r1",
        requires_python=">=3.8,<4",
        metadata_sha256="cd" * 32,
    )
    return replace(file, **changes)  # type: ignore[arg-type]


def a_decision(key: str, kind: str, text: str, revision: str = "r1") -> Decision:
    return Decision(key, DEMO, kind, text, revision)  # type: ignore[arg-type]


def test_an_empty_index(index: Index) -> None:
    serial, names = index.projects()
    assert names == []
    assert index.serial(None) == serial
    assert index.project(DEMO) is None
    assert index.serial(DEMO) is None
    assert index.file(DEMO, "demo-1.0.tar.gz") is None
    assert index.metadata(DEMO, "demo-1.0.tar.gz") is None
    assert index.remove(DEMO, "demo-1.0.tar.gz") is False
    assert list(index.records()) == []
    index.check()


def test_what_is_put_is_there(index: Index) -> None:
    assert index.put(a_file(), b"Name: demo\n") is True
    assert index.file(DEMO, "demo-1.0.tar.gz") == a_file()
    assert index.metadata(DEMO, "demo-1.0.tar.gz") == (a_file(), b"Name: demo\n")
    project = index.project(DEMO)
    assert project is not None
    assert project.files == (a_file(),)
    assert project.serial == index.serial(DEMO)
    assert index.projects()[1] == [DEMO]
    assert list(index.records()) == [a_file()]


def test_what_pages_say_is_kept_beside_it(index: Index) -> None:
    for key in ("demo-1.0.tar.gz", "team/demo-2.0.tar.gz"):
        name = key.rpartition("/")[2]
        file = a_file(key, form=1)
        assert index.about(DEMO, name) is None
        index.put(file, b"Name: demo\n", about=b"{}")
        assert index.about(DEMO, name) == (file, b"{}", None)
        assert index.about(DEMO, name, metadata=True) == (file, b"{}", b"Name: demo\n")
        index.put(replace(file, revision="r2"), None, about=b"[]")  # metadata that are too large to be kept
        assert index.about(DEMO, name, metadata=True) == (replace(file, revision="r2"), b"[]", None)
        assert index.metadata(DEMO, name) is None
        index.put(replace(file, revision="r3"))
        assert index.about(DEMO, name, metadata=True) == (replace(file, revision="r3"), None, None)
        index.put(file, b"Name: demo\n", about=b"{}")
        index.remove(DEMO, key)
        assert index.about(DEMO, name, metadata=True) is None
        index.put(file)
        assert index.about(DEMO, name, metadata=True) == (file, None, None)
    index.put(a_decision("demo.status", "status", "quarantined"))
    assert index.about(DEMO, "demo-1.0.tar.gz") is None


def test_a_file_with_little_known(index: Index) -> None:
    file = a_file(requires_python=None, metadata_sha256=None)
    index.put(file)
    assert index.file(DEMO, file.filename) == file
    assert index.metadata(DEMO, file.filename) is None


def test_a_record_by_its_key(index: Index) -> None:
    decision = a_decision("demo.status", "status", "quarantined")
    for record in (a_file(), a_file("team/demo-1.0.tar.gz"), decision):
        index.put(record)
    assert index.record(DEMO, "demo-1.0.tar.gz") == a_file()
    assert index.record(DEMO, "team/demo-1.0.tar.gz") == a_file("team/demo-1.0.tar.gz")
    assert index.record(DEMO, "demo.status") == decision
    assert index.record(DEMO, "other/demo-1.0.tar.gz") is None
    assert index.record(OTHER, "demo-1.0.tar.gz") is None


def test_every_change_takes_a_new_serial(index: Index) -> None:
    seen = []
    for change in (
        lambda: index.put(a_file()),
        lambda: index.put(a_file(revision="r2", sha256="ef" * 32)),
        lambda: index.put(a_decision("demo-1.0.tar.gz.yanked", "yanked", "bad")),
        lambda: index.put(a_decision("demo-1.0.tar.gz.yanked", "yanked", "worse", "r2")),
        lambda: index.remove(DEMO, "demo-1.0.tar.gz.yanked"),
        lambda: index.remove(DEMO, "demo-1.0.tar.gz"),
        lambda: index.put(a_file()),
    ):
        assert change() is True
        seen.append(index.serial(DEMO))
    assert seen == sorted(set(seen))  # type: ignore[type-var]


def test_the_same_record_again_changes_nothing(index: Index) -> None:
    index.put(a_file(), b"Name: demo\n")
    before = index.project(DEMO), index.projects()
    assert index.put(a_file(), b"Name: demo\n") is False
    assert (index.project(DEMO), index.projects()) == before


def test_a_look_comes_right_before_a_write_and_can_stop_it(index: Index) -> None:
    looks = []

    def look() -> None:
        looks.append("looked")

    def refuse() -> None:
        raise Changed("replaced")

    assert index.put(a_file(), b"x", look=look) is True
    assert index.put(a_file(), b"x", look=look) is False
    assert index.remove(DEMO, "none-1.0.tar.gz", look) is False
    assert looks == ["looked"]
    before = index.project(DEMO), index.projects(), index.metadata(DEMO, "demo-1.0.tar.gz")
    with pytest.raises(Changed):
        index.put(a_file(revision="r2"), b"y", look=refuse)
    with pytest.raises(Changed):
        index.remove(DEMO, "demo-1.0.tar.gz", refuse)
    assert (index.project(DEMO), index.projects(), index.metadata(DEMO, "demo-1.0.tar.gz")) == before
    assert index.remove(DEMO, "demo-1.0.tar.gz", lambda: None) is True


def test_a_check_sees_the_project_and_can_stop_the_write(index: Index) -> None:
    seen: list[tuple[File, ...]] = []

    def note(project: Project) -> None:
        seen.append(project.files)

    def refuse(project: Project) -> None:
        raise AlreadyExists(f"{len(project.files)} already exist")

    assert index.put(a_file(), None, note) is True
    assert seen == []  # no project yet
    assert index.put(a_file("demo-2.0.tar.gz", version="2.0"), None, note) is True
    assert seen == [(a_file(),)]
    before = index.project(DEMO), index.projects()
    with pytest.raises(AlreadyExists, match="2 already exist"):
        index.put(a_file("demo-3.0.tar.gz", version="3.0"), b"x", refuse)
    assert (index.project(DEMO), index.projects()) == before
    assert index.put(a_file("demo-3.0.tar.gz", version="3.0"), b"x") is True


def test_a_removed_record_is_gone(index: Index) -> None:
    index.put(a_file(), b"Name: demo\n")
    assert index.remove(DEMO, "demo-1.0.tar.gz") is True
    assert index.remove(DEMO, "demo-1.0.tar.gz") is False
    assert index.file(DEMO, "demo-1.0.tar.gz") is None
    assert index.metadata(DEMO, "demo-1.0.tar.gz") is None
    assert index.projects()[1] == []
    assert list(index.records()) == []
    project = index.project(DEMO)
    assert project is not None
    assert project.files == ()


def test_metadata_goes_with_its_record(index: Index) -> None:
    index.put(a_file(), b"Name: demo\n")
    index.put(a_file(revision="r2", metadata_sha256=None))
    assert index.metadata(DEMO, "demo-1.0.tar.gz") is None


def test_the_root_serial_follows_projects_that_come_and_go(index: Index) -> None:
    serials = [index.serial(None)]
    for change, root_changes in (
        (lambda: index.put(a_decision("demo.status", "status", "archived")), False),
        (lambda: index.put(a_file()), True),
        (lambda: index.put(a_file("demo-2.0.tar.gz", version="2.0")), False),
        (lambda: index.put(a_file("other-1.0.tar.gz", project=OTHER)), True),
        (lambda: index.remove(DEMO, "demo-1.0.tar.gz"), False),
        (lambda: index.remove(DEMO, "demo-2.0.tar.gz"), True),
    ):
        change()
        serials.append(index.projects()[0])
        assert index.serial(None) == serials[-1]
        assert (serials[-1] > serials[-2]) is root_changes  # type: ignore[operator]
        assert serials[-1] >= serials[-2]  # type: ignore[operator]
    assert index.projects()[1] == [OTHER]


def test_projects_are_sorted_and_apart(index: Index) -> None:
    names = [NormalizedName(name) for name in ("zoo", "a", "demo", "demo-b", "demo2")]
    for name in names:
        index.put(a_file(f"{name.replace('-', '_')}-1.0.tar.gz", project=name))
    assert index.projects()[1] == sorted(names)
    for name in names:
        project = index.project(name)
        assert project is not None
        assert [file.project for file in project.files] == [name]


def test_of_keys_with_one_file_name_the_root_wins_then_the_smallest(index: Index) -> None:
    for key in ("b/demo-1.0.tar.gz", "demo-1.0.tar.gz", "a/demo-1.0.tar.gz"):
        index.put(a_file(key), key.encode())
    for winner in ("demo-1.0.tar.gz", "a/demo-1.0.tar.gz", "b/demo-1.0.tar.gz"):
        file = index.file(DEMO, "demo-1.0.tar.gz")
        project = index.project(DEMO)
        assert project is not None
        assert file is not None
        assert file.key == winner
        assert project.files == (file,)
        assert index.metadata(DEMO, "demo-1.0.tar.gz") == (file, winner.encode())
        index.remove(DEMO, winner)
    assert index.file(DEMO, "demo-1.0.tar.gz") is None


def test_a_yanked_file_says_so_and_can_be_had(index: Index) -> None:
    index.put(a_file())
    index.put(a_decision("demo-1.0.tar.gz.yanked", "yanked", ""))
    project = index.project(DEMO)
    assert project is not None
    assert [file.yanked for file in project.files] == [""]
    assert index.file(DEMO, "demo-1.0.tar.gz") == a_file()


def test_a_quarantined_project_gives_out_no_file(index: Index) -> None:
    index.put(a_file(), b"Name: demo\n")
    index.put(a_decision("demo.status", "status", "quarantined\nmalware"))
    project = index.project(DEMO)
    assert project is not None
    assert (project.status, project.status_reason, project.listed) == ("quarantined", "malware", ())
    assert index.file(DEMO, "demo-1.0.tar.gz") is None
    assert index.metadata(DEMO, "demo-1.0.tar.gz") is None
    index.remove(DEMO, "demo.status")
    assert index.file(DEMO, "demo-1.0.tar.gz") == a_file()


def test_many_writers_of_one_project_lose_nothing(index: Index) -> None:
    def write(number: int) -> bool:
        return index.put(a_file(f"demo-{number}.tar.gz", version=str(number)))

    # The table of moto cannot take two calls at once.
    moto = isinstance(index, DynamoIndex) and index.table.name == TABLE
    with ThreadPoolExecutor(1 if moto else 4) as pool:
        assert all(pool.map(write, range(24)))
    project = index.project(DEMO)
    assert project is not None
    assert [file.version for file in project.files] == [str(number) for number in range(24)]
    for number in range(24):
        index.remove(DEMO, f"demo-{number}.tar.gz")
    assert index.projects()[1] == []


def test_large_metadata_and_many_files(index: Index) -> None:
    body = hashlib.shake_128(b"x").digest(300_000)
    for number in range(30):
        index.put(a_file(f"demo-{number}.tar.gz", version=str(number), requires_python="x" * 50_000), body)
    project = index.project(DEMO)
    assert project is not None
    assert len(project.files) == 30
    assert index.metadata(DEMO, "demo-7.tar.gz") == (project.files[7], body)
    assert len(list(index.records())) == 30
