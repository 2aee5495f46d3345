"""Odd uploads, over HTTP and over bare sockets: one sentence, nothing stored, and the server goes on.

The tables of bad files and forms of ``test_distribution.py`` and the archives of ``test_archive.py`` are sent over
HTTP here, to see that store and index stay as they were; the rest is what those files leave out.
"""

import base64
import gzip
import hashlib
import io
import json
import re
import select
import socket
import struct
import tarfile
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from elasticpypi.core.archive import core_metadata, tars
from elasticpypi.core.distribution import SINGLE, check_upload
from elasticpypi.core.keys import unsign
from elasticpypi.services import Services
from elasticpypi.storage.local.directory import DirectoryFiles
from tests.support.application import Client, basic
from tests.support.archives import (
    CORE,
    GOOD_TAR,
    INFO,
    MEMBERS,
    SDIST,
    WHEEL,
    bomb,
    member,
    packed,
    padded,
    pax,
    tar_member,
    tar_with,
    zip_with,
)
from tests.support.archives import refused as unreadable
from tests.support.builders import BOUNDARY, MULTIPART, make_sdist, make_wheel, tar_bytes, upload_form, zip_bytes
from tests.support.serving import Server
from tests.support.store import forget, state, stored
from tests.support.uploads import CORES, REFUSED, md5, one_line, part

MEGABYTE = 1024 * 1024


def form_body(path: Path, disposition: str | None = None, **changes: str | None) -> bytes:
    """What twine sends for a file, with ``disposition`` instead of its file name."""
    fields = b"".join(part(name, value) for name, value in upload_form(path, **changes).items())
    more = f'; filename="{path.name}"' if disposition is None else disposition
    return fields + part("content", path.read_bytes(), more) + f"--{BOUNDARY}--\r\n".encode()


