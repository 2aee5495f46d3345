"""What is asked over HTTP → one call → an answer. A module per surface; ``routes.py`` says which view is where."""

import zlib
from functools import cache
from pathlib import Path
from typing import Any

from flask import Response
from werkzeug.datastructures import Headers

PROGRAM = Path(__file__).parents[2]


@cache
def program() -> str:
    """What differs whenever a module or a template does: pages of the same facts may then be others."""
    number = 0
    for path in sorted(PROGRAM.rglob("*")):
        if path.suffix in (".py", ".html"):
            number = zlib.crc32(path.read_bytes(), number)
    return f"{number:08x}"


class Representation(Response):
    """Names its type in a 304 too: API Gateway would make one up, and pip's cache believe it of the page."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        headers = super().get_wsgi_headers(environ)
        if self.status_code == 304:
            headers["Content-Type"] = self.headers["Content-Type"]
        return headers
