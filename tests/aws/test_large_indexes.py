"""Pages that are larger than what Lambda can send."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from urllib3.util import SKIP_HEADER

from elasticpypi.storage.aws.s3 import INLINE
from tests.support.builders import make_wheel
from tests.support.deployed import JSON, Index
from tests.support.filling import empty, fill
from tests.support.waiting import until

pytestmark = pytest.mark.aws

FILES = 10_000
# As large as that of 900,000 projects with ordinary names: letters without any sense can hardly be compressed.
NAMES = 11_000
LETTERS = 660


@pytest.fixture(scope="module")
def names(index: Index) -> Iterator[set[str]]:
    """What makes the root list too large, also for the other tests: it goes when those of this module are through."""
    chosen = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    names = {"x" + "".join(chosen.choices(letters, k=LETTERS)) for _ in range(NAMES)}
    client = index.aws.boto3("dynamodb")
    keys = fill(client, index.table, names=sorted(names))
    yield names
    empty(client, index.table, keys)


@pytest.fixture(scope="module")
def project(index: Index) -> Iterator[str]:
    """A project with 10,000 files, on no list."""
    client = index.aws.boto3("dynamodb")
    keys = fill(client, index.table, files=FILES, project="ten-thousand")
    yield "ten-thousand"
    empty(client, index.table, keys)


def test_a_root_list_comes_from_the_bucket(index: Index, names: set[str], tmp_path: Path) -> None:
    begun = time.time()

    def listed() -> set[str]:
        page = index.request("GET", "/simple/", headers=JSON)
        assert [each.status_code for each in (*page.history, page)] == [302, 200]
        assert page.headers["Content-Type"] == JSON["Accept"]
        assert len(page.content) > INLINE
        return {project["name"] for project in page.json()["projects"]}

    assert names <= listed()
    moved = index.request("GET", "/simple/", headers=JSON, allow_redirects=False)
    assert moved.headers["Cache-Control"] == "no-store"
    assert moved.headers["Location"].startswith(f"https://{index.bucket}.s3.us-east-1.amazonaws.com/.simple/")
    index.upload(make_wheel(tmp_path, "new-in-a-long-list", "1.0"))
    assert listed() >= names | {"new-in-a-long-list"}
    until(lambda: "ignored: .simple/" in index.log("sync", begun), "sync to have been told of the snapshot")


def test_its_other_forms_are_refused_with_the_remedy(index: Index, names: set[str]) -> None:
    html = index.request("GET", "/simple/", headers={"Accept": "text/html"})
    assert (html.status_code, JSON["Accept"] in html.text) == (406, True)
    plain = index.request("GET", "/simple/", headers={**JSON, "Accept-Encoding": "identity"})
    assert (plain.status_code, "Accept-Encoding: gzip" in plain.text) == (406, True)


@pytest.mark.parametrize(("accept", "mark"), [(JSON["Accept"], '"filename"'), ("text/html", "<a ")])
def test_a_page_of_ten_thousand_files(index: Index, project: str, accept: str, mark: str) -> None:
    for encoding in ("gzip", SKIP_HEADER):
        headers = {"Accept": accept, "Accept-Encoding": encoding}
        page = index.request("GET", f"/simple/{project}/", headers=headers)
        assert page.status_code == 200
        assert page.text.count(mark) == FILES
        again = index.request("GET", f"/simple/{project}/", headers={**headers, "If-None-Match": page.headers["ETag"]})
        assert again.status_code == 304
    plain = index.request("GET", f"/simple/{project}/", headers={"Accept": accept, "Accept-Encoding": "identity"})
    if len(page.content) > INLINE:
        assert (plain.status_code, "Accept-Encoding: gzip" in plain.text) == (406, True)
    else:
        assert (plain.status_code, plain.content) == (200, page.content)
