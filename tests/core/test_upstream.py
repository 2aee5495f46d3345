"""Pages of other indexes: what is true of them is kept, and nothing that an index sends breaks anything else."""

import gc
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from html import escape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.utils import NormalizedName

from elasticpypi.core import upstream, upstream_answer
from elasticpypi.core.filename import parse_stored
from elasticpypi.core.model import Project
from elasticpypi.core.simple_api import as_json, project_json, project_page
from elasticpypi.core.upstream import COLUMNS, BadAnswer, Gone, Listing, UpstreamFile, UpstreamPage, project_of
from tests.support.examples import examples
from tests.support.upstream_vectors import cases, ids

DEMO, JSON, HTML = NormalizedName("demo"), "application/vnd.pypi.simple.v1+json", "text/html"
URL = "https://index.example/simple/demo/"
SHA, OTHER, TIME = "ab" * 32, "cd" * 32, "2026-11-01T12:00:00.123456Z"
FOLDER = "packages/aa/bb/cc"
FILES = f"https://files.example/{FOLDER}"
many = settings(
    max_examples=examples(1000),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def read(text: bytes, media_type: str, url: str, name: NormalizedName, index: str) -> UpstreamPage:
    """What an index sent → its page."""
    return upstream_answer.read(text, media_type, url, name).page(index)


def load(kept: bytes, index: str) -> UpstreamPage:
    """What is kept → the page."""
    return upstream.load(kept).page(index)


def dump(page: UpstreamPage) -> bytes:
    """A page → what is kept of it."""
    columns = {name: [getattr(file, name) for file in page.files] for name in COLUMNS if page.files}
    gone = tuple((each.at, {name: getattr(each.file, name) for name in COLUMNS}) for each in page.gone)
    return upstream.dump(Listing(replace(page, files=(), gone=()), columns, gone))


def entry(filename: str = "demo-1.0-py3-none-any.whl", **changes: Any) -> dict[str, Any]:
    """A file as PyPI has it; ``without`` names keys that are not there."""
    values = {
        "filename": filename,
        "url": f"{FILES}/{filename}",
        "hashes": {"sha256": SHA},
        "requires-python": ">=3.9",
        "size": 7,
        "upload-time": TIME,
        "yanked": False,
        "core-metadata": {"sha256": OTHER},
        "data-dist-info-metadata": {"sha256": OTHER},
        "provenance": None,
    }
    values.update({key.replace("_", "-"): value for key, value in changes.items() if key != "without"})
    return {key: value for key, value in values.items() if key not in changes.get("without", ())}


def body(*files: Any, **page: Any) -> bytes:
    said = {"meta": {"api-version": "1.4", "_last-serial": 5}, "name": "demo", "files": list(files)}
    return json.dumps({**said, **{key.replace("_", "-"): value for key, value in page.items()}}).encode()


def page_of(*files: Any, **page: Any) -> UpstreamPage:
    return read(body(*files, **page), JSON, URL, DEMO, "main")


def html_of(text: str, url: str = URL) -> UpstreamPage:
    return read(text.encode(), HTML, url, DEMO, "main")


# ---- As PyPI has it


def test_a_file_of_pypi() -> None:
    [file] = page_of(entry()).files
    assert file == UpstreamFile(
        key="demo-1.0-py3-none-any.whl",
        project=DEMO,
        version="1.0",
        size=7,
        sha256=SHA,
        upload_time=TIME,
        revision=SHA,
        requires_python=">=3.9",
        metadata_sha256=OTHER,
        site="https://files.example/",
        path=f"{FOLDER}/demo-1.0-py3-none-any.whl",
        index="main",
    )
    assert file.url == f"{FILES}/demo-1.0-py3-none-any.whl"
    assert file.address == f"upstream/main/{FOLDER}/demo-1.0-py3-none-any.whl"


CASES = [case for case in cases("merge") if "upstream_entry" in case]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_what_is_shown_of_a_file(case: dict[str, Any]) -> None:
    shown, name = case["shown_entry"], NormalizedName("six")
    page = read(json.dumps({"files": [case["upstream_entry"]]}).encode(), JSON, URL, name, "main")
    [file] = project_page(Project(name, 1, page.files))["files"]
    assert file.pop("url") == f"../../upstream/main{shown.pop('url_ends_with')}"
    assert file == shown


def test_a_page_of_pypi() -> None:
    page = page_of(entry(), project_status={"status": "archived", "reason": "It moved."})
    assert (page.name, page.status, page.reason, page.serial, page.left_out) == (DEMO, "archived", "It moved.", 5, 0)
    assert not page.timeless
    assert page_of(entry(without=["upload-time"])).timeless
    assert not page_of().timeless


def test_files_are_in_the_order_of_their_versions_and_names() -> None:
    names = [
        *("demo-1.0rc1.tar.gz", "demo-1.0-cp39-cp39-win32.whl", "demo-1.0.tar.gz", "demo-1.0.post1.tar.gz"),
        *("demo-2.0-py3-none-any.whl", "demo-10.0-py3-none-any.whl", "demo-1!0.1-py3-none-any.whl"),
    ]
    for files in (names, names[::-1], [*names[3:], *names[:3]]):
        page = page_of(*map(entry, files))
        assert [file.filename for file in page.files] == names
    assert Project(DEMO, 1, page.files).versions == ["1.0rc1", "1.0", "1.0.post1", "2.0", "10.0", "1!0.1"]


def test_equal_versions_are_one_release_that_of_its_first_file() -> None:
    files = (
        entry("demo-1.0.0-py3-none-any.whl", upload_time="2026-11-02T00:00:00.000000Z"),
        entry("demo-1.0.tar.gz", upload_time="2026-11-01T00:00:00.000000Z"),
        entry("demo-2-py3-none-any.whl"),
    )
    for some in (files, files[::-1]):
        page = page_of(*some)
        assert [(file.version, file.filename) for file in page.files] == [
            ("1.0", "demo-1.0.0-py3-none-any.whl"),
            ("1.0", "demo-1.0.tar.gz"),
            ("2", "demo-2-py3-none-any.whl"),
        ]


# ---- What others have, and what nobody should


OLD = "2.0", "cp27-none-win32"
SHOWN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no times": ({"upload-time": None}, {"upload_time": ""}),
    "a time in seconds": ({"upload-time": "2026-11-01T12:00:00Z"}, {"upload_time": "2026-11-01T12:00:00.000000Z"}),
    "a time elsewhere": ({"upload-time": "2026-11-01T14:00:00+02:00"}, {"upload_time": "2026-11-01T12:00:00.000000Z"}),
    "a time without a zone": ({"upload-time": "2026-11-01 12:00"}, {"upload_time": "2026-11-01T12:00:00.000000Z"}),
    "a time that is none": ({"upload-time": "2026-13-01T12:00:00.000000Z"}, {"upload_time": ""}),
    "a time of other digits": ({"upload-time": "\u0662026-11-01T12:00:00.000000Z"}, {"upload_time": ""}),
    "a time before all times": ({"upload-time": "0001-01-01T00:00:00+14:00"}, {"upload_time": ""}),
    "an early time": ({"upload-time": "0999-01-01T00:00:00Z"}, {"upload_time": "0999-01-01T00:00:00.000000Z"}),
    "a time after all times": ({"upload-time": "9999-12-31T23:59:59-14:00"}, {"upload_time": ""}),
    "a time as a number": ({"upload-time": 1796040000}, {"upload_time": ""}),
    "a long time": ({"upload-time": TIME * 1000}, {"upload_time": ""}),
    "no size": ({"size": None}, {"size": -1}),
    "a size as a text": ({"size": "7"}, {"size": -1}),
    "a size as a truth": ({"size": True}, {"size": -1}),
    "a negative size": ({"size": -7}, {"size": -1}),
    "a huge size": ({"size": 10**30}, {"size": -1}),
    "half a byte": ({"size": 7.5}, {"size": -1}),
    "any Python": ({"requires-python": None}, {"requires_python": None}),
    "an empty range of Pythons": ({"requires-python": ""}, {"requires_python": None}),
    "Pythons as a list": ({"requires-python": [">=3"]}, {"requires_python": None}),
    "Pythons in two lines": ({"requires-python": ">=3.9,\n <4\x00"}, {"requires_python": ">=3.9, <4"}),
    "Pythons in half a letter": ({"requires-python": ">=3\ud800"}, {"requires_python": ">=3"}),
    "yanked": ({"yanked": True}, {"yanked": ""}),
    "yanked for a reason": ({"yanked": "It <b>breaks\x1b[0m\n</b>."}, {"yanked": "It <b>breaks [0m </b>."}),
    "yanked for a long reason": ({"yanked": "x" * 2000}, {"yanked": "x" * 1000}),
    "yanked for an empty reason": ({"yanked": ""}, {"yanked": None}),
    "yanked as a number": ({"yanked": 1}, {"yanked": ""}),
    "yanked as a table": ({"yanked": {"reason": "x"}}, {"yanked": ""}),
    "metadata without a digest": ({"core-metadata": True}, {"metadata_sha256": None}),
    "no metadata": ({"core-metadata": False, "data-dist-info-metadata": False}, {"metadata_sha256": None}),
    "metadata as PEP 691": ({"core-metadata": None, "dist-info-metadata": {"sha256": SHA}}, {"metadata_sha256": SHA}),
    "metadata as PEP 658": ({"core-metadata": None}, {"metadata_sha256": OTHER}),
    "metadata of another digest": ({"core-metadata": {"md5": "ab"}}, {"metadata_sha256": None}),
    "metadata with a bad digest": ({"core-metadata": {"sha256": "xyz"}}, {"metadata_sha256": None}),
    "a digest in capitals": ({"hashes": {"sha256": SHA.upper(), "md5": "x"}}, {"sha256": SHA}),
    "a query": ({"url": f"{FILES}/demo-1.0-py3-none-any.whl?token=1#sha256=12"}, {"path": f"{FOLDER}/{{name}}"}),
    "a fragment": ({"url": f"{FILES}/demo-1.0-py3-none-any.whl#egg"}, {"path": f"{FOLDER}/{{name}}"}),
    "http": ({"url": "http://files.example/demo-1.0-py3-none-any.whl"}, {"site": "http://files.example/"}),
    "another port": ({"url": "https://f:8443/demo-1.0-py3-none-any.whl"}, {"site": "https://f:8443/"}),
    "a relative link": (
        {"url": "../../p/demo-1.0-py3-none-any.whl"},
        {"site": "https://index.example/", "path": "p/{name}"},
    ),
    "a path": ({"url": "/p/demo-1.0-py3-none-any.whl"}, {"site": "https://index.example/", "path": "p/{name}"}),
    "no scheme": ({"url": "//f.example/p/demo-1.0-py3-none-any.whl"}, {"site": "https://f.example/"}),
    "a link that says no name": ({"url": "https://f.example/get?id=5"}, {"path": f"{SHA}/{{name}}"}),
    "dots in the path": ({"url": f"{FILES}/../demo-1.0-py3-none-any.whl"}, {"path": f"{SHA}/{{name}}"}),
    "hidden dots": ({"url": f"{FILES}/%2e%2e/demo-1.0-py3-none-any.whl"}, {"path": f"{SHA}/{{name}}"}),
    "an empty folder": ({"url": "https://f.example/a//demo-1.0-py3-none-any.whl"}, {"path": f"{SHA}/{{name}}"}),
    "an empty first folder": ({"url": "https://f.example//demo-1.0-py3-none-any.whl"}, {"path": f"{SHA}/{{name}}"}),
    "a slash that is none": ({"url": "https://f.example/a%2Fdemo-1.0-py3-none-any.whl"}, {"path": "a%2F{name}"}),
}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside others"])
@pytest.mark.parametrize("what", SHOWN)
def test_what_is_taken_of_a_file(what: str, alone: bool) -> None:
    changes, expected = SHOWN[what]
    others = [] if alone else [entry("demo-0.1-py3-none-any.whl"), entry("demo-0.2.tar.gz", core_metadata=False)]
    page = page_of(*others, {**entry(), **changes})
    assert page.left_out == 0
    file = page.files[-1]
    for field, value in expected.items():
        wanted = value.format(name=file.filename) if field == "path" else value
        assert (field, getattr(file, field)) == (field, wanted)
    rest = {field: getattr(file, field) for field in expected} | {"site": file.site, "path": file.path}
    [usual] = page_of(entry()).files
    assert replace(file, link="", **{name: getattr(usual, name) for name in rest}) == usual


