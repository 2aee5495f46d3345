"""Between the application and Lambda: what is larger than an answer of Lambda can be goes another way.

A page is compressed for those who do not say that they cannot read it so; the root list, if that is too
large even then, is fetched from the bucket; whoever can have neither is told what to ask for.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask, Request, Response
from werkzeug.datastructures import Headers

from elasticpypi.core import simple_api
from elasticpypi.core.errors import NotAcceptable, Unavailable
from elasticpypi.storage.aws.s3 import INLINE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGEST = INLINE  # bytes of a body
TOO_LARGE = "larger than AWS Lambda can send"


class _Answer(NamedTuple):
    status: str
    headers: Headers
    body: Iterable[bytes]

    @property
    def fits(self) -> bool:
        return self.status[:3] != "200" or int(self.headers.get("Content-Length", 0)) <= LARGEST

    @property
    def compressed(self) -> bool:
        return "Content-Encoding" in self.headers


class ResponseLimit:
    """A WSGI application; ``link`` says where the root page of a serial can be fetched, None: nowhere."""

    def __init__(self, app: Flask, link: Callable[[int], str | None]) -> None:
        self._app = app
        self._link = link

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            return self._app(environ, start_response)
        try:
            return self._get(environ, start_response)
        except Exception as error:  # while the body was read, of which nothing has been sent yet
            with self._app.request_context(dict(environ)):
                return self._refuse(error)(environ, start_response)

    def _get(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = self._ask(environ)
        if not answer.fits and not answer.compressed and "HTTP_ACCEPT_ENCODING" not in environ:
            # RFC 9110, 12.5.3: without the header, any encoding will do.
            _close(answer)
            answer = self._ask({**environ, "HTTP_ACCEPT_ENCODING": "gzip"})
        if answer.fits:
            try:
                body = b"".join(answer.body)
            finally:
                _close(answer)
            start_response(answer.status, list(answer.headers))
            return [body]
        _close(answer)
        with self._app.request_context(dict(environ)) as context:
            return self._instead(context.request, answer)(environ, start_response)

    def _ask(self, environ: "WSGIEnvironment") -> _Answer:
        begun: list[tuple[str, Headers]] = []

        def listen(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
            begun.append((status, Headers(headers)))
            return lambda _: None

        body = self._app(dict(environ), listen)
        return _Answer(*begun[-1], body)

    def _instead(self, request: Request, answer: _Answer) -> Response:
        if not answer.compressed:
            return self._refuse(NotAcceptable(f"This page is {TOO_LARGE}: ask for it with Accept-Encoding: gzip."))
        if request.path != "/simple/":
            return self._refuse(NotAcceptable(f"This page is {TOO_LARGE}, compressed too."))
        if answer.headers["Content-Type"] != simple_api.JSON:
            text = f"The list of all projects in HTML is {TOO_LARGE}: ask for it with Accept: {simple_api.JSON}."
            return self._refuse(NotAcceptable(text))
        link = self._link(int(answer.headers[simple_api.LAST_SERIAL]))
        if link is None:  # why it could not be put there is in the log
            return self._refuse(Unavailable("The list of all projects is not in the bucket yet: try again."))
        return Response(status=302, headers={"Location": link, "Cache-Control": "no-store"})  # REQ-70

    def _refuse(self, error: Exception) -> Response:
        """As the application itself would."""
        return self._app.make_response(self._app.handle_user_exception(error))


def _close(answer: _Answer) -> None:
    getattr(answer.body, "close", lambda: None)()
