"""Pages and downloads over HTTP, in both families."""

import gzip
import hashlib
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from elasticpypi.core.errors import Unavailable
from elasticpypi.indexing import sync
from elasticpypi.services import Services
from elasticpypi.storage.aws.s3 import INLINE
from tests.support.application import Client, staged
from tests.support.builders import make_sdist, make_wheel, metadata

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


@pytest.fixture
def wheel(client: Client, tmp_path: Path) -> Path:
    staged(client, one_wheel)
    return demo(tmp_path)


def demo(folder: Path) -> Path:
    return make_wheel(folder, "Demo-B", "1.0+local.1", requires_python=">=3.8,<4")


def one_wheel(client: Client, folder: Path) -> None:
    assert client.upload(demo(folder)).status_code == 200


# ---- pages


@pytest.mark.req("REQ-20")
def test_an_empty_index(client: Client) -> None:
    page: Any = client.json("/simple/")
    assert page["projects"] == []
    assert page["meta"]["api-version"] == "1.4"
    assert "<a" not in client.get("/simple/").text


@pytest.mark.req("REQ-16", "REQ-17", "REQ-34", "REQ-40")
def test_html_and_json_say_the_same(client: Client, wheel: Path) -> None:
    page: Any = client.json("/simple/demo-b/")
    [file] = page["files"]
    html = client.get("/simple/demo-b/")
    assert html.headers["Content-Type"] == "text/html; charset=utf-8"
    [anchor] = re.findall(r"<a .*", html.text)
    digest, core = file["hashes"]["sha256"], file["core-metadata"]["sha256"]
    assert anchor == (
        f'<a href="../../packages/Demo_B-1.0%2Blocal.1-py3-none-any.whl#sha256={digest}" '
        f'data-requires-python="&gt;=3.8,&lt;4" data-core-metadata="sha256={core}">'
        "Demo_B-1.0+local.1-py3-none-any.whl</a><br>"
    )
    assert digest == hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert '<meta name="pypi:repository-version" content="1.4">' in html.text
    assert re.findall("<a .*", client.get("/simple/").text) == ['<a href="demo-b/">demo-b</a><br>']


@pytest.mark.req("REQ-16", "REQ-45", "REQ-51")
def test_yank_and_status_in_html_are_escaped(client: Client, wheel: Path) -> None:
    for key, text in ((f"{wheel.name}.yanked", 'bad "b" <i>&'), ("demo-b.status", "deprecated\n<script>")):
        client.services.files.save(key, io.BytesIO(text.encode()), hashlib.sha256(text.encode()).hexdigest())
        sync.sync(client.services.files, client.services.index, key)
    html = client.get("/simple/demo-b/").text
    assert 'data-yanked="bad &#34;b&#34; &lt;i&gt;&amp;"' in html
    assert '<meta name="pypi:project-status" content="deprecated">' in html
    assert '<meta name="pypi:project-status-reason" content="&lt;script&gt;">' in html
    page: Any = client.json("/simple/demo-b/")
    assert page["files"][0]["yanked"] == 'bad "b" <i>&'
    assert page["project-status"] == {"status": "deprecated", "reason": "<script>"}


@pytest.mark.req("REQ-10", "REQ-11")
@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple", "simple/"),
        ("/simple?x=1", "simple/?x=1"),
        ("/simple/demo-b", "demo-b/"),
        ("/simple/Demo.B", "demo-b/"),
        ("/simple/Demo__B/", "../demo-b/"),
        ("/simple/Demo__B/?format=x%2Fy", "../demo-b/?format=x%2Fy"),
        ("/simple/unknown", "unknown/"),
    ],
)
def test_redirects_are_relative(client: Client, path: str, location: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["Location"], response.text) == (301, location, "")


