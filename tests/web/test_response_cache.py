"""What is asked for again: the same answer as from the application, and never an old one."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client as WerkzeugClient
from werkzeug.test import TestResponse

from elasticpypi.accounts import attempts
from elasticpypi.services import Services
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.web import response_cache
from elasticpypi.web.app import create_app
from elasticpypi.web.response_cache import ResponseCache
from tests.support.application import LOGIN, USER, Client, Worker, basic, staged
from tests.support.builders import make_wheel
from tests.support.waiting import until

JSON = "application/vnd.pypi.simple.v1+json"
WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes for those who have to wait."""
    monkeypatch.setattr(attempts, "monotonic", lambda: 1000.0)


@pytest.fixture
def worker(services: Services) -> Worker:
    staged(Client(services), three_wheels)
    return Worker(services)


def three_wheels(client: Client, folder: Path) -> None:
    for name, version in (("demo", "1.0"), ("demo", "1.1"), ("other", "1.0")):
        wheel = make_wheel(folder, name, version, description="What it is for. " * 100)
        assert client.upload(wheel).status_code == 200


def said(response: TestResponse) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in response.headers.items() if name != "Date"}  # a server's affair
    return response.status_code, headers, response.get_data()


PATHS = "/simple/", "/simple/demo/", f"/packages/{WHEEL}", f"/packages/{WHEEL}.metadata"


def variants(etag: str) -> Iterator[dict[str, str]]:
    yield {}
    yield {"Accept": JSON}
    yield {"Accept": "text/html"}
    yield {"Accept": f"{JSON}, */*;q=0.1", "Accept-Encoding": "gzip, deflate"}
    yield {"Accept-Encoding": "identity"}
    yield {"Accept-Encoding": "gzip", "Range": "bytes=5-20", "If-Range": f'{etag[:-1]}-gzip"'}
    for known in (etag, f'{etag[:-1]}-gzip"', f"W/{etag}", '"other"', f'{etag}, "other"', "*", "not an etag"):
        yield {"If-None-Match": known}
        yield {"If-None-Match": known, "Accept": JSON, "Accept-Encoding": "gzip"}
    yield {"Range": "bytes=0-9"}
    yield {"If-Modified-Since": "Wed, 01 Jan 2031 00:00:00 GMT"}


@pytest.mark.parametrize("path", [*PATHS, "/simple/none/", "/simple/Demo/", "/simple/demo", "/health", "/nothing"])
def test_it_answers_as_the_application_does(worker: Worker, services: Services, path: str) -> None:
    bare = WerkzeugClient(create_app(services))
    etag = bare.get(path, headers=LOGIN).headers.get("ETag", '"x"')
    for headers in variants(etag):
        for method, address in ("GET", path), ("HEAD", path), ("GET", f"{path}?format={JSON}"):
            expected = said(bare.open(address, method=method, headers={**LOGIN, **headers}))
            for _ in range(3):
                assert said(worker.open(address, method, **headers)) == expected, (method, headers)


