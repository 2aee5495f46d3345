"""Descriptions that become HTML: what is kept and what is replaced. In this process; ``test_readme`` has the limits."""

import random
import re

import pytest
from readme_renderer.clean import ALLOWED_TAGS

from elasticpypi.web.pages import readme, rendering
from tests.support.showcase import ATTACKS, HOSTILE_MARKDOWN, HOSTILE_RST, HOSTILE_RST_RENDERED, MARKDOWN, RST
from tests.support.tags import Tags, harmless

MD, RST_TYPE = "text/markdown; charset=UTF-8; variant=GFM", "text/x-rst"


def render(text: str, content_type: str = "") -> str:
    """What ``readme.show`` shows."""
    kind = readme.kind(content_type)
    return (kind and rendering.render(text, *kind)) or readme.plain(text)


def test_markdown() -> None:
    html = render(MARKDOWN, MD)
    assert '<h3 id="user-content-acme-client">acme-client</h3>' in html
    assert '<span class="kn">from</span>' in html
    assert "\u2611 signs requests" in html
    assert '<div class="admonition warning">' in html
    assert '<a href="https://acme.example/docs" rel="nofollow noopener">documentation</a>' in html
    assert '<a rel="nofollow noopener">the contributing guide</a>' in html  # of a checkout: it leads nowhere here


def test_restructuredtext_is_what_no_content_type_means() -> None:
    assert render(RST, "") == render(RST, RST_TYPE)
    html = render(RST)
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
    assert render(text, content_type).startswith('<pre class="plain" tabindex="0">&lt;b&gt;&amp;')


def test_commonmark() -> None:
    table = "| a |\n|---|\n| b |\n"
    assert "<table>" in render(table, "text/markdown")
    assert "<table>" not in render(table, "text/markdown; variant=CommonMark")


def test_images_become_links() -> None:
    """No page asks another host for anything."""
    html = render(
        "[![build](https://ci.example/b.svg)](https://ci.example) ![](https://x.example/a%20b.png) ![logo](logo.png)",
        MD,
    )
    assert Tags.of(html).names == {"p", "a", "span"}
    assert '<a href="https://ci.example" rel="nofollow noopener"><span class="image">build</span></a>' in html
    assert '<a class="image" href="https://x.example/a%20b.png" rel="nofollow noopener">a b.png</a>' in html
    assert '<span class="image">logo</span>' in html


def test_nothing_of_the_page_can_be_meant() -> None:
    """Ids, classes, headings and landmarks are those of the page."""
    html = render(
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
    html = render(text, content_type)
    assert harmless(html) == []
    assert not Tags.of(html).names & {"script", "img", "iframe", "form", "input", "style", "svg", "object", "picture"}


PIECES = (
    *ATTACKS,
    *("<", ">", '"', "'", "&lt;", "&#106;", "`", "```html\n", "\n```\n", "\n\n", "\n   ", "|", "_", "[^1]", "[^1]: "),
    *("![", "[a](", ")", "](", "](javascript:", "java\tscript:alert(1)", "//evil.example/", "data:text/html,"),
    *("<a href=", "<pre lang=", "<svg>", "<math>", "<style>", "<!--", "-->", "<![CDATA[", "]]>", "<p class='"),
    *("<table><tr>", "</table>", "`x <javascript:alert(1)>`_", ".. raw:: html\n\n   ", ".. image:: "),
    *(".. code:: html\n\n   ", ".. |x| image:: javascript:a\n", "|x|", "\0", "\u2028", "\ufeff"),
)
ELEMENTS = ALLOWED_TAGS - {"img", "input", "picture", "aside", "figure", "nav", "section"}


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_whatever_pieces_a_text_is_made_of(seed: int) -> None:
    chosen = random.Random(seed)
    for _ in range(200):
        text = "".join(chosen.choices(PIECES, k=chosen.randint(1, 20)))
        for content_type in (MD, RST_TYPE, "text/markdown; variant=CommonMark"):
            html = render(text, content_type)
            assert harmless(html) == [], text
            assert Tags.of(html).names <= ALLOWED_TAGS - {
                "img",
                "input",
                "picture",
                "aside",
                "figure",
                "nav",
                "section",
            }, text


def test_reading_a_file_is_impossible() -> None:
    assert "root:" not in render(".. include:: /etc/passwd")
    assert "root:" not in render(".. csv-table:: x\n   :file: /etc/passwd")


LONG_CODE = "x = 1\n" * (rendering.LARGEST_BLOCK // 6 + 1)
LONG_LINE = "x = 1; " * (rendering.LONGEST_LINE // 7) + "x = 1;"


@pytest.mark.parametrize("code", [LONG_CODE, LONG_LINE], ids=["long code", "a long line"])
def test_long_code_is_not_highlighted(code: str) -> None:
    """Of everything else on the page, short code is: the time of many lexers grows with the square of a text."""
    indented = "\n".join(f"   {line}" for line in code.splitlines())
    role = f".. role:: py(code)\n   :language: python\n\n:py:`{LONG_LINE}`\n" if code is LONG_LINE else ""
    for text, content_type in (
        (f"```python\n{code}\n```\n\n```python\ny = 2\n```\n", MD),
        (f"{role}\n.. code:: python\n\n{indented}\n\nText.\n\n.. code:: python\n\n   y = 2\n", RST_TYPE),
    ):
        html = render(text, content_type)
        assert code.strip() in html
        assert re.search(r'<span class="n">y</span>.*<span class="mi">2</span>', html)
        assert '<span class="n">x</span>' not in html
