"""What only the folder has: the disk."""

import io
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from elasticpypi.core.errors import NotFound, Unavailable
from elasticpypi.storage.contracts import Stat
from elasticpypi.storage.local.directory import DirectoryFiles
from tests.support.builders import make_wheel


@pytest.fixture
def files(tmp_path: Path) -> DirectoryFiles:
    return DirectoryFiles(tmp_path / "data")


def test_nothing_is_left_of_a_refused_upload(files: DirectoryFiles, tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("the client hung up")

    with pytest.raises(OSError, match="hung up"):
        files.save("a.txt", Breaking(), "00" * 32)
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []


def test_the_answer_to_a_save_is_of_its_own_bytes(files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another upload replaces the file before the first has looked at it."""
    real = Path.replace

    def replaced_at_once(self: Path, target: Path) -> Path:
        result = real(self, target)
        target.write_bytes(b"somebody else")
        return result

    monkeypatch.setattr(Path, "replace", replaced_at_once)
    stat = files.save("a.txt", io.BytesIO(b"ours"), "00" * 32, overwrite=True)
    now = files.stat("a.txt")
    assert now is not None
    assert (stat.size, now.size) == (4, 13)
    assert stat.revision != now.revision


def test_what_killed_uploads_left_is_removed_after_a_day(files: DirectoryFiles) -> None:
    files.incoming.mkdir()
    old, new = (files.incoming / name for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - 90_000))
    files.remove_leftovers()
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("key", ["../a", "a/../../b", "/etc/passwd", "a//b", ".", "", "a\\b", "a\0b"])
def test_no_key_leads_out_of_the_folder(files: DirectoryFiles, key: str) -> None:
    with pytest.raises(NotFound):
        files.open(Stat(key, 1, "r", datetime.now(UTC)))
    with pytest.raises(NotFound):
        files.delete(key)
    assert files.stat(key) is None


def test_a_folder_is_no_file(files: DirectoryFiles) -> None:
    (files.root / "demo-1.0.tar.gz").mkdir()
    assert files.stat("demo-1.0.tar.gz") is None
    with pytest.raises(NotFound):
        files.open(Stat("demo-1.0.tar.gz", 1, "r", datetime.now(UTC)))
    assert list(files.list()) == []


def test_odd_entries_do_not_hide_the_others(files: DirectoryFiles) -> None:
    wheel = make_wheel(files.root, "demo", "1.0")
    (files.root / "team").mkdir()
    inner = make_wheel(files.root / "team", "demo", "2.0")
    (files.root / "loop").symlink_to(files.root)
    (files.root / "team" / "loop").symlink_to(files.root / "team")
    (files.root / "self").symlink_to(files.root / "self")
    (files.root / "gone").symlink_to(files.root / "nowhere")
    os.mkfifo(files.root / "pipe")
    os.utime(wheel, (2**38, 2**38))
    assert sorted(stat.key for stat in files.list()) == [wheel.name, f"team/{inner.name}"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(Unavailable, match=r"The folder '.*packages' cannot be used: not a directory\."):
        DirectoryFiles(tmp_path / "data")


def test_a_folder_that_is_away_is_said(files: DirectoryFiles) -> None:
    shutil.rmtree(files.root)
    with pytest.raises(Unavailable, match=r"The folder of packages cannot be read: no such file or directory\."):
        files.check()
