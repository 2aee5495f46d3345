"""The pages as strict readers see them: an HTML5 parser, pypi-simple and mousebender, with hostile text in them."""

import re
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import html5lib
import pypi_simple
import pytest
from mousebender import simple as mousebender

from elasticpypi.core.simple_api import HTML, JSON, PLAIN_HTML
from tests.support.application import Client
from tests.support.builders import make_sdist, make_wheel
from tests.support.store import put_straight

# Each line would leave its attribute, its element or the page if it were not escaped.
HOSTILE = [
    'bad "b" <i>&amp;</i> it\'s',
    '"></a><script>alert(1)</script><a href="x',
    "--><!-- ]]> &#x22; &quot; &notin; &",
    "\u00e9\u2713 \U0001f680 \u05d0 100% {{ 7*7 }} {% raw %}",
    "",
]
BASE = "https://h.example/dev/simple/demo-b/"


@pytest.fixture
def filled(client: Client, tmp_path: Path) -> Client:
    """A project with a hostile yank reason on each file, and one file as it should be."""
    for number, reason in enumerate(HOSTILE):
        path = make_wheel(tmp_path, "Demo.B", f"1!{number}.0+a.{number}", requires_python=f">=3.8,<4,!=3.{number}.*")
        assert client.upload(path).status_code == 200
        assert client.request("PUT", f"/packages/{path.name}.yanked", data=reason.encode()).status_code == 200
    assert client.upload(make_sdist(tmp_path, "Demo.B", "0.9")).status_code == 200
    assert client.upload(make_wheel(tmp_path, "A", "1.0")).status_code == 200
    return client


def set_status(client: Client, status: str, reason: str) -> None:
    done = client.request("PUT", "/packages/demo-b.status", data=f"{status}\n{reason}".encode())
    assert done.status_code == 200


@pytest.mark.req("REQ-15", "REQ-16")
def test_every_page_is_valid_html5(filled: Client) -> None:
    def check(page: bytes, anchors: int) -> Any:
        parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
        document = parser.parse(page)
        assert page.startswith(b"<!DOCTYPE html>\n")
        assert parser.documentEncoding == "utf-8"
        assert parser.compatMode == "no quirks"
        assert document.find("head/title").text
        assert [meta.get("charset") for meta in document.iter("meta") if meta.get("charset")] == ["utf-8"]
        versions = [meta for meta in document.iter("meta") if meta.get("name") == "pypi:repository-version"]
        assert [meta.get("content") for meta in versions] == ["1.4"]
        assert {element.tag for element in document.iter()} <= {"html", "head", "meta", "title", "body", "a", "br"}
        assert len(list(document.iter("a"))) == anchors
        return document

    for kind in (PLAIN_HTML, HTML):
        check(filled.get("/simple/", headers={"Accept": kind}).data, 2)
        page = check(filled.get("/simple/demo-b/", headers={"Accept": kind}).data, len(HOSTILE) + 1)
        assert [anchor.get("data-yanked") for anchor in page.iter("a")] == [None, *HOSTILE]
    check(filled.get("/legacy/+simple/demo-b/").data, len(HOSTILE) + 1)
    for reason in HOSTILE:
        set_status(filled, "archived", reason)
        page = check(filled.get("/simple/demo-b/").data, len(HOSTILE) + 1)
        said = {meta.get("name"): meta.get("content") for meta in page.iter("meta")}
        assert said.get("pypi:project-status-reason", "") == reason
    set_status(filled, "quarantined", HOSTILE[0])
    check(filled.get("/simple/demo-b/").data, 0)


@pytest.mark.req("REQ-15")
def test_an_empty_index_is_valid_html5(client: Client) -> None:
    html5lib.HTMLParser(strict=True).parse(client.get("/simple/").data)


