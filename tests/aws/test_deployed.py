"""The deployed index, over TLS at its real URL, with the real clients."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.auth import CHALLENGE
from tests.aws.deployed import BUCKET, FUNCTION, PASSWORD, USER, Index
from tests.builders import make_wheel

pytestmark = pytest.mark.aws

OURS = USER, PASSWORD


def eventually(check: Callable[[], Any], seconds: float = 30) -> Any:
    """What ``check`` returns as soon as it is true: events take a while."""
    deadline = time.monotonic() + seconds
    while not (result := check()):
        assert time.monotonic() < deadline, f"This did not happen within {seconds} seconds."
        time.sleep(0.1)
    return result


def test_health_needs_no_credentials(index: Index) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}/health")
    assert answer.status_code == 200, answer.text
    assert answer.json()["stage"] == "dev"


@pytest.mark.parametrize("credentials", [None, (USER, "wrong"), ("somebody", PASSWORD)])
@pytest.mark.parametrize("path", ["", "/", "/simple", "/simple/", "/packages/demo-1.0.tar.gz"])
def test_everything_else_asks_for_credentials(index: Index, path: str, credentials: tuple[str, str] | None) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}{path}", auth=credentials)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert answer.json()["message"]


@pytest.mark.parametrize("path", ["/simple", "/simple/"])
def test_the_stage_stays_in_the_url(index: Index, path: str) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}{path}", auth=OURS)
    assert answer.status_code == 200, answer.text
    assert answer.url.startswith(f"{index.url}/simple")


def test_trusted_publishing_is_answered_without_a_challenge(index: Index) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}/_/oidc/audience")
    assert answer.status_code == 404
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("megabytes", [5, 11])
def test_what_the_gateway_cannot_take_is_told_the_other_way(index: Index, megabytes: int) -> None:
    with index.aws.session() as session:
        answer = session.post(index.simple, data=bytes(megabytes * 1024 * 1024), auth=OURS)
    assert answer.status_code == 413
    assert f"s3://{BUCKET}/" in answer.json()["message"]


def test_from_twine_to_pip_and_uv(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "from-twine", "1.0")
    upload = "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", index.simple
    index.run("twine", *upload, wheel, TWINE_USERNAME=USER, TWINE_PASSWORD=PASSWORD)
    assert index.files("from-twine") == [wheel.name]  # at once: the answer comes after the record

    install = "install", "--index-url", index.simple_with_credentials, "from-twine"
    index.run("pip", *install, "--no-cache-dir", "--target", tmp_path / "pip")
    index.run("uv", "pip", *install, "--no-cache", "--target", tmp_path / "uv")
    for installed in (tmp_path / "pip", tmp_path / "uv"):
        assert (installed / "from_twine-1.0.dist-info").is_dir()


@pytest.mark.parametrize("folder", ["", "a team+more/"])
def test_what_is_put_into_the_bucket_appears_and_disappears(index: Index, tmp_path: Path, folder: str) -> None:
    project = "put-under" if folder else "put-there"
    wheel = make_wheel(tmp_path, project, "1.0+local.1")
    key = f"{folder}{wheel.name}"
    s3 = index.aws.boto3("s3")

    s3.put_object(Bucket=BUCKET, Key=key, Body=wheel.read_bytes())
    eventually(lambda: index.files(project) == [wheel.name])
    install = "install", "--index-url", index.simple_with_credentials, project
    index.run("pip", *install, "--no-cache-dir", "--target", tmp_path / "pip")
    assert (tmp_path / "pip" / f"{wheel.name.rpartition('-py3')[0]}.dist-info").is_dir()

    s3.delete_object(Bucket=BUCKET, Key=key)
    eventually(lambda: index.files(project) == [])


def test_a_file_that_is_too_large_for_lambda_comes_from_the_bucket(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "large", "1.0", files={"large.bin": os.urandom(7_000_000)})
    index.aws.boto3("s3").put_object(Bucket=BUCKET, Key=wheel.name, Body=wheel.read_bytes())
    eventually(lambda: index.files("large"))

    with index.aws.session() as session:
        answer = session.get(f"{index.url}/packages/{wheel.name}", auth=OURS, allow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"https://{BUCKET}.s3.")
    install = "install", "--index-url", index.simple_with_credentials, "large"
    index.run("pip", *install, "--no-cache-dir", "--target", tmp_path / "pip")
    index.run("uv", "pip", *install, "--no-cache", "--target", tmp_path / "uv")


def test_an_event_that_fails_ends_in_the_queue(index: Index) -> None:
    event = {"Records": [{"eventSource": "aws:s3", "s3": {"object": {}}}]}
    functions, sqs = index.aws.boto3("lambda"), index.aws.boto3("sqs")
    functions.invoke(FunctionName=f"{FUNCTION}sync", InvocationType="Event", Payload=json.dumps(event))

    queue = sqs.list_queues(QueueNamePrefix=FUNCTION)["QueueUrls"][0]
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    assert json.loads(message["Body"])["requestPayload"] == event
