"""Behind a real nginx: at its root, below a path, with TLS, two in a row; what they tell, and what strangers tell."""

import http.client
import json
import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.builders import make_wheel
from tests.support.certificates import make_certificate
from tests.support.install import install, installed
from tests.support.live import PASSWORD, USER, Server, running
from tests.support.publish import publish
from tests.support.servers import free_ports, nginx
from tests.support.waiting import until

PATHS = {
    "root": "",
    "kept": "/team",
    "stripped": "/team",
    "tls": "",
    "two": "/team",
    "told": "/pypi",
    "told kept": "/pypi",
}
ENCRYPTED = "tls", "two"
STRANGER = "127.0.0.9"  # an address of this machine that is no proxy's

# As docs/run-one-machine.md has it. An empty value keeps away what a client has sent.
TELL = """
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header X-Forwarded-Prefix "{prefix}";"""
# The second of two: it adds to the lists of the first one what it has seen itself.
ADD = """
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto "$http_x_forwarded_proto, $scheme";
            proxy_set_header X-Forwarded-Host "$http_x_forwarded_host, $http_host";
            proxy_set_header X-Forwarded-Prefix $http_x_forwarded_prefix;"""
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 100; }}
http {{
    access_log off;
    client_max_body_size 100m;
    client_body_temp_path {folder}/temporary;
    proxy_temp_path {folder}/temporary;
    fastcgi_temp_path {folder}/temporary;
    uwsgi_temp_path {folder}/temporary;
    scgi_temp_path {folder}/temporary;
    ssl_certificate {cert};
    ssl_certificate_key {key};
{servers}
}}
"""
SERVER = """
    server {{
        listen 127.0.0.1:{listen};
        location {location}/ {{
            proxy_pass {target};{headers}
        }}
    }}"""


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """The index by each way through nginx."""
    folder = tmp_path_factory.mktemp("nginx")
    for name in ("index", "other"):
        (folder / name).mkdir()
    *ports, inner = free_ports(len(PATHS) + 1)
    port = dict(zip(PATHS, ports, strict=True))
    told = {"PUBLIC_URL": f"http://127.0.0.1:{port['told']}/pypi", "PROXIES": "none"}
    cert, key = make_certificate(folder)
    with (
        running("folder", folder / "index", PROXIES="127.0.0.1") as index,
        running("folder", folder / "other", **told) as other,
    ):

        def server(way: str, target: str, headers: str = "", prefix: str | None = None) -> str:
            listen = f"{port[way]}{' ssl' if way in ENCRYPTED else ''}"
            location = PATHS[way] if prefix is None else prefix
            return SERVER.format(listen=listen, location=location, target=target, headers=headers)

        servers = [
            server("root", index.address, TELL.format(prefix="")),
            server("stripped", f"{index.address}/", TELL.format(prefix="/team")),
            server("kept", index.address, TELL.format(prefix="/team")),
            server("tls", index.address, TELL.format(prefix="")),
            server(
                "two", f"http://127.0.0.1:{inner}/", TELL.format(prefix="/team").replace('Host "";', "Host $http_host;")
            ),
            SERVER.format(listen=inner, location="", target=index.address, headers=ADD),
            server("told", f"{other.address}/"),
            server("told kept", other.address),
        ]
        text = CONFIGURATION.format(folder=folder, cert=cert, key=key, servers="".join(servers))
        (folder / "nginx.conf").write_text(text)
        with nginx(folder):
            found = {"index": index}
            for way, path in PATHS.items():
                scheme, behind = "https" if way in ENCRYPTED else "http", other if "told" in way else index
                trusted = {"TLS_CERT": str(cert)} if way in ENCRYPTED else {}
                address = f"{scheme}://127.0.0.1:{port[way]}{path}"
                found[way] = replace(behind, address=address, environment=behind.environment | trusted)
            yield found


def login(**headers: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}", **headers}


def public(server: Server, way: str, proxied: dict[str, Server]) -> str:
    """What the index says its address is."""
    return proxied["told"].address if way == "told kept" else server.address


@pytest.mark.parametrize("client", ["pip", "uv"])
@pytest.mark.parametrize("way", PATHS)
def test_clients_work_behind_it(
    proxied: dict[str, Server], way: str, client: str, name: str, dist: Path, tmp_path: Path
) -> None:
    server = proxied[way]
    wheel = make_wheel(dist, name, "1.0")
    publish("twine" if client == "pip" else "uv", server, tmp_path)
    install(client, server, tmp_path, name)
    assert installed(tmp_path)[name] == "1.0"

    base = public(server, way, proxied)
    said = json.loads(server.get(f"{server.address}/pypi/{name}/json", login()))
    [url] = [file["url"] for file in said["urls"]]
    assert url == f"{base}/packages/{wheel.name}"
    assert server.get(url.replace(base, server.address), login()) == wheel.read_bytes()
    for page in ("", "upload", f"project/{name}/"):
        text = server.get(f"{server.address}/{page}", login(Accept="text/html,*/*;q=0.8")).decode()
        assert f'data-base="{base}/"' in text
        for link in re.findall(r'(?:href|src)="([^"#?:]+)[^"]*"', text):
            if link.startswith("/"):
                assert link.startswith(f"{urlsplit(server.address).path}/")


def ask(server: Server, path: str, source: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and text, asked for from an address of this machine."""
    target = urlsplit(server.address)
    context = ssl.create_default_context(cafile=server.environment.get("TLS_CERT"))
    connect = partial(http.client.HTTPSConnection, context=context) if target.scheme == "https" else HTTPConnection
    connection = connect("127.0.0.1", target.port, timeout=20, source_address=(source, 0))
    connection.request("GET", f"{target.path}{path}", headers=login(**headers))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


@pytest.mark.parametrize("way", ["index", *PATHS])
def test_what_a_stranger_tells_changes_nothing(proxied: dict[str, Server], way: str, name: str, dist: Path) -> None:
    server = proxied[way]
    wheel = make_wheel(dist, name, "1.0")
    server.put(wheel.name, wheel.read_bytes())
    until(lambda: wheel.name in server.files(name), "the file")
    forged = {
        "Accept": "text/html,*/*;q=0.8",
        "X-Forwarded-For": "192.0.2.66",
        "X-Forwarded-Proto": "ftp" if way in ENCRYPTED else "https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "for=192.0.2.66;host=evil.example;proto=https",
    }
    for path in (f"/pypi/{name}/json", f"/project/{name}/"):
        status, text = ask(server, path, STRANGER, forged)
        assert status == 200
        assert "evil" not in text
        assert f"{public(server, way, proxied)}/" in text
        expected = f'{"127.0.0.1" if "told" in way else STRANGER} {USER} "GET {path}" 200'
        until(lambda expected=expected: expected in server.access_log.read_text(), f"{expected} in the access log")
    assert "192.0.2.66" not in server.access_log.read_text()


def test_each_client_has_tries_of_its_own(proxied: dict[str, Server]) -> None:
    """Many wrong passwords from one address, through any proxy, and it has to wait; nobody else has."""
    wrong = [{"Authorization": f"Basic {b64encode(f'{USER}:{number}'.encode()).decode()}"} for number in range(30)]
    for way in ("root", "two"):
        assert 429 in [ask(proxied[way], "/simple/", "127.0.0.10", headers)[0] for headers in wrong]
        assert ask(proxied[way], "/simple/", "127.0.0.11", wrong[0])[0] == 401
        assert ask(proxied[way], "/simple/", "127.0.0.11", {})[0] == 200
