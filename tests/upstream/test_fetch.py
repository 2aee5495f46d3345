"""Asking another index: whatever it answers, and whenever, nothing of it is believed that cannot be."""

import base64
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from elasticpypi import __version__
from elasticpypi.core.errors import ConfigurationError
from elasticpypi.policy import Upstream
from elasticpypi.upstream import connections, fetch, loops
from elasticpypi.upstream.fetch import ACCEPT, Client, Failed
from tests.support.certificates import make_certificate
from tests.support.fake_upstream import JSON, Answer, FakeUpstream, bomb, fake_upstream, redirect

DEMO, PAGE = NormalizedName("demo"), "/simple/demo/"
PASSWORD = "pa/ss@w#rd"
BASIC = f"Basic {base64.b64encode(f'anna:{PASSWORD}'.encode()).decode()}"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with fake_upstream() as made:
        made.add("demo-1.0.tar.gz", b"demo" * 1000)
        yield made


def client(upstream: FakeUpstream, credentials: str = "", **settings: Any) -> Client:
    return Client(Upstream("main", upstream.url, **settings), upstream.url, lambda: "me", credentials)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(fetch, "READ", 0.3)
    monkeypatch.setattr(fetch, "WHOLE", 0.6)
    monkeypatch.setattr(fetch, "GRACE", 0.6)
    monkeypatch.setattr(fetch, "AT_ONCE", 0.0)


def failure(asking: Client, **told: Any) -> Failed:
    with pytest.raises(Failed) as raised:
        asking.page(DEMO, **told)
    return raised.value


# ---- Pages


def test_it_asks_as_an_installer_does(upstream: FakeUpstream) -> None:
    found = client(upstream).page(DEMO)
    [request] = upstream.requests
    assert (found.status, found.media_type, found.url) == (200, JSON, f"{upstream.url}demo/")
    assert request.path == PAGE
    said = {name: request.headers[name] for name in ("accept", "accept-encoding", "user-agent", "cdn-loop")}
    agent = f"elasticpypi/{__version__}"
    assert said == {"accept": ACCEPT, "accept-encoding": "gzip", "user-agent": agent, "cdn-loop": "me"}
    assert not {"authorization", "if-none-match", "cookie"} & {*request.headers}


def test_a_page_that_is_the_same_is_not_sent_again_and_the_connection_stays(upstream: FakeUpstream) -> None:
    asking = client(upstream)
    first = asking.page(DEMO)
    assert asking.page(DEMO, first.etag).status == 304
    assert upstream.requests[1].headers["if-none-match"] == first.etag
    pool = asking._managers()[0].connection_from_url(upstream.url)
    assert asking.page(DEMO).status == 200
    assert pool.num_connections == 1


@pytest.mark.parametrize(
    ("said", "age"),
    [("max-age=600, public", 600), ("no-store", 0), ("", None), ('max-age="5"', 5), ("max-age=x", None)],
)
def test_the_age_is_what_the_index_says(upstream: FakeUpstream, said: str, age: int | None) -> None:
    upstream.tell(PAGE, Answer(b"{}", 200, JSON, {"Cache-Control": said, "X-PyPI-Last-Serial": "17"}))
    found = client(upstream).page(DEMO)
    assert (found.age, found.serial) == (age, 17)


@pytest.mark.parametrize("etag", ['"a\tb"', '"\xe9"', f'"{"a" * 500}"'])
def test_an_etag_that_cannot_be_sent_again_is_none(upstream: FakeUpstream, etag: str) -> None:
    upstream.tell(PAGE, Answer(b"{}", 200, JSON, {"ETag": etag}))
    assert client(upstream).page(DEMO).etag == ""


@pytest.mark.parametrize(("status", "found"), [(404, 404), (410, 404)])
def test_a_project_that_is_not_there_is_no_trouble(upstream: FakeUpstream, status: int, found: int) -> None:
    upstream.tell(PAGE, Answer(b"gone", status))
    asking = client(upstream)
    for _ in range(fetch.FAILURES + 1):
        assert asking.page(DEMO).status == found


