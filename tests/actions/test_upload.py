"""Uploads over HTTP: what is stored, what is refused, who wins."""

import errno
import gzip
import hashlib
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.indexing import sync
from elasticpypi.services import Services
from elasticpypi.storage.local.directory import DirectoryFiles
from tests.support.application import Client
from tests.support.builders import make_sdist, make_wheel, upload_form
from tests.support.store import Meanwhile, stored


def meanwhile(client: Client, method: str, *changes: Callable[[], object]) -> Client:
    """A client whose next calls of one method of the store are followed by what others do."""
    files: Any = Meanwhile(client.services.files, method, *changes)
    return Client(replace(client.services, files=files))


@pytest.mark.req("REQ-101", "REQ-103", "REQ-125", "REQ-126")
@pytest.mark.parametrize("url", ["/", "/legacy", "/legacy/", "/simple", "/simple/"])
def test_an_upload_is_stored_and_visible_at_once(client: Client, tmp_path: Path, url: str) -> None:
    wheel, sdist = make_wheel(tmp_path, "Demo-B", "1.0"), make_sdist(tmp_path, "Demo-B", "1.0")
    for path in (wheel, sdist):
        response = client.upload(path, url)
        assert (response.status_code, response.text) == (200, f"{path.name} is in the index.\n")
    assert stored(client.services) == {path.name: path.read_bytes() for path in (wheel, sdist)}
    page: Any = client.json("/simple/demo-b/")
    assert {file["filename"]: file["hashes"]["sha256"] for file in page["files"]} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, sdist)
    }
    assert client.json("/simple/")["projects"] == [{"name": "demo-b"}]


