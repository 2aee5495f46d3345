"""A process of version 1.0 that goes on for a while, over the store and the table of this version."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi.actions.audit import audit
from elasticpypi.core.model import Decision
from elasticpypi.indexing.audit import Report
from elasticpypi.services import Services
from tests.support.application import PASSWORD, USER, Client, basic
from tests.support.builders import make_wheel
from tests.support.moto_aws import BUCKET, TABLE
from tests.support.version_1_0 import checkout

PAGES = "/simple/demo/", "/project/demo/", "/project/shut/", "/simple/shut/", "/simple/blocked/"
SCRIPT = """
import json, os, sys
from elasticpypi import sync
from elasticpypi.app import create_app
from elasticpypi.config import Config
from elasticpypi.wiring import services

opened = services(Config.from_env(os.environ))
if not opened.config.on_aws:  # its index is a file of its own form
    for outcome in sync.sync_all(opened.files, opened.index, [stat.key for stat in opened.files.list()]):
        assert outcome.action != "failed", outcome
client, accept = create_app(opened).test_client(), "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
headers = {"Authorization": sys.argv[1], "Accept": accept}
answers = {path: client.get(path, headers=headers) for path in sys.argv[2:]}
print(json.dumps({path: (answer.status_code, answer.text) for path, answer in answers.items()}))
"""


def asked_of_1_0(services: Services, folder: Path, endpoint: str) -> dict[str, tuple[int, str]]:
    environment = {"PATH": os.environ["PATH"], "USERNAME": USER, "PASSWORD": PASSWORD}
    environment["DATA"] = str(services.config.data)
    if services.config.on_aws:
        environment |= {"BUCKET": BUCKET, "TABLE": TABLE, "AWS_ENDPOINT_URL": endpoint}
        environment |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    command = [sys.executable, "-c", SCRIPT, basic(f"{USER}:{PASSWORD}"), *PAGES]
    done = subprocess.run(command, cwd=checkout(folder), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("again", [False, True])
def test_it_reads_what_this_version_decided(
    client: Client, tmp_path: Path, request: pytest.FixtureRequest, again: bool
) -> None:
    """No page fails. A file is yanked, with its reason; what is archived stays so; what is blocked is not shown."""
    services = client.services
    on_aws = services.config.on_aws

    def decide(method: str, path: str, data: bytes = b"") -> Any:
        answer = client.request(method, path, data=data)
        assert answer.status_code == 200, answer.text

    for name, version in (("demo", "1.0"), ("demo", "2.0"), ("demo", "3.0"), ("shut", "1.0"), ("blocked", "1.0")):
        assert client.upload(make_wheel(tmp_path, name, version)).status_code == 200
    for _ in range(1 + again):
        decide("PUT", "/packages/demo-1.0-py3-none-any.whl.yanked", b"broken")
        decide("PUT", "/packages/shut.status", b"archived\nno more")
        decide("PUT", "/policy/blocks/blocked", b'{"reason": "stolen"}')
        if again:
            decide("DELETE", "/packages/demo-1.0-py3-none-any.whl.yanked")
            decide("DELETE", "/policy/blocks/blocked")
    decide("DELETE", "/packages/demo-3.0-py3-none-any.whl")

    found = asked_of_1_0(services, tmp_path / "1.0", request.getfixturevalue("aws_endpoint") if on_aws else "")
    assert {path: status for path, (status, _) in found.items()} == dict.fromkeys(PAGES, 200)
    demo, shut, blocked = (json.loads(found[f"/simple/{name}/"][1]) for name in ("demo", "shut", "blocked"))
    yanked = {file["filename"][5:8]: file.get("yanked") for file in demo["files"]}
    assert set(yanked) == {"1.0", "2.0"}
    assert not yanked["2.0"]
    assert not yanked["1.0"] if again else yanked["1.0"].startswith("broken")
    assert (shut["project-status"]["status"], shut["project-status"]["reason"][:7]) == ("archived", "no more")
    assert len(blocked["files"]) == (1 if again or not on_aws else 0)


def test_an_audit_mends_what_it_read(client: Client, tmp_path: Path) -> None:
    """It took the last line of a decision, which says who made it, for a part of the decision."""
    services, wheel = client.services, make_wheel(tmp_path, "demo", "1.0")
    assert client.upload(wheel).status_code == 200
    assert client.request("DELETE", f"/packages/{wheel.name}").status_code == 200
    name, key = NormalizedName("demo"), f"{wheel.name}.deleted"
    right = services.index.record(name, key)
    assert isinstance(right, Decision)
    services.index.put(replace(right, text=f"{right.text} # by {USER} at 2026-12-01T12:00:00Z"))
    assert client.upload(wheel).status_code == 409
    assert len(list(audit(services, Report(repair=True)))) == 1
    assert list(audit(services, Report(repair=True))) == []
    assert client.upload(wheel).status_code == 200
