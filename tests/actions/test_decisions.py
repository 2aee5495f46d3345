"""Decisions: over HTTP for administrators, and as functions; they live in the store and survive a rebuild."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.keys import unsign
from elasticpypi.indexing import sync
from elasticpypi.services import Services
from tests.support.application import USER, Client
from tests.support.builders import make_sdist, make_wheel
from tests.support.store import rebuild, stored
from tests.support.waiting import until


def signed(services: Services, key: str) -> tuple[str, str | None]:
    """The text of a decision, and who signed it."""
    text, by, at = unsign(stored(services)[key].decode())
    assert at is not None
    assert abs(datetime.fromisoformat(at) - datetime.now(UTC)) < timedelta(minutes=5)
    return text, by


@pytest.fixture
def wheel(client: Client, tmp_path: Path) -> Path:
    path = make_wheel(tmp_path, "demo", "1.0+local")
    assert client.upload(path).status_code == 200
    return path


def yanked(client: Client) -> list[Any]:
    page: Any = client.json("/simple/demo/")
    return [file["yanked"] for file in page["files"]]


@pytest.mark.req("REQ-45", "REQ-46")
def test_yank_and_back(client: Client, wheel: Path) -> None:
    url = f"/packages/{wheel.name}.yanked"
    tag = client.get("/simple/demo/").headers["ETag"]
    response = client.request("PUT", url, data=b'bad "b"\n<i>&')
    assert (response.status_code, response.text) == (200, f"{wheel.name} is yanked.\n")
    assert yanked(client) == ['bad "b" <i>&']
    assert client.get("/simple/demo/").headers["ETag"] != tag
    assert client.get(f"/packages/{wheel.name}").data == wheel.read_bytes()
    assert signed(client.services, f"{wheel.name}.yanked") == ('bad "b" <i>&', USER)
    rebuild(client.services)
    assert yanked(client) == ['bad "b" <i>&']
    assert client.request("PUT", url).status_code == 200
    assert yanked(client) == [True]
    assert client.request("DELETE", url).text == f"{wheel.name} is not yanked.\n"
    assert client.request("DELETE", url).status_code == 200
    assert yanked(client) == [False]
    assert list(stored(client.services)) == [wheel.name]


@pytest.mark.req("REQ-117")
def test_a_deleted_file_is_gone_and_its_name_is_kept(client: Client, wheel: Path, tmp_path: Path) -> None:
    client.request("PUT", f"/packages/{wheel.name}.yanked", data=b"bad")
    response = client.request("DELETE", f"/packages/{wheel.name}")
    assert (response.status_code, response.text) == (200, f"{wheel.name} is deleted.\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert list(stored(client.services)) == [f"{wheel.name}.deleted"]
    assert signed(client.services, f"{wheel.name}.deleted") == (digest, USER)
    for path in ("/simple/demo/", f"/packages/{wheel.name}", f"/packages/{wheel.name}.metadata"):
        assert client.get(path).status_code == 404
    assert client.json("/simple/")["projects"] == []
    assert client.request("DELETE", f"/packages/{wheel.name}").status_code == 404
    rebuild(client.services)
    other = tmp_path / "other"
    other.mkdir()
    refused = client.upload(make_wheel(other, "demo", "1.0+local", summary="other"))
    assert (refused.status_code, "was deleted" in refused.text) == (409, True)
    assert client.upload(wheel).status_code == 200
    assert client.get(f"/packages/{wheel.name}").data == wheel.read_bytes()


def test_delete_takes_every_key_of_the_file_name(client: Client, wheel: Path) -> None:
    with wheel.open("rb") as content:
        client.services.files.save(f"team/{wheel.name}", content, hashlib.sha256(wheel.read_bytes()).hexdigest())
    sync.sync(client.services.files, client.services.index, f"team/{wheel.name}")
    assert client.request("DELETE", f"/packages/{wheel.name}").status_code == 200
    assert client.get(f"/packages/{wheel.name}").status_code == 404
    assert set(stored(client.services)) == {f"{wheel.name}.deleted", f"team/{wheel.name}.deleted"}


@pytest.mark.req("REQ-51", "REQ-52")
@pytest.mark.parametrize(
    ("status", "files", "upload"),
    [("archived", 1, 403), ("deprecated", 1, 200), ("quarantined", 0, 403), ("active", 1, 200)],
)
def test_project_status(client: Client, wheel: Path, tmp_path: Path, status: str, files: int, upload: int) -> None:
    response = client.request("PUT", "/packages/demo.status", data=f"{status}\nsee demo2".encode())
    assert (response.status_code, response.text) == (200, f"demo is {status}.\n")
    rebuild(client.services)
    page: Any = client.json("/simple/demo/")
    assert len(page["files"]) == files
    assert page.get("project-status") == (None if status == "active" else {"status": status, "reason": "see demo2"})
    assert client.upload(make_sdist(tmp_path, "demo", "2.0")).status_code == upload
    assert client.get(f"/packages/{wheel.name}").status_code == (200 if files else 404)
    assert client.request("DELETE", "/packages/demo.status").text == "demo is active.\n"
    assert "project-status" not in client.json("/simple/demo/")
    assert client.get(f"/packages/{wheel.name}").status_code == 200


def test_a_file_that_cannot_be_deleted_is_not_listed_until_it_can(
    client: Client, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(key: str) -> None:
        raise Unavailable("The bucket cannot be used now (SlowDown).")

    stored_at = client.services.files.stat(wheel.name).modified  # type: ignore[union-attr]
    until(lambda: time.time() > stored_at.timestamp() + 1)  # S3 knows whole seconds
    monkeypatch.setattr(client.services.files, "delete", unavailable)
    assert client.request("DELETE", f"/packages/{wheel.name}").status_code == 503
    monkeypatch.undo()
    assert client.get(f"/packages/{wheel.name}").status_code == 404
    assert client.request("DELETE", f"/packages/{wheel.name}").status_code == 200
    assert list(stored(client.services)) == [f"{wheel.name}.deleted"]


def test_a_deletion_that_was_broken_off_can_be_finished(client: Client, wheel: Path) -> None:
    """The process ended after the record was removed, and before the file was."""
    [file] = client.services.index.project(NormalizedName("demo")).files  # type: ignore[union-attr]
    client.services.index.remove(file.project, file.key)
    assert client.request("DELETE", f"/packages/{wheel.name}").status_code == 200
    assert list(stored(client.services)) == [f"{wheel.name}.deleted"]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.req("REQ-117")
@pytest.mark.parametrize("folder", ["", "team/"])
def test_a_deletion_that_was_broken_off_anywhere_can_be_finished(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """Whatever was written last, the file is on no page, and to delete it again removes what is left, its yank too."""
    client, writes = Client(services), 0
    for last in range(20):
        path = make_wheel(tmp_path, f"demo{last}", "1.0")
        key = f"{folder}{path.name}"
        with path.open("rb") as content:
            services.files.save(key, content, hashlib.sha256(path.read_bytes()).hexdigest())
        sync.sync(services.files, services.index, key)
        assert client.request("PUT", f"/packages/{path.name}.yanked", data=b"bad").status_code == 200
        writes = 0

        def until_killed(real: Callable[..., Any], last: int) -> Callable[..., Any]:
            def write(*asked: Any, **options: Any) -> Any:
                nonlocal writes
                if writes == last:
                    raise Killed
                writes += 1
                return real(*asked, **options)

            return write

        with monkeypatch.context() as patch:
            for part, name in ((services.files, "save"), (services.files, "delete")):
                patch.setattr(part, name, until_killed(getattr(part, name), last))
            for name in ("put", "remove"):
                patch.setattr(services.index, name, until_killed(getattr(services.index, name), last))
            try:
                assert client.request("DELETE", f"/packages/{path.name}").status_code == 200
                break
            except Killed:
                pass
        list(sync.sync_all(services.files, services.index, [key, f"{key}.deleted", f"{key}.yanked"]))
        left = {stat.key for stat in services.files.list() if path.name in stat.key}
        assert client.get(f"/packages/{path.name}").status_code == (404 if f"{key}.deleted" in left else 200)
        again = client.request("DELETE", f"/packages/{path.name}")
        assert again.status_code == (404 if left == {f"{key}.deleted"} else 200)
        assert [stat.key for stat in services.files.list() if path.name in stat.key] == [f"{key}.deleted"]
        assert client.request("DELETE", f"/packages/{path.name}").status_code == 404
    assert 5 <= writes < 20


def test_a_file_of_a_quarantined_project_can_be_deleted(client: Client, wheel: Path) -> None:
    client.request("PUT", "/packages/demo.status", data=b"quarantined")
    assert client.request("DELETE", f"/packages/{wheel.name}").status_code == 200
    assert wheel.name not in stored(client.services)


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "sentence"),
    [
        ("PUT", "/packages/demo-9.0.tar.gz.yanked", b"", 404, "There is no file 'demo-9.0.tar.gz' in this index."),
        ("DELETE", "/packages/demo-9.0.tar.gz", b"", 404, "There is no file 'demo-9.0.tar.gz' in this index."),
        ("DELETE", "/packages/README.md", b"", 404, "There is no file 'README.md' in this index."),
        ("PUT", "/packages/demo-9.0.tar.gz", b"", 400, "Only <file name>.yanked and <project>.status can be put here"),
        ("PUT", "/packages/other.status", b"archived", 404, "There is no project 'other' in this index."),
        ("PUT", "/packages/-.status", b"archived", 400, "'-' is not a project name"),
        (
            "PUT",
            "/packages/demo.status",
            b"gone",
            400,
            "A project is active, archived, quarantined, deprecated; 'gone'",
        ),
        ("PUT", "/packages/demo.status", b"\xff", 400, "The text is not UTF-8."),
        ("PUT", "/packages/demo.status", b"x" * 5000, 413, "A decision has at most 4096 bytes."),
        ("PUT", "/packages/demo.status", b"archived\n" + b"x" * 2000, 400, "A reason is a line of at most 1000"),
        ("PUT", "/packages/demo.status", b"archived\n\x1b[31mred", 400, "A reason is a line of at most 1000"),
    ],
)
def test_what_cannot_be_decided(
    client: Client, wheel: Path, method: str, path: str, body: bytes, code: int, sentence: str
) -> None:
    before = stored(client.services)
    response = client.request(method, path, data=body)
    assert (response.status_code, response.text.startswith(sentence)) == (code, True), response.text
    assert stored(client.services) == before


@pytest.mark.req("REQ-83")
def test_only_administrators_decide(services: Services, tmp_path: Path) -> None:
    users = {USER: services.config.users[USER], "bob": "secret"}
    client = Client(replace(services, config=replace(services.config, users=users, admins=frozenset(["bob"]))))
    path = make_wheel(tmp_path, "demo", "1.0")
    client.upload(path)
    calls: list[Callable[..., Any]] = [
        lambda **who: client.request("PUT", f"/packages/{path.name}.yanked", **who),
        lambda **who: client.request("DELETE", f"/packages/{path.name}.yanked", **who),
        lambda **who: client.request("PUT", "/packages/demo.status", data=b"archived", **who),
        lambda **who: client.request("DELETE", "/packages/demo.status", **who),
        lambda **who: client.request("DELETE", f"/packages/{path.name}", **who),
    ]
    for call in calls:
        before = stored(services)
        response = call()
        assert response.status_code == 403
        assert response.text == "The user 'alice' may not do this: it is for the administrators of this index.\n"
        assert call(user=None).status_code == 401
        assert stored(services) == before
        assert call(user="bob:secret").status_code == 200
