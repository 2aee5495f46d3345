"""The proxy of the environment, with a real one: for whom it is, what it is told, and what it does not get through."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from elasticpypi.core.errors import ConfigurationError
from elasticpypi.policy import Upstream
from elasticpypi.upstream.fetch import Client, Failed
from elasticpypi.upstream.proxies import Proxy, proxy_for
from tests.support.certificates import make_certificate
from tests.support.fake_upstream import FakeUpstream, fake_upstream
from tests.support.proxy import running_proxy

DEMO = NormalizedName("demo")
SECRET = "pa%2Fss%40w%23rd"
PLAIN = "anna:pa/ss@w#rd"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with fake_upstream() as made:
        made.add("demo-1.0.tar.gz", b"demo" * 1000)
        yield made


@pytest.fixture
def safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeUpstream]:
    """One with https that this machine trusts."""
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with fake_upstream(certificate=certificate) as made:
        made.add("demo-1.0.tar.gz", b"demo" * 1000)
        yield made


def client(address: str, environ: dict[str, str], **settings: object) -> Client:
    return Client(Upstream("main", address, **settings), address, environ=environ)  # type: ignore[arg-type]


def failure(asking: Client, url: str = "") -> str:
    def ask() -> None:
        if url:
            with asking.file(url):
                pass
        else:
            asking.page(DEMO)

    with pytest.raises(Failed) as raised:
        ask()
    return str(raised.value)


# ---- Which one


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"https_proxy": "http://low.example", "HTTPS_PROXY": "http://high.example"}, "http://low.example"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://high.example"}, None),
        ({"HTTP_PROXY": "http://proxy.example"}, None),
        ({"ALL_PROXY": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "https://proxy.example/"}, "https://proxy.example"),
    ],
)
def test_which_proxy_it_is(environ: dict[str, str], proxy: str | None) -> None:
    found = proxy_for("https://pypi.example/simple/", environ)
    assert found == (proxy and Proxy(proxy, ""))


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("pypi.corp.example", "corp.example", True),
        ("pypi.corp.example", ".corp.example", True),
        ("corp.example", ".corp.example", True),
        ("notcorp.example", "corp.example", False),
        ("pypi.example", "other.example, PYPI.example", True),
        ("pypi.example", "*", True),
        ("pypi.example:8443", "pypi.example:8443", True),
        ("pypi.example:8443", "pypi.example:80", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("[fd00::1]", "fd00::/8", True),
        ("[fd00::1]", "[fd00::1]", True),
        ("pypi.example", "", False),
    ],
)
def test_for_whom_it_is_not(host: str, no_proxy: str, direct: bool) -> None:
    environ = {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": no_proxy}
    assert (proxy_for(f"https://{host}/simple/", environ) is None) == direct


@pytest.mark.parametrize("said", ["socks5://proxy.example:1080", "http://", "http://proxy.example:port"])
def test_what_is_no_proxy_says_so(said: str, upstream: FakeUpstream) -> None:
    with pytest.raises(ConfigurationError, match="http://host:port"):
        proxy_for("https://pypi.example/", {"HTTPS_PROXY": said})
    assert "give it as http://host:port" in failure(client(upstream.url, {"HTTP_PROXY": said}))


# ---- Asking by it


def test_pages_and_files_come_through_a_tunnel(safe: FakeUpstream) -> None:
    with running_proxy(PLAIN) as proxy:
        asking = client(safe.url, {"HTTPS_PROXY": f"http://anna:{SECRET}@{proxy.host}"})
        assert asking.page(DEMO).status == 200
        with asking.file(safe.projects["demo"]["files"][0]["url"]) as (size, chunks):
            assert (size, b"".join(chunks)) == (4000, b"demo" * 1000)
        assert {*proxy.asked} == {f"CONNECT {safe.host}"}
    assert not any("proxy-authorization" in request.headers for request in safe.requests)


def test_an_index_with_http_is_asked_by_forwarding(upstream: FakeUpstream) -> None:
    with running_proxy(PLAIN) as proxy:
        asking = client(upstream.url, {"HTTP_PROXY": f"http://anna:{SECRET}@{proxy.host}"})
        etag = asking.page(DEMO).etag
        assert asking.page(DEMO, etag).status == 304
        assert proxy.asked == [f"{upstream.url}demo/"] * 2
    assert not any("proxy-authorization" in request.headers for request in upstream.requests)


def test_a_host_that_the_proxy_alone_knows(upstream: FakeUpstream) -> None:
    with running_proxy(hosts={"pypi.nowhere.invalid": upstream.host}) as proxy:
        asking = client("http://pypi.nowhere.invalid/simple/", {"HTTP_PROXY": proxy.host})
        assert asking.page(DEMO).status == 200


def test_no_proxy_is_obeyed(upstream: FakeUpstream) -> None:
    with running_proxy() as proxy:
        environ = {"HTTP_PROXY": f"http://{proxy.host}", "NO_PROXY": "127.0.0.0/8"}
        assert client(upstream.url, environ).page(DEMO).status == 200
        assert proxy.asked == []


# ---- What goes wrong


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_us_is_named_and_no_password_is(
    scheme: str, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address = upstream.url.replace("http://", f"{scheme}://")
    with running_proxy(PLAIN) as proxy:
        said = failure(client(address, {f"{scheme.upper()}_PROXY": f"http://anna:wrong-secret@{proxy.host}"}))
    assert "The proxy of the environment" in said or "the proxy of the environment" in said
    assert "407" in said or "credentials" in said
    assert "wrong-secret" not in said + caplog.text
    assert not upstream.requests


def test_a_proxy_that_is_not_there(upstream: FakeUpstream) -> None:
    with running_proxy() as proxy:
        environ = {"HTTP_PROXY": f"http://anna:wrong-secret@{proxy.host}"}
    said = failure(client(upstream.url, environ))
    assert "the proxy of the environment does not let us through, it cannot be reached" in said
    assert "wrong-secret" not in said


@pytest.mark.parametrize(
    "host",
    ["127.0.0.2", "127.1", "[::1]", "[::ffff:10.0.0.1]", "10.0.0.1", "169.254.169.254", "localhost", "a.localhost."],
)
def test_addresses_that_answers_name_are_looked_at_behind_a_proxy_too(host: str, upstream: FakeUpstream) -> None:
    """What a name means is the business of the proxy: it looks it up."""
    with running_proxy(hosts={"files.example": "127.0.0.1:1"}) as proxy:
        environ = {"HTTPS_PROXY": f"http://{proxy.host}", "HTTP_PROXY": f"http://{proxy.host}"}
        assert "has no public address" in failure(client(upstream.url, environ), f"https://{host}/demo-1.0.tar.gz")
        assert proxy.asked == []
        assert "502" in failure(client(upstream.url, environ), "https://files.example/demo-1.0.tar.gz")
        assert proxy.asked == ["CONNECT files.example:443"]