def test_a_compressed_page_is_read(upstream: FakeUpstream) -> None:
    upstream.tell(PAGE, bomb(5_000_000))
    assert client(upstream).page(DEMO).body == b" " * 5_000_000


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(b"x", 500), "has answered 500"),
        (Answer(b"x", 401), "has refused our credentials"),
        (Answer(b"x", 418), "has answered 418"),
        (Answer(b"x" * 1000, ends=500), "the connection broke"),
        (Answer(b"x" * 1000, announces=2000), "the connection broke"),
        (Answer(b"{}", headers={"Content-Encoding": "br"}), "in an encoding that nobody asked for: br"),
        (Answer(b"{}", headers={"Content-Encoding": "gzip"}), "is not compressed as it says"),
        (Answer(bomb(10_000).body[:-20], headers={"Content-Encoding": "gzip"}), "ended too early"),
        (redirect("http://[::1/"), "names an address that is none"),
        (redirect("https://example.com/simple/demo/"), "leads to another host"),
        (redirect("http://169.254.169.254/latest"), "that is not https"),
        (redirect(PAGE), "leads from one address to the next"),
    ],
)
def test_what_is_no_answer_is_a_failure(upstream: FakeUpstream, answer: Answer, said: str) -> None:
    upstream.tell(PAGE, answer)
    assert said in str(failure(client(upstream)))