def test_the_link_of_a_file_stays_what_it_is() -> None:
    for link, url in (
        (f"{FILES}/demo-1.0-py3-none-any.whl?token=1#sha256=12", f"{FILES}/demo-1.0-py3-none-any.whl?token=1"),
        ("https://f.example/get?id=5", "https://f.example/get?id=5"),
        ("https://f.example/a%2Fdemo-1.0-py3-none-any.whl", "https://f.example/a%2Fdemo-1.0-py3-none-any.whl"),
        ("../../p/demo-1.0-py3-none-any.whl", "https://index.example/p/demo-1.0-py3-none-any.whl"),
    ):
        [file] = page_of(entry(url=link)).files
        assert file.url == url


LEFT_OUT: dict[str, Any] = {
    "no table": [],
    "nothing": None,
    "a number": 5,
    "an empty table": {},
    "an egg": entry("demo-1.0-py3.9.egg"),
    "an installer": entry("demo-1.0.win32.exe"),
    "another installer": entry("demo-1.0.win-amd64-py2.7.msi"),
    "a package of another system": entry("demo-1.0-1.noarch.rpm"),
    "a signature": entry("demo-1.0.tar.gz.asc"),
    "another project": entry("other-1.0.tar.gz"),
    "a project whose name begins so": entry("demo-more-1.0.tar.gz"),
    "no version": entry("demo.tar.gz"),
    "a version that is none": entry("demo-latest.tar.gz"),
    "a name with a slash": entry("../demo-1.0.tar.gz"),
    "a name with a space": entry("demo-1.0 .tar.gz"),
    "a name with a control character": entry("demo-1.0\x00.tar.gz"),
    "a name with a tag": entry("demo-1.0-py3-none-<b>.whl"),
    "a name of letters that look alike": entry("d\u0435mo-1.0.tar.gz"),
    "a name with half a letter": entry("demo-1.0\ud800.tar.gz"),
    "a long name": entry(f"demo-1.0-py3-none-{'x' * 300}.whl"),
    "a name of too few parts": entry("demo-1.0-py3.whl"),
    "a name of too many parts": entry("demo-1.0-1-2-py3-none-any.whl"),
    "no name": entry(without=["filename"]),
    "a name as a number": entry(filename=5),  # type: ignore[arg-type]
    "no digests": entry(without=["hashes"]),
    "digests as a list": entry(hashes=[SHA]),
    "md5 alone": entry(hashes={"md5": "ab" * 16}),
    "half a digest": entry(hashes={"sha256": "ab" * 16}),
    "a digest of other letters": entry(hashes={"sha256": "xy" * 32}),
    "a digest with an underscore": entry(hashes={"sha256": "a_" * 32}),
    "a digest as a number": entry(hashes={"sha256": 12}),
    "no link": entry(without=["url"]),
    "an empty link": entry(url=""),
    "a link as a list": entry(url=[FILES]),
    "a file of the machine": entry(url="file:///etc/demo-1.0-py3-none-any.whl"),
    "a program": entry(url="javascript:alert(1)//demo-1.0-py3-none-any.whl"),
    "a link with a password": entry(url="https://user:secret@files.example/demo-1.0-py3-none-any.whl"),
    "a link to half an address": entry(url="https://[::1/demo-1.0-py3-none-any.whl"),
    "a link to no port": entry(url="https://files.example:99999/demo-1.0-py3-none-any.whl"),
    "a link with a backslash": entry(url="https://files.example\\@evil.example/demo-1.0-py3-none-any.whl"),
    "a link with quotes": entry(url='https://files.example/"><script>/demo-1.0-py3-none-any.whl'),
    "a link with a space": entry(url="https://files.example/a b/demo-1.0-py3-none-any.whl"),
    "a link in letters of its own": entry(url="https://files.example/\u00e4/demo-1.0-py3-none-any.whl"),
    "a long link": entry(url=f"{FILES}/{'x' * 5000}/demo-1.0-py3-none-any.whl"),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_no_installer_takes_is_left_out(what: str) -> None:
    good = entry("demo-3.0-py3-none-any.whl")
    for files in ([LEFT_OUT[what], good], [good, LEFT_OUT[what]]):
        page = page_of(*files)
        assert [file.version for file in page.files] == ["3.0"]
        assert page.left_out == 1
    assert page_of(LEFT_OUT[what]).files == ()


def test_each_link_is_read_as_if_it_were_alone() -> None:
    """What is known of the last one makes the next one faster, and no other."""
    links = [
        "https://a.example/p/{}",
        "/p/{}",
        "https://a.example/{}",
        "https://a.example/p//{}",
        "http://a.example/p/{}",
    ]
    links += [
        "https://a.example/../{}",
        "https://a.example.org/p/{}",
        "https://a.example/p/q/{}",
        "\na/{}",
        "https:///x/{}",
    ]
    names = [f"demo-{number}.tar.gz" for number in range(len(links))]
    entries = [entry(name, url=link.format(name), upload_time=None) for name, link in zip(names, links, strict=True)]
    alone = [file for each in entries for file in page_of(each).files]
    assert list(page_of(*entries).files) == list(page_of(*entries[::-1]).files) == alone
    assert len(alone) == len(links)


def test_one_file_of_a_name() -> None:
    first, second = entry(), entry(url=f"{FILES}/other/demo-1.0-py3-none-any.whl", hashes={"sha256": OTHER})
    page = page_of(first, second)
    assert ([file.sha256 for file in page.files], page.left_out) == ([SHA], 1)


def test_old_sdists_are_files() -> None:
    names = [f"demo-1.{number}{suffix}" for number, suffix in enumerate(upstream.SDISTS)]
    assert [file.filename for file in page_of(*map(entry, names)).files] == names


def test_other_spellings_of_the_name_are_this_project() -> None:
    name = NormalizedName("zope-interface")
    names = ["zope.interface-1.0.tar.gz", "zope_interface-2.0-py3-none-any.whl", "Zope-Interface-3.0.zip"]
    page = read(body(*map(entry, names), name="Zope.Interface"), JSON, URL, name, "main")
    assert [file.filename for file in page.files] == names


@pytest.mark.parametrize("version", ["1.0", "1.4", "1.99", None, " 1.1 ", 1, 1.1])
def test_versions_of_the_standard_that_are_read(version: Any) -> None:
    assert len(page_of(entry(), meta={"api-version": version}).files) == 1


BAD: dict[str, bytes] = {
    "nothing": b"",
    "half of it": body(entry())[:-20],
    "no JSON": b"<html></html>",
    "no table": b"[]",
    "null": b"null",
    "no files": b'{"name": "demo"}',
    "files as null": b'{"files": null}',
    "files as a table": b'{"files": {"a": 1}}',
    "an error": b'{"message": "Not Found"}',
    "another project": body(name="other"),
    "a long name": body(name="demo" * 10_000_000),
    "version 2": body(meta={"api-version": "2.0"}),
    "version 2 as a number": body(meta={"api-version": 2}),
    "version 10": body(meta={"api-version": "10.0"}),
    "a version that is none": body(meta={"api-version": []}),
    "deep": b'{"files": ' + b"[" * 500_000,
    "deep tables": b'{"files": [' + b'{"a":' * 500_000,
    "many lists": b'{"files": [' + b"[],[]," * 2_000_000 + b"[]]}",
    "many tables": b'{"files": [' + b"{},{}," * 2_000_000 + b"{}]}",
    "many numbers": b'{"files": [' + b"1," * 5_000_000 + b"1]}",
    "a long number": b'{"files": [' + b"1" * 10_000 + b"]}",
    "bytes": bytes(range(256)),
    "half a letter": b'{"files": "\xff"}',
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_true_is_a_bad_answer(what: str) -> None:
    with pytest.raises(BadAnswer) as raised:
        read(BAD[what], JSON, URL, DEMO, "main")
    text = str(raised.value)
    assert text.endswith(".")
    assert text.isprintable()
    assert len(text) < 300


def test_there_is_a_most_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_answer, "MOST", 3)
    files = [entry(f"demo-{number}.tar.gz") for number in range(4)]
    assert len(page_of(*files[:3]).files) == 3
    with pytest.raises(BadAnswer, match="more than 3"):
        page_of(*files)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"status": "quarantined", "reason": "a\nb"}, ("quarantined", "a b")),
        ({"status": "archived"}, ("archived", "")),
        ({"status": "something new", "reason": 5}, ("active", "")),
        ({"status": ["archived"]}, ("active", "")),
        ("archived", ("active", "")),
        (None, ("active", "")),
        ({"status": "deprecated", "reason": "\ud800" + "x" * 5000}, ("deprecated", "x" * 999)),
    ],
)
def test_the_status_of_a_project(status: Any, expected: tuple[str, str]) -> None:
    page = page_of(entry(), project_status=status)
    assert (page.status, page.reason) == expected


