"""The author of a change is in its event, whoever finds the change first; nobody who writes to the store forges it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.core.errors import Unavailable
from elasticpypi.core.event import Event, Who
from elasticpypi.indexing import authors, sync
from elasticpypi.services import Services
from elasticpypi.storage.contracts import State
from elasticpypi.web.request import REQUEST_ID
from elasticpypi.wiring import with_subscribers
from tests.support.application import USER, Client
from tests.support.builders import make_wheel, upload_form
from tests.support.store import put

WHEEL = "demo-1.0-py3-none-any.whl"
KEYS = WHEEL, f"{WHEEL}.yanked", f"{WHEEL}.deleted", "demo.status"
AUTHOR = Who(USER, "password", "127.0.0.1", "tool/1.0", "request-7")
UNNAMED = Who(USER, "store")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.storage.aws.event_log.SETTLING", -60.0)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, "demo", "1.0")


class Watched:
    """A store whose follower has been there before whoever changes it goes on."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._services.files, name)
        if name not in ("save", "delete"):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            answer = found(*arguments, **options)
            follow(self._services)
            return answer

        return call


def follow(services: Services) -> None:
    told = with_subscribers(services)
    told.events.tell(list(sync.sync_all(services.files, services.index, KEYS, beside=services.beside)))


def events(services: Services) -> list[Event]:
    with_subscribers(services).events.tell([])
    return services.log.read(most=1000)


def request(services: Services, method: str, path: str, data: bytes = b"", **options: Any) -> None:
    options = {"headers": {"User-Agent": "tool/1.0"}, "environ_base": {REQUEST_ID: "request-7"}, **options}
    answer = Client(services).request(method, path, data=data, **options)
    assert answer.status_code == 200, answer.text


def upload(services: Services, wheel: Path) -> None:
    with wheel.open("rb") as content:
        request(services, "POST", "/legacy/", data={**upload_form(wheel), "content": (content, wheel.name)})  # type: ignore[arg-type]


def is_empty(state: State, *whats: str) -> bool:
    return all(state.get(authors.KIND, authors._place(key, what)) is None for key in KEYS for what in whats)


def test_every_change_has_its_author_though_the_follower_is_always_faster(services: Services, wheel: Path) -> None:
    watched: Any = replace(services, files=Watched(services))
    upload(watched, wheel)
    request(watched, "PUT", f"/packages/{WHEEL}.yanked", b"broken")
    request(watched, "PUT", f"/packages/{WHEEL}.yanked", b"very broken")
    request(watched, "DELETE", f"/packages/{WHEEL}.yanked")
    request(watched, "PUT", "/packages/demo.status", b"archived\nold")
    request(watched, "PUT", "/packages/demo.status", b"active")
    request(watched, "PUT", f"/packages/{WHEEL}.yanked", b"broken")
    request(watched, "DELETE", f"/packages/{WHEEL}")
    upload(watched, wheel)
    found = events(services)
    assert [(event.type, event.who) for event in found] == [
        ("file.uploaded", AUTHOR),
        ("file.yanked", AUTHOR),
        ("file.yanked", AUTHOR),
        ("file.unyanked", AUTHOR),
        ("project.status_changed", AUTHOR),
        ("project.status_changed", AUTHOR),
        ("file.yanked", AUTHOR),
        ("file.deleted", AUTHOR),
        ("file.uploaded", AUTHOR),
    ]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert is_empty(services.state, authors.GONE, authors.of_file(digest, USER))