@pytest.mark.req("REQ-11", "REQ-22", "REQ-32", "REQ-90")
@pytest.mark.parametrize("prefix", ["/dev", "/a/b"])
def test_every_redirect_and_link_keeps_the_prefix(client: Client, wheel: Path, prefix: str) -> None:
    mounted: dict[str, Any] = {"base_url": f"http://h.example{prefix}/", "headers": JSON}
    url = f"http://h.example{prefix}/simple/Demo_B"
    while (response := client.get(url.removeprefix(f"http://h.example{prefix}"), **mounted)).status_code == 301:
        url = urljoin(url, response.headers["Location"])
    assert url == f"http://h.example{prefix}/simple/demo-b/"
    link = urljoin(url, response.get_json(force=True)["files"][0]["url"])
    assert link == f"http://h.example{prefix}/packages/Demo_B-1.0%2Blocal.1-py3-none-any.whl"
    assert client.get(link.removeprefix(f"http://h.example{prefix}"), **mounted).data == wheel.read_bytes()


@pytest.mark.req("REQ-13")
@pytest.mark.parametrize(
    "path", ["/simple/unknown/", "/simple/demo-b/x", "/simple/-/", "/simple/d%C3%A9mo/", "/x", "/simple//"]
)
def test_what_is_not_there_is_404(client: Client, wheel: Path, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.mimetype == "text/plain"
    assert response.text.count("\n") == 1


@pytest.mark.req("REQ-8")
@pytest.mark.parametrize(
    ("wanted", "content_type"),
    [
        ("application%2Fvnd.pypi.simple.v1%2Bjson", "application/vnd.pypi.simple.v1+json"),
        ("application%2Fvnd.pypi.simple.latest%2Bjson", "application/vnd.pypi.simple.v1+json"),
        ("application%2Fvnd.pypi.simple.v1%2Bhtml", "application/vnd.pypi.simple.v1+html; charset=utf-8"),
        ("text%2Fhtml", "text/html; charset=utf-8"),
        ("text%2Fplain", None),
        ("application%2Fvnd.pypi.simple.v2%2Bjson", None),
        ("", None),
    ],
)
def test_the_format_of_the_address_wins(client: Client, wheel: Path, wanted: str, content_type: str | None) -> None:
    for accept in ("text/html", JSON["Accept"], "text/plain"):
        response = client.get(f"/simple/demo-b/?format={wanted}", headers={"Accept": accept})
        assert response.status_code == (200 if content_type else 406)
        assert response.headers["Content-Type"] == (content_type or "text/plain; charset=utf-8")


@pytest.mark.req("REQ-136")
@pytest.mark.parametrize("base", ["/", "/legacy/", "/simple/"])
def test_hatch_finds_what_is_there_below_its_upload_address(client: Client, wheel: Path, base: str) -> None:
    url = f"http://localhost{base}%2Bsimple/Demo_B/"
    page = client.get(url.removeprefix("http://localhost"))
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    [(href, text)] = re.findall(r"<a [^>]*href=\"([^\"#]+)[^>]+>([^<]+)</a>", page.text)
    assert text == wheel.name
    assert client.get(urljoin(url, href).removeprefix("http://localhost")).data == wheel.read_bytes()
    assert client.get(f"{base}+simple/unknown/").status_code == 404


@pytest.mark.req("REQ-7", "REQ-9")
def test_unknown_types_are_406(client: Client, wheel: Path) -> None:
    response = client.get("/simple/demo-b/", headers={"Accept": "application/json"})
    assert response.status_code == 406
    assert "Accept" in response.headers["Vary"]
    assert client.get("/simple/", headers={"Accept": "text/plain"}).text.count("simple.v1+json") == 1


@pytest.mark.req("REQ-9", "REQ-68")
@pytest.mark.parametrize("accept", ["text/html", "application/vnd.pypi.simple.v1+html", JSON["Accept"]])
@pytest.mark.parametrize("path", ["/simple/", "/simple/demo-b/"])
def test_pages_are_revalidated_and_not_sent_again(
    client: Client, wheel: Path, tmp_path: Path, path: str, accept: str
) -> None:
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    first = client.get(path, headers=headers)
    tag = first.headers["ETag"]
    assert not tag.startswith("W/")
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = client.get(path, headers={**headers, "If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    for name in ("ETag", "Vary", "Cache-Control"):
        assert again.headers[name] == first.headers[name]
    other = client.get(path, headers={"Accept": accept, "If-None-Match": tag})
    assert other.status_code == 200  # not compressed: another representation
    client.upload(make_sdist(tmp_path, "demo-b", "2.0"))
    client.upload(make_sdist(tmp_path, "another", "2.0"))
    changed = client.get(path, headers={**headers, "If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


@pytest.mark.req("REQ-23")
def test_pages_are_compressed_for_those_who_can(client: Client, wheel: Path) -> None:
    for accept in ("text/html", JSON["Accept"]):
        plain = client.get("/simple/demo-b/", headers={"Accept": accept})
        packed = client.get("/simple/demo-b/", headers={"Accept": accept, "Accept-Encoding": "br, gzip;q=0.5"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == plain.data
        assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept, Accept-Encoding"
        assert "Content-Encoding" not in client.get("/simple/demo-b/", headers={"Accept-Encoding": "gzip;q=0"}).headers


@pytest.mark.req("REQ-155")
@pytest.mark.parametrize("path", ["/simple/", "/simple/demo-b/", "/pypi/demo-b/json"])
def test_the_serial_is_a_header(client: Client, wheel: Path, tmp_path: Path, path: str) -> None:
    first = client.get(path, headers=JSON)
    serial = int(first.headers["X-PyPI-Last-Serial"])
    if path.startswith("/simple/"):
        assert serial == client.json(path)["meta"]["_last-serial"]  # type: ignore[index]
    again = client.get(path, headers={**JSON, "If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.headers["X-PyPI-Last-Serial"]) == (304, str(serial))
    client.upload(make_sdist(tmp_path, "demo-b", "2.0"))
    client.upload(make_sdist(tmp_path, "another", "2.0"))
    assert int(client.get(path).headers["X-PyPI-Last-Serial"]) > serial


def test_a_proxy_may_weaken_the_validator(client: Client, wheel: Path) -> None:
    tag = client.get("/simple/").headers["ETag"]
    assert client.get("/simple/", headers={"If-None-Match": f"W/{tag}"}).status_code == 304


@pytest.mark.req("REQ-14", "REQ-63")
def test_head_is_get_without_a_body(client: Client, wheel: Path) -> None:
    for path in ("/simple/", "/simple/demo-b/", f"/packages/{wheel.name}", f"/packages/{wheel.name}.metadata"):
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.data) == (200, b"")
        said = [{name: value for name, value in each.headers.items() if name != "Date"} for each in (head, get)]
        assert said[0] == said[1]


@pytest.mark.req("REQ-52")
def test_a_quarantined_project(client: Client, wheel: Path) -> None:
    text = b"quarantined"
    client.services.files.save("demo-b.status", io.BytesIO(text), hashlib.sha256(text).hexdigest())
    sync.sync(client.services.files, client.services.index, "demo-b.status")
    page: Any = client.json("/simple/demo-b/")
    assert (page["files"], page["versions"]) == ([], [])
    assert client.get(f"/packages/{wheel.name}").status_code == 404
    assert client.get(f"/packages/{wheel.name}.metadata").status_code == 404


# ---- downloads


@pytest.mark.req("REQ-31", "REQ-60", "REQ-61", "REQ-66", "REQ-67")
@pytest.mark.parametrize("quote", [lambda name: name, lambda name: name.replace("+", "%2B")], ids=["raw", "encoded"])
def test_the_bytes_that_were_uploaded(client: Client, wheel: Path, quote: Any) -> None:
    response = client.get(f"/packages/{quote(wheel.name)}")
    assert response.status_code == 200
    assert response.data == wheel.read_bytes()
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Length"] == str(wheel.stat().st_size)
    assert response.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["ETag"] == f'"{hashlib.sha256(wheel.read_bytes()).hexdigest()}"'
    assert "Last-Modified" in response.headers
    assert "Content-Encoding" not in response.headers


@pytest.mark.req("REQ-67")
def test_files_that_may_be_overwritten_are_asked_for_each_time(overwriting: Client, tmp_path: Path) -> None:
    tags = set()
    for content in (b"one", b"two"):
        wheel = make_wheel(tmp_path, "demo", "1.0", files={"x": content}, summary=content.decode())
        assert overwriting.upload(wheel).status_code == 200
        for url in (f"/packages/{wheel.name}", f"/packages/{wheel.name}.metadata"):
            response = overwriting.get(url)
            assert response.headers["Cache-Control"] == "private, no-cache"
            tags.add(response.headers["ETag"])
            known = overwriting.get(url, headers={"If-None-Match": response.headers["ETag"]})
            assert (known.status_code, known.headers["Cache-Control"]) == (304, "private, no-cache")
            part = overwriting.get(url, headers={"Range": "bytes=0-3"})
            assert (part.status_code, part.headers["Cache-Control"]) == (206, "private, no-cache")
    assert len(tags) == 4


@pytest.mark.req("REQ-40", "REQ-71")
def test_core_metadata_beside_the_file(client: Client, wheel: Path) -> None:
    response = client.get(f"/packages/{wheel.name}.metadata")
    core = metadata("Demo-B", "1.0+local.1", requires_python=">=3.8,<4")
    assert (response.status_code, response.data) == (200, core)
    assert response.headers["ETag"] == f'"{hashlib.sha256(core).hexdigest()}"'
    assert response.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    page: Any = client.json("/simple/demo-b/")
    assert page["files"][0]["core-metadata"] == {"sha256": hashlib.sha256(core).hexdigest()}


def test_metadata_are_compressed_for_those_who_can(client: Client, wheel: Path, tmp_path: Path) -> None:
    long = make_wheel(tmp_path, "long", "1.0", description="What it is for.\n" * 100)
    client.upload(long)
    url, gz = f"/packages/{long.name}.metadata", {"Accept-Encoding": "gzip"}
    plain, packed = client.get(url), client.get(url, headers=gz)
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data) / 2
    assert (packed.headers["Content-Encoding"], "Content-Encoding" in plain.headers) == ("gzip", False)
    assert packed.headers["ETag"] == f'{plain.headers["ETag"][:-1]}-gzip"'
    assert packed.headers["Content-Length"] == str(len(packed.data))
    for each in (plain, packed, client.get(f"/packages/{wheel.name}.metadata")):
        assert each.headers["Vary"] == "Accept-Encoding"
        assert each.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    head = client.head(url, headers=gz)
    assert (head.data, head.headers["Content-Length"]) == (b"", packed.headers["Content-Length"])
    # A part is one of these bytes, and a condition is about them.
    part = client.get(url, headers={**gz, "Range": "bytes=10-19", "If-Range": packed.headers["ETag"]})
    assert (part.status_code, part.data) == (206, packed.data[10:20])
    assert part.headers["Content-Encoding"] == "gzip"
    assert client.get(url, headers={**gz, "Range": "bytes=10-", "If-Range": plain.headers["ETag"]}).status_code == 200
    for tag, headers, status in (
        (packed.headers["ETag"], gz, 304),
        (plain.headers["ETag"], gz, 200),
        (packed.headers["ETag"], {}, 200),
    ):
        again = client.get(url, headers={**headers, "If-None-Match": tag})
        assert (again.status_code, again.headers["Vary"]) == (status, "Accept-Encoding")


@pytest.mark.parametrize("encoding", ["identity", "gzip;q=0", "br"])
def test_metadata_are_not_compressed_for_others(client: Client, tmp_path: Path, encoding: str) -> None:
    long = make_wheel(tmp_path, "long", "1.0", description="What it is for.\n" * 100)
    client.upload(long)
    response = client.get(f"/packages/{long.name}.metadata", headers={"Accept-Encoding": encoding})
    assert "Content-Encoding" not in response.headers
    assert b"What it is for." in response.data


def test_short_metadata_are_left_as_they_are(client: Client, wheel: Path) -> None:
    response = client.get(f"/packages/{wheel.name}.metadata", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in response.headers


@pytest.mark.req("REQ-64")
@pytest.mark.parametrize(
    ("range_", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-20", slice(-20, None)),
        ("bytes=5-99999999", slice(5, None)),
        ("bytes=-99999999", slice(0, None)),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".metadata"])
def test_ranges(client: Client, wheel: Path, range_: str, part: slice, suffix: str) -> None:
    whole = client.get(f"/packages/{wheel.name}{suffix}").data
    if suffix and range_ == "bytes=100-":
        range_, part = "bytes=10-", slice(10, None)
    response = client.get(f"/packages/{wheel.name}{suffix}", headers={"Range": range_})
    assert response.status_code == 206
    assert response.data == whole[part]
    assert response.headers["Content-Length"] == str(len(whole[part]))
    start = len(whole) - len(whole[part]) if part.stop is None else part.start
    assert response.headers["Content-Range"] == f"bytes {start}-{start + len(whole[part]) - 1}/{len(whole)}"


@pytest.mark.parametrize("range_", ["items=0-3", "bytes=0-1,3-4", "bytes=junk", "junk"])
def test_ranges_that_are_ignored(client: Client, wheel: Path, range_: str) -> None:
    response = client.get(f"/packages/{wheel.name}", headers={"Range": range_})
    assert (response.status_code, response.data) == (200, wheel.read_bytes())
    head = client.head(f"/packages/{wheel.name}", headers={"Range": "bytes=0-3"})
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(wheel.stat().st_size))


def test_a_range_that_cannot_be_had(client: Client, wheel: Path) -> None:
    response = client.get(f"/packages/{wheel.name}", headers={"Range": "bytes=99999999-"})
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{wheel.stat().st_size}"


@pytest.mark.req("REQ-65", "REQ-66")
def test_conditions_on_files(client: Client, wheel: Path) -> None:
    url = f"/packages/{wheel.name}"
    first = client.get(url)
    assert client.get(url, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert client.get(url, headers={"If-Modified-Since": first.headers["Last-Modified"]}).status_code == 304
    resume = {"Range": "bytes=10-", "If-Range": first.headers["ETag"]}
    assert client.get(url, headers=resume).data == wheel.read_bytes()[10:]
    resume["If-Range"] = '"other"'
    assert client.get(url, headers=resume).data == wheel.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "demo_b-9.9-py3-none-any.whl",
        "demo_b-9.9-py3-none-any.whl.metadata",
        "README.md",
        ".metadata",
        "%00",
        "..%2Findex.db",
        "x" * 5000,
        "d%C3%A9mo-1.0.tar.gz",
    ],
)
def test_files_that_are_not_there(client: Client, wheel: Path, name: str) -> None:
    response = client.get(f"/packages/{name}")
    assert response.status_code == 404
    assert len(response.text) < 300


@pytest.mark.req("REQ-44")
def test_an_sdist_has_metadata_too(client: Client, tmp_path: Path) -> None:
    path = make_sdist(tmp_path, "demo", "1.0")
    client.upload(path)
    assert client.get(f"/packages/{path.name}.metadata").data == metadata("demo", "1.0")


@pytest.mark.req("REQ-60", "REQ-63", "REQ-70")
def test_a_large_file_on_aws_is_a_stable_link(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0", files={"noise.bin": hashlib.shake_128(b"x").digest(INLINE)})
    assert client.upload(path).status_code == 200
    response = client.get(f"/packages/{path.name}")
    if not client.services.config.on_aws:
        assert response.data == path.read_bytes()
        return
    assert response.status_code == 302
    assert response.headers["Cache-Control"] == "no-store"
    link = response.headers["Location"]
    assert link.startswith(f"https://packages-bucket.s3.us-east-1.amazonaws.com/{path.name}?")
    assert client.get(f"/packages/{path.name}").headers["Location"] == link
    head = client.head(f"/packages/{path.name}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(path.stat().st_size))


# ---- health and the rest


def test_health_needs_no_user(client: Client) -> None:
    response = client.get("/health", user=None)
    assert response.status_code == 200
    assert response.get_json() == {
        "service": "elasticpypi",
        "stage": "",
        "version": "1.0.0",
        "store": "ok",
        "index": "ok",
        **(
            {"follower": "behind: Nothing follows the packages: `elasticpypi serve` does."}
            if client.services.behind
            else {}
        ),
    }


def test_health_says_what_cannot_be_reached(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise Unavailable("The index cannot be read.")

    monkeypatch.setattr(client.services.index, "check", broken)
    response = client.get("/health", user=None)
    assert response.status_code == 503
    assert response.get_json()["index"] == "The index cannot be read."
    assert response.get_json()["store"] == "ok"


@pytest.mark.req("REQ-82")
@pytest.mark.parametrize("path", ["/simple/", "/simple/demo-b/", "/packages/x-1.0.tar.gz", "/legacy/", "/unknown", "/"])
@pytest.mark.parametrize("user", [None, "alice:wrong"])
def test_everything_else_needs_a_user(client: Client, path: str, user: str | None) -> None:
    response = client.get(path, user=user)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="elasticpypi", charset="UTF-8"'


@pytest.mark.req("REQ-143")
@pytest.mark.parametrize("path", ["/_/oidc/audience", "/_/oidc/mint-token"])
def test_trusted_publishing_is_a_quick_404(client: Client, path: str) -> None:
    response = client.get(path, user=None)
    assert response.status_code == 404
    assert "WWW-Authenticate" not in response.headers


@pytest.mark.req("REQ-72", "REQ-73", "REQ-119")
def test_a_failure_shows_nothing_of_the_inside(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(services)

    def broken(_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(services.index, "project", broken)
    response = client.get("/simple/demo/")
    assert response.status_code == 500
    assert response.text == "The index failed at this request; its log says why.\n"

    def away(_: object) -> None:
        raise Unavailable("The table is throttled: try again.")

    monkeypatch.setattr(services.index, "project", away)
    response = client.get("/simple/demo/")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Accept", ",".join(f"a/b{number};q=0.5" for number in range(10_000))),
        ("If-None-Match", ",".join(f'"{number}"' for number in range(20_000))),
        ("X-Anything", "a=b;" * 20_000),
        ("Content-Type", "multipart/x" + ';"' * 40_000),
    ],
)
def test_headers_that_are_too_long(client: Client, header: str, value: str) -> None:
    for path in ("/", "/simple/", "/project/demo/", "/health", "/packages/demo-1.0.tar.gz"):
        answer = client.get(path, headers={header: value})
        assert answer.status_code == 431, path
        assert answer.text == "The headers of a request have at most 64 kB here: send fewer or shorter ones.\n"


@pytest.mark.parametrize(
    ("method", "path", "location"),
    [
        ("GET", "/legacy/demo/1.0", "./1.0/"),
        ("GET", "/legacy/demo/1.0?a=b", "./1.0/?a=b"),
        ("GET", "/legacy/demo/a%3Ab%20c", "./a:b%20c/"),
        ("POST", "/uploads", "./uploads/"),
    ],
)
def test_the_way_to_a_slash_at_the_end_holds_behind_every_prefix(
    client: Client, method: str, path: str, location: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["Location"]) == (308, location)