@pytest.mark.parametrize(
    ("serial", "expected"),
    [(7, 7), ("8", 8), (None, 0), (True, 0), (-1, 0), (1.5, 0), ("x", 0), (10**30, 0), ("\u0663", 0), ([], 0)],
)
def test_the_serial_of_a_page(serial: Any, expected: int) -> None:
    assert page_of(entry(), meta={"_last-serial": serial}).serial == expected


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_of_cycles_goes_on_as_before(collects: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(lambda _: page_of(entry()), range(50)):
                pass
        with pytest.raises(BadAnswer):
            read(b"{", JSON, URL, DEMO, "main")
        load(dump(page_of(entry())), "main")
        assert gc.isenabled() == collects
    finally:
        (gc.enable if was else gc.disable)()


# ---- HTML


def test_a_page_of_pypi_in_html() -> None:
    page = html_of(f"""<!DOCTYPE html>
<html><head><meta name="pypi:repository-version" content="1.4"><meta name="pypi:project-status" content="archived">
<meta name="pypi:project-status-reason" content="It moved."><title>Links for demo</title></head>
<body><h1>Links for demo</h1>
<a href="{FILES}/demo-1.0-py3-none-any.whl#sha256={SHA}" data-requires-python="&gt;=3.9" data-dist-info-metadata=
"sha256={OTHER}" data-core-metadata="sha256={OTHER}">demo-1.0-py3-none-any.whl</a><br />
</body></html><!--SERIAL 5-->""")
    [file] = page.files
    [usual] = page_of(entry()).files
    assert file == replace(usual, upload_time="", size=-1)
    assert (page.status, page.reason, page.left_out) == ("archived", "It moved.", 0)


def link(href: str = "demo-1.0.tar.gz", attributes: str = "", text: str = "demo") -> str:
    return f'<a href="{href}#sha256={SHA}" {attributes}>{text}</a>'


LINKS: dict[str, tuple[str, dict[str, Any]]] = {
    "relative": (link("../../f/demo-1.0.tar.gz"), {"url": "https://index.example/f/demo-1.0.tar.gz"}),
    "a base": (f'<base href="https://b.example/x/y">{link()}', {"url": "https://b.example/x/demo-1.0.tar.gz"}),
    "a relative base": (
        f'<base href="../../x/">{link("../../demo-1.0.tar.gz")}',
        {"url": "https://index.example/demo-1.0.tar.gz"},
    ),
    "two bases": (f'<base href="/x/"><base href="/y/">{link()}', {"url": "https://index.example/x/demo-1.0.tar.gz"}),
    "http": (link("http://f.example/demo-1.0.tar.gz"), {"url": "http://f.example/demo-1.0.tar.gz"}),
    "a query": (link("/demo-1.0.tar.gz?a=1&amp;b=2"), {"url": "https://index.example/demo-1.0.tar.gz?a=1&b=2"}),
    "capitals": (link().replace("<a href", "<A HREF").replace("</a>", "</A>"), {}),
    "without quotes": (f"<a href=demo-1.0.tar.gz#sha256={SHA}>demo", {}),
    "white space": (link().replace('href="', 'href=" \n'), {}),
    "another text": (link(text="demo-9.9-py3-none-any.whl"), {"filename": "demo-1.0.tar.gz"}),
    "an encoded name": (link("demo-1.0%2Bx.tar.gz"), {"filename": "demo-1.0+x.tar.gz", "version": "1.0+x"}),
    "yanked": (link(attributes="data-yanked"), {"yanked": ""}),
    "yanked, empty": (link(attributes='data-yanked=""'), {"yanked": ""}),
    "yanked for a reason": (link(attributes='data-yanked="a &lt;b&gt;"'), {"yanked": "a <b>"}),
    "Pythons": (link(attributes='data-requires-python="&gt;=3"'), {"requires_python": ">=3"}),
    "Pythons as they should not be": (link(attributes='data-requires-python=">=3"'), {"requires_python": ">=3"}),
    "metadata": (link(attributes=f'data-core-metadata="sha256={OTHER}"'), {"metadata_sha256": OTHER}),
    "metadata of a digest unknown": (link(attributes='data-core-metadata="true"'), {"metadata_sha256": None}),
    "a time of some": (
        link(attributes='data-upload-time="2026-11-01T12:00:00Z"'),
        {"upload_time": TIME[:20] + "000000Z"},
    ),
    "more in the fragment": (link().replace("#", "#egg=x&"), {"sha256": SHA}),
    "not closed": (f"<html><body>{link()}<a href='", {}),
    "a comment": (f"<!-- {link('demo-2.0.tar.gz')} -->{link()}", {}),
    "no letters": (link() + "\x00\ufffd&#xd800;&nosuch;", {}),
}


@pytest.mark.parametrize("what", LINKS)
def test_links_of_html(what: str) -> None:
    text, expected = LINKS[what]
    [file] = html_of(text).files
    for field, value in ({"version": "1.0", "filename": "demo-1.0.tar.gz"} | expected).items():
        assert (field, getattr(file, field)) == (field, value)


def test_what_is_no_file_in_html() -> None:
    page = html_of(
        f'<a href="../">up</a> <a>no link</a> <a href>empty</a> <a href="https://[x/#sha256={SHA}">bad</a>'
        f'<a href="demo-1.0.tar.gz">no digest</a> <a href="demo-1.1.tar.gz#md5=0123">md5</a>'
        f'<a href="demo-1.0.egg#sha256={SHA}">egg</a> {link("demo-2.0.tar.gz")}'
    )
    assert ([file.version for file in page.files], page.left_out) == (["2.0"], 7)


@pytest.mark.parametrize("text", ["", "no page", f"{{{FILES}}}"])
def test_what_is_no_html(text: str) -> None:
    with pytest.raises(BadAnswer, match="neither"):
        html_of(text)


@pytest.mark.parametrize(
    "text",
    [
        '<meta name="pypi:repository-version" content="2.0">',
        '<base href="https://[x/">',
        "<![foo[ x ]]>",
        "<html><form action='/login'><input name='user'></form></html>",
        "<script>location = '/login'</script>",
    ],
)
def test_bad_html(text: str) -> None:
    with pytest.raises(BadAnswer):
        html_of(text)


def test_a_project_without_files() -> None:
    assert html_of("<!DOCTYPE html><html><body><h1>Links for demo</h1></body></html>").files == ()


# ---- Names in addresses


@pytest.mark.parametrize(
    "filename",
    ["demo-1.0.tar.gz", "Demo_X-1.0-py3-none-any.whl", "a-b-1.0.zip", "a.b-1!1.0+x-1-cp39-abi3-win32.whl", "x-1.tgz"],
)
def test_the_project_of_an_address(filename: str) -> None:
    named = parse_stored(filename)
    assert named is not None
    assert project_of(f"a/b/{filename}") == project_of(filename) == named.project


@pytest.mark.parametrize(
    "path", ["", "/", "demo", "demo-1.0.egg", "-1.0.tar.gz", "d\u00e4mo-1.0.tar.gz", "a-1.0.whl", "x" * 999]
)
def test_addresses_of_no_project(path: str) -> None:
    assert project_of(path) is None


@pytest.mark.sampled
@many
@given(
    st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9._-]{1,20}-[0-9.]{1,5}(-[a-z0-9]{1,4}){0,5}\.(whl|tar\.gz|zip)")
)
def test_any_text_is_a_path(path: str) -> None:
    project, named = project_of(path), parse_stored(path.rpartition("/")[2])
    assert project == named.project if named else True


