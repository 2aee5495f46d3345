"""Which representation of a page to send (RFC 9110, PEP 691)."""

from flask import request
from werkzeug.http import parse_accept_header

from elasticpypi.core.simple_api import HTML, JSON, PLAIN_HTML

# PEP 691: "latest" is answered with the type of the version that it is.
NAMES = {
    JSON: (JSON, "application/vnd.pypi.simple.latest+json"),
    HTML: (HTML, "application/vnd.pypi.simple.latest+html"),
    PLAIN_HTML: (PLAIN_HTML,),
}


def negotiate(accept: str) -> str | None:
    """An Accept header ("" if there is none) → the media type to send, None if none of ours will do.

    The highest q wins. Among equals a type that is named wins over a wildcard, JSON is the first of
    those that are named, and text/html of those that are not: browsers, curl and hatch want it (REQ-3, 4).
    """
    if not accept.strip():
        return PLAIN_HTML
    wanted = [(value.partition(";")[0].strip().lower(), q) for value, q in parse_accept_header(accept)]
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen = None
    for place, media_type in enumerate((JSON, HTML, PLAIN_HTML)):
        ranges = (*NAMES[media_type], f"{media_type.partition('/')[0]}/*", "*/*")
        for specific, candidates in ((2, ranges[:-2]), (1, ranges[-2:-1]), (0, ranges[-1:])):
            found = [q for value, q in wanted if value in candidates]
            if found:  # RFC 9110: the most specific range that matches decides, also when it says q=0
                rank = (max(found), specific, -place if specific == 2 else place)
                if rank[0] > 0 and (chosen is None or rank > best):
                    best, chosen = rank, media_type
                break
    return chosen


def named(text: str) -> str | None:
    """The value of ``?format=`` → the media type that it names, None if it is none of ours (PEP 691)."""
    return next((media_type for media_type, names in NAMES.items() if text.strip().lower() in names), None)


def prefers_html() -> bool:
    """Whether a person is there: browsers want text/html most of all, and name more; old installers name it alone."""
    accepted = request.accept_mimetypes
    best = accepted.best_match(["text/plain", JSON, HTML, PLAIN_HTML])
    return best == PLAIN_HTML and len(accepted) > 1
