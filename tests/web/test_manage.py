"""The forms of the pages: what they change, and that no page of another site can send them."""

import re
import time
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from werkzeug.test import TestResponse

from elasticpypi.accounts import form_tokens
from elasticpypi.accounts.form_tokens import FormTokens
from elasticpypi.core.distribution import sha256_of
from elasticpypi.indexing import sync
from elasticpypi.services import Services
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.aws.staging import S3Staging
from elasticpypi.storage.local.directory import DirectoryFiles
from tests.support.application import PASSWORD, USER, Client, basic
from tests.support.builders import make_sdist, make_wheel
from tests.support.moto_aws import BUCKET
from tests.support.showcase import ATTACKS
from tests.support.tags import Tags, harmless

USERS = {USER: PASSWORD}
BROWSER = {"Accept": "text/html,*/*;q=0.8"}
OURS = frozenset({"meta", "link", "script", "svg", "form"})


def send(client: Client, action: str, **fields: object) -> TestResponse:
    data = {"token": client.services.form_tokens.make(USER), **fields}
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
    assert (answer.status_code, answer.headers["Location"]) == (303, "../project/demo/1.0/")
    assert files(client) == [wheel.name, sdist.name]
    record = client.services.index.record("demo", wheel.name)  # type: ignore[arg-type]
    assert record is not None
    assert record.uploader == USER  # type: ignore[union-attr]


def test_a_script_gets_sentences(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    with wheel.open("rb") as content:
        data = {"token": client.services.form_tokens.make(USER), "content": (content, wheel.name)}
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
    assert (answer.status_code, answer.headers["Location"]) == (303, "../project/demo/1.0/")
    assert client.json("/simple/demo/")["files"][0]["yanked"] == "broken"  # type: ignore[index]
    assert send(client, "unyank", what=wheel.name).status_code == 303
    assert not client.json("/simple/demo/")["files"][0].get("yanked")  # type: ignore[index]


def test_a_deletion_is_confirmed_by_typing_the_name(client: Client, wheel: Path) -> None:
    for confirm in ({}, {"confirm": ""}, {"confirm": "demo"}):
        answer = send(client, "delete", what=wheel.name, **confirm)
        assert answer.status_code == 400
        assert f"Nothing was deleted: type '{wheel.name}' to confirm." in unescape(answer.text)
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
    client: Client, action: str, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"what": wheel.name, "confirm": wheel.name, "project": "demo", "status": "archived"}
    elsewhere = FormTokens(DirectoryFiles(tmp_path / "another"))  # whose secret is another one
    for token in ("", "x.y.z", elsewhere.make(USER), client.services.form_tokens.make("bob")):
        assert send(client, action, token=token, **fields).status_code == 403
    old = client.services.form_tokens.make(USER)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + form_tokens.HOURS * form_tokens.HOUR)
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
    data = {"token": client.services.form_tokens.make(USER), "what": wheel.name, "confirm": wheel.name}
    answer = client.request("POST", "/manage/delete", data=data, headers=headers)
    assert answer.status_code == 403
    assert "other sites" in answer.text
    assert files(client) == [wheel.name]


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://localhost"}])
def test_our_own_pages_may(client: Client, wheel: Path, headers: dict[str, str]) -> None:
    data = {"token": client.services.form_tokens.make(USER), "what": wheel.name, "confirm": wheel.name}
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
        data = {"token": client.services.form_tokens.make("boss"), **fields}
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


# ---- the pages that the forms are on


class Page:
    """A page and its forms, which are filled in and sent as a browser does it without any script."""

    def __init__(self, client: Client, path: str, user: str = f"{USER}:{PASSWORD}") -> None:
        self._client, self._path, self._user = client, path, user
        answer = client.get(path, headers=BROWSER, user=user)
        assert answer.status_code == 200, answer.text
        self.html = answer.text
        sheets = [form for form in Tags.of(self.html).all("form") if form.get("method") == "post"]
        self.forms = {form.attrib["action"].rpartition("/")[2]: form for form in sheets}

    def choices(self, action: str, name: str) -> list[str]:
        """What can be chosen from a list."""
        [select] = [each for each in self.forms[action].iter("select") if each.get("name") == name]
        return [option.get("value") or option.text or "" for option in select.iter("option")]

    def send(self, action: str, **filled: object) -> TestResponse:
        form = self.forms[action]
        fields: dict[str, object] = {}
        for each in form.iter("input"):
            if each.attrib.get("type") != "file":
                fields[each.attrib["name"]] = each.get("value", "")
        for each in form.iter("select"):
            chosen = [option for option in each.iter("option") if "selected" in option.attrib] or [*each.iter("option")]
            fields[each.attrib["name"]] = chosen[0].get("value") or chosen[0].text
        controls = {each.get("name") for kind in ("input", "select") for each in form.iter(kind)}
        assert set(filled) <= controls
        address = urljoin(self._path, form.attrib["action"])
        answer = self._client.request(
            "POST",
            address,
            data={**fields, **filled},
            headers={**BROWSER, "Origin": "http://localhost"},
            user=self._user,
        )
        if answer.status_code == 303:  # it leads to a page that is there
            Page(self._client, urljoin(address, answer.headers["Location"]), self._user)
        return answer