# ---- What is kept


def test_what_is_kept_is_the_page() -> None:
    page = page_of(
        entry(),
        entry("demo-1.0.tar.gz", yanked="for a reason", core_metadata=False, data_dist_info_metadata=False),
        entry("demo-2.0.tar.gz", yanked=True, requires_python=None, upload_time=None, size=None, url="/get?x=1"),
        {"left": "out"},
        project_status={"status": "deprecated", "reason": 'w\u00e4s "x"'},
    )
    seen = replace(page, files=(*page.files[:2], replace(page.files[2], first_seen=TIME)))
    gone = tuple(Gone(file, TIME) for file in page.files)
    for each in (page, seen, page_of(), replace(page_of(entry()), left_out=5), replace(page, gone=gone, taken=("a",))):
        assert load(dump(each), "main") == each
    assert {file.index for file in load(dump(page), "other").files} == {"other"}


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: b"",
        lambda kept: b"[]",
        lambda kept: b"[" * 100_000,
        lambda kept: kept[:-1],
        lambda kept: kept.partition(b"\n")[0],
        lambda kept: kept + b"\n",
        lambda kept: kept.replace(b"[3,", b"[2,", 1),
        lambda kept: kept.replace(b"[3,", b"[4,", 1),
        lambda kept: b"\xff" + kept,
        lambda kept: b'[[1,"demo","active","",0,0],[]]',
        lambda kept: kept.replace(b"\n7\n", b"\nx\n", 1),
    ],
)
def test_what_is_not_kept_by_us_is_a_bad_answer(change: Callable[[bytes], bytes]) -> None:
    kept = dump(page_of(entry(), entry("demo-1.0.tar.gz")))
    with pytest.raises(BadAnswer):
        load(change(kept), "main")


