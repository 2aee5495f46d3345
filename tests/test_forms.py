"""The forms of the pages: what they change, and that no page of another site can send them."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from elasticpypi import auth
from elasticpypi.wiring import Services
from tests.builders import make_sdist, make_wheel
from tests.conftest import PASSWORD, USER, Client, basic

USERS = {USER: PASSWORD}
BROWSER = {"Accept": "text/html"}


def send(client: Client, action: str, **fields: object) -> TestResponse:
    data = {"token": auth.form_token(USERS, USER), **fields}
    return client.request("POST", f"/manage/{action}", data=data, headers=BROWSER)


def choose(client: Client, *paths: Path, **fields: object) -> TestResponse:
    streams = [path.open("rb") for path in paths]
    try:
        parts = [(stream, path.name) for stream, path in zip(streams, paths, strict=True)]
        return send(client, "upload", content=parts, **fields)
    finally:
        for stream in streams:
            stream.close()


def files(client: Client) -> list[str]:
    return [file["filename"] for file in client.json("/simple/demo/")["files"]]  # type: ignore[attr-defined]


@pytest.fixture
def wheel(client: Client, tmp_path: Path) -> Path:
    path = make_wheel(tmp_path, "demo", "1.0")
    assert client.upload(path).status_code == 200
    return path


def test_files_that_were_chosen_are_uploaded(client: Client, tmp_path: Path) -> None:
    wheel, sdist = make_wheel(tmp_path, "demo", "1.0"), make_sdist(tmp_path, "demo", "1.0")
    answer = choose(client, wheel, sdist)
    assert (answer.status_code, answer.headers["Location"]) == (303, "../project/demo/")
    assert files(client) == [wheel.name, sdist.name]
    record = client.services.index.record("demo", wheel.name)  # type: ignore[arg-type]
    assert record is not None
    assert record.uploader == USER  # type: ignore[union-attr]


def test_a_script_gets_sentences(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    with wheel.open("rb") as content:
        data = {"token": auth.form_token(USERS, USER), "content": (content, wheel.name)}
        answer = client.request("POST", "/manage/upload", data=data, headers={"Accept": "application/json"})
    assert answer.get_json() == {"messages": [f"{wheel.name} is in the index."], "project": "demo"}


def test_what_cannot_be_uploaded(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    (tmp_path / "other").mkdir()
    other = make_wheel(tmp_path / "other", "demo", "1.0", files={"x": b"y"})
    answer = choose(client, wheel, other)
    assert answer.status_code == 409
    assert f"{wheel.name} is in the index. {other.name}: File already exists" in answer.text
    assert send(client, "upload").status_code == 400
    stray = tmp_path / "notes.txt"
    stray.write_text("no package")
    assert choose(client, stray).status_code == 400


def test_yank_and_take_it_back(client: Client, wheel: Path) -> None:
    answer = send(client, "yank", what="demo==1.0", reason="broken")
    assert (answer.status_code, answer.headers["Location"]) == (303, "../project/demo/")
    assert client.json("/simple/demo/")["files"][0]["yanked"] == "broken"  # type: ignore[index]
    assert send(client, "unyank", what=wheel.name).status_code == 303
    assert not client.json("/simple/demo/")["files"][0].get("yanked")  # type: ignore[index]


def test_a_deletion_is_confirmed_by_typing_the_name(client: Client, wheel: Path) -> None:
    for confirm in ({}, {"confirm": ""}, {"confirm": "demo"}):
        answer = send(client, "delete", what=wheel.name, **confirm)
        assert answer.status_code == 400
        assert f"Nothing was deleted: type '{wheel.name}' to confirm." in answer.text
    assert files(client) == [wheel.name]
    assert send(client, "delete", what=wheel.name, confirm=wheel.name).status_code == 303
    assert client.get("/simple/demo/").status_code == 404


def test_the_status_of_a_project(client: Client, wheel: Path) -> None:
    assert send(client, "status", project="Demo", status="archived", reason="over").status_code == 303
    assert client.json("/simple/demo/")["project-status"] == {"status": "archived", "reason": "over"}
    assert send(client, "status", project="demo", status="lost").status_code == 400
    assert send(client, "status", project="none", status="archived").status_code == 404


ACTIONS = "upload", "yank", "unyank", "delete", "status"


@pytest.mark.parametrize("action", ACTIONS)
def test_nothing_without_a_token_of_this_user(
    client: Client, action: str, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"what": wheel.name, "confirm": wheel.name, "project": "demo", "status": "archived"}
    others = {USER: "another password", "bob": PASSWORD}
    for token in ("", "x.y.z", auth.form_token(others, USER), auth.form_token(others, "bob")):
        assert send(client, action, token=token, **fields).status_code == 403
    old = auth.form_token(USERS, USER)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + auth.FORM_SECONDS + 2)
    answer = send(client, action, token=old, **fields)
    assert (answer.status_code, "load the page again" in answer.text) == (403, True)
    assert client.request("GET", f"/manage/{action}").status_code == 405
    assert files(client) == [wheel.name]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:81"},
    ],
)
def test_nothing_from_pages_of_other_sites(client: Client, wheel: Path, headers: dict[str, str]) -> None:
    data = {"token": auth.form_token(USERS, USER), "what": wheel.name, "confirm": wheel.name}
    answer = client.request("POST", "/manage/delete", data=data, headers=headers)
    assert answer.status_code == 403
    assert "other sites" in answer.text
    assert files(client) == [wheel.name]


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_our_own_pages_may(client: Client, wheel: Path, headers: dict[str, str]) -> None:
    data = {"token": auth.form_token(USERS, USER), "what": wheel.name, "confirm": wheel.name}
    assert client.request("POST", "/manage/delete", data=data, headers=headers).status_code == 303


def test_decisions_are_for_administrators(services: Services, tmp_path: Path) -> None:
    users = {USER: PASSWORD, "boss": "chief"}
    client = Client(replace(services, config=replace(services.config, users=users, admins=frozenset({"boss"}))))
    wheel = make_wheel(tmp_path, "demo", "1.0")
    assert choose(client, wheel).status_code == 303  # everybody may upload
    fields = {"what": wheel.name, "confirm": wheel.name, "project": "demo", "status": "archived"}
    for action in ("yank", "unyank", "delete", "status"):
        answer = send(client, action, **fields)
        assert (answer.status_code, "administrators" in answer.text) == (403, True)
        data = {"token": auth.form_token(users, "boss"), **fields}
        if action != "delete":
            headers = {"Authorization": basic("boss:chief")}
            assert client.request("POST", f"/manage/{action}", data=data, headers=headers).status_code == 303


def test_the_uploader_is_kept_with_the_bytes(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    client.upload(wheel)
    stat = client.services.files.stat(wheel.name)
    assert stat is not None
    if stat.uploader is None:
        pytest.skip("the file system of this machine keeps no attributes of files")
    assert stat.uploader == USER
