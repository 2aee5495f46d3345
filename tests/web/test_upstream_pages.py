"""What people see of another index: its projects, what is held of them and why, and that nobody is asked in passing."""

import hashlib
import json
import re
import time
from html import unescape
from pathlib import Path

import pytest

from elasticpypi.actions.policy import block, unblock
from elasticpypi.config import Config
from elasticpypi.core import exemptions, ruling
from elasticpypi.core.moments import seconds_of, text_of
from elasticpypi.core.outcome import Outcome
from elasticpypi.core.ruling import Ruling
from elasticpypi.repository import kept, rulings
from elasticpypi.repository.current_policy import DOCUMENT
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.upstream.fetch import Client as Asking
from elasticpypi.wiring import on_folder, with_subscribers
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import ACTOR, make_wheel
from tests.support.outside import ADDRESS, DAY, JSON, Outside, entry
from tests.support.tags import harmless
from tests.support.waiting import until

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
OURS = frozenset({"meta", "link", "script", "svg", "form"})  # what the head and the search box consist of
HOSTILE = "<script>hit()</script><img src=x onerror=hit()>\"'&{{7*7}}"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    """It has ``six``, with one version that is too young and one that is yanked."""
    made = Outside()
    made.has(
        "six",
        entry("six-1.0-py3-none-any.whl", **{"requires-python": ">=3.8"}),
        entry("six-1.1.tar.gz", yanked="broken on Windows"),
        entry("six-1.2.tar.gz"),
        entry("six-2.0.tar.gz", 0.5),
        entry("six-2.0-py3-none-any.whl", 0.25),
    )
    monkeypatch.setattr(Asking, "page", made.page)
    monkeypatch.setattr("elasticpypi.repository.first_match.LOOK", 0.0)
    monkeypatch.setattr(kept, "LOOK", 0.0)
    return made


@pytest.fixture
def client(outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """An index that asks it."""
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))
    config = Config(users={USER: PASSWORD}, data=tmp_path / "data", upstream=ADDRESS)
    return Client(on_folder(config, DirectoryFiles(config.data), SQLiteIndex(config.data / "index.db")))


def look(client: Client, path: str, status: int = 200) -> str:
    response = client.get(path, headers=BROWSER)
    assert response.status_code == status, response.text
    return response.text


