"""The deployed index, over TLS at its real URL, with the real clients."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import make_wheel
from conftest import BUCKET, PASSWORD, USER, Index

pytestmark = pytest.mark.aws

CHALLENGE = 'Basic realm="elasticpypi", charset="UTF-8"'
OURS = USER, PASSWORD


def eventually(check: Callable[[], Any], seconds: float = 30) -> Any:
    """What ``check`` returns as soon as it is true: S3 events take a while."""
    deadline = time.monotonic() + seconds
    while not (result := check()):
        assert time.monotonic() < deadline, f"This did not happen within {seconds} seconds."
        time.sleep(0.1)
    return result


def run(index: Index, *command: str | Path, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], env={**index.aws.client, **environ}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{done.stdout}\nThe log of the emulator is {index.aws.log}."
    return done.stdout


def listed(index: Index, project: str) -> list[str]:
    """The file names on the page of a project, none if there is no page."""
    with index.aws.session() as session:
        accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
        answer = session.get(f"{index.simple}{project}/", auth=OURS, headers=accept)
    if answer.status_code == 404:
        return []
    answer.raise_for_status()
    return [file["filename"] for file in answer.json()["files"]]


def test_health_needs_no_credentials(index: Index) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}/health")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("credentials", [None, (USER, "wrong"), ("somebody", PASSWORD)])
@pytest.mark.parametrize("path", ["", "/", "/simple", "/simple/", "/packages/demo-1.0.tar.gz"])
def test_everything_else_asks_for_credentials(index: Index, path: str, credentials: tuple[str, str] | None) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}{path}", auth=credentials)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert answer.json()["message"]


@pytest.mark.parametrize("path", ["/", "/simple/"])
def test_the_stage_is_part_of_the_url(index: Index, path: str) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}{path}", auth=OURS)
    assert answer.status_code == 200, answer.text


def test_a_redirect_keeps_the_stage(index: Index) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}/simple", auth=OURS)
    assert answer.status_code == 200, answer.text
    assert answer.url in (f"{index.url}/simple", index.simple)


def test_trusted_publishing_is_answered_without_a_challenge(index: Index) -> None:
    with index.aws.session() as session:
        answer = session.get(f"{index.url}/_/oidc/audience")
    assert answer.status_code == 404
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("megabytes", [5, 11])
def test_too_large_for_the_gateway_names_the_other_way(index: Index, megabytes: int) -> None:
    with index.aws.session() as session:
        answer = session.post(index.simple, data=bytes(megabytes * 1024 * 1024), auth=OURS)
    assert answer.status_code == 413
    assert f"s3://{BUCKET}/" in answer.json()["message"]


def test_twine_to_pip_and_uv(index: Index, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "from-twine", "1.0")
    run(
        index, "twine", "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", index.simple, wheel,
        TWINE_USERNAME=USER, TWINE_PASSWORD=PASSWORD,
    )  # fmt: skip
    assert listed(index, "from-twine") == [wheel.name]  # at once: the answer comes after the record

    install = "install", "--index-url", index.simple_with_credentials, "from-twine"
    run(index, "pip", *install, "--no-cache-dir", "--target", tmp_path / "pip")
    run(index, "uv", "pip", *install, "--no-cache", "--target", tmp_path / "uv")
    for installed in (tmp_path / "pip", tmp_path / "uv"):
        assert (installed / "from_twine-1.0.dist-info").is_dir()


@pytest.mark.parametrize("key", ["put_there-1.0+local.1-py3-none-any.whl", "a team+more/put_under-2.0-py3-none-any.whl"])
def test_what_is_put_into_the_bucket_appears_and_disappears(index: Index, tmp_path: Path, key: str) -> None:
    filename = key.rpartition("/")[2]
    project, version = filename.split("-")[:2]
    wheel = make_wheel(tmp_path, project, version)
    assert wheel.name == filename
    page = project.replace("_", "-")
    s3 = index.aws.boto3("s3")

    s3.put_object(Bucket=BUCKET, Key=key, Body=wheel.read_bytes())
    eventually(lambda: listed(index, page) == [filename])
    run(index, "pip", "install", "--index-url", index.simple_with_credentials, page, "--no-cache-dir", "--target", tmp_path / "pip")
    assert (tmp_path / "pip" / f"{project}-{version}.dist-info").is_dir()

    s3.delete_object(Bucket=BUCKET, Key=key)
    eventually(lambda: listed(index, page) == [])


def test_an_event_that_fails_ends_in_the_queue(index: Index) -> None:
    event = {"Records": [{"eventSource": "aws:s3", "s3": {"object": {}}}]}
    function = "elasticpypi-dev-sync"
    index.aws.boto3("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event))

    sqs = index.aws.boto3("sqs")
    queue = eventually(lambda: sqs.list_queues(QueueNamePrefix="elasticpypi-dev-").get("QueueUrls"))[0]
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
    assert json.loads(message["Body"])["requestPayload"] == event