def pypi_simple_reads(client: Client, accept: str) -> tuple[list[str], list[dict[str, Any]], Any]:
    root = client.get("/simple/", headers={"Accept": accept})
    page = client.get("/simple/demo-b/", headers={"Accept": accept})
    if accept == JSON:
        projects = pypi_simple.IndexPage.from_json_data(root.get_json(force=True))
        project = pypi_simple.ProjectPage.from_json_data(page.get_json(force=True), BASE)
    else:
        projects = pypi_simple.IndexPage.from_html(root.data, from_encoding="utf-8")
        project = pypi_simple.ProjectPage.from_html("demo-b", page.data, BASE, from_encoding="utf-8")
    assert projects.repository_version == project.repository_version == "1.4"
    found = [
        {
            "filename": package.filename,
            "url": package.url,
            "hashes": package.digests,
            "requires-python": package.requires_python,
            "core-metadata": package.metadata_digests,
            "yanked": package.is_yanked and (package.yanked_reason or True),
            **({"size": package.size, "upload-time": package.upload_time} if accept == JSON else {}),
        }
        for package in project.packages
    ]
    for package in project.packages:
        assert package.package_type in ("wheel", "sdist")
        assert (package.has_sig, package.provenance_url) == (None, None)
    return projects.projects, found, (project.status, project.status_reason)


def mousebender_reads(client: Client, accept: str) -> tuple[list[str], list[dict[str, Any]], Any]:
    root = client.get("/simple/", headers={"Accept": accept})
    page = client.get("/simple/demo-b/", headers={"Accept": accept})
    with warnings.catch_warnings():
        # Its newest release knows the API up to version 1.1 in HTML, and says so.
        warnings.simplefilter("ignore", mousebender.APIVersionWarning)
        projects = mousebender.parse_project_index(root.text, root.headers["Content-Type"])
        project: Any = mousebender.parse_project_details(page.text, page.headers["Content-Type"], "demo-b")
    found = [
        {
            "filename": file["filename"],
            "url": urljoin(BASE, file["url"]),
            "hashes": file["hashes"],
            "requires-python": file.get("requires-python"),
            "core-metadata": file.get("core-metadata"),
            "yanked": file.get("yanked", False),
            **({"size": file["size"], "upload-time": file["upload-time"]} if accept == JSON else {}),
        }
        for file in project["files"]
    ]
    assert project["name"] == "demo-b"
    return [each["name"] for each in projects["projects"]], found, None


@pytest.mark.req("REQ-15", "REQ-17")
def test_a_reason_that_was_put_into_the_store_is_one_clean_line(client: Client, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0")
    client.upload(wheel)
    put_straight(client.services, f"{wheel.name}.yanked", b"it\x00 breaks\r\nall\x0c\x1b of \xff it\n")
    put_straight(client.services, "demo.status", b"deprecated\nuse\x00\nother\r\n")
    page = client.get("/simple/demo/").text
    assert len(re.findall(r"^<a .*</a><br>$", page, re.MULTILINE)) == 1
    html5lib.HTMLParser(strict=True).parse(page)
    said: Any = client.json("/simple/demo/")
    assert said["files"][0]["yanked"].startswith("it")
    assert said["files"][0]["yanked"].isprintable()
    assert said["project-status"]["status"] == "deprecated"
    assert said["project-status"]["reason"].isprintable()


@pytest.mark.req("REQ-1", "REQ-16", "REQ-19", "REQ-20", "REQ-45", "REQ-51")
@pytest.mark.parametrize("read", [pypi_simple_reads, mousebender_reads])
def test_readers_find_what_we_say(filled: Client, read: Callable[[Client, str], Any]) -> None:
    set_status(filled, "deprecated", HOSTILE[1])
    ours: Any = filled.json("/simple/demo-b/")
    assert [file["yanked"] for file in ours["files"]] == [False, *(reason or True for reason in HOSTILE)]
    for accept in (JSON, HTML, PLAIN_HTML):
        projects, found, status = read(filled, accept)
        assert projects == ["a", "demo-b"]
        optional = {"requires-python": None, "core-metadata": None}
        if read is pypi_simple_reads:
            assert status == (pypi_simple.ProjectStatus.DEPRECATED, HOSTILE[1])
        for mine, theirs in zip(ours["files"], found, strict=True):
            expected = optional | mine | {"url": urljoin(BASE, mine["url"])}
            if accept != JSON:
                del expected["size"], expected["upload-time"]
            elif read is pypi_simple_reads:
                expected["upload-time"] = datetime.fromisoformat(mine["upload-time"])
            assert theirs == expected