# ---- Anything at all


PARTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([SHA, TIME, "1.0", "2.0", "demo", FILES, "demo-1.0.tar.gz", "../", ">=3", "sha256"]),
)
ANYTHING = st.recursive(
    PARTS,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3),
    max_leaves=8,
)
KEYS = ["filename", "url", "hashes", "requires-python", "size", "upload-time", "yanked", "core-metadata"]
KEYS += ["data-dist-info-metadata", "dist-info-metadata"]
VERSIONS = st.sampled_from(["1.0", "1.0.0", "2.0rc1", "1!3", "1.0+x", "01.5", "2_0", "x"])
NAMES = st.builds(
    "{}-{}{}".format,
    st.sampled_from(["demo", "Demo", "other"]),
    VERSIONS,
    st.sampled_from([".tar.gz", "-py3-none-any.whl", ".egg"]),
)
ENTRIES = st.builds(
    lambda name, changes: {**entry(name), **changes},
    NAMES,
    st.just({}) | st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=2),
)


def check(page: UpstreamPage) -> None:
    """What every page has to be, whatever it was made of."""
    assert load(dump(page), "main") == page
    names = [file.filename for file in page.files]
    assert len({*names}) == len(names)
    assert len({file.path for file in page.files}) == len(names)
    for file in page.files:
        texts = (file.key, file.version, file.sha256, file.upload_time, file.requires_python, file.yanked, file.url)
        assert all(text is None or text.isprintable() for text in texts)
        assert project_of(file.path) == page.name
        if file.upload_time:
            datetime.fromisoformat(file.upload_time)
    project = Project(page.name, 1, page.files, status=page.status, status_reason=page.reason)
    shown = project_page(project)
    assert project_json(project) == as_json(shown)
    escape(json.dumps(shown, ensure_ascii=False)).encode()  # as HTML does


