"""``/upstream/``: files of another index as installers get them, and own packages whatever that one does."""

import hashlib
import http.client
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from werkzeug.serving import make_server

from elasticpypi.config import Config
from elasticpypi.core.errors import Unavailable
from elasticpypi.services import Services
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.upstream import transfers
from elasticpypi.upstream.pages import Upstream
from elasticpypi.wiring import on_folder
from tests.support.application import PASSWORD, USER, Client, Worker
from tests.support.builders import make_wheel
from tests.support.fake_upstream import Answer, FakeUpstream, fake_upstream
from tests.support.serving import Server, run
from tests.support.waiting import until

CONTENT = b"".join(number.to_bytes(4, "big") for number in range(200_000))  # 800 kB
METADATA = b"Metadata-Version: 2.4\nName: demo\nVersion: 1.0\n"
NAME = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def fake() -> Iterator[FakeUpstream]:
    with fake_upstream() as made:
        add(made)
        yield made


def add(fake: FakeUpstream, content: bytes = CONTENT, **entry: Any) -> dict[str, Any]:
    digest = hashlib.sha256(METADATA).hexdigest()
    found = fake.add(NAME, content, **{"core-metadata": {"sha256": digest}, **entry})
    fake.tell(f"{urlsplit(found['url']).path}.metadata", Answer(METADATA))
    return found


def opened(folder: Path, upstream: str) -> Services:
    config = Config(users={USER: PASSWORD}, data=folder, upstream=upstream)
    return on_folder(config, DirectoryFiles(config.data), SQLiteIndex(config.data / "index.db"))


@pytest.fixture
def services(fake: FakeUpstream, tmp_path: Path) -> Iterator[Services]:
    made = opened(tmp_path / "data", fake.url)
    yield made
    fake.gone.set()
    assert made.upstreams is not None
    running = made.upstreams.transfers._running
    until(lambda: not running)


@pytest.fixture
def client(services: Services) -> Client:
    return Client(services)


def anew(services: Services, document: str = "") -> Client:
    """Another process on the same data, with a policy."""
    if document:
        (services.config.data / "policy.toml").write_text(document)
    return Client(opened(services.config.data, services.config.upstream))


def policy(fake: FakeUpstream, rest: str = "", cooldown: str = "") -> str:
    return f'[upstream.main]\nurl = "{fake.url}"\n{rest}\n[cooldown]\n{cooldown}\n'


def path_of(fake: FakeUpstream, entry: int = 0) -> str:
    """The path of the file at upstream, which is fetched; ours has one prefix more."""
    return urlsplit(fake.projects["demo"]["files"][entry]["url"]).path


def address(fake: FakeUpstream, entry: int = 0) -> str:
    return f"/upstream/main{path_of(fake, entry)}"


# ---- As installers ask


def test_the_page_leads_to_the_file_and_the_path_is_that_of_upstream(client: Client, fake: FakeUpstream) -> None:
    [file] = client.json("/simple/demo/")["files"]  # type: ignore[misc]
    assert file["url"] == f"../..{address(fake)}"
    answer = client.get(address(fake))
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.headers["Cache-Control"] == "private, max-age=365000000, immutable" or "immutable" in str(
        answer.headers
    )
    assert answer.headers["ETag"].strip('"') == hashlib.sha256(CONTENT).hexdigest()
    assert answer.content_length == len(CONTENT)


def test_once_it_is_kept_nobody_is_asked_and_ranges_are_served(client: Client, fake: FakeUpstream) -> None:
    assert client.get(address(fake)).data == CONTENT
    for _ in range(2):
        assert client.get(address(fake)).data == CONTENT
    part = client.get(address(fake), headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.data) == (206, CONTENT[100:200])
    assert client.get(address(fake), headers={"Range": "bytes=900000-"}).status_code == 416
    assert len(fake.asked(path_of(fake))) == 1


