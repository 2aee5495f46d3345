"""One machine: the web server and its workers, and the watcher of the folder.

Granian (RATIONALE.md says why) serves the application in spawned worker processes; the main process
brings the index up to date, watches the folder and passes signals on.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from functools import partial
from typing import Any
from urllib.parse import quote

import click

from elasticpypi import __version__, audit, catalog, first_user, sync, wiring
from elasticpypi.config import Config
from elasticpypi.errors import ConfigurationError

THREADS = 64  # per worker; one serves one request, and is held by a client that is slow
MANY = 100
PATIENCE = 30  # seconds that a stop waits for requests in flight
ACCESS_LINE = '[%(time)s] %(addr)s "%(method)s %(path)s" %(status)d %(dt_ms).1f ms'


class _OnePath(logging.Filter):
    """The path arrives percent-decoded: a line break in it would forge a line of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        atoms: Any = record.args
        atoms["path"] = quote(atoms["path"].encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~")
        return True


class _Advice(logging.Filter):
    """Granian's hints on threads are for whoever configures it, which is us."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("Configuration allows", "Configured number"))


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s: %(message)s"}, "access": {"format": "%(message)s"}},
    "filters": {"path": {"()": _OnePath}, "advice": {"()": _Advice}},
    "handlers": {
        "plain": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["advice"]},
        "access": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "access",
            "filters": ["path"],
        },
    },
    "loggers": {
        "_granian": {"handlers": ["plain"], "propagate": False},
        "granian.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
        "elasticpypi": {"handlers": ["plain"], "level": "INFO", "propagate": False},
    },
}


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; then requests in flight are finished, for half a minute at most.

    :class:`ConfigurationError` if the address cannot be used or a setting does not fit.
    """
    host, port = _free_address(config.listen, config.port)
    url = f"http://{_shown_host(host)}:{port}"
    if config.on_aws and not config.users:
        raise ConfigurationError("No user is set: set USERNAME and PASSWORD, or USERS.")
    services = wiring.services(config)
    services.files.check()
    services.index.check()
    place = f"the bucket {config.bucket}" if config.on_aws else config.data.resolve()
    help_text = first_user.login_help(config, url)
    click.echo(f"elasticpypi {__version__} serves {place} at {url}/simple/\n\n{help_text}", err=True)
    stop = threading.Event()
    if not config.on_aws:
        _follow(services, stop)
    try:
        _granian(host, port, config.workers).serve(target_loader=partial(_load, os.getpid()), wrap_loader=False)
    finally:
        stop.set()


def _follow(services: wiring.Services, stop: threading.Event) -> None:
    """Bring the index up to date with the folder, and keep it so until ``stop`` is set."""
    from elasticpypi.local.directory import DirectoryFiles, watch

    files, index = services.files, services.index
    assert isinstance(files, DirectoryFiles)
    files.remove_leftovers()
    os.environ["TMPDIR"] = str(files.incoming.resolve())  # uploads wait on the disk of the packages
    refresh = partial(catalog.refresh, index, services.catalog)
    threading.Thread(target=watch, args=(files, index, stop, refresh), daemon=True).start()
    keys = list(audit.changed_keys(files, index))
    if len(keys) > MANY:
        click.echo(f"Reading {len(keys)} files that are new or changed ...", err=True)
    for _ in sync.sync_all(files, index, keys):
        pass
    refresh(keys)


def _granian(host: str, port: int, workers: int) -> Any:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    multiprocessing.set_start_method("spawn", force=True)  # a fork would copy the locks of the watcher's thread
    return Granian(
        "elasticpypi",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=60_000),
        websockets=False,
        workers=workers,
        blocking_threads=THREADS,
        backpressure=256,
        workers_kill_timeout=PATIENCE,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
        log_dictconfig=LOGGING,
        log_access=True,
        log_access_format=ACCESS_LINE,
    )


def _load(parent: int) -> Any:
    """The application, in a worker of the process ``parent``."""
    from granian import _signals

    from elasticpypi.app import create_app
    from elasticpypi.front import Front

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a stop that comes while we import must not be lost
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process too, which sends SIGTERM
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: no orphan goes on serving
    if os.getppid() != parent:
        os._exit(0)
    _signals.set_sync_signals = _stop_once
    services = wiring.services(Config.from_env(os.environ))
    app = create_app(services)
    return Front(app, services.index, app.extensions["gatekeeper"])


def _stop_once() -> Any:
    """Instead of granian's own handler, with which a second signal leaves a worker hanging."""
    from granian._granian import WorkerSignal

    event = WorkerSignal()

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        event.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return event


def _free_address(host: str, port: int) -> tuple[str, int]:
    """Bind once without SO_REUSEPORT: with it a second server would silently share the port. 0 finds a port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            bound = probe.getsockname()
            return bound[0], bound[1]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"Cannot listen on {host}:{port} ({reason}): choose another --port or --host."
        ) from None


def _shown_host(host: str) -> str:
    """The address for people on this machine."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