class Refusals:
    """Sends one bad upload after the other to an index that has a file, and sees that nothing comes of them."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.folder = folder / "refused"
        self.folder.mkdir()
        assert client.upload(make_wheel(folder, "bystander", "1.0")).status_code == 200
        self.before = state(client.services)

    def check(self, case: object, response: TestResponse, code: int = 400) -> str:
        assert response.status_code == code, (case, response.text)
        sentence = one_line(response)
        assert state(self.client.services) == self.before, case
        return sentence

    def file(self, name: str, data: bytes, **changes: str | None) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return self.check(name, self.client.upload(path, **changes))

    def body(self, case: object, data: bytes, content_type: str = MULTIPART, code: int = 400) -> str:
        response = self.client.request("POST", "/legacy/", data=data, content_type=content_type)
        return self.check(case, response, code)


@pytest.fixture
def refusals(client: Client, tmp_path: Path) -> Refusals:
    return Refusals(client, tmp_path)


# ---- forms


def test_forms_that_do_not_fit(refusals: Refusals, tmp_path: Path) -> None:
    wheel, sdist = make_wheel(tmp_path, "demo-b", "1.0"), make_sdist(tmp_path, "demo-b", "1.0")
    for changes, sentence in REFUSED:
        assert refusals.check(changes, refusals.client.upload(wheel, **changes)).startswith(sentence)
    more: list[tuple[Path, dict[str, str | None]]] = [
        (wheel, {":action": action})
        for action in ("doc_upload", "verify", "remove_pkg", "FILE_UPLOAD", "\0", "x" * 9999)
    ]
    more += [(wheel, {"protocol_version": version}) for version in ("0", "1.0", "one", "1" * 9999)]
    more += [(path, {"filetype": kind}) for path in (wheel, sdist) for kind in ("", "UNKNOWN", "bdist_wininst", "x")]
    more += [
        (sdist, {"filetype": "bdist_wheel"}),
        (sdist, {"pyversion": "py3"}),
        # One digest is wrong, the others are right.
        (wheel, {"md5_digest": "00" * 16, "sha256_digest": None}),
        (wheel, {"md5_digest": "00" * 16, "blake2_256_digest": None}),
        (wheel, {"blake2_256_digest": "00" * 32, "md5_digest": md5(wheel)}),
        (wheel, {"sha256_digest": "00" * 32, "md5_digest": md5(wheel)}),
        (wheel, {"sha256_digest": "ab " * 21 + "a"}),
        (wheel, {"sha256_digest": "\uff10" * 64}),
        (wheel, {"md5_digest": "A" * 22 + "\x00\x01\x1b[31m<script>"}),
        (wheel, {"md5_digest": "\u00e9" * 24}),
        (wheel, {"blake2_256_digest": "0" * 1_000_000}),
        (wheel, {"name": "d" * 1_000_000}),
        (wheel, {"name": "d\u00e9mo"}),
        (wheel, {"name": "demo\u017f"}),
        (wheel, {"name": "../demo"}),
        (wheel, {"version": "1.0\r\nX-Header: y"}),
        (wheel, {"version": "1" * 5000}),  # more digits than int() takes
        (wheel, {"version": "1!" + "1" * 5000}),
    ]
    for path, changes in more:
        said = refusals.check(changes, refusals.client.upload(path, **changes))
        assert "was ever registered" not in said  # REQ-118: poetry would try something else


def test_fields_that_come_twice_or_as_a_file(refusals: Refusals, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    end = f"--{BOUNDARY}--\r\n".encode()
    for field in SINGLE:
        value = {**upload_form(path), "md5_digest": md5(path)}.get(field, "x")
        body = form_body(path, **{field: value})
        twice = body.removesuffix(end) + part(field, value) + end
        assert refusals.body(field, twice).startswith(f"The field {field!r} is in the form 2 times")
        as_file = form_body(path, **{field: None}).removesuffix(end) + part(field, value, '; filename="x"') + end
        assert refusals.body(field, as_file).startswith(f"The field {field!r} came as a file")
    twice = form_body(path).removesuffix(end) + part("content", b"text") + end
    assert "has one file in the field 'content'" in refusals.body("content", twice)


def test_forms_that_are_larger_than_any(refusals: Refusals, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    refusals.body("description", form_body(path, description="x" * 17 * MEGABYTE), code=413)
    parts = part("classifiers", "a") * 20_001
    refusals.body("classifiers", parts + form_body(path), code=413)
    refusals.body("header", part("x", b"y", headers=f"X: {'y' * 17 * MEGABYTE}\r\n") + form_body(path), code=413)


def test_forms_that_are_taken(client: Client, tmp_path: Path) -> None:
    """What clients send, or may send, and what must not matter."""

    def changed(**changes: str | None) -> Callable[[Path], bytes]:
        return lambda path: form_body(path, **changes)

    def before(*parts: bytes) -> Callable[[Path], bytes]:
        return lambda path: b"".join(parts) + form_body(path)

    def file_first(path: Path) -> bytes:
        content = part("content", path.read_bytes(), f'; filename="{path.name}"')
        fields = b"".join(part(name, value) for name, value in upload_form(path).items())
        return content + fields + f"--{BOUNDARY}--\r\n".encode()

    cases: dict[str, Callable[[Path], bytes]] = {
        "10 MB": changed(description="x" * 10_000_000),
        "5000 classifiers": before(part("classifiers", "Topic :: x") * 5000),
        "summary": changed(summary="x" * 5000),
        "keywords": before(part("keywords", "a,b"), part("keywords", "c")),
        "UNKNOWN": changed(name="UNKNOWN", version="UNKNOWN", pyversion="UNKNOWN", metadata_version="UNKNOWN"),
        "empty": changed(name="", version="", pyversion="", protocol_version="", md5_digest="", requires_python=""),
        "spaces": changed(name=" demo\n", version=" 1.0 ", filetype=" bdist_wheel "),
        "junk that is not looked at": changed(requires_python="junk", requires_dist="junk junk", metadata_version="9"),
        "not UTF-8": before(part("summary", b"\xff\xfe\x00")),
        "names of fields": before(part("", "x"), part("\u00e9" * 1000, "x"), part("__proto__", "x")),
        "signature": before(part("gpg_signature", b"-----BEGIN", '; filename="x.asc"')),
        "signature as text": changed(gpg_signature="-----BEGIN"),
        "file first": file_first,
        "preamble": lambda path: b"This is a message in MIME format.\r\n" + form_body(path) + b"\r\nepilogue",
        "headers of the part": lambda path: form_body(path).replace(
            b'.whl"\r\n', b'.whl"\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: binary\r\n', 1
        ),
        "name after RFC 2231": lambda path: form_body(path, f"; filename*=UTF-8''{path.name}"),
        "two spellings of the name": lambda path: form_body(path, f"; filename=x; filename*=UTF-8''{path.name}"),
        "bare name": lambda path: form_body(path, f"; filename={path.name}"),
    }
    for number, (case, body) in enumerate(cases.items()):
        path = make_wheel(tmp_path, "demo", "1.0" if case == "spaces" else f"2.{number}")
        response = client.request("POST", "/legacy/", data=body(path), content_type=MULTIPART)
        assert response.status_code == 200, (case, response.text)
        assert response.text == f"{path.name} is in the index.\n"
        assert stored(client.services)[path.name] == path.read_bytes()
    page: Any = client.json("/simple/demo/")
    assert len(page["files"]) == len(stored(client.services)) == len(cases)


def test_a_form_may_be_in_the_address(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    action: dict[str, str | None] = {":action": None, "protocol_version": None}
    assert client.upload(path, "/legacy/?:action=submit", **action).status_code == 400
    assert client.upload(path, "/legacy/?:action=file_upload&protocol_version=1", **action).status_code == 200


def test_content_types_that_are_no_form(refusals: Refusals, tmp_path: Path) -> None:
    body = form_body(make_wheel(tmp_path, "demo", "1.0"))
    for content_type in (
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\u00e9",
        f"multipart/form-data; boundary={'x' * 5000}",
        f"multipart/form-data; charset=utf-16; boundary={BOUNDARY}x",
        f"multipart/mixed; boundary={BOUNDARY}",
        f"text/plain; boundary={BOUNDARY}",
        "application/octet-stream",
        "application/json",
        "application/x-www-form-urlencoded",
        ";;;=",
    ):
        refusals.body(content_type, body, content_type)


URLENCODED = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", ["/legacy/", "/uploads/", "/manage/upload", "/manage/yank"])
def test_a_form_that_is_larger_than_any_form_costs_no_memory(client: Client, path: str) -> None:
    body = b"a=b&" * 5_000_000
    tracemalloc.start()
    try:
        answer = client.request("POST", path, data=body, content_type=URLENCODED)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    one_line(answer)
    assert taken < 4 * len(body)  # a few copies of what came, not forty


@pytest.mark.parametrize("path", ["/legacy/", "/uploads/"])
def test_a_form_has_a_bounded_number_of_fields(client: Client, path: str) -> None:
    for content_type, body in (URLENCODED, b"a=b&" * 20_001), (MULTIPART, part("a", "b") * 20_001 + b"--b0undary--"):
        answer = client.request("POST", path, data=body, content_type=content_type)
        assert answer.status_code == 413
        assert answer.text == "The form of the upload has too many fields, or too large ones.\n"


@pytest.mark.parametrize("headers", ["Content-Type: multipart/x{}\r\n", "X: {}\r\n", "X:\r\n {}\r\n"])
@pytest.mark.parametrize("more", ["", '; filename="x.whl"'])
def test_the_headers_of_a_part_are_bounded(client: Client, headers: str, more: str) -> None:
    for long, status in ((';a="' * 30_000, 413), (';a="' * 10_000, 400)):
        body = part("content", "x", more, headers.format(long)) + b"--b0undary--"
        answer = client.request("POST", "/legacy/", data=body, content_type=MULTIPART)
        assert answer.status_code == status
        one_line(answer)
    named = part("content" + ";a='" * 30_000, "x", more) + b"--b0undary--"
    assert client.request("POST", "/legacy/", data=named, content_type=MULTIPART).status_code == 413


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/manage/yank", "/manage/delete", "/manage/status", "/packages/demo.status"])
def test_what_is_no_upload_has_a_small_body(client: Client, method: str, path: str) -> None:
    for content_type in (URLENCODED, f"multipart/form-data; boundary={BOUNDARY}", "text/plain"):
        answer = client.request(method, path, data=b"a" * 70_000, content_type=content_type)
        assert answer.status_code in (400, 403, 404, 405, 413), (content_type, answer.text)
        if content_type == URLENCODED and method == "POST" and path.startswith("/manage/"):
            assert answer.status_code == 413
            assert answer.text == (
                "A request that is no upload has at most 65536 bytes here: upload files at /legacy/.\n"
            )


def test_attestations_and_licenses_are_not_looked_at(client: Client, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0", license_file=["LICENSE"], license_expression="MIT")
    response = client.upload(path, attestations="no json")
    assert response.status_code == 200
    assert "The attestations were not kept" in response.text


# ---- names


NAMES = [
    "; filename=\"../{name}\"",
    "; filename=\"..\\\\{name}\"",
    "; filename=\"/{name}\"",
    "; filename=\"a/{name}\"",
    "; filename=\"a\\\\{name}\"",
    "; filename=\"C:{name}\"",
    "; filename=\"..\"",
    "; filename=\".{name}\"",
    "; filename=\"-{name}\"",
    "; filename=\" {name}\"",
    "; filename=\"{name} \"",
    "; filename=\"{name}.\"",
    "; filename=\"{name}\0\"",
    "; filename=\"\0{name}\"",
    "; filename=\"{name}\n\"",
    "; filename=\"{name}%0D%0AX-Header: y\"",
    "; filename=\"%2e%2e%2f{name}\"",
    "; filename=\"d\u00e9{name}\"",
    "; filename=\"\u202e{name}\"",
    "; filename=\"\\\"{name}\\\"\"",
    "; filename=\"'{name}'\"",
    "; filename=\"<b>{name}\"",
    "; filename=\"{long}{name}\"",
    "; filename=\"{name}{long}\"",
    "; filename=\"\"",
    "; filename=",
    "; filename",
    "",
    "; filename*=UTF-8''..%2F{name}",
    "; filename*=UTF-8''{name}%00",
    "; filename*=UTF-8''d%FF{name}",
    "; filename*=''",
    "; filename*0=\"../\"; filename*1=\"{name}\"",
    "; filename*0*=UTF-8''..%2F; filename*1=\"{name}\"",
    "; filename=\"{name}\"; filename=\"../{name}\"",
    "; filename=\"{name}.status\"",
    "; filename=\"{name}.yanked\"",
    "; filename=\"{name}.deleted\"",
    "; filename=\"{name}.metadata\"",
    "; filename=\"demo.status\"",
    "; filename=\"demo-1.0.tar.bz2\"",
    "; filename=\"demo-1.0.egg\"",
    "; filename=\"demo-1.0-py3-none-any.WHL\"",
    "; filename=\"demo-1.0-py3-none.whl\"",
    "; filename=\"demo-1.0-x-py3-none-any.whl\"",
    "; filename=\"demo--py3-none-any.whl\"",
    "; filename=\"demo-1.0-{digits}-py3-none-any.whl\"",
    "; filename=\"demo-{digits}-py3-none-any.whl\"",
    "; filename=\"CON\"",
]  # fmt: skip


def test_names_that_are_no_file_names(refusals: Refusals, tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    for disposition in NAMES:
        filled = disposition.format(name=path.name, long="x" * 300, digits="1" * 5000)
        refusals.body(disposition, form_body(path, filled))
    outside = [each.name for each in tmp_path.iterdir()]
    assert sorted(outside) in (
        ["bystander-1.0-py3-none-any.whl", "data", path.name, "refused"],
        ["bystander-1.0-py3-none-any.whl", path.name, "refused"],
    )


# ---- what is in the file


def test_metadata_that_does_not_fit(refusals: Refusals) -> None:
    for core, sentence in CORES:
        assert refusals.file(WHEEL.filename, wheel_of(core)).startswith(sentence)
        refusals.file(SDIST.filename, tar_bytes({"demo-1.0/PKG-INFO": core}))


def wheel_of(core: bytes) -> bytes:
    return zip_bytes({**MEMBERS, f"{INFO}/METADATA": core})


def core(*lines: str, version: str = "1.0", metadata_version: str = "2.1", text: str = "") -> bytes:
    head = (f"Metadata-Version: {metadata_version}", "Name: demo", f"Version: {version}")
    return ("\n".join((*head, *lines)) + f"\n\n{text}").encode()


@cache
def odd_cores() -> dict[str, bytes]:
    """Fifty megabytes, for those who need them."""
    parts = "".join(f"--{n}\nContent-Type: multipart/mixed; boundary={n + 1}\n\n" for n in range(3000))
    return {
        "more digits than int() takes": core(version="1" * 5000),
        "such an epoch": core(version="1" * 5000 + "!1.0"),
        "such a local version": core(version="1.0+" + "1" * 5000),
        "half a megabyte of version": core(version="1." * 250_000 + "0"),
        "many parentheses": core(f"Requires-Dist: x; {'(' * 5000}"),
        "many parentheses that fit": core(f"Requires-Dist: x; {'(' * 5000}os_name == 'a'{')' * 5000}"),
        "specifiers without an end": core(f"Requires-Dist: x{'>=1,' * 250_000}>=1"),
        "messages in messages": core("Content-Type: message/rfc822", text="Content-Type: message/rfc822\n\n" * 5000),
        "parts in parts": core("Content-Type: multipart/mixed; boundary=0", text=parts),
        "a Requires-Python that no record can hold": core(f"Requires-Python: {'>=3.8,' * 80_000}>=3"),
        "a folded name": b"Metadata-Version: 2.1\nName: demo\n x\nVersion: 1.0\n",
        "two names": b"Metadata-Version: 2.1\nName: demo\nName: demo\nVersion: 1.0\n",
        "no headers": b"\nMetadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        "UTF-16": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n".encode("utf-16"),
        "50 MB": core(text="x" * 50_000_000),
    }


def test_metadata_that_breaks_parsers(refusals: Refusals) -> None:
    for case, data in odd_cores().items():
        start = time.monotonic()
        refusals.file(WHEEL.filename, wheel_of(data))
        refusals.file(SDIST.filename, tar_bytes({"demo-1.0/PKG-INFO": data}))
        assert time.monotonic() - start < 10, case


def test_metadata_that_costs_time(client: Client, tmp_path: Path) -> None:
    """Many different headers: the parser of ``email`` looks each one up among all."""
    path = make_wheel(tmp_path, "demo", "1.0", core=core(*(f"X{number:x}:" for number in range(60_000))))
    start = time.monotonic()
    response = client.upload(path)
    assert response.status_code == 400, response.text
    one_line(response)
    assert stored(client.services) == {}
    assert time.monotonic() - start < 10


TAKEN_CORES = {
    "newer minor version": core(metadata_version="2.99"),
    "direct URL": core("Requires-Dist: x @ https://example.com/x.zip ; python_version < '4'"),
    "a folded Requires-Python": core("Requires-Python: >=3.8,\n <4"),
    "text with everything": core("Content-Type: multipart/mixed; boundary=x", text="--x\n\n\x00\u20ac\n--x--\n"),
    "bad encoding": core("Content-Transfer-Encoding: base64", text="!!!"),
    "carriage returns": core("Summary: x").replace(b"\n", b"\r\n"),
    "a NUL": core("Summary: \0"),
    "some parentheses": core(f"Requires-Dist: x; {'(' * 20}os_name == 'a'{')' * 20}"),
    "requirements": core(*["Requires-Dist: x"] * 5000),
}


def test_metadata_that_is_taken(client: Client, tmp_path: Path) -> None:
    for case, data in TAKEN_CORES.items():
        for name, content in (
            (WHEEL.filename, wheel_of(data)),
            (SDIST.filename, tar_bytes({"demo-1.0/PKG-INFO": data})),
        ):
            path = tmp_path / name
            path.write_bytes(content)
            response = client.upload(path)
            assert response.status_code == 200, (case, response.text)
            one_line(response)
        page: Any = client.json("/simple/demo/")
        assert [file["filename"] for file in page["files"]] == [WHEEL.filename, SDIST.filename], case
        assert client.get("/simple/demo/").text.count("<a ") == 2, case
        assert client.get("/pypi/demo/json").status_code == 200, case
        assert client.get(f"/packages/{WHEEL.filename}.metadata").data == data, case
        for name in (WHEEL.filename, SDIST.filename):
            assert client.request("DELETE", f"/packages/{name}").status_code == 200
            client.services.files.delete(f"{name}.deleted")
            forget(client.services, f"{name}.deleted")


def test_archives_that_cannot_be_read(refusals: Refusals) -> None:
    zipped, tar = zip_bytes(MEMBERS), tar_bytes({"demo-1.0/PKG-INFO": CORE})
    for data in (
        *(b"", b"x", tar, gzip.compress(zipped), zipped[:-30], zipped[:100], b"#!/bin/sh\n" + zipped, zipped + tar),
        *(zipped + b"x", zipped[:-22], zipped[:-22] * 2 + zipped[-22:], b"PK\x05\x06" + bytes(18), tar + zipped),
        *(zip_with(change) for change in ("duplicate", "bzip2", "lzma", "encrypted")),
        *(zip_bytes({**MEMBERS, path: b""}) for path in ("../x", "a/../../x", "/etc/x", "C:\\x", "C:x", "a\\b")),
        *(zip_bytes({path: b"" for path in MEMBERS if not path.endswith(lost)}) for lost in ("TA", "EEL", "RD")),
        zip_bytes({**MEMBERS, "a!b": b""}).replace(b"a!b", b"a\0b"),
        zip_bytes({}),
        zip_bytes({**MEMBERS, "other-1.0.dist-info/METADATA": CORE}),
        zip_bytes({**MEMBERS, "a\nb\x1b[31m.dist-info/x": b""}),
        zip_bytes({**MEMBERS, f"{'x' * 9999}.dist-info/x": b""}),
        zip_bytes({"other-1.0.dist-info" + path.removeprefix(INFO): data for path, data in MEMBERS.items()}),
        zip_bytes({"demo-2.0.dist-info" + path.removeprefix(INFO): data for path, data in MEMBERS.items()}),
        zip_bytes({f"a/{path}": data for path, data in MEMBERS.items()}),
        bomb(f"{INFO}/METADATA", 100_000_000),
        bomb("demo.py", 100_000_000),
    ):
        refusals.file(WHEEL.filename, data)
    for data in (
        *(b"", b"x", zipped, gzip.compress(zipped), tar[:-9], tar[:20], tar + b"x", tar + zipped, gzip.compress(b"")),
        gzip.decompress(tar),
        gzip.compress(b"") + zipped,
        tar_bytes({}),
        tar_bytes({"demo-1.0/PKG-INFO": CORE, "other/x": b""}),
        tar_bytes({"PKG-INFO": CORE}),
        tar_bytes({"a\nb\x1b[31m/x": CORE}),
        tar_bytes({f"{'x' * 9999}/x": CORE}),
        tar_bytes({"demo-1.0/a/PKG-INFO": CORE}),
        tar_with(member("demo-1.0/PKG-INFO", tarfile.REGTYPE)),
        *(tar_bytes({"demo-1.0/PKG-INFO": CORE, path: b""}) for path in ("../x", "a/../../x", "/etc/x", "C:\\x")),
        *(tar_with(member("demo-1.0/x", kind)) for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)),
        *(tar_with(member("demo-1.0/x", tarfile.SYMTYPE, link)) for link in ("../../x", "/etc/passwd")),
        tar_with(member("demo-1.0/x", tarfile.LNKTYPE, "../x")),
        gzip.compress(tar_member("\udcff/x") + bytes(1024)),  # the top folder is not UTF-8
        gzip.compress(tar_member("x", tarfile.GNUTYPE_LONGNAME, 10**10)),
        gzip.compress(tar_member("x", tarfile.XHDTYPE, 512) + padded(b"9" * 400) + tar_member("demo-1.0/x")),
        gzip.compress(tar_member("x", tarfile.XHDTYPE, 512) + padded(b"99999999 path=x\n") + tar_member("demo-1.0/x")),
        gzip.compress(
            GOOD_TAR + b"".join(tar_member("x", tarfile.XHDTYPE, 11) + padded(b"11 path=ab\n") for _ in "x" * 2000)
        ),
    ):
        refusals.file(SDIST.filename, data)
    refusals.file("demo-1.0.zip", tar)
    refusals.file("demo-1.0.zip", zipped)


def old_sparse(blocks: int, last: bool) -> bytes:
    """A sparse member as GNU tar once wrote it: a chain of blocks with 21 entries each."""
    header = bytearray(tar_member("demo-1.0/x", tarfile.GNUTYPE_SPARSE))
    header[482] = 1  # a block of entries follows
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    block = b"00000000001\0" * 42 + b"\1" + bytes(7)
    return bytes(header) + block * blocks + (block[:504] + bytes(8) if last else b"")


SPARSE_1_0 = pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "demo-1.0/x"})
HUGE_HEADERS = {
    "GNU long name": (tar_member("x", tarfile.GNUTYPE_LONGNAME, 60_000_000), *[b"x" * 1_000_000] * 60),
    "GNU long link": (tar_member("x", tarfile.GNUTYPE_LONGLINK, 60_000_000), *[b"x" * 1_000_000] * 60),
    "pax digits": (tar_member("x", tarfile.XHDTYPE, 60_000_000), *[b"1" * 1_000_000] * 60),
    "pax digits in a smaller header": (tar_member("x", tarfile.XHDTYPE, 250_000), padded(b"1" * 250_000)),
    "pax for all": (tar_member("x", tarfile.XGLTYPE, 60_000_000), *[b"1" * 1_000_000] * 60),
    "sparse without an end": (old_sparse(0, False),),
    "old sparse": (old_sparse(0, False), *[old_sparse(2000, True)[512:]] * 20),
    "sparse 1.0": (SPARSE_1_0, tar_member("demo-1.0/x", size=60_000_000), b"999999999\n", *[b"1\n" * 500_000] * 60),
    "sparse 0.1": (pax({"GNU.sparse.map": ",".join("1" * 1000)}), tar_member("demo-1.0/x")),
    "sparse 0.1, not numbers": (pax({"GNU.sparse.map": "1,x"}), tar_member("demo-1.0/x")),
}


@pytest.mark.parametrize("case", HUGE_HEADERS)
def test_headers_of_a_tar_file_are_bounded(case: str) -> None:
    """``tarfile`` reads them whole before it shows a member."""
    data = packed(GOOD_TAR, *HUGE_HEADERS[case], bytes(1024))
    start = time.monotonic()
    unreadable(data, SDIST)
    assert time.monotonic() - start < 5


def test_a_long_header_in_a_large_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file may unpack to 50 times as much, but no header may."""
    monkeypatch.setattr(tars, "SMALL", 1 << 40)
    data = packed(
        GOOD_TAR, tar_member("x", tarfile.GNUTYPE_LONGNAME, 200_000_000), *[bytes(1_000_000)] * 200, bytes(512)
    )
    start = time.monotonic()
    assert "no gzip-compressed tar" not in unreadable(data, SDIST)
    assert time.monotonic() - start < 5