@pytest.mark.sampled
@many
@given(
    st.dictionaries(st.sampled_from(["meta", "name", "files", "project-status"]), ANYTHING),
    st.lists(ENTRIES | ANYTHING),
)
def test_any_json(page: dict[str, Any], files: list[Any]) -> None:
    for said in (page, {"files": files}, {"files": files, **page}):
        try:
            check(read(json.dumps(said).encode(), JSON, URL, DEMO, "main"))
        except BadAnswer:
            continue


@pytest.mark.sampled
@many
@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    for media_type in (JSON, HTML, ""):
        try:
            check(read(content, media_type, URL, DEMO, "main"))
        except BadAnswer:
            continue


PIECES = [
    "<a ",
    "href=",
    '"',
    "'",
    ">",
    "</a>",
    "<!--",
    "-->",
    "<![",
    "<base ",
    "<meta ",
    "<?",
    "&lt;",
    "#sha256=",
    SHA,
]
PIECES += [
    "demo-1.0.tar.gz",
    "data-yanked",
    "https://",
    "[",
    "//",
    "\\",
    "?",
    " ",
    "\n",
    "<script>",
    "name=",
    "content=",
]


@pytest.mark.sampled
@many
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=40).map("".join))
def test_any_html(text: str) -> None:
    with suppress(BadAnswer):
        check(html_of(text))


