"""Large files by way of parts: announced, put into the store, checked, shown."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
import requests
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from click.testing import CliRunner
from packaging.utils import NormalizedName

from elasticpypi.actions import upload_sessions
from elasticpypi.actions.audit import audit as audit_services
from elasticpypi.cli import main
from elasticpypi.config import MEGABYTE, Config
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import Who
from elasticpypi.core.keys import is_staged
from elasticpypi.indexing import audit, sync
from elasticpypi.services import Services
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.aws.staging import S3Staging
from elasticpypi.storage.contracts import Stat
from elasticpypi.web.request import REQUEST_ID
from elasticpypi.wiring import on_bucket, with_subscribers
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import make_wheel, upload_form
from tests.support.moto_aws import BUCKET, TABLE

PART = 5 * MEGABYTE  # the smallest that S3 joins


@pytest.fixture
def services(aws: None, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.setattr(upload_sessions, "PART", PART)
    files = S3Files(BUCKET)
    config = Config(users={USER: PASSWORD}, bucket=BUCKET, table=TABLE)
    return replace(on_bucket(config, files, DynamoIndex(TABLE)), staging=S3Staging(BUCKET, files))


@pytest.fixture
def client(services: Services) -> Client:
    return Client(services)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Of three parts."""
    return make_wheel(tmp_path, "demo", "1.0", files={"large.bin": os.urandom(11 * MEGABYTE)})