def test_head_and_conditions_on_what_is_not_there_yet_fetch_nothing(client: Client, fake: FakeUpstream) -> None:
    head = client.head(address(fake))
    assert (head.status_code, head.content_length, head.data) == (200, len(CONTENT), b"")
    same = client.get(address(fake), headers={"If-None-Match": head.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    another = client.get(address(fake), headers={"If-Match": '"another"'})
    assert another.status_code == 412
    assert not fake.asked(path_of(fake))


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=-5", "bytes=5-", "bytes=9000000-", "lines=1-2"])
def test_a_range_of_what_is_not_there_yet_is_all_of_it(client: Client, fake: FakeUpstream, asked: str) -> None:
    answer = client.get(address(fake), headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, CONTENT)


def test_metadata_is_that_of_upstream_byte_for_byte(client: Client, fake: FakeUpstream) -> None:
    for _ in range(2):
        answer = client.get(f"{address(fake)}.metadata")
        assert (answer.status_code, answer.data) == (200, METADATA)
    assert len(fake.asked(f"{path_of(fake)}.metadata")) == 1
    assert not fake.asked(path_of(fake))
    head = anew(client.services).head(f"{address(fake)}.metadata")
    assert head.content_length == len(METADATA)


def test_metadata_that_is_not_announced_is_not_there(client: Client, fake: FakeUpstream) -> None:
    fake.projects["demo"]["files"][0]["core-metadata"] = True
    answer = client.get(f"{address(fake)}.metadata")
    assert answer.status_code == 404
    assert "has no metadata file" in answer.text


def test_other_metadata_than_announced_is_a_503(client: Client, fake: FakeUpstream) -> None:
    fake.tell(f"{path_of(fake)}.metadata", Answer(METADATA + b"Requires-Dist: evil\n"))
    answer = client.get(f"{address(fake)}.metadata")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "sent other bytes" in answer.text


@pytest.mark.parametrize(
    "path",
    ["/upstream/other/packages/demo-1.0-py3-none-any.whl", "/upstream/main/x/y", "/upstream/main/demo-2.0.tar.gz"],
)
def test_what_is_no_file_of_the_index_is_not_there(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_only_who_is_known_gets_a_file(client: Client, fake: FakeUpstream) -> None:
    assert client.get(address(fake), user=None).status_code == 401
    assert not fake.requests


def test_a_path_with_signs_is_found_again(client: Client, fake: FakeUpstream) -> None:
    entry = fake.add("demo-1.0+local.1.tar.gz", b"local", path="a%20b/demo-1.0%2Blocal.1.tar.gz")
    [_, file] = client.json("/simple/demo/")["files"]  # type: ignore[misc]
    assert file["filename"] == entry["filename"]
    assert client.get(file["url"].removeprefix("../..")).data == b"local"


def test_a_file_without_a_size_has_that_of_the_answer(client: Client, fake: FakeUpstream) -> None:
    for key in ("size", "upload-time"):
        del fake.projects["demo"]["files"][0][key]
    client = anew(client.services, policy(fake, cooldown='no_time = "allow"'))
    assert "Content-Length" not in client.head(address(fake)).headers
    answer = client.get(address(fake))
    assert (answer.content_length, answer.data) == (len(CONTENT), CONTENT)


def test_a_file_whose_length_nobody_tells_is_sent_when_it_is_whole(services: Services, fake: FakeUpstream) -> None:
    """An answer of unknown length that is broken off would look like all of it: granian ends it as if it were."""
    del fake.projects["demo"]["files"][0]["size"]
    client = Client(services)
    fake.tell(path_of(fake), Answer(CONTENT[:-1] + b"\xff", announces=None))
    assert client.get(address(fake)).status_code == 503
    fake.tell(path_of(fake), Answer(CONTENT, announces=None))
    answer = client.get(address(fake))
    assert (answer.content_length, answer.data) == (len(CONTENT), CONTENT)


# ---- Vectors: the same verdict, kept or not


DAY = 86400
HELD = 'age = "3d"'


@pytest.mark.parametrize("kept", [False, True], ids=["not kept", "kept"])
@pytest.mark.parametrize(
    ("case", "cooldown", "status"),
    [("E01", 'age = "0"', 200), ("E06", HELD, 403), ("E07", f'{HELD}\nwhere = "index"', 200)],
)
def test_a_held_file_is_held_whether_it_is_kept_or_not(
    services: Services, fake: FakeUpstream, kept: bool, case: str, cooldown: str, status: int
) -> None:
    fake.projects["demo"]["files"][0]["upload-time"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    if kept:
        assert anew(services, policy(fake, cooldown='age = "0"')).get(address(fake)).data == CONTENT
    answer = anew(services, policy(fake, cooldown=cooldown)).get(address(fake))
    assert answer.status_code == status
    if status == 403:
        assert f"{NAME} is held until" in answer.text
        assert "elasticpypi exempt demo==1.0" in answer.text
    assert len(fake.asked(path_of(fake))) == (1 if kept or status == 200 else 0)


def test_an_address_of_a_lock_file_works_with_an_empty_cache(services: Services, fake: FakeUpstream) -> None:
    """E17: uv sync --frozen asks for this address and for nothing else."""
    assert Client(services).get(address(fake)).data == CONTENT
    assert [request.path for request in fake.requests] == ["/simple/demo/", path_of(fake)]


def test_many_clients_fetch_it_once(services: Services, fake: FakeUpstream) -> None:
    """E16."""
    go = threading.Event()
    fake.tell(path_of(fake), Answer(CONTENT, middle=go.wait))
    client = Client(services)
    client.get("/simple/demo/")
    with ThreadPoolExecutor(64) as pool:
        found = [pool.submit(lambda: client.get(address(fake)).data) for _ in range(64)]
        until(lambda: fake.asked(path_of(fake)))
        go.set()
        assert all(each.result() == CONTENT for each in found)
    assert len(fake.asked(path_of(fake))) == 1


# ---- Modes


def test_redirect_leads_to_upstream_and_keeps_nothing(services: Services, fake: FakeUpstream) -> None:
    client = anew(services, policy(fake, 'mode = "redirect"'))
    answer = client.get(address(fake))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (302, "no-store")
    assert answer.headers["Location"] == f"{fake.base}{path_of(fake)}"
    head = client.head(address(fake))
    assert (head.status_code, head.content_length) == (200, len(CONTENT))
    metadata = client.get(f"{address(fake)}.metadata")
    assert metadata.headers["Location"] == f"{fake.base}{path_of(fake)}.metadata"
    assert not fake.asked("/packages/*")


def test_redirect_with_a_copy_serves_the_copy_from_then_on(services: Services, fake: FakeUpstream) -> None:
    client = anew(services, policy(fake, 'mode = "cache+redirect"'))
    assert client.get(address(fake)).status_code == 302
    store = client.services.upstreams.store  # type: ignore[union-attr]
    until(lambda: store.size(hashlib.sha256(CONTENT).hexdigest()))
    assert client.get(address(fake)).data == CONTENT
    assert len(fake.asked(path_of(fake))) == 1


@pytest.mark.parametrize("mode", ["redirect", "cache+redirect"])
def test_a_held_file_is_not_redirected_either(services: Services, fake: FakeUpstream, mode: str) -> None:
    fake.projects["demo"]["files"][0]["upload-time"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    assert anew(services, policy(fake, f'mode = "{mode}"', HELD)).get(address(fake)).status_code == 403


def test_nobody_is_redirected_to_where_the_policy_lets_nobody_go(services: Services, fake: FakeUpstream) -> None:
    fake.projects["demo"]["files"][0]["url"] = "http://10.0.0.1/packages/" + NAME
    answer = anew(services, policy(fake, 'mode = "redirect"')).get(f"/upstream/main/packages/{NAME}")
    assert answer.status_code == 503
    assert "not https" in answer.text


def test_what_only_we_have_the_credentials_for_is_not_redirected(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_upstream("Basic YW5uYTpzZWNyZXQ=") as locked:
        add(locked)
        monkeypatch.setenv("MINE", "anna:secret")
        client = anew(services, policy(locked, 'mode = "redirect"\ncredentials = "MINE"'))
        answer = client.get(address(locked))
        assert (answer.status_code, answer.data) == (200, CONTENT)
        page = client.get("/simple/demo/")
        assert "secret" not in page.text + str(answer.headers)


def test_offline_serves_what_is_kept(services: Services, fake: FakeUpstream) -> None:
    assert Client(services).get(address(fake)).data == CONTENT
    other = fake.add("demo-2.0.tar.gz", b"two")
    state = services.config.data / "state.db"
    until(lambda: services.state.get("upstream.page", "main/demo"))
    state.unlink()
    assert len(anew(services).json("/simple/demo/")["files"]) == 2  # type: ignore[arg-type]
    requests = len(fake.requests)
    client = anew(services, policy(fake, "offline = true"))
    assert client.get(address(fake)).data == CONTENT
    missing = client.get(address(fake, 1))
    assert missing.status_code == 404
    assert f"{other['filename']!r} is not kept here, and the index 'main' is not asked" in missing.text
    assert client.get("/simple/other/").status_code == 404
    assert len(fake.requests) == requests


# ---- Lies and troubles


@pytest.mark.parametrize(
    "answer", [Answer(b"", 404), Answer(b"", 500), Answer(b"", 401), Answer(b"x", announces=5), Answer(b"short")]
)
def test_what_goes_wrong_at_once_is_a_503_with_a_sentence(client: Client, fake: FakeUpstream, answer: Answer) -> None:
    fake.tell(path_of(fake), answer)
    found = client.get(address(fake))
    assert found.status_code == 503
    assert int(found.headers["Retry-After"]) > 0
    assert "The index 'main'" in found.text or "The answer" in found.text


def test_what_goes_wrong_later_breaks_the_answer(
    client: Client, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> Iterator[bytes]:
        yield CONTENT[:1000]
        raise Unavailable("They have sent other bytes.")

    with monkeypatch.context() as patched:
        patched.setattr(transfers.Transfers, "read", read)
        with pytest.raises(Unavailable, match="sent other bytes"):
            client.get(address(fake)).get_data()
    assert client.get(address(fake)).data == CONTENT


def test_a_small_file_that_is_wrong_is_a_503_behind_the_response_cache(services: Services, fake: FakeUpstream) -> None:
    """It is read as a whole before it is kept in memory."""
    content = CONTENT[:200_000]
    fake.projects.clear()
    add(fake, content)
    worker = Worker(services)
    fake.tell(path_of(fake), Answer(content[:-1] + b"\xff"))
    answer = worker.open(address(fake))
    assert answer.status_code == 503
    assert "sent other bytes" in answer.text
    fake.tell(path_of(fake), Answer(content))
    for _ in range(2):
        assert worker.open(address(fake)).data == content
    assert worker.asked.count(address(fake)) <= 3


def test_no_room_on_the_disk_is_a_503(client: Client, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "SPARE", 2**62)
    answer = client.get(address(fake))
    assert answer.status_code == 503
    assert "no room on the disk" in answer.text


# ---- Own packages, as if there were no other index


@pytest.fixture
def own(client: Client, tmp_path: Path, fake: FakeUpstream) -> Client:
    wheel = make_wheel(tmp_path, "mine", "1.0")
    assert client.upload(wheel).status_code == 200
    fake.requests.clear()  # before the first file of a name it is asked once whether it has that
    return client


def test_a_name_of_ours_is_never_asked_for(own: Client, fake: FakeUpstream) -> None:
    fake.add("mine-99.0-py3-none-any.whl", b"evil")
    for path in ("/simple/mine/", "/simple/Mine/", "/packages/mine-1.0-py3-none-any.whl", "/simple/", "/project/mine/"):
        assert own.get(path).status_code in (200, 301)
    assert own.get(f"/upstream/main{urlsplit(fake.projects['mine']['files'][0]['url']).path}").status_code == 404
    assert [file["filename"] for file in own.json("/simple/mine/")["files"]] == [  # type: ignore[attr-defined]
        "mine-1.0-py3-none-any.whl"
    ]
    assert not fake.requests


def test_own_packages_are_served_while_hundreds_wait_for_an_index_that_hangs(own: Client, fake: FakeUpstream) -> None:
    worker = Worker(own.services)
    fake.requests.clear()  # its first file was asked for
    gate = threading.Event()

    def hang(_: object) -> Answer:
        gate.wait(60)
        return Answer(b"", 404)

    names = [f"theirs-{number % 150}" for number in range(300)]
    for name in names:
        fake.tell(f"/simple/{name}/", hang)
    fake.tell(path_of(fake), Answer(CONTENT, before=lambda: gate.wait(60)))
    with ThreadPoolExecutor(300) as pool:
        waiting = [pool.submit(worker.open, f"/simple/{name}/") for name in names]
        waiting += [pool.submit(worker.open, address(fake)) for _ in range(20)]
        until(lambda: len(fake.requests) >= 32)
        for path in ("/simple/mine/", "/packages/mine-1.0-py3-none-any.whl", "/simple/", "/project/mine/"):
            for accept in ("text/html", "application/vnd.pypi.simple.v1+json"):
                assert worker.open(path, Accept=accept).status_code == 200
        with ThreadPoolExecutor(8) as others:
            pages = [others.submit(worker.open, "/simple/mine/", Accept=f"text/html;q=0.{n}") for n in range(1, 9)]
            assert {page.result().status_code for page in pages} == {200}
        gate.set()
        assert {each.result().status_code for each in waiting} <= {200, 404, 503}
    assert not [request for request in fake.requests if "mine" in request.path]


# ---- Two indexes that name each other


def test_two_that_name_each_other_end_in_a_508_with_a_sentence(tmp_path: Path) -> None:
    servers = []
    documents = []
    for number in range(2):
        services = opened(tmp_path / str(number), "")
        worker = Worker(services)
        server = make_server("127.0.0.1", 0, worker.cache, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append((server, worker))
        documents.append(services.config.data / "policy.toml")
    for number, (server, _) in enumerate(servers):
        address = f"http://127.0.0.1:{server.server_port}/simple/"
        text = f'[upstream.other]\nurl = "{address}"\ncredentials = "OTHER"\n'
        documents[1 - number].write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTHER", f"{USER}:{PASSWORD}")
        found = servers[0][1].open("/simple/demo/")
    for server, _ in servers:
        server.shutdown()
        server.server_close()
    assert found.status_code == 508
    assert "one of them must not name the other" in found.text


def test_who_asks_in_turn_is_passed_on_and_forgotten_with_the_request(services: Services, fake: FakeUpstream) -> None:
    assert services.upstreams is not None
    me, worker = services.upstreams.loop(), Worker(services)
    worker.open("/simple/demo/", **{"CDN-Loop": "first, second"})
    worker.open("/simple/another/")
    worker.open(address(fake), **{"CDN-Loop": "third"})
    said = [request.headers["cdn-loop"] for request in fake.requests]
    assert said == [f"first, second, {me}", me, f"third, {me}"]
    refused = worker.open("/simple/others/", **{"CDN-Loop": f"first, {me}"})
    assert refused.status_code == 508
    assert len(fake.requests) == 3


def test_a_copy_of_the_folder_is_another_index(tmp_path: Path) -> None:
    """One machine fetches, the other one has its folder by rsync, and asks it."""
    first = opened(tmp_path / "first", "")
    first.form_tokens.make(USER)
    shutil.copytree(first.config.data, tmp_path / "second")
    assert Client(first).upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 200
    server = make_server("127.0.0.1", 0, Worker(first).cache, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://{quote(USER)}:{quote(PASSWORD)}@127.0.0.1:{server.server_port}/simple/"
    second = opened(tmp_path / "second", address)
    try:
        found = Client(opened(tmp_path / "second", address)).get("/simple/demo/")
    finally:
        server.shutdown()
        server.server_close()
    assert found.status_code == 200
    assert second.form_tokens.name_of_index() == opened(tmp_path / "second", "").form_tokens.name_of_index()


# ---- The real server


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.network
@pytest.mark.slow
def test_after_all_processes_were_killed_in_the_middle_files_and_pages_come_whole(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    gate = threading.Event()
    server = Server(tmp_path, USERNAME="anna", PASSWORD="secret", UPSTREAM=fake.url)
    try:
        server.open("/simple/demo/", "anna:secret").read()
        fake.tell(path_of(fake), Answer(CONTENT, middle=gate.wait))
        fake.add("other-1.0.tar.gz", b"other")
        fake.tell("/simple/other/", lambda _: Answer(b"", before=gate.wait))
        with ThreadPoolExecutor(2) as pool:
            broken = [pool.submit(lambda: server.open(address(fake), "anna:secret").read())]
            broken += [pool.submit(lambda: server.open("/simple/other/", "anna:secret").read())]
            until(lambda: fake.asked(path_of(fake)) and fake.asked("/simple/other/"))
            before = children(server.process.pid)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            assert all(each.exception() is not None for each in broken)
        gate.set()
        fake.answers.pop("/simple/other/")
        until(lambda: not {*before} & {*children(server.process.pid)} and server.is_up())
        assert server.open(address(fake), "anna:secret").read() == CONTENT
        until(lambda: not list((tmp_path / "upstream/incoming").iterdir()))
        assert len(fake.asked(path_of(fake))) == 2
        assert b"other-1.0.tar.gz" in server.open("/simple/other/", "anna:secret").read()
        assert server.stop() == 0
    finally:
        server.close()


@pytest.mark.network
@pytest.mark.slow
def test_a_bucket_and_another_index_do_not_go_together_yet(tmp_path: Path) -> None:
    done = run("serve", BUCKET="b", TABLE="t", UPSTREAM="pip", USERNAME="a", PASSWORD="b", DATA=str(tmp_path))
    assert done.returncode != 0
    assert "leave out UPSTREAM, or BUCKET" in done.stderr


@pytest.mark.network
@pytest.mark.slow
def test_the_real_server_breaks_the_connection_and_clears_up_at_its_start(tmp_path: Path, fake: FakeUpstream) -> None:
    left = tmp_path / "upstream/incoming" / ("a" * 64)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"left by a process that was killed")
    server = Server(tmp_path, USERNAME="anna", PASSWORD="secret", UPSTREAM=fake.url)
    try:
        assert f"What is not here comes from {fake.url} (the index 'main')" in "".join(server.said)
        until(lambda: not left.exists())
        assert server.open(address(fake), "anna:secret").read() == CONTENT
        (tmp_path / "upstream/files" / hashlib.sha256(CONTENT).hexdigest()[:2]).rename(tmp_path / "away")
        for path, body in ((address(fake), CONTENT[:-1] + b"\xff"), (f"{address(fake)}.metadata", CONTENT)):
            go = threading.Event()  # of the second half, so that the first is on its way by then
            fake.tell(path.removeprefix("/upstream/main"), Answer(body, middle=go.wait))
            with server.open(path, "anna:secret") as answer:
                go.set()
                with pytest.raises(http.client.IncompleteRead) as raised:
                    answer.read()
            assert len(raised.value.partial) <= len(CONTENT) - transfers.BACK
        told = "An answer was broken off: The index 'main' has sent other bytes than it says: they are not taken."
        until(lambda: "".join(server.logged + server.said).count(told) == 2, "a line for each in the log")
        assert "Traceback" not in "".join(server.logged + server.said)
        assert "secret" not in "".join(server.said + server.logged)
        assert server.stop() == 0
    finally:
        server.close()


# ---- What has left the other index (REQ-U60)


def days_ago(days: float) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S.%fZ}"


def page_of(client: Client) -> dict[str, Any]:
    return client.json("/simple/demo/")


@pytest.fixture
def left(fake: FakeUpstream, services: Services, request: pytest.FixtureRequest) -> tuple[Client, str]:
    """An index that kept a file of so many days, which has left its page since; beside it, there is another one."""
    fake.projects["demo"]["files"][0]["upload-time"] = days_ago(request.param)
    fake.add("demo-0.9.tar.gz", b"the one before")
    client, path = anew(services, policy(fake, 'fresh = "0"')), address(fake)
    assert client.get(path).data == CONTENT
    del fake.projects["demo"]["files"][0]
    until(lambda: len(page_of(client)["files"]) == 1, "the page to be asked for again")
    return client, path


@pytest.mark.parametrize("left", [10], indirect=True)
def test_what_left_soon_is_refused_also_when_it_is_kept(left: tuple[Client, str], services: Services) -> None:
    client, path = left
    (services.config.data / "state.db").unlink()
    for each in client, anew(services):  # another process, after a restart
        for address in path, f"{path}.metadata":
            answer = each.get(address)
            assert answer.status_code == 403
            assert f"{NAME} has left the index 'main'" in answer.text
            assert "elasticpypi exempt demo==1.0" in answer.text
    assert [held["filename"] for held in page_of(client)["_held"]] == [NAME]
    said = client.get("/policy/projects/demo==1.0").get_json()
    assert [(file["visible"], "has left" in file["reason"]) for file in said["files"]] == [(False, True)]
    html = client.get("/project/demo/", headers={"Accept": "text/html,application/xhtml+xml"}).text
    assert "has left the index" in html
    assert "1 version refused" in html


@pytest.mark.parametrize("left", [10], indirect=True)
def test_where_only_pages_are_held_it_is_refused_too(left: tuple[Client, str], services: Services) -> None:
    document = (services.config.data / "policy.toml").read_text() + '\nwhere = "index"\n'
    assert anew(services, document).get(left[1]).status_code == 403


@pytest.mark.parametrize("left", [10], indirect=True)
def test_an_administrator_lets_it_through_by_an_exemption(left: tuple[Client, str], services: Services) -> None:
    client, path = left
    command = "exempt", "demo==1.0", "--until", f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}", "--reason", "ours"
    assert run(*command, "--data", str(services.config.data)).returncode == 0
    until(lambda: client.get(path).status_code == 200, "the exemption to hold")
    assert client.get(path).data == CONTENT
    assert [file["filename"] for file in page_of(client)["files"]] == ["demo-0.9.tar.gz"]


@pytest.mark.parametrize("left", [100], indirect=True)
def test_what_left_later_is_not_listed_and_its_exact_address_goes_on(
    left: tuple[Client, str], services: Services, fake: FakeUpstream
) -> None:
    client, path = left
    for each in client, anew(services):
        assert each.get(path).data == CONTENT
    assert "_held" not in page_of(client)
    [said] = client.get("/policy/projects/demo==1.0").get_json()["files"]
    assert "its exact address gives what is kept" in said["reason"]
    assert "gone" in client.get("/project/demo/", headers={"Accept": "text/html,application/xhtml+xml"}).text
    shutil.rmtree(services.config.data / "upstream/files")
    answer = client.get(path)
    assert answer.status_code == 404
    assert "Nothing is" in answer.text
    assert len(fake.asked(path.removeprefix("/upstream/main"))) == 1


@pytest.mark.parametrize("days", [10, 100])
def test_a_project_that_is_gone_is_a_404_and_its_files_are_as_if_they_had_left(
    fake: FakeUpstream, services: Services, days: float
) -> None:
    fake.projects["demo"]["files"][0]["upload-time"] = days_ago(days)
    client, path, page = anew(services, policy(fake, 'fresh = "0"')), address(fake), fake.projects["demo"]
    assert client.get(path).data == CONTENT
    del fake.projects["demo"]
    until(lambda: client.get("/simple/demo/").status_code == 404, "the page to be gone")
    (services.config.data / "state.db").unlink()
    status = 403 if days == 10 else 200
    for each in client, anew(services):
        assert each.get(path).status_code == status
    html = client.get("/project/demo/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert html.status_code == 404
    assert "has left the index" in html.text
    [file] = client.get("/policy/projects/demo").get_json()["files"]
    assert (file["filename"], file["visible"]) == (NAME, False)
    fake.projects["demo"] = page

    def is_back() -> bool:  # who has asked before may just be writing down that there is none
        (services.config.data / "state.db").unlink(missing_ok=True)
        return anew(services).get("/simple/demo/").status_code == 200

    until(is_back, "the page to be back")
    again = anew(services)
    assert [file["filename"] for file in page_of(again)["files"]] == [NAME]
    assert again.get(path).data == CONTENT


# ---- Core metadata that the other index does not announce (REQ-U28)


CORE = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: six\n\nText.\n"
SIMPLE = {"Accept": "application/vnd.pypi.simple.v1+json"}


@pytest.fixture
def wheel(fake: FakeUpstream, tmp_path: Path) -> bytes:
    """The other index has a real one, and says nothing of what is in it."""
    made = make_wheel(tmp_path, "demo", "1.0", core=CORE).read_bytes()
    fake.projects.clear()
    fake.add(NAME, made)
    return made


def core_of(client: Client) -> Any:
    return page_of(client)["files"][0].get("core-metadata")


def test_core_metadata_of_a_kept_wheel_are_announced_and_served(
    services: Services, fake: FakeUpstream, wheel: bytes
) -> None:
    client, other, path = Client(services), anew(services), address(fake)
    etags = [each.get("/simple/demo/", headers=SIMPLE).headers["ETag"] for each in (client, other)]
    assert (core_of(client), client.get(f"{path}.metadata").status_code) == (None, 404)
    assert client.get(path).data == wheel
    until(lambda: core_of(client) is not None, "the page to announce them")
    assert core_of(client) == {"sha256": hashlib.sha256(CORE).hexdigest()}
    etag = client.get("/simple/demo/", headers=SIMPLE).headers["ETag"]
    assert etag not in etags
    for each in client, other, anew(services):  # also one whose page is an old one
        answer = each.get(f"{path}.metadata")
        assert (answer.status_code, answer.data) == (200, CORE)
    assert other.get("/simple/demo/", headers=SIMPLE).headers["ETag"] == etag
    assert not fake.asked(f"{path_of(fake)}.metadata")
    assert len(fake.asked("/simple/demo/")) == 1


def test_they_stay_announced_when_the_page_is_another_one(services: Services, fake: FakeUpstream, wheel: bytes) -> None:
    client = anew(services, policy(fake, 'fresh = "0"'))
    client.get(address(fake))
    until(lambda: core_of(client) is not None, "the page to announce them")
    core = core_of(client)
    fake.add("demo-2.0.tar.gz", b"two")
    until(lambda: len(page_of(client)["files"]) == 2, "the page to be asked for again")
    assert core_of(client) == core
    announced = {"sha256": hashlib.sha256(METADATA).hexdigest()}
    fake.projects["demo"]["files"][0]["core-metadata"] = announced  # theirs hold, once there are some
    fake.tell(f"{path_of(fake)}.metadata", Answer(METADATA))
    until(lambda: core_of(client) == announced, "the page to be asked for again")
    assert client.get(f"{address(fake)}.metadata").data == METADATA


def test_they_are_taken_again_when_they_were_removed(services: Services, fake: FakeUpstream, wheel: bytes) -> None:
    client = Client(services)
    client.get(address(fake))
    until(lambda: core_of(client) is not None, "the page to announce them")
    shutil.rmtree(services.config.data / "upstream/files")
    answer = client.get(f"{address(fake)}.metadata")
    assert (answer.status_code, answer.data) == (200, CORE)
    assert len(fake.asked(path_of(fake))) == 2


def test_a_wheel_that_was_kept_before_is_looked_into_when_it_is_served(
    services: Services, fake: FakeUpstream, wheel: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Upstream, "take_metadata", lambda *_: None)  # the process ended before that
        assert Client(services).get(address(fake)).data == wheel
    client = anew(services)
    assert client.get(address(fake)).data == wheel
    until(lambda: core_of(client) is not None, "the page to announce them")
    assert len(fake.asked(path_of(fake))) == 1


def test_what_is_no_wheel_inside_has_none(services: Services, fake: FakeUpstream) -> None:
    fake.projects["demo"]["files"][0]["core-metadata"] = False
    client = Client(services)
    for _ in range(2):
        assert client.get(address(fake)).data == CONTENT
    upstream = services.upstreams()[0]  # type: ignore[misc]
    digest = hashlib.sha256(CONTENT).hexdigest()
    until(lambda: digest in upstream._looked_into, "it to be looked into")
    assert core_of(client) is None
    assert client.get(f"{address(fake)}.metadata").status_code == 404