@pytest.mark.sampled
@many
@given(st.lists(ENTRIES, max_size=6))
def test_one_look_at_all_files_gives_what_a_look_at_each_gives(files: list[dict[str, Any]]) -> None:
    text = body(*files)
    with pytest.MonkeyPatch.context() as patch:
        found = read(text, JSON, URL, DEMO, "main")
        patch.setattr(upstream_answer._Page, "_all_as_on_pypi", lambda *_: ())
        assert read(text, JSON, URL, DEMO, "main") == found
    check(found)


ONE_LOOK = {  # a page that has such links → what all paths on it begin with
    "as on PyPI": (FILES, FOLDER),
    "from the page up": ("../../packages/aa", "packages/aa"),
    "from the page up to a folder": ("../files/aa", "simple/files/aa"),
    "from the site": ("/files", "files"),
    "without a scheme": ("//files.example/aa", "aa"),
}


@pytest.mark.parametrize(("links", "paths"), ONE_LOOK.values(), ids=ONE_LOOK)
def test_a_page_of_many_files_needs_one_look(monkeypatch: pytest.MonkeyPatch, links: str, paths: str) -> None:
    """Or a page of 46,724 files takes three times as long."""
    names = "demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz", "demo-2.0-1-py3-none-any.whl"
    entries = [entry(name, url=f"{links}/{name}") for name in names]
    entries[1].update({"core-metadata": False, "data-dist-info-metadata": False, "requires-python": None})
    entries[2]["yanked"] = "broken"
    with monkeypatch.context() as patch:
        patch.setattr(upstream_answer._Page, "_all_as_on_pypi", lambda *_: ())
        one_by_one = page_of(*entries)
    monkeypatch.setattr(upstream_answer._Page, "add", lambda *_: pytest.fail("a file is looked at for itself"))
    page = page_of(*entries)
    assert page == one_by_one
    assert [file.path for file in page.files] == [f"{paths}/{name}" for name in names]
    assert [file.yanked for file in page.files] == [None, None, "broken"]


@pytest.mark.parametrize("odd", ["../x/../", "../x/./", "../x y/", "../%78/", "../x/?", "../../../"])
def test_odd_links_are_looked_at_one_by_one(odd: str) -> None:
    names = "demo-1.0.tar.gz", "demo-2.0.tar.gz"
    entries = [entry(name, url=f"{odd}{name}") for name in names]
    found = page_of(*entries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upstream_answer._Page, "_all_as_on_pypi", lambda *_: ())
        assert page_of(*entries) == found
    check(found)
    assert page_of(entries[0]).files == found.files[:1]
