"""An index as people might find it: small projects and large ones, good news and bad, and hostile texts everywhere."""

from collections.abc import Iterator
from pathlib import Path

from packaging.utils import NormalizedName

from elasticpypi.actions import decisions
from elasticpypi.core.distribution import sha256_of
from elasticpypi.core.outcome import Outcome
from elasticpypi.indexing import sync
from elasticpypi.services import Services
from elasticpypi.wiring import with_subscribers
from tests.support.builders import ACTOR, make_sdist, make_wheel, metadata, zip_bytes

LONG = "a-project-with-a-name-that-nobody-should-have-chosen-since-it-does-not-fit-into-any-list-or-title"
MARKDOWN = """\
# acme-client

[![build](https://ci.example/acme/badge.svg)](https://ci.example/acme) ![coverage](https://ci.example/coverage.svg)

The client of the **ACME** service: it signs requests, tries again when the network fails, and
gives back plain data classes.

## Usage

```python
from acme_client import Client

client = Client("https://acme.example", retries=3)  # seconds between tries double
for order in client.orders(since="2026-01-01"):
    print(f"{order.number}: {order.total:.2f} EUR")
```

> [!WARNING]
> Version 3 drops Python 3.10.

### Settings

| Variable | Default | What it does |
|---|---|---|
| `ACME_URL` | | Address of the service |
| `ACME_TIMEOUT` | `30` | Seconds until a request is given up |

- [x] signs requests
- [ ] streams results

See the [documentation](https://acme.example/docs), or [the contributing guide](CONTRIBUTING.md).
"""
RST = """\
============
archive-tool
============

Packs *and* unpacks, see `the manual <https://acme.example/manual>`_.

.. note:: It is superseded by ``acme-client``.

Install
-------

.. code:: console

   $ pip install archive-tool

============  =======
Format        Reads
============  =======
zip           yes
tar           yes
============  =======
"""
SLOW = "```xpp\n<b>\n" + "a\n" * 2400 + "```\n"  # Markdown: 20 s, within one regular expression of Pygments
# What a browser must not run, whoever says it and wherever.
SCRIPT = "<script>window.hit=1;alert(1)</script>"
ATTACKS = (
    SCRIPT,
    "<img src=https://evil.example/x.png onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "'-alert(1)-'",
    "{{ 7*7 }}{% raw %}",
    "</title><script>alert(1)</script>",
    "<a href=javascript:alert(1)>x</a>",
    "&#x3c;script&#x3e;alert(1)&#x3c;/script&#x3e;",
)
HOSTILE_MARKDOWN = (
    "\n\n".join(ATTACKS)
    + """

[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html,<script>alert(1)</script>) [d](//evil.example/)
![e](https://evil.example/pixel.png) ![f](javascript:alert(1)) <https://evil.example/>
[g](vbscript:alert(1)) [h](\x01javascript:alert(1)) [i](java
script:alert(1)) [j](../../packages/x)

<iframe src="https://evil.example/"></iframe><object data="https://evil.example/"></object>
<embed src="https://evil.example/"><link rel="stylesheet" href="https://evil.example/x.css">
<style>body { background: url(https://evil.example/x.png) }</style><base href="https://evil.example/">
<meta http-equiv="refresh" content="0;url=https://evil.example/">
<form action="https://evil.example/"><input name=q></form>
<p style="background:url(https://evil.example/x.png)" onclick="alert(1)" id="search" class="banner skip">p</p>
<details open ontoggle=alert(1)><summary>s</summary></details><video src="https://evil.example/x" autoplay></video>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">
<svg><style><img src=x onerror=alert(1)></style></svg><noscript><p title="</noscript><img src=x onerror=alert(1)>">
<a id=content name=content href="https://evil.example/" target=_top ping="https://evil.example/">k</a>

```python"><script>alert(1)</script>
x
```
"""
)
HOSTILE_RST = """\
.. raw:: html

   <script>alert(1)</script>

.. image:: https://evil.example/pixel.png
   :target: javascript:alert(1)

`a <javascript:alert(1)>`_ <script>alert(1)</script>

.. include:: /etc/passwd
"""
# The same without what docutils refuses as a whole.
HOSTILE_RST_RENDERED = """\
`a <javascript:alert(1)>`_ <script>alert(1)</script> `b <data:text/html,x>`_

.. image:: https://evil.example/pixel.png
   :target: javascript:alert(1)

.. figure:: https://evil.example/pixel.svg

   <img src=x onerror=alert(1)>
"""


def described(readme: str, content_type: str, **fields: str | list[str]) -> dict[str, str | list[str]]:
    """Fields of core metadata with a README."""
    return {"description": readme, "Description_Content_Type": content_type, **fields}


def files(folder: Path) -> Iterator[Path]:
    """Every package of the show, made in a folder."""
    yield make_wheel(folder, "demo", "1.0", Summary="The smallest project: one file")
    yield from _client(folder)
    yield from _kernels(folder)
    archived = described(RST, "text/x-rst", Summary="Packs and unpacks", Author="ACME", License_Expression="MIT")
    yield make_sdist(folder, "archive-tool", "0.9", **archived)
    yield make_wheel(folder, "held-back", "1.0", Summary="Under suspicion")
    yield make_wheel(
        folder,
        LONG,
        "2026.11.23.dev202611231200+a.local.version.that.is.long.too",
        Summary="A summary as long as the standards allow, which nobody reads to its end. " * 6,
        Requires_Dist=[f"{LONG}-and-a-dependency >=1,<2,!=1.5,!=1.6,!=1.7 ; python_version < '3.14'"],
    )
    yield make_wheel(folder, "hostile-markdown", "1.0", **hostile(HOSTILE_MARKDOWN, "text/markdown"))
    yield make_wheel(folder, "hostile-rst", "1.0", **hostile(HOSTILE_RST, "text/x-rst"))
    yield make_wheel(folder, "hostile-rst", "1.1", **hostile(HOSTILE_RST_RENDERED, "text/x-rst"))
    yield make_wheel(folder, "hostile-text", "1.0", **hostile(SCRIPT, 'text/html"><script>alert(1)</script>'))
    for number in range(60):
        team = ("billing", "orders", "search", "mail", "audit")[number % 5]
        summary = f"What the {team} team shares, part {number // 5 + 1}"
        yield make_wheel(
            folder, f"{team}-common-{number // 5 + 1}", "1.0", Summary=summary, Requires_Dist="acme-client"
        )


