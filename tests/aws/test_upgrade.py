"""A deployment of version 1.0 becomes one of this version, while people use it."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.builders import make_wheel
from tests.support.deployed import JSON, Index, deploy, run_osls
from tests.support.local_aws import LocalAws
from tests.support.version_1_0 import checkout
from tests.support.waiting import until

pytestmark = pytest.mark.aws

PAUSE = 0.2  # seconds between two of the same requests


@pytest.fixture
def version_1_0(tmp_path: Path) -> Path:
    folder = checkout(tmp_path / "1.0")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    return folder


def test_an_update_has_no_pause(local_aws: LocalAws, version_1_0: Path, tmp_path: Path) -> None:
    before, after = make_wheel(tmp_path, "before", "1.0"), make_wheel(tmp_path, "after", "1.0")
    old = deploy(local_aws, "upgraded", project=version_1_0)
    old.upload(before)
    assert old.request("PUT", f"/packages/{before.name}.yanked", data=b"bad").status_code == 200
    assert old.request("GET", "/events").status_code == 404

    uploaded: list[Path] = []

    def read() -> None:
        for path in ("/simple/", "/simple/before/", f"/packages/{before.name}", "/health"):
            answer = old.request("GET", path, headers=JSON)
            assert answer.status_code == 200, (path, answer.status_code, answer.text)

    def upload() -> None:
        wheel = make_wheel(tmp_path, "during", f"1.{len(uploaded)}")
        old.upload(wheel)
        uploaded.append(wheel)
        assert old.request("PUT", f"/packages/{before.name}.yanked", data=b"worse").status_code == 200

    with Repeated(read) as reading, Repeated(upload) as uploading:
        new = deploy(local_aws, "upgraded")
        assert uploaded
    assert (reading.failures, uploading.failures) == ([], [])
    assert reading.count > 20

    assert (new.url, new.bucket, new.table) == (old.url, old.bucket, old.table)
    new.upload(after)
    assert set(new.files("during")) == {wheel.name for wheel in uploaded}
    for wheel in (before, after, *uploaded):
        assert new.request("GET", f"/packages/{wheel.name}").content == wheel.read_bytes()
    [file] = new.request("GET", "/simple/before/", headers=JSON).json()["files"]
    assert file["yanked"].startswith("worse")  # 1.0 may have added who did it, until the next audit
    told_of(new, after)
    run_osls("remove", local_aws, "upgraded")


def told_of(index: Index, wheel: Path) -> None:
    [event] = [event for event in index.recorded() if event.get("filename") == wheel.name]
    assert event["type"] == "file.uploaded"
    until(lambda: event in index.request("GET", "/events?project=after").json()["events"], "the event to be shown")


class Repeated:
    """Does something again and again in a thread until the end of the block: how often, and what failed."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action, self._end = action, threading.Event()
        self.count, self.failures = 0, list[Exception | AssertionError]()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Repeated":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(PAUSE):
            try:
                self._action()
            except (AssertionError, OSError) as error:
                self.failures.append(error)
            self.count += 1
