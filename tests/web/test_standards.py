"""The standards and today's clients, line by line, over HTTP in both families (CONFORMANCE.md).

What other files prove on the way is marked there; here is the rest.
"""

import base64
import bz2
import gzip
import hashlib
import io
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import html5lib
import pytest
from packaging.utils import NormalizedName
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from elasticpypi.core.model import File, Project
from elasticpypi.core.simple_api import HTML, JSON, PLAIN_HTML
from elasticpypi.services import Services
from elasticpypi.storage.aws.s3 import INLINE
from tests.support.application import PASSWORD, USER, Client, basic, staged
from tests.support.builders import make_sdist, make_wheel, metadata, tar_bytes, upload_form, zip_bytes
from tests.support.store import put_straight, rebuild, stored
from tests.support.vectors import BROWSER, VECTORS

PAGES = ("/simple/", "/simple/demo-b/")
REASON = 'bad "b" <i>&amp;</i> > gr\u00f6\u00dfer \u2713'
PIP = f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"


@pytest.fixture
def filled(client: Client, tmp_path: Path) -> Client:
    """Two projects, whose files are in ``tmp_path`` too."""
    distributions(tmp_path)
    return staged(client, two_projects)


def distributions(folder: Path) -> list[Path]:
    """``demo-b`` has files with every sign in their names."""
    return [
        make_sdist(folder, "Demo.B", "0.9"),
        make_wheel(folder, "Demo.B", "1.0+local.1", requires_python=">=3.8,<4"),
        make_wheel(folder, "Demo.B", "1!0.1", tag="cp313-cp313-linux_x86_64", build="7"),
        make_wheel(folder, "other", "1.0"),
    ]


def two_projects(client: Client, folder: Path) -> None:
    """The first file is yanked."""
    for path in distributions(folder):
        assert client.upload(path).status_code == 200
    yank(client, "demo_b-0.9.tar.gz", REASON)


def yank(client: Client, filename: str, reason: str = "") -> None:
    assert client.request("PUT", f"/packages/{filename}.yanked", data=reason.encode()).status_code == 200


def files(client: Client, project: str = "demo-b") -> list[dict[str, Any]]:
    page: Any = client.json(f"/simple/{project}/")
    return list(page["files"])


def anchors(client: Client, path: str) -> list[tuple[dict[str, str], str]]:
    """Attributes and text of every anchor of a page, read by a parser that takes nothing but valid HTML5."""
    page = client.get(path, headers={"Accept": PLAIN_HTML})
    document = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page.text)
    return [(anchor.attrib, "".join(anchor.itertext())) for anchor in document.iter("a")]


# ---- pages


@pytest.mark.req("REQ-1", "REQ-3", "REQ-4", "REQ-5", "REQ-6", "REQ-7")
def test_every_accept_header_has_its_answer(filled: Client) -> None:
    expected = {vector["accept"]: vector["content_type"] for vector in VECTORS["accept"]} | {
        BROWSER: PLAIN_HTML,
        PLAIN_HTML: PLAIN_HTML,  # Dependabot
        PIP: JSON,  # and pdm, Renovate
        f"{JSON}, {HTML};q=0.2, text/html;q=0.01": JSON,  # uv
        f"{JSON}, */*;q=0.1": JSON,  # poetry
        f"{JSON}, {HTML}, text/html;q=0.01": JSON,  # pypi-simple
        JSON.upper(): JSON,
        "application/vnd.pypi.simple.latest+json": JSON,
        "application/vnd.pypi.simple.latest+html": HTML,
        f"{JSON};q=0, */*": PLAIN_HTML,
        f"{PLAIN_HTML};q=0, {HTML};q=0.000, {JSON};q=0.001": JSON,
    }
    for (accept, content_type), path in product(expected.items(), PAGES):
        answer = filled.get(path, headers={"Accept": accept})
        if content_type.startswith("406"):
            assert answer.status_code == 406, accept
            assert [kind for kind in (JSON, HTML, PLAIN_HTML) if kind in answer.text] == [JSON, HTML, PLAIN_HTML]
            assert answer.mimetype == ("application/json" if accept == "application/json" else "text/plain")
            continue
        assert (answer.status_code, answer.mimetype) == (200, content_type), accept
        if content_type == JSON:
            assert json.loads(answer.data)["meta"]
        else:
            assert answer.text.startswith("<!DOCTYPE html>\n")
    assert filled.get("/simple/").mimetype == filled.get("/simple/demo-b/").mimetype == PLAIN_HTML  # no Accept at all


@pytest.mark.req("REQ-6")
def test_no_accept_header_is_a_failure(filled: Client) -> None:
    odd = ["\xff", ";;;,,,=", "text/html;q=x", "*", "/", ",", "a" * 50_000, f"{JSON};q=-1", f'{JSON};q="', "a/b;c=\\"]
    for accept in odd:
        assert filled.get("/simple/demo-b/", headers={"Accept": accept}).status_code in (200, 406), accept


@pytest.mark.req("REQ-2")
def test_pages_are_utf_8(filled: Client) -> None:
    for accept in (PLAIN_HTML, HTML):
        answer = filled.get("/simple/demo-b/", headers={"Accept": accept})
        assert answer.headers["Content-Type"] == f"{accept}; charset=utf-8"
        assert "gr\u00f6\u00dfer \u2713" in answer.data.decode("utf-8")
    assert json.loads(filled.get("/simple/demo-b/", headers={"Accept": JSON}).data.decode("utf-8"))


@pytest.mark.req("REQ-9")
def test_every_negotiated_answer_varies_by_accept(filled: Client) -> None:
    for path in PAGES:
        page = filled.get(path)
        answers = [
            page,
            filled.head(path),
            filled.get(path, headers={"If-None-Match": page.headers["ETag"]}),
            filled.get(path, headers={"Accept": "image/png"}),
            filled.get(f"{path}?format=image/png"),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 304, 406, 406]
        for answer in answers:
            assert answer.headers.getlist("Vary") == ["Accept, Accept-Encoding"]


@pytest.mark.req("REQ-10", "REQ-20", "REQ-126")
def test_names_are_normalized_in_the_root_list(client: Client, tmp_path: Path) -> None:
    for name in ("Foo.Bar_baz", "zope.interface", "A"):
        assert client.upload(make_wheel(tmp_path, name, "1.0")).status_code == 200
    names = ["a", "foo-bar-baz", "zope-interface"]
    assert [(anchor["href"], text) for anchor, text in anchors(client, "/simple/")] == [
        (f"{name}/", name) for name in names
    ]
    page: Any = client.json("/simple/")
    assert page["projects"] == [{"name": name} for name in names]
    assert page["meta"]["api-version"] == "1.4"


