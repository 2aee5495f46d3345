"""What only a running server shows of the standards: its headers, its reading of bodies, pip and uv as they come."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from elasticpypi.config import MEGABYTE
from tests.support.application import basic
from tests.support.builders import make_wheel, upload_form
from tests.support.live import FAMILIES, PASSWORD, USER, Server, running

pytestmark = pytest.mark.clients

WHEEL = "demo-1.0-py3-none-any.whl"


@pytest.fixture(scope="module", params=FAMILIES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An index with one wheel in it that takes uploads of a megabyte."""
    with running(request.param, tmp_path_factory.mktemp("server"), MAX_UPLOAD="1") as live:
        wheel = make_wheel(tmp_path_factory.mktemp("wheel"), "demo", "1.0")
        assert upload(live, wheel)[0] == 200
        yield live


def ask(
    server: Server, method: str, path: str, body: object = None, *, chunked: bool = False, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    headers = {"Authorization": basic(f"{USER}:{PASSWORD}"), **{k.replace("_", "-"): v for k, v in headers.items()}}
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # the answer may come before all of the body has gone
            connection.request(method, path, body, headers, encode_chunked=chunked)  # type: ignore[arg-type]
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def upload(server: Server, path: Path, *, chunked: bool = False) -> tuple[int, http.client.HTTPMessage, bytes]:
    content = FileStorage(path.open("rb"), filename=path.name)
    boundary, body = encode_multipart({**upload_form(path), "content": content})
    content.close()
    kind = f"multipart/form-data; boundary={boundary}"
    if not chunked:
        return ask(server, "POST", "/legacy/", body, Content_Type=kind)
    pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
    return ask(server, "POST", "/legacy/", pieces, chunked=True, Content_Type=kind, Transfer_Encoding="chunked")


@pytest.mark.req("REQ-69")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_answer_has_one_date(server: Server, method: str) -> None:
    for path in ("/simple/", "/simple/demo/", f"/packages/{WHEEL}", f"/packages/{WHEEL}.metadata", "/simple/none/"):
        _, headers, _ = ask(server, method, path)
        [date] = headers.get_all("Date", [])
        assert parsedate_to_datetime(date).tzinfo is not None
    tag = ask(server, "GET", "/simple/demo/")[1]["ETag"]
    status, headers, _ = ask(server, "GET", "/simple/demo/", If_None_Match=tag)
    assert (status, len(headers.get_all("Date", []))) == (304, 1)


@pytest.mark.req("REQ-14", "REQ-63")
def test_head_has_the_length_of_get_and_no_body(server: Server) -> None:
    for path in ("/simple/", "/simple/demo/", f"/packages/{WHEEL}", f"/packages/{WHEEL}.metadata"):
        _, got, body = ask(server, "GET", path)
        status, headers, nothing = ask(server, "HEAD", path)
        assert (status, nothing) == (200, b"")
        assert headers["Content-Length"] == got["Content-Length"] == str(len(body))
        assert headers["Content-Type"] == got["Content-Type"]


@pytest.mark.req("REQ-72", "REQ-89")
@pytest.mark.parametrize("host", ["xn--a", "h.example:99999", "[::1", "alice:secret@h.example", "h/../x", '"><'])
def test_no_host_makes_a_failure_or_a_link_with_credentials(server: Server, host: str) -> None:
    for path in ("/simple/", "/simple/demo/", "/pypi/demo/json", "/simple/Demo", f"/packages/{WHEEL}"):
        status, headers, text = ask(server, "GET", path, Host=host)
        assert status < 500, (path, text)
        assert "secret" not in f"{headers}{text!r}"


@pytest.mark.req("REQ-122")
def test_an_upload_without_a_length_is_taken_or_ended(server: Server, tmp_path: Path) -> None:
    small = make_wheel(tmp_path, "chunked", "1.0")
    assert upload(server, small, chunked=True)[0] == 200
    assert ask(server, "GET", f"/packages/{small.name}")[2] == small.read_bytes()
    large = make_wheel(tmp_path, "chunked", "2.0", files={"noise": os.urandom(2 * MEGABYTE)})
    status, headers, text = upload(server, large, chunked=True)
    assert (status, headers["Content-Type"]) == (413, "text/plain; charset=utf-8")
    assert b"larger than" in text
    assert ask(server, "GET", f"/packages/{large.name}")[0] == 404


@pytest.mark.req("REQ-122")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_without_an_end_is_not_read_to_it(server: Server, chunked: bool) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        start = '--b\r\nContent-Disposition: form-data; name="content"; filename="x-1.0.tar.gz"\r\n\r\n'
        yield start.encode()
        while sent < 400 * MEGABYTE:
            sent += MEGABYTE
            yield bytes(MEGABYTE)

    length = {"Transfer_Encoding": "chunked"} if chunked else {"Content_Length": str(10**12)}
    kind = "multipart/form-data; boundary=b"
    status, _, text = ask(server, "POST", "/legacy/", endless(), chunked=chunked, Content_Type=kind, **length)
    assert status == 413
    assert b"larger than" in text
    assert sent < 100 * MEGABYTE


PIP = [sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check"]
UV = [sys.executable, "-m", "uv", "--no-config", "--no-cache", "pip"]


def run(folder: Path, *command: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.req("REQ-12")
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("client", [PIP, UV], ids=["pip", "uv"])
def test_the_index_url_works_with_and_without_its_slash(
    server: Server, tmp_path: Path, client: list[str], slash: str
) -> None:
    url = f"{server.index.removesuffix('/')}{slash}"
    run(tmp_path, *client, "install", "--target", str(tmp_path / "to"), "--no-deps", "--index-url", url, "demo")
    assert (tmp_path / "to" / "demo.py").read_text() == "version = '1.0'\n"


@pytest.mark.req("REQ-153")
def test_pip_lists_the_versions(server: Server, tmp_path: Path) -> None:
    said = run(tmp_path, *PIP, "index", "versions", "--index-url", server.index, "demo")
    assert "Available versions: 1.0\n" in said
