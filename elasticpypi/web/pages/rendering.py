"""A description as core metadata have it → HTML that is safe on a page of ours. In a process of its own: ``readme``.

readme_renderer makes the HTML, the sanitizer (nh3) has the last word. In between, what does not belong on
a page beside ours is replaced: a page asks no other host for anything, so images become links.
"""

import ctypes
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from html import escape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

NICENESS = 10  # answers come first
DEEPEST = 100  # the sanitizer's time grows with the square of the depth
LARGEST_BLOCK = 5_000  # characters of code that are highlighted: the time of many lexers grows with the square
LONGEST_LINE = 500  # of such code
PREFIX = "user-content-"  # of every id, so that none is one of the page around it
VOID = ("br", "col", "hr", "img", "input")
BLOCKS = ("aside", "figure", "nav", "section")  # landmarks of the page are ours
ADMONITIONS = r"admonition|attention|caution|danger|error|hint|important|note|tip|warning|topic"
# Of classes, the tokens of Pygments and the boxes of notes.
CLASSES = re.compile(
    rf"[a-z]{{1,2}}\d?|code|(markdown-alert-?)?({ADMONITIONS}|title)?|admonition-title|image|literal|scroll"
)


def main(seconds: str, memory: str, parent: str, media_type: str, variant: str) -> None:
    """Text on stdin → HTML on stdout, nothing if it is to be shown as it is.

    It ends after so many ``seconds`` of CPU time, with so many bytes of ``memory``, and with its ``parent``.
    """
    _end_with(int(parent))
    _limit(int(seconds), int(memory))
    text = sys.stdin.buffer.read().decode()
    sys.stdout.buffer.write((render(text, media_type, variant) or "").encode())


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _limit(seconds: int, memory: int) -> None:
    """Set limits that no library can hold up, as far as this system has them."""
    with suppress(ImportError, AttributeError, ValueError, OSError):
        os.nice(NICENESS)
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def render(text: str, media_type: str, variant: str = "GFM") -> str | None:
    """A description of one of the ``RENDERERS`` → HTML; None if it cannot be rendered.

    ImportError is raised: that is not the fault of a text.
    """
    try:
        html = RENDERERS[media_type](text, variant)
        return _clean(html) if html else None
    except (ImportError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # whatever a text does to docutils or to a library in Rust, it is still a text
        return None


def _markdown(text: str, variant: str) -> str | None:
    import comrak  # noqa: F401 - without it readme_renderer has only a warning
    from readme_renderer import markdown

    _highlight_little()
    if _depth(markdown.variants[variant](text)) > DEEPEST:
        return None
    return markdown.render(text, variant)


def _rst(text: str, _: str) -> str | None:
    from readme_renderer import rst

    _highlight_little()
    return rst.render(text)


RENDERERS: dict[str, Callable[[str, str], str | None]] = {"text/markdown": _markdown, "text/x-rst": _rst}


@cache
def _highlight_little() -> None:
    """Have Pygments leave long code as it is, wherever readme_renderer or docutils call it."""
    import pygments
    from pygments.lexers import TextLexer

    real = pygments.lex

    def lex(code: str, lexer: Any) -> Any:
        short = len(code) <= LARGEST_BLOCK and max(map(len, code.split("\n"))) <= LONGEST_LINE
        return real(code, lexer if short else TextLexer())

    pygments.lex = lex


def _depth(html: str) -> int:
    """How many elements are open at most, by the tags alone."""
    depth = deepest = 0
    for closing, tag in re.findall(r"<(/?)([A-Za-z][A-Za-z0-9]*)", html):
        if tag.lower() not in VOID:
            depth += -1 if closing else 1
            deepest = max(deepest, depth)
    return deepest


def _clean(html: str) -> str:
    import nh3
    from readme_renderer.clean import ALLOWED_ATTRIBUTES, ALLOWED_TAGS

    rewriter = _Rewriter()
    rewriter.feed(html)
    rewriter.close()
    return nh3.clean(
        "".join(rewriter.written),
        tags=ALLOWED_TAGS - {"img", "input", "picture", *BLOCKS},
        attributes={
            **ALLOWED_ATTRIBUTES,
            "a": {"href", "title", "class"},
            "div": {"class", "tabindex"},
            "pre": {"class", "tabindex"},
        },
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto"},
        url_relative=lambda url: url if url.startswith("#") else None,  # nothing of a checkout is here
        link_rel="nofollow noopener",
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "class":
        return " ".join(each for each in value.split() if CLASSES.fullmatch(each)) or None
    return value


class _Rewriter(HTMLParser):
    """Reads what the sanitizer wrote and writes it again, with our replacements."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.link: dict[str, str | None] | None = None  # the attributes of the link that is open
        self.empty = 0  # where it began, to see whether anything is in it

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: _prefixed(name, value) for name, value in attrs}
        if tag == "img":
            self._image(attributes)
        elif tag == "input":
            self.written.append("\u2611" if "checked" in attributes else "\u2610")
        elif tag != "picture":
            if tag == "a":
                self.link, self.empty = attributes, len(self.written) + 1
            if tag == "pre":
                attributes["tabindex"] = "0"  # it scrolls, so the keyboard has to get there
            if tag == "table":
                self.written.append('<div class="scroll" tabindex="0">')
            listed = "".join(f' {name}="{escape(value or "")}"' for name, value in attributes.items())
            self.written.append(f"<{_tag(tag)}{listed}>")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self.link is not None:
            link, self.link = self.link, None
            if len(self.written) == self.empty:  # an anchor of a heading: nothing that could be clicked on
                self.written[-1] = f'<span id="{escape(link["id"] or "")}"></span>' if "id" in link else ""
                return
        if tag not in ("img", "input", "picture"):
            self.written.append(f"</{_tag(tag)}>")
        if tag == "table":
            self.written.append("</div>")

    def handle_data(self, data: str) -> None:
        self.written.append(escape(data, quote=False))

    def _image(self, attributes: dict[str, str | None]) -> None:
        source = attributes.get("src") or ""
        try:
            place = urlsplit(source)
        except ValueError:
            return
        text = escape((attributes.get("alt") or "").strip() or unquote(place.path.rpartition("/")[2]) or "image")
        if self.link is None and place.scheme in ("http", "https"):
            self.written.append(f'<a class="image" href="{escape(source)}">{text}</a>')
        else:
            self.written.append(f'<span class="image">{text}</span>')


def _tag(tag: str) -> str:
    """The page has the first two levels of headings."""
    if re.fullmatch("h[1-6]", tag):
        return f"h{min(6, int(tag[1]) + 2)}"
    return "div" if tag in BLOCKS else tag


def _prefixed(name: str, value: str | None) -> str | None:
    if name == "id" and value and not value.startswith(PREFIX):
        return PREFIX + value
    if name == "href" and value and value.startswith("#") and not value.startswith(f"#{PREFIX}"):
        return f"#{PREFIX}{value[1:]}"
    return value