def test_two_directories_in_one_zip_file() -> None:
    """A zip64 end record in the comment of the last member: other readers would see other members."""
    hidden = {**MEMBERS, f"{INFO}/METADATA": CORE + b"hidden"}
    inner = zip_bytes(hidden)
    count, length, offset = struct.unpack("<10xHII2x", inner[-22:])
    bodies, directory = inner[:offset], bytearray(inner[offset : offset + length])
    start = stored_zip({**MEMBERS, "last": bodies}).index(bodies)
    place = 0
    while place < length:
        (where,) = struct.unpack_from("<I", directory, place + 42)
        struct.pack_into("<I", directory, place + 42, where + start)
        place += 46 + sum(struct.unpack_from("<3H", directory, place + 28))

    def outer(begin: int, claimed: int) -> bytes:
        record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, begin)
        locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, claimed, 1)
        return stored_zip({**MEMBERS, "last": bodies}, bytes(directory) + record + locator)

    end = len(outer(0, 0)) - 98
    data = outer(end - length, end)
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        assert zipped.read(f"{INFO}/METADATA").endswith(b"hidden")
    assert "end records of the archive disagree" in unreadable(data)
    full = data[:-14] + b"\xff" * 12 + bytes(2)  # the record of old points to the newer one
    assert "belongs to no member" in unreadable(full)


