"""The first file of a name that another index has needs an administrator's word (REQ-U08)."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from elasticpypi.actions import upload
from elasticpypi.config import Config
from elasticpypi.storage.contracts import ANY
from elasticpypi.wiring import services as opened
from tests.support.application import PASSWORD, USER, Client
from tests.support.builders import make_sdist, make_wheel, upload_form
from tests.support.fake_upstream import Answer
from tests.support.releases import Releases, releases
from tests.support.waiting import until

RESERVED = ("[origin]", 'private = ["acme", "internal.tools"]')


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        for name in ("requests", "acme-evil", "numpy", "internal-tools-x", "leftpad", "ghost"):
            index.release(name, ("1.0", 100))
        yield index


@pytest.fixture
def client(theirs: Releases, tmp_path: Path) -> Client:
    services = opened(Config(users={USER: PASSWORD}, data=tmp_path / "data"))
    services.objects.write("policy.toml", theirs.policy(*RESERVED), None)
    return Client(services)


def say(client: Client, name: str, origin: str) -> None:
    answer = client.request("PUT", f"/policy/origins/{name}", data=f'{{"origin": "{origin}"}}')
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("name", "confirmed", "up", "status", "asked"),
    [
        ("requests", "", True, 409, True),  # B01
        ("numpy", "private", True, 200, False),  # B02
        ("brand-new", "", True, 200, True),  # B03
        ("acme-new", "", True, 200, False),  # B04
        ("acme-evil", "", True, 200, False),
        ("Internal_Tools.x", "", True, 200, False),
        ("requests", "both", True, 200, False),
        ("requests", "denied", True, 409, False),
        ("brand-new", "upstream", True, 409, False),  # its files would not be served
        ("brand-new", "", False, 503, True),  # B05
        ("requests", "private", False, 200, False),
        ("acme-new", "", False, 200, False),  # B06
    ],
)
def test_the_first_file(
    client: Client, theirs: Releases, tmp_path: Path, name: str, confirmed: str, up: bool, status: int, asked: bool
) -> None:
    theirs.status = 0 if up else 503
    if confirmed:
        say(client, name, confirmed)
    wheel = make_wheel(tmp_path, name, "1.0")
    answer = client.upload(wheel)
    assert answer.status_code == status, answer.text
    assert bool(theirs.requests) == asked
    normalized = name.lower().replace("_", "-").replace(".", "-")
    if status == 200:
        assert client.get(f"/packages/{wheel.name}").status_code == 200
        assert client.upload(make_sdist(tmp_path, name, "2.0")).status_code == 200  # whatever they have by then
    else:
        assert f"elasticpypi origin {normalized} private" in answer.text
        assert "already exist" not in answer.text  # clients would go on as if it were here
        assert ("Retry-After" in answer.headers) == (status == 503)
        assert list((client.services.config.data / "packages").glob("*.whl")) == []
    assert len(theirs.requests) == asked


def test_after_the_word_of_an_administrator(client: Client, theirs: Releases, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "requests", "99.0")
    for _ in range(2):
        assert client.upload(wheel).status_code == 409
    assert f"There is a project of this name in the index main ({theirs.host})." in client.upload(wheel).text
    refused = [event for event in client.services.log.read() if event.type == "file.refused"]
    assert [(event.project, event.filename) for event in refused] == [("requests", wheel.name)] * 3
    say(client, "requests", "private")
    assert client.upload(wheel).status_code == 200
    assert client.json("/simple/requests/")["versions"] == ["99.0"]


def test_the_answer_is_kept(client: Client, theirs: Releases, tmp_path: Path) -> None:
    client.services.objects.write("policy.toml", theirs.policy().replace(b'fresh = "0"\n', b""), ANY)
    for number in range(3):
        assert client.upload(make_wheel(tmp_path, "requests", f"{number}.0")).status_code == 409
    assert len(theirs.requests) == 1
    theirs.status = 503
    assert client.upload(make_wheel(tmp_path, "requests", "9.0")).status_code == 409


def test_a_name_that_was_ours_once(client: Client, theirs: Releases, tmp_path: Path) -> None:
    """Also when files and index are gone."""
    say(client, "ghost", "private")
    wheel = make_wheel(tmp_path, "ghost", "1.0")
    assert client.upload(wheel).status_code == 200
    say(client, "ghost", "unset")
    assert client.request("DELETE", f"/packages/{wheel.name}").status_code == 200
    assert client.upload(make_wheel(tmp_path, "ghost", "2.0")).status_code == 200
    assert theirs.requests == []


def test_what_the_policy_lets_in(client: Client, theirs: Releases, tmp_path: Path) -> None:
    policy = theirs.policy("[origin]", 'denied = ["evil-*"]', 'allowed = ["requests"]')
    client.services.objects.write("policy.toml", policy, ANY)
    answer = client.upload(make_wheel(tmp_path, "evil-one", "1.0"))
    assert (answer.status_code, theirs.requests) == (409, [])
    assert "The policy denies 'evil-*'" in answer.text
    assert client.upload(make_wheel(tmp_path, "leftpad", "1.0")).status_code == 409  # that nobody gets it is not enough
    assert client.upload(make_wheel(tmp_path, "brand-new", "1.0")).status_code == 200


def test_an_index_that_hangs(client: Client, theirs: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upload.ASKING == 3.0
    monkeypatch.setattr(upload, "ASKING", 0.5)
    answered = threading.Event()
    theirs.tell("/simple/brand-new/", Answer(b"no", 404, before=lambda: answered.wait(30)))
    begin = time.monotonic()
    answer = client.upload(make_wheel(tmp_path, "brand-new", "1.0"))
    assert (answer.status_code, len(theirs.requests)) == (503, 1)
    assert time.monotonic() - begin < 20  # of the thirty that it takes
    assert "elasticpypi origin brand-new private" in answer.text
    assert client.upload(make_wheel(tmp_path, "acme-new", "1.0")).status_code == 200
    answered.set()
    wheel = make_wheel(tmp_path, "brand-new", "1.0")
    until(lambda: client.upload(wheel).status_code == 200, "its answer")


def test_of_several_indexes_any(client: Client, theirs: Releases, tmp_path: Path) -> None:
    with releases() as first:
        text = f'[upstream.first]\nurl = "{first.url}"\n'.encode() + theirs.policy()
        client.services.objects.write("policy.toml", text, ANY)
        assert client.upload(make_wheel(tmp_path, "requests", "1.0")).status_code == 409
        assert (len(first.requests), len(theirs.requests)) == (1, 1)


def test_offline_only_what_is_kept_is_known(client: Client, theirs: Releases, tmp_path: Path) -> None:
    client.json("/simple/requests/")
    client.services.objects.write("policy.toml", theirs.policy("offline = true"), ANY)
    theirs.requests.clear()
    assert client.upload(make_wheel(tmp_path, "requests", "9.0")).status_code == 409
    assert client.upload(make_wheel(tmp_path, "numpy", "9.0")).status_code == 200
    assert theirs.requests == []


def test_announcing_a_large_file(client: Client, theirs: Releases, tmp_path: Path) -> None:
    def announce(name: str) -> int:
        wheel = make_wheel(tmp_path, name, "1.0")
        form = {**upload_form(wheel), "filename": wheel.name, "size": str(wheel.stat().st_size)}
        return client.request("POST", "/uploads/", data=form).status_code

    assert announce("requests") == 409
    assert announce("acme-new") == 200
    theirs.status = 500
    assert announce("brand-new") == 503


def test_without_another_index_nobody_is_asked(client: Client, theirs: Releases, tmp_path: Path) -> None:
    client.services.objects.write("policy.toml", b"", ANY)
    assert client.upload(make_wheel(tmp_path, "requests", "1.0")).status_code == 200
    assert theirs.requests == []
