"""READMEs on pages: rendered once, in a process with limits, whatever the text, the machine or other views do."""

import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from elasticpypi.core.errors import Unavailable
from elasticpypi.storage.contracts import Catalog
from elasticpypi.storage.local.catalog import SQLiteCatalog
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.web.pages import readme
from tests.support.application import Client
from tests.support.builders import make_wheel
from tests.support.processes import rendering_below
from tests.support.showcase import MARKDOWN, RST, SLOW, described
from tests.support.waiting import until

MD, RST_TYPE = "text/markdown", "text/x-rst"
PAGE = "/project/demo/"
one_machine = pytest.mark.parametrize("services", ["one machine"], indirect=True)
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems tell less, and limit less")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return SQLiteCatalog(SQLiteIndex(tmp_path / "index.db"))


def add(client: Client, folder: Path, text: str, content_type: str = MD) -> None:
    assert client.upload(make_wheel(folder, "demo", "1.0", **described(text, content_type))).status_code == 200


def shown(answer: TestResponse) -> str:
    """The part of a page that the README is."""
    assert answer.status_code == 200
    found = re.search(r'<div class="readme">(.*?)</div>\n</section>', answer.text, re.DOTALL)
    assert found
    return found[1]


def is_lasting(answer: TestResponse) -> bool:
    """Whether a client may keep the page, and ask whether it is still the same."""
    assert ("ETag" in answer.headers) == (answer.headers["Cache-Control"] == "private, no-cache")
    assert ("ETag" in answer.headers) != (answer.headers["Cache-Control"] == "no-store")
    return "ETag" in answer.headers


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processes that were started to render something, by the media type."""
    started: list[str] = []
    real = subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        started.append(command[command.index(readme.BEGIN) + 4])
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


@pytest.mark.parametrize(("text", "content_type"), [(MARKDOWN, MD), (RST, RST_TYPE)], ids=["Markdown", "RST"])
def test_it_is_rendered_once(client: Client, tmp_path: Path, rendered: list[str], text: str, content_type: str) -> None:
    add(client, tmp_path, text, content_type)
    assert rendered == []  # no upload pays for it
    first = client.get(PAGE)
    assert '<pre class="plain"' not in shown(first)
    assert rendered == [content_type]
    for again in (client.get(PAGE), client.get(f"{PAGE}1.0/"), Client(client.services).get(PAGE)):
        assert shown(again) == shown(first)
    assert client.get(PAGE, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert rendered == [content_type]


def test_another_text_or_type_is_another_readme(catalog: Catalog, rendered: list[str]) -> None:
    for text, content_type in (("*a*", MD), ("*b*", MD), ("*a*", ""), ("*a*", f"{MD}; variant=CommonMark")):
        assert f"<em>{text[1]}</em>" in readme.show(text, content_type, catalog).html
    assert rendered == [MD, MD, RST_TYPE, MD]
    for same in ("text/x-rst", "TEXT/X-RST; charset=UTF-8", " "):
        assert "<em>a</em>" in readme.show("*a*", same, catalog).html
    assert len(rendered) == 4


def test_what_renders_another_way_renders_again(
    catalog: Catalog, rendered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1", "2"):
        monkeypatch.setattr(readme, "_renderer", lambda version=version: version)
        readme.show("a", MD, catalog)
    assert rendered == [MD, MD]


@one_machine
@pytest.mark.parametrize("text", ["<b>&", "<b>" + "x" * readme.LARGEST])
def test_plain_text_needs_no_process(client: Client, tmp_path: Path, rendered: list[str], text: str) -> None:
    add(client, tmp_path, text, "text/plain" if len(text) < 10 else MD)
    answer = client.get(PAGE)
    assert shown(answer).startswith('<pre class="plain" tabindex="0">&lt;b&gt;')
    assert len(shown(answer)) < readme.LARGEST + 100
    assert is_lasting(answer)
    assert rendered == []


# ---- limits


def test_a_text_that_takes_too_long_is_shown_as_it_is(
    client: Client, tmp_path: Path, rendered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readme, "SECONDS", 1)
    add(client, tmp_path, SLOW)
    for _ in range(2):  # it costs its second once
        answer = client.get(PAGE)
        assert shown(answer).startswith('<pre class="plain" tabindex="0">```xpp\n&lt;b&gt;\n')
        assert is_lasting(answer)
    assert rendered == [MD]


@one_machine
def test_html_that_is_too_large_is_not_shown(
    client: Client, tmp_path: Path, rendered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(client, tmp_path, "www.a.b " * 10_000)
    for name in ("LARGEST_HTML", "LARGEST_KEPT"):
        with monkeypatch.context() as patched:
            patched.setattr(readme, name, 200)
            patched.setattr(readme, "_renderer", lambda name=name: name)
            for _ in range(2):
                answer = client.get(PAGE)
                assert shown(answer).startswith('<pre class="plain" tabindex="0">www.a.b')
                assert is_lasting(answer)
    assert rendered == [MD, MD]


@linux
def test_memory_is_bounded(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[" * 200_000  # comrak takes more than 100 MB for it
    assert readme.show(text, MD, catalog).html.startswith("<p>[[[")
    monkeypatch.setattr(readme, "MEMORY", 96 * 1024 * 1024)
    monkeypatch.setattr(readme, "_renderer", lambda: "another")
    assert readme.show(text, MD, catalog) == readme.Readme(readme.plain(text))


LAUGHS = "".join(
    f".. |{a}| replace:: |{b}| |{b}| |{b}|\n" for a, b in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True)
)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("<div>" * 20_000, MD),
        ('<pre lang="x"><code>' * 5_000, MD),
        ('<pre lang="x"><code></code>x</pre>' * 2_500, MD),
        ("> " * 50_000, MD),
        ("* a " * 25_000, MD),
        ("[" * 100_000, MD),
        ("*a _b " * 16_000, MD),
        ("```python\n" + "(" * 90_000, MD),
        ("```ini\n" + "= " * 49_000 + "\n```", MD),
        ("```rst\n" + " \n" * 49_000 + "```", MD),
        (f"{LAUGHS}\n|a|", RST_TYPE),
        ("*a `b " * 16_000, RST_TYPE),
        ("\n".join(f"{' ' * level}x\n" for level in range(430)), RST_TYPE),
        (".. [#] x\n\n[#]_\n\n" * 5_000, RST_TYPE),
        (f".. code:: ini\n\n   {'= ' * 49_000}\n", RST_TYPE),
        ("\ud800*\udcff*", MD),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_no_text_holds_a_page_up(
    catalog: Catalog, text: str, content_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every one ends, and is decided for good: nothing is left to the next view."""
    monkeypatch.setattr(readme, "SECONDS", 1)
    for _ in range(2):
        found = readme.show(text, content_type, catalog)
        assert found.lasting
        assert found.html