@pytest.mark.req("REQ-13")
def test_a_project_without_files_is_as_unknown_as_any(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    client.upload(path)
    client.request("DELETE", f"/packages/{path.name}")
    for name, accept in product(("demo", "never-seen"), (JSON, HTML, PLAIN_HTML)):
        answer = client.get(f"/simple/{name}/", headers={"Accept": accept})
        assert (answer.status_code, answer.mimetype) == (404, "text/plain")


@pytest.mark.req("REQ-14")
def test_head_has_the_headers_of_get(filled: Client) -> None:
    tag = filled.get("/simple/demo-b/", headers={"Accept": JSON}).headers["ETag"]
    asked: list[dict[str, str]] = [{}, {"Accept": JSON}, {"Accept-Encoding": "gzip"}]
    asked.append({"Accept": JSON, "If-None-Match": tag})
    for path, headers in product((*PAGES, "/simple/unknown/", "/simple/Demo.B/"), asked):
        get, head = filled.get(path, headers=headers), filled.head(path, headers=headers)
        assert (head.status_code, head.data) == (get.status_code, b"")
        assert {**head.headers} == {**get.headers}


@pytest.mark.req("REQ-16", "REQ-17", "REQ-18")
def test_each_file_is_one_anchor_of_its_own(filled: Client) -> None:
    page = filled.get("/simple/demo-b/").text
    found = re.findall(r"^<a [^>]+>([^<]+)</a><br>$", page, re.MULTILINE)  # hatch, but for the ends of the line
    assert found == [file["filename"] for file in files(filled)]
    assert len(re.findall(r"<a\b|<base\b", page, re.IGNORECASE)) == 3
    assert len(re.findall(r"<a\b|<base\b", filled.get("/simple/").text, re.IGNORECASE)) == 2
    assert 'data-requires-python="&gt;=3.8,&lt;4"' in page
    [yanked] = [anchor["data-yanked"] for anchor, _ in anchors(filled, "/simple/demo-b/") if "data-yanked" in anchor]
    assert yanked == REASON


@pytest.mark.req("REQ-19", "REQ-42", "REQ-49", "REQ-50", "REQ-53")
def test_json_pages_have_the_keys_of_version_1_4_and_no_others(filled: Client) -> None:
    root: Any = filled.json("/simple/")
    page: Any = filled.json("/simple/demo-b/")
    for meta in (root["meta"], page["meta"]):
        assert {key for key in meta if not key.startswith("_")} == {"api-version"}
        assert meta["api-version"] == "1.4"
    assert set(root) == {"meta", "projects"}
    assert set(page) == {"meta", "name", "versions", "files"}
    assert page["name"] == "demo-b"
    always = {"filename", "url", "hashes", "size", "upload-time", "yanked"}
    for file in page["files"]:
        assert always <= set(file) <= always | {"requires-python", "core-metadata"}
        assert None not in file.values()
    assert "data-dist-info-metadata" not in filled.get("/simple/demo-b/").text


@pytest.mark.req("REQ-19", "REQ-51", "REQ-52")
def test_a_page_without_files_has_all_its_keys(filled: Client) -> None:
    filled.request("PUT", "/packages/demo-b.status", data=b"quarantined\nstolen <key>")
    page: Any = filled.json("/simple/demo-b/")
    assert {**page, "meta": ""} == {
        "meta": "",
        "name": "demo-b",
        "versions": [],
        "files": [],
        "project-status": {"status": "quarantined", "reason": "stolen <key>"},
    }
    assert anchors(filled, "/simple/demo-b/") == []


@pytest.mark.req("REQ-21", "REQ-24")
def test_versions_and_files_are_in_order(client: Client, tmp_path: Path) -> None:
    versions = ["1.0.dev0", "1.0a1", "1.0", "1.2", "1.10", "1.10.post1", "1!0.1"]
    paths = [make(tmp_path, "demo", version) for version in versions for make in (make_wheel, make_sdist)]
    paths.append(make_wheel(tmp_path, "demo", "01.2", tag="py2-none-any"))  # as old tools wrote it
    expected = [
        name
        for version in versions
        for name in (
            *(["demo-01.2-py2-none-any.whl"] if version == "1.2" else []),
            f"demo-{version}-py3-none-any.whl",
            f"demo-{version}.tar.gz",
        )
    ]
    random.Random(7).shuffle(paths)
    for path in paths:
        assert client.upload(path).status_code == 200
    page: Any = client.json("/simple/demo/")
    assert page["versions"] == versions
    assert [file["filename"] for file in page["files"]] == expected
    assert [text for _, text in anchors(client, "/simple/demo/")] == expected


@pytest.mark.req("REQ-23")
def test_a_page_of_thousands_of_files_fits_into_an_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    name = NormalizedName("a-project-with-a-long-name")
    many = tuple(
        File(
            *(f"{name}-{number}.0.0-cp313-cp313-manylinux_2_28_x86_64.whl", name, f"{number}.0.0", 10**6),
            *(hashlib.sha256(b"%d" % number).hexdigest(), "2026-01-31T12:00:00.000000Z", "r", ">=3.9,<4"),
            hashlib.sha256(b"m%d" % number).hexdigest(),
        )
        for number in range(6000)
    )
    monkeypatch.setattr(client.services.index, "project", lambda _: Project(name, 7, many))
    for accept in (JSON, PLAIN_HTML):
        plain = client.get(f"/simple/{name}/", headers={"Accept": accept})
        packed = client.get(f"/simple/{name}/", headers={"Accept": accept, "Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert len(packed.data) < 1_000_000 < len(plain.data) < INLINE


# ---- file entries


@pytest.mark.req("REQ-30", "REQ-31", "REQ-32", "REQ-33", "REQ-34", "REQ-36", "REQ-37")
def test_what_every_file_says_of_itself(filled: Client, tmp_path: Path) -> None:
    entries = files(filled)
    assert [file["filename"] for file in entries] == [
        "demo_b-0.9.tar.gz",
        "Demo.B-1.0+local.1-py3-none-any.whl",
        "Demo.B-1!0.1-7-cp313-cp313-linux_x86_64.whl",
    ]
    for file, (anchor, text) in zip(entries, anchors(filled, "/simple/demo-b/"), strict=True):
        url = urlsplit(file["url"])
        assert (url.scheme, url.netloc, url.query, url.fragment) == ("", "", "", "")
        assert unquote(url.path.rpartition("/")[2]) == file["filename"] == text
        assert not set("+! ") & set(file["url"])
        data = (tmp_path / file["filename"]).read_bytes()
        assert file["hashes"] == {"sha256": hashlib.sha256(data).hexdigest()}
        assert anchor["href"] == f"{file['url']}#sha256={file['hashes']['sha256']}"
        assert file["size"] == len(data)
        assert type(file["size"]) is int
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", file["upload-time"])


@pytest.mark.req("REQ-31", "REQ-47")
def test_every_listed_file_is_there_encoded_and_raw(filled: Client, tmp_path: Path) -> None:
    another = Client(filled.services)  # that has seen none of the uploads
    for file in files(another):
        path = urljoin("/simple/demo-b/", file["url"])
        raw = f"/packages/{file['filename']}"
        for address in (path, raw, raw.replace("+", "%2b").replace("!", "%21")):
            assert another.get(address).data == (tmp_path / file["filename"]).read_bytes()
            core = another.get(f"{address}.metadata")
            assert hashlib.sha256(core.data).hexdigest() == file["core-metadata"]["sha256"]
        if "+" in raw:
            assert another.get(raw.replace("+", " ")).status_code == 404


@pytest.mark.req("REQ-35", "REQ-36", "REQ-37", "REQ-40")
def test_what_was_put_straight_into_the_store_is_as_well_described(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0", requires_python=">=3.8")
    put_straight(client.services, path.name, path.read_bytes())
    [file] = files(client, "demo")
    assert file["hashes"] == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert (file["size"], file["requires-python"]) == (path.stat().st_size, ">=3.8")
    assert file["upload-time"].endswith("Z")
    core = client.get(f"/packages/{path.name}.metadata").data
    assert core == metadata("demo", "1.0", requires_python=">=3.8")
    assert file["core-metadata"] == {"sha256": hashlib.sha256(core).hexdigest()}


@pytest.mark.req("REQ-38")
def test_the_upload_time_never_changes(filled: Client, tmp_path: Path) -> None:
    before = {file["filename"]: file["upload-time"] for file in files(filled)}
    for name in before:
        assert filled.upload(tmp_path / name).status_code == 200
        yank(filled, name, "later")
    rebuild(filled.services)
    assert {file["filename"]: file["upload-time"] for file in files(filled)} == before
    assert {file["yanked"] for file in files(filled)} == {"later"}


@pytest.mark.req("REQ-39")
def test_requires_python_is_what_the_file_says(client: Client, tmp_path: Path) -> None:
    wanted = {"1.0": ">=3.8,<4", "2.0": ">=3.7, !=3.9.*", "3.0": None}
    for version, requires in wanted.items():
        fields: dict[str, Any] = {"requires_python": requires} if requires else {}
        client.upload(make_wheel(tmp_path, "demo", version, **fields), requires_python=">=2")
    assert [file.get("requires-python") for file in files(client, "demo")] == list(wanted.values())
    assert "requires-python" not in files(client, "demo")[2]
    refused = client.upload(make_wheel(tmp_path, "demo", "4.0", requires_python="junk"))
    assert (refused.status_code, "Requires-Python 'junk'" in refused.text) == (400, True)


@pytest.mark.req("REQ-39", "REQ-17")
def test_a_folded_requires_python_is_one_line(client: Client, tmp_path: Path) -> None:
    client.upload(make_wheel(tmp_path, "demo", "1.0", requires_python=">=3.8,\n        <4"))
    assert files(client, "demo")[0]["requires-python"].replace(" ", "") == ">=3.8,<4"
    assert len(re.findall(r"^<a .*</a><br>$", client.get("/simple/demo/").text, re.MULTILINE)) == 1


@pytest.mark.req("REQ-40")
@pytest.mark.parametrize("core", [metadata("demo", "1.0", description="h\u00e9llo\r\n\t"), metadata("Demo", "v1.0")])
def test_the_metadata_are_those_of_the_wheel_byte_for_byte(client: Client, tmp_path: Path, core: bytes) -> None:
    assert client.upload(make_wheel(tmp_path, "demo", "1.0", core=core)).status_code == 200
    [file] = files(client, "demo")
    [(anchor, _)] = anchors(client, "/simple/demo/")
    digest = hashlib.sha256(core).hexdigest()
    assert file["core-metadata"] == {"sha256": digest}
    assert anchor["data-core-metadata"] == f"sha256={digest}"
    assert client.get(f"{urljoin('/simple/demo/', file['url'])}.metadata").data == core


@pytest.mark.req("REQ-41", "REQ-44")
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("demo-1.0-py3-none-any.whl", zip_bytes({"demo.py": b""})),
        ("demo-1.0.tar.bz2", bz2.compress(gzip.decompress(tar_bytes({"demo-1.0/setup.py": b"setup()"})))),
        ("demo-1.0.tar.gz", tar_bytes({"demo-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"})),
    ],
)
def test_metadata_that_nobody_can_have_are_not_announced(client: Client, name: str, data: bytes) -> None:
    put_straight(client.services, name, data)
    [file] = files(client, "demo")
    assert file["filename"] == name
    assert "core-metadata" not in file
    assert "metadata" not in client.get("/simple/demo/").text
    assert client.get(f"/packages/{name}.metadata").status_code == 404
    assert client.get(f"/packages/{name}").data == data


@pytest.mark.req("REQ-45", "REQ-46")
def test_a_yank_is_about_one_file(filled: Client) -> None:
    sdist, wheel, other = (file["filename"] for file in files(filled))
    tag = filled.get("/simple/demo-b/").headers["ETag"]
    yank(filled, wheel)
    assert filled.get("/simple/demo-b/").headers["ETag"] != tag
    assert {file["filename"]: file["yanked"] for file in files(filled)} == {sdist: REASON, wheel: True, other: False}
    shown = {text: anchor.get("data-yanked") for anchor, text in anchors(filled, "/simple/demo-b/")}
    assert shown == {sdist: REASON, wheel: "", other: None}
    assert filled.get(f"/packages/{sdist}").status_code == 200
    filled.request("DELETE", f"/packages/{sdist}.yanked")
    assert {file["filename"]: file["yanked"] for file in files(filled)} == {sdist: False, wheel: True, other: False}


@pytest.mark.req("REQ-48", "REQ-117")
def test_a_url_never_means_other_bytes(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    data, url = path.read_bytes(), f"/packages/{path.name}"
    client.upload(path)
    make_wheel(tmp_path, "demo", "1.0", summary="other")
    assert client.upload(path).status_code == 409
    assert client.get(url).data == data
    client.request("DELETE", url)
    assert client.upload(path).status_code == 409
    assert client.get(url).status_code == 404
    path.write_bytes(data)
    assert client.upload(path).status_code == 200
    assert client.get(url).data == data


@pytest.mark.req("REQ-51")
def test_html_and_json_say_the_status(filled: Client) -> None:
    for status in ("archived", "deprecated", "quarantined"):
        check_status(filled, status, 'use "x" & <y>')
    filled.request("DELETE", "/packages/demo-b.status")
    assert "status" not in filled.get("/simple/demo-b/").text


def check_status(filled: Client, status: str, reason: str) -> None:
    filled.request("PUT", "/packages/demo-b.status", data=f"{status}\n{reason}".encode())
    page: Any = filled.json("/simple/demo-b/")
    assert page["project-status"] == {"status": status, "reason": reason}
    html = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(filled.get("/simple/demo-b/").text)
    said = {meta.get("name"): meta.get("content") for meta in html.iter("meta") if meta.get("name")}
    assert said == {
        "pypi:repository-version": "1.4",
        "pypi:project-status": status,
        "pypi:project-status-reason": reason,
    }
    filled.request("PUT", "/packages/demo-b.status", data=status.encode())
    page = filled.json("/simple/demo-b/")
    assert page["project-status"] == {"status": status}
    assert "status-reason" not in filled.get("/simple/demo-b/").text


@pytest.mark.req("REQ-54")
def test_a_file_without_a_readable_name_is_not_listed(client: Client, tmp_path: Path) -> None:
    data = make_wheel(tmp_path, "demo", "1.0").read_bytes()
    for name in ("demo.whl", "demo-1.0.egg", "demo-1.0-py3.whl", "demo-one-py3-none-any.whl", "-1.0.tar.gz"):
        put_straight(client.services, name, data)
        assert client.get(f"/packages/{name}").status_code == 404
    assert client.json("/simple/")["projects"] == []


# ---- downloads and caching


@pytest.mark.req("REQ-60", "REQ-61", "REQ-62", "REQ-71")
def test_files_are_sent_as_they_are(filled: Client, tmp_path: Path) -> None:
    for file in files(filled):
        for suffix in ("", ".metadata"):
            answer = filled.get(f"/packages/{file['filename']}{suffix}", headers={"Accept-Encoding": "gzip, br, zstd"})
            assert (answer.status_code, answer.mimetype) == (200, "application/octet-stream")
            assert int(answer.headers["Content-Length"]) == len(answer.data)
            assert not {"Content-Encoding", "Content-Disposition", "Location"} & set(answer.headers.keys())


@pytest.mark.req("REQ-65")
@pytest.mark.parametrize("suffix", ["", ".metadata"])
def test_a_download_goes_on_if_the_file_is_the_same(filled: Client, suffix: str) -> None:
    url = f"/packages/demo_b-0.9.tar.gz{suffix}"
    whole = filled.get(url)
    for same in (whole.headers["ETag"], whole.headers["Last-Modified"]):
        answer = filled.get(url, headers={"Range": "bytes=10-", "If-Range": same})
        assert (answer.status_code, answer.data) == (206, whole.data[10:])
    for other in ('"x"', "Thu, 01 Jan 2026 00:00:00 GMT", "junk"):
        answer = filled.get(url, headers={"Range": "bytes=10-", "If-Range": other})
        assert (answer.status_code, answer.data) == (200, whole.data), other


@pytest.mark.req("REQ-66", "REQ-67")
@pytest.mark.parametrize("suffix", ["", ".metadata"])
def test_files_and_metadata_can_be_kept(filled: Client, suffix: str) -> None:
    url = f"/packages/demo_b-0.9.tar.gz{suffix}"
    whole = filled.get(url)
    assert whole.headers["ETag"] == f'"{hashlib.sha256(whole.data).hexdigest()}"'
    assert whole.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    for condition in (
        {"If-None-Match": whole.headers["ETag"]},
        {"If-None-Match": f'"x", W/{whole.headers["ETag"]}'},
        {"If-Modified-Since": whole.headers["Last-Modified"]},
    ):
        answer = filled.get(url, headers=condition)
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", whole.headers["ETag"])
    assert filled.get(url, headers={"If-None-Match": '"x"'}).data == whole.data


@pytest.mark.req("REQ-64")
def test_a_range_that_is_none_is_the_whole_file(filled: Client) -> None:
    whole = filled.get("/packages/demo_b-0.9.tar.gz").data
    for wanted in ("items=0-1", "bytes=5-2", "bytes=x-", "bytes", "bytes=0-1,5-6"):  # RFC 9110, 14.2
        answer = filled.get("/packages/demo_b-0.9.tar.gz", headers={"Range": wanted})
        assert (answer.status_code, answer.data) == (200, whole), wanted


@pytest.mark.req("REQ-68")
def test_a_tag_that_a_proxy_made_weak_is_known(filled: Client) -> None:
    for path in (*PAGES, "/pypi/demo-b/json"):
        tag = filled.get(path).headers["ETag"]
        for sent in (tag, f'"x", {tag}', f"W/{tag}"):  # nginx, CloudFront: where they compress
            assert filled.get(path, headers={"If-None-Match": sent}).status_code == 304, (path, sent)


@pytest.mark.req("REQ-72")
def test_no_request_is_a_fault_of_the_index(filled: Client) -> None:
    odd: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/simple/%ff%fe/", {}),
        ("GET", "/simple/demo-b/%00/", {}),
        ("GET", f"/simple/{'a' * 5000}/", {}),
        ("GET", "/simple/?format=%ff", {}),
        ("GET", "/packages/%ff-1.0.tar.gz", {}),
        ("GET", "/packages/demo-1.0.tar.gz%0d%0a", {}),
        ("GET", "/packages/demo_b-0.9.tar.gz", {"headers": {"Range": "bytes=junk"}}),
        ("GET", "/packages/demo_b-0.9.tar.gz", {"headers": {"Range": "bytes=9-1", "If-Range": "\xff"}}),
        ("GET", "/simple/demo-b/", {"headers": {"If-None-Match": '"\xff', "Accept-Encoding": ";;q=x"}}),
        ("GET", "/packages/demo_b-0.9.tar.gz", {"headers": {"If-Modified-Since": "yesterday"}}),
        ("GET", "/simple/", {"user": "\x00\uffff"}),
        ("GET", "/simple/", {"headers": {"Authorization": "Basic \xff"}}),
        ("POST", "/legacy/", {"data": b"\xff" * 100, "content_type": "multipart/form-data; boundary=\xff"}),
        ("POST", "/legacy/?:action=%ff&name=%00", {}),
        ("PUT", "/packages/%ff.yanked", {}),
        ("DELETE", "/packages/%00", {}),
        ("GET", "/pypi/%ff/%00/json", {}),
        ("BREW", "/simple/", {}),
    ]
    for method, path, options in odd:
        answer = filled.request(method, path, **options)
        assert answer.status_code < 500, (method, path, options)


# ---- authentication


@pytest.mark.req("REQ-80", "REQ-81")
@pytest.mark.parametrize("user", [f"{USER}:{PASSWORD}", f"__token__:{PASSWORD}"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_user_or_token_reads_and_writes(services: Services, tmp_path: Path, user: str, encoding: str) -> None:
    assert ":" in PASSWORD
    client = Client(services)
    header = {"Authorization": basic(user.encode(encoding).decode("latin-1"))} if encoding == "latin-1" else {}
    path = make_wheel(tmp_path, "demo", "1.0")
    form = {**upload_form(path), "content": (io.BytesIO(path.read_bytes()), path.name)}
    assert client.request("POST", "/legacy/", user=user, data=form, headers=header).status_code == 200
    for url in ("/simple/", "/simple/demo/", f"/packages/{path.name}", f"/packages/{path.name}.metadata"):
        assert client.get(url, user=user, headers=header).status_code == 200
        assert client.get(url, user=f"{user} ").status_code == 401
        assert client.get(url, user=user.partition(":")[0] + ":pa").status_code == 401


@pytest.mark.req("REQ-82")
def test_what_is_there_is_challenged_as_what_is_not(filled: Client) -> None:
    asked = [
        *(("GET", page) for page in (*PAGES, "/simple/unknown/", "/simple", "/simple/Demo.B/", "/pypi/demo-b/json")),
        *((method, "/packages/demo_b-0.9.tar.gz") for method in ("GET", "HEAD", "PUT", "DELETE")),
        *(("GET", f"/packages/demo_b-0.9.tar.gz{suffix}") for suffix in (".metadata", ".asc")),
        *(("POST", path) for path in ("/", "/legacy", "/legacy/", "/simple", "/simple/")),
    ]
    for (method, path), user in product(asked, (None, f"{USER}:wrong", "nobody:x", "__token__:wrong")):
        answer = filled.request(method, path, user=user)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="')
        assert not set(answer.headers.keys()) & {"Location", "ETag"}


@pytest.mark.req("REQ-85")
def test_asking_without_credentials_costs_nothing(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []

    def counting(known: str, password: str) -> bool:
        checked.append(password)
        return password == "secret"

    monkeypatch.setattr("werkzeug.security.check_password_hash", counting)
    users = {USER: generate_password_hash("secret")}
    client = Client(replace(services, config=replace(services.config, users=users)))
    for _ in range(200):
        assert client.get("/simple/", user=None).status_code == 401
    assert not checked
    assert client.get("/simple/", user=f"{USER}:secret").status_code == 200


@pytest.mark.req("REQ-88", "REQ-89")
def test_no_answer_has_a_cookie_or_credentials(filled: Client, tmp_path: Path) -> None:
    secrets = {"cookie", PASSWORD.lower(), f"{USER}:", basic(f"{USER}:{PASSWORD}").removeprefix("Basic ").lower(), "@"}
    answers = [
        *(filled.get(path, headers={"Accept": kind}) for path in PAGES for kind in (JSON, HTML, "image/png")),
        *(filled.get(path) for path in ("/simple", "/simple/Demo.B", "/pypi/demo-b/json", "/nothing", "/legacy/")),
        *(filled.get(f"/packages/demo_b-0.9.tar.gz{suffix}") for suffix in ("", ".metadata", ".asc")),
        filled.upload(tmp_path / "demo_b-0.9.tar.gz"),
        filled.upload(make_wheel(tmp_path, "other", "1.0", summary="else")),
        filled.request("POST", "/legacy/"),
        filled.get("/simple/", user=f"{USER}:{PASSWORD}?"),
    ]
    for answer in answers:
        text = "" if answer.mimetype == "application/octet-stream" else answer.text
        said = f"{answer.status}\n{answer.headers}\n{text}".lower()
        assert not [secret for secret in secrets if secret in said], said


# ---- uploads


def part(header: bytes, data: bytes) -> bytes:
    return b"--b\r\nContent-Disposition: form-data; " + header + b"\r\n\r\n" + data + b"\r\n"


def post(client: Client, *parts: bytes, query: str = "") -> TestResponse:
    """An upload whose form is exactly these parts."""
    body, kind = b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b"
    return client.request("POST", f"/legacy/{query}", data=body, content_type=kind)


def parts_of(path: Path, **changes: str | None) -> list[bytes]:
    fields = upload_form(path, **changes).items()
    return [part(f'name="{field}"'.encode(), value.encode()) for field, value in fields]


def content(path: Path, header: bytes = b"") -> bytes:
    return part(b'name="content"; filename="%s"%s' % (path.name.encode(), header), path.read_bytes())


def is_there(client: Client, path: Path) -> bool:
    return client.get(f"/packages/{path.name}").status_code == 200


@pytest.mark.req("REQ-100", "REQ-103", "REQ-104")
def test_fields_come_in_any_order(client: Client, tmp_path: Path) -> None:
    orders: list[Callable[[list[bytes], bytes], list[bytes]]] = [
        lambda fields, file: [*fields, file],  # flit: the action first
        lambda fields, file: [file, *fields[::-1]],
        lambda fields, file: [*fields[2:], file, *fields[:2]],
    ]
    headers = [b"", b"\r\nContent-Type: application/octet-stream", b"\r\nContent-Type: text/plain; charset=ascii"]
    for number, (order, header) in enumerate(zip(orders, headers, strict=True)):
        path = make_wheel(tmp_path, "demo", f"{number}.0")
        answer = post(client, *order(parts_of(path), content(path, header)))
        assert (answer.status_code, answer.text, answer.mimetype) == (
            200,
            f"{path.name} is in the index.\n",
            "text/plain",
        )
        assert is_there(client, path)


@pytest.mark.req("REQ-100")
def test_action_and_protocol_may_be_in_the_address(client: Client, tmp_path: Path) -> None:
    path = make_sdist(tmp_path, "demo", "1.0")
    fields = parts_of(path, **{":action": None, "protocol_version": None})
    assert post(client, *fields, content(path), query="?:action=file_upload&protocol_version=1").status_code == 200
    assert is_there(client, path)


@pytest.mark.req("REQ-105")
@pytest.mark.parametrize(
    "given",
    [
        ("sha256_digest", "blake2_256_digest"),  # twine, uv
        ("md5_digest", "sha256_digest"),  # flit
        ("md5_digest", "sha256_digest", "blake2_256_digest"),  # poetry, pdm, hatch
        ("sha256_digest",),
        ("blake2_256_digest",),
        ("md5_digest",),
    ],
)
def test_every_digest_that_is_given_is_verified(client: Client, tmp_path: Path, given: tuple[str, ...]) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    data = path.read_bytes()
    right = {
        "sha256_digest": hashlib.sha256(data).hexdigest(),
        "blake2_256_digest": hashlib.blake2b(data, digest_size=32).hexdigest().upper(),
        "md5_digest": hashlib.md5(data, usedforsecurity=False).hexdigest(),
    }
    digests = {field: right[field] if field in given else None for field in right}
    for field in given:
        for wrong in (right[field][::-1], right[field][:-2], right[field][:-1] + "g"):
            refused = client.upload(path, "/legacy/", **{**digests, field: wrong})
            assert (refused.status_code, field in refused.text) == (400, True)
    assert stored(client.services) == {}
    assert client.upload(path, "/legacy/", **digests).status_code == 200
    assert is_there(client, path)


@pytest.mark.req("REQ-106", "REQ-107")
@pytest.mark.parametrize("nothing", ["", "UNKNOWN", " "])
def test_the_form_adds_nothing_to_what_the_file_says(client: Client, tmp_path: Path, nothing: str) -> None:
    path = make_wheel(tmp_path, "Demo.B", "1.0", requires_python=">=3.8", summary="of the file")
    form: dict[str, str | None] = {
        **{"metadata_version": "2.3", "requires_python": ">=2.7", "summary": "of the form", "provides_extras": "x"},
        **{"invented": "field", "comment": nothing, "md5_digest": nothing, "pyversion": nothing},
    }
    assert client.upload(path, "/legacy/", name="demo-b", version="1.0.0", **form).status_code == 200
    assert files(client)[0]["requires-python"] == ">=3.8"
    core = client.get(f"/packages/{path.name}.metadata").data
    assert core == metadata("Demo.B", "1.0", requires_python=">=3.8", summary="of the file")
    sdist = make_sdist(tmp_path, "Demo.B", "1.0")
    assert client.upload(sdist, name=nothing, version=nothing, pyversion=None).status_code == 200


@pytest.mark.req("REQ-108", "REQ-109", "REQ-118")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "other"}, ("'other'", "'demo'")),
        ({"version": "1.1"}, ("'1.1'", "'1.0'")),
        ({"filetype": "sdist"}, ("filetype", "sdist", "bdist_wheel")),
        ({"filetype": "bdist_wininst"}, ("filetype", "'bdist_wininst'")),
        ({"filetype": None}, ("filetype",)),
        *(
            ({":action": action}, (":action", f"'{action or ''}'"))
            for action in ("submit", "doc_upload", "verify", None)
        ),
        ({"protocol_version": "2"}, ("protocol_version", "'2'")),
    ],
)
def test_a_form_that_does_not_fit_stores_nothing(
    client: Client, tmp_path: Path, changes: dict[str, str | None], words: tuple[str, ...]
) -> None:
    refused = client.upload(make_wheel(tmp_path, "demo", "1.0"), "/legacy/", **changes)
    assert (refused.status_code, refused.text.count("\n")) == (400, 1)
    assert not [word for word in words if word not in refused.text], refused.text
    assert "was ever registered" not in refused.text
    assert stored(client.services) == {}
    submitted = client.request("POST", "/legacy/", data={":action": "submit", "name": "demo"})  # what poetry tries then
    assert submitted.status_code == 400


@pytest.mark.req("REQ-109")
def test_the_python_version_of_an_sdist(client: Client, tmp_path: Path) -> None:
    path = make_sdist(tmp_path, "demo", "1.0")
    assert client.upload(path, pyversion="py3").status_code == 400
    assert client.upload(path, filetype="bdist_wheel").status_code == 400
    assert stored(client.services) == {}
    assert client.upload(path, pyversion=None).status_code == 200


@pytest.mark.req("REQ-110")
@pytest.mark.parametrize("make", [make_wheel, make_sdist])
def test_versions_of_the_metadata(client: Client, tmp_path: Path, make: Callable[..., Path]) -> None:
    for number, known in enumerate(("1.0", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.10")):
        core = f"Metadata-Version: {known}\nName: demo\nVersion: {number}\n".encode()
        answer = client.upload(make(tmp_path, "demo", str(number), core=core), metadata_version=known)
        assert answer.status_code == 200, answer.text
        assert ("is newer than this index knows" in answer.text) == (known in ("2.7", "2.10"))
    for unknown in ("3.0", "0.9", "x"):
        core = f"Metadata-Version: {unknown}\nName: demo\nVersion: 99\n".encode()
        answer = client.upload(make(tmp_path, "demo", "99", core=core), metadata_version=unknown)
        assert (answer.status_code, unknown in answer.text) == (400, True), unknown


@pytest.mark.req("REQ-111")
@pytest.mark.parametrize("twice", [True, False], ids=["twice", "as a file"])
@pytest.mark.parametrize("field", ["name", "sha256_digest", "summary", "requires_python", "description"])
def test_a_single_field_is_sent_once_and_as_text(client: Client, tmp_path: Path, field: str, twice: bool) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    value = {**upload_form(path), "summary": "x", "requires_python": ">=3", "description": "x"}[field].encode()
    once = part(f'name="{field}"'.encode(), value)
    odd = [once, once] if twice else [part(f'name="{field}"; filename="x"'.encode(), value)]
    refused = post(client, *parts_of(path, **{field: None}), *odd, content(path))
    assert (refused.status_code, field in refused.text) == (400, True)
    assert stored(client.services) == {}


@pytest.mark.req("REQ-114")
def test_a_conflict_is_never_told_as_problem_details(client: Client, tmp_path: Path) -> None:
    client.upload(make_wheel(tmp_path, "demo", "1.0"))
    path = make_wheel(tmp_path, "demo", "1.0", summary="other")
    for accept in ("", "*/*", "application/problem+json", "application/problem+json, application/json"):
        form = {**upload_form(path), "content": (io.BytesIO(path.read_bytes()), path.name)}
        refused = client.request("POST", "/legacy/", data=form, headers={"Accept": accept})
        assert refused.status_code == 409
        assert refused.mimetype == ("application/json" if "application/json" in accept else "text/plain")
        assert "already exist" in refused.text


@pytest.mark.req("REQ-116")
def test_a_version_has_one_sdist(client: Client, tmp_path: Path) -> None:
    assert client.upload(make_sdist(tmp_path, "demo", "1.0")).status_code == 200
    path = tmp_path / "Demo-1.0.0.zip"
    path.write_bytes(zip_bytes({"Demo-1.0.0/PKG-INFO": metadata("demo", "1.0")}))
    refused = client.upload(path, version="1.0")
    assert (refused.status_code, "already exists as 'demo-1.0.tar.gz'" in refused.text) == (409, True)
    assert list(stored(client.services)) == ["demo-1.0.tar.gz"]


@pytest.mark.req("REQ-119", "REQ-120", "REQ-121")
def test_an_error_is_one_line_in_body_and_reason(client: Client, tmp_path: Path) -> None:
    path = make_sdist(tmp_path, "demo", "1.0")
    names = ["d\u00e9mo\u2713-1.0.tar.gz", "<b>x</b>-1.0.tar.gz", "x" * 600, "demo-1.0\tx.tar.gz", "%0d%0a"]
    for name, accept in product(names, ("*/*", "application/json;q=0.9, text/plain;q=0.8, text/html;q=0.7")):
        form = {**upload_form(path), "content": (io.BytesIO(path.read_bytes()), name)}
        refused = client.request("POST", "/legacy/", data=form, headers={"Accept": accept})
        assert refused.status_code == 400
        text = refused.text.removesuffix("\n")
        if accept != "*/*":
            assert refused.headers["Content-Type"] == "application/json"
            said = refused.get_json()
            text = said["message"]
            assert said == {"code": f"400 {text}", "message": text, "title": "Bad Request"}
        assert len(text) <= 500
        assert text.isprintable()
        reason = refused.status.removeprefix("400 ")
        assert reason == text.encode("ascii", "replace").decode()
        assert refused.mimetype in ("text/plain", "application/json")


@pytest.mark.req("REQ-124", "REQ-49")
def test_a_signature_is_left_aside(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    signature = part(f'name="gpg_signature"; filename="{path.name}.asc"'.encode(), b"-----BEGIN PGP")
    assert post(client, *parts_of(path), signature, content(path)).status_code == 200
    assert stored(client.services) == {path.name: path.read_bytes()}
    assert "gpg" not in client.get("/simple/demo/").text
    assert client.get(f"/packages/{path.name}.asc").status_code == 404


@pytest.mark.req("REQ-125", "REQ-47")
def test_no_file_is_listed_without_its_bytes(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    services = client.services
    moments = []

    def watch(part: Any, method: str) -> None:
        real = getattr(part, method)

        def watched(*args: Any, **options: Any) -> Any:
            done = real(*args, **options)
            listed = services.index.file(NormalizedName("demo"), path.name) is not None
            moments.append((method, listed, services.files.stat(path.name) is not None))
            return done

        monkeypatch.setattr(part, method, watched)

    for part, methods in ((services.files, ("save", "delete")), (services.index, ("put", "remove"))):
        for method in methods:
            watch(part, method)
    assert client.upload(path).status_code == 200
    assert moments == [("save", False, True), ("put", True, True)]
    assert client.request("DELETE", f"/packages/{path.name}").status_code == 200
    assert moments[-1][1:] == (False, False)
    assert not [moment for moment in moments if moment[1:] == (True, False)], moments


@pytest.mark.req("REQ-126", "REQ-125")
def test_a_new_project_is_in_the_list_of_every_reader(client: Client, tmp_path: Path) -> None:
    other = Client(client.services)
    tag = other.get("/simple/").headers["ETag"]
    client.upload(make_wheel(tmp_path, "New_Project", "1.0"))
    changed = other.get("/simple/", headers={"If-None-Match": tag})
    assert (changed.status_code, "new-project" in changed.text) == (200, True)
    assert [file["filename"] for file in files(other, "new-project")] == ["New_Project-1.0-py3-none-any.whl"]


@pytest.mark.req("REQ-129")
def test_what_is_not_utf_8_is_refused(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    fields = parts_of(path, name=None)
    name = part(b'name="name"', b"d\xe9mo")
    encoded = part(
        b'name="content"; filename="%s"\r\nContent-Transfer-Encoding: base64' % path.name.encode(),
        base64.b64encode(path.read_bytes()),
    )
    odd_name = part(b'name="content"; filename="d\xe9mo-1.0-py3-none-any.whl"', path.read_bytes())
    for parts in ((*fields, name, content(path)), (*fields, encoded), (*fields, odd_name)):
        assert post(client, *parts).status_code == 400
    assert stored(client.services) == {}
    assert post(client, *fields, content(path)).status_code == 200


INFO = "demo-1.0.dist-info"
WHEEL = {
    f"{INFO}/METADATA": metadata("demo", "1.0"),
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/RECORD": b"",
}
SDIST = {"demo-1.0/PKG-INFO": metadata("demo", "1.0")}


@pytest.mark.req("REQ-130", "REQ-131", "REQ-133")
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("demo-1.0-py3-none-any.whl", b"PK", "no zip file"),
        ("demo-1.0-py3-none-any.whl", tar_bytes(SDIST), "no zip file"),
        ("demo-1.0-py3-none-any.whl", zip_bytes(WHEEL) + tar_bytes(SDIST), "data follows"),
        ("demo-1.0-py3-none-any.whl", zip_bytes({**WHEEL, "../x": b""}), "leads out"),
        ("demo-1.0-py3-none-any.whl", zip_bytes({**WHEEL, "/x": b""}), "leads out"),
        ("demo-1.0-py3-none-any.whl", zip_bytes({**WHEEL, "a-1.dist-info/x": b""}), "has 2"),
        (
            "demo-1.0-py3-none-any.whl",
            zip_bytes({path: data for path, data in WHEEL.items() if "RECORD" not in path}),
            "RECORD",
        ),
        ("demo-2.0-py3-none-any.whl", zip_bytes(WHEEL), "does not belong"),
        ("other-1.0-py3-none-any.whl", zip_bytes(WHEEL), "does not belong"),
        ("demo-1.0-py3-none-any.whl", zip_bytes({**WHEEL, f"{INFO}/METADATA": metadata("x", "1.0")}), "'x'"),
        ("demo-1.0.tar.gz", zip_bytes(SDIST), "no gzip-compressed tar file"),
        ("demo-1.0.tar.gz", tar_bytes({"demo-1.0/setup.py": b""}), "PKG-INFO"),
        ("demo-1.0.tar.gz", tar_bytes({**SDIST, "x": b""}), "one folder"),
        ("demo-1.0.tar.gz", tar_bytes({**SDIST, "demo-1.0/../../x": b""}), "leads out"),
        ("demo-1.0.tar.gz", tar_bytes({"demo-1.0/PKG-INFO": metadata("demo", "2.0")}), "'2.0'"),
        ("demo-1.0.tar.gz", tar_bytes({"other-7/PKG-INFO": metadata("demo", "1.0")}), "other-7"),
        ("demo-1.0.tar.gz", tar_bytes({"x/PKG-INFO": metadata("demo", "1.0")}), "'x'"),
    ],
)
def test_a_file_that_is_not_what_it_seems_stores_nothing(
    client: Client, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    refused = client.upload(path)
    assert (refused.status_code, words in refused.text) == (400, True), refused.text
    assert stored(client.services) == {}


@pytest.mark.req("REQ-134")
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Demo.B-1.0.tar.gz", "Demo.B-1.0"),
        ("demo-b-1.0.tar.gz", "demo-b-1.0"),
        ("demo_b-1.0.0.tar.gz", "demo_b-1.0.0"),
        ("demo_b-1.0.zip", "demo_b-1.0"),
    ],
)
def test_older_spellings_are_taken_and_kept(client: Client, tmp_path: Path, name: str, folder: str) -> None:
    path = tmp_path / name
    members = {f"{folder}/PKG-INFO": metadata("Demo.B", "1.0")}
    path.write_bytes(zip_bytes(members) if name.endswith(".zip") else tar_bytes(members))
    assert client.upload(path, name="Demo.B", version="1.0").status_code == 200
    assert [file["filename"] for file in files(client)] == [name]
    assert stored(client.services) == {name: path.read_bytes()}


@pytest.mark.req("REQ-135")
def test_what_only_private_indexes_take(client: Client, tmp_path: Path) -> None:
    direct = ["x @ https://example.org/x.zip", "y @ git+ssh://git@example.org/y@v1"]
    paths = [
        make_wheel(tmp_path, "demo", "1.0+cu128.d20260101", requires_dist=direct),
        make_wheel(tmp_path, "demo", "1.0", tag="cp313-cp313-linux_x86_64"),
        make_wheel(tmp_path, "demo", "1.0", tag="cp313-cp313-pyemscripten_2025_0_wasm32"),
        make_wheel(tmp_path, "demo", "1.0", tag="py3-none-homemade_os"),
        make_sdist(tmp_path, "demo", "1.0+cu128"),
    ]
    for path in paths:
        answer = client.upload(path)
        assert answer.status_code == 200, answer.text
    assert {file["filename"] for file in files(client, "demo")} == {path.name for path in paths}


# ---- trusted publishing, bots and search


@pytest.mark.req("REQ-143")
@pytest.mark.parametrize(("method", "path"), [("GET", "audience"), ("HEAD", "audience"), ("POST", "mint-token")])
def test_clients_that_look_for_trusted_publishing_hear_no_at_once(client: Client, method: str, path: str) -> None:
    answer = client.request(method, f"/_/oidc/{path}", user=None)
    assert answer.status_code == 404
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.req("REQ-150")
def test_dependabot_reads_html(filled: Client) -> None:
    for path in PAGES:
        assert filled.get(path, headers={"Accept": PLAIN_HTML}).status_code == 200
        assert filled.get(path, headers={"Accept": PLAIN_HTML}, user="alice:x").status_code == 401
    page = filled.get("/simple/demo-b/", headers={"Accept": PLAIN_HTML}).text
    tags = re.findall(r"<a\b[^>]*>[^<]*</a>", page)
    versions = [re.sub(r"<[^>]*>", "", tag).split("-")[1].removesuffix(".tar.gz") for tag in tags]
    assert versions == ["0.9", "1.0+local.1", "1!0.1"]
    assert ["data-yanked" in tag for tag in tags] == [True, False, False]


@pytest.mark.req("REQ-152")
def test_renovate_reads_json(filled: Client) -> None:
    page = filled.get("/simple/demo-b/", headers={"Accept": PIP})
    assert page.mimetype == JSON
    for file in page.get_json(force=True)["files"]:
        assert file["upload-time"]
    assert filled.get("/simple/demo-b/", headers={"Accept": "application/json"}).status_code == 406
    assert filled.get("/simple/demo-b/").status_code == 200
    assert filled.get("/pypi/demo-b/json").get_json()["info"]["name"] == "Demo.B"


@pytest.mark.req("REQ-153")
def test_search_of_old_is_not_there(client: Client) -> None:
    call = b"<?xml version='1.0'?><methodCall><methodName>search</methodName></methodCall>"
    answer = client.request("POST", "/pypi", data=call, content_type="text/xml")
    assert (answer.status_code, answer.mimetype) == (200, "text/xml")
    assert "<fault>" in answer.text
