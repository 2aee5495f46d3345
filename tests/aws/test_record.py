"""The record of events, through the deployed stack."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import make_wheel
from tests.support.deployed import USER, Index
from tests.support.waiting import until

pytestmark = pytest.mark.aws


def events(index: Index, project: str) -> list[dict[str, Any]]:
    return [event for event in index.recorded() if event.get("project") == project]


def test_what_people_do_is_recorded(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "recorded", "1.0")
    index.upload(wheel)
    assert index.request("PUT", f"/packages/{wheel.name}.yanked", data=b"broken").status_code == 200
    assert "409" in index.upload(make_wheel(tmp_path, "recorded", "1.0", files={"other.py": b""}), fails=True)

    found = events(index, "recorded")  # each is there before its answer
    assert [event["type"] for event in found] == ["file.uploaded", "file.yanked", "file.refused"]
    for event in found:
        assert (event["filename"], event["who"]["name"]) == (wheel.name, USER)
        assert (event["who"]["through"], event["who"]["address"]) == ("password", "127.0.0.1")
        assert event["who"]["request_id"]  # by which the log of the function is found
    assert found[1]["reason"] == "broken"


def test_what_is_put_into_the_bucket_is_recorded_once(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "recorded-put", "1.0")
    index.put(wheel.name, wheel.read_bytes())
    [event] = until(lambda: events(index, "recorded-put"), "the event of the file")
    assert (event["type"], event["who"]["name"]) == ("file.uploaded", "store")


def test_a_login_that_failed_is_recorded(index: Index) -> None:
    def failed() -> list[dict[str, Any]]:
        return [event for event in index.recorded() if event["type"] == "login.failed"]

    before = len(failed())
    assert index.request("GET", "/simple/", auth=(USER, "hunter2-of-the-record")).status_code == 401
    *_, event = until(lambda: len(failed()) > before and failed(), "the event of the login")
    assert event["who"]["name"] == USER
    assert "hunter2" not in str(event)


def test_an_administrator_reads_it_page_by_page(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "recorded-read", "1.0")
    index.upload(wheel)
    [event] = events(index, "recorded-read")

    def page(after: str = "") -> Any:
        answer = index.request("GET", f"/events?project=recorded-read&after={after}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert until(lambda: page()["events"], "the events to have settled") == [event]
    assert page(event["id"])["events"] == []
    assert index.request("GET", "/events", auth=None).status_code == 401


def test_nothing_is_left_in_the_outbox(index: Index, tmp_path: Path) -> None:
    index.upload(make_wheel(tmp_path, "recorded-moved", "1.0"))

    def waiting() -> int:
        condition: Any = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "#outbox"}}}
        count: int = index.aws.boto3("dynamodb").query(TableName=index.table, **condition)["Count"]
        return count

    until(lambda: waiting() == 0, "the function sync to have moved all events")
    assert len(events(index, "recorded-moved")) == 1


def test_a_block_acts_however_it_comes(index: Index, tmp_path: Path) -> None:
    """Over HTTP it acts at once; an object that is put there acts too, and both make the name of a project ours."""
    s3, wheel = index.aws.boto3("s3"), make_wheel(tmp_path, "recorded-block", "1.0")
    index.upload(wheel)
    until(lambda: key_is_there(index, "names/recorded-block"), "the name to be ours")
    path = "/policy/blocks/recorded-block"
    assert index.request("PUT", path, json={"reason": "stolen"}).status_code == 200
    assert index.files("recorded-block") == []
    [key] = [key for key in keys(index, "policy/") if key.endswith("/recorded-block")]
    said = s3.get_object(Bucket=index.records, Key=key)["Body"].read()
    assert index.request("DELETE", path).status_code == 200
    assert index.files("recorded-block") == [wheel.name]
    assert [event["type"] for event in events(index, "recorded-block")] == [
        "file.uploaded",
        "policy.blocked",
        "policy.unblocked",
    ]

    s3.put_object(Bucket=index.records, Key=key, Body=said)
    until(lambda: index.files("recorded-block") == [], "the block to act")


def key_is_there(index: Index, key: str) -> bool:
    return key in keys(index, key)


def keys(index: Index, prefix: str) -> list[str]:
    answer = index.aws.boto3("s3").list_objects_v2(Bucket=index.records, Prefix=prefix)
    return [entry["Key"] for entry in answer.get("Contents", [])]


def test_the_policy_document_is_applied_and_kept(index: Index) -> None:
    """With a condition, which S3 takes from those alone who may read it too."""
    document = index.request("GET", "/policy")
    assert document.status_code == 200, document.text
    tag = document.headers["ETag"]
    changed = index.request("PUT", "/policy", data=b'[origin]\nprivate = ["acme"]\n', headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    assert key_is_there(index, "policy.toml")
    again = index.request("PUT", "/policy", data=b"", headers={"If-Match": tag})
    assert again.status_code == 412
    back = index.request("PUT", "/policy", data=b"# nothing\n", headers={"If-Match": changed.headers["ETag"]})
    assert back.status_code == 200, back.text