def stored_zip(members: dict[str, bytes], comment: bytes = b"") -> bytes:
    """A zip file whose last member has a comment."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for path, data in members.items():
            info = zipfile.ZipInfo(path)
            info.comment = comment if path == list(members)[-1] else b""
            zipped.writestr(info, data)
    return buffer.getvalue()


def test_a_zip64_locator_that_points_elsewhere() -> None:
    """``zipfile`` of older Pythons reads the record before the locator, whatever the locator says."""
    data = stored_zip({**MEMBERS, "x": b""})
    count, length, offset = struct.unpack("<10xHII2x", data[-22:])
    decoy = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 0, 0)
    members, directory = data[:offset], data[offset : offset + length]
    place = len(members)  # the decoy claims a directory of no bytes just before itself
    decoy = decoy[:40] + struct.pack("<QQ", 0, place)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, place + 56)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, place, 1)
    ending = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    unreadable(members + decoy + directory + record + locator + ending)


class Sparse(io.FileIO):
    """A file in which zeros take no room."""

    def write(self, data: Any, /) -> int:
        if len(data) > 4096 and not any(data[:64]) and bytes(data) == bytes(len(data)):
            self.seek(len(data), io.SEEK_CUR)
            return len(data)
        return super().write(data)


@pytest.mark.slow
def test_two_gigabytes_are_checked_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / WHEEL.filename
    with Sparse(path, "w") as file, zipfile.ZipFile(file, "w") as zipped:
        for name, data in MEMBERS.items():
            zipped.writestr(name, data)
        with zipped.open(zipfile.ZipInfo("demo/data.bin"), "w", force_zip64=True) as stream:
            for _ in range(2048):
                stream.write(bytes(MEGABYTE))
    assert path.stat().st_size > 2048 * MEGABYTE
    assert path.stat().st_blocks * 512 < MEGABYTE
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        form = {":action": ["file_upload"], "filetype": ["bdist_wheel"], "sha256_digest": [digest]}
        start = time.monotonic()
        tracemalloc.start()
        try:
            dist = check_upload(form, path.name, content)
            assert tracemalloc.get_traced_memory()[1] < 50_000_000
        finally:
            tracemalloc.stop()
    assert time.monotonic() - start < 60
    assert (dist.size, dist.sha256, dist.metadata) == (path.stat().st_size, digest, CORE)


# ---- several at once


def test_the_same_bytes_at_the_same_time(tmp_path: Path, services: Services) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    clients = [Client(services) for _ in range(4)]
    start = threading.Barrier(4)
    turn = threading.Lock()

    def upload(client: Client) -> int:
        if isinstance(services.files, DirectoryFiles):
            start.wait()
            return client.upload(path).status_code
        with turn:  # the emulated table cannot take two calls at once
            return client.upload(path).status_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(upload, clients)) == [200] * 4
    assert stored(services) == {path.name: path.read_bytes()}
    page: Any = clients[0].json("/simple/demo/")
    assert len(page["files"]) == 1


@pytest.mark.parametrize("status", ["archived", "quarantined"])
def test_a_project_that_takes_nothing(client: Client, tmp_path: Path, status: str) -> None:
    assert client.upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 200
    assert client.request("PUT", "/packages/demo.status", data=status.encode()).status_code == 200
    before = state(client.services)
    response = client.upload(make_sdist(tmp_path, "Demo", "2.0"))
    assert response.status_code == 403
    assert status in one_line(response)
    assert state(client.services) == before


def test_the_limit_is_that_of_the_file(services: Services, tmp_path: Path) -> None:
    small = Client(replace(services, config=replace(services.config, max_upload=1000)))
    path = make_wheel(tmp_path, "demo", "1.0")
    assert path.stat().st_size < 1000
    assert small.upload(path, description="x" * 10_000).status_code == 200
    before = state(services)
    response = small.upload(make_wheel(tmp_path, "demo", "2.0", files={"x": bytes(range(256)) * 8}))
    assert response.status_code == 413
    one_line(response)
    assert state(services) == before


# ---- bare sockets


CREDENTIALS = "alice:pa:ss"


class Live:
    """A running server with MAX_UPLOAD=1, a file in it, and a wheel to send."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder / "data", USERS=CREDENTIALS, MAX_UPLOAD="1")
        self.packages, self.incoming = folder / "data" / "packages", folder / "data" / "packages" / ".incoming"
        host, port = self.server.url.removeprefix("http://").split(":")
        self.address = (host, int(port))
        self.wheel = make_wheel(folder, "demo", "1.0")
        self.body = form_body(self.wheel)
        bystander = make_wheel(folder, "bystander", "1.0")
        assert b" 200 OK\r\n" in self.send(self.head(form_body(bystander)), form_body(bystander))

    def stored(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.packages.iterdir() if path.is_file()}

    def head(self, body: bytes | None, *headers: str, method: str = "POST", path: str = "/legacy/") -> bytes:
        """The head of a request; of an upload of ``body``, None to tell its length otherwise."""
        length = () if body is None else (f"Content-Length: {len(body)}",)
        authorization = f"Authorization: {basic(CREDENTIALS)}"
        fixed = ("Host: localhost", "Connection: close", authorization, f"Content-Type: {MULTIPART}")
        return "\r\n".join([f"{method} {path} HTTP/1.1", *fixed, *length, *headers, "", ""]).encode("latin-1")

    def send(self, *pieces: bytes | float, hang_up: bool = False) -> bytes:
        """What comes back for these bytes, with pauses between them; ``hang_up`` says that no more will come."""
        answer = b""
        with socket.create_connection(self.address, 30) as connection:
            try:
                for piece in pieces:
                    if isinstance(piece, float):
                        time.sleep(piece)
                        continue
                    for some in pieces_of(piece, 65536):
                        if select.select([connection], [], [], 0)[0]:
                            answer += connection.recv(65536)
                            if answer != b"HTTP/1.1 100 Continue\r\n\r\n":  # it has decided
                                break
                        connection.sendall(some)
                if hang_up:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            try:
                while received := connection.recv(65536):
                    answer += received
            except ConnectionError:
                pass
        return answer

    def check(self, case: str, before: dict[str, bytes]) -> None:
        """Nothing was stored or left behind, nothing was logged as an error, and the next request is answered."""
        assert self.server.open("/simple/bystander/", CREDENTIALS).status == 200, case
        assert self.stored() == before, case
        self.server.wait_for(lambda: not list(self.incoming.iterdir()))
        said = "".join(self.server.said)
        assert "Traceback" not in said, case
        assert "ERROR" not in said, case


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    live = Live(tmp_path_factory.mktemp("live"))
    yield live
    live.server.process.kill()
    live.server.process.wait()
    for stream in (live.server.process.stdout, live.server.process.stderr):
        assert stream is not None
        stream.close()