def test_a_project_from_upload_to_its_end_with_forms_alone(client: Client, tmp_path: Path) -> None:
    wheel, sdist = make_wheel(tmp_path, "demo", "1.0"), make_sdist(tmp_path, "demo", "1.0")
    for path in (wheel, sdist):
        with path.open("rb") as content:
            assert Page(client, "/upload").send("upload", content=(content, path.name)).status_code == 303

    def page() -> Page:
        return Page(client, "/project/demo/")

    assert list(page().forms) == ["yank", "delete", "status"]
    assert page().choices("yank", "what") == ["demo==1.0", wheel.name, sdist.name]
    assert page().send("yank", what=sdist.name, reason="bad build").status_code == 303
    assert list(page().forms) == ["yank", "unyank", "delete", "status"]
    assert page().choices("yank", "what") == ["demo==1.0", wheel.name]
    assert page().choices("unyank", "what") == ["demo==1.0", sdist.name]
    page().send("yank")  # what comes first: the release
    assert list(page().forms) == ["unyank", "delete", "status"]
    assert "This release is yanked." in page().html
    assert page().send("unyank").headers["Location"] == "../project/demo/1.0/"
    assert "yanked" not in page().html.partition("What happened")[0]

    page().send("status", status="quarantined", reason="who was that?")
    closed = page()
    assert list(closed.forms) == ["status"]
    assert "This project is quarantined." in closed.html
    assert '<option value="quarantined" selected>' in closed.html
    assert 'value="who was that?"' in closed.html
    closed.send("status", status="active")

    assert page().send("delete").status_code == 400  # nothing was typed
    assert page().send("delete", what=wheel.name, confirm=wheel.name).headers["Location"] == "../project/demo/1.0/"
    assert page().choices("delete", "what") == ["demo==1.0", sdist.name]
    assert page().send("delete", confirm="demo==1.0").headers["Location"] == "../"
    assert client.get("/project/demo/").status_code == 404


def test_after_a_release_was_deleted_its_project_is_shown(client: Client, wheel: Path, tmp_path: Path) -> None:
    client.upload(make_wheel(tmp_path, "demo", "2.0"))
    answer = Page(client, "/project/demo/1.0/").send("delete", confirm="demo==1.0")
    assert answer.headers["Location"] == "../project/demo/"


def test_files_of_old_forms_can_be_managed_too(client: Client, tmp_path: Path) -> None:
    sdist = make_sdist(tmp_path, "demo", "1.0")
    old = "demo-1.0.tgz"
    with sdist.open("rb") as content:
        client.services.files.save(old, content, sha256_of(content))
    sync.sync(client.services.files, client.services.index, old)
    assert Page(client, "/project/demo/").send("yank", what=old).status_code == 303


def test_whoever_may_not_decide_sees_no_form(services: Services, tmp_path: Path) -> None:
    users = {USER: PASSWORD, "boss": "chief"}
    client = Client(replace(services, config=replace(services.config, users=users, admins=frozenset({"boss"}))))
    client.upload(make_wheel(tmp_path, "demo", "1.0"))
    mine = Page(client, "/project/demo/")
    assert mine.forms == {}
    assert 'name="token"' not in mine.html
    assert "Manage" not in mine.html
    assert "upload" in Page(client, "/upload").forms
    theirs = Page(client, "/project/demo/", "boss:chief")
    assert list(theirs.forms) == ["yank", "delete", "status"]
    assert theirs.send("yank", reason="no").status_code == 303


def test_a_page_that_is_kept_never_has_a_token_that_is_too_old(
    client: Client, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = (int(time.time()) // form_tokens.HOUR + 1) * form_tokens.HOUR
    for path in ("/project/demo/", "/upload"):
        monkeypatch.setattr(time, "time", lambda: begin)
        first = client.get(path, headers=BROWSER)
        token = re.findall(r'name="token" value="([^"]+)"', first.text)[0]
        again = {**BROWSER, "If-None-Match": first.headers["ETag"]}
        monkeypatch.setattr(time, "time", lambda: begin + form_tokens.HOUR - 1)
        assert client.get(path, headers=again).status_code == 304
        monkeypatch.setattr(time, "time", lambda: begin + form_tokens.HOUR)
        later = client.get(path, headers=again)
        assert (later.status_code, token in later.text) == (200, False)
        # Whoever leaves a page open for 11 hours can still send it.
        monkeypatch.setattr(time, "time", lambda: begin + 12 * form_tokens.HOUR - 1)
        assert send(client, "yank", token=token, what=wheel.name).status_code == 303


def test_who_uploaded_a_file_is_told(services: Services, tmp_path: Path) -> None:
    odd = ATTACKS[2]
    client = Client(replace(services, config=replace(services.config, users={odd: "secret-word"})))
    wheel = make_wheel(tmp_path, "demo", "1.0")
    with wheel.open("rb") as content:
        Page(client, "/upload", f"{odd}:secret-word").send("upload", content=(content, wheel.name))
    page = Page(client, "/project/demo/", f"{odd}:secret-word")
    stat = services.files.stat(wheel.name)
    assert stat is not None
    if stat.uploader:
        assert "<span>by &#34;&gt;&lt;svg onload=alert(1)&gt;</span>" in page.html
    page.send("status", status="deprecated", reason=ATTACKS[2])
    page.send("yank", reason=ATTACKS[0])
    assert harmless(Page(client, "/project/demo/", f"{odd}:secret-word").html, OURS) == []


def test_where_the_upload_page_may_send_files(client: Client, aws: None) -> None:
    policy = client.get("/upload").headers["Content-Security-Policy"]
    assert "connect-src 'self';" in policy
    assert 'data-direct="0"' in Page(client, "/upload").html
    staging = S3Staging(BUCKET, S3Files(BUCKET))
    lambdas = Client(replace(client.services, staging=staging))
    bucket = urlsplit(staging.link("key", "id", 1))
    assert (
        f"connect-src 'self' {bucket.scheme}://{bucket.netloc};"
        in lambdas.get("/upload").headers["Content-Security-Policy"]
    )
    assert 'data-direct="4000000"' in Page(lambdas, "/upload").html
    assert bucket.netloc not in lambdas.get("/").headers["Content-Security-Policy"]
