"""What a browser would find in HTML, by html5lib, which reads it as browsers do."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import html5lib

FETCHING = ("src", "srcset", "data", "poster", "action", "formaction", "background", "ping")
SCRIPTS = (
    "script",
    "style",
    "iframe",
    "object",
    "embed",
    "base",
    "meta",
    "link",
    "svg",
    "math",
    "form",
    "img",
    "video",
)


@dataclass(frozen=True)
class Tags:
    """The elements of a document or a part of one."""

    elements: tuple[Element, ...]

    @classmethod
    def of(cls, html: str) -> "Tags":
        root = html5lib.parseFragment(html, namespaceHTMLElements=False)
        return cls(tuple(each for each in root.iter() if isinstance(each.tag, str) and each.tag != "DOCUMENT_FRAGMENT"))

    @property
    def names(self) -> set[str]:
        return {element.tag for element in self.elements}

    def all(self, name: str) -> Iterator[Element]:
        return (element for element in self.elements if element.tag == name)


def harmless(html: str, ours: frozenset[str] = frozenset()) -> list[str]:
    """What in HTML could run, fetch or lead where it should not; ``ours`` are elements that a page may have."""
    found = []
    for element in Tags.of(html).elements:
        if element.tag in SCRIPTS and element.tag not in ours:
            found.append(f"<{element.tag}>")
        for name, value in element.attrib.items():
            if name.startswith("on") or name in ("style", "srcdoc", "http-equiv", "target"):
                found.append(f"{element.tag} {name}={value}")
            if name in FETCHING and (":" in value or value.startswith("//")):
                found.append(f"{element.tag} {name}={value}")
            if name == "href" and urlsplit(value).scheme not in ("", "http", "https", "mailto"):
                found.append(f"{element.tag} {name}={value}")
            if name == "href" and value.startswith("//"):
                found.append(f"{element.tag} {name}={value}")
    return found