def chunks(data: bytes, size: int = 1000) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces_of(data, size))


def pieces_of(data: bytes, size: int) -> Iterable[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def sentence(answer: bytes) -> str:
    """The body of a refusal that the application sent."""
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    assert re.search(rb"(?im)^content-type: text/plain", head), answer
    text = body.decode()
    assert re.fullmatch(r"[^\n]{1,500}\n", text), answer
    assert "pa:ss" not in text
    return text


@cache
def big() -> bytes:
    """More than this server takes."""
    return part("content", b"x" * 40_000_000, '; filename="demo-1.0.tar.gz"')


CHUNKED = "Transfer-Encoding: chunked"
# What goes over the wire, whether the client then hangs up, and the status of the answer; 0: granian itself
# refuses, with a 4xx and no text, or by closing the connection.
Wire = tuple[Callable[[Live], tuple[bytes | float, ...]], bool, int]
WIRES: dict[str, Wire] = {
    "truncated": (lambda s: (s.head(s.body), s.body[:-100]), True, 400),
    "truncated in the file": (lambda s: (s.head(s.body), s.body[: -len(s.wheel.read_bytes()) // 2]), True, 400),
    "truncated in the last boundary": (lambda s: (s.head(s.body), s.body[:-4]), True, 400),
    "nothing of the body": (lambda s: (s.head(s.body),), True, 400),
    "length too long": (lambda s: (s.head(s.body + b"x" * 50), s.body), True, 400),
    "length too short": (lambda s: (s.head(s.body[:-50]), s.body), False, 400),
    "length zero": (lambda s: (s.head(b""), s.body), False, 400),
    "length missing": (lambda s: (s.head(None), s.body), False, 400),
    "length negative": (lambda s: (s.head(None, "Content-Length: -1"), s.body), False, 0),
    "length with a plus": (lambda s: (s.head(None, f"Content-Length: +{len(s.body)}"), s.body), False, 0),
    "length not a number": (lambda s: (s.head(None, "Content-Length: many"), s.body), False, 0),
    "length empty": (lambda s: (s.head(None, "Content-Length:"), s.body), False, 0),
    "length beyond 64 bits": (lambda s: (s.head(None, f"Content-Length: {'9' * 30}"), s.body), False, 0),
    "two lengths": (lambda s: (s.head(s.body, f"Content-Length: {len(s.body) - 1}"), s.body), False, 0),
    "a list of lengths": (lambda s: (s.head(None, f"Content-Length: {len(s.body)}, 5"), s.body), False, 0),
    "length over the limit": (lambda s: (s.head(None, f"Content-Length: {10**12}"), s.body), False, 413),
    "length over the limit, no body": (lambda s: (s.head(big()),), False, 413),
    "expect, length over the limit": (lambda s: (s.head(big(), "Expect: 100-continue"),), False, 413),
    "body over the limit": (lambda s: (s.head(big()), big()), False, 413),
    "body over the limit, length too short": (lambda s: (s.head(big()[:100]), big()), False, 400),
    "chunks over the limit": (lambda s: (s.head(None, CHUNKED), chunks(big(), 100_000)), False, 413),
    "one chunk over the limit": (lambda s: (s.head(None, CHUNKED), b"%x\r\n" % len(big()), big()), False, 413),
    "chunks truncated": (lambda s: (s.head(None, CHUNKED), chunks(s.body)[:-300]), True, 400),
    "chunks that end early": (lambda s: (s.head(None, CHUNKED), chunks(s.body[:-300]) + b"0\r\n\r\n"), False, 400),
    "chunk size no number": (lambda s: (s.head(None, CHUNKED), b"many\r\n" + s.body), False, 400),
    "chunk size negative": (lambda s: (s.head(None, CHUNKED), b"-5\r\n" + s.body), False, 400),
    "chunk size beyond 64 bits": (lambda s: (s.head(None, CHUNKED), b"f" * 20 + b"\r\n" + s.body), False, 400),
    "no chunks": (lambda s: (s.head(None, CHUNKED), b"0\r\n\r\n"), False, 400),
    "an unknown transfer encoding": (lambda s: (s.head(None, "Transfer-Encoding: gzip"), s.body), True, 0),
    "huge header": (lambda s: (s.head(b"", f"X: {'x' * 2_000_000}"),), False, 0),
    "huge head that does not end": (lambda s: (s.head(b"")[:-2] + b"X: " + b"x" * 2_000_000,), True, 0),
    "many headers": (lambda s: (s.head(b"", *[f"X-{number}: x" for number in range(1000)]),), False, 0),
    "huge address": (lambda s: (s.head(b"", path=f"/legacy/?{'x' * 100_000}"),), False, 0),
    "a NUL in a header": (lambda s: (s.head(s.body, "X: \0"), s.body), False, 0),
    "bytes in a header": (lambda s: (s.head(s.body[:-9], "X: \xff\xfe"), s.body[:-9]), False, 400),
    "bytes in the address": (lambda s: (s.head(s.body, path="/legacy/\xff"), s.body), False, 0),
    "gzip": (lambda s: (s.head(gzip.compress(s.body), "Content-Encoding: gzip"), gzip.compress(s.body)), False, 400),
    "no HTTP": (lambda s: (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",), True, 0),
    "a method of its own": (lambda s: (s.head(s.body, method="UPLOAD"), s.body), False, 405),
    "to where files are": (lambda s: (s.head(s.body, method="PUT", path="/packages/x"), s.body), False, 400),
    "a reason that ends early": (
        lambda s: (s.head(bytes(10), method="PUT", path="/packages/bystander-1.0-py3-none-any.whl.yanked"), b"bad"),
        True,
        400,
    ),
}  # fmt: skip


@pytest.mark.network
@pytest.mark.parametrize("case", WIRES)
def test_what_no_client_should_send(live: Live, case: str) -> None:
    pieces, hang_up, status = WIRES[case]
    before = live.stored()
    answer = live.send(*pieces(live), hang_up=hang_up)
    if status:
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer
        sentence(answer)
    else:
        assert re.match(rb"HTTP/1\.1 4\d\d |\Z", answer), answer
    live.check(case, before)


@pytest.mark.network
def test_what_is_odd_but_fine(live: Live, tmp_path: Path) -> None:
    """The first case brings a wheel, the others bring it again."""
    wheel, before = make_wheel(tmp_path, "odd", "1.0"), live.stored()
    body = form_body(wheel)
    slowly = [piece for each in pieces_of(body, len(body) // 20) for piece in (each, 0.05)]
    cases: dict[str, tuple[bytes | float, ...]] = {
        "chunks": (live.head(None, CHUNKED), chunks(body) + b"0\r\n\r\n"),
        "chunks of one byte": (live.head(None, CHUNKED), chunks(body, 1) + b"0\r\n\r\n"),
        "chunks with trailers": (live.head(None, CHUNKED), chunks(body) + b"0\r\nX: y\r\n\r\n"),
        "chunks win": (live.head(body[:-9], CHUNKED), chunks(body) + b"0\r\n\r\n"),
        "expect": (live.head(body, "Expect: 100-continue"), 0.2, body),
        "the same length twice": (live.head(body, f"Content-Length: {len(body)}"), body),
        "slowly": (live.head(body), *slowly),
        "a slow head": (*(x for each in pieces_of(live.head(body), 40) for x in (each, 0.02)), body),
        "HTTP/1.0": (live.head(body).replace(b"HTTP/1.1", b"HTTP/1.0", 1), body),
        "a large header": (live.head(body, f"X: {'x' * 50_000}"), body),
        "more than its length": (live.head(body), body + b"GET / HTTP/1.1\r\n\r\n" * 10),
    }
    for number, (case, pieces) in enumerate(cases.items()):
        answer = live.send(*pieces).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert re.match(rb"HTTP/1\.[01] 200 OK\r\n", answer), (case, answer)
        assert answer.endswith(b"is in the index already.\n" if number else b"is in the index.\n"), (case, answer)
    live.check("afterwards", {**before, wheel.name: wheel.read_bytes()})


@pytest.mark.network
def test_a_reason_that_comes_slowly(live: Live) -> None:
    key = "bystander-1.0-py3-none-any.whl.yanked"
    for head, pieces in (
        (live.head(b"a good reason", method="PUT", path=f"/packages/{key}"), (b"a good", 0.3, b" reason")),
        (
            live.head(None, CHUNKED, method="PUT", path=f"/packages/{key}"),
            (chunks(b"a good"), 0.3, chunks(b" reason"), b"0\r\n\r\n"),
        ),
    ):
        assert live.send(head, *pieces).startswith(b"HTTP/1.1 200 ")
        assert unsign(live.stored()[key].decode()).text == "a good reason"
        assert live.send(live.head(b"", method="DELETE", path=f"/packages/{key}")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.network
def test_connections_that_end_in_the_middle(live: Live) -> None:
    before = live.stored()
    request = live.head(live.body) + live.body
    chunked = live.head(None, CHUNKED) + chunks(live.body)
    for sent in (request[:20], request[:200], request[: len(live.head(live.body)) + 300], request[:-1], chunked[:-50]):
        for reset in (False, True):
            with socket.create_connection(live.address, 30) as connection:
                connection.sendall(sent)
                time.sleep(0.05)
                if reset:  # RST instead of FIN
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        live.check(ascii(sent[-20:]), before)


@pytest.mark.network
def test_a_file_over_the_limit_that_fits_with_its_form(live: Live, tmp_path: Path) -> None:
    before = live.stored()
    noise = hashlib.shake_256(b"noise").digest(MEGABYTE)
    path = make_wheel(tmp_path, "demo", "1.0", files={"noise": noise})
    body = form_body(path)
    answer = live.send(live.head(body), body)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert path.name in sentence(answer)
    live.check("over the limit", before)


@pytest.mark.network
def test_refusals_over_the_wire_in_json(live: Live) -> None:
    answer = live.send(live.head(big(), "Accept: application/json"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert json.loads(body)["code"].startswith("413 ")


@pytest.mark.network
def test_credentials_come_before_the_body(live: Live) -> None:
    before = live.stored()
    wrong = base64.b64encode(b"alice:wrong").decode()
    head = live.head(big()).replace(basic(CREDENTIALS).encode(), f"Basic {wrong}".encode())
    for pieces in ((head,), (head, big())):
        answer = live.send(*pieces)
        assert answer.startswith(b"HTTP/1.1 401 ")
        sentence(answer)
    live.check("wrong password", before)


def test_files_that_are_none_in_the_store_are_left_alone(client: Client) -> None:
    """The same odd files, put into the store directly: listed without metadata or not at all, never an error."""
    from elasticpypi.indexing import sync

    files = client.services.files
    for number, data in enumerate(
        [*map(wheel_of, odd_cores().values()), wheel_of(core(metadata_version="2.\u00b2")), b"x"]
    ):
        name = f"demo-1.0-{number}-py3-none-any.whl"
        files.save(name, io.BytesIO(data), hashlib.sha256(data).hexdigest())
        assert sync.sync(files, client.services.index, name).action in ("written", "ignored"), number
    assert client.get("/simple/demo/").status_code == 200
    assert client.get("/pypi/demo/json").status_code == 200


def test_what_the_bad_archives_vary_is_good() -> None:
    assert core_metadata(io.BytesIO(gzip.compress(GOOD_TAR + bytes(1024))), SDIST) == CORE
    assert core_metadata(io.BytesIO(stored_zip({**MEMBERS, "last": b""}, b"comment")), WHEEL) == CORE