@pytest.mark.parametrize(
    "told", [bomb(3_000_000), Answer(b" " * 3_000_000, 200, JSON), Answer(b" " * 3_000_000, announces=None)]
)
def test_a_page_that_is_too_large_is_not_read(
    upstream: FakeUpstream, told: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LARGEST", 2 * 1024 * 1024)
    upstream.tell(PAGE, told)
    assert "larger than 2 MB" in str(failure(client(upstream)))


def test_a_redirect_to_another_spelling_is_followed(upstream: FakeUpstream) -> None:
    upstream.tell("/simple/d/", redirect(PAGE))
    assert client(upstream).page(NormalizedName("d")).url == f"{upstream.url}demo/"


@pytest.mark.parametrize("drips", ["before", "headers", "body", "chunks", "middle"])
def test_who_hangs_or_sends_a_byte_now_and_then_is_not_waited_for(
    upstream: FakeUpstream, hurried: None, drips: str
) -> None:
    body = upstream.page("demo").body
    upstream.tell(
        PAGE,
        {
            "before": Answer(body, before=upstream.hang),
            "headers": Answer(body, rate=(1, 0.1), drips_headers=True),
            "body": Answer(body, rate=(1, 0.1)),
            "chunks": Answer(b"x", rate=(1, 0.25), chunked=True),  # of the line before the first chunk
            "middle": Answer(body, middle=upstream.hang),
        }[drips],
    )
    begin = time.monotonic()
    told = str(failure(client(upstream)))
    assert "too long" in told or "in time" in told or "broke" in told
    assert time.monotonic() - begin < 10


def test_a_connection_that_was_kept_too_long_is_made_anew(upstream: FakeUpstream) -> None:
    """A server may close it at the same moment: that is no failure."""
    asking = client(upstream)
    asking.page(DEMO)
    pool = asking._managers()[0].connection_from_url(upstream.url)
    kept = pool.pool.get_nowait()
    kept.sock.shutdown(socket.SHUT_WR)  # as if it were closed when the request is on its way
    pool.pool.put(kept)
    assert asking.page(DEMO).status == 200


# ---- When it is in trouble


def test_after_some_failures_it_is_left_alone_for_a_while(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(fetch.time, "monotonic", lambda: now[0])
    upstream.tell(PAGE, Answer(b"", 500))
    asking = client(upstream)
    for _ in range(fetch.FAILURES + 3):
        failure(asking)
    assert len(upstream.requests) == fetch.FAILURES
    now[0] += fetch.PAUSE + 1
    upstream.tell(PAGE, upstream.page("demo"))
    assert asking.page(DEMO).status == 200


@pytest.mark.parametrize("status", [429, 503])
def test_it_is_left_alone_for_as_long_as_it_asks_for(upstream: FakeUpstream, status: int) -> None:
    upstream.tell(PAGE, Answer(b"", status, headers={"Retry-After": "120"}))
    asking = client(upstream)
    assert failure(asking).pause == 120
    assert 100 < failure(asking).pause <= 120
    with pytest.raises(Failed, match="is asked again in"), asking.file(f"{upstream.base}/file"):
        pass  # the same host
    assert len(upstream.requests) == 1


def test_what_a_reader_does_is_no_failure_of_the_index(upstream: FakeUpstream) -> None:
    """A full disk, for one."""
    asking, url = client(upstream), upstream.projects["demo"]["files"][0]["url"]
    for _ in range(fetch.FAILURES + 1):
        with pytest.raises(OSError, match="no space"), asking.file(url):
            raise OSError("no space")
    assert asking.page(DEMO).status == 200


def test_two_that_ask_each_other_are_told(upstream: FakeUpstream) -> None:
    upstream.tell(PAGE, Answer(b"", 508))
    before = loops.came_through.set("other")
    try:
        found = failure(client(upstream))
    finally:
        loops.came_through.reset(before)
    assert found.loop
    assert upstream.requests[0].headers["cdn-loop"] == "other, me"


# ---- Files and hosts


def test_a_file_comes_as_it_is(upstream: FakeUpstream) -> None:
    entry = upstream.add("demo-2.0.tar.gz", bytes(300_000))
    with client(upstream).file(entry["url"], 300_000) as (size, chunks):
        assert (size, sum(map(len, chunks))) == (300_000, 300_000)
    assert upstream.requests[0].headers["accept-encoding"] == "identity"


def test_a_file_that_drips_ends(upstream: FakeUpstream, hurried: None) -> None:
    upstream.tell("/file", Answer(b"x" * 1000, rate=(1, 0.05)))
    with (
        pytest.raises(Failed, match=r"in time|to its end"),
        client(upstream).file(f"{upstream.base}/file", 1000) as (_, chunks),
    ):
        list(chunks)


@pytest.fixture
def other() -> Iterator[FakeUpstream]:
    """Another host, at an address that is not public."""
    with fake_upstream() as made:
        made.tell("/file", Answer(b"secret"))
        yield made


def fetched(asking: Client, url: str) -> bytes:
    with asking.file(url) as (_, chunks):
        return b"".join(chunks)


def test_private_addresses_that_answers_name_are_refused(
    upstream: FakeUpstream, other: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our index is at a private one here, and its host may be; so it is another address of this machine."""
    asking = client(upstream)
    with pytest.raises(Failed, match="not https: set insecure"):
        fetched(asking, f"{other.base}/file")
    port = other.host.partition(":")[2]
    for host in (f"127.0.0.2:{port}", f"[::ffff:127.0.0.2]:{port}", "10.0.0.1", "169.254.169.254", f"0.0.0.0:{port}"):
        with pytest.raises(Failed, match="has no public address"):
            fetched(asking, f"https://{host}/file")
    assert not other.requests


def test_they_are_asked_if_the_policy_says_so(upstream: FakeUpstream, other: FakeUpstream) -> None:
    assert fetched(client(upstream, insecure=True), f"{other.base}/file") == b"secret"
    with pytest.raises(Failed, match="is not in files"):
        fetched(client(upstream, insecure=True, files=("files.example",)), f"{other.base}/file")
    assert fetched(client(upstream, insecure=True, files=(other.host,)), f"{other.base}/file") == b"secret"


def test_a_redirect_of_a_file_is_looked_at_as_the_file_is(upstream: FakeUpstream, other: FakeUpstream) -> None:
    upstream.tell("/away", redirect(f"{other.base}/file"))
    with pytest.raises(Failed, match="not https"):
        fetched(client(upstream), f"{upstream.base}/away")
    assert fetched(client(upstream, insecure=True), f"{upstream.base}/away") == b"secret"


PRIVATE = "127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1 ::1 :: fe80::1 "
PRIVATE += "fc00::1 ::ffff:10.0.0.1 2002:a00:1:: ff02::1 fe80::1%eth0"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_public(address: str) -> None:
    assert not connections._is_public(address)


@pytest.mark.parametrize("address", ["151.101.0.223", "2a04:4e42::223"])
def test_addresses_that_are_public(address: str) -> None:
    assert connections._is_public(address)


# ---- Credentials


@pytest.mark.parametrize("by", ["variable", "address"])
def test_credentials_go_to_the_index_alone(other: FakeUpstream, by: str, caplog: pytest.LogCaptureFixture) -> None:
    with fake_upstream(BASIC) as upstream:
        entry = upstream.add("demo-1.0.tar.gz", b"demo")
        upstream.tell("/away", redirect(f"{other.base}/file"))
        quoted = "anna:pa%2Fss%40w%23rd@" if by == "address" else ""
        address = f"http://{quoted}{upstream.host}/simple"
        said = f"anna:{PASSWORD}" if by == "variable" else ""
        asking = Client(Upstream("main", "https://x/", insecure=True), address, str, said)
        assert asking.address == upstream.url
        assert asking.page(DEMO).url == f"{upstream.url}demo/"
        assert fetched(asking, entry["url"]) == b"demo"
        assert fetched(asking, f"{other.base}/file") == b"secret"
        assert fetched(asking, f"{upstream.base}/away") == b"secret"
        assert all(request.headers["authorization"] == BASIC for request in upstream.requests)
        upstream.tell(PAGE, Answer(b"", 500))
        assert "anna" not in str(failure(asking))
        upstream.close()
        assert "anna" not in str(failure(asking))
    assert not any("authorization" in request.headers for request in other.requests)
    assert "anna" not in caplog.text
    assert "ss@w" not in caplog.text


def test_a_client_gets_a_link_unless_only_we_have_the_credentials(upstream: FakeUpstream) -> None:
    own, far = f"{upstream.base}/file", "https://files.example/file"
    assert client(upstream).link(own) == own
    assert client(upstream).link(far) == far
    assert client(upstream, "a:b").link(own) is None
    for url in ("http://files.example/file", "https://a:b@files.example/file"):
        with pytest.raises(Failed):
            client(upstream).link(url)
    with pytest.raises(Failed):
        client(upstream, files=("other.example",)).link(far)


# ---- The address


def test_the_address_is_asked_for_when_it_is_needed(upstream: FakeUpstream) -> None:
    asked: list[int] = []

    def address() -> str:
        asked.append(1)
        return upstream.url

    asking = Client(Upstream("main", "pip"), address)
    assert not asked
    assert asking.page(DEMO).status == asking.page(DEMO).status == 200
    assert asked == [1]


@pytest.mark.parametrize("address", ["ftp://example.com/simple/", "https:///simple/", "https://[::1/", "https://a:x/"])
def test_an_address_that_is_none_is_a_failure_with_a_sentence(address: str) -> None:
    asking = Client(Upstream("main", "pip"), address)
    with pytest.raises(ConfigurationError):
        _ = asking.address
    assert "cannot be asked: The address" in str(failure(asking))


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (TimeoutError(), "it took too long"),
        (socket.gaierror(-2, "Name or service not known"), "its host is not known"),
        (ConnectionRefusedError(111, "Connection refused"), "it cannot be reached"),
    ],
)
def test_a_connection_that_cannot_be_made_says_why_and_is_tried_once(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, raised: OSError, said: str
) -> None:
    tried: list[int] = []

    def connect(*_: object) -> None:
        tried.append(1)
        raise raised

    monkeypatch.setattr(socket, "create_connection", connect)
    assert str(failure(client(upstream))) == f"The index 'main' ({upstream.host}) has not answered: {said}."
    assert tried == [1]


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with fake_upstream(certificate=make_certificate(tmp_path)) as upstream:
        upstream.add("demo-1.0.tar.gz", b"demo")
        assert "its certificate is not accepted" in str(failure(client(upstream)))
        assert not upstream.requests
