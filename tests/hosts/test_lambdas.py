"""The three handlers, called as AWS calls them."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
import requests
from packaging.utils import NormalizedName

from elasticpypi.core.errors import Unavailable
from elasticpypi.indexing.sync import sync
from elasticpypi.storage.aws.catalog import DynamoCatalog
from elasticpypi.storage.aws.dynamodb import DynamoIndex
from elasticpypi.storage.aws.table import Table
from tests.support.application import PASSWORD, USER, basic
from tests.support.builders import make_wheel, upload_form
from tests.support.events import HOST, begin_anew, event, in_time, request
from tests.support.moto_aws import BUCKET, TABLE


def test_a_direct_put_is_served_after_its_event(deployed: Any, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0+local")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    deployed.sync(event(wheel.name.replace("+", "%2B"), "README.md"), None)
    page = deployed.api(request("/simple/demo/", Authorization=basic(f"{USER}:{PASSWORD}")), None)
    assert page["statusCode"] == 200
    assert "demo-1.0%2Blocal-py3-none-any.whl" in page["body"]
    file = deployed.api(request(f"/packages/{wheel.name}", Authorization=basic(f"{USER}:{PASSWORD}")), None)
    assert file["isBase64Encoded"]
    assert base64.b64decode(file["body"]) == wheel.read_bytes()


def test_one_bad_record_fails_the_event_but_not_the_others(
    deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    files = deployed._services().files
    real = files.stat
    monkeypatch.setattr(files, "stat", lambda key: 1 / 0 if key == "bad-1.0.tar.gz" else real(key))
    with pytest.raises(RuntimeError, match=r"1 of 2 keys failed, 'bad-1\.0\.tar\.gz' first: ZeroDivisionError"):
        deployed.sync(event("bad-1.0.tar.gz", wheel.name), None)
    assert DynamoIndex(TABLE).projects()[1] == ["demo"]


def test_a_staged_file_is_checked_and_moved(deployed: Any, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0", files={"large.bin": os.urandom(5_000_000)})
    size = str(wheel.stat().st_size)
    announced = request(
        "/uploads/",
        **{"Authorization": basic(f"{USER}:{PASSWORD}"), "Content-Type": "application/x-www-form-urlencoded"},
    )
    body = urlencode({**upload_form(wheel), "filename": wheel.name, "size": size})
    state = json.loads(deployed.api({**announced, "httpMethod": "POST", "body": body}, None)["body"])
    requests.put(state["missing"]["1"], data=wheel.read_bytes(), timeout=10).raise_for_status()
    done = {**request(f"/uploads/{state['id']}", Authorization=announced["headers"]["Authorization"])}
    assert deployed.api({**done, "httpMethod": "POST"}, None)["statusCode"] == 202
    deployed.sync(event(f".uploads/{state['id']}.session", f".uploads/{state['id']}"), None)
    assert json.loads(deployed.api(done, None)["body"])["state"] == "done"
    assert DynamoIndex(TABLE).projects()[1] == ["demo"]


def test_people_find_what_was_put_into_the_bucket(deployed: Any, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    deployed.sync(event(wheel.name), None)
    found = deployed.api(request("/search", Accept="application/json", Authorization=basic(f"{USER}:{PASSWORD}")), None)
    assert [project["name"] for project in json.loads(found["body"])["projects"]] == ["demo"]


def search(deployed: Any) -> list[str]:
    found = deployed.api(request("/search", Accept="application/json", Authorization=basic(f"{USER}:{PASSWORD}")), None)
    return [project["name"] for project in json.loads(found["body"])["projects"]]


def test_an_entry_that_could_not_be_written_fails_the_event(
    deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    real = Table.write

    def throttled(self: Table, actions: Any) -> None:
        actions = list(actions)
        if "entry#" in str(actions):
            raise Unavailable("The table is throttled: try again.")
        real(self, actions)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "write", throttled)
        with pytest.raises(RuntimeError, match=r"The entries of 1 projects are behind, that of 'demo' first\."):
            deployed.sync(event(wheel.name), None)
    assert search(deployed) == []
    deployed.sync(event(wheel.name), None)  # AWS tries again
    assert search(deployed) == ["demo"]


def test_the_audit_makes_the_entries_that_are_missing_once_for_each_project(
    deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "2.0", "3.0"):
        wheel = make_wheel(tmp_path, "demo", version)
        boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    services, made = deployed._services(), []
    sync(services.files, services.index, wheel.name)  # in the index, and its entry was never made
    real = DynamoCatalog.replace
    monkeypatch.setattr(DynamoCatalog, "replace", lambda *asked: (made.append(asked[1]), real(*asked)))
    with pytest.raises(RuntimeError, match="the time did not suffice"):
        deployed.audit({}, in_time(0))
    assert made == []
    deployed.audit({}, in_time())
    assert made == ["demo"]
    assert search(deployed) == ["demo"]
    assert [entry.files for entry in services.catalog.entries([NormalizedName("demo")])] == [3]
    deployed.audit({}, in_time())
    assert made == ["demo"]


def test_the_audit_fails_if_an_entry_does(deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    monkeypatch.setattr(DynamoCatalog, "replace", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="1 failed"):
        deployed.audit({}, in_time())


def test_a_deletion_that_was_broken_off_is_not_taken_back(deployed: Any, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    s3 = boto3.client("s3")
    s3.put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    deployed.sync(event(wheel.name), None)
    services = deployed._services()
    s3.put_object(Bucket=BUCKET, Key=f"{wheel.name}.deleted", Body=b"ab" * 32)  # and there the function was killed
    deployed.audit({}, in_time())
    assert services.index.projects()[1] == []
    deployed.audit({}, in_time())
    assert services.index.projects()[1] == []
    for key in (wheel.name, f"{wheel.name}.deleted"):  # a rebuild, in this order
        services.index.remove(NormalizedName("demo"), key)
    for key in (wheel.name, f"{wheel.name}.deleted"):
        sync(services.files, services.index, key)
    assert services.index.projects()[1] == []
    s3.delete_object(Bucket=BUCKET, Key=f"{wheel.name}.deleted")  # somebody frees the name
    deployed.sync(event(f"{wheel.name}.deleted"), None)
    assert services.index.projects()[1] == ["demo"]


def test_sync_needs_no_password(deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.delenv(name)
    deployed.sync(event("README.md"), None)
    deployed.sync({"Event": "s3:TestEvent"}, None)


def test_the_application_checks_users_itself(deployed: Any) -> None:
    refused = deployed.api(request("/simple/"), None)
    assert refused["statusCode"] == 401
    health = deployed.api(request("/health"), None)
    assert (health["statusCode"], json.loads(health["body"])["stage"]) == (200, "dev")


def test_redirects_keep_the_stage(deployed: Any) -> None:
    for path in ("/simple", "/simple/Foo_Bar"):
        answer = deployed.api(request(path, Authorization=basic(f"{USER}:{PASSWORD}")), None)
        assert answer["statusCode"] in (301, 302)
        headers = answer.get("multiValueHeaders") or answer["headers"]
        location = headers["Location"]
        [location] = location if isinstance(location, list) else [location]
        assert not location.startswith(("/", "http"))
    home = deployed.api(request("/", Authorization=basic(f"{USER}:{PASSWORD}")), None)
    assert 'href="/dev/search"' in home["body"]


@pytest.mark.parametrize("base", ["", "/pypi", "/a/b"])
def test_the_base_path_of_a_domain(deployed: Any, tmp_path: Path, base: str) -> None:
    login = basic(f"{USER}:{PASSWORD}")
    wheel = make_wheel(tmp_path, "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    deployed.sync(event(wheel.name), None)

    def get(resource: str, proxy: str | None = None) -> Any:
        path = resource.replace("{proxy+}", proxy or "")
        parameters = None if proxy is None else {"proxy": proxy.rstrip("/")}
        asked = request(f"{base}{path}", Host="packages.example.com", Authorization=login)
        return deployed.api({**asked, "resource": resource, "pathParameters": parameters}, None)

    assert get("/{proxy+}", "simple/demo/")["statusCode"] == 200
    assert get("/health")["statusCode"] == 200
    links = json.loads(get("/{proxy+}", "pypi/demo/json")["body"])["urls"]
    assert [link["url"] for link in links] == [f"https://packages.example.com{base}/packages/{wheel.name}"]
    assert get("/")["statusCode"] == 200


def test_the_gateway_is_believed_and_nobody_else(
    deployed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    deployed.sync(event(wheel.name), None)

    def base(source: str = "198.51.100.7", **headers: str) -> str:
        asked = request("/pypi/demo/json", Authorization=basic(f"{USER}:{PASSWORD}"), **headers)
        asked["requestContext"]["identity"] = {"sourceIp": source}
        [url] = json.loads(deployed.api(asked, None)["body"])["urls"]
        return str(url["url"]).removesuffix(f"packages/{wheel.name}")

    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/x", "X-Forwarded-For": "127.0.0.1, 192.0.2.1"}
    forged |= {"X-Forwarded-Port": "8443", "Forwarded": "for=192.0.2.1;host=evil.example;proto=http"}
    assert base() == base(**forged) == f"https://{HOST}/dev/"
    assert base(**{"X-Forwarded-Proto": "javascript"}) == f"https://{HOST}/dev/"
    monkeypatch.setenv("PROXIES", "192.0.2.0/24")
    begin_anew()
    assert base(**forged) == f"https://{HOST}/dev/"
    assert base("192.0.2.1", **{**forged, "X-Forwarded-Host": "front.example"}) == "https://front.example/x/"
    monkeypatch.setenv("PUBLIC_URL", "https://pypi.example")
    begin_anew()
    assert base(**forged) == "https://pypi.example/"


@pytest.mark.req("REQ-67")
def test_a_304_names_the_type_of_the_page(deployed: Any, tmp_path: Path) -> None:
    login = basic(f"{USER}:{PASSWORD}")
    wheel = make_wheel(tmp_path, "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    deployed.sync(event(wheel.name), None)
    accept = "application/vnd.pypi.simple.v1+json"
    for path in ("/simple/", "/simple/demo/", f"/packages/{wheel.name}"):
        page = deployed.api(request(path, Authorization=login, Accept=accept), None)["multiValueHeaders"]
        known = {"If-None-Match": page["ETag"][0], "Authorization": login, "Accept": accept}
        again = deployed.api(request(path, **known), None)
        assert again["statusCode"] == 304
        assert again["multiValueHeaders"]["Content-Type"] == page["Content-Type"]


def test_the_authorizer(deployed: Any) -> None:
    arn = "arn:aws:execute-api:us-east-1:1:abc123/dev/GET/"
    allowed = deployed.authorizer({"methodArn": arn, "headers": {"authorization": basic(f"{USER}:{PASSWORD}")}}, None)
    assert allowed["principalId"] == USER
    denied = deployed.authorizer({"methodArn": arn, "headers": {"Authorization": basic("carol:x")}}, None)
    assert denied["policyDocument"]["Statement"][0]["Effect"] == "Deny"


def test_a_body_arrives_as_it_was(deployed: Any, tmp_path: Path) -> None:
    from werkzeug.datastructures import FileStorage
    from werkzeug.test import encode_multipart

    wheel = make_wheel(tmp_path, "demo", "1.0")
    content = FileStorage(io.BytesIO(wheel.read_bytes()), filename=wheel.name)
    boundary, body = encode_multipart({**upload_form(wheel), "content": content})
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Authorization": basic(f"{USER}:{PASSWORD}"),
    }
    upload = request("/simple/", **headers)
    upload.update(httpMethod="POST", body=base64.b64encode(body).decode(), isBase64Encoded=True)
    answer = deployed.api(upload, None)
    assert (answer["statusCode"], answer["body"]) == (200, f"{wheel.name} is in the index.\n")


def test_processes_from_one_snapshot_draw_numbers_of_their_own() -> None:
    program = """
import random
from elasticpypi.hosts.aws import lambdas
random.seed(1)  # what the snapshot holds
from snapshot_restore_py import get_after_restore
for function, arguments, options in get_after_restore():
    function(*arguments, **options)
print(random.random())
"""
    environ = {**os.environ, "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    numbers = {subprocess.check_output([sys.executable, "-c", program], env=environ) for _ in range(2)}
    assert len(numbers) == 2


def test_a_record_without_a_key_stops_no_other(deployed: Any, tmp_path: Path) -> None:
    """And the event ends in the queue all the same, where somebody sees it."""
    wheel = make_wheel(tmp_path, "demo", "1.0")
    boto3.client("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    records = [{"s3": {"object": {}}}, {"s3": {"object": {"key": wheel.name}}}, {"s3": None}, None]
    with pytest.raises(RuntimeError, match=r"^3 records of the event name no key; all others are done\.$"):
        deployed.sync({"Records": records}, None)
    project = deployed._services().index.project("demo")
    assert [file.filename for file in project.files] == [wheel.name]
