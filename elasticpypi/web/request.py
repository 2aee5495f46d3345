"""What a request may cost before any view has it, where Flask and Werkzeug have no bounds of their own.

Everything that reaches into Werkzeug is here; ``tests/web/test_odd_uploads.py`` and ``tests/web/test_app.py`` fail when
an update of it changes what we rely on.
"""

import io
import tempfile
from pathlib import Path
from typing import IO, Any, cast

from flask import Request, current_app
from werkzeug import formparser
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.routing import Rule
from werkzeug.sansio.multipart import MultipartDecoder

from elasticpypi.config import MEGABYTE
from elasticpypi.core.errors import Unavailable

LARGEST_HEADERS = 64 * 1024
LARGEST_FORM = 16 * MEGABYTE  # REQ-127: a long README in the form is more than Werkzeug's 500 kB,
MOST_FIELDS = 20_000  # many classifiers more than 1,000 parts
REQUEST_ID = "elasticpypi.request_id"  # in the environment of a request, where the host gives it one
IN_MEMORY = 512 * 1024  # bytes of a file


class BoundedRule(Rule):
    """Nothing here makes addresses of routes; the code that could takes 11 of the 14 ms of ``create_app``."""

    def _compile_builder(self, append_unknown: bool = True) -> Any:
        return lambda rule, **values: None


class _Parts(MultipartDecoder):
    """Werkzeug reads the headers of a part in time that grows with their length: a second for each megabyte."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > LARGEST_HEADERS:
            raise RequestEntityTooLarge
        return super()._parse_headers(data)


class _Forms(FormDataParser):
    """Werkzeug bounds the forms of multipart/form-data; urlencoded ones cost forty times their size."""

    def _parse_multipart(self, *args: Any, **kwargs: Any) -> Any:
        formparser.MultipartDecoder = _Parts  # type: ignore[attr-defined]  # which it looks up by this name
        return super()._parse_multipart(*args, **kwargs)

    def _parse_urlencoded(self, stream: IO[bytes], *args: Any, **kwargs: Any) -> Any:
        data = stream.read(LARGEST_FORM + 1)
        if len(data) > LARGEST_FORM or data.count(b"&") >= MOST_FIELDS:
            raise RequestEntityTooLarge
        return super()._parse_urlencoded(io.BytesIO(data), *args, **kwargs)


class BoundedRequest(Request):
    """Closes what was received of a file also when the rest of the body never came.

    A server that ends the input by itself (granian) does so too when the client has hung up: Werkzeug
    then has to hold what came against Content-Length.
    """

    form_data_parser_class = _Forms

    def __init__(self, environ: Any, *args: Any, **kwargs: Any) -> None:
        if environ.get("CONTENT_LENGTH"):
            environ.pop("wsgi.input_terminated", None)
        super().__init__(environ, *args, **kwargs)

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        spool: Path | None = current_app.config["SPOOL"]
        try:  # where a large one waits, if somebody cleaned that away
            if spool:
                spool.mkdir(0o700, exist_ok=True)
        except FileNotFoundError:
            raise Unavailable("The folder of packages is not there, nothing can be stored. Mount it again.") from None
        except OSError:  # it may only be read: then nothing can be stored, and the upload is told so
            spool = None
        stream = cast(IO[bytes], tempfile.SpooledTemporaryFile(IN_MEMORY, "rb+", dir=str(spool) if spool else None))  # noqa: SIM115
        self.environ.setdefault("elasticpypi.streams", []).append(stream)
        return stream

    def close(self) -> None:
        super().close()
        for stream in self.environ.get("elasticpypi.streams", []):
            stream.close()