def _client(folder: Path) -> Iterator[Path]:
    for version in ("1.0", "1.1", "2.0", "2.1", "2.2", "3.0rc1"):
        fields = described(
            MARKDOWN,
            "text/markdown; charset=UTF-8; variant=GFM",
            Summary="Client of the ACME service: orders, invoices and parcels",
            Keywords="acme,orders,http",
            Author_Email="Anna Example <anna@acme.example>, ben@acme.example",
            Maintainer="The platform team",
            License_Expression="Apache-2.0 OR MIT",
            requires_python=">=3.10",
            Requires_Dist=[
                "demo>=1.0",
                "archive-tool",
                "httpx[http2]>=0.28,<1",
                'orjson>=3.10; extra == "fast" and platform_python_implementation == "CPython"',
                'rich; extra == "cli"',
            ],
            Provides_Extra=["cli", "fast"],
            Project_Url=["Documentation, https://acme.example/docs", "Source, https://git.acme.example/client"],
            Classifier=[
                "Development Status :: 5 - Production/Stable",
                "Intended Audience :: Developers",
                "Programming Language :: Python :: 3.12",
                "Programming Language :: Python :: 3.13",
                "Typing :: Typed",
            ],
        )
        yield make_wheel(folder, "acme-client", version, **fields)
        yield make_sdist(folder, "acme-client", version, **fields)


def _kernels(folder: Path) -> Iterator[Path]:
    """A thousand files: small ones, since what counts is their number."""
    platforms = (
        "manylinux_2_28_x86_64",
        "manylinux_2_28_aarch64",
        "macosx_11_0_arm64",
        "win_amd64",
        "musllinux_1_2_x86_64",
    )
    for minor in range(40):
        version = f"1.{minor}"
        core = metadata("acme-kernels", version, Summary="Compiled kernels for every platform there is")
        info = f"acme_kernels-{version}.dist-info"
        wheel = {f"{info}/METADATA": core, f"{info}/WHEEL": b"Wheel-Version: 1.0\n", f"{info}/RECORD": b""}
        data = zip_bytes(wheel)
        for python in ("cp310", "cp311", "cp312", "cp313", "cp314"):
            for platform in platforms:
                path = folder / f"acme_kernels-{version}-{python}-{python}-{platform}.whl"
                path.write_bytes(data)
                yield path


def hostile(readme: str, content_type: str) -> dict[str, str | list[str]]:
    return described(
        readme,
        content_type,
        Summary=f"Hostile {' '.join(ATTACKS)}"[:500],
        Author=ATTACKS[0],
        Author_Email=f'"{ATTACKS[1]}" <javascript:alert(1)@evil.example>, x" onclick="alert(1)@evil.example',
        Maintainer=ATTACKS[2],
        License=ATTACKS[2],
        Keywords=",".join(ATTACKS),
        Home_Page="javascript:alert(1)",
        Download_Url="data:text/html,<script>alert(1)</script>",
        Classifier=[f"{attack} :: {attack}" for attack in ATTACKS],
        Project_Url=[
            "One, javascript:alert(1)",
            f"{SCRIPT}, https://evil.example/",
            'Two, https://evil.example/"onmouseover="alert(1)',
            "Three, vbscript:alert(1)",
            "Four, //evil.example/",
        ],
        Provides_Extra=["<script>alert(1)</script>"],
        Requires_Dist=["demo @ https://evil.example/<script>alert(1)</script>"],
    )


def fill(services: Services, folder: Path) -> None:
    """Put the show into store, index and catalog."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = []
    for path in files(folder):
        with path.open("rb") as content:
            services.files.save(path.name, content, sha256_of(content))
        keys.append(path.name)
    failed = [each for each in sync.sync_all(services.files, services.index, keys) if each.action != "written"]
    assert not failed, failed
    decisions.yank(services, ACTOR, "acme_client-2.0-py3-none-any.whl", "signs with the wrong key")
    decisions.yank(services, ACTOR, "acme_client-2.0.tar.gz", "signs with the wrong key")
    decisions.yank(services, ACTOR, "acme_client-1.0.tar.gz", "")
    for version in ("1.0", "1.1"):
        decisions.yank(services, ACTOR, f"hostile_rst-{version}-py3-none-any.whl", ATTACKS[0])
    decisions.set_status(services, ACTOR, NormalizedName("archive-tool"), "archived", "Use acme-client.")
    decisions.set_status(
        services, ACTOR, NormalizedName("held-back"), "quarantined", "Somebody else may have uploaded it."
    )
    decisions.set_status(services, ACTOR, NormalizedName("hostile-markdown"), "deprecated", ATTACKS[2])
    with_subscribers(services).events.tell([Outcome(key, "written") for key in keys])
