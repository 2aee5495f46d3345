"""Whatever arrives ends in a 2xx or a 4xx with one sentence, and a refusal leaves the store as it was.

Hypothesis makes the inputs, the same ones each time (``derandomize``).
"""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from elasticpypi import filename
from elasticpypi.archive import core_metadata
from elasticpypi.config import Config
from elasticpypi.distribution import check_upload
from elasticpypi.errors import BadUpload, Refusal, Unauthorized
from elasticpypi.simple import HTML, JSON, PLAIN_HTML, negotiate
from elasticpypi.wiring import services
from tests.builders import make_sdist, make_wheel, upload_form, zip_bytes
from tests.conftest import PASSWORD, USER, Client
from tests.test_upload import stored

settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("steady")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """One index on one machine for all examples of this file."""
    data = tmp_path_factory.mktemp("fuzz")
    return Client(services(Config(users={USER: PASSWORD}, data=data)))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("packages")
    return [
        make_wheel(folder, "demo", "1.0", requires_python=">=3.8", description="text\n" * 50),
        make_sdist(folder, "demo", "1.0", description="text\n" * 50),
    ]


def one_line(refusal: Refusal) -> None:
    assert "\n" not in str(refusal)


def fine(response: Any) -> bool:
    """Whether it was a success; fails if it was neither that nor a refusal as it should be."""
    assert 200 <= response.status_code < 500, response.text
    if response.status_code >= 400:
        assert response.text.count("\n") <= 1
        assert len(response.text) <= 501
        assert "Traceback" not in response.text
        assert not response.text.startswith("<")
    return response.status_code < 400


NAMES = st.one_of(
    st.text(max_size=40), st.from_regex(r"[A-Za-z0-9._!+ -]{1,30}(\.whl|\.tar\.gz|\.zip|\.tar\.bz2|)", fullmatch=True)
)
PROJECTS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.]{0,8}[A-Za-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(
    r"([0-9]{1,2}!)?[0-9]{1,3}(\.[0-9]{1,3}){0,3}((a|b|rc)[0-9]{1,2})?(\.post[0-9])?(\+[a-z0-9]{1,5})?", fullmatch=True
)
TAGS = st.sampled_from(["py3-none-any", "py2.py3-none-any", "cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64"])


@given(NAMES)
def test_any_file_name_is_read_or_refused(name: str) -> None:
    try:
        parsed = filename.parse(name)
    except BadUpload as refusal:
        one_line(refusal)
        return
    assert not set(name) & set("/\\\0\r\n ")
    assert canonicalize_name(parsed.project, validate=True) == parsed.project
    if name.endswith(".whl"):
        assert parse_wheel_filename(name)[:2] == (parsed.project, parsed.version)
    else:
        assert parse_sdist_filename(name) == (parsed.project, parsed.version)
    assert filename.parse_stored(name) == parsed


@given(PROJECTS, VERSIONS, TAGS, st.booleans(), st.booleans())
def test_all_spellings_of_a_file_have_one_identity(
    project: str, version: str, tag: str, upper: bool, zeros: bool
) -> None:
    if "__" in project:
        return
    plain = f"{canonicalize_name(project).replace('-', '_')}-{Version(version)}-{tag}.whl"
    spelled = f"{project.upper() if upper else project}-{'0' if zeros else ''}{version}-{tag}.whl"
    one, other = filename.parse(plain), filename.parse(spelled)
    assert (one.identity, one.project, one.version) == (other.identity, other.project, other.version)


MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "drop", "double", "insert"]), st.floats(0, 1), st.binary(max_size=8)),
    min_size=1,
    max_size=4,
)


