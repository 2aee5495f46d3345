"""Advisories, from what somebody brought to what everybody sees: over HTTP and by command."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from click.testing import CliRunner

from elasticpypi.accounts.principal import Actor, Principal
from elasticpypi.actions import advisories
from elasticpypi.cli import main
from elasticpypi.config import Config
from elasticpypi.core.advisories import KEY
from elasticpypi.core.errors import BadUpload, Changed, Forbidden, Unavailable
from elasticpypi.core.event import Event
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANY
from elasticpypi.upstream.verdict import ASK
from elasticpypi.wiring import services as opened
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import make_wheel
from tests.support.releases import Releases, releases
from tests.support.serving import Server, run
from tests.support.upstream_vectors import cases

BOSS = Actor(Principal("boss", "command"))
NOW = datetime.now(UTC)
BAD, GOOD = "demo-1.1-py3-none-any.whl", "demo-1.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("elasticpypi.services.ADVISORY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("elasticpypi.upstream.pages.SHORTEST_AGE", 0)


def record(id_: str, versions: tuple[str, ...] = (), name: str = "demo", fixed: str = "", days: int = 1) -> Any:
    events = [{"introduced": "0"}, {"fixed": fixed}] if fixed else []
    affected = {
        "package": {"ecosystem": "PyPI", "name": name},
        "versions": list(versions),
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    modified = (NOW - timedelta(days=days)).isoformat()
    about = {"summary": f"What {id_} says", "aliases": [f"CVE-{id_}"]}
    link = [{"type": "ADVISORY", "url": f"https://advisories.example/{id_}"}]
    return {"id": id_, "modified": modified, **about, "affected": [affected], "references": link}


MALWARE = record("MAL-2026-1", ("1.1",))
HOLE = record("PYSEC-2026-1", fixed="2.0")


def brought(folder: Path, *records: Any) -> Path:
    """A zip of records, as people bring it."""
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in records:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    return path


def load(services: Services, folder: Path, *records: Any, fewer: bool = True) -> advisories.Loaded:
    return advisories.load_all(services, BOSS, [brought(folder, *records)], fewer=fewer)


def events(services: Services, *kinds: str) -> list[Event]:
    return [event for event in services.log.read(most=1000) if event.type in kinds]


def known(services: Services) -> list[str]:
    return [each.id for each in services.advisories().of("demo").every]


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        index.release("demo", ("1.0", 100), ("1.1", 90), ("2.0", 1.5))
        yield index


@pytest.fixture
def with_upstream(theirs: Releases, tmp_path: Path) -> Client:
    services = opened(Config(users={USER: PASSWORD}, data=tmp_path / "data"))
    services.objects.write("policy.toml", theirs.policy(), None)
    return Client(services)


def versions(client: Client) -> list[str]:
    return client.json("/simple/demo/")["versions"]  # type: ignore[return-value]


def digest_of(client: Client, filename: str) -> str:
    found = [file for file in client.json("/simple/demo/")["files"] if file["filename"] == filename]  # type: ignore
    return str(found[0]["hashes"]["sha256"])


def put(client: Client, digest: str, reason: object = "It is ours", record: str = "MAL-2026-1", **more: Any) -> Any:
    where = f"/policy/acceptances/{record}/sha256:{digest}"
    return client.request("PUT", where, data=json.dumps({"reason": reason}), **more)


# ---- What is brought


def test_a_file_a_folder_and_a_zip_are_the_same(services: Services, tmp_path: Path) -> None:
    folder = tmp_path / "brought"
    (folder / "pypi" / "demo").mkdir(parents=True)
    (folder / "pypi" / "demo" / "one.json").write_text(json.dumps(MALWARE))
    (folder / "two.json").write_text(json.dumps(HOLE))
    (folder / "README.md").write_text("no record")
    whole = tmp_path / "both.json"
    whole.write_text(json.dumps([MALWARE, HOLE]))
    packed = brought(tmp_path, MALWARE, HOLE)
    made = []
    for paths in ([folder], [whole], [packed], [folder / "pypi", folder / "two.json"]):
        found = advisories.load_all(services, BOSS, paths)
        made.append(found.about.digest)
        assert (found.about.records, found.about.malware, found.about.projects) == (2, 1, 1)
    assert len({*made}) == 1
    assert known(services) == ["MAL-2026-1", "PYSEC-2026-1"]
    [told] = events(services, "advisories.loaded")  # the same again is no other
    assert (told.who.name, told.reason) == ("boss", "2 records, 1 of malware")


def test_what_is_loaded_replaces_what_was_there(services: Services, tmp_path: Path) -> None:
    first = load(services, tmp_path, MALWARE)
    second = load(services, tmp_path, HOLE, record("MAL-2026-2", ("1.0",), "other"), {**MALWARE, "withdrawn": "now"})
    assert known(services) == ["PYSEC-2026-1"]
    assert (first.before, second.before) == (None, first.about)
    assert [event.before for event in events(services, "advisories.loaded")] == [None, first.about.newest]
    assert second.about.by == "boss"


def no_zip(path: Path) -> None:
    path.write_bytes(brought(path.parent, MALWARE, HOLE).read_bytes()[:-30])


def damaged_zip(path: Path) -> None:
    body = bytearray(brought(path.parent, {**MALWARE, "details": "x" * 1000}).read_bytes())
    body[60] ^= 0xFF
    path.write_bytes(body)


def encrypted_zip(path: Path) -> None:
    body = bytearray(brought(path.parent, MALWARE).read_bytes())
    body[6] |= 1
    body[body.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(body)


def odd_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", json.dumps(MALWARE))
        archive.writestr("b.json", "{")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("{"), "it is not JSON"),
        (lambda path: path.write_text("[" * 100_000), "it is not JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "it is not JSON"),
        (lambda path: path.write_text(""), "it is not JSON"),
        (lambda path: path.write_text('{"name": "demo"}'), 'it has no "id"'),
        (lambda path: path.write_text(json.dumps([MALWARE, {"id": "MAL-2026-2"}])), '"modified" is no moment'),
        (lambda path: path.write_text("[]"), "no advisory about PyPI"),
        (lambda path: path.write_text(json.dumps({**MALWARE, "withdrawn": "now"})), "no advisory about PyPI"),
        (lambda path: path.mkdir(), "no advisory about PyPI"),
        (lambda path: os.mkfifo(path), "is no file"),
        (no_zip, "it is not JSON"),
        (damaged_zip, "is damaged at MAL-2026-1.json"),
        (encrypted_zip, "is damaged at MAL-2026-1.json"),
        (odd_zip, "b.json is no OSV record of an advisory: it is not JSON"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_changes_nothing(
    services: Services, tmp_path: Path, make: Any, said: str
) -> None:
    load(services, tmp_path, HOLE)
    before = services.objects.read(KEY)
    path = tmp_path / "brought"
    make(path)
    with pytest.raises(BadUpload) as caught:
        advisories.load_all(services, BOSS, [path])
    assert said in str(caught.value)
    assert str(caught.value).endswith("Nothing was loaded.")
    assert services.objects.read(KEY) == before
    assert len(events(services, "advisories.loaded")) == 1


def test_a_record_that_is_too_large(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb in a zip is read no further than that."""
    monkeypatch.setattr(advisories, "LARGEST", 1024 * 1024)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.json", b" " * 50_000_000)
    with pytest.raises(BadUpload, match="more than 1 MB"):
        advisories.load_all(services, BOSS, [path])


