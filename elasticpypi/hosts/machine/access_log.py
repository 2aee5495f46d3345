"""The access log of one machine: a line per request on standard output.

Granian has one too, by Python's ``logging``: four fifths of the time that Python spends on a page that is still
valid (RATIONALE.md).
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from elasticpypi.web.request import REQUEST_ID
from elasticpypi.web.response_cache import USER

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LONGEST_PATH = 2000  # a line below 4,096 bytes is written whole, whoever else writes (POSIX: PIPE_BUF)


def logged(
    app: "WSGIApplication",
    descriptor: int = 1,
    fetched: Callable[[str, str, str], None] = lambda path, user, address: None,
    files: tuple[str, ...] = (),
) -> "WSGIApplication":
    """``app``, with a line in the file ``descriptor`` whenever it answered::

        [2026-01-31 12:00:00 +0000] 127.0.0.1 alice "GET /simple/demo/" 200 0.1 ms 3f2a-1c

    ``-`` is nobody who logged in. The last word is the id of the request, which events name too. The time is what
    the application took until its answer was ready to be sent. The query is not in it.

    ``fetched`` gets path, user and address of each GET below one of the paths ``files`` that was answered with all of a
    file, or with where it is.
    """

    process, numbers = f"{int(time.time()):x}-{os.getpid():x}", count()

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status = "500"

        def listen(line: str, *rest: Any) -> Any:
            nonlocal status
            status = line[:3]
            return start_response(line, *rest)

        begin = time.perf_counter()
        environ[REQUEST_ID] = request_id = f"{process}-{next(numbers):x}"
        try:
            return app(environ, listen)
        finally:
            took = (time.perf_counter() - begin) * 1000
            path = environ["PATH_INFO"]
            what = f'"{environ["REQUEST_METHOD"]} {_shown(path)}"'
            who = environ.get("REMOTE_ADDR", "-")
            user = _shown(environ.get(USER, "-"))
            line = f"[{_clock(int(time.time()))}] {who} {user} {what} {status} {took:.1f} ms {request_id}\n"
            with suppress(OSError):  # nobody listens any more: no reason to refuse a request
                os.write(descriptor, line.encode())
            if path.startswith(files) and status in ("200", "302") and environ["REQUEST_METHOD"] == "GET":
                fetched(path, environ.get(USER, "-"), who)

    return application


@lru_cache(maxsize=1)
def _clock(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(second))


@lru_cache(maxsize=1000)
def _shown(path: str) -> str:
    """A path on one line: it arrives percent-decoded, and a line break in it would forge a line of the log."""
    return quote(path[:LONGEST_PATH].encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~")[:LONGEST_PATH]