def test_what_others_put_there_is_not_by_whoever_did_the_same_before(services: Services, wheel: Path) -> None:
    """The very bytes, with the very name that the store keeps with them, within the hour."""
    for _ in range(2):
        upload(services, wheel)
        request(services, "PUT", f"/packages/{WHEEL}.yanked", b"broken")
        stat = services.files.stat(f"{WHEEL}.yanked")
        assert stat
        with services.files.open(stat) as content:
            text = content.read()
        request(services, "DELETE", f"/packages/{WHEEL}.yanked")
        follow(services)
        before = len(events(services))
        services.files.delete(WHEEL)
        follow(services)
        with wheel.open("rb") as content:
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            services.files.save(WHEEL, content, digest, uploader=USER)
        follow(services)
        put(services.files, f"{WHEEL}.yanked", text)
        follow(services)
        services.files.delete(f"{WHEEL}.yanked")
        follow(services)
        services.files.delete(WHEEL)
        follow(services)
        assert [(event.type, event.who.through) for event in events(services)[before:]] == [
            ("file.removed", "store"),
            ("file.uploaded", "store"),
            ("file.yanked", "store"),
            ("file.unyanked", "store"),
            ("file.removed", "store"),
        ]


def test_other_bytes_and_other_names_are_not_by_the_author(services: Services, wheel: Path, tmp_path: Path) -> None:
    """Somebody replaces the file, before the follower looks at it; or it is that of another user."""
    (tmp_path / "other").mkdir()
    other = make_wheel(tmp_path / "other", "demo", "1.0", summary="other").read_bytes()
    digest = hashlib.sha256(other).hexdigest()
    authors.put(services.state, WHEEL, authors.of_file(hashlib.sha256(wheel.read_bytes()).hexdigest(), USER), AUTHOR)
    authors.put(services.state, WHEEL, authors.of_file(digest, "bob"), replace(AUTHOR, name="bob"))
    with (tmp_path / "other" / wheel.name).open("rb") as content:
        services.files.save(WHEEL, content, digest, uploader=USER)
    follow(services)
    [event] = events(services)
    assert event.who == UNNAMED


def test_a_process_that_ended_left_word_for_one_change(services: Services, wheel: Path) -> None:
    data = wheel.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    authors.put(services.state, WHEEL, authors.of_file(digest, USER), AUTHOR)
    for _ in range(2):
        with wheel.open("rb") as content:
            services.files.save(WHEEL, content, digest, uploader=USER)
        follow(services)
        services.files.delete(WHEEL)
        follow(services)
    found = [event.who for event in events(services) if event.type == "file.uploaded"]
    assert found == [AUTHOR, UNNAMED]


def test_an_upload_that_was_refused_leaves_no_word(services: Services, wheel: Path, tmp_path: Path) -> None:
    """Its bytes may be put there by anybody."""
    (tmp_path / "other").mkdir()
    other = make_wheel(tmp_path / "other", "demo", "1.0", summary="other")
    data = other.read_bytes()
    put(services.files, WHEEL, wheel.read_bytes())  # the follower has not been there
    assert Client(services).upload(other).status_code == 409
    with other.open("rb") as content:
        digest = hashlib.sha256(data).hexdigest()
        services.files.save(WHEEL, content, digest, overwrite=True, uploader=USER)
    follow(services)
    assert [event.who for event in events(services) if event.type == "file.uploaded"] == [UNNAMED]


@pytest.mark.parametrize("broken", ["get", "put", "remove"])
def test_nothing_fails_without_the_state(
    services: Services, wheel: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("The disk is full.")

    watched: Any = replace(services, files=Watched(services))
    monkeypatch.setattr(type(services.state), broken, away)
    upload(watched, wheel)
    request(watched, "PUT", f"/packages/{WHEEL}.yanked", b"broken")
    expected = AUTHOR if broken == "remove" else UNNAMED
    assert [(event.type, event.who) for event in events(services)] == [
        ("file.uploaded", expected),
        ("file.yanked", expected),
    ]


def test_what_is_kept_of_an_author_is_short(services: Services) -> None:
    who = Who("anna", program="x" * 100_000 + "\x00")
    kept: list[bytes] = []

    class Kept:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *arguments: kept.append(arguments[2])

    state: Any = Kept()
    authors.put(state, WHEEL, authors.GONE, who)
    assert len(kept[0]) < 1000
