"""``/policy``: the document and the origins of names, over HTTP and by command."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from elasticpypi.actions import policy_document
from elasticpypi.cli import main
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import Event
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANY
from elasticpypi.wiring import with_subscribers
from tests.support.application import PASSWORD, USER, Client

ONE, TWO = (f"[origin]\nprivate = ['{name}']  # ours\n".encode() for name in ("acme", "other"))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))


def events(services: Services) -> list[Event]:
    assert services.log
    return [event for event in services.log.read(most=1000) if event.type.startswith("policy.")]


def put(client: Client, document: bytes, etag: str | None, **options: object) -> tuple[int, str]:
    headers = {} if etag is None else {"If-Match": etag}
    answer = client.request("PUT", "/policy", data=document, headers=headers, **options)  # type: ignore[arg-type]
    return answer.status_code, answer.headers.get("ETag", answer.text)


def test_a_policy_is_replaced_by_who_has_read_it(client: Client) -> None:
    empty = client.get("/policy")
    assert (empty.status_code, empty.data) == (200, b"")
    assert put(client, ONE, None)[0] == 428
    status, first = put(client, ONE, empty.headers["ETag"])
    assert status == 200
    answer = client.get("/policy")
    assert (answer.data, answer.headers["ETag"], answer.mimetype) == (ONE, first, "application/toml")
    assert client.get("/policy", headers={"If-None-Match": first}).status_code == 304
    assert client.services.policy().origin.private == ("acme",)
    status, text = put(client, TWO, empty.headers["ETag"])
    assert status == 412
    assert "read it again" in text
    assert put(client, ONE, empty.headers["ETag"])[0] == 200  # it is so already: an answer was lost
    assert put(client, TWO, first)[0] == 200
    assert put(client, ONE, "*")[0] == 200
    assert client.services.policy().origin.private == ("acme",)


def test_each_change_is_an_event_with_both_documents(client: Client) -> None:
    for document in (ONE, ONE, TWO):
        put(client, document, "*")
    found = events(client.services)
    assert [(event.type, event.before, event.after) for event in found] == [
        ("policy.changed", None, ONE.decode()),
        ("policy.changed", ONE.decode(), TWO.decode()),
    ]
    assert {event.who.name for event in found} == {USER}


def test_a_wrong_policy_changes_nothing(client: Client) -> None:
    put(client, ONE, "*")
    for document in (b"[origins]", b"\xff", b"x" * 40_000):
        status, text = put(client, document, "*")
        assert status == 400
        assert "policy.toml" in text
    assert client.get("/policy").data == ONE
    assert len(events(client.services)) == 1


def test_of_two_at_the_same_moment_one_wins(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    real = policy_document.parse

    def parse(document: bytes) -> object:
        if document == ONE:
            assert put(client, TWO, "*")[0] == 200
        return real(document)

    etag = client.get("/policy").headers["ETag"]
    monkeypatch.setattr(policy_document, "parse", parse)
    assert put(client, ONE, etag)[0] == 412
    assert client.get("/policy").data == TWO


def test_an_event_that_could_not_be_recorded_is_with_the_next_try(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Unavailable("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(type(client.services.log), "append", full)
        assert put(client, ONE, "*")[0] == 503
    assert events(client.services) == []
    assert put(client, ONE, client.get("/policy").headers["ETag"])[0] == 200
    assert [event.type for event in events(client.services)] == ["policy.changed"]


def test_only_administrators(client: Client) -> None:
    config = replace(client.services.config, users={USER: PASSWORD, "boss": "chief"}, admins=frozenset({"boss"}))
    other = Client(replace(client.services, config=config))
    assert other.get("/policy").status_code == 403
    assert put(other, ONE, "*")[0] == 403
    assert other.request("PUT", "/policy/origins/demo", data=b'{"origin": "private"}').status_code == 403
    assert other.request("DELETE", "/policy/origins/demo").status_code == 403
    assert put(other, ONE, "*", user="boss:chief")[0] == 200
    assert [event.type for event in events(client.services)] == ["policy.refused"] * 4 + ["policy.changed"]


def test_health_says_that_the_last_good_one_holds(client: Client) -> None:
    put(client, ONE, "*")
    assert "policy" not in client.get("/health").get_json()
    client.services.objects.write("policy.toml", b"[origin]\nx = 1", ANY)
    answer = client.get("/health")
    assert answer.status_code == 200
    assert "line 2, origin.x" in answer.get_json()["policy"]
    assert client.services.policy().origin.private == ("acme",)
    put(client, TWO, "*")
    assert "policy" not in client.get("/health").get_json()


def test_what_is_edited_in_the_store_is_told_of_too(client: Client) -> None:
    services = with_subscribers(client.services)
    services.events.tell([])
    services.objects.write("policy.toml", ONE, None)
    for _ in range(4):
        services.events.tell([])
    services.objects.write("policy.toml", b"[", ANY)
    for _ in range(4):
        services.events.tell([])
    put(client, TWO, "*")
    for _ in range(4):
        services.events.tell([])
    told = [(event.who.name, event.before, event.after) for event in events(services)]
    assert told == [("store", None, ONE.decode()), (USER, ONE.decode(), TWO.decode())]


def test_the_origin_of_a_name(client: Client) -> None:
    def say(origin: object, name: str = "Demo", reason: str = "ours") -> int:
        body = json.dumps({"origin": origin, "reason": reason})
        return client.request("PUT", f"/policy/origins/{name}", data=body).status_code

    for origin in ("private", "private", "both"):
        assert say(origin) == 200
    for origin in ("nowhere", "", 3, None):
        assert say(origin) == 400
    assert say("private", "-") == 400
    for _ in range(2):
        answer = client.request("DELETE", "/policy/origins/demo")
        assert answer.get_json() == {"project": "demo", "origin": "unset"}
    told = [(event.type, event.project, event.before, event.after, event.reason) for event in events(client.services)]
    assert told == [
        ("policy.origin_changed", "demo", None, "private", "ours"),
        ("policy.origin_changed", "demo", "private", "both", "ours"),
        ("policy.origin_changed", "demo", "both", None, None),
    ]


def test_by_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "packages").mkdir(parents=True)
    file = tmp_path / "new.toml"

    def run(*arguments: str, status: int = 0, answer: str = "") -> str:
        done = CliRunner().invoke(main, arguments, input=answer)
        assert done.exit_code == status, done.output
        return done.output

    place = ("--data", str(data))
    assert "no policy yet" in run("policy", "show", *place)
    file.write_bytes(ONE)
    assert run("policy", "check", str(file)) == "The policy is right.\n"
    assert "+private = ['acme']" in run("policy", "apply", str(file), *place, status=1, answer="n\n")
    assert "no policy yet" in run("policy", "show", *place)
    assert "The policy is changed." in run("policy", "apply", str(file), *place, answer="y\n")
    assert run("policy", "show", *place).encode() == ONE == (data / "policy.toml").read_bytes()
    file.write_bytes(TWO)
    shown = run("policy", "apply", "-", "--yes", *place, answer=TWO.decode())
    assert "-private = ['acme']" in shown
    assert "+private = ['other']" in shown
    assert run("policy", "apply", str(file), *place) == "The policy is as it was.\n"
    file.write_bytes(b"\n[origin]\nx = 1\n")
    assert "line 3, origin.x" in run("policy", "check", str(file), status=1)
    assert "line 3, origin.x" in run("policy", "apply", str(file), *place, status=1)
    assert run("origin", "Demo", *place) == "demo: unset\n"
    assert run("origin", "Demo", "private", "--reason", "ours", *place).startswith("demo: private (")
    assert run("origin", "demo", "unset", *place) == "demo: unset\n"
    assert "none of these" in run("origin", "demo", "mine", *place, status=1)


# ---- Lists


def decide(client: Client, path: str, **fields: str) -> None:
    answer = client.request("PUT", f"/policy/{path}", data=json.dumps(fields))
    assert answer.status_code == 200, answer.text


def listed(client: Client, kind: str, after: str = "") -> tuple[list[dict[str, str]], str | None]:
    answer = client.get(f"/policy/{kind}?after={after}")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store"), answer.text
    return answer.get_json()[kind], answer.get_json()["next"]


def test_what_was_decided_is_listed(client: Client) -> None:
    digest = f"sha256:{'a' * 64}"
    for kind in ("blocks", "origins", "exemptions"):
        assert listed(client, kind) == ([], None)
    decide(client, "blocks/Demo==1.0", reason="stolen")
    decide(client, f"blocks/{digest}", reason="the same")
    decide(client, "blocks/gone", reason="a mistake")
    assert client.request("DELETE", "/policy/blocks/gone").status_code == 200
    decide(client, "origins/requests", origin="private", reason="ours")
    decide(client, "origins/numpy", origin="both")
    decide(client, "exemptions/requests==2.0", until="2999-12-31", reason="CVE-1")

    (one, two), following = listed(client, "blocks")
    assert following is None
    assert (one["what"], one["reason"], one["by"]) == ("demo==1", "stolen", USER)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["at"])
    assert (two["what"], two["reason"]) == (digest, "the same")
    found, _ = listed(client, "origins")
    assert [(each["project"], each["origin"], each["reason"]) for each in found] == [
        ("numpy", "both", ""),
        ("requests", "private", "ours"),
    ]
    [exempt], _ = listed(client, "exemptions")
    assert (exempt["release"], exempt["until"][:10], exempt["reason"]) == ("requests==2", "2999-12-31", "CVE-1")


def test_what_does_not_hold_is_not_listed(client: Client) -> None:
    """An exemption that has ended; but what cannot be read is, so that somebody mends it."""
    objects = client.services.objects
    objects.write("policy/exemptions/demo==1", b'{"value": "2020-01-01T00:00:00.000000Z"}', None)
    objects.write("policy/exemptions/demo==2", b"{", None)
    objects.write("policy/blocks/no name", b"{}", None)
    [broken], _ = listed(client, "exemptions")
    assert (broken["release"], broken["until"]) == ("demo==2", "unreadable")
    assert "make it again" in broken["reason"]
    assert listed(client, "blocks") == ([], None)


def test_a_long_list_comes_in_pages(client: Client) -> None:
    objects, count = client.services.objects, 230
    for number in range(count):
        objects.write(f"policy/blocks/p{number:03}", b'{"value": "blocked", "reason": "x"}', None)
    pages, after = [], ""
    while True:
        found, following = listed(client, "blocks", after)
        pages.append(found)
        if following is None:
            break
        after = following
    assert list(map(len, pages)) == [100, 100, 30]
    assert [each["what"] for page in pages for each in page] == [f"p{number:03}" for number in range(count)]
    assert json.loads(run(client, "blocks", "--json"))["blocks"] == [each for page in pages for each in page]


def test_lists_are_for_administrators(services: Services) -> None:
    config = replace(services.config, users={USER: PASSWORD, "boss": "chief"}, admins=frozenset({"boss"}))
    client = Client(replace(services, config=config))
    for kind in ("blocks", "origins", "exemptions"):
        assert client.get(f"/policy/{kind}").status_code == 403
        assert client.get(f"/policy/{kind}", user="boss:chief").status_code == 200
    assert [event.type for event in events(services)] == ["policy.refused"] * 3


def test_lists_of_the_command(client: Client) -> None:
    assert run(client, "blocks") == "Nothing is blocked.\n"
    assert "the policy decides" in run(client, "origins")
    assert run(client, "exemptions") == "Nothing is exempt.\n"
    decide(client, "blocks/demo==1.0", reason="stolen")
    decide(client, "origins/requests", origin="private", reason="ours")
    decide(client, "exemptions/requests==2.0", until="2999-12-31", reason="CVE-1")
    assert re.fullmatch(rf"demo==1  by {USER}, \d{{4}}-\d\d-\d\d  stolen\n", run(client, "blocks"))
    assert re.fullmatch(rf"requests  private  by {USER}, [\d-]{{10}}  ours\n", run(client, "origins"))
    assert run(client, "exemptions").startswith("requests==2  2999-12-31T")
    assert json.loads(run(client, "origins", "--json"))["origins"][0]["origin"] == "private"


def run(client: Client, *command: str) -> str:
    config = client.services.config
    place = {"BUCKET": config.bucket, "TABLE": config.table} if config.bucket else {"DATA": str(config.data)}
    done = CliRunner().invoke(main, command, env={**place, "USERS": f"{USER}:x"})
    assert done.exit_code == 0, done.output
    return done.stdout