def text(html: str) -> str:
    """What there is to read, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html.partition("<main")[2])).split())


def decide(client: Client, key: str, value: str, reason: str = "") -> None:
    """Have a ruling hold, as administrators make it."""
    made = Ruling(value, reason, "boss", "2026-11-30T12:00:00Z")
    client.services.objects.write(key, ruling.dump(made), None)


def policy(client: Client, document: str) -> None:
    objects = client.services.objects
    objects.write(DOCUMENT, document.encode(), objects.revision(DOCUMENT))


def add(client: Client, *paths: Path) -> None:
    for path in paths:
        assert client.upload(path).status_code == 200
    with_subscribers(client.services).events.tell([Outcome(path.name, "written") for path in paths])


# ---- A project


def test_a_project_of_another_index_says_so(client: Client) -> None:
    html = look(client, "/project/six/")
    said = text(html)
    assert "six 1.2 From the index main (outside.example)." in said  # 2.0 is held
    assert "pip install --index-url http://localhost/simple/ six" in said
    assert 'href="../../upstream/main/packages/ab/six-1.2.tar.gz"' in html
    assert re.search(r"1\.1 yanked: broken on Windows", said)
    assert "Python >=3.8" in said
    assert harmless(html, OURS) == []


def test_nothing_is_said_of_what_is_inside(client: Client) -> None:
    said = text(look(client, "/project/six/"))
    for claim in ("This release has no description", "It depends on nothing", "Licence", "Manage", "Delete", "Yank"):
        assert claim not in said


def test_who_depends_on_it_is_known(client: Client, tmp_path: Path) -> None:
    assert "Used by" not in text(look(client, "/project/six/"))
    add(client, make_wheel(tmp_path, "acme", "1.0", requires_dist="six"))
    assert "Used by acme" in text(look(client, "/project/six/"))


def test_what_is_held_is_listed_with_its_moment_and_the_reason(client: Client, outside: Outside) -> None:
    said = text(look(client, "/project/six/"))
    [early, late] = [_free(outside, number) for number in (3, 4)]
    assert "The policy of this index 1 version held" in said
    assert f"six-2.0.tar.gz free {early} UTC" in said
    assert f"six-2.0-py3-none-any.whl free {late} UTC" in said
    assert "since it is younger than 3 days. Ask an administrator of this index: elasticpypi exempt six==2.0." in said
    held = client.json("/simple/six/")["_held"]
    assert isinstance(held, list)
    assert [(each["filename"], each["until"][:16].replace("T", " ")) for each in held] == [
        ("six-2.0-py3-none-any.whl", late),
        ("six-2.0.tar.gz", early),
    ]
    assert all(each["reason"] in said or "six-2.0.tar.gz is held until" in each["reason"] for each in held)


def _free(outside: Outside, number: int) -> str:
    uploaded = outside.pages["six"]["files"][number]["upload-time"]
    return text_of(seconds_of(uploaded) + 3 * DAY + 1e-5)[:16].replace("T", " ")


def test_a_page_changes_by_the_clock_alone(client: Client, outside: Outside) -> None:
    before = client.get("/simple/six/", headers={"Accept": JSON}).headers["ETag"]
    asking = {"Accept": JSON, "If-None-Match": before}
    assert client.get("/simple/six/", headers=asking).status_code == 304
    [free] = [seconds_of(outside.pages["six"]["files"][3]["upload-time"]) + 3 * DAY]
    first_match = client.services.first_match
    assert first_match
    first_match._clock = lambda: free
    assert (
        client.get("/simple/six/", headers=asking).status_code == 304
    )  # exactly as old is still held, as in pip and uv
    first_match._clock = lambda: free + 0.001
    assert client.get("/simple/six/", headers=asking).get_json()["versions"] == ["1.0", "1.1", "1.2", "2.0"]
    assert client.get("/upstream/main/packages/ab/six-2.0-py3-none-any.whl").status_code == 403  # that one is younger


def test_a_held_release_is_refused_with_the_reason(client: Client) -> None:
    for path in ("/project/six/2.0/", "/project/six/2/", "/pypi/six/2.0/json"):
        assert "six-2.0-py3-none-any.whl is held until" in client.get(path, headers=BROWSER).text
        assert client.get(path).status_code == 403
    assert client.get("/project/six/3.0/").status_code == 404


def test_a_project_that_is_held_altogether(client: Client, outside: Outside) -> None:
    outside.has("new", entry("new-1.0.tar.gz", 1))
    said = text(look(client, "/project/new/"))
    assert "Nothing of this project may be seen yet." in said
    assert "new-1.0.tar.gz free" in said
    assert "pip install" not in said
    assert "is held until" in client.get("/pypi/new/json").text
    assert client.get("/pypi/new/json").status_code == 403


def test_what_is_exempt_and_blocked_is_seen_at_a_glance(client: Client) -> None:
    decide(client, exemptions.parse("six==2.0").key, text_of(time.time() + DAY), "CVE-1 <b>now</b>")
    decide(client, "policy/blocks/six==1.2", "blocked", "steals passwords")
    html = look(client, "/project/six/")
    said = text(html)
    assert "The policy of this index 1 version blocked 1 version exempt" in said
    assert "six 2.0" in said
    assert re.search(r"2 exempt until [-0-9]{10} [:0-9]{5} UTC CVE-1 <b>now</b> by boss", said)
    assert "1.2 blocked six-1.2.tar.gz is blocked: steals passwords." in said
    assert harmless(html, OURS) == []


def test_a_block_of_one_release_leaves_the_others_where_they_come_from(client: Client) -> None:
    block(client.services, ACTOR, "six==1.1", "steals passwords")
    page = client.json("/simple/six/")
    assert page["versions"] == ["1.0", "1.2"]
    assert "1.1 blocked six-1.1.tar.gz is blocked: steals passwords." in text(look(client, "/project/six/"))
    unblock(client.services, ACTOR, "six==1.1")
    assert client.json("/simple/six/")["versions"] == ["1.0", "1.1", "1.2"]


def test_an_exemption_that_has_ended_is_not_shown(client: Client) -> None:
    decide(client, exemptions.parse("six==2.0").key, text_of(time.time() - 1))
    assert "exempt until" not in text(look(client, "/project/six/"))


def test_a_page_that_is_old_says_why(client: Client, outside: Outside) -> None:
    fresh = look(client, "/project/six/")
    assert "old one" not in fresh
    outside.silent = True
    assert client.services.upstreams
    for upstream in client.services.upstreams():
        upstream._clock = lambda: time.time() + 3600
    old = "This page is an old one. The index 'main' has not answered: it took too long."
    said = until(lambda: said if old in (said := text(look(client, "/project/six/"))) else "")
    assert "six-1.2.tar.gz" in said
    assert "The index 'main' has not answered" in text(look(client, "/project/requests/", 503))


def test_a_file_whose_day_is_unknown(client: Client, outside: Outside) -> None:
    policy(client, f'[cooldown]\nno_time = "allow"\n[upstream.main]\nurl = "{ADDRESS}"\n')
    unknown = {key: value for key, value in entry("bare-1.0.tar.gz", None).items() if key != "size"}
    outside.has("bare", unknown)
    said = text(look(client, "/project/bare/"))
    assert "bare-1.0.tar.gz day unknown source" in said
    assert "Released" not in said
    [file] = client.get("/pypi/bare/json").get_json()["urls"]
    assert (file["upload_time"], file["upload_time_iso_8601"]) == (None, None)


# ---- Offline


def keep(client: Client, content: bytes) -> str:
    """Have bytes kept, as if somebody had asked for them; their sha256."""
    digest = hashlib.sha256(content).hexdigest()
    assert client.services.upstreams
    incoming = client.services.upstreams.store.begin(digest)
    assert incoming
    incoming.write(content)
    incoming.keep()
    return digest


def test_offline_only_what_is_kept_is_listed(client: Client, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.repository.first_match.OFFLINE_LOOK", 0.0)
    digests = [keep(client, b"one"), "0" * 64, "1" * 64]
    known = {"core-metadata": {"sha256": keep(client, b"metadata")}}
    unknown = {"core-metadata": {"sha256": "2" * 64}}
    outside.has(
        "demo",
        entry("demo-1.0-py3-none-any.whl", hashes={"sha256": digests[0]}, **known),
        entry("demo-1.0.tar.gz", hashes={"sha256": digests[1]}),
        entry("demo-2.0.tar.gz", hashes={"sha256": digests[2]}),
        entry("demo-0.9.tar.gz", hashes={"sha256": digests[0]}, **unknown),
    )
    assert client.json("/simple/demo/")["versions"] == ["0.9", "1.0", "2.0"]
    outside.silent = True
    assert client.get("/simple/other/").status_code == 503
    outside.asked.clear()
    policy(client, f'[upstream.main]\nurl = "{ADDRESS}"\noffline = true\n')
    page = client.json("/simple/demo/")
    assert page["versions"] == ["0.9", "1.0"]
    assert [(file["filename"], file.get("core-metadata")) for file in page["files"]] == [  # type: ignore[attr-defined]
        ("demo-0.9.tar.gz", None),
        ("demo-1.0-py3-none-any.whl", known["core-metadata"]),
    ]
    said = text(look(client, "/project/demo/"))
    assert "'demo-2.0.tar.gz' is not kept here, and the index 'main' is not asked: it is offline." in said
    assert "old one" not in said
    address = "/upstream/main/packages/ab/demo-2.0.tar.gz"
    assert client.get(address).status_code == 404
    assert "is not kept here" in client.get(address).text
    assert client.get("/simple/other/").status_code == 404
    assert outside.asked == []


def test_offline_core_metadata_that_come_later_make_another_page(
    client: Client, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elasticpypi.repository.first_match.OFFLINE_LOOK", 0.0)
    digest = hashlib.sha256(b"metadata").hexdigest()
    wheel = entry("demo-1.0-py3-none-any.whl", hashes={"sha256": keep(client, b"one")})
    outside.has("demo", {**wheel, "core-metadata": {"sha256": digest}})
    client.json("/simple/demo/")
    policy(client, f'[upstream.main]\nurl = "{ADDRESS}"\noffline = true\n')
    headers = {"Accept": JSON}
    before = client.get("/simple/demo/", headers=headers)
    assert "core-metadata" not in before.text
    keep(client, b"metadata")
    after = client.get("/simple/demo/", headers={**headers, "If-None-Match": before.headers["ETag"]})
    assert (after.status_code, digest in after.text) == (200, True)
    assert after.headers["ETag"] != before.headers["ETag"]


def test_offline_the_folder_is_enough(client: Client, outside: Outside) -> None:
    assert client.get("/simple/six/").status_code == 200
    policy(client, f'[upstream.main]\nurl = "{ADDRESS}"\noffline = true\n')
    assert client.services.upstreams
    client.services.state.remove("upstream.page", "main/six")  # as if the folder was carried to another machine
    outside.asked.clear()
    held = client.json("/simple/six/")["_held"]
    assert len(held) == 5  # type: ignore[arg-type]
    assert outside.asked == []


# ---- Names that do not come from there


def test_a_name_that_is_ours_and_empty_says_so(client: Client, outside: Outside) -> None:
    outside.has("acme-secret", entry("acme-secret-9.tar.gz"))
    policy(client, f'[origin]\nprivate = ["acme"]\n[upstream.main]\nurl = "{ADDRESS}"\n')
    said = text(look(client, "/project/acme-secret/"))
    assert "This name is ours, and has no files." in said
    assert "The policy reserves 'acme'" in said
    assert "elasticpypi origin acme-secret upstream." in said
    assert "Status of the project" not in said
    assert outside.asked == []


def test_a_denied_name_says_why_and_who_can_change_it(client: Client, outside: Outside) -> None:
    policy(client, f'[origin]\ndenied = ["six"]\n[upstream.main]\nurl = "{ADDRESS}"\n')
    html = look(client, "/project/six/")
    assert "This name is not let in." in text(html)
    assert "The policy denies 'six'." in text(html)
    assert "An administrator can change that: elasticpypi origin six upstream." in text(html)
    assert "manage" not in html
    answer = client.get("/pypi/six/json")
    assert (answer.status_code, "The policy denies" in answer.text) == (403, True)
    assert outside.asked == []


def test_a_project_in_quarantine_there(client: Client, outside: Outside) -> None:
    outside.has("bad", **{"project-status": {"status": "quarantined", "reason": "malware"}})
    said = text(look(client, "/project/bad/"))
    assert "This project is in quarantine." in said
    assert "until the index that it comes from lifts that" in said
    assert "malware." in said
    assert client.get("/pypi/bad/json").status_code == 403


def test_a_blocked_project_says_how_to_lift_it(client: Client) -> None:
    decide(client, "policy/blocks/six", "blocked", "taken over")
    said = text(look(client, "/project/six/"))
    assert "This project is blocked." in said
    assert "taken over (boss, 2026-11-30) An administrator can lift that: elasticpypi unblock six." in said
    assert "quarantine" not in said
    assert "six is blocked: taken over." in client.get("/pypi/six/json").text


def test_an_archived_project_says_so(client: Client, outside: Outside) -> None:
    outside.has("old", entry("old-1.0.tar.gz"), **{"project-status": {"status": "archived", "reason": "moved on"}})
    assert "This project is archived. It takes no new releases. moved on" in text(look(client, "/project/old/"))


def test_a_name_of_two_places_is_a_warning(client: Client, outside: Outside, tmp_path: Path) -> None:
    decide(client, f"{rulings.ORIGINS}six", "private")
    add(client, make_wheel(tmp_path, "six", "1.5", Summary="Our own"))
    client.services.objects.write(
        f"{rulings.ORIGINS}six",
        ruling.dump(Ruling("both")),
        client.services.objects.revision(f"{rulings.ORIGINS}six"),
    )
    html = look(client, "/project/six/")
    said = text(html)
    assert "This name comes from two places." in said
    assert "elasticpypi origin six private." in said
    assert "six 1.5 Our own From the index main (outside.example), beside files of our own." in said
    assert "Delete" in said
    theirs = look(client, "/project/six/1.2/")  # which nobody can delete here
    assert "delete-what" not in theirs
    assert "six-1.2.tar.gz" in theirs


def test_a_project_of_ours_is_as_ever(client: Client, outside: Outside, tmp_path: Path) -> None:
    decide(client, f"{rulings.ORIGINS}demo", "private")
    add(client, make_wheel(tmp_path, "demo", "1.0"))
    said = text(look(client, "/project/demo/"))
    assert "From the index" not in said
    assert "It depends on nothing." in said
    assert "Manage" in said
    assert outside.asked == []


# ---- Texts of others


@pytest.mark.parametrize("path", ["/project/evil/", "/project/evil/1.0/", "/search?q=evil", "/simple/evil/"])
def test_texts_of_another_index_are_texts(client: Client, outside: Outside, path: str) -> None:
    url = 'https://files.outside.example/a"onmouseover="hit()/<b>/%2e%2e/evil-{}.tar.gz'
    outside.has(
        "evil",
        entry("evil-1.0.tar.gz", yanked=HOSTILE, url="../%2e%2e/evil-1.0.tar.gz", **{"requires-python": HOSTILE}),
        entry("evil-1.1.tar.gz", url=url.format("1.1")),
        entry(f"evil-2.0-py3-none-{HOSTILE.replace('/', '')}.whl", url="javascript:hit()"),
        entry("evil-3.0-py3-none-<b>.whl"),
        entry("evil-4.0-py3-none-<i>.whl", 1),
        **{"project-status": {"status": "archived", "reason": HOSTILE}},
    )
    decide(client, exemptions.parse("evil==9").key, text_of(time.time() + DAY), HOSTILE)
    look(client, "/project/evil/")
    html = look(client, path)
    assert harmless(html, OURS) == []
    assert "<b>" not in html
    assert "<i>" not in html
    assert "<script>hit" not in html
    assert "49" not in re.findall(r"&amp;(\S+)", html)
    assert "javascript:" not in html


def test_reasons_of_another_index_are_texts(client: Client, outside: Outside) -> None:
    outside.has("evil", **{"project-status": {"status": "quarantined", "reason": HOSTILE}})
    html = look(client, "/project/evil/")
    assert harmless(html, OURS) == []
    assert HOSTILE.rstrip(".") in text(html)


# ---- Home and search


def test_home_says_that_everything_installs_from_here(client: Client, outside: Outside) -> None:
    html = look(client, "/")
    said = text(html)
    assert "What is not here comes from the index main (outside.example)." in said
    assert "pip from now on: everything installs from here pip config set global.index-url" in said
    assert "uv everything installs from here uv auth login" in said
    assert ADDRESS not in html
    assert outside.asked == []


def test_home_warns_of_an_index_that_says_no_times(client: Client, outside: Outside) -> None:
    outside.has("bare", entry("bare-1.0.tar.gz", None))
    assert "no_time" not in look(client, "/")
    assert client.get("/simple/bare/").status_code == 200
    until(lambda: "no_time of [cooldown]" in text(look(client, "/")), "the warning")
    policy(client, f'[cooldown]\nno_time = "first_seen"\n[upstream.main]\nurl = "{ADDRESS}"\n')
    assert "no_time" not in look(client, "/")


def test_without_another_index_the_lines_stay_as_they_are(client: Client, tmp_path: Path) -> None:
    config = Config(users={USER: PASSWORD}, data=tmp_path / "alone")
    alone = Client(on_folder(config, DirectoryFiles(config.data), SQLiteIndex(config.data / "index.db")))
    said = text(look(alone, "/"))
    assert "pip from now on pip config set global.index-url" in said
    assert "uv uv auth login" in said
    assert "everything installs" not in said
    assert "What is not here" not in said


def test_no_password_of_the_address_is_shown(outside: Outside, tmp_path: Path) -> None:
    config = Config(users={USER: PASSWORD}, data=tmp_path / "data", upstream=ADDRESS.replace("://", "://anna:secret@"))
    client = Client(on_folder(config, DirectoryFiles(config.data), SQLiteIndex(config.data / "index.db")))
    for path in ("/", "/project/six/", "/policy/projects/six"):
        html = look(client, path)
        assert "outside.example" in html
        assert "secret" not in html
        assert "anna" not in html


def test_names_that_are_kept_may_have_been_meant(client: Client, outside: Outside, tmp_path: Path) -> None:
    add(client, make_wheel(tmp_path, "requester", "1.0"))
    for name in ("requests", "numpy"):
        outside.has(name, entry(f"{name}-1.0.tar.gz"))
        assert client.get(f"/simple/{name}/").status_code == 200
    html = look(client, "/project/reqeusts/", 404)
    assert [name for name in ("requests", "requester", "numpy") if f"project/{name}/" in html] == [
        "requests",
        "requester",
    ]


def test_a_search_finds_what_is_kept_after_our_own(client: Client, outside: Outside, tmp_path: Path) -> None:
    add(client, make_wheel(tmp_path, "acme-six", "1.0"))
    outside.has("sixpack", entry("sixpack-1.0.tar.gz"))
    for name in ("six", "sixpack"):
        assert client.get(f"/simple/{name}/").status_code == 200
    outside.asked.clear()
    html = look(client, "/search?q=six")
    assert re.findall(r'href="\./project/([^"]+)/"', html) == ["acme-six", "six", "sixpack"]
    assert "3 projects, 2 of other indexes" in text(html)
    assert "From other indexes six from the index main sixpack from the index main" in text(html)
    answer = client.get("/search?q=six&format=json").get_json()
    assert (answer["total"], [each["name"] for each in answer["projects"]]) == (3, ["acme-six", "six", "sixpack"])
    assert answer["projects"][1:] == [
        {"name": "six", "upstream": "main"},
        {"name": "sixpack", "upstream": "main"},
    ]
    assert "No project has all of these words" in look(client, "/search?q=requests")
    assert outside.asked == []


def test_a_search_comes_in_pages_over_both(client: Client, outside: Outside, tmp_path: Path) -> None:
    add(client, *(make_wheel(tmp_path, f"own-{number:02}", "1.0") for number in range(25)))
    for number in range(30):
        outside.has(f"other-{number:02}", entry(f"other-{number:02}-1.0.tar.gz"))
        assert client.get(f"/simple/other-{number:02}/").status_code == 200
    found = []
    for page in (1, 2, 3):
        html = look(client, f"/search?q=o&page={page}")
        assert f"55 projects, 30 of other indexes, page {page} of 3" in text(html)
        found += re.findall(r'<a class="entry" href="\./project/([^"]+)/"', html)
    assert found == [f"own-{number:02}" for number in range(25)] + [f"other-{number:02}" for number in range(30)]


def test_a_search_finds_nothing_that_is_not_let_in(client: Client, outside: Outside, tmp_path: Path) -> None:
    assert client.get("/simple/six/").status_code == 200
    assert "1 project" in text(look(client, "/search?q=six"))
    before = client.get("/search?q=six", headers=BROWSER).headers["ETag"]
    policy(client, f'[origin]\ndenied = ["six"]\n[upstream.main]\nurl = "{ADDRESS}"\n')
    assert "No project has all of these words" in look(client, "/search?q=six")
    policy(client, f'[upstream.main]\nurl = "{ADDRESS}"\n')
    assert client.get("/search?q=six", headers=BROWSER).headers["ETag"] == before
    decide(client, f"{rulings.ORIGINS}six", "private")
    add(client, make_wheel(tmp_path, "six", "0.1"))
    answer = client.get("/search?q=six&format=json").get_json()
    assert [each.get("upstream") for each in answer["projects"]] == [None]


def test_pages_are_another_when_something_was_decided(client: Client) -> None:
    before = client.get("/project/six/", headers=BROWSER).headers["ETag"]
    same = {**BROWSER, "If-None-Match": before}
    assert client.get("/project/six/", headers=same).status_code == 304
    decide(client, exemptions.parse("six==9.9").key, text_of(time.time() + DAY), "later")
    assert client.get("/project/six/", headers=same).status_code == 200


# ---- For programs


def test_json_api_of_another_index(client: Client) -> None:
    answer = client.get("/pypi/six/json").get_json()
    assert answer["info"]["version"] == "1.2"
    assert list(answer["releases"]) == ["1.0", "1.1", "1.2"]
    [file] = answer["releases"]["1.1"]
    assert file["yanked_reason"] == "broken on Windows"
    assert file["url"] == "http://localhost/upstream/main/packages/ab/six-1.1.tar.gz"
    [release] = client.get("/pypi/six/1.0/json").get_json()["urls"]
    assert release["requires_python"] == ">=3.8"
    assert "six-2.0" not in json.dumps(answer)