def announce(client: Client, path: Path, status: int = 201, **changes: str | None) -> dict[str, Any]:
    form = {**upload_form(path), "filename": path.name, "size": str(path.stat().st_size), **changes}
    body = urlencode({name: value for name, value in form.items() if value is not None})
    answer = client.request("POST", "/uploads/", data=body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == status, answer.text
    return answer.get_json(force=True) if status < 400 else {"text": answer.text}


def test_its_event_says_who_completed_it_and_where_from(
    client: Client, services: Services, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though another function checks it, and the event of the copy is faster than that."""
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)
    state = announce(client, wheel)
    put(wheel, state)
    told = {"headers": {"User-Agent": "tool/1.0"}, "environ_base": {REQUEST_ID: "request-7"}}
    assert client.request("POST", f"/uploads/{state['id']}", **told).status_code == 202  # type: ignore[arg-type]
    assert services.staging
    promote = services.staging.promote

    def promoted(*arguments: Any, **options: Any) -> Stat:
        stat = promote(*arguments, **options)
        assert sync.sync(services.files, services.index, wheel.name, beside=services.beside).action == "written"
        return stat

    monkeypatch.setattr(services.staging, "promote", promoted)
    assert event_of(services, state) == "written"
    with_subscribers(services).events.tell([])
    [event] = services.log.read()
    assert (event.type, event.who) == ("file.uploaded", Who(USER, "password", "127.0.0.1", "tool/1.0", "request-7"))


def put(path: Path, state: dict[str, Any], *numbers: int) -> None:
    """Put these parts, or all that are missing, to their links."""
    data = path.read_bytes()
    for number in numbers or map(int, state["missing"]):
        part = data[(number - 1) * state["part_size"] : number * state["part_size"]]
        requests.put(state["missing"][str(number)], data=part, timeout=10).raise_for_status()


def event_of(services: Services, state: dict[str, Any]) -> str:
    """What the function does with the event of the joined parts; the action of its outcome."""
    [outcome] = upload_sessions.finish_all(services, [f".uploads/{state['id']}"])
    return outcome.action


def pages(client: Client) -> list[str]:
    answer = client.get("/simple/demo/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    return [file["filename"] for file in answer.get_json(force=True)["files"]] if answer.status_code == 200 else []


def test_from_the_announcement_to_the_page(client: Client, services: Services, wheel: Path) -> None:
    state = announce(client, wheel)
    assert (state["state"], sorted(state["missing"])) == ("open", ["1", "2", "3"])
    put(wheel, state)
    assert pages(client) == []
    joined = client.request("POST", f"/uploads/{state['id']}")
    assert (joined.status_code, joined.get_json()) == (202, {"state": "checking", "id": state["id"]})
    assert client.get(f"/uploads/{state['id']}").get_json()["state"] == "checking"
    assert client.request("POST", f"/uploads/{state['id']}").status_code == 202  # again does no harm
    assert pages(client) == []

    assert event_of(services, state) == "written"
    done = {"state": "done", "message": f"{wheel.name} is in the index."}
    assert client.get(f"/uploads/{state['id']}").get_json() == done
    assert pages(client) == [wheel.name]
    with services.files.open(services.files.stat(wheel.name)) as content:  # type: ignore[arg-type]
        assert content.read() == wheel.read_bytes()
    assert services.files.stat(f".uploads/{state['id']}") is None
    assert event_of(services, state) == "unchanged"  # of the removal, or the same event again
    assert announce(client, wheel, 200) == {"state": "done", "message": f"{wheel.name} is in the index already."}


def test_what_broke_goes_on_where_it_was(client: Client, services: Services, wheel: Path) -> None:
    state = announce(client, wheel)
    put(wheel, state, 2)
    requests.put(state["missing"]["3"], data=b"half", timeout=10).raise_for_status()
    early = client.request("POST", f"/uploads/{state['id']}")
    assert (early.status_code, sorted(early.get_json()["missing"])) == (200, ["1", "3"])
    again = announce(client, wheel)
    assert (again["id"], sorted(again["missing"])) == (state["id"], ["1", "3"])
    put(wheel, again)
    assert client.request("POST", f"/uploads/{state['id']}").status_code == 202
    assert event_of(services, state) == "written"


def test_other_bytes_than_announced_are_never_seen(client: Client, services: Services, wheel: Path) -> None:
    state = announce(client, wheel)
    data = wheel.read_bytes()
    wheel.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    put(wheel, state)
    client.request("POST", f"/uploads/{state['id']}")
    assert event_of(services, state) == "ignored"
    result = client.get(f"/uploads/{state['id']}").get_json()
    assert (result["state"], result["status"]) == ("refused", 400)
    assert "'sha256_digest' does not fit the file" in result["message"]
    assert pages(client) == []
    assert [stat.key for stat in services.files.list() if is_staged(stat.key)] == []
    wheel.write_bytes(data)
    again = announce(client, wheel)  # after a refusal it begins anew
    assert sorted(again["missing"]) == ["1", "2", "3"]
    put(wheel, again)
    client.request("POST", f"/uploads/{state['id']}")
    assert event_of(services, state) == "written"


def test_the_same_checks_as_for_every_upload(client: Client, wheel: Path) -> None:
    for changes, status, sentence in (
        ({"name": "other"}, 400, "The form names the project 'other'"),
        ({"filename": "demo.exe"}, 400, "demo.exe"),
        ({"sha256_digest": None}, 400, "'sha256_digest'"),
        ({"sha256_digest": "xyz"}, 400, "must be 64 hex digits"),
        ({"size": "many"}, 400, "The field 'size' must be the number of bytes"),
        ({"size": "0"}, 400, "is empty"),
        ({"size": str(6 * 1024**3)}, 413, "MAX_UPLOAD"),
        ({"filename": None}, 400, "''"),
    ):
        assert sentence in announce(client, wheel, status, **changes)["text"]  # type: ignore[arg-type]


def test_a_taken_name_is_known_before_anything_is_sent(client: Client, wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    client.upload(make_wheel(tmp_path / "other", "demo", "1.0"))
    assert "already exists" in announce(client, wheel, 409)["text"]


def test_a_name_that_was_taken_meanwhile(client: Client, services: Services, wheel: Path, tmp_path: Path) -> None:
    state = announce(client, wheel)
    put(wheel, state)
    client.request("POST", f"/uploads/{state['id']}")
    (tmp_path / "other").mkdir()
    other = make_wheel(tmp_path / "other", "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=other.name, Body=other.read_bytes())  # not in the index yet
    assert event_of(services, state) == "ignored"
    assert client.get(f"/uploads/{state['id']}").get_json()["status"] == 409
    with services.files.open(services.files.stat(wheel.name)) as content:  # type: ignore[arg-type]
        assert content.read() == other.read_bytes()


def test_a_failure_is_tried_again(
    client: Client, services: Services, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = announce(client, wheel)
    put(wheel, state)
    client.request("POST", f"/uploads/{state['id']}")

    def failing(*_: object, **__: object) -> Stat:
        raise Unavailable("The bucket cannot be used now.")

    with monkeypatch.context() as patch:
        patch.setattr(S3Staging, "promote", failing)
        assert event_of(services, state) == "failed"
    assert client.get(f"/uploads/{state['id']}").get_json()["state"] == "checking"
    assert event_of(services, state) == "written"


def test_a_session_that_goes_away_is_no_error_of_the_index(
    client: Client, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read once: between two looks somebody may have begun anew, or given up."""
    state = announce(client, wheel)
    put(wheel, state)
    real, asked = S3Files.stat, 0

    def once(self: S3Files, key: str) -> Stat | None:
        nonlocal asked
        asked += key.endswith(".session")
        return None if key.endswith(".session") and asked > 1 else real(self, key)

    monkeypatch.setattr(S3Files, "stat", once)
    assert client.request("POST", f"/uploads/{state['id']}").status_code == 202
    assert client.request("POST", f"/uploads/{state['id']}").status_code == 404


def test_what_was_joined_is_not_joined_of_no_parts(
    client: Client, services: Services, wheel: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two requests at once the second finds no upload any more, and S3 takes an empty list for a mistake."""
    state = announce(client, wheel)
    put(wheel, state)
    real = S3Staging.join

    def both(self: S3Staging, key: str, upload: str) -> None:
        real(self, key, upload)
        calls.clear()
        real(self, key, upload)

    monkeypatch.setattr(S3Staging, "join", both)
    assert client.request("POST", f"/uploads/{state['id']}").status_code == 202
    assert calls == ["ListParts"]
    assert event_of(services, state) == "written"


@pytest.mark.parametrize("missed", [1, 2])
def test_a_file_that_is_missed_a_moment_after_it_was_copied_is_not_refused(
    client: Client, services: Services, wheel: Path, monkeypatch: pytest.MonkeyPatch, missed: int
) -> None:
    """Whatever the bucket answers, the staged file is not thrown away as long as it is in doubt."""
    state = announce(client, wheel)
    put(wheel, state)
    client.request("POST", f"/uploads/{state['id']}")
    real, asked = S3Files.stat, 0

    def not_there(self: S3Files, key: str) -> Stat | None:
        nonlocal asked
        asked += key == wheel.name
        return None if key == wheel.name and asked <= missed else real(self, key)

    monkeypatch.setattr(S3Files, "stat", not_there)
    actions = [event_of(services, state) for _ in range(2)]  # AWS tries again
    assert asked > missed
    assert "ignored" not in actions
    assert client.get(f"/uploads/{state['id']}").get_json()["state"] == "done"
    assert pages(client) == [wheel.name]


@pytest.mark.parametrize("operation", ["CompleteMultipartUpload", "UploadPartCopy"])
def test_a_copy_whose_answer_was_lost_is_not_refused(
    client: Client, services: Services, wheel: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """The call is made once more, and S3 knows the upload no longer, or does not know it yet."""
    state = announce(client, wheel)
    put(wheel, state)
    client.request("POST", f"/uploads/{state['id']}")
    real, lost = BaseClient._make_api_call, 0

    def twice(self: BaseClient, asked: str, arguments: dict[str, Any]) -> Any:
        nonlocal lost
        if asked != operation or lost:
            return real(self, asked, arguments)
        lost += 1
        if operation == "CompleteMultipartUpload":
            real(self, asked, arguments)
        told: Any = {"Error": {"Code": "NoSuchUpload"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
        raise ClientError(told, asked)

    monkeypatch.setattr(BaseClient, "_make_api_call", twice)
    actions = [event_of(services, state) for _ in range(2)]
    assert lost
    assert "ignored" not in actions
    assert client.get(f"/uploads/{state['id']}").get_json()["state"] == "done"
    assert pages(client) == [wheel.name]


def test_one_that_hangs_begins_anew_after_an_hour(
    client: Client, services: Services, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = announce(client, wheel)
    put(wheel, state)
    client.request("POST", f"/uploads/{state['id']}")
    answer = announce(client, wheel, 202)
    assert answer["state"] == "checking"
    real = S3Files.stat

    def older(self: S3Files, key: str) -> Stat | None:
        stat = real(self, key)
        return stat and replace(stat, modified=datetime.now(UTC) - timedelta(hours=2))

    monkeypatch.setattr(S3Files, "stat", older)
    assert sorted(announce(client, wheel)["missing"]) == ["1", "2", "3"]


# ---- Whose it is


@pytest.fixture
def bob(services: Services) -> Client:
    """Somebody else, at the same index."""
    config = replace(services.config, users={USER: PASSWORD, "bob": "another"})
    other = Client(replace(services, config=config))
    real = other.request
    other.request = lambda *asked, **options: real(*asked, user="bob:another", **options)  # type: ignore[method-assign]
    return other


def test_an_upload_belongs_to_who_announced_it(client: Client, bob: Client, services: Services, wheel: Path) -> None:
    ours, theirs = announce(client, wheel), announce(bob, wheel)
    assert ours["id"] != theirs["id"]
    for method in ("GET", "POST"):
        assert bob.request(method, f"/uploads/{ours['id']}").status_code == 404
    put(wheel, theirs)
    assert bob.request("POST", f"/uploads/{theirs['id']}").status_code == 202
    assert event_of(services, theirs) == "written"
    put(wheel, ours)  # the same bytes, a moment later
    client.request("POST", f"/uploads/{ours['id']}")
    assert event_of(services, ours) == "written"
    assert pages(client) == [wheel.name]
    file = services.index.file(NormalizedName("demo"), wheel.name)
    assert file is not None
    assert file.uploader == "bob"


def test_another_size_or_digest_blocks_nobody(client: Client, bob: Client, services: Services, wheel: Path) -> None:
    wrong = announce(client, wheel, size=str(6 * MEGABYTE), sha256_digest="ab" * 32, blake2_256_digest=None)
    longer = announce(client, wheel, size=str(12 * MEGABYTE))
    state = announce(client, wheel)
    assert len({wrong["id"], longer["id"], state["id"]}) == 3
    put(wheel, state)
    client.request("POST", f"/uploads/{state['id']}")
    assert event_of(services, state) == "written"
    data = wheel.read_bytes()[: 6 * MEGABYTE]
    for number, link in wrong["missing"].items():
        part = data[(int(number) - 1) * PART : int(number) * PART]
        requests.put(link, data=part, timeout=10).raise_for_status()
    client.request("POST", f"/uploads/{wrong['id']}")
    assert event_of(services, wrong) == "ignored"
    assert client.get(f"/uploads/{wrong['id']}").get_json()["state"] == "refused"
    assert pages(client) == [wheel.name]


def test_eight_announcements_begin_one_upload(client: Client, services: Services, wheel: Path) -> None:
    def begun() -> int:
        return len(boto3.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: announce(client, wheel), range(8)))
    assert len({state["id"] for state in states}) == 1
    assert begun() == 1
    services.files.put(f".uploads/{states[0]['id']}.result", b'{"state": "refused", "status": 400, "message": "x"}')
    with ThreadPoolExecutor(8) as pool:  # all find that it is over, and one begins anew
        states = list(pool.map(lambda _: announce(client, wheel), range(8)))
    assert {state["state"] for state in states} == {"open"}
    assert begun() == 2


def test_what_cannot_be_begun_now_can_be_in_a_moment(
    client: Client, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> str:
        raise Unavailable("The bucket cannot be used now.")

    with monkeypatch.context() as patch:
        patch.setattr(S3Staging, "begin", failing)
        announce(client, wheel, 503)
    assert announce(client, wheel)["state"] == "open"


@pytest.mark.parametrize("repair", ["audit", "reindex"])
def test_a_check_that_failed_three_times_is_made_up_for(
    client: Client, services: Services, wheel: Path, monkeypatch: pytest.MonkeyPatch, repair: str
) -> None:
    state = announce(client, wheel)
    put(wheel, state)
    client.request("POST", f"/uploads/{state['id']}")  # and nobody hears of the event

    def failing(*_: object, **__: object) -> Stat:
        raise Unavailable("The bucket cannot be used now.")

    for name, value in {"BUCKET": BUCKET, "TABLE": TABLE}.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch:
        patch.setattr(S3Staging, "promote", failing)
        report = audit.Report(repair=True)
        assert [outcome.action for outcome in audit_services(services, report)] == ["failed"]
        assert "1 failed" in str(report)
    if repair == "audit":
        report = audit.Report(repair=True)
        assert [outcome.action for outcome in audit_services(services, report)] == ["written"]
    else:
        done = CliRunner().invoke(main, ["reindex"])
        assert done.exit_code == 0, done.output
    assert pages(client) == [wheel.name]
    assert client.get(f"/uploads/{state['id']}").get_json()["state"] == "done"


def test_small_files_and_one_machine_take_the_ordinary_way(
    client: Client, services: Services, wheel: Path, tmp_path: Path
) -> None:
    small = make_wheel(tmp_path, "small", "1.0")
    assert announce(client, small, 200) == {"state": "direct"}
    assert announce(Client(replace(services, staging=None)), wheel, 200) == {"state": "direct"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("session_id", ["0" * 64, "x", "..", "a" * 2000])
def test_an_unknown_upload(client: Client, method: str, session_id: str) -> None:
    answer = client.request(method, f"/uploads/{session_id}")
    assert answer.status_code == 404
    assert "announce it again" in answer.text or session_id == ".."


def test_nothing_without_credentials(client: Client) -> None:
    for method, path in (("POST", "/uploads/"), ("GET", f"/uploads/{'0' * 64}"), ("POST", f"/uploads/{'0' * 64}")):
        assert client.request(method, path, user=None).status_code == 401
