"""Random requests, file names and files: an answer of 2xx or 4xx with one sentence, and never half an effect.

A twentieth of the examples is tried here, all of them by `make soak`. They are the same in each
run (``derandomize``), so a failure here is a failure everywhere.
"""

import base64
import gzip
import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from werkzeug.test import TestResponse

from elasticpypi.config import Config
from elasticpypi.core import filename, keys
from elasticpypi.core.archive import core_metadata
from elasticpypi.core.distribution import DIGESTS, SINGLE, check_upload, inspect
from elasticpypi.core.errors import BadUpload, Damaged
from elasticpypi.core.filename import Name, parse, parse_stored
from elasticpypi.core.simple_api import HTML, JSON, PLAIN_HTML
from elasticpypi.indexing import sync
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.web.negotiation import negotiate
from elasticpypi.wiring import on_folder
from tests.support.application import PASSWORD, USER, Client, basic
from tests.support.builders import BOUNDARY, MULTIPART, make_wheel, metadata, tar_bytes, zip_bytes
from tests.support.examples import examples
from tests.support.store import State, forget, state
from tests.support.uploads import one_line, part

pytestmark = pytest.mark.sampled

settings.register_profile(
    "elasticpypi",
    max_examples=examples(150),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
settings.load_profile("elasticpypi")

Result = TypeVar("Result")
WHEEL = "demo-1.0-py3-none-any.whl"
BYSTANDER = "bystander-1.0-py3-none-any.whl"


class World:
    """One machine with one file in its index."""

    def __init__(self, folder: Path) -> None:
        data = folder / "data"
        self.services = on_folder(
            Config(users={USER: PASSWORD}, data=data), DirectoryFiles(data), SQLiteIndex(folder / "index.db")
        )
        self.client = Client(self.services)
        self.bystander = make_wheel(folder, "bystander", "1.0", requires_python=">=3.8")
        self.reset()

    def reset(self) -> None:
        for stat in list(self.services.files.list()):
            self.services.files.delete(stat.key)
            forget(self.services, stat.key)
        assert self.client.upload(self.bystander).status_code == 200
        self.before: State = state(self.services)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What happens in here is undone, also if it fails."""
        try:
            yield
        finally:
            if state(self.services) != self.before:
                self.reset()

    def request(self, method: str, path: str, **options: Any) -> TestResponse:
        """A request that may change something: if it is refused, it has not."""
        response = self.client.request(method, path, **options)
        self.check(response)
        if response.status_code >= 400:
            assert state(self.services) == self.before
        return response

    def check(self, response: TestResponse) -> None:
        assert 200 <= response.status_code < 500, response.text
        if response.status_code >= 400:
            one_line(response)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture
def world(machine: World) -> Iterator[World]:
    with machine.unchanged():
        yield machine


def attempt(call: Callable[[], Result]) -> Result | BadUpload:
    """What a function returns or why it refuses; any other exception is a failure."""
    try:
        return call()
    except BadUpload as refusal:
        return refusal


# ---- what may come

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ODD = st.sampled_from(
    [
        *("", "UNKNOWN", " ", "\0", "\x1b[31m", "\r\n", "\u2028", "\u202e", "\ufeff", "\u0130", "\u00b2"),
        *("<b>", "'\"", "%s"),
        *("1" * 5000, "0", "-1", "1.0", "1.0\n", "01.0.0", "v1.0", "1!1.0+x.1", "2.\u00b2", "nan", "1e9", "\uff11"),
        *("demo", "Demo", "DEMO", "de.mo", "demo\u017f", "../demo", "a" * 5000, "sdist", "bdist_wheel", "file_upload"),
        *("1.0", "2.1", "2.4", "2.99", "3.0", "py3", "source", ">=3.8", ">=3.8,<4", "===x", "none", "junk junk"),
        *("x @ https://example.com/x.zip", "x; os_name == 'a'", "x; (", "x[a,b]>=1", "x (>=1)", "A" * 22, "ab" * 32),
    ]
)
VALUE = TEXT | ODD | st.binary(max_size=60).map(lambda data: data.decode("latin-1"))
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=80)

INFO = "demo-1.0.dist-info"
CORE = metadata("demo", "1.0", requires_python=">=3.8", requires_dist=["x>=1"], description="text " * 40)
MEMBERS = {
    "demo.py": b"version = 1\n" * 20,
    f"{INFO}/METADATA": CORE,
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\n",
    f"{INFO}/RECORD": b"",
}


def zip64(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in members.items():
            with archive.open(zipfile.ZipInfo(path), "w", force_zip64=True) as member:
                member.write(data)
    return buffer.getvalue()


WHEELS = [zip_bytes(MEMBERS), zip64(MEMBERS)]
SDISTS = [
    gzip.decompress(tar_bytes({"demo-1.0/PKG-INFO": CORE, "demo-1.0/demo.py": b"x" * 600})),
    gzip.decompress(tar_bytes({f"demo-1.0/{'long/' * 40}x": b"x", "./demo-1.0/PKG-INFO": CORE})),
]
Edit = tuple[str, float, float, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "number", "insert", "delete", "copy", "swap", "cut"]),
        st.floats(0, 1),
        st.floats(0, 1),
        st.sampled_from(
            [b"\0", b"\xff", b"\x80", b"/", b"..", b"\0" * 8, b"\xff" * 4, b"\xff" * 8, b"PK\x01\x02", b"PK\x06\x07"]
        )
        | st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data: bytes, edits: list[Edit]) -> bytes:
    """Bytes flipped, numbers overwritten, pieces inserted, removed, copied and swapped, the end cut off."""
    changed = bytearray(data)
    for kind, first, second, piece in edits:
        place, other = int(first * len(changed)), int(second * len(changed))
        size = len(piece) * 8
        match kind:
            case "set":
                changed[place : place + 1] = piece[:1]
            case "number":
                changed[place : place + len(piece)] = piece
            case "insert":
                changed[place:place] = piece
            case "delete":
                del changed[place : place + size]
            case "copy":
                changed[place : place + size] = changed[other : other + size]
            case "swap":
                one, two = changed[place : place + size], changed[other : other + size]
                if abs(place - other) >= size and len(one) == len(two):
                    changed[place : place + size], changed[other : other + size] = two, one
            case "cut":
                del changed[max(place, len(changed) // 2) :]
    return bytes(changed)


def directory_edited(data: bytes, edits: list[Edit]) -> bytes:
    """The same, only in the directory at the end of a zip file, where every byte counts."""
    place = data.index(b"PK\x01\x02")
    return data[:place] + mutated(data[place:], edits)


def entries_swapped(data: bytes, order: list[int]) -> bytes:
    """The entries of the directory of a zip file in another order, some of them perhaps twice or not at all."""
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = [b"PK\x01\x02" + entry for entry in data[start:end].split(b"PK\x01\x02")[1:]]
    directory = b"".join(entries[number % len(entries)] for number in order)
    ending = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(order), len(order), len(directory), start, 0)
    return data[:start] + directory + ending


def with_checksums(data: bytes) -> bytes:
    """A tar file whose headers have the right checksums again, so that more than the first one is read."""
    blocks = bytearray(data)
    for place in range(0, len(blocks) - 511, 512):
        header = blocks[place : place + 512]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            blocks[place + 148 : place + 156] = b"%06o\0 " % sum(header)
    return bytes(blocks)


CONTENTS: st.SearchStrategy[tuple[str, bytes]] = st.one_of(
    st.builds(lambda data, edits: (WHEEL, mutated(data, edits)), st.sampled_from(WHEELS), EDITS),
    st.builds(lambda data, edits: (WHEEL, directory_edited(data, edits)), st.sampled_from(WHEELS), EDITS),
    st.builds(
        lambda data, order: (WHEEL, entries_swapped(data, order)),
        st.sampled_from(WHEELS),
        st.lists(st.integers(0, 3), max_size=6),
    ),
    st.builds(
        lambda data, edits: ("demo-1.0.tar.gz", gzip.compress(with_checksums(mutated(data, edits)), 1, mtime=0)),
        st.sampled_from(SDISTS),
        EDITS,
    ),
    st.builds(
        lambda data, edits: ("demo-1.0.tar.gz", mutated(gzip.compress(data, mtime=0), edits)),
        st.sampled_from(SDISTS),
        EDITS,
    ),
    st.builds(
        lambda edits: ("demo-1.0.zip", mutated(zip_bytes({"demo-1.0/PKG-INFO": CORE, "demo-1.0/x": b"x"}), edits)),
        EDITS,
    ),
    st.tuples(st.sampled_from([WHEEL, "demo-1.0.tar.gz", "demo-1.0.zip"]), st.binary(max_size=99)),
)

FIELD = st.sampled_from(
    [
        *("Metadata-Version", "Name", "Version", "Requires-Python", "Requires-Dist", "Provides-Extra"),
        *("Dynamic", "Summary"),
        *("Keywords", "Author-Email", "Project-URL", "Classifier", "License-File", "License-Expression", "Description"),
        *("Content-Type", "Content-Transfer-Encoding", "Description-Content-Type", "name", "VERSION", "", " "),
        *("X", "X:"),
    ]
)
LINE = st.builds(
    "{}: {}".format, FIELD, VALUE | st.sampled_from(["multipart/mixed; boundary=x", "base64", "message/rfc822"])
)
CORES = st.builds(
    lambda head, lines, tail, text: "\n".join([*head, *lines, *tail, "", text]).encode(),
    st.sampled_from([[], ["Metadata-Version: 2.1"], ["Metadata-Version: 2.4", "Name: demo", "Version: 1.0"]]),
    st.lists(LINE | VALUE, max_size=6),
    st.sampled_from([[], [], ["Name: demo", "Version: 1.0"], ["Metadata-Version: 2.2", "Name: Demo", "Version: 1"]]),
    TEXT | st.sampled_from(["--x\n\na\n--x--\n", "Name: demo\n"]),
) | st.binary(max_size=200)


def good_form(name: str, data: bytes) -> dict[str, str]:
    return {
        ":action": "file_upload",
        "protocol_version": "1",
        "filetype": "bdist_wheel" if name.endswith(".whl") else "sdist",
        "pyversion": "py3" if name.endswith(".whl") else "source",
        "sha256_digest": hashlib.sha256(data).hexdigest(),
    }


def upload(world: World, name: str, data: bytes, fields: list[bytes] | None = None) -> None:
    """Upload a file; whatever the answer is, all that it says and implies is true."""
    parts = [part(*field) for field in good_form(name, data).items()] if fields is None else fields
    body = b"".join([*parts, part("content", data, f'; filename="{name}"')]) + f"--{BOUNDARY}--\r\n".encode()
    with world.unchanged():
        response = world.request("POST", "/legacy/", data=body, content_type=MULTIPART)
        if response.status_code == 200:
            one_line(response)
            check_served(world, name, data)


class Anchors(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs))


def check_served(world: World, name: str, data: bytes) -> None:
    """The file is in every page, and comes back as it was sent."""
    digest = hashlib.sha256(data).hexdigest()
    project = parse(name).project
    pages: Any = [
        world.client.get(f"/simple/{project}/", headers={"Accept": each}) for each in (JSON, HTML, PLAIN_HTML)
    ]
    assert [page.status_code for page in pages] == [200] * 3
    [entry] = [file for file in json.loads(pages[0].text)["files"] if file["filename"] == name]
    assert (entry["hashes"], entry["size"]) == ({"sha256": digest}, len(data))
    for page in pages[1:]:
        [anchor] = [
            each for each in Anchors(page.text).found if unquote(each["href"] or "").split("/")[-1].startswith(name)
        ]
        assert anchor["href"] == f"../../packages/{quote(name, safe='')}#sha256={digest}"
        assert anchor.get("data-requires-python") == entry.get("requires-python")
    assert world.client.get(f"/packages/{quote(name)}").data == data
    core = world.client.get(f"/packages/{quote(name)}.metadata")
    if "core-metadata" in entry:
        assert hashlib.sha256(core.data).hexdigest() == entry["core-metadata"]["sha256"]
    else:
        assert core.status_code == 404
    for path in (f"/pypi/{project}/json", f"/pypi/{project}/{entry['filename'].split('-')[1]}/json"):
        response = world.client.get(path)
        assert response.status_code in ((200,) if path.count("/") == 3 else (200, 404))
        assert response.get_json(force=True, silent=True) or response.status_code == 404
    assert json.loads(world.client.get("/simple/", headers={"Accept": JSON}).text)["projects"] == sorted(
        [{"name": "bystander"}, {"name": project}], key=lambda each: each["name"]
    )


# ---- uploads


@settings(max_examples=examples(400))
@given(CONTENTS)
def test_files(world: World, content: tuple[str, bytes]) -> None:
    upload(world, *content)


@settings(max_examples=examples(400))
@given(CORES, st.booleans())
@example(b"Metadata-Version: 2.\xc2\xb2\nName: demo\nVersion: 1.0\n", False)
@example(b"Metadata-Version: 2.1\n : \x1b[31m\nName: demo\nVersion: 1.0\n", False)
@example(b"Metadata-Version: 2.1\nName: demo\nVersion: " + b"1" * 5000, True)
@example(b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Python: >=3.8,\n <4\n", True)
def test_core_metadata(world: World, core: bytes, wheel: bool) -> None:
    if wheel:
        upload(world, WHEEL, zip_bytes({**MEMBERS, f"{INFO}/METADATA": core}))
    else:
        upload(world, "demo-1.0.tar.gz", tar_bytes({"demo-1.0/PKG-INFO": core}))


GOOD = WHEELS[0]
FORM = good_form(WHEEL, GOOD) | {
    "name": "demo",
    "version": "1.0",
    "metadata_version": "2.4",
    "blake2_256_digest": hashlib.blake2b(GOOD, digest_size=32).hexdigest(),
    "md5_digest": hashlib.md5(GOOD, usedforsecurity=False).hexdigest(),
}
NAME_OF_FIELD = st.sampled_from([*SINGLE, "content", "attestations", "gpg_signature", "requires_dist", "x"]) | TEXT
FILE_NAMES = st.sampled_from(
    [WHEEL, "Demo-1.0.0-py3-none-any.whl", "demo-1.0.tar.gz", "demo.status", "x.whl", "..", ""]
)


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "%0D").replace("\n", "%0A")


@settings(max_examples=examples(400))
@given(
    st.lists(st.sampled_from(sorted(FORM)), max_size=3),
    st.lists(st.tuples(NAME_OF_FIELD, VALUE), max_size=3),
    st.lists(st.tuples(NAME_OF_FIELD, TEXT | FILE_NAMES), max_size=1),
    FILE_NAMES | TEXT,
    st.sampled_from([0, 0, 0, 1, 300_000]),
)
def test_forms(
    world: World, without: list[str], more: list[tuple[str, str]], files: list[tuple[str, str]], name: str, huge: int
) -> None:
    fields = [part(field, value) for field, value in FORM.items() if field not in without]
    fields += [part(quoted(field), value * (huge or 1) if len(value) < 9 else value) for field, value in more]
    fields += [part(quoted(field), b"x", f'; filename="{quoted(value)}"') for field, value in files]
    content = part("content", GOOD, f'; filename="{quoted(name)}"')
    body = b"".join([*fields, content]) + f"--{BOUNDARY}--\r\n".encode()
    with world.unchanged():
        response = world.request("POST", "/legacy/", data=body, content_type=MULTIPART)
        if response.status_code == 200:
            check_served(world, name, GOOD)


@given(st.sampled_from(sorted(FORM)), VALUE)
def test_single_fields(world: World, field: str, value: str) -> None:
    fields = [part(*each) for each in ({**FORM, field: value}).items()]
    upload(world, WHEEL, GOOD, fields)


WHOLE = b"".join(
    [*(part(*field) for field in FORM.items()), part("content", GOOD, '; filename="demo-1.0-py3-none-any.whl"')]
)


@given(
    st.builds(mutated, st.just(WHOLE + f"--{BOUNDARY}--\r\n".encode()), EDITS) | st.binary(max_size=300),
    st.sampled_from([MULTIPART, "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]) | LATIN,
    st.sampled_from(["/legacy/", "/", "/simple", "/legacy/?:action=submit", "/legacy/?name=x&name=y"]),
)
def test_bodies(world: World, body: bytes, content_type: str, url: str) -> None:
    with world.unchanged():
        world.request("POST", url, data=body, content_type=content_type)


# ---- pure functions


@settings(max_examples=examples(500))
@given(CONTENTS)
def test_reading_archives(content: tuple[str, bytes]) -> None:
    name, data = parse(content[0]), content[1]
    core = attempt(lambda: core_metadata(io.BytesIO(data), name))
    assert isinstance(core, bytes) or (len(str(core)) <= 500 and "\n" not in str(core)), core
    dist = attempt(lambda: inspect(name, io.BytesIO(data)))
    if isinstance(dist, BadUpload):
        assert isinstance(dist, Damaged)
    else:
        assert (dist.name, dist.size, dist.sha256) == (name, len(data), hashlib.sha256(data).hexdigest())


@settings(max_examples=examples(500))
@given(CORES, st.booleans())
def test_checking_metadata(core: bytes, wheel: bool) -> None:
    name = WHEEL if wheel else "demo-1.0.tar.gz"
    data = zip_bytes({**MEMBERS, f"{INFO}/METADATA": core}) if wheel else tar_bytes({"demo-1.0/PKG-INFO": core})
    form = {field: [value] for field, value in good_form(name, data).items()}
    stored = inspect(parse(name), io.BytesIO(data))
    checked = attempt(lambda: check_upload(form, name, io.BytesIO(data)))
    if isinstance(checked, BadUpload):
        assert stored.metadata is None
    else:
        assert checked == stored
        assert checked.metadata == core


@given(st.dictionaries(st.sampled_from(sorted(DIGESTS)), VALUE, min_size=1))
def test_checking_digests(digests: dict[str, str]) -> None:
    form = {field: [value] for field, value in {**FORM, **digests}.items()}
    if not isinstance(attempt(lambda: check_upload(form, WHEEL, io.BytesIO(GOOD))), BadUpload):
        for field, value in digests.items():
            assert value.strip() in ("", "UNKNOWN") or value.strip().lower() == FORM[field]


# ---- names

CHARACTER = st.sampled_from("aAbB019._-+! \u00e9\0/\\")
PIECE = st.text(CHARACTER, max_size=8) | st.sampled_from(
    [
        *("demo", "de_mo", "1.0", "1", "1.0a1", "1!2.0", "1.0+x", "py3", "py2.py3", "none", "any", "0", "1x"),
        *("linux_x86_64", ""),
    ]
)
SUFFIX = st.sampled_from(
    [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar", ".WHL", ".egg", ".yanked", ".status", ""]
)
ANY_NAME = st.builds(lambda pieces, suffix: "-".join(pieces) + suffix, st.lists(PIECE, max_size=7), SUFFIX) | TEXT


@settings(max_examples=examples(2000))
@given(ANY_NAME)
@example("demo-" + "1" * 200 + ".tar.gz")
@example("demo-1.0-" + "1" * 200 + "-py3-none-any.whl")
def test_file_names(text: str) -> None:
    name = attempt(lambda: parse(text))
    if isinstance(name, BadUpload):
        assert str(name).isprintable()
        assert len(str(name)) <= 500
    else:
        check_name(text, name)
    stored = parse_stored(text)
    if stored is not None:
        assert stored.filename == text
        assert keys.parse(text) == keys.FileKey(text, stored) or text.startswith(".")
    assert keys.parse(text).key == text


def check_name(text: str, name: Name) -> None:
    assert name.filename == text
    assert text == text.strip()
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 240
    assert not set("/\\\0:*?\"<>| '") & set(text)
    assert not text.startswith((".", "-"))
    assert parse(text) == name
    assert parse_stored(text) == name
    if name.kind == "bdist_wheel":
        project, version, _, _ = parse_wheel_filename(text)
    else:
        project, version = parse_sdist_filename(text)
    assert (name.project, name.version) == (project, version)
    assert canonicalize_name(name.project, validate=True) == name.project
    try:
        filename.check_spelling(name)
    except BadUpload as refusal:
        found = re.search(r"must be spelled '([^']+)'", str(refusal))
        assert found is not None
        proper = parse(found[1])
        filename.check_spelling(proper)
        assert (proper.project, proper.version) == (name.project, name.version)


WORD = st.text("abcxyz019", min_size=1, max_size=4)
RELEASE = st.lists(st.integers(0, 30), min_size=1, max_size=4)
PHASES: dict[str, list[str]] = {
    "a": ["a", "alpha", "A", ".a", "_alpha"],
    "b": ["b", "beta"],
    "rc": ["rc", "c", "pre", "RC"],
}


@st.composite
def spellings(draw: st.DrawFn) -> list[str]:
    """Several file names that mean the same file."""
    words = draw(st.lists(WORD, min_size=1, max_size=3))
    epoch, release = draw(st.integers(0, 2)), draw(RELEASE)
    phase = draw(st.sampled_from([None, *PHASES]))
    number, post, dev = (
        draw(st.integers(0, 9)),
        draw(st.none() | st.integers(0, 9)),
        draw(st.none() | st.integers(0, 9)),
    )
    local = draw(st.lists(WORD, max_size=2))
    kind = draw(st.sampled_from([".whl", ".tar.gz"]))
    tags = draw(
        st.sampled_from(
            [(["py3"], ["none"], ["any"]), (["py2", "py3"], ["none"], ["any"]), (["cp311"], ["cp311"], ["win32"])]
        )
    )
    build = draw(st.sampled_from(["", "1", "2x"]))
    names = []
    for _ in range(3):
        separators = ["_", "."] if kind == ".whl" else ["_", ".", "-", "-_."]
        project = words[0] + "".join(draw(st.sampled_from(separators)) + word for word in words[1:])
        project = "".join(draw(st.sampled_from([each, each.upper()])) for each in project)
        version = f"{epoch}!" if epoch or draw(st.booleans()) else ""
        version += ".".join(draw(st.sampled_from(["", "0"])) + str(each) for each in release) + ".0" * draw(
            st.integers(0, 2)
        )
        if phase:
            version += draw(st.sampled_from(PHASES[phase])) + draw(st.sampled_from(["", "."])) + str(number)
        if post is not None:
            version += draw(st.sampled_from([".post", "post", ".r", "_rev"])) + str(post)
        if dev is not None:
            version += draw(st.sampled_from([".dev", "dev", "_DEV"])) + str(dev)
        if local:
            version += "+" + draw(st.sampled_from([".", "_"])).join(local)
        if kind == ".whl":
            compressed = [".".join(draw(st.permutations(each))) for each in tags]
            names.append("-".join([project, version, *([build] if build else []), *compressed]) + kind)
        else:
            names.append(f"{project}-{version}{kind}")
    return names


@settings(max_examples=examples(600))
@given(spellings())
def test_spellings_share_an_identity(names: list[str]) -> None:
    read = [parse(name) for name in names]
    assert len({name.identity for name in read}) == 1
    assert len({name.project for name in read}) == 1
    assert len({name.version for name in read}) == 1
    for name, text in zip(read, names, strict=True):
        check_name(text, name)


@settings(max_examples=examples(100))
@given(spellings(), spellings())
def test_other_files_have_other_identities(one: list[str], two: list[str]) -> None:
    first, second = parse(one[0]), parse(two[0])
    same = (first.project, first.version, first.kind) == (second.project, second.version, second.kind)
    assert same or first.identity != second.identity


@settings(max_examples=examples(40))
@given(spellings())
def test_of_all_spellings_one_gets_in(world: World, names: list[str]) -> None:
    files = {text: release(text) for text in dict.fromkeys(names)}
    with world.unchanged():
        codes = []
        for text, data in files.items():
            fields = b"".join(part(*field) for field in good_form(text, data).items())
            body = fields + part("content", data, f'; filename="{text}"') + f"--{BOUNDARY}--\r\n".encode()
            response = world.client.request("POST", "/legacy/", data=body, content_type=MULTIPART)
            world.check(response)
            codes.append(response.status_code)
        assert codes == [200] + [409] * (len(codes) - 1)
        check_served(world, names[0], files[names[0]])


def release(text: str) -> bytes:
    """A good file of this name."""
    name = parse(text)
    core = metadata(name.project, str(name.version))
    if name.kind == "sdist":
        return tar_bytes({f"{text.removesuffix('.tar.gz')}/PKG-INFO": core})
    info = "-".join(text.split("-")[:2]) + ".dist-info"
    members = {"METADATA": core, "WHEEL": b"Wheel-Version: 1.0\n", "RECORD": b""}
    return zip_bytes({f"{info}/{member}": content for member, content in members.items()})


# ---- headers

RANGE = st.sampled_from(
    [
        *(JSON, HTML, PLAIN_HTML, "*/*", "text/*", "application/*", "application/vnd.pypi.simple.latest+json"),
        *("text/plain", "*", ""),
    ]
)
PARAMETER = st.sampled_from(
    [
        *("", ";q=0", ";q=1", ";q=0.5", ";q=", ";q=nan", ";q=inf", ";q=-1", ";q=2", ";q=1e9", "; q = 0.3"),
        *(";charset=x", ';q="1"'),
    ]
)
ACCEPT = st.lists(st.builds("{}{}".format, RANGE, PARAMETER), max_size=5).map(",".join) | LATIN


@settings(max_examples=examples(500))
@given(ACCEPT)
def test_accept(world: World, accept: str) -> None:
    chosen = negotiate(accept)
    assert chosen in (JSON, HTML, PLAIN_HTML, None)
    for path in ("/simple/", "/simple/bystander/"):
        response = world.client.get(path, headers={"Accept": accept})
        world.check(response)
        assert response.status_code == (200 if chosen else 406)
        assert chosen is None or response.mimetype == chosen
    if accept in (JSON, HTML, PLAIN_HTML):
        assert chosen == accept


@given(
    LATIN
    | st.builds("{} {}".format, st.sampled_from(["Basic", "basic", "Bearer", "Digest", ""]), LATIN)
    | st.binary(max_size=40).map(lambda data: "Basic " + base64.b64encode(data).decode())
    | st.sampled_from(
        [basic(f"{USER}:"), basic(USER), basic(f":{PASSWORD}"), basic(f"{USER}:{PASSWORD}\0"), basic("__token__:")]
    )
)
def test_authorization(world: World, authorization: str) -> None:
    for method, path in (("GET", "/simple/"), ("POST", "/legacy/"), ("DELETE", f"/packages/{BYSTANDER}")):
        response = world.request(method, path, user=None, headers={"Authorization": authorization})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")


SPAN = st.sampled_from(
    ["0-0", "0-", "-1", "-0", "5-2", "-", "1-9" + "9" * 5000, "a-b", "0-1,3-4", "1", " 0 - 3 ", "-99999", "99999-", ""]
)
RANGES = (
    st.builds("{}{}".format, st.sampled_from(["bytes=", "bytes ", "Bytes=", "lines=", "", "=", "bytes=0-1,"]), SPAN)
    | LATIN
)
TAG = st.sampled_from(['"x"', "*", 'W/"x"', '"', "W/", '""', '"x", *', "SAME", "W/SAME", '"a","b",', "x"]) | LATIN
DATE = (
    st.sampled_from(
        [
            *("Mon, 23 Nov 2026 18:00:00 GMT", "Mon, 23 Nov 0001 18:00:00 GMT", "Mon, 23 Nov 99999 18:00:00 GMT"),
            *("Mon, 31 Feb 2026 18:00:00 GMT", "Mon, 23 Nov 2026 18:00:00 +9999"),
            *("Fri, 31 Dec 9999 23:59:59 -2359", "Sat, 01 Jan 0001 00:00:00 +2359", "0", "-1"),
        ]
    )
    | LATIN
)


@settings(max_examples=examples(400))
@given(
    st.sampled_from(["GET", "HEAD"]),
    st.sampled_from(
        [f"/packages/{BYSTANDER}", f"/packages/{BYSTANDER}.metadata", "/simple/bystander/", "/pypi/bystander/json"]
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "Range": RANGES,
            "If-Range": TAG | DATE,
            "If-None-Match": TAG,
            "If-Match": TAG,
            "If-Modified-Since": DATE,
            "If-Unmodified-Since": DATE,
            "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=0", "*", "identity", "gzip;q=x", "br, gzip"]) | LATIN,
        },
    ),
)
def test_conditional_requests(world: World, method: str, path: str, headers: dict[str, str]) -> None:
    plain = world.client.get(path)
    headers = {name: value.replace("SAME", plain.headers["ETag"]) for name, value in headers.items()}
    response = world.client.request(method, path, headers=headers)
    assert response.status_code in (200, 206, 304, 412, 416), response.status
    if response.status_code == 416 and method == "GET":
        one_line(response)
    if method == "HEAD" or response.status_code not in (200, 206):
        return
    data = gzip.decompress(response.data) if response.headers.get("Content-Encoding") == "gzip" else response.data
    if response.status_code == 200:
        assert data == plain.data
    else:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers["Content-Range"])
        assert found is not None
        assert int(found[3]) == len(plain.data)
        assert data == plain.data[int(found[1]) : int(found[2]) + 1]
        assert response.content_length == len(data)


# ---- the rest of the addresses

SEGMENT = st.one_of(
    st.sampled_from(["simple", "packages", "pypi", "json", "legacy", "+simple", "bystander", "Bystander", BYSTANDER]),
    st.sampled_from(["", ".", "..", "%", "%2F", "1.0", "1" * 5000, "_", "health"]),
    TEXT,
)


@settings(max_examples=examples(300))
@given(st.sampled_from(["GET", "HEAD", "OPTIONS", "PATCH", "POST"]), st.lists(SEGMENT, max_size=4), LATIN)
@example("GET", ["pypi", "bystander", "1" * 5000, "json"], "")
@example("GET", ["+simple", "Bystander"], "a=b")
@example("HEAD", ["legacy", "+simple", "bystander"], "")
def test_addresses(world: World, method: str, segments: list[str], query: str) -> None:
    path = "/".join(["", *segments]).encode().decode("latin-1")  # as WSGI has it
    options: Any = {"environ_overrides": {"PATH_INFO": path or "/"}, "query_string": quote(query, safe="=&")}
    response = world.client.request(method, "/", **options)
    assert 200 <= response.status_code < 500, response.text
    if response.status_code >= 400 and method != "HEAD":
        one_line(response)
    assert not re.match(r"[a-z]*:?//|/", response.headers.get("Location", ""))
    assert state(world.services) == world.before


@given(
    st.sampled_from(["/simple/", "/simple/bystander", "/pypi/bystander/json", "/health", f"/packages/{BYSTANDER}"]),
    st.dictionaries(
        st.sampled_from(
            ["Host", "X-Forwarded-Proto", "X-Forwarded-Host", "Sec-Fetch-Site", "Origin", "Content-Length"]
        ),
        LATIN | st.sampled_from(["https", "javascript", "cross-site", "a b", "[::", "h:99999", "-1", "1", "9" * 30]),
        min_size=1,
    ),
)
def test_other_headers(world: World, path: str, headers: dict[str, str]) -> None:
    world.check(world.client.get(path, headers=headers))
    for method in ("POST", "DELETE"):
        response = world.client.request(method, "/legacy/", headers=headers)
        world.check(response)
        assert response.status_code in (400, 403, 405, 413)


MARKED = st.sampled_from(
    [
        *(BYSTANDER, BYSTANDER.upper(), "Bystander-1.0-py3-none-any.whl", "bystander-1.0.tar.gz", "bystander"),
        *("Bystander", "unknown", "", "."),
    ]
)
SUFFIXES = st.sampled_from(
    ["", ".yanked", ".status", ".deleted", ".metadata", ".yanked.yanked", "/x", "%00", ".status/"]
)
BODY = st.one_of(
    st.sampled_from([b"", b"active", b"archived\nwhy", b"quarantined", b"deprecated\n\n", b"ARCHIVED", b"active\0"]),
    st.sampled_from([b"\xff", b"x" * 1001, b"x" * 5000]),
    VALUE.map(str.encode),
    st.binary(max_size=60),
)


@settings(max_examples=examples(400))
@given(st.sampled_from(["PUT", "PUT", "DELETE", "PATCH"]), MARKED | ANY_NAME, SUFFIXES, BODY)
def test_decisions(world: World, method: str, subject: str, suffix: str, body: bytes) -> None:
    with world.unchanged():
        response = world.request(method, f"/packages/{quote(subject, safe='')}{suffix}", data=body)
        if response.status_code != 200:
            return
        one_line(response)
        for accept in (JSON, HTML):
            page = world.client.get("/simple/bystander/", headers={"Accept": accept})
            world.check(page)
            if page.status_code == 200 and accept == HTML:
                assert len(Anchors(page.text).found) in (0, 1)
        world.check(world.client.get("/pypi/bystander/json"))


# ---- what somebody puts into the store


@given(CONTENTS, st.sampled_from(["", "team/", "a/b/"]))
def test_files_in_the_store(world: World, content: tuple[str, bytes], prefix: str) -> None:
    name, data = content
    files, index = world.services.files, world.services.index
    with world.unchanged():
        files.save(prefix + name, io.BytesIO(data), hashlib.sha256(data).hexdigest())
        outcome = sync.sync(files, index, prefix + name)
        assert outcome.action in ("written", "ignored")
        page: Any = world.client.get("/simple/demo/", headers={"Accept": JSON})
        assert page.status_code == (200 if outcome.action == "written" else 404)
        if page.status_code == 200:
            [file] = page.get_json(force=True)["files"]
            assert file["hashes"]["sha256"] == hashlib.sha256(data).hexdigest()
            assert world.client.get(f"/packages/{name}").data == data
            world.check(world.client.get("/pypi/demo/json"))
        assert sync.sync(files, index, prefix + name).action in ("unchanged", "ignored")


KEYS = st.builds("{}{}".format, st.sampled_from(["", "a/", ".hidden/"]), ANY_NAME | TEXT)


@settings(max_examples=examples(500))
@given(KEYS)
def test_keys(key: str) -> None:
    means = keys.parse(key)
    if isinstance(means, keys.IgnoredKey):
        assert means.reason
    else:
        assert canonicalize_name(means.project, validate=True) == means.project
