"""By which address a client asks, and where it is: what believed proxies say, and what nobody else may say."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client as WerkzeugClient

from elasticpypi.accounts import attempts
from elasticpypi.config import Config
from elasticpypi.core.errors import ConfigurationError
from elasticpypi.hosts.machine.access_log import logged
from elasticpypi.services import Services
from elasticpypi.web.app import create_app
from elasticpypi.web.proxies import OURS, behind
from elasticpypi.web.response_cache import ResponseCache
from tests.support.application import PASSWORD, USER, Client, basic, staged
from tests.support.builders import make_wheel

WHEEL = "demo-1.0-py3-none-any.whl"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
STRANGER, PROXY, SECOND = "198.51.100.7", "192.0.2.1", "192.0.2.2"


def fill(client: Client, folder: Path) -> None:
    assert client.upload(make_wheel(folder, "demo", "1.0")).status_code == 200


@pytest.fixture
def make(services: Services) -> Callable[..., Client]:
    """The application with other settings; its proxies are in 192.0.2.0/24."""
    staged(Client(services), fill)

    def with_settings(**environ: str) -> Client:
        told = Config.from_env({"PROXIES": "192.0.2.0/24, ::1", **environ})
        config = replace(services.config, proxies=told.proxies, public_url=told.public_url)
        return Client(replace(services, config=config))

    return with_settings


@pytest.fixture
def client(make: Callable[..., Client]) -> Client:
    return make()


def base(client: Client, address: str, path: str = "/pypi/demo/json", **headers: str) -> str:
    """The URL of the home page, as the JSON API has it."""
    environ = {"REMOTE_ADDR": address}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.get(path, headers=named, environ_overrides=environ)
    assert answer.status_code == 200, answer.text
    [url] = answer.get_json()["urls"]
    found = re.fullmatch(rf"(.*/)packages/{re.escape(WHEEL)}", url["url"])
    assert found, url
    return found[1]


ALL = {
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Host": "Pypi.Example:8443",
    "X_Forwarded_Prefix": "/team/",
    "X_Forwarded_For": STRANGER,
}


def test_a_proxy_is_believed_and_a_stranger_is_not(client: Client) -> None:
    assert base(client, PROXY, **ALL) == "https://pypi.example:8443/team/"
    assert base(client, f"::ffff:{PROXY}", **ALL) == "https://pypi.example:8443/team/"  # as a socket for both has it
    assert base(client, "::1", **ALL) == "https://pypi.example:8443/team/"
    for address in (STRANGER, "127.0.0.1", "2001:db8::1", "", "unix:"):
        assert base(client, address, **ALL) == "http://localhost/"


def test_loopback_is_believed_unless_told_otherwise(services: Services, make: Callable[..., Client]) -> None:
    assert base(make(PROXIES=""), "127.0.0.1", **ALL) == "https://pypi.example:8443/team/"
    assert base(make(PROXIES="none"), "127.0.0.1", **ALL) == "http://localhost/"


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("Proto", "https", "https://localhost/"),
        ("Proto", "HTTPS", "https://localhost/"),
        ("Proto", "javascript", "http://localhost/"),
        ("Proto", "", "http://localhost/"),
        ("Host", "h.example", "http://h.example/"),
        ("Host", "h.example:80", "http://h.example/"),
        ("Host", "my_service:8080", "http://my_service:8080/"),
        ("Host", "[2001:DB8::1]:8080", "http://[2001:db8::1]:8080/"),
        ("Host", "[2001:db8::1", "http://localhost/"),
        ("Host", "[::z]", "http://localhost/"),
        ("Host", "[::1.2]", "http://localhost/"),
        ("Host", "h.example:99999", "http://localhost/"),
        ("Host", "user@h.example", "http://localhost/"),
        ("Host", "h.example/x", "http://localhost/"),
        ("Host", 'h"><script>', "http://localhost/"),
        ("Host", "$(reboot)", "http://localhost/"),
        ("Prefix", "/a/b-c_d.e~f+g", "http://localhost/a/b-c_d.e~f+g/"),
        ("Prefix", "/", "http://localhost/"),
        ("Prefix", "team", "http://localhost/"),
        ("Prefix", "//evil.example", "http://localhost/"),
        ("Prefix", "/a/../b", "http://localhost/"),
        ("Prefix", "/a b", "http://localhost/"),
        ("Prefix", "/%61", "http://localhost/"),
        ("Prefix", "/;reboot", "http://localhost/"),
    ],
)
def test_what_cannot_be_true_is_ignored(client: Client, header: str, value: str, expected: str) -> None:
    assert base(client, PROXY, **{f"X-Forwarded-{header}": value}) == expected


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Forwarded", f"for={STRANGER};proto=http;host=evil.example;by=192.0.2.9"),
        ("Forwarded", 'for="[2001:db8::7]:4711", for=198.51.100.9'),
        ("X-Forwarded-Port", "8443"),
        ("X-Forwarded-Port", "80"),
        ("X-Forwarded-Port", "no port"),
    ],
)
def test_what_is_not_read_changes_nothing(make: Callable[..., Client], header: str, value: str) -> None:
    """Neither the addresses of a page, nor who is told in the log, nor whose forms are taken; from a proxy too."""
    client, read, write = make(), *os.pipe()
    config = client.services.config
    logging = WerkzeugClient(behind(logged(create_app(client.services), write), config))
    forwarded = {name: ALL[name] for name in ("X_Forwarded_Proto", "X_Forwarded_Host", "X_Forwarded_For")}
    for address in (PROXY, STRANGER):
        for more in ({}, forwarded):
            assert base(client, address, **more, **{header: value}) == base(client, address, **more)
        seen = []
        for headers in ({}, {header: value}):
            logging.get("/health", headers=headers, environ_overrides={"REMOTE_ADDR": address})
            seen.append(os.read(read, 4096).decode().split("] ")[1].partition(" ")[0])
        assert seen == [address, address]
        for path in ("/simple/demo", "/", "/project/demo/"):
            answers = [
                client.get(path, headers={**BROWSER, **headers}, environ_overrides={"REMOTE_ADDR": address})
                for headers in ({}, {header: value})
            ]
            assert answers[0].data == answers[1].data
            assert answers[0].headers.get("Location") == answers[1].headers.get("Location")
            assert answers[0].headers.get("ETag") == answers[1].headers.get("ETag")
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    ("hops", "schemes", "expected"),
    [
        ("", "https, http", "http"),  # one proxy, which added what it saw to what somebody said
        (STRANGER, "https, http", "http"),
        (f"{STRANGER}, {SECOND}", "https, http", "https"),
        (f"{STRANGER}, {SECOND}", "https", "https"),
        (f"{STRANGER}, {SECOND}", "http, https, http", "https"),  # the first is the client's own
        (f"{SECOND}, {STRANGER}", "http, https, http", "http"),  # so is the address of a proxy beyond a stranger
        (f"{STRANGER}, {SECOND}", "http,", "http"),
        ("nonsense", "https, http", "http"),
    ],
)
def test_lists_are_read_from_the_right(client: Client, hops: str, schemes: str, expected: str) -> None:
    headers = {"X-Forwarded-For": hops, "X-Forwarded-Proto": schemes}
    assert base(client, PROXY, **headers) == f"{expected}://localhost/"


@pytest.mark.parametrize("path", ["/team/pypi/demo/json", "/pypi/demo/json"], ids=["kept", "stripped"])
def test_the_prefix_may_be_in_the_path_or_not(client: Client, make: Callable[..., Client], path: str) -> None:
    assert base(client, PROXY, path, X_Forwarded_Prefix="/team") == "http://localhost/team/"
    public = make(PUBLIC_URL="https://H.example:443/team/")
    for address in (PROXY, STRANGER):
        assert base(public, address, path, **ALL) == "https://h.example/team/"


@pytest.mark.parametrize("prefix", ["/pypi", "/simple", "/packages", "/project"])
def test_a_prefix_that_is_an_address_of_ours(client: Client, prefix: str) -> None:
    """It is both ways too: only what is an address of ours below it, was not stripped."""
    for way in ("", prefix):
        assert base(client, PROXY, f"{way}/pypi/demo/json", X_Forwarded_Prefix=prefix) == f"http://localhost{prefix}/"
        for path in ("/simple/demo/", f"/packages/{WHEEL}", "/project/demo/", "/", "/health", "/search?q=demo"):
            headers = {"X-Forwarded-Prefix": prefix}
            answer = client.get(f"{way}{path}", headers=headers, environ_overrides={"REMOTE_ADDR": PROXY})
            assert answer.status_code == 200, (way, path)


def test_all_addresses_of_ours_are_known(services: Services) -> None:
    rules = create_app(services).url_map.iter_rules()
    assert {rule.rule.split("/")[1] for rule in rules} == {*OURS, ""} - {"_"}  # of which nobody has a route


@pytest.mark.parametrize(("path", "status"), [("/team", 200), ("/team/", 200), ("/teams/", 404), ("/team/x", 404)])
def test_what_is_below_the_prefix(make: Callable[..., Client], path: str, status: int) -> None:
    answer = make(PUBLIC_URL="https://h.example/team").get(path, headers=BROWSER)
    assert answer.status_code == status
    if status == 200:
        assert "pip install --index-url https://h.example/team/simple/ PACKAGE" in answer.text
        assert 'href="/team/search"' in answer.text


def test_pages_have_the_same_address(client: Client) -> None:
    for path in ("/", "/project/demo/", "/upload"):
        headers = {**BROWSER, **{name.replace("_", "-"): value for name, value in ALL.items()}}
        shown = client.get(path, headers=headers, environ_overrides={"REMOTE_ADDR": PROXY}).text
        assert 'data-base="https://pypi.example:8443/team/"' in shown
        assert "localhost" not in shown
        shown = client.get(path, headers=headers, environ_overrides={"REMOTE_ADDR": STRANGER}).text
        assert 'data-base="http://localhost/"' in shown
        assert "pypi.example" not in shown


def test_an_answer_for_one_address_is_not_taken_for_another(services: Services, make: Callable[..., Client]) -> None:
    """The response cache keeps what has no address in it, and a tag holds for one address."""
    services = make().services
    app = create_app(services)
    front = behind(
        ResponseCache(app, services.repository, services.permissions, app.extensions["authenticator"]), services.config
    )
    client = WerkzeugClient(front)
    login = {"Authorization": basic(f"{USER}:{PASSWORD}")}

    def get(path: str, host: str, prefix: str, **headers: str) -> Any:
        forwarded = {"X-Forwarded-Host": host, "X-Forwarded-Prefix": prefix}
        environ = {"REMOTE_ADDR": PROXY}
        return client.get(path, headers={**login, **forwarded, **headers}, environ_overrides=environ)

    sites = ("a.example", ""), ("b.example", "/team")
    for path in ("/simple/", "/simple/demo/", f"/packages/{WHEEL}", f"/packages/{WHEEL}.metadata"):
        bodies = {get(path, *site).get_data() for site in sites for _ in range(2)}
        assert len(bodies) == 1
        assert b".example" not in bodies.pop()
    for path in ("/pypi/demo/json", "/pypi/demo/1.0/json", "/", "/project/demo/"):
        tags = set()
        for host, prefix in sites * 2:
            answer = get(path, host, prefix)
            tags.add(answer.headers["ETag"])
            assert f"http://{host}{prefix}/" in answer.text
            assert get(path, host, prefix, If_None_Match=answer.headers["ETag"]).status_code == 304
        assert len(tags) == 2
        for tag in tags:
            said = [get(path, *site, If_None_Match=tag).status_code for site in sites]
            assert sorted(said) == [200, 304]
    assert get("/simple/demo", *sites[1]).headers["Location"] == "demo/"


@pytest.mark.parametrize(
    ("hops", "expected"),
    [
        ("", PROXY),
        (STRANGER, STRANGER),
        (f"{STRANGER}:1234", STRANGER),
        ("[2001:DB8::1]:1234", "2001:db8::1"),
        ("::ffff:198.51.100.7", STRANGER),
        (f"203.0.113.9, {STRANGER}, {SECOND}", STRANGER),  # who says to be another one
        (f"{SECOND}, 192.0.2.3", SECOND),  # nobody but proxies
        (f"{STRANGER}, unknown, {SECOND}", SECOND),
        ("unknown", PROXY),
        ("fe80::1%eth0", PROXY),
        (f"{STRANGER},", PROXY),
        ('198.51.100.7" 200', PROXY),
    ],
)
def test_the_client_is_whom_no_proxy_of_ours_asked_for(services: Services, hops: str, expected: str) -> None:
    read, write = os.pipe()
    config = replace(services.config, proxies=("192.0.2.0/24",))
    client = WerkzeugClient(behind(logged(create_app(replace(services, config=config)), write), config))
    for address, seen in ((PROXY, expected), ("203.0.113.1", "203.0.113.1")):
        headers = {"X-Forwarded-For": hops} if hops else {}
        client.get("/health", headers=headers, environ_overrides={"REMOTE_ADDR": address})
        assert os.read(read, 4096).decode().split("] ")[1].startswith(f'{seen} - "GET /health" 200 ')
    os.close(read)
    os.close(write)


def test_failed_logins_are_those_of_the_client(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "monotonic", lambda: 1000.0)

    def asked(address: str, hops: str, password: str) -> int:
        headers, environ = {"X-Forwarded-For": hops}, {"REMOTE_ADDR": address}
        return client.get("/simple/", user=f"{USER}:{password}", headers=headers, environ_overrides=environ).status_code

    assert [asked(PROXY, STRANGER, str(number)) for number in range(6)] == [401] * 5 + [429]
    assert asked(SECOND, f"{STRANGER}, {PROXY}", "x") == 429
    assert asked(PROXY, "198.51.100.8", "x") == 401  # somebody else behind the same proxy
    assert f"from {STRANGER}: 1 wrong" in caplog.text
    # Who is no proxy cannot be somebody else each time.
    stranger = [asked("203.0.113.1", f"198.51.100.{number}", f"guess {number}") for number in range(6)]
    assert stranger == [401] * 5 + [429]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://h.example", 200),
        ("http://h.example", 403),
        ("https://h.example:8443", 403),
        ("http://localhost", 403),
        ("null", 403),
    ],
)
def test_pages_of_ours_are_those_at_our_address(
    make: Callable[..., Client], tmp_path: Path, origin: str, status: int
) -> None:
    """As a browser tells it to http: a proxy is in between."""
    wheel = make_wheel(tmp_path, "other", "1.0")
    for client in (make(PUBLIC_URL="https://h.example/team"), make(PROXIES="127.0.0.1")):
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "h.example", "Origin": origin}
        with wheel.open("rb") as content:
            form = {":action": "file_upload", "content": (content, wheel.name)}
            answer = client.request("POST", "/legacy/", data=form, headers=forwarded)
        assert (answer.status_code == 403) == (status == 403), answer.text
        if status == 403:
            assert "this index is at https://h.example, the page was at" in answer.text


def test_without_a_host(client: Client) -> None:
    """HTTP/1.0 knows none, and what somebody sends may be anything."""
    for host in ("", 'a"b', "a b"):
        environ = {"HTTP_HOST": host, "SERVER_NAME": "::1", "SERVER_PORT": "8080", "REMOTE_ADDR": STRANGER}
        answer = client.get("/pypi/demo/json", environ_overrides=environ)
        assert answer.get_json()["urls"][0]["url"] == f"http://[::1]:8080/packages/{WHEEL}"


def test_public_url_is_the_home_page() -> None:
    def read(text: str) -> str:
        return Config.from_env({"PUBLIC_URL": text}).public_url

    assert read("HTTPS://Pypi.Example:443/") == "https://pypi.example"
    assert read("http://h.example:443/a/b/") == "http://h.example:443/a/b"
    assert read("https://[::1]:8443/x") == "https://[::1]:8443/x"
    wrong = "h.example", "ftp://h.example", "https://", "https://h.example?x", "https://h.example/a b", "https://h/../x"
    for text in (*wrong, "https://alice:hunter2@h.example", "https://h.example:99999", "https://h.example//x"):
        with pytest.raises(ConfigurationError, match="must be the address of the home page, such as") as caught:
            read(text)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="leave /simple off"):
        read("https://h.example/simple/")


def test_proxies_are_addresses_and_networks() -> None:
    def read(text: str) -> tuple[str, ...]:
        return Config.from_env({"PROXIES": text}).proxies

    assert read("192.0.2.1,10.0.0.1/8  fd00::/8") == ("192.0.2.1/32", "10.0.0.0/8", "fd00::/8")
    assert read("") == read("127.0.0.0/8, ::1") == Config.from_env({}).proxies
    assert read("None") == ()
    for text in ("proxy.example", "10.0.0.0/33", "*"):
        with pytest.raises(
            ConfigurationError, match=f"^PROXIES: '{re.escape(text)}' is no address and no network: give"
        ):
            read(text)
