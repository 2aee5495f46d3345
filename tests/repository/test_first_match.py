"""Own projects first, then what other indexes have: at the edge, with a clock, and nobody is asked for what is ours."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName, canonicalize_name
from werkzeug.test import Client as WerkzeugClient
from werkzeug.test import TestResponse

from elasticpypi.accounts.permissions import Permission, Permissions
from elasticpypi.accounts.principal import Principal
from elasticpypi.actions import decisions, policy
from elasticpypi.config import Config
from elasticpypi.core import exemptions, ruling
from elasticpypi.core.errors import Blocked, NotFound, Unavailable
from elasticpypi.core.moments import seconds_of, text_of
from elasticpypi.core.ruling import Ruling
from elasticpypi.indexing import sync
from elasticpypi.policy import Upstream as Settings
from elasticpypi.repository import first_match
from elasticpypi.repository.current_policy import DOCUMENT
from elasticpypi.repository.first_match import AGAIN, FirstMatch
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANY
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.storage.local.upstream import FolderUpstream
from elasticpypi.upstream.fetch import Answer, Failed
from elasticpypi.upstream.pages import Upstream
from elasticpypi.web.app import create_app
from elasticpypi.web.response_cache import ResponseCache
from elasticpypi.wiring import on_folder, with_subscribers
from tests.support.application import LOGIN, PASSWORD, USER
from tests.support.builders import ACTOR, make_sdist, make_wheel
from tests.support.upstream_vectors import VECTORS, cases, ids, policy_of

DAY = 86400.0
NOW = seconds_of(VECTORS["now"])
JSON = "application/vnd.pypi.simple.v1+json"
READER = Principal(USER)
SIX = NormalizedName("six")
HOST = "https://files.other.example/packages"


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Other:
    """What asks another index, as ``upstream.fetch.Client``: what it has, and what it was asked for."""

    fresh: int = 10**6
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    silent: bool = False

    def has(self, name: str, *files: tuple[str, float], **more: Any) -> None:
        """File names, and how many days old they are at :data:`NOW`."""
        said = [
            {
                "filename": filename,
                "url": f"{HOST}/{filename}",
                "hashes": {"sha256": hashlib.sha256(filename.encode()).hexdigest()},
                "upload-time": text_of(NOW - days * DAY),
                "size": len(filename),
            }
            for filename, days in files
        ]
        self.pages[name] = json.dumps({"name": name, "files": said, **more}).encode()

    def page(self, name: str, etag: str = "") -> Answer:
        self.asked.append((name, etag))
        if self.silent:
            raise Failed("The index 'main' has not answered: it took too long.")
        url, body = f"https://other.example/simple/{name}/", self.pages.get(name)
        if body is None:
            return Answer(404, url)
        mark = hashlib.sha256(body).hexdigest()
        return Answer(304 if etag == mark else 200, url, body, JSON, etag=mark, age=self.fresh)


class World:
    """An index on one machine with another one behind it, with a clock; ``worker`` is behind its response cache."""

    def __init__(self, folder: Path, permissions: Permissions | None = None, others: int = 1) -> None:
        data, self.folder = folder / "data", folder
        config = Config(users={USER: PASSWORD}, data=data, upstream="https://other.example/simple/")
        self.services = on_folder(config, DirectoryFiles(data), SQLiteIndex(data / "index.db"))
        self.clock, self.others = Clock(), [Other() for _ in range(others)]
        self.other, store, made = self.others[0], FolderUpstream(data), []
        for number, other in enumerate(self.others):
            settings = Settings(("main", "second")[number], "https://other.example/simple/")
            made.append(Upstream(settings, other, store, self.services.state, clock=self.clock))  # type: ignore[arg-type]
        self.upstreams, self.store = tuple(made), store
        services = self.services
        real = services.first_match
        assert real is not None
        permissions = permissions or services.permissions
        told = services.policy, services.rulings, real._ours
        self.repository = FirstMatch(
            services.stored, services.index, permissions, lambda: self.upstreams, *told, self.clock
        )
        services.__dict__.update(first_match=self.repository, repository=self.repository, permissions=permissions)
        self.worker, self.made = self._worker(services), 0

    def _worker(self, services: Services) -> WerkzeugClient:
        app = create_app(services)

        def counted(environ: Any, start_response: Any) -> Any:
            self.made += 1
            return app(environ, start_response)

        authenticate = app.extensions["authenticator"]
        cache = ResponseCache(counted, self.repository, services.permissions, authenticate, clock=self.clock)
        changes = services.index.changes()  # type: ignore[attr-defined]
        cache.mark = lambda: (changes.mark() or b"") + self.repository.mark()
        return WerkzeugClient(cache)

    def own(self, name: str, version: str = "1.0") -> str:
        """Put a wheel of our own into the folder."""
        packages = self.folder / "data" / "packages"
        packages.mkdir(parents=True, exist_ok=True)
        key = make_wheel(packages, name, version).name
        with_subscribers(self.services).events.tell([sync.sync(self.services.files, self.services.index, key)])
        return key

    def policy(self, *lines: str) -> None:
        self.services.objects.write(DOCUMENT, "\n".join(lines).encode(), ANY)

    def exempt(self, release: str, until: float | None) -> None:
        said = ruling.NOTHING if until is None else Ruling(text_of(until), "a repair", "boss")
        self.services.objects.write(exemptions.parse(release).key, ruling.dump(said), ANY)

    def origin(self, name: str, where: str) -> None:
        policy.set_origin(self.services, ACTOR, canonicalize_name(name), where)

    def keep(self, filename: str) -> None:
        """The bytes of a file are here already."""
        incoming = self.store.begin(hashlib.sha256(filename.encode()).hexdigest())
        assert incoming is not None
        incoming.write(filename.encode())
        incoming.keep()

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.worker.get(path, headers={**LOGIN, "Accept": JSON, **headers})

    def page(self, name: str) -> dict[str, Any]:
        response = self.get(f"/simple/{name}/")
        assert response.status_code == 200, response.text
        return response.get_json(force=True)  # type: ignore[no-any-return]

    def files(self, name: str) -> list[str]:
        return [file["filename"] for file in self.page(name)["files"]]

    def status(self, filename: str, index: str = "main") -> int:
        return self.get(f"/upstream/{index}/packages/{filename}").status_code


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided is looked at with each request."""
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(first_match, "LOOK", 0.0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.other.has("six", ("six-1.0-py3-none-any.whl", 100.0), ("six-2.0-py3-none-any.whl", 2.5))
    return world


OLD, NEW = "six-1.0-py3-none-any.whl", "six-2.0-py3-none-any.whl"


# ---- Where names come from


ORIGINS = cases("origin")


@pytest.mark.parametrize("case", ORIGINS, ids=ids(ORIGINS))
def test_origins(tmp_path: Path, case: dict[str, Any]) -> None:
    world, section, name = World(tmp_path), VECTORS["origin"], canonicalize_name(case["name"])
    for each in section["theirs"]:
        world.other.has(each, (f"{each}-99.0.tar.gz", 100.0))
    for each, kind in section["own"].items():
        key = world.own(each) if kind != "status" else ""
        if kind == "tombstones":
            decisions.delete(world.services, ACTOR, key)
        elif kind == "status":
            (tmp_path / f"data/packages/{each}.status").write_text("archived")
            sync.sync(world.services.files, world.services.index, f"{each}.status")
    for each, where in section["overrides"].items():
        world.origin(each, where)
    world.policy("[origin]", *(f"{key} = {json.dumps(value)}" for key, value in case["policy"].items()))
    world.own("mixedlib")
    world.other.asked.clear()
    assert world.repository.origin(name).where == case["origin"]
    assert policy_of(case, "origin") == world.services.policy()
    spelled = canonicalize_name(name).replace("-", "_")
    own, theirs = f"{spelled}-1.0-py3-none-any.whl", f"{name}-99.0.tar.gz"
    shown = {"own": [own], "upstream": [theirs], "none": [], "merged": [own, theirs]}[case["files"]]
    assert world.files(name) == shown
    assert [asked for asked, _ in world.other.asked] == ([name] if case["asks"] else [])
    for path in ("99.0.tar.gz", "99.0.tar.gz.metadata"):
        assert world.get(f"/upstream/main/packages/{name}-{path}").status_code in (403, 404, 503)
    assert {asked for asked, _ in world.other.asked} <= ({name} if case["asks"] else set())


def test_another_spelling_leads_to_the_page_of_this_index(world: World) -> None:
    for path, location in (("/simple/SIX/", "../six/"), ("/simple/Si__x", "si-x/"), ("/simple/s.I-x/", "../s-i-x/")):
        response = world.get(path)
        assert (response.status_code, response.headers["Location"]) == (301, location)
    assert world.other.asked == []


def test_a_name_that_nobody_has(world: World) -> None:
    assert world.get("/simple/none/").status_code == 404
    assert world.repository.state(READER, NormalizedName("none")) is None
    assert [name for name, _ in world.other.asked] == ["none"]


def test_a_name_stays_ours_when_its_files_and_the_index_are_gone(world: World) -> None:
    key = world.own("six")
    assert world.files("six") == [key]
    (world.folder / "data/packages" / key).unlink()
    services = world.services
    with_subscribers(services).events.tell([sync.sync(services.files, services.index, key)])
    assert list(services.index.records()) == []
    assert world.files("six") == []
    assert world.status(OLD) == 404
    assert world.other.asked == []
    policy.disown(services, ACTOR, SIX)
    world.clock.now += AGAIN
    assert world.files("six") == [OLD]


def test_a_block_is_no_reason_to_own_a_name(world: World) -> None:
    policy.block(world.services, ACTOR, "six==1.0", "bad")
    assert world.repository.origin(SIX).where == "upstream"
    assert world.page("six")["versions"] == []


def test_the_first_index_that_has_a_project_answers_for_it_alone(tmp_path: Path) -> None:
    world = World(tmp_path, others=2)
    first, second = world.others
    second.has("six", (NEW, 100.0))
    second.has("only", ("only-1.0.tar.gz", 100.0))
    first.has("six", (OLD, 100.0))
    assert (world.files("six"), world.files("only")) == ([OLD], ["only-1.0.tar.gz"])
    assert world.page("only")["files"][0]["url"] == "../../upstream/second/packages/only-1.0.tar.gz"
    assert [name for name, _ in second.asked] == ["only"]
    world.keep(NEW)
    assert (world.status(NEW, "second"), world.status(OLD, "second")) == (404, 404)


def test_an_error_of_an_earlier_index_is_an_error(tmp_path: Path) -> None:
    """Else whoever can stop the first one chooses what comes from the second one."""
    world = World(tmp_path, others=2)
    world.others[1].has("six", (OLD, 100.0))
    world.other.silent = True
    assert world.get("/simple/six/").status_code == 503
    assert world.others[1].asked == []


class OnlyDemo(Permissions):
    """Nobody may read anything but demo."""

    def allowed(self, principal: Principal, permission: Permission, project: NormalizedName | None = None) -> bool:
        return project in (None, "demo")


def test_nobody_is_asked_for_what_a_reader_may_not_see(tmp_path: Path) -> None:
    world = World(tmp_path, OnlyDemo())
    world.policy('[origin]\nprivate = ["acme"]\ndenied = ["bad"]')
    for name in ("six", "demo"):
        world.other.has(name, (f"{name}-1.0.tar.gz", 100.0))
    for name in ("six", "acme", "bad"):
        assert world.get(f"/simple/{name}/").status_code == 404
        assert world.status(f"{name}-1.0.tar.gz") == 404
        assert world.repository.state(READER, NormalizedName(name)) is None
    assert world.other.asked == []
    assert world.files("demo") == ["demo-1.0.tar.gz"]


# ---- What an administrator says of a name


def test_denied(world: World) -> None:
    own = world.own("six")
    world.origin("six", "denied")
    page = world.page("six")
    assert (page["files"], page["project-status"]["status"]) == ([], "quarantined")
    assert "elasticpypi origin six upstream" in page["project-status"]["reason"]
    for path in (f"/packages/{own}", f"/packages/{own}.metadata", f"/upstream/main/packages/{OLD}"):
        response = world.get(path)
        assert (response.status_code, "six is not let in" in response.text) == (403, True)
    assert world.other.asked == []
    world.origin("six", "unset")
    assert world.files("six") == [own]
    assert world.get(f"/packages/{own}").status_code == 200


def test_upstream_hides_what_is_here(world: World) -> None:
    own = world.own("six", "9.0")
    assert world.get(f"/packages/{own}").status_code == 200
    world.origin("six", "upstream")
    assert world.files("six") == [OLD]
    assert world.get(f"/packages/{own}").status_code == 404
    world.origin("six", "private")
    assert world.files("six") == [own]
    assert world.get(f"/packages/{own}").status_code == 200
    assert world.status(OLD) == 404


def test_what_cannot_be_read_lets_nothing_in(world: World) -> None:
    world.services.objects.write("policy/origins/six", b"{", ANY)
    assert world.page("six")["project-status"]["status"] == "quarantined"
    assert world.status(OLD) == 403
    assert world.other.asked == []


MERGES = [case for case in cases("merge") if "own" in case]


@pytest.mark.parametrize("case", MERGES, ids=ids(MERGES))
def test_merging(tmp_path: Path, case: dict[str, Any]) -> None:
    world = World(tmp_path)
    own, theirs = case["own"], case["theirs"]
    name = canonicalize_name(own[0].partition("-")[0])
    packages = tmp_path / "data/packages"
    packages.mkdir(parents=True, exist_ok=True)
    for filename in own:
        version = filename.removesuffix(".tar.gz").split("-")[1]
        made = make_wheel(tmp_path, name.replace("-", "_"), version)
        if filename.endswith(".tar.gz"):
            made = make_sdist(tmp_path, name, version)
        made.rename(packages / filename)
        with_subscribers(world.services).events.tell([sync.sync(world.services.files, world.services.index, filename)])
    world.other.has(name, *((filename, 100.0) for filename in theirs))
    world.origin(name, case["origin"])
    page = world.page(name)
    assert [file["filename"] for file in page["files"]] == case["shown"]
    if "versions" in case:
        assert page["versions"] == case["versions"]
    urls = {file["filename"]: file["url"] for file in page["files"]}
    assert all(urls[filename].startswith("../../packages/") for filename in own)
    state = world.repository.state(READER, name)
    found = world.repository.project(READER, name)
    assert found is not None
    assert state == found[0]


def test_own_files_never_wait_and_others_do(world: World) -> None:
    own = world.own("six", "3.0")
    world.origin("six", "both")
    assert world.files("six") == [OLD, own]
    assert [held["filename"] for held in world.page("six")["_held"]] == [NEW]


def test_what_was_deleted_here_does_not_come_from_elsewhere(world: World) -> None:
    deleted, kept = world.own("six", "1.0"), world.own("six", "3.0")
    world.origin("six", "both")
    decisions.delete(world.services, ACTOR, deleted)
    assert deleted == OLD
    assert world.files("six") == [kept]


def test_own_quarantine_closes_all(world: World) -> None:
    world.keep(OLD)
    world.own("six", "3.0")
    world.origin("six", "both")
    assert world.status(OLD) == 200
    decisions.set_status(world.services, ACTOR, SIX, "quarantined", "bad")
    page = world.page("six")
    assert (page["files"], page["project-status"]["status"]) == ([], "quarantined")
    assert world.status(OLD) == 403
    assert world.repository.state(READER, SIX) == world.repository.project(READER, SIX)[0]  # type: ignore[index]
    decisions.set_status(world.services, ACTOR, SIX, "active", "")
    assert world.status(OLD) == 200


# ---- The clock


def test_a_page_changes_by_the_clock_alone(world: World) -> None:
    """ETag, 304 and the response cache: until the moment, and no longer."""
    first = world.get("/simple/six/")
    assert NEW not in [file["filename"] for file in first.get_json(force=True)["files"]]
    known = {"If-None-Match": first.headers["ETag"]}
    made = world.made
    ripe = NOW + DAY / 2
    world.clock.now = ripe - 1
    assert world.get("/simple/six/", **known).status_code == 304
    assert world.get("/simple/six/").data == first.data
    assert world.made == made
    world.clock.now = ripe + 1
    second = world.get("/simple/six/", **known)
    assert second.status_code == 200
    assert [file["filename"] for file in second.get_json(force=True)["files"]] == [OLD, NEW]
    assert second.headers["ETag"] != first.headers["ETag"]
    assert len(world.other.asked) == 1
    world.clock.now = ripe + 100 * DAY
    assert world.get("/simple/six/", **{"If-None-Match": second.headers["ETag"]}).status_code == 304


def test_the_moment_of_a_page_is_that_of_its_next_change_or_its_next_look(world: World) -> None:
    [case] = [case for case in cases("cooldown", "maturing") if "next_change" in case]
    world.other.has(
        "demo", *((f"demo-{each['version']}.tar.gz", (NOW - seconds_of(each["time"])) / DAY) for each in case["files"])
    )
    world.policy("[cooldown]", f'age = "{case["policy"]["age"]}"')
    name, world.clock.now = NormalizedName("demo"), seconds_of(case["read"])
    state = world.repository.state(READER, name)
    assert state is not None
    assert state.fresh_until == pytest.approx(seconds_of(case["next_change"]), abs=0.001)
    world.other.fresh = 600
    world.clock.now += 10**6
    state = world.repository.state(READER, name)
    assert state is not None
    assert state.fresh_until == world.clock.now + 600


def test_a_page_is_asked_for_again_when_it_is_no_longer_fresh(world: World) -> None:
    world.other.fresh = 600
    first = world.get("/simple/six/")
    world.clock.now += 599
    world.get("/simple/six/")
    assert len(world.other.asked) == 1
    world.clock.now += 1
    assert world.get("/simple/six/", **{"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert len(world.other.asked) == 2
    world.other.has("six", (OLD, 100.0), ("six-1.1.tar.gz", 50.0))
    world.clock.now += 600
    assert world.files("six") == [OLD, "six-1.1.tar.gz"]


def test_a_file_is_held_until_its_page_shows_it(world: World) -> None:
    world.keep(NEW)
    for _ in range(2):
        response = world.get(f"/upstream/main/packages/{NEW}")
        assert (response.status_code, "is held until" in response.text) == (403, True)
    world.clock.now = NOW + DAY / 2 + 1
    for _ in range(2):
        assert world.get(f"/upstream/main/packages/{NEW}").data == NEW.encode()


def test_an_exemption_begins_at_once_and_ends_by_the_clock(world: World) -> None:
    world.keep(NEW)
    assert (world.files("six"), world.status(NEW)) == ([OLD], 403)
    world.exempt("six==2.0.0", NOW + 3600)
    for _ in range(2):
        assert (world.files("six"), world.status(NEW)) == ([OLD, NEW], 200)
    world.clock.now = NOW + 3600
    for _ in range(2):
        assert (world.files("six"), world.status(NEW)) == ([OLD], 403)
    world.exempt("six==2.0", NOW + 2 * DAY)
    assert (world.files("six"), world.status(NEW)) == ([OLD, NEW], 200)
    world.exempt("six==2.0", None)
    assert (world.files("six"), world.status(NEW)) == ([OLD], 403)


# ---- What is decided acts at once, and back


CHANGES: dict[str, tuple[list[str], list[str], int]] = {
    "no age": (['[cooldown]\nage = "0"'], [OLD, NEW], 200),
    "no age of this one": (['[cooldown.project]\nSix = "0"'], [OLD, NEW], 200),
    "a longer age": (['[cooldown]\nage = "365d"'], [], 403),
    "a cutoff": (["[cooldown]\ncutoff = 2026-01-01T00:00:00Z"], [], 403),
    "pages alone": (['[cooldown]\nwhere = "index"'], [OLD], 200),
    "denied": (['[origin]\ndenied = ["six"]'], [], 403),
    "not allowed": (['[origin]\nallowed = ["seven"]'], [], 403),
    "reserved": (['[origin]\nprivate = ["six"]'], [], 404),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_policy_acts_at_once_and_back(world: World, what: str) -> None:
    document, files, status = CHANGES[what]
    for filename in (OLD, NEW):
        world.keep(filename)
    old_too = 200 if files else status
    for _ in range(2):
        for _ in range(2):  # the second one may be a kept answer
            assert (world.files("six"), world.status(NEW), world.status(OLD)) == ([OLD], 403, 200)
        world.policy(*document)
        for _ in range(2):
            assert (world.files("six"), world.status(NEW), world.status(OLD)) == (files, status, old_too)
        world.policy("")


def test_a_block_acts_at_once_and_back(world: World) -> None:
    world.keep(OLD)
    digest = hashlib.sha256(OLD.encode()).hexdigest()
    for what in ("six", "six==1", f"sha256:{digest}"):
        for _ in range(2):
            assert (world.files("six"), world.status(OLD)) == ([OLD], 200)
        policy.block(world.services, ACTOR, what, "It steals passwords.")
        for _ in range(2):
            assert (world.files("six"), world.status(OLD)) == ([], 403)
        assert "It steals passwords." in world.get("/simple/six/").text
        policy.unblock(world.services, ACTOR, what)


def test_a_page_that_says_the_same_keeps_its_etag(world: World) -> None:
    """Clients have pages of megabytes: what changes nothing of a page is no reason to fetch it again."""
    world.policy('[origin]\ndenied = ["other"]')
    known = {"If-None-Match": world.get("/simple/six/").headers["ETag"]}
    world.policy('[origin]\ndenied = ["another"]')
    world.exempt("other==1.0", NOW + DAY)
    assert world.get("/simple/six/", **known).status_code == 304


def test_what_upstream_closes_is_closed(world: World) -> None:
    world.keep(OLD)
    assert world.status(OLD) == 200
    world.other.fresh = 0
    world.clock.now += 10**6
    world.other.has("six", (OLD, 100.0), **{"project-status": {"status": "quarantined", "reason": "Malware"}})
    page = world.page("six")
    assert (page["files"], page["project-status"]["status"]) == ([], "quarantined")
    assert "Malware" in page["project-status"]["reason"]
    assert world.status(OLD) == 403


# ---- Seen from inside


def test_each_use_of_a_held_file_is_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    address = f"packages/{NEW}"
    with pytest.raises(Blocked, match="is held until"):
        world.repository.upstream_file(READER, "main", address)
    world.policy('[cooldown]\nwhere = "index"')
    assert world.repository.upstream_file(READER, "main", address)[1].filename == NEW
    refused, passed = (record.getMessage() for record in caplog.records if NEW in record.getMessage())
    assert refused.startswith("refused: ")
    assert passed.startswith("let through")


@pytest.mark.parametrize(
    "path", ["", "x", "packages/", f"packages/../{OLD}", f"packages/{OLD}/", "packages/six-9.tar.gz"]
)
def test_addresses_of_nothing(world: World, path: str) -> None:
    with pytest.raises(NotFound):
        world.repository.upstream_file(READER, "main", path)
    with pytest.raises(NotFound):
        world.repository.upstream_file(READER, "another", f"packages/{OLD}")


def test_a_file_of_a_newer_page_is_judged_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may be replaced between two looks: what nobody has judged is not let through."""
    assert world.files("six") == [OLD]
    upstream = world.upstreams[0]
    page = upstream.page(SIX, upstream.about(SIX))
    young = replace(page.files[1], key="six-3.0-py3-none-any.whl", path="packages/six-3.0-py3-none-any.whl")
    newer = replace(page, files=(*page.files, young))
    monkeypatch.setattr(upstream, "page", lambda *_: newer)
    with pytest.raises(Blocked):
        world.repository.upstream_file(READER, "main", young.path)


def test_an_index_that_is_down_is_no_reason_to_refuse_what_is_ours(world: World) -> None:
    own = world.own("mine")
    world.other.silent = True
    assert world.files("mine") == [own]
    assert world.get("/simple/six/").status_code == 503
    world.origin("mine", "both")
    with pytest.raises(Unavailable):
        world.repository.project(READER, NormalizedName("mine"))


def test_only_so_many_verdicts_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_match, "FILES", 60)
    names = [NormalizedName(f"p{number}") for number in range(10)]
    for name in names:
        world.other.has(name, (f"{name}-1.0.tar.gz", 100.0), (f"{name}-2.0.tar.gz", 1.0))
        assert world.files(name) == [f"{name}-1.0.tar.gz"]
    assert list(world.repository._verdicts) == names[-5:]
    assert [world.files(name) for name in names] == [[f"{name}-1.0.tar.gz"] for name in names]
    for _ in range(10):
        world.clock.now -= 10.0  # each page is judged again
        assert world.files(names[-1]) == [f"{names[-1]}-1.0.tar.gz"]
    assert list(world.repository._verdicts) == names[-5:]


def test_a_verdict_is_made_once_for_many_requests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real: Callable[..., Any] = first_match.verdict

    def counted(page: Any, *rest: Any) -> Any:
        made.append(page.name)
        return real(page, *rest)

    monkeypatch.setattr(first_match, "verdict", counted)
    for _ in range(5):
        world.repository.state(READER, SIX)
        world.repository.project(READER, SIX)
    assert made == ["six"]
    world.clock.now -= 10.0  # a clock that is set back
    world.repository.state(READER, SIX)
    assert made == ["six"] * 2