@pytest.mark.parametrize(
    "content_type",
    [
        f"text/markdown; variant*000{'9' * 5000}=x",
        "text/markdown" + ';"' * 100_000,
        "text/markdown; variant" + " " * 100_000,
        "text/markdown; charset=UTF-8; variant",
    ],
    ids=lambda text: text[:30],
)
def test_whatever_the_content_type_says(catalog: Catalog, content_type: str) -> None:
    assert "<em>a</em>" in readme.show("*a*", content_type, catalog).html


# ---- not now: plain text, and the next view tries again


@one_machine
def test_without_a_process_it_is_plain_text_for_now(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(client, tmp_path, "*a* <b>")
    incomplete = readme.BEGIN.replace("import sys;", "import sys; sys.modules['comrak'] = None;")
    for module, name, value in (
        (sys, "executable", str(tmp_path / "none")),
        (sys, "executable", "/bin/false"),
        (readme, "BEGIN", incomplete),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, value)
            answer = client.get(PAGE)
            assert shown(answer) == '<pre class="plain" tabindex="0">*a* &lt;b&gt;</pre>'
            assert not is_lasting(answer)
    answer = client.get(PAGE)
    assert "<em>a</em>" in shown(answer)
    assert is_lasting(answer)


@one_machine
def test_what_cannot_be_kept_is_shown(
    client: Client, tmp_path: Path, rendered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(digest: str, body: bytes) -> None:
        raise Unavailable("The disk is full.")

    add(client, tmp_path, "*a*")
    monkeypatch.setattr(client.services.catalog, "keep_readme", full)
    for _ in range(2):
        answer = client.get(PAGE)
        assert "<em>a</em>" in shown(answer)
        assert is_lasting(answer)
    assert rendered == [MD, MD]


def test_views_at_once_render_it_once(catalog: Catalog, rendered: list[str]) -> None:
    together = threading.Barrier(readme.WAITING)

    def view(_: int) -> readme.Readme:
        together.wait()
        return readme.show("*a*", MD, catalog)

    with ThreadPoolExecutor(readme.WAITING) as pool:
        found = list(pool.map(view, range(readme.WAITING)))
    assert set(found) == {readme.Readme(found[0].html)}
    assert "<em>a</em>" in found[0].html
    assert rendered == [MD]


@one_machine
@pytest.mark.parametrize("limit", ["PATIENCE", "_places"])
def test_few_wait_and_not_for_long(
    client: Client, tmp_path: Path, rendered: list[str], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(client, tmp_path, "*a*")
    with readme._my_turn() as mine, monkeypatch.context() as patched:  # somebody else's
        assert mine
        patched.setattr(readme, limit, 0.01 if limit == "PATIENCE" else threading.BoundedSemaphore(1))
        if limit == "_places":
            readme._places.acquire()
        answer = client.get(PAGE)
        assert shown(answer) == '<pre class="plain" tabindex="0">*a*</pre>'
        assert not is_lasting(answer)
    assert rendered == []
    assert "<em>a</em>" in shown(client.get(PAGE))


@one_machine
def test_a_text_that_gets_no_time_is_tried_again(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine is not the fault of the text."""
    add(client, tmp_path, SLOW)
    monkeypatch.setattr(readme, "PATIENCE", 0.1)
    answer = client.get(PAGE)
    assert shown(answer).startswith('<pre class="plain"')
    assert not is_lasting(answer)


# ---- the process


@linux
def opened(process: Path) -> set[int]:
    return {int(each.name) for each in (process / "fd").iterdir()}


def test_it_inherits_nothing_and_ends_with_its_parent(tmp_path: Path) -> None:
    """It is stopped here, so that nothing but the end of its parent ends it."""
    code = f"""
import os, socket
from pathlib import Path
from elasticpypi.web.pages import readme
from elasticpypi.storage.local.catalog import SQLiteCatalog
from elasticpypi.storage.local.sqlite import SQLiteIndex

listening = socket.create_server(("127.0.0.1", 0))
os.set_inheritable(listening.fileno(), True)
readme.show({SLOW!r}, {MD!r}, SQLiteCatalog(SQLiteIndex(Path({str(tmp_path / "index.db")!r}))))
"""
    environ = {**os.environ, "PASSWORD": "something-secretive"}
    with subprocess.Popen([sys.executable, "-c", code], env=environ) as parent:
        try:
            child = until(lambda: rendering_below(parent.pid), "a process that renders")
            process = Path(f"/proc/{child}")
            limit = rf"Max cpu time +{readme.SECONDS} "
            until(lambda: re.search(limit, (process / "limits").read_text()), "its limits, which it sets last")
            until(lambda: opened(process) <= {0, 1, 2}, "it to have nothing of its parent, and no module half read")
            os.kill(child, signal.SIGSTOP)
            names = {each.partition(b"=")[0].decode() for each in (process / "environ").read_bytes().split(b"\0")}
            assert names <= {"", *readme.NEEDED}
        finally:
            parent.kill()
    until(lambda: not process.exists() or "State:\tZ" in (process / "status").read_text(), "its end")
