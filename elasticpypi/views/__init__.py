"""What is asked over HTTP → one call → an answer. A blueprint per surface."""

from typing import Any

from flask import Response
from werkzeug.datastructures import Headers


class Representation(Response):
    """Names its type in a 304 too: API Gateway would make one up, and pip's cache believe it of the page."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        headers = super().get_wsgi_headers(environ)
        if self.status_code == 304:
            headers["Content-Type"] = self.headers["Content-Type"]
        return headers
