"""A description and its content type → HTML for its page: rendered once, where no text can hold a worker.

Pygments, docutils and comrak take as long as a text wants, some of them with Python's lock in hand. So a text is
rendered by a process of its own (``rendering``), which has limits, and the catalog keeps what came of it. A text
that is beyond them, or that nobody has time for now, is shown as it is.
"""

import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.metadata import version
from pathlib import Path

from elasticpypi.core.errors import Refusal
from elasticpypi.storage.contracts import Catalog

LARGEST = 200_000  # characters of a text that are shown, rendered or not
LARGEST_HTML = 2_000_000  # bytes
LARGEST_KEPT = 350_000  # bytes of compressed HTML: an item of DynamoDB has 400 KB
SECONDS = 4  # of CPU time for a text: docutils takes one for 100,000 ordinary characters
MEMORY = 256 * 1024 * 1024  # bytes for a text
PATIENCE = 10  # seconds that a view waits for its turn, and that a text has then
WAITING = 8  # views of a process that wait; each holds a thread
LIBRARIES = "comrak", "docutils", "nh3", "Pygments", "readme-renderer"
COMMONMARK = re.compile(r';\s*variant\s*=\s*"?CommonMark"?\s*(;|$)')
# What an interpreter may need to start. Nothing else of our environment, where passwords are.
NEEDED = "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"
PATH = "import sys; sys.path[:] = sys.argv[6:]"
BEGIN = f"{PATH}; from elasticpypi.web.pages.rendering import main; main(*sys.argv[1:6])"
# How a process ends that has no time, no memory or no stack left; whatever else ends it was not the text.
BEYOND = {-getattr(signal, name, 0) for name in ("SIGXCPU", "SIGABRT", "SIGBUS", "SIGSEGV")}

_places = threading.BoundedSemaphore(WAITING)
_turn = threading.Lock()  # one process renders one text at a time

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Readme:
    """HTML for a page; it is ``lasting`` unless another try may bring a better one."""

    html: str
    lasting: bool = True


def show(text: str, content_type: str, catalog: Catalog) -> Readme:
    """A description and its content type (PEP 566) → what a page shows of it.

    Of what is not rendered it shows ``LARGEST`` characters at most. It takes ``PATIENCE`` twice at most.
    :class:`Unavailable` if the catalog cannot be read.
    """
    media = kind(content_type)
    if media is None or len(text) > LARGEST:
        return Readme(plain(text))
    key = hashlib.sha256(repr((_renderer(), media, text)).encode("utf-8", "backslashreplace")).hexdigest()
    kept = catalog.readme(key)
    if kept is None:
        kept = _make(key, text, media, catalog)
    if kept is None:
        return Readme(plain(text), lasting=False)
    return Readme(zlib.decompress(kept).decode() if kept else plain(text))


def kind(content_type: str) -> tuple[str, str] | None:
    """The media type, that of reStructuredText if none is given, and the variant of Markdown; None for plain text."""
    media_type = content_type.partition(";")[0].strip().lower() or "text/x-rst"
    if media_type == "text/x-rst":
        return media_type, ""
    if media_type == "text/markdown":
        return media_type, "CommonMark" if COMMONMARK.search(content_type[:1000]) else "GFM"
    return None


def plain(text: str) -> str:
    """A text as it is, as far as a page shows it."""
    return f'<pre class="plain" tabindex="0">{escape(text[:LARGEST])}</pre>'


@cache
def _renderer() -> str:
    """Another text whenever what renders is another: our own source, or a library."""
    source = Path(__file__).with_name("rendering.py").read_bytes()
    return repr((hashlib.sha256(source).hexdigest(), [version(name) for name in LIBRARIES]))


def _make(key: str, text: str, media: tuple[str, str], catalog: Catalog) -> bytes | None:
    """Compressed HTML, which the catalog keeps from now on; b"" if the text is shown as it is; None: not now."""
    with _my_turn() as mine:
        if not mine:
            return None
        made = catalog.readme(key)  # by whoever had the turn before
        if made is None and (html := _render(text, *media)) is not None:
            made = zlib.compress(html) if html else b""
            if len(made) > LARGEST_KEPT:
                made = b""
            try:
                catalog.keep_readme(key, made)
            except Refusal as error:
                log.warning("A README was rendered, but cannot be kept: %s", error)
        return made


@contextmanager
def _my_turn() -> Iterator[bool]:
    """Whether it is the caller's turn now, which ends with the block."""
    if not _places.acquire(blocking=False):
        yield False
        return
    try:
        mine = _turn.acquire(timeout=PATIENCE)
        try:
            yield mine
        finally:
            if mine:
                _turn.release()
    finally:
        _places.release()


def _render(text: str, media_type: str, variant: str) -> bytes | None:
    """HTML from a process of its own; b"" if the text is beyond the limits or not what it says; None if that failed."""
    limits = str(SECONDS), str(MEMORY), str(os.getpid())
    path = [*map(os.path.abspath, sys.path), str(Path(__file__).parents[1])]
    command = [sys.executable, "-ISB", "-X", "utf8", "-c", BEGIN, *limits, media_type, variant, *path]
    environ = {name: os.environ[name] for name in NEEDED if name in os.environ}
    try:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, start_new_session=True
        ) as process:
            html = _talk(process, text.encode("utf-8", "replace"))
    except (OSError, RuntimeError) as error:  # no process, no thread
        log.warning("No README can be rendered now: %s.", error)
        return None
    ended = process.returncode
    if ended == 0 and len(html) <= LARGEST_HTML:
        return html
    if len(html) > LARGEST_HTML or ended in BEYOND:
        log.warning("A README is beyond the limits of rendering: it is shown as plain text.")
        return b""
    log.warning("A README could not be rendered (%s): the next view tries again.", ended)
    return None


def _talk(process: "subprocess.Popen[bytes]", text: bytes) -> bytes:
    """Give it the text, take what it says, and see it end."""
    assert process.stdin
    assert process.stdout
    timer = threading.Timer(PATIENCE, process.kill)
    try:
        timer.start()
        with suppress(BrokenPipeError):
            process.stdin.write(text)
        with suppress(BrokenPipeError):
            process.stdin.close()
        html = process.stdout.read(LARGEST_HTML + 1)
        if len(html) <= LARGEST_HTML:
            process.wait()
        return html
    finally:
        timer.cancel()
        process.kill()  # also if the thread could not be started