def test_far_fewer_than_before_need_a_word(services: Services, tmp_path: Path) -> None:
    some = [record(f"MAL-2026-{number}", ("1.1",)) for number in range(1, 6)]
    load(services, tmp_path, *some)
    with pytest.raises(BadUpload, match="There are 2 advisories in it, and 5 were loaded before: say --fewer"):
        load(services, tmp_path, *some[:2], fewer=False)
    assert len(known(services)) == 5
    load(services, tmp_path, *some[:3], fewer=False)
    load(services, tmp_path, *some[:1])
    assert known(services) == ["MAL-2026-1"]


def test_of_two_at_once_one_wins(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = brought(tmp_path, MALWARE)
    real = advisories._files

    def late(paths: Any) -> Any:
        monkeypatch.setattr(advisories, "_files", real)
        (tmp_path / "other").mkdir()
        load(services, tmp_path / "other", HOLE)
        return real(paths)

    monkeypatch.setattr(advisories, "_files", late)
    with pytest.raises(Changed):
        advisories.load_all(services, BOSS, [path])
    assert known(services) == ["PYSEC-2026-1"]


def test_whoever_got_no_answer_does_it_again(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is in the table, so that it can be recorded later, once."""
    real = services.log.append

    def fails(some: Any) -> None:
        raise Changed("The record is away.")

    with monkeypatch.context() as broken:
        broken.setattr(services.log, "append", fails)
        with pytest.raises(Changed):
            load(services, tmp_path, MALWARE)
    assert services.log.append == real
    assert not load(services, tmp_path, MALWARE).changed
    assert not load(services, tmp_path, MALWARE).changed
    assert len(events(services, "advisories.loaded")) == 1


def test_only_administrators(services: Services, tmp_path: Path) -> None:
    limited = replace(services, config=replace(services.config, admins=frozenset({"anna"})))
    somebody = Actor(Principal(USER))
    with pytest.raises(Forbidden):
        advisories.load_all(limited, somebody, [brought(tmp_path, MALWARE)])
    for change in (lambda *what: advisories.accept(*what, "x"), advisories.unaccept):
        with pytest.raises(Forbidden):
            change(limited, somebody, "MAL-2026-1", "ab" * 32)
    assert known(services) == []


def test_many_records_in_little_memory(tmp_path: Path) -> None:
    """Texts that nobody keeps do not add up: a zip of 40 MB takes a few more."""
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(1, 2001):
            each = {**record(f"MAL-2026-{number}", ("1.0",), f"evil-{number}"), "details": f"{number} " * 5000}
            archive.writestr(f"{number}.json", json.dumps(each))
    data = tmp_path / "data"
    data.mkdir()
    measure = (
        "import resource,sys,runpy;sys.argv=sys.argv[1:]\ntry: runpy.run_module('elasticpypi',run_name='__main__')\n"
    )
    measure += "except SystemExit: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"

    def peak(*arguments: str) -> int:
        command = [sys.executable, "-c", measure, "elasticpypi", "advisories", *arguments, "--data", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return int(done.stdout.splitlines()[-1])

    assert peak("load", str(path)) < peak() + 15_000  # kB


# ---- What everybody sees


def test_malware_is_on_no_page_and_no_file_of_it_is_served(with_upstream: Client, tmp_path: Path) -> None:
    client = with_upstream
    kept = client.get(f"/upstream/main/files/{BAD}")
    assert kept.data == f"wheel {BAD}".encode()
    etag = client.get("/simple/demo/").headers["ETag"]
    load(client.services, tmp_path, MALWARE)
    answer = client.get("/simple/demo/", headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert versions(client) == ["1.0"]
    said = f"{BAD} is blocked: MAL-2026-1 says that it is malware: What MAL-2026-1 says. {ASK}."
    held = {each["filename"]: each for each in client.json("/simple/demo/")["_held"]}  # type: ignore[attr-defined]
    assert held[BAD] == {"filename": BAD, "until": None, "reason": said}
    for path in (f"/upstream/main/files/{BAD}", f"/upstream/main/files/{BAD}.metadata"):
        refused = client.get(path)
        assert (refused.status_code, said in refused.text) == (403, True), path
        assert client.head(path).status_code == 403
    assert client.get("/pypi/demo/1.1/json").status_code == 403
    assert client.get(f"/upstream/main/files/{GOOD}").status_code == 200
    page = client.get("/project/demo/", headers={"Accept": "text/html"}).text
    assert "1 version blocked" in page
    assert said in page.replace("&#39;", "'")
    load(client.services, tmp_path, {**MALWARE, "withdrawn": "now"}, HOLE)
    assert versions(client)[:2] == ["1.0", "1.1"]
    assert client.get(f"/upstream/main/files/{BAD}").status_code == 200


def test_it_holds_where_the_cooldown_only_hides(with_upstream: Client, theirs: Releases, tmp_path: Path) -> None:
    client = with_upstream
    client.services.objects.write("policy.toml", theirs.policy("[cooldown]", 'where = "index"'), ANY)
    client.request("PUT", "/policy/exemptions/demo==1.1", data='{"until": "2999-01-01", "reason": "x"}')
    load(client.services, tmp_path, MALWARE)
    assert client.get(f"/upstream/main/files/{BAD}").status_code == 403


def test_offline_too(with_upstream: Client, theirs: Releases, tmp_path: Path) -> None:
    client = with_upstream
    assert client.get(f"/upstream/main/files/{BAD}").status_code == 200
    client.services.objects.write("policy.toml", theirs.policy("offline = true"), ANY)
    assert versions(client) == ["1.1"]
    load(client.services, tmp_path, MALWARE)
    assert versions(client) == []
    assert client.get(f"/upstream/main/files/{BAD}").status_code == 403


@pytest.mark.parametrize("case", [case for case in cases("osv") if case.get("own")], ids=lambda case: case["id"])
def test_never_what_is_ours(with_upstream: Client, tmp_path: Path, case: Any) -> None:
    client, name = with_upstream, case["project"]
    wheel = make_wheel(tmp_path, name, case["version"])
    assert client.upload(wheel).status_code == 200
    load(client.services, tmp_path, case["record"])
    assert client.json(f"/simple/{name}/")["versions"] == [case["version"]]
    assert client.get(f"/packages/{wheel.name}").status_code == 200
    [file] = client.get(f"/policy/projects/{name}").get_json()["files"]
    assert (file["visible"], file["reason"]) == (True, "")
    assert case["blocked"] is False


def test_own_files_beside_those_of_others(with_upstream: Client, tmp_path: Path) -> None:
    """Where a name comes from both, ours of the very version stays."""
    client = with_upstream
    client.request("PUT", "/policy/origins/demo", data='{"origin": "both"}')
    assert client.upload(make_wheel(tmp_path, "demo", "1.1.0")).status_code == 200
    load(client.services, tmp_path, MALWARE)
    files = [file["filename"] for file in client.json("/simple/demo/")["files"]]  # type: ignore[attr-defined]
    assert files == [GOOD, "demo-1.1.0-py3-none-any.whl"]


def test_what_mends_a_hole_is_there_earlier(with_upstream: Client, tmp_path: Path) -> None:
    client = with_upstream
    assert versions(client) == ["1.0", "1.1"]
    load(client.services, tmp_path, HOLE)
    assert versions(client) == ["1.0", "1.1", "2.0"]
    assert client.get("/upstream/main/files/demo-2.0-py3-none-any.whl").status_code == 200
    load(client.services, tmp_path, record("PYSEC-2026-1", fixed="3.0"))
    assert versions(client) == ["1.0", "1.1"]


def test_malware_is_an_event_once(with_upstream: Client, theirs: Releases, tmp_path: Path) -> None:
    client = with_upstream
    digest = digest_of(client, BAD)
    theirs.release("other", ("1.1", 90))
    load(client.services, tmp_path, MALWARE, {**MALWARE, "id": "MAL-2026-2"}, record("MAL-2026-3", ("1.1",), "other"))
    assert events(client.services, "upstream.blocked") == []  # nobody has asked yet
    for _ in range(2):
        client.get(f"/upstream/main/files/{BAD}")
        client.json("/simple/demo/")
        client.json("/simple/other/")
    again = Client(opened(client.services.config))
    again.json("/simple/demo/")
    told = events(client.services, "upstream.blocked")
    assert [(event.project, event.after, event.filename) for event in told] == [
        ("demo", "MAL-2026-1", BAD),
        ("other", "MAL-2026-3", "other-1.1-py3-none-any.whl"),
    ]
    assert (told[0].sha256, told[0].who.name, told[0].who.through) == (digest, "main", "upstream")
    assert "MAL-2026-1 says that it is malware" in str(told[0].reason)


def test_an_event_that_cannot_be_recorded_comes_later(
    with_upstream: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_upstream
    load(client.services, tmp_path, MALWARE)

    def fails(some: Any) -> None:
        raise Changed("The record is away.")

    with monkeypatch.context() as broken:
        broken.setattr(type(client.services.log), "append", lambda self, some: fails(some))
        assert versions(client) == ["1.0"]
    assert events(client.services, "upstream.blocked") == []
    client.get(f"/upstream/main/files/{BAD}")
    assert len(events(client.services, "upstream.blocked")) == 1


# ---- What is accepted


def test_an_acceptance_and_its_end(with_upstream: Client, tmp_path: Path) -> None:
    client = with_upstream
    digest = digest_of(client, BAD)
    load(client.services, tmp_path, MALWARE, record("MAL-2026-2", ("1.0",)))
    assert versions(client) == []
    [why] = client.get("/policy/projects/demo==1.1").get_json()["files"]
    assert (why["visible"], why["until"]) == (False, None)
    assert why["change"] == f"elasticpypi advisories accept MAL-2026-1 sha256:{digest} --reason TEXT"
    answer = put(client, digest)
    assert answer.get_json() == {"record": "MAL-2026-1", "sha256": digest, "accepted": True}
    assert versions(client) == ["1.1"]
    assert client.get(f"/upstream/main/files/{BAD}").status_code == 200
    assert client.get(f"/upstream/main/files/{GOOD}").status_code == 403
    [why] = client.get("/policy/projects/demo==1.1").get_json()["files"]
    assert why["visible"] is True
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert why["reason"] == f"MAL-2026-1 says that {BAD} is malware. It was accepted by {USER}, {today}: It is ours"
    assert why["change"] == f"elasticpypi advisories unaccept MAL-2026-1 sha256:{digest}"
    page = client.get("/project/demo/", headers={"Accept": "text/html"}).text
    assert "1 version accepted" in page
    assert "It is ours" in page
    ruling = json.loads((client.services.config.data / f"policy/acceptances/MAL-2026-1=sha256={digest}").read_text())
    assert (ruling["value"], ruling["by"], ruling["at"][:10]) == ("MAL-2026-1", USER, today)
    ended = client.request("DELETE", f"/policy/acceptances/MAL-2026-1/sha256:{digest}")
    assert ended.get_json() == {"record": "MAL-2026-1", "sha256": digest, "accepted": False}
    assert versions(client) == []
    assert client.get(f"/upstream/main/files/{BAD}").status_code == 403
    told = [
        (event.type, event.project, event.sha256, event.before, event.after, event.reason)
        for event in events(client.services, "policy.accepted", "policy.unaccepted")
    ]
    assert told == [
        ("policy.accepted", "demo", digest, None, "MAL-2026-1", "It is ours"),
        ("policy.unaccepted", None, digest, "MAL-2026-1", None, None),
    ]


def test_an_acceptance_that_cannot_be_read_accepts_nothing(with_upstream: Client, tmp_path: Path) -> None:
    client = with_upstream
    digest = digest_of(client, BAD)
    load(client.services, tmp_path, MALWARE)
    assert put(client, digest).status_code == 200
    assert versions(client) == ["1.0", "1.1"]
    client.services.objects.write(f"policy/acceptances/MAL-2026-1=sha256={digest}", b"damaged", ANY)
    assert versions(client) == ["1.0"]


@pytest.mark.parametrize(
    ("named", "digest", "reason", "status", "said"),
    [
        ("MAL-2026-9", "ab" * 32, "x", 404, "There is no advisory MAL-2026-9 here"),
        ("PYSEC-2026-1", "ab" * 32, "x", 400, "begin with MAL-"),
        ("MAL-2026-1", "ab", "x", 400, "64 hexadecimal digits"),
        ("MAL-2026-1", "ab" * 32, " ", 400, "needs a reason"),
        ("MAL-2026-1", "ab" * 32, None, 400, '"reason"'),
    ],
)
def test_what_cannot_be_accepted(
    client: Client, tmp_path: Path, named: str, digest: str, reason: object, status: int, said: str
) -> None:
    load(client.services, tmp_path, MALWARE, HOLE)
    answer = put(client, digest, reason, named)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert client.request("DELETE", f"/policy/acceptances/MAL-2026-1/sha256:{'ab' * 32}").status_code == 404
    assert events(client.services, "policy.accepted", "policy.unaccepted") == []


def test_acceptances_in_both_families(client: Client, tmp_path: Path) -> None:
    load(client.services, tmp_path, MALWARE)
    for _ in range(2):
        assert put(client, "ab" * 32).status_code == 200
    [accepted] = client.services.rulings().accepted.values()
    assert (accepted.record, accepted.sha256, accepted.by) == ("MAL-2026-1", "ab" * 32, USER)
    assert len(events(client.services, "policy.accepted")) == 1
    assert client.request("DELETE", f"/policy/acceptances/MAL-2026-1/sha256:{'ab' * 32}").status_code == 200
    assert client.services.rulings().accepted == {}


# ---- What informs


def test_vulnerabilities_of_both(with_upstream: Client, tmp_path: Path) -> None:
    client = with_upstream
    etag = client.get("/pypi/demo/1.0/json").headers["ETag"]
    assert client.get("/pypi/demo/1.0/json").get_json()["vulnerabilities"] == []
    load(client.services, tmp_path, HOLE, record("PYSEC-2026-2", fixed="3.1", name="ours"))
    answer = client.get("/pypi/demo/1.0/json", headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.get_json()["vulnerabilities"] == [
        {
            "id": "PYSEC-2026-1",
            "source": "osv",
            "link": "https://advisories.example/PYSEC-2026-1",
            "aliases": ["CVE-PYSEC-2026-1"],
            "details": "What PYSEC-2026-1 says",
            "summary": "What PYSEC-2026-1 says",
            "fixed_in": ["2.0"],
            "withdrawn": None,
        }
    ]
    again = client.get("/pypi/demo/1.0/json", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert client.get("/pypi/demo/2.0/json").get_json()["vulnerabilities"] == []
    client.request("PUT", "/policy/origins/ours", data='{"origin": "private"}')
    for version in ("3.0", "3.1"):
        assert client.upload(make_wheel(tmp_path, "ours", version)).status_code == 200
    found = {version: client.get(f"/pypi/ours/{version}/json").get_json() for version in ("3.0", "3.1")}
    assert [each["id"] for each in found["3.0"]["vulnerabilities"]] == ["PYSEC-2026-2"]
    assert found["3.1"]["vulnerabilities"] == client.get("/pypi/ours/json").get_json()["vulnerabilities"] == []


def test_vulnerabilities_in_both_families(client: Client, tmp_path: Path) -> None:
    assert client.upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 200
    load(client.services, tmp_path, HOLE)
    [hole] = client.get("/pypi/demo/json").get_json()["vulnerabilities"]
    assert (hole["id"], hole["fixed_in"]) == ("PYSEC-2026-1", ["2.0"])


def test_without_them_what_is_ours_is_there(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 200
    load(client.services, tmp_path, HOLE)
    read = client.services.objects.read

    def away(key: str) -> Any:
        if key == KEY:
            raise Unavailable("The bucket of records is not there.")
        return read(key)

    monkeypatch.setattr(client.services.objects, "read", away)
    assert client.get("/pypi/demo/json").get_json()["vulnerabilities"] == []
    assert client.json("/simple/demo/")["versions"] == ["1.0"]
    assert client.get("/health").get_json()["advisories"].startswith("The advisories cannot be read: ")
    monkeypatch.undo()
    assert len(client.get("/pypi/demo/json").get_json()["vulnerabilities"]) == 1


def test_how_old_they_are_is_shown(with_upstream: Client, tmp_path: Path) -> None:
    client = with_upstream

    def said() -> tuple[str | None, bool]:
        health = client.get("/health", user=None)
        home = client.get("/", headers={"Accept": "text/html"}).text
        assert health.status_code == 200
        return health.get_json().get("advisories"), "load newer ones with elasticpypi advisories load" in home

    assert said() == (None, False)
    load(client.services, tmp_path, MALWARE)
    assert said() == (f"the newest of 1 is of {NOW - timedelta(days=1):%Y-%m-%d}", False)
    load(client.services, tmp_path, record("MAL-2026-1", ("1.1",), days=30))
    assert said() == ("The advisories are 30 days old: load newer ones with elasticpypi advisories load.", True)
    client.services.objects.write(KEY, b"damaged", ANY)
    assert "load them again" in str(said()[0])
    assert versions(client) == ["1.0"]  # the last good ones hold


def query(client: Client, body: object, where: str = "query", status: int = 200) -> Any:
    answer = client.request("POST", f"/api/osv/v1/{where}", data=body if isinstance(body, bytes) else json.dumps(body))
    assert answer.status_code == status, answer.text
    return answer.get_json(silent=True)


def asked(name: str, version: str | None = None, ecosystem: str = "PyPI") -> dict[str, Any]:
    return {"package": {"name": name, "ecosystem": ecosystem}, "version": version}


def test_records_as_other_programs_ask_for_them(client: Client, tmp_path: Path) -> None:
    both = {**HOLE, "affected": [*HOLE["affected"], *record("x", ("7",), "other")["affected"]]}
    load(client.services, tmp_path, MALWARE, both)
    found = query(client, asked("De.Mo", "1.1")), query(client, asked("demo", "1.1.0"))
    assert found[0] == {}
    assert [each["id"] for each in found[1]["vulns"]] == ["MAL-2026-1", "PYSEC-2026-1"]
    assert [each["id"] for each in query(client, asked("demo", "1.0"))["vulns"]] == ["PYSEC-2026-1"]
    assert len(query(client, asked("demo"))["vulns"]) == 2
    assert query(client, asked("demo", "2.0")) == query(client, asked("demo", "1.1", "npm")) == {}
    queries = [asked("demo", "1.1"), asked("none", "1"), asked("other", "7")]
    results = query(client, {"queries": queries}, "querybatch")["results"]
    ids = [[each["id"] for each in result.get("vulns", [])] for result in results]
    assert ids == [["MAL-2026-1", "PYSEC-2026-1"], [], ["PYSEC-2026-1"]]
    whole = client.get("/api/osv/v1/vulns/PYSEC-2026-1").get_json()
    assert [each["package"]["name"] for each in whole["affected"]] == ["demo", "other"]
    assert whole["affected"][0]["ranges"][0]["events"] == [{"introduced": "0"}, {"fixed": "2.0"}]
    (tmp_path / "again").mkdir()
    before = client.services.advisories().mark
    load(client.services, tmp_path / "again", client.get("/api/osv/v1/vulns/MAL-2026-1").get_json(), whole)
    assert client.services.advisories().mark == before  # what is told is what was loaded


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{", "query"),
        ([], "query"),
        ({}, "query"),
        ({"package": []}, "query"),
        (asked("-"), "query"),
        (asked("demo", "x"), "query"),
        ({"package": {"ecosystem": "PyPI", "name": 7}}, "query"),
        ({"package": {"ecosystem": "PyPI", "name": "demo"}, "version": {"a": 1}}, "query"),
        ({"queries": {}}, "querybatch"),
        ({"queries": [7]}, "querybatch"),
        ({"queries": [asked("demo", "1")] * 1001}, "querybatch"),
    ],
)
def test_questions_that_are_none(client: Client, body: object, where: str) -> None:
    query(client, body, where, 400)


def test_a_thousand_at_once(client: Client, tmp_path: Path) -> None:
    load(client.services, tmp_path, HOLE)
    results = query(client, {"queries": [asked("demo", f"1.{n}") for n in range(1000)]}, "querybatch")["results"]
    assert len(results) == sum(len(each["vulns"]) for each in results) == 1000
    assert client.request("POST", "/api/osv/v1/query", data=b" " * 70_000).status_code == 413
    too_large = client.request("POST", "/api/osv/v1/querybatch", data=b" " * 1_100_000)
    assert (too_large.status_code, "fewer packages" in too_large.text) == (413, True)
    assert client.get("/api/osv/v1/vulns/PYSEC-2026-9").status_code == 404


# ---- By command


def test_by_command(with_upstream: Client, tmp_path: Path) -> None:
    client = with_upstream
    digest, place = digest_of(client, BAD), ("--data", str(client.services.config.data))

    def run(*arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(main, ["advisories", *arguments, *place])
        assert done.exit_code == status, done.output
        return done.stdout if status == 0 else done.output

    assert run() == "No advisories are loaded: elasticpypi advisories load FILE, FOLDER or ZIP.\n"
    path = str(brought(tmp_path, MALWARE, HOLE, record("MAL-0000-draft", ("1.0",))))
    day = f"{NOW - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    said = f"2 advisories about 1 project, 1 of malware; the newest is of {day}."
    assert run("load", path) == f"{said}\nLeft out: 1, which are drafts, or not about PyPI.\n"
    assert versions(client) == ["1.0", "2.0"]
    assert run("load", path).startswith(f"{said} They are as they were.\n")
    assert run().startswith(f"{said} Loaded {datetime.now(UTC):%Y-%m-%d}")
    accept = ("accept", "MAL-2026-1", f"sha256:{digest}")
    assert "'--reason'" in run(*accept, status=2)
    assert run(*accept, "--reason", "ours") == f"MAL-2026-1 for sha256:{digest} is accepted.\n"
    assert versions(client) == ["1.0", "1.1", "2.0"]
    assert run("unaccept", *accept[1:]) == f"MAL-2026-1 for sha256:{digest} is not accepted.\n"
    assert versions(client) == ["1.0", "2.0"]
    assert "is not accepted" in run("unaccept", "MAL-2026-1", "ab" * 32, status=1)
    (tmp_path / "wrong.json").write_text("{}")
    assert run("load", str(tmp_path / "wrong.json"), status=1).count("\n") == 2  # what it does, and why it does not
    old = brought(tmp_path, record("MAL-2026-1", ("1.1",), days=30), record("MAL-2026-2", ("7",), days=31))
    run("load", str(old))
    shown = run(status=1)
    assert shown.startswith("2 advisories about 1 project, 2 of malware")
    assert "The advisories are 30 days old" in shown
    assert CliRunner().invoke(main, ["advisories", *place, "load", path]).exit_code == 0


def test_beside_an_index_that_runs(theirs: Releases, tmp_path: Path) -> None:
    """Kept answers of all workers are others, and other ones again."""
    data = tmp_path / "data"
    server = Server(data, UPSTREAM=theirs.url, USERNAME=USER, PASSWORD="secret", WORKERS="2")

    def seen() -> set[str]:
        accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
        pages = [server.open("/simple/demo/", f"{USER}:secret", **accept).read() for _ in range(8)]
        return {" ".join(json.loads(page)["versions"]) for page in pages}

    def status(filename: str) -> int:
        try:
            with server.open(f"/upstream/main/files/{filename}", f"{USER}:secret") as answer:
                return int(answer.status)
        except HTTPError as error:
            error.close()
            return error.code

    def command(*arguments: str) -> None:
        said = run("advisories", *arguments, "--data", str(data), HOME=str(tmp_path))
        assert said.returncode == 0, said.stderr

    try:
        assert seen() == {"1.0 1.1"}
        assert {status(BAD) for _ in range(8)} == {200}
        command("load", str(brought(tmp_path, MALWARE)))
        server.wait_for(lambda: seen() == {"1.0"})
        assert {status(BAD) for _ in range(8)} == {403}
        command("accept", "MAL-2026-1", f"sha256:{digest_in(theirs)}", "--reason", "ours")
        server.wait_for(lambda: seen() == {"1.0 1.1"})
        command("load", "--fewer", str(brought(tmp_path, {**MALWARE, "withdrawn": "now"}, HOLE)))
        server.wait_for(lambda: seen() == {"1.0 1.1 2.0"})
    finally:
        server.close()


def test_what_is_ours_needs_none(theirs: Releases, tmp_path: Path) -> None:
    """Of others nothing is served as long as nobody can say what is malware."""
    data = tmp_path / "data"
    (data / "packages").mkdir(parents=True)
    make_wheel(data / "packages", "ours", "1.0")
    (data / "advisories").symlink_to("advisories")
    server = Server(data, UPSTREAM=theirs.url, USERNAME=USER, PASSWORD="secret", WORKERS="1")
    try:
        for _ in range(3):
            for path in ("/simple/ours/", "/simple/", "/packages/ours-1.0-py3-none-any.whl", "/pypi/ours/json", "/"):
                assert server.open(path, f"{USER}:secret").status == 200, path
            with pytest.raises(HTTPError) as caught:
                server.open("/simple/demo/", f"{USER}:secret")
            assert caught.value.code == 503
            assert b"'advisories/table' cannot be read" in caught.value.read()
            caught.value.close()
        (data / "advisories").unlink()
        server.wait_for(lambda: server.open("/health", None).status == 200)
        assert server.open("/simple/demo/", f"{USER}:secret").status == 200
    finally:
        server.close()


def digest_in(theirs: Releases) -> str:
    return next(str(file["hashes"]["sha256"]) for file in theirs.projects["demo"]["files"] if file["filename"] == BAD)
