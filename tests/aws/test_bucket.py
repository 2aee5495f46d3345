"""What is put into the bucket and removed from it, past the application."""

import json
import time
from pathlib import Path

import pytest

from tests.support.builders import make_wheel
from tests.support.deployed import JSON, Index
from tests.support.waiting import until

pytestmark = pytest.mark.aws


@pytest.mark.parametrize("folder", ["", "a team+more/", "d\u00e9partement/100%25/\U0001f4e6/"])
def test_what_is_put_into_the_bucket_appears_and_disappears(index: Index, tmp_path: Path, folder: str) -> None:
    project = f"put-{len(folder)}"
    wheel = make_wheel(tmp_path, project, "1.0+local.1")
    index.put(f"{folder}{wheel.name}", wheel.read_bytes())
    until(lambda: index.files(project) == [wheel.name], "the file on the page")
    install = "install", "--index-url", index.simple_with_credentials, project
    index.run("pip", *install, "--no-cache-dir", "--target", tmp_path / "pip")
    assert (tmp_path / "pip" / f"{wheel.name.rpartition('-py3')[0]}.dist-info").is_dir()

    index.aws.boto3("s3").delete_object(Bucket=index.bucket, Key=f"{folder}{wheel.name}")
    until(lambda: not index.files(project), "the file to go")


def test_what_is_no_package_disturbs_nothing(index: Index, tmp_path: Path) -> None:
    strays = {
        "README.md": b"hello",
        "strays/": b"",
        "strays/stray 1+2.txt": b"",
        ".stray-1.0.tar.gz": b"",
        "stray-1.0-py3-none-any.whl": b"PK\x03\x04 and no more",
        "stray-1.0-py3-none-any.whl.asc": b"",
        "stray.STATUS": b"",
        f"strays/{'s' * 900}.whl": b"",
    }
    begun = time.time()
    for key, content in strays.items():
        index.put(key, content)
    wheel = make_wheel(tmp_path, "beside-strays", "1.0")
    index.put(wheel.name, wheel.read_bytes())
    until(lambda: index.files("beside-strays"), "the file on the page")

    def seen() -> bool:
        log = index.log("sync", begun)
        return all(f"ignored: {key} " in log for key in strays)

    until(seen, "sync to have seen them all")
    root = index.request("GET", "/simple/", headers=JSON).json()
    assert [project["name"] for project in root["projects"] if "stray" in project["name"]] == ["beside-strays"]
    assert index.request("GET", "/packages/stray-1.0-py3-none-any.whl").status_code == 404


def test_an_event_that_fails_ends_in_the_queue(index: Index) -> None:
    event = {"Records": [{"eventSource": "aws:s3", "s3": {"object": {}}}]}
    functions, sqs = index.aws.boto3("lambda"), index.aws.boto3("sqs")
    functions.invoke(FunctionName=f"{index.stack}-sync", InvocationType="Event", Payload=json.dumps(event))

    queue = sqs.list_queues(QueueNamePrefix=f"{index.stack}-SyncFailures")["QueueUrls"][0]
    (message,) = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"), "the message in the queue")
    assert json.loads(message["Body"])["requestPayload"] == event