@pytest.mark.parametrize("path", PATHS)
def test_the_second_time_the_application_is_not_asked(worker: Worker, path: str) -> None:
    first = worker.open(path)
    worker.asked.clear()
    assert said(worker.open(path)) == said(first)
    assert worker.open(path, **{"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert worker.asked == []


@pytest.mark.parametrize("path", PATHS)
def test_a_worker_that_was_never_asked_for_the_page_keeps_the_304(
    worker: Worker, services: Services, path: str
) -> None:
    full = Worker(services).open(path)
    known = {"If-None-Match": full.headers["ETag"]}
    first = worker.open(path, **known)
    assert first.status_code == 304
    worker.asked.clear()
    assert said(worker.open(path, **known)) == said(first)
    assert worker.asked == []
    for headers in ({}, {"If-None-Match": '"other"'}):
        assert said(worker.open(path, **headers)) == said(full)
    assert worker.asked == [path]
    assert said(worker.open(path, **known)) == said(first)
    assert worker.asked == [path]


def test_what_one_worker_acknowledged_the_others_show(worker: Worker, services: Services, tmp_path: Path) -> None:
    other = Worker(services)
    for each in (worker, other):
        assert WHEEL in each.open("/simple/demo/").text
        assert each.open("/simple/").status_code == 200
    client = Client(services)
    client.upload(make_wheel(tmp_path, "demo", "2.0"))
    client.upload(make_wheel(tmp_path, "fresh", "1.0"))
    for each in (worker, other):
        assert "demo-2.0" in each.open("/simple/demo/").text
        assert "fresh" in each.open("/simple/").text
        assert each.open("/simple/fresh/").status_code == 200
    client.request("PUT", f"/packages/{WHEEL}.yanked", data=b"broken")
    assert all('data-yanked="broken"' in each.open("/simple/demo/").text for each in (worker, other))
    client.request("PUT", "/packages/demo.status", data=b"quarantined")
    for each in (worker, other):
        assert WHEEL not in each.open("/simple/demo/").text
        assert each.open(f"/packages/{WHEEL}").status_code == 404
    client.request("DELETE", "/packages/demo.status")
    client.request("DELETE", f"/packages/{WHEEL}")
    for each in (worker, other):
        assert WHEEL not in each.open("/simple/demo/").text
        assert each.open(f"/packages/{WHEEL}").status_code == 404


def test_other_bytes_under_the_same_name(services: Services, tmp_path: Path) -> None:
    services = replace(services, config=replace(services.config, overwrite=True))
    client, worker = Client(services), Worker(services)
    for content in (b"one", b"two"):
        wheel = make_wheel(tmp_path, "demo", "1.0", files={"x": content})
        assert client.upload(wheel).status_code == 200
        for _ in range(2):
            assert worker.open(f"/packages/{wheel.name}").data == wheel.read_bytes()


@pytest.mark.parametrize("login", [{"Authorization": ""}, {"Authorization": basic(f"{USER}:wrong")}])
@pytest.mark.parametrize("path", PATHS)
def test_nobody_else_is_served(worker: Worker, path: str, login: dict[str, str]) -> None:
    worker.open(path)
    refused = worker.open(path, **login)
    assert (refused.status_code, "WWW-Authenticate" in refused.headers) == (401, True)


def test_a_failure_counts_once_though_the_application_tells_it(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    free = attempts.PAIR.free
    assert worker.open("/simple/demo/").status_code == 200

    def guess(number: int) -> int:
        return worker.open("/simple/demo/", Authorization=basic(f"{USER}:{number}")).status_code

    assert [guess(number) for number in range(free + 2)] == [401] * free + [429] * 2
    refused = worker.open("/simple/demo/", Authorization=basic(f"{USER}:more"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert worker.open("/simple/demo/").status_code == 200
    [line] = [record.getMessage() for record in caplog.records if record.name == attempts.__name__]
    assert line == f"Failed logins of user {USER!r} from an unknown address: 1 wrong, 0 refused unchecked."


@pytest.mark.parametrize(("method", "query"), [("GET", ""), ("GET", "?x=1"), ("HEAD", "")])
def test_a_password_is_checked_before_others_wait_for_the_page(
    services: Services, monkeypatch: pytest.MonkeyPatch, method: str, query: str
) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(known: str, password: str) -> bool:
        begun.set()
        return not go.wait(20)

    monkeypatch.setattr("werkzeug.security.check_password_hash", slow)
    users = {**services.config.users, "bob": "scrypt:32768:8:1$salt$00"}
    worker = Worker(replace(services, config=replace(services.config, users=users)))
    with ThreadPoolExecutor(1) as pool:
        stranger = pool.submit(worker.open, f"/simple/{query}", method, Authorization=basic("bob:wrong"))
        assert begun.wait(20)
        assert worker.cache._turns == {}
        assert worker.open(f"/simple/{query}", method).status_code == 200
        go.set()
        assert stranger.result().status_code == 401


def test_large_files_are_not_kept(worker: Worker, services: Services, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "large", "1.0", files={"x": os.urandom(response_cache.LARGEST_FILE + 1)})
    Client(services).upload(wheel)
    for _ in range(2):
        assert worker.open(f"/packages/{wheel.name}").data == wheel.read_bytes()
    assert worker.asked == [f"/packages/{wheel.name}"] * 2


def test_the_room_is_bounded(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(worker.open("/simple/demo/", Accept="text/html;q=0.0001").data)
    monkeypatch.setattr(response_cache, "ROOM", 3 * (size + response_cache.ADDED + 50))  # 50 for address and Accept
    for number in range(10):
        assert worker.open("/simple/demo/", Accept=f"text/html;x={number}").status_code == 200
    assert worker.cache._size == sum(answer.size for answer in worker.cache._kept.values()) <= response_cache.ROOM
    assert len(worker.cache._kept) == 3
    worker.asked.clear()
    worker.open("/simple/demo/", Accept="text/html;x=9")
    assert worker.asked == []
    worker.open("/simple/demo/", Accept=f"text/html;x={'9' * (2 * size + 3000)}")
    assert len(worker.cache._kept) == 1  # a long header takes the room of others


def test_the_same_file_from_two_threads_counts_once(worker: Worker) -> None:
    def twice(environ: dict[str, Any], start_response: Any) -> Any:
        if others:
            worker.open(others.pop())  # another thread, faster
        return real(environ, start_response)

    others, real = [f"/packages/{WHEEL}"], worker.cache._app
    worker.cache._app = twice
    worker.open(f"/packages/{WHEEL}")
    assert len(worker.asked) == 2
    assert worker.cache._size == sum(answer.size for answer in worker.cache._kept.values())


@pytest.fixture
def reads(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The reads of the index, in order, since the list was cleared last."""
    index, made = services.index, []
    for name in ("serial", "project", "projects", "file", "metadata", "record"):
        real = getattr(index, name)

        def counted(*arguments: Any, name: str = name, real: Any = real) -> Any:
            made.append(name)
            return real(*arguments)

        monkeypatch.setattr(index, name, counted)
    return made


@pytest.mark.parametrize(("path", "read"), [("/simple/", "projects"), ("/simple/demo/", "project")])
def test_a_page_costs_at_most_one_read_each_time(
    worker: Worker, services: Services, reads: list[str], path: str, read: str
) -> None:
    then = [] if isinstance(services.index, SQLiteIndex) else ["serial"]  # its memory says that nobody has written
    for expected in ([read], ["serial"], then, then):
        reads.clear()
        assert worker.open(path).status_code == 200
        assert reads == expected


def test_what_changes_while_a_page_is_made_is_on_the_next_one(
    worker: Worker, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, real, late = Client(services), services.index.project, [make_wheel(tmp_path, "demo", "9.0")]

    def before_it_is_sent(name: Any) -> Any:
        project = real(name)
        if late:
            client.upload(late.pop())
        return project

    monkeypatch.setattr(services.index, "project", before_it_is_sent)
    assert "demo-9.0" not in worker.open("/simple/demo/").text
    assert "demo-9.0" in worker.open("/simple/demo/").text


def test_files_can_be_left_to_the_application(worker: Worker, services: Services, reads: list[str]) -> None:
    worker.cache = ResponseCache(
        worker.cache._app, services.repository, services.permissions, worker.cache._authenticate, files=False
    )
    worker._client = WerkzeugClient(worker.cache)
    for path, read in ((f"/packages/{WHEEL}", "file"), (f"/packages/{WHEEL}.metadata", "metadata")):
        for _ in range(2):
            reads.clear()
            assert worker.open(path).status_code == 200
            assert set(reads) <= {read, "file"}
    assert worker.asked == [f"/packages/{WHEEL}"] * 2 + [f"/packages/{WHEEL}.metadata"] * 2
    assert worker.open("/simple/demo/").data == worker.open("/simple/demo/").data
    assert worker.asked[4:] == ["/simple/demo/"]


@pytest.mark.parametrize(
    "ways",
    [
        ["/simple/demo/"],
        ["/simple/demo/", "/simple/demo/?format=text/html", "/simple/demo/?x=1"],
        ["/project/demo/", "/project/demo/1.0/"],
        ["/pypi/demo/json", "/pypi/demo/1.0/json"],
        ["/simple/"],
    ],
)
def test_one_page_is_made_by_one_thread_at_a_time(services: Services, worker: Worker, ways: list[str]) -> None:
    """While it is made nobody else begins; who waited for the very same page gets what was made."""
    begun, go_on, together = threading.Event(), threading.Event(), threading.Lock()
    inner, overlaps = worker.cache._app, []

    def slow(environ: Any, start_response: Any) -> Any:
        if not together.acquire(blocking=False):
            overlaps.append(environ["PATH_INFO"])
            return inner(environ, start_response)
        try:
            begun.set()
            assert go_on.wait(30)
            return inner(environ, start_response)
        finally:
            together.release()

    worker.cache._app = slow
    answers: list[TestResponse] = []
    threads = [threading.Thread(target=lambda way=way: answers.append(worker.open(way))) for way in ways * 5]
    for thread in threads:
        thread.start()
    assert begun.wait(30)
    until(lambda: sum(turn.wanted for turn in worker.cache._turns.values()) == len(threads), "all to wait")
    go_on.set()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * len(threads)
    assert not overlaps
    assert not worker.cache._turns
    if len(ways) == 1:
        assert worker.asked.count(ways[0]) == 1


def test_those_who_wait_for_a_page_leave_threads_to_others(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    inner = worker.cache._app

    def slow(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/simple/demo/" and "elasticpypi.refusal" not in environ:
            begun.set()
            assert go_on.wait(30)
        return inner(environ, start_response)

    worker.cache._app = slow
    monkeypatch.setattr(response_cache, "MOST_WAITING", 2)
    answers: list[TestResponse] = []
    ways = "/simple/demo/", "/simple/demo/?x=1", "/simple/demo/"
    threads = [threading.Thread(target=lambda way=way: answers.append(worker.open(way))) for way in ways]
    threads[0].start()
    assert begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    until(lambda: sum(turn.wanted for turn in worker.cache._turns.values()) == 3, "two to wait")
    for way in ("/simple/demo/", "/simple/demo/?x=2"):
        refused = worker.open(way)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.text == "Too many wait for pages that are being made: try again in a few seconds.\n"
    assert worker.open("/simple/other/").status_code == 200  # its turn is free
    go_on.set()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert worker.open("/simple/demo/").status_code == 200
