"""Core metadata of wheels whose index announces none: exactly those of the wheel, or none at all."""

import errno
import hashlib
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.upstream import UpstreamFile
from elasticpypi.storage.local.upstream import FolderUpstream, Incoming
from elasticpypi.upstream.metadata import take
from tests.support.builders import make_sdist, make_wheel

CORE = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: six\n\nText.\n"


@pytest.fixture
def store(tmp_path: Path) -> FolderUpstream:
    return FolderUpstream(tmp_path / "data")


def kept(store: FolderUpstream, content: bytes, filename: str) -> UpstreamFile:
    digest = hashlib.sha256(content).hexdigest()
    incoming = store.begin(digest)
    assert incoming is not None
    incoming.write(content)
    incoming.keep()
    return UpstreamFile(filename, NormalizedName("demo"), "1.0", len(content), digest, "", digest)


def test_they_are_kept_byte_for_byte(store: FolderUpstream, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0", core=CORE)
    file = kept(store, wheel.read_bytes(), wheel.name)
    for _ in range(2):
        digest = take(store, file)
        assert digest == hashlib.sha256(CORE).hexdigest()
        content = store.open(digest)
        assert content is not None
        with content:
            assert content.read() == CORE


def test_of_what_is_no_wheel_or_not_kept_there_are_none(store: FolderUpstream, tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, "demo", "1.0")
    assert take(store, kept(store, sdist.read_bytes(), sdist.name)) is None
    name = "demo-1.0-py3-none-any.whl"
    assert take(store, kept(store, b"no zip file", name)) is None
    other = make_wheel(tmp_path, "demo", "1.0", core=CORE.replace(b"1.0", b"2.0"))
    assert take(store, kept(store, other.read_bytes(), name)) is None
    gone = kept(store, CORE, name)
    store.tidy(0)
    assert take(store, gone) is None


def test_what_cannot_be_written_leaves_nothing_half(
    store: FolderUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0", core=CORE)
    file = kept(store, wheel.read_bytes(), wheel.name)

    def full(incoming: Incoming, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Incoming, "write", full)
        with pytest.raises(OSError, match="No space"):
            take(store, file)
    assert take(store, file)
