"""Descriptions that become HTML: what is kept, what is replaced, and that no text takes long."""

import re
import time

import pytest

from elasticpypi import readme
from tests.showcase import ATTACKS, HOSTILE_MARKDOWN, HOSTILE_RST, HOSTILE_RST_RENDERED, MARKDOWN, RST
from tests.tags import Tags, harmless

MD, RST_TYPE = "text/markdown; charset=UTF-8; variant=GFM", "text/x-rst"


def test_markdown() -> None:
    html = readme.render(MARKDOWN, MD)
    assert '<h3 id="user-content-acme-client">acme-client</h3>' in html
    assert '<span class="kn">from</span>' in html
    assert "\u2611 signs requests" in html
    assert '<div class="admonition warning">' in html
    assert '<a href="https://acme.example/docs" rel="nofollow noopener">documentation</a>' in html
    assert '<a rel="nofollow noopener">the contributing guide</a>' in html  # of a checkout: it leads nowhere here


def test_restructuredtext_is_what_no_content_type_means() -> None:
    assert readme.render(RST, "") == readme.render(RST, RST_TYPE)
    html = readme.render(RST)
    assert "<em>and</em>" in html
    assert '<span class="literal">' in html
    assert '<div class="admonition note">' in html
    assert '<div class="scroll" tabindex="0"><table>' in html


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("<b>&", "text/plain"),
        ("<b>&", "text/html"),
        ("<b>&", 'junk; variant="x'),
        ("<b>&\n\n.. nonsense::", RST_TYPE),
        ("<b>&\n=====\ntext\n***", RST_TYPE),
    ],
)
def test_what_is_not_rendered_is_shown_as_it_is(text: str, content_type: str) -> None:
    assert readme.render(text, content_type).startswith('<pre class="plain" tabindex="0">&lt;b&gt;&amp;')


def test_commonmark() -> None:
    table = "| a |\n|---|\n| b |\n"
    assert "<table>" in readme.render(table, "text/markdown")
    assert "<table>" not in readme.render(table, "text/markdown; variant=CommonMark")


def test_images_become_links() -> None:
    """No page asks another host for anything."""
    html = readme.render(
        "[![build](https://ci.example/b.svg)](https://ci.example) ![](https://x.example/a%20b.png) ![logo](logo.png)",
        MD,
    )
    assert Tags.of(html).names == {"p", "a", "span"}
    assert '<a href="https://ci.example" rel="nofollow noopener"><span class="image">build</span></a>' in html
    assert '<a class="image" href="https://x.example/a%20b.png" rel="nofollow noopener">a b.png</a>' in html
    assert '<span class="image">logo</span>' in html


def test_nothing_of_the_page_can_be_meant() -> None:
    """Ids, classes, headings and landmarks are those of the page."""
    html = readme.render(
        '# One\n###### Six\n<p id="search" class="banner">x</p>\n<nav>y</nav>\n\n[a](#one) [b](#search) <i id="">z</i>',
        MD,
    )
    assert re.findall(r'id="(.*?)"', html) == ["user-content-one", "user-content-six", "user-content-search", ""]
    assert re.findall(r'href="(.*?)"', html) == ["#user-content-one", "#user-content-search"]
    assert "banner" not in html
    assert Tags.of(html).names == {"h3", "h6", "p", "div", "a", "i"}


@pytest.mark.parametrize("content_type", [MD, RST_TYPE, "text/plain", "text/markdown; variant=CommonMark", "<script>"])
@pytest.mark.parametrize("text", [*ATTACKS, HOSTILE_MARKDOWN, HOSTILE_RST, HOSTILE_RST_RENDERED])
def test_attacks(text: str, content_type: str) -> None:
    html = readme.render(text, content_type)
    assert harmless(html) == []
    assert not Tags.of(html).names & {"script", "img", "iframe", "form", "input", "style", "svg", "object", "picture"}


def test_reading_a_file_is_impossible() -> None:
    assert "root:" not in readme.render(".. include:: /etc/passwd")
    assert "root:" not in readme.render(".. csv-table:: x\n   :file: /etc/passwd")


LAUGHS = "".join(
    f".. |{a}| replace:: |{b}| |{b}| |{b}|\n" for a, b in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True)
)


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
        (f"{LAUGHS}\n|a|", RST_TYPE),
        ("*a `b " * 16_000, RST_TYPE),
        ("\n".join(f"{' ' * level}x\n" for level in range(430)), RST_TYPE),
        ("x" * 5_000_000, MD),
    ],
    ids=lambda text: text[:12],
)
def test_no_text_takes_long(text: str, content_type: str) -> None:
    began = time.perf_counter()
    assert readme.render(text, content_type)
    assert time.perf_counter() - began < 20  # the slowest takes 1.5 s where nothing else runs


def test_a_long_text_is_cut() -> None:
    html = readme.render("# x\n" * readme.LARGEST, MD)
    assert html.startswith("<pre")
    assert len(html) < readme.LARGEST + 100
