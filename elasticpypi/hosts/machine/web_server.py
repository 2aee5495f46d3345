"""Granian, the web server (RATIONALE.md says why), and everything of ours that reaches into it.

``tests/hosts`` (processes, connections, TLS) fails when an update of it changes what we rely on.
"""

import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from elasticpypi.hosts.machine import connections, processes, tls

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s: %(message)s"}},
    "handlers": {"plain": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        "_granian": {"handlers": ["plain"], "propagate": False},
        "elasticpypi": {"handlers": ["plain"], "level": "INFO", "propagate": False},
    },
}


class WebServer:
    """What makes workers: processes that answer requests. ``room`` is how many connections each may have."""

    def __init__(self, host: str, port: int, workers: int, room: int) -> None:
        from granian import Granian
        from granian.constants import HTTPModes, Interfaces, RuntimeModes
        from granian.http import HTTP1Settings
        from granian.log import LogLevels

        self._granian: Any = Granian(
            "elasticpypi",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            runtime_mode=RuntimeModes.mt,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=60_000),
            websockets=False,
            workers=workers,
            blocking_threads=connections.THREADS,
            backlog=connections.BACKLOG,
            backpressure=room,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGING,
        )

    def worker(
        self, number: int, listener: socket.socket, load: Callable[[], Any], certificate: tuple[str, str] | None = None
    ) -> Any:
        """A process, not yet started, that takes connections from ``listener``, which outlives it.

        It calls ``load`` for its application. ``certificate`` and its key are paths to PEM: it speaks TLS, 1.2 for the
        sake of old clients.
        """
        from granian import net

        granian = self._granian
        listener.listen(granian.backlog)
        holder: Any = net.__dict__["SocketHolder"]
        backlog = (granian.backlog,) if sys.platform == "linux" else ()
        granian._ssp, granian._shd, granian._sso = None, holder(listener.fileno(), False, *backlog), listener
        if certificate:
            granian.ssl_ctx = True, *certificate, None, "tls1.2", None, [], False
        return granian._spawn_worker(number, granian._spawn_wsgi_worker, load).inner

    def gets_along(self, cert: str, key: str) -> bool:
        """Whether a worker gets along with certificate and key: it knows less than OpenSSL does."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            process = self.worker(0, listener, partial(_nothing, os.getpid()), (cert, key))
            process.start()
            port = listener.getsockname()[1]
        try:
            return tls.shakes_hands(port)
        finally:
            process.kill()
            process.join()


def stop_once(listener: int) -> None:
    """In a worker: its signals are handled by us, and end it without a connection that was taken and not answered."""
    from granian import _signals
    from granian._granian import WorkerSignal

    _signals.set_sync_signals = lambda: processes.stop_once(WorkerSignal(), listener)


def _nothing(parent: int) -> Any:
    """An application that nobody asks for anything, in a process that says nothing."""
    processes.end_with(parent)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    return lambda *_: []
