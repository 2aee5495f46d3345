"""One machine: the web server and its workers, and the watcher of the folder.

Granian (RATIONALE.md says why) serves the application in worker processes; one more process brings the index up to
date with the folder and follows it. The main process only starts them, and passes signals on.
"""

import ctypes
import logging
import logging.config
import multiprocessing
import os
import signal
import socket
import sys
import threading
from dataclasses import replace
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import click

from elasticpypi import __version__, connections, first_user, wiring
from elasticpypi.config import Config
from elasticpypi.errors import ConfigurationError, Refusal, Unavailable

if TYPE_CHECKING:
    from elasticpypi.front import Front

MANY = 100
RESTART = 1  # seconds
NICENESS = 5  # of the process that follows the folder: answers come first
PATIENCE = 30  # seconds that a stop waits for requests in flight

log = logging.getLogger(__name__)


class _Advice(logging.Filter):
    """Granian's hints on threads are for whoever configures it, which is us."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("Configuration allows", "Configured number"))


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s: %(message)s"}},
    "filters": {"advice": {"()": _Advice}},
    "handlers": {"plain": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["advice"]}},
    "loggers": {
        "_granian": {"handlers": ["plain"], "propagate": False},
        "elasticpypi": {"handlers": ["plain"], "level": "INFO", "propagate": False},
    },
}


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; then requests in flight are finished, for half a minute at most.

    :class:`ConfigurationError` if the address cannot be used or a setting does not fit, :class:`Unavailable` if the
    folder or bucket cannot be read.
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
    # A forked process shares what is imported here, and is there in a moment. No fork survives some libraries of macOS.
    forking = sys.platform == "linux"
    multiprocessing.set_start_method("fork" if forking else "spawn", force=True)
    _guard_forks()
    stopped = threading.Event()
    if not config.on_aws:
        _follow_folder(config, services, stopped)
    made = None
    if forking and not config.on_aws:  # where connections may be open by now, which forks must not share
        services = replace(services, config=Config.from_env(os.environ))  # with the user that was made just now
        made = services, _application(services)
    try:
        room = connections.room()
        load = partial(_load, os.getpid(), room, made)
        _granian(host, port, config.workers, room).serve(target_loader=load, wrap_loader=False)
    finally:
        stopped.set()


def _follow_folder(config: Config, services: wiring.Services, stopped: threading.Event) -> None:
    """Have a process follow the folder until this one has ``stopped``; :class:`Unavailable` if it cannot be read.

    An index that was whole before is served at once, and what has changed since comes in as it does at any other
    time. A new one is made whole first: what is not in it yet would be a 404, and installers would look elsewhere.
    """
    from elasticpypi.local.directory import DirectoryFiles
    from elasticpypi.local.sqlite import SQLiteIndex

    files, index = services.files, services.index
    assert isinstance(files, DirectoryFiles)
    assert isinstance(index, SQLiteIndex)
    os.environ["TMPDIR"] = str(files.incoming.resolve())  # uploads wait on the disk of the packages
    whole = index.is_whole()
    index.close()  # no connection may be on both sides of a fork

    def start(tell: Connection | None = None) -> Any:
        process = multiprocessing.Process(target=_follow, args=(config, os.getpid(), tell), daemon=True)
        process.start()
        return process

    def supervise(process: Any) -> None:
        while True:
            process.join()
            if stopped.wait(RESTART):
                return
            if process.exitcode != -signal.SIGTERM:  # which everybody gets when requests in flight are finished
                log.error("The process that follows the folder has ended (%s): another one does.", process.exitcode)
            process = start()

    told, tell = multiprocessing.Pipe(duplex=False)
    follower = start(None if whole else tell)
    import_module("elasticpypi.app")  # for the workers, while the folder is looked at
    if not whole:
        wait([told, follower.sentinel])
        if refusal := told.recv() if told.poll() else "The folder of packages cannot be followed.":
            raise Unavailable(refusal)
    threading.Thread(target=supervise, args=(follower,), daemon=True).start()


def _follow(config: Config, parent: int, tell: Connection | None) -> None:
    """Bring the index up to date with the folder, ``tell`` "" or why not, and keep it so; in a process of its own."""
    from elasticpypi import audit, catalog, sync
    from elasticpypi.local.directory import DirectoryFiles
    from elasticpypi.local.sqlite import SQLiteIndex
    from elasticpypi.local.watcher import watch

    _end_with(parent)
    if tell is None:
        os.nice(NICENESS)
    logging.config.dictConfig(LOGGING)
    services = wiring.services(config)
    files, index = services.files, services.index
    assert isinstance(files, DirectoryFiles)
    assert isinstance(index, SQLiteIndex)
    refresh = partial(catalog.refresh, index, services.catalog)
    refusal = ""
    try:
        files.remove_leftovers()
        keys = list(audit.changed_keys(files, index))
        if len(keys) > MANY:
            click.echo(f"Reading {len(keys)} files that are new or changed ...", err=True)
        for _ in sync.sync_all(files, index, keys):
            pass
        refresh(keys)
        index.mark_whole()
    except Refusal as error:
        refusal = str(error)
        log.error("%s", refusal)
    if tell:
        tell.send(refusal)
    if refusal:
        sys.exit(1)
    watch(files, index, threading.Event(), refresh)


def _granian(host: str, port: int, workers: int, room: int) -> Any:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    return Granian(
        "elasticpypi",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=60_000),
        websockets=False,
        workers=workers,
        blocking_threads=connections.THREADS,
        backlog=connections.BACKLOG,
        backpressure=room,
        workers_kill_timeout=PATIENCE,
        respawn_failed_workers=True,
        log_level=LogLevels.warning,
        log_dictconfig=LOGGING,
    )


def _application(services: wiring.Services) -> "Front":
    from elasticpypi.app import create_app
    from elasticpypi.front import Front

    app = create_app(services)
    return Front(app, services.index, app.extensions["gatekeeper"])


def _load(parent: int, room: int, made: "tuple[wiring.Services, Front] | None") -> Any:
    """The application, in a worker of the process ``parent``, which has ``made`` it already if it was forked."""
    from granian import _signals

    from elasticpypi.access_log import logged

    _end_with(parent)
    _signals.set_sync_signals = _stop_once
    if made:
        services, front = made
    else:
        services = wiring.services(Config.from_env(os.environ))
        front = _application(services)
    if not services.config.on_aws:
        from elasticpypi.local.sqlite import SQLiteIndex

        assert isinstance(services.index, SQLiteIndex)
        front.mark = services.index.changes().mark
    bodies = connections.Bodies(connections.BODIES)
    connections.watch(bodies, room)
    return logged(connections.bounded(front, bodies))


def _guard_forks() -> None:
    """Have a stop end a process that is just being forked; Python forgets the one that comes before its first lines."""
    stops = {signal.SIGTERM, signal.SIGINT}

    def begin() -> None:
        _signals_of_a_child()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)

    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, stops),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, stops),
        after_in_child=begin,
    )


def _signals_of_a_child() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a stop that comes while we start must not be lost
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process too, which sends SIGTERM


def _end_with(parent: int) -> None:
    """Have this process end when the one that started it does: no orphan goes on serving."""
    _signals_of_a_child()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


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