def mutate(data: bytes, mutations: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, extra in mutations:
        place = int(where * len(data))
        match kind:
            case "flip":
                data = data[:place] + bytes(255 ^ byte for byte in data[place : place + 2]) + data[place + 2 :]
            case "cut":
                data = data[:place]
            case "drop":
                data = data[:place] + data[place + len(extra) :]
            case "double":
                data = data[:place] + data[place:] + data[place:]
            case "insert":
                data = data[:place] + extra + data[place:]
    return data


@given(MUTATIONS, st.integers(0, 1))
def test_any_archive_is_read_or_refused(packages: list[Path], mutations: Any, which: int) -> None:
    path = packages[which]
    try:
        core_metadata(io.BytesIO(mutate(path.read_bytes(), mutations)), filename.parse(path.name))
    except Refusal as refusal:
        one_line(refusal)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.text(max_size=60), max_size=8).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    ),
    st.booleans(),
)
def test_any_core_metadata_is_read_or_refused(tail: bytes, complete: bool) -> None:
    core = (b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n" if complete else b"") + tail
    members = {"METADATA": core, "WHEEL": b"Wheel-Version: 1.0\n", "RECORD": b""}
    data = zip_bytes({f"demo-1.0.dist-info/{name}": content for name, content in members.items()})
    form = {
        ":action": ["file_upload"],
        "filetype": ["bdist_wheel"],
        "sha256_digest": [hashlib.sha256(data).hexdigest()],
    }
    try:
        dist = check_upload(form, "demo-1.0-py3-none-any.whl", io.BytesIO(data))
    except Refusal as refusal:
        one_line(refusal)
        return
    assert dist.metadata == core


FIELDS = st.sampled_from(
    [
        ":action",
        "protocol_version",
        "filetype",
        "pyversion",
        "name",
        "version",
        "sha256_digest",
        "md5_digest",
        "summary",
        "x",
    ]
)
FORMS = st.dictionaries(
    FIELDS, st.one_of(st.none(), st.text(max_size=30), st.lists(st.text(max_size=10), max_size=3)), max_size=5
)


@settings(max_examples=120)
@given(FORMS, st.one_of(st.none(), MUTATIONS), NAMES | st.none(), st.integers(0, 1))
def test_any_upload_is_taken_whole_or_leaves_nothing(
    index: Client, packages: list[Path], form: Any, mutations: Any, name: str | None, which: int
) -> None:
    path = packages[which]
    before = stored(index.services)
    data = path.read_bytes() if mutations is None else mutate(path.read_bytes(), mutations)
    fields: dict[str, Any] = {
        **upload_form(path),
        "sha256_digest": hashlib.sha256(data).hexdigest(),
        "blake2_256_digest": "",
    }
    fields.update(form)
    fields = {field: value for field, value in fields.items() if value is not None}
    content = (io.BytesIO(data), path.name if name is None else name)
    response = index.request("POST", "/legacy/", data={**fields, "content": content})
    if not fine(response):
        assert stored(index.services) == before
        return
    [key] = set(stored(index.services)) - set(before) or {content[1]}
    served = index.get(f"/packages/{key}")
    assert served.data == data
    page: Any = index.json("/simple/demo/")
    [file] = [file for file in page["files"] if file["filename"] == key]
    assert file["hashes"]["sha256"] == hashlib.sha256(data).hexdigest()


@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(st.sampled_from([JSON, HTML, PLAIN_HTML, "*/*", "text/*", ";q=0", ";q=0.5", ", ", ";q=x"])).map(
            "".join
        ),
    )
)
def test_any_accept_header_has_an_answer(accept: str) -> None:
    assert negotiate(accept) in (JSON, HTML, PLAIN_HTML, None)


LATIN = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("Accept", "Range", "If-None-Match", "If-Range", "If-Modified-Since", "Accept-Encoding"),
            *("Sec-Fetch-Site", "X-Forwarded-Proto"),
        ]
    ),
    LATIN,
    max_size=4,
)
PATHS = st.sampled_from(
    [
        "/simple/",
        "/simple/demo/",
        "/packages/demo-1.0.tar.gz",
        "/packages/demo-1.0.tar.gz.metadata",
        "/pypi/demo/json",
        "/health",
    ]
)


@given(PATHS, HEADERS, st.sampled_from(["GET", "HEAD"]))
def test_any_headers_have_an_answer(
    index: Client, packages: list[Path], path: str, headers: dict[str, str], method: str
) -> None:
    assert index.upload(packages[1]).status_code in (200, 409)  # 409: another test changed it and got it in
    fine(index.request(method, path, headers=headers))


@given(st.one_of(LATIN, st.binary(max_size=40).map(lambda raw: "Basic " + base64.b64encode(raw).decode())))
def test_nobody_gets_in_by_chance(index: Client, authorization: str) -> None:
    response = index.get("/simple/", user=None, headers={"Authorization": authorization})
    assert response.status_code == Unauthorized.status


@given(st.text(max_size=60), st.sampled_from(["PUT", "DELETE", "GET", "POST"]), st.binary(max_size=60))
def test_any_address_has_an_answer(index: Client, path: str, method: str, body: bytes) -> None:
    for base in ("/", "/packages/", "/simple/", "/pypi/"):
        fine(index.request(method, base + quote(path.lstrip("/"), safe="/"), data=body))
