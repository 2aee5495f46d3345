"""Files around the limits of Lambda and API Gateway, in both directions."""

import hashlib
from pathlib import Path

import pytest
import requests

from elasticpypi.storage.aws.s3 import INLINE
from tests.support.builders import make_wheel
from tests.support.deployed import LINK_SECONDS, Index
from tests.support.waiting import until

pytestmark = pytest.mark.aws


def a_wheel(folder: Path, name: str, size: int) -> Path:
    """A wheel of ``size`` bytes, or up to 100 less."""

    def make(filler: int) -> Path:
        return make_wheel(folder, name, "1.0", files={"filler.bin": hashlib.shake_128(b"x").digest(filler)})

    around = make(size).stat().st_size - size
    wheel = make(size - around - 50)
    assert 0 <= size - wheel.stat().st_size <= 100
    return wheel


def test_an_upload_just_below_the_limit(index: Index, tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path, "just-below", 4_500_000)
    index.upload(wheel)
    assert index.files("just-below") == [wheel.name]
    assert _download(index, wheel).content == wheel.read_bytes()


@pytest.mark.parametrize("size", [5_000_000, 11_000_000])
def test_what_the_gateway_cannot_take_is_told_the_other_way(index: Index, tmp_path: Path, size: int) -> None:
    wheel = a_wheel(tmp_path, f"too-large-{size}", size)
    said = index.upload(wheel, fails=True)
    assert "413" in said
    assert f"s3://{index.bucket}/" in said
    assert index.files(f"too-large-{size}") == []


@pytest.mark.parametrize(("size", "statuses"), [(INLINE, [200]), (INLINE + 101, [302, 200])])
def test_a_download_on_either_side_of_the_limit(index: Index, tmp_path: Path, size: int, statuses: list[int]) -> None:
    wheel = a_wheel(tmp_path, f"around-{size}", size)
    index.put(wheel.name, wheel.read_bytes())
    until(lambda: index.files(f"around-{size}"), "the file on the page")
    answer = _download(index, wheel)
    assert [each.status_code for each in (*answer.history, answer)] == statuses
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(wheel.read_bytes()).digest()


def _download(index: Index, wheel: Path, **headers: str) -> requests.Response:
    return index.request("GET", f"/packages/{wheel.name}", headers=headers)


def test_the_link_to_a_large_file(index: Index, large_wheel: Path) -> None:
    answers = [index.request("GET", f"/packages/{large_wheel.name}", allow_redirects=False) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store", "no-store"]
    link, again = (answer.headers["Location"] for answer in answers)
    assert link == again
    assert link.startswith(f"https://{index.bucket}.s3.us-east-1.amazonaws.com/{large_wheel.name}?")
    assert f"X-Amz-Expires={2 * LINK_SECONDS}&" in link
    with index.aws.session() as session:
        assert session.get(link).content == large_wheel.read_bytes()
        assert session.get(link.replace("1.0", "1.1", 1)).status_code == 403


def test_head_of_a_large_file_is_no_redirect(index: Index, large_wheel: Path) -> None:
    answer = index.request("HEAD", f"/packages/{large_wheel.name}")
    assert (answer.status_code, answer.history) == (200, [])
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == f'"{hashlib.sha256(large_wheel.read_bytes()).hexdigest()}"'
    # What API Gateway makes of Content-Length; its own is that of the body, which a HEAD has not.
    assert answer.headers["x-amzn-Remapped-Content-Length"] == str(large_wheel.stat().st_size)


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("0-9", 0, 10), ("1000000-1000999", 1_000_000, 1_001_000), ("-500", -500, None), ("19000000-", 19_000_000, None)],
)
def test_a_part_of_a_large_file(index: Index, large_wheel: Path, wanted: str, start: int, stop: int | None) -> None:
    answer = _download(index, large_wheel, Range=f"bytes={wanted}")
    assert [each.status_code for each in (*answer.history, answer)] == [302, 206]
    assert answer.content == large_wheel.read_bytes()[start:stop]


def test_a_part_of_a_small_file(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "small-part", "1.0")
    index.upload(wheel)
    answer = _download(index, wheel, Range="bytes=-100")
    assert (answer.status_code, answer.content) == (206, wheel.read_bytes()[-100:])
    assert answer.headers["Content-Range"].endswith(f"/{wheel.stat().st_size}")
    assert _download(index, wheel, Range=f"bytes={wheel.stat().st_size}-").status_code == 416
