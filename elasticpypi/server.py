"""One machine: the web server and its workers, and the watcher of the folder.

Granian (RATIONALE.md says why) serves the application in worker processes; one more process brings the index up to
date with the folder and follows it. The main process only keeps them running (:mod:`elasticpypi.processes`).
"""

import logging
import logging.config
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elasticpypi import __version__, connections, first_user, heartbeat, processes, proxies, tls, wiring
from elasticpypi.config import Config
from elasticpypi.errors import ConfigurationError, Refusal, Unavailable
from elasticpypi.listeners import Listeners

if TYPE_CHECKING:
    from elasticpypi.front import Front

MANY = 100
NICENESS = 5  # of the process that follows the folder: answers come first

log = logging.getLogger(__name__)


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


def serve(config: Config) -> None:
    """Serve until a stop (:mod:`elasticpypi.processes` says what that is, and what SIGHUP does).

    :class:`ConfigurationError` if the address cannot be used or a setting does not fit, :class:`Unavailable` if the
    folder or bucket cannot be read.
    """
    listeners = Listeners(config.listen, config.port)
    host, port = listeners.address[:2]
    url = first_user.address(config, host, port)
    if config.on_aws and not config.users:
        raise ConfigurationError("No user is set: set USERNAME and PASSWORD, or USERS.")
    # A forked process shares what is imported here, and is there in a moment. No fork survives some libraries of macOS.
    forking = sys.platform == "linux"
    multiprocessing.set_start_method("fork" if forking else "spawn", force=True)
    room = connections.room()
    granian = _granian(host, port, config.workers, room)
    certificate = None
    if config.tls_cert and config.tls_key:
        certificate = tls.Certificate(config.tls_cert, config.tls_key, partial(_serves, granian))
        certificate.load()
    services = wiring.services(config)
    services.files.check()
    services.index.check()
    place = f"the bucket {config.bucket}" if config.on_aws else config.data.resolve()
    help_text = first_user.login_help(config, config.public_url or url)
    public = f", for everybody at {config.public_url}/simple/" if config.public_url else ""
    click.echo(f"elasticpypi {__version__} serves {place} at {url}/simple/{public}\n\n{help_text}", err=True)
    made: tuple[wiring.Services, Front] | None = None
    state = Path(tempfile.gettempdir()) / f"elasticpypi-{os.getpid()}.json"  # for who follows a bucket

    def make() -> None:
        """What workers share, with the settings of now."""
        nonlocal made
        if forking and not config.on_aws:  # where connections may be open by now, which forks must not share
            new = replace(services, config=Config.from_env(os.environ))
            made = new, _application(new)

    def renew() -> bool:
        try:
            first_user.login_help(config, config.public_url or url)  # the password may be another one
            if certificate:
                certificate.load()
            make()
        except (ConfigurationError, Refusal) as error:
            log.error("%s Everything goes on as before.", error)
            return False
        return True

    def worker(number: int) -> Any:
        listener = listeners.of(number)
        _listen(granian, listener)
        if certificate:
            _encrypt(granian, certificate.cert, certificate.key)
        only = partial(listeners.close, number) if forking else None
        load = partial(_load, os.getpid(), listener.fileno(), only, room, made, state)
        return granian._spawn_worker(number, granian._spawn_wsgi_worker, load).inner

    with processes.Keeper() as keeper, closing(listeners):  # closed first: a stop takes no more connections
        begin = listeners.close if forking else None
        if not config.on_aws:
            _follow_folder(config, services, keeper, begin)
        elif config.follow == "listing":
            arguments = config, os.getpid(), begin, state
            keeper.keep("follows the bucket", lambda: _process(_follow_bucket, arguments))
        make()
        for number in range(config.workers):
            keeper.keep("answers requests", partial(worker, number), partial(listeners.withdraw, number))
        if certificate:
            keeper.run(renew, certificate.changed, tls.LOOK)
        else:
            keeper.run(renew)


def _follow_folder(
    config: Config, services: wiring.Services, keeper: processes.Keeper, begin: Callable[[], None] | None
) -> None:
    """Have a process follow the folder, which calls ``begin`` first; :class:`Unavailable` if it cannot be read.

    An index that was whole before is served at once, and what has changed since comes in as it does at any other
    time. A new one is made whole first: what is not in it yet would be a 404, and installers would look elsewhere.
    """
    from elasticpypi.local.directory import DirectoryFiles
    from elasticpypi.local.sqlite import SQLiteIndex

    files, index = services.files, services.index
    assert isinstance(files, DirectoryFiles)
    assert isinstance(index, SQLiteIndex)
    with suppress(OSError):  # of a folder that may only be read
        files.incoming.mkdir(exist_ok=True)
        os.environ["TMPDIR"] = str(files.incoming.resolve())  # uploads wait on the disk of the packages
    with index.writing():  # which fails now, if it does
        pass
    whole = index.is_whole()
    index.close()  # no connection may be on both sides of a fork
    told, tell = multiprocessing.Pipe(duplex=False)
    tells = [] if whole else [tell]

    def make() -> Any:
        arguments = config, os.getpid(), begin, tells.pop() if tells else None
        return multiprocessing.Process(target=_follow, args=arguments)

    follower = keeper.keep("follows the folder", make)
    import_module("elasticpypi.app")  # for the workers, while the folder is looked at
    while not whole and keeper.wait(None, told):
        if told.poll() or follower.exitcode is not None:
            if refusal := told.recv() if told.poll() else "The folder of packages cannot be followed.":
                raise Unavailable(refusal)
            whole = True