@pytest.mark.req("REQ-112")
def test_the_same_file_again_changes_nothing(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    client.upload(path)
    before = stored(client.services), client.json("/simple/demo/")
    response = client.upload(path)
    assert (response.status_code, response.text) == (200, f"{path.name} is in the index already.\n")
    assert (stored(client.services), client.json("/simple/demo/")) == before


@pytest.mark.req("REQ-48", "REQ-113", "REQ-118")
def test_other_bytes_under_a_name_are_refused(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    client.upload(path)
    before = stored(client.services), client.json("/simple/demo/")
    response = client.upload(make_wheel(tmp_path, "demo", "1.0", summary="other"))
    assert response.status_code == 409
    assert "already exist" in response.text
    assert "was ever registered" not in response.text
    assert (stored(client.services), client.json("/simple/demo/")) == before


def test_overwrite_replaces(overwriting: Client, tmp_path: Path) -> None:
    overwriting.upload(make_wheel(tmp_path, "demo", "1.0"))
    path = make_wheel(tmp_path, "demo", "1.0", summary="other")
    assert overwriting.upload(path).status_code == 200
    assert stored(overwriting.services) == {path.name: path.read_bytes()}
    page: Any = overwriting.json("/simple/demo/")
    assert page["files"][0]["hashes"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.req("REQ-116")
def test_another_spelling_of_a_file_is_refused(client: Client, tmp_path: Path) -> None:
    client.upload(make_wheel(tmp_path, "demo_b", "1.0"))
    response = client.upload(make_wheel(tmp_path, "Demo.B", "1.0.0"))
    assert response.status_code == 409
    assert "already exists as 'demo_b-1.0-py3-none-any.whl'" in response.text
    assert list(stored(client.services)) == ["demo_b-1.0-py3-none-any.whl"]


def test_a_file_that_was_put_directly_is_respected(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    data = path.read_bytes()
    client.services.files.save(path.name, io.BytesIO(data), hashlib.sha256(data).hexdigest())
    other = make_wheel(tmp_path, "demo", "1.0", summary="other")
    assert client.upload(other).status_code == 409
    path.write_bytes(data)
    assert client.upload(path).status_code == 200
    assert [file.filename for file in client.services.index.project("demo").files] == [path.name]  # type: ignore[arg-type,union-attr]


def test_a_file_that_was_just_removed_can_be_uploaded_again(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    client.upload(path)
    client.services.files.delete(path.name)  # the event of it is still on its way
    response = client.upload(path)
    assert (response.status_code, response.text) == (200, f"{path.name} is in the index.\n")
    assert stored(client.services) == {path.name: path.read_bytes()}
    assert client.get(f"/packages/{path.name}").data == path.read_bytes()


@pytest.mark.parametrize("folder", ["", "team/"])
def test_a_file_that_was_just_replaced_is_not_taken_for_the_old_one(
    client: Client, tmp_path: Path, folder: str
) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    uploaded = path.read_bytes()
    other = make_wheel(tmp_path, "demo", "1.0", summary="other").read_bytes()
    files, index = client.services.files, client.services.index
    files.save(f"{folder}{path.name}", io.BytesIO(uploaded), hashlib.sha256(uploaded).hexdigest())
    sync.sync(files, index, f"{folder}{path.name}")
    files.save(f"{folder}{path.name}", io.BytesIO(other), hashlib.sha256(other).hexdigest(), overwrite=True)
    path.write_bytes(uploaded)
    assert client.upload(path).status_code == 409
    assert stored(client.services) == {f"{folder}{path.name}": other}
    assert client.get(f"/packages/{path.name}").data == other


def test_what_another_was_told_of_is_not_withdrawn(client: Client, tmp_path: Path) -> None:
    """Two upload the same file at the same moment; one has its answer when the project is archived."""
    path = make_wheel(tmp_path, "demo", "1.0")

    def another() -> None:
        assert client.upload(path).status_code == 200
        assert client.request("PUT", "/packages/demo.status", data=b"archived").status_code == 200

    assert meanwhile(client, "save", another).upload(path).status_code == 200
    assert client.get(f"/packages/{path.name}").data == path.read_bytes()


def test_what_another_withdraws_is_not_said_to_be_there(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    data = path.read_bytes()
    client.services.files.save(path.name, io.BytesIO(data), hashlib.sha256(data).hexdigest())
    # The other upload of the same file takes it away when this one has seen it.
    late = meanwhile(client, "stat", lambda: client.services.files.delete(path.name))
    response = late.upload(path)
    assert (response.status_code, "upload it again" in response.text) == (503, True)
    assert client.upload(path).status_code == 200


def test_overwriting_at_once_ends_with_what_is_stored(overwriting: Client, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    paths = []
    for folder in (first, second):
        folder.mkdir()
        paths.append(make_wheel(folder, "demo", "1.0", summary=folder.name))
    # The second upload happens, whole, after our bytes are stored and before our record is written.
    first_client = meanwhile(overwriting, "save", lambda: overwriting.upload(paths[1]))
    assert first_client.upload(paths[0]).status_code == 200
    page: Any = overwriting.json("/simple/demo/")
    [content] = stored(overwriting.services).values()
    assert content == paths[1].read_bytes()
    assert page["files"][0]["hashes"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_pages_of_other_sites_change_nothing(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    for site, code in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        with path.open("rb") as content:
            form = {**upload_form(path), "content": (content, path.name)}
            response = client.request("POST", "/legacy/", data=form, headers={"Sec-Fetch-Site": site})
        assert response.status_code == code
        assert client.get("/simple/", headers={"Sec-Fetch-Site": site}).status_code == 200
        assert bool(stored(client.services)) is (code == 200)


@pytest.mark.req("REQ-115")
def test_of_simultaneous_uploads_one_wins(tmp_path: Path, services: Services) -> None:
    clients = [Client(services) for _ in range(4)]
    paths = []
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths.append(make_wheel(folder, "demo", "1.0", summary=str(number)))
    # The emulated table cannot take two calls at once; there the uploads meet in the bucket alone.
    local = isinstance(services.files, DirectoryFiles)
    start = threading.Barrier(4)
    turn = threading.Lock()

    def upload(number: int) -> int:
        if local:
            start.wait()
            return clients[number].upload(paths[number]).status_code
        with turn:
            return clients[number].upload(paths[number]).status_code

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(upload, range(4)))
    assert sorted(codes) == [200, 409, 409, 409]
    winner = paths[codes.index(200)]
    assert stored(services) == {winner.name: winner.read_bytes()}
    [file] = services.index.project("demo").files  # type: ignore[arg-type,union-attr]
    assert file.sha256 == hashlib.sha256(winner.read_bytes()).hexdigest()


@pytest.mark.req("REQ-115", "REQ-116")
def test_two_spellings_at_once_never_both_get_in(tmp_path: Path, services: Services) -> None:
    one, two = make_wheel(tmp_path, "demo_b", "1.0"), make_wheel(tmp_path, "Demo.B", "1.0")
    real = services.files.save
    other = Client(services)
    codes = []

    class Files:
        """The other spelling is uploaded, whole, between our first check and our write."""

        def __getattr__(self, name: str) -> Any:
            return getattr(services.files, name)

        def save(self, *arguments: Any, **options: Any) -> Any:
            codes.append(other.upload(two).status_code)
            return real(*arguments, **options)

    late = Client(replace(services, files=Files()))  # type: ignore[arg-type]
    response = late.upload(one)
    assert (codes, response.status_code) == ([200], 409)
    assert "the two names mean the same file" in response.text
    assert list(stored(services)) == [two.name]
    assert [file.filename for file in services.index.project("demo-b").files] == [two.name]  # type: ignore[arg-type,union-attr]


@pytest.mark.req("REQ-52")
@pytest.mark.parametrize(
    ("status", "code"), [("active", 200), ("deprecated", 200), ("archived", 403), ("quarantined", 403)]
)
def test_project_status_decides_on_uploads(client: Client, tmp_path: Path, status: str, code: int) -> None:
    put_key(client.services, "demo.status", f"{status}\nwhy".encode())
    assert client.upload(make_wheel(tmp_path, "demo", "1.0")).status_code == code


@pytest.mark.req("REQ-117")
def test_the_name_of_a_deleted_file_stays_its_own(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    put_key(client.services, f"{path.name}.deleted", hashlib.sha256(path.read_bytes()).hexdigest().encode())
    other = tmp_path / "other"
    other.mkdir()
    for name in ("demo", "Demo"):  # in any spelling
        response = client.upload(make_wheel(other, name, "1.0", summary="other"))
        assert response.status_code == 409
        assert "was deleted" in response.text
        assert "already exist" not in response.text
    assert client.upload(path).status_code == 200


def put_key(services: Services, key: str, data: bytes) -> None:
    from elasticpypi.indexing import sync

    services.files.save(key, io.BytesIO(data), hashlib.sha256(data).hexdigest())
    sync.sync(services.files, services.index, key)


KINDS = (
    "no body",
    "json",
    "urlencoded",
    "no content",
    "content as text",
    "content as text too",
    "content without name",
    "two contents",
    "name as file",
    "name twice",
    "empty file",
    "other bytes",
    "path in name",
    "windows path",
    "wrong boundary",
    "no boundary",
    "line feeds only",
    "compressed",
    "latin-1 name",
    "truncated",
)


def bodies(path: Path) -> dict[str, dict[str, Any]]:
    """Requests that no client should send, and some that a broken network makes."""
    good = {**upload_form(path)}
    data = path.read_bytes()
    return {
        "no body": {},
        "json": {"json": {"content": "x"}},
        "urlencoded": {"data": b"content=text", "content_type": "application/x-www-form-urlencoded"},
        "no content": {"data": {**good, "other": (io.BytesIO(data), path.name)}},
        "content as text": {"data": {**good, "content": "x", "gpg_signature": (io.BytesIO(b"x"), "x.asc")}},
        "content as text too": {
            "data": {**good, "content": ["x", (io.BytesIO(data), path.name)]},
        },
        "content without name": {"data": {**good, "content": (io.BytesIO(data), "")}},
        "two contents": {"data": {**good, "content": [(io.BytesIO(data), path.name), (io.BytesIO(data), path.name)]}},
        "name as file": {
            "data": {
                **{k: v for k, v in good.items() if k != "name"},
                "name": (io.BytesIO(b"demo"), "name"),
                "content": (io.BytesIO(data), path.name),
            }
        },
        "name twice": {"data": {**good, "name": ["demo", "demo"], "content": (io.BytesIO(data), path.name)}},
        "empty file": {"data": {**good, "content": (io.BytesIO(b""), path.name)}},
        "other bytes": {"data": {**good, "content": (io.BytesIO(data[:-1]), path.name)}},
        "path in name": {"data": {**good, "content": (io.BytesIO(data), f"../{path.name}")}},
        "windows path": {"data": {**good, "content": (io.BytesIO(data), f"C:\\{path.name}")}},
        "wrong boundary": {
            "data": b"--right\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--right--\r\n",
            "content_type": "multipart/form-data; boundary=wrong",
        },
        "no boundary": {"data": b"x", "content_type": "multipart/form-data"},
        "line feeds only": {
            "data": b'--b\nContent-Disposition: form-data; name="content"; filename="x"\n\nx\n--b--\n',
            "content_type": "multipart/form-data; boundary=b",
        },
        "compressed": {
            "data": gzip.compress(b"--b--"),
            "content_type": "multipart/form-data; boundary=b",
            "headers": {"Content-Encoding": "gzip"},
        },
        "latin-1 name": {
            "data": b'--b\r\nContent-Disposition: form-data; name="content"; filename="d\xe9mo-1.0.tar.gz"'
            b"\r\n\r\nx\r\n--b--\r\n",
            "content_type": "multipart/form-data; boundary=b",
        },
        "truncated": {
            "data": b'--b\r\nContent-Disposition: form-data; name="content"; filename="x-1.0.tar.gz"\r\n\r\nxyz',
            "content_type": "multipart/form-data; boundary=b",
        },
    }


@pytest.mark.req("REQ-111", "REQ-119", "REQ-121", "REQ-128", "REQ-129")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_upload_is_a_400_and_changes_nothing(client: Client, tmp_path: Path, kind: str) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    requests = bodies(path)
    assert set(requests) == set(KINDS)
    response = client.request("POST", "/legacy/", **requests[kind])
    assert response.status_code == 400, response.text
    assert response.mimetype == "text/plain"
    assert response.text.count("\n") == 1
    assert len(response.text) < 502
    assert "<" not in response.text
    assert stored(client.services) == {}
    assert client.services.index.projects()[1] == []


@pytest.mark.req("REQ-128")
def test_a_client_that_hangs_up(client: Client) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="content"; filename="x-1.0.tar.gz"\r\n\r\nxyz'
    response = client.request(
        "POST",
        "/legacy/",
        input_stream=io.BytesIO(body),
        environ_overrides={"CONTENT_LENGTH": "100000"},
        content_type="multipart/form-data; boundary=b",
    )
    assert response.status_code == 400
    assert stored(client.services) == {}


@pytest.mark.req("REQ-134")
def test_today_s_spelling_can_be_demanded(services: Services, tmp_path: Path) -> None:
    strict = Client(replace(services, config=replace(services.config, strict_names=True)))
    for name, version, expected in (
        ("Demo.B", "1.0", "demo_b-1.0-py3-none-any.whl"),
        ("demo_b", "01.0", "demo_b-1.0-py3-none-any.whl"),
    ):
        path = make_wheel(tmp_path, name, version)
        response = strict.upload(path)
        assert response.status_code == 400
        assert response.text == f"{path.name!r} must be spelled {expected!r}: build it with a current build tool.\n"
    assert strict.upload(make_wheel(tmp_path, "demo_b", "1!1.0+x.1", build="1")).status_code == 200
    assert strict.upload(make_sdist(tmp_path, "Demo.B", "1!1.0+x.1")).status_code == 200


@pytest.mark.req("REQ-110", "REQ-123")
def test_what_is_taken_with_a_warning(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0", core=b"Metadata-Version: 2.9\nName: demo\nVersion: 1.0\n")
    response = client.upload(path, attestations='[{"version": 1}]')
    assert response.status_code == 200
    assert response.text == (
        f"{path.name} is in the index. The attestations were not kept: this index does not support them. "
        "Metadata-Version 2.9 is newer than this index knows.\n"
    )


@pytest.mark.req("REQ-119", "REQ-120")
def test_refusals_are_json_for_those_who_ask(client: Client) -> None:
    accept = {"Accept": "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7"}  # uv
    response = client.request("POST", "/legacy/", headers=accept)
    assert response.headers["Content-Type"] == "application/json"
    said = response.get_json()
    assert said["code"] == f"400 {said['message']}"
    assert said["title"] == "Bad Request"
    assert said["message"] in response.status


@pytest.mark.req("REQ-127")
def test_large_forms_pass(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    form: dict[str, Any] = {**upload_form(path), "description": "x" * 3_000_000, "classifiers": ["a"] * 5000}
    response = client.request("POST", "/legacy/", data={**form, "content": (io.BytesIO(path.read_bytes()), path.name)})
    assert response.status_code == 200


@pytest.mark.req("REQ-122")
def test_what_is_too_large_is_refused_before_it_is_read(services: Services) -> None:
    small = Client(replace(services, config=replace(services.config, max_upload=1)))
    body = io.BytesIO(b"x")
    response = small.request(
        "POST",
        "/legacy/",
        input_stream=body,
        environ_overrides={"CONTENT_LENGTH": str(10**12)},
        content_type="multipart/form-data; boundary=b",
    )
    assert response.status_code == 413
    assert response.text == "The upload is larger than this index takes (MAX_UPLOAD).\n"
    assert body.tell() == 0


def test_a_full_disk_is_said(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/secret/path")

    monkeypatch.setattr(client.services.files, "save", full)
    response = client.upload(make_wheel(tmp_path, "demo", "1.0"))
    assert response.status_code == 503
    assert response.text == "The index cannot store anything now: no space left on device.\n"


def test_a_file_over_the_limit_is_refused_with_the_limit(services: Services, tmp_path: Path) -> None:
    small = Client(replace(services, config=replace(services.config, max_upload=1024 * 1024)))
    noise = hashlib.shake_128(b"x").digest(1024 * 1024)
    path = make_wheel(tmp_path, "demo", "1.0", files={"noise.bin": noise})
    response = small.upload(path)
    assert response.status_code == 413
    assert response.text == f"{path.name} is larger than the 1 MB that this index takes (MAX_UPLOAD).\n"
    assert stored(services) == {}


@pytest.mark.req("REQ-102")
def test_there_is_nothing_to_get_at_upload_addresses(client: Client) -> None:
    for path in ("/legacy", "/legacy/"):
        response = client.get(path)
        assert response.status_code == 405
        assert set(response.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
        assert response.text == "GET is not possible here.\n"
    assert client.request("PUT", "/legacy/").status_code == 405


@pytest.mark.req("REQ-82")
def test_uploads_need_a_user(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    with path.open("rb") as content:
        response = client.request(
            "POST", "/legacy/", user=None, data={**upload_form(path), "content": (content, path.name)}
        )
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="elasticpypi", charset="UTF-8"'
    assert stored(client.services) == {}
