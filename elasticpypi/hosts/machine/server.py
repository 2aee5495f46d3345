"""One machine: the web server and its workers, and the follower of the packages.

Workers serve the application; one more process brings the index up to date with the folder or bucket and follows it.
The main process only keeps them running (:mod:`elasticpypi.hosts.machine.processes`).
"""

import logging
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elasticpypi import __version__, wiring
from elasticpypi.accounts import first_user
from elasticpypi.config import Config
from elasticpypi.core.errors import ConfigurationError, Refusal, Unavailable
from elasticpypi.hosts.machine import connections, follower, processes, tls
from elasticpypi.hosts.machine.listeners import Listeners
from elasticpypi.hosts.machine.web_server import WebServer, stop_once
from elasticpypi.indexing import heartbeat
from elasticpypi.services import Services
from elasticpypi.web import proxies

if TYPE_CHECKING:
    from elasticpypi.hosts.machine.downloads import Recorder
    from elasticpypi.web.response_cache import ResponseCache

log = logging.getLogger(__name__)


def serve(config: Config) -> None:
    """Serve until a stop (:mod:`elasticpypi.hosts.machine.processes` says what that is, and what SIGHUP does).

    :class:`ConfigurationError` if the address cannot be used or a setting does not fit, :class:`Unavailable` if the
    folder or bucket cannot be read.
    """
    if config.on_aws and config.upstream:
        raise ConfigurationError("No other index can be asked over a bucket yet: leave out UPSTREAM, or BUCKET.")
    listeners = Listeners(config.listen, config.port)
    host, port = listeners.address[:2]
    url = config.public_url or first_user.address(config, host, port)
    if config.on_aws and not config.users:
        raise ConfigurationError("No user is set: set USERNAME and PASSWORD, or USERS.")
    # A forked process shares what is imported here, and is there in a moment. No fork survives some libraries of macOS.
    forking = sys.platform == "linux"
    multiprocessing.set_start_method("fork" if forking else "spawn", force=True)
    room = connections.room()
    web_server = WebServer(host, port, config.workers, room)
    certificate = None
    if config.tls_cert and config.tls_key:
        certificate = tls.Certificate(config.tls_cert, config.tls_key, web_server.gets_along)
        certificate.load()
    state = Path(tempfile.gettempdir()) / f"elasticpypi-{os.getpid()}.json"  # for who follows a bucket
    services = wiring.services(config)
    services.files.check()
    services.index.check()
    services.claim("")
    if missing := services.log.missing():
        click.echo(f"Warning: {missing} Until then, events wait in the index.\n", err=True)
    else:
        services.policy.check()
    settings, greeting = first_user.logged_in(config, url)
    place = f"the bucket {config.bucket}" if config.on_aws else config.data.resolve()
    public = f", for everybody at {config.public_url}/simple/" if config.public_url else ""
    here = first_user.address(config, host, port)
    click.echo(f"elasticpypi {__version__} serves {place} at {here}/simple/{public}\n\n{greeting}", err=True)
    if services.upstreams:
        from elasticpypi.upstream.upstreams import remember

        with suppress(Unavailable):  # what may be lost
            remember(services.state, config.upstream)
    for each in services.upstreams() if services.upstreams else ():
        click.echo(f"What is not here comes from {each.client.address} (the index {each.name!r})", err=True)
    made: _Application | None = None

    def make() -> None:
        """What workers share, with the settings of now; on AWS, connections would be open by then."""
        nonlocal made
        if forking and not config.on_aws:
            made = _application(settings, state)

    def renew() -> bool:
        nonlocal settings
        try:
            settings, _ = first_user.logged_in(config, url)  # the password may be another one
            if certificate:
                certificate.load()
            make()
        except (ConfigurationError, Refusal) as error:
            log.error("%s Everything goes on as before.", error)
            return False
        return True

    def worker(number: int) -> Any:
        listener = listeners.of(number)
        only = partial(listeners.close, number) if forking else None
        load = partial(_load, os.getpid(), listener.fileno(), only, room, made, settings, state)
        pair = (certificate.cert, certificate.key) if certificate else None
        return web_server.worker(number, listener, load, pair)

    with processes.Keeper() as keeper, closing(listeners):  # closed first: a stop takes no more connections
        begin = listeners.close if forking else None
        if not config.on_aws:
            follower.keep_on_folder(config, keeper, begin)
        elif config.follow == "listing":
            follower.keep_on_bucket(config, keeper, begin, state)
        if keeper.stopping:  # an index that is not whole yet has no workers
            return
        make()
        for number in range(config.workers):
            keeper.keep("answers requests", partial(worker, number), partial(listeners.withdraw, number))
        if certificate:
            keeper.run(renew, certificate.changed, tls.LOOK)
        else:
            keeper.run(renew)


@dataclass(frozen=True, slots=True)
class _Application:
    """The application behind its response cache; ``begin`` is called in each worker, and opens what no fork shares.

    ``recorder`` is told who fetches files, if anybody is.
    """

    cached: "ResponseCache"
    config: Config
    begin: Callable[[], None] = lambda: None
    recorder: "Recorder | None" = None


def _application(config: Config, state: Path) -> _Application:
    if config.on_aws:
        services = wiring.services(config)
        if config.follow == "listing":
            services = replace(services, behind=partial(heartbeat.behind, state))
        return _Application(_cached(services), config)
    files, index = wiring.folder(config)
    services = wiring.on_folder(config, files, index)
    cached = _cached(services)
    recorder = _recorder(services)

    def begin() -> None:
        index.served = True
        if recorder:
            recorder.begin()
        changes, first_match = index.changes(), services.first_match

        def mark() -> bytes | None:
            written = changes.mark()
            return None if written is None or first_match is None else written + first_match.mark()

        cached.mark = mark

    return _Application(cached, config, begin, recorder)


def _recorder(services: Services) -> "Recorder | None":
    if services.config.downloads == "none" or services.open_downloads is None:
        return None
    from elasticpypi.hosts.machine.downloads import Recorder

    return Recorder(services.open_downloads())


def _cached(services: Services) -> "ResponseCache":
    from elasticpypi.web.app import create_app
    from elasticpypi.web.response_cache import ResponseCache

    app = create_app(services)
    return ResponseCache(app, services.repository, services.permissions, app.extensions["authenticator"])


def _load(
    parent: int,
    listener: int,
    begin: Callable[[], None] | None,
    room: int,
    made: _Application | None,
    config: Config,
    state: Path,
) -> Any:
    """The application, in a worker of the process ``parent``, which has ``made`` it already if it was forked.

    It takes connections from the descriptor ``listener``, and calls ``begin`` first.
    """
    from elasticpypi.hosts.machine.access_log import logged
    from elasticpypi.hosts.machine.downloads import PATHS

    processes.end_with(parent)
    if begin:
        begin()
    stop_once(listener)
    application = made or _application(config, state)
    application.begin()
    bodies = connections.Bodies(connections.BODIES)
    connections.watch(bodies, room)
    # Connections are those of proxies; what is said of clients is inside of that.
    record = (application.recorder, PATHS[application.config.downloads]) if application.recorder else ()
    app = proxies.behind(logged(application.cached, 1, *record), application.config)
    return processes.closing(connections.bounded(app, bodies))