def _follow(config: Config, parent: int, begin: Callable[[], None] | None, tell: Connection | None) -> None:
    """Bring the index up to date with the folder, ``tell`` "" or why not, and keep it so; in a process of its own."""
    from elasticpypi.local.directory import DirectoryFiles
    from elasticpypi.local.sqlite import SQLiteIndex
    from elasticpypi.local.watcher import Follower

    processes.end_with(parent)
    if begin:
        begin()
    if tell is None:
        os.nice(NICENESS)
    logging.config.dictConfig(LOGGING)
    services = wiring.services(config)
    files, index = services.files, services.index
    assert isinstance(files, DirectoryFiles)
    assert isinstance(index, SQLiteIndex)
    follower = Follower(files, index, services.catalog, config.data)
    if tell:
        try:
            follower.look(_announce)
            tell.send("")
        except Refusal as error:
            tell.send(str(error))
            sys.exit(1)
    follower.follow(threading.Event())


def _process(target: Callable[..., None], arguments: tuple[Any, ...]) -> Any:
    return multiprocessing.Process(target=target, args=arguments)


def _follow_bucket(config: Config, parent: int, begin: Callable[[], None] | None, state: Path) -> None:
    """Keep the table in step with the bucket; in a process of its own."""
    from elasticpypi.aws.follower import Follower

    processes.end_with(parent)
    if begin:
        begin()
    logging.config.dictConfig(LOGGING)
    Follower(wiring.services(config), state).follow(threading.Event())


def _announce(count: int) -> None:
    if count > MANY:
        click.echo(f"Reading {count} files that are new or changed ...", err=True)


def _granian(host: str, port: int, workers: int, room: int) -> Any:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, RuntimeModes
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    return Granian(
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


def _listen(granian: Any, listener: socket.socket) -> None:
    """Have the next worker of ``granian`` take its connections from ``listener``, which outlives it."""
    from granian import net

    listener.listen(granian.backlog)
    holder: Any = net.__dict__["SocketHolder"]
    backlog = (granian.backlog,) if sys.platform == "linux" else ()
    granian._ssp, granian._shd, granian._sso = None, holder(listener.fileno(), False, *backlog), listener


def _encrypt(granian: Any, cert: str, key: str) -> None:
    """Have the next worker of ``granian`` speak TLS: 1.2 for the sake of old clients."""
    granian.ssl_ctx = True, cert, key, None, "tls1.2", None, [], False


def _serves(granian: Any, cert: str, key: str) -> bool:
    """Whether a worker gets along with certificate and key: it knows less than OpenSSL does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _listen(granian, listener)
        _encrypt(granian, cert, key)
        load = partial(_nothing, os.getpid())
        process = granian._spawn_worker(0, granian._spawn_wsgi_worker, load).inner
        process.start()
        port = listener.getsockname()[1]
    try:
        return tls.shakes_hands(port)
    finally:
        process.kill()
        process.join()


def _nothing(parent: int) -> Any:
    """An application that nobody asks for anything, in a process that says nothing."""
    processes.end_with(parent)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    return lambda *_: []


def _application(services: wiring.Services) -> "Front":
    from elasticpypi.app import create_app
    from elasticpypi.front import Front

    app = create_app(services)
    return Front(app, services.index, app.extensions["gatekeeper"])


def _load(
    parent: int,
    listener: int,
    begin: Callable[[], None] | None,
    room: int,
    made: "tuple[wiring.Services, Front] | None",
    state: Path,
) -> Any:
    """The application, in a worker of the process ``parent``, which has ``made`` it already if it was forked.

    It takes connections from the descriptor ``listener``, and calls ``begin`` first.
    """
    from granian import _signals

    from elasticpypi.access_log import logged

    processes.end_with(parent)
    if begin:
        begin()
    _signals.set_sync_signals = partial(processes.stop_once, listener)
    if made:
        services, front = made
    else:
        services = wiring.services(Config.from_env(os.environ))
        if services.config.on_aws and services.config.follow == "listing":
            services = replace(services, behind=partial(heartbeat.behind, state))
        front = _application(services)
    if not services.config.on_aws:
        from elasticpypi.local.sqlite import SQLiteIndex

        assert isinstance(services.index, SQLiteIndex)
        services.index.served = True
        front.mark = services.index.changes().mark
    bodies = connections.Bodies(connections.BODIES)
    connections.watch(bodies, room)
    # Connections are those of proxies; what is said of clients is inside of that.
    app = proxies.behind(logged(front), services.config)
    return processes.closing(connections.bounded(app, bodies))
