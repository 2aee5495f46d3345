"""Advisories on AWS: loaded by a command from anywhere, and known to the functions a minute later."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import make_wheel
from tests.support.deployed import Index
from tests.support.serving import run
from tests.support.waiting import until

pytestmark = pytest.mark.aws


def test_what_is_loaded_is_told_by_the_functions(index: Index, tmp_path: Path) -> None:
    index.upload(make_wheel(tmp_path, "with-a-hole", "1.0"))
    events = [{"introduced": "0"}, {"fixed": "2.0"}]
    affected = {"package": {"ecosystem": "PyPI", "name": "with-a-hole"}}
    affected |= {"ranges": [{"type": "ECOSYSTEM", "events": events}]}
    record = {"id": "PYSEC-2026-1", "modified": "2026-11-29T00:00:00Z", "affected": [affected]}
    (tmp_path / "record.json").write_text(json.dumps(record))
    aws = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    aws |= {"AWS_CA_BUNDLE": str(index.aws.ca), "HTTPS_PROXY": index.aws.proxy, "NO_PROXY": "127.0.0.1"}
    store = {"BUCKET": index.bucket, "TABLE": index.table, "HOME": str(tmp_path)}
    done = run("advisories", "load", str(tmp_path / "record.json"), **aws, **store)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 advisory about 1 project, 0 of malware")

    def told() -> Any:
        answer = index.request("GET", "/pypi/with-a-hole/1.0/json")
        assert answer.status_code == 200, answer.text
        return answer.json()["vulnerabilities"]

    [hole] = until(told, "the functions to look at the table again", 90)
    assert (hole["id"], hole["fixed_in"]) == ("PYSEC-2026-1", ["2.0"])
    query = {"package": affected["package"], "version": "1.0"}
    answer = index.request("POST", "/api/osv/v1/query", json=query)
    assert [each["id"] for each in answer.json()["vulns"]] == ["PYSEC-2026-1"]
    assert "advisories" in index.request("GET", "/health", auth=None).json()
    assert "advisories.loaded" in [event["type"] for event in index.recorded()]
