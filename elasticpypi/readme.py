"""A description as core metadata have it → HTML that is safe on a page of ours.

readme_renderer makes the HTML, the sanitizer (nh3) has the last word. In between, what does not belong on
a page beside ours is replaced: a page asks no other host for anything, so images become links.
"""

import re
from collections.abc import Callable
from email.message import Message
from functools import lru_cache
from html import escape
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nh3
from readme_renderer import markdown, rst
from readme_renderer.clean import ALLOWED_ATTRIBUTES, ALLOWED_TAGS

LARGEST = 100_000  # characters that are rendered: docutils takes a second for so many
DEEPEST = 100  # the sanitizer's time grows with the square of the depth
PREFIX = "user-content-"  # of every id, so that none is one of the page around it
VOID = ("br", "col", "hr", "img", "input")
BLOCKS = ("aside", "figure", "nav", "section")  # landmarks of the page are ours
ADMONITIONS = r"admonition|attention|caution|danger|error|hint|important|note|tip|warning|topic"
# Of classes, the tokens of Pygments and the boxes of notes.
CLASSES = re.compile(
    rf"[a-z]{{1,2}}\d?|code|(markdown-alert-?)?({ADMONITIONS}|title)?|admonition-title|image|literal|scroll"
)


@lru_cache(maxsize=32)
def render(text: str, content_type: str = "") -> str:
    """A description and its content type (PEP 566) → HTML.

    Text that cannot be rendered, or that would take too long, is shown as it is, at most ``LARGEST`` characters.
    """
    media_type, variant = _kind(content_type)
    html = None
    if len(text) <= LARGEST:
        try:
            html = RENDERERS[media_type](text, variant)
        except Exception:  # whatever a text does to docutils, it is still a text
            html = None
    return _clean(html) if html else f'<pre class="plain" tabindex="0">{escape(text[:LARGEST])}</pre>'


def _kind(content_type: str) -> tuple[str, str]:
    """The media type, that of reStructuredText if none is given, and the variant of Markdown."""
    message = Message()
    message["Content-Type"] = " ".join(content_type.split()) or "text/x-rst"
    variant = str(message.get_param("variant", "GFM"))
    media_type = message.get_content_type()
    return media_type if media_type in RENDERERS else "text/plain", "CommonMark" if variant == "CommonMark" else "GFM"


def _markdown(text: str, variant: str) -> str | None:
    if _depth(markdown.variants[variant](text)) > DEEPEST:
        return None
    return markdown.render(text, variant)


def _rst(text: str, _: str) -> str | None:
    return rst.render(text)


def _plain(_: str, __: str) -> None:
    return None


RENDERERS: dict[str, Callable[[str, str], str | None]] = {
    "text/markdown": _markdown,
    "text/x-rst": _rst,
    "text/plain": _plain,
}


def _depth(html: str) -> int:
    """How many elements are open at most, by the tags alone."""
    depth = deepest = 0
    for closing, tag in re.findall(r"<(/?)([A-Za-z][A-Za-z0-9]*)", html):
        if tag.lower() not in VOID:
            depth += -1 if closing else 1
            deepest = max(deepest, depth)
    return deepest


def _clean(html: str) -> str:
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
            told = "".join(f' {name}="{escape(value or "")}"' for name, value in attributes.items())
            self.written.append(f"<{_tag(tag)}{told}>")

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
