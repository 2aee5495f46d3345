"""The process that keeps the index in step with the folder or bucket."""

import logging
import logging.config
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elasticpypi import wiring
from elasticpypi.config import Config
from elasticpypi.core.errors import Refusal, Unavailable
from elasticpypi.hosts.machine import processes
from elasticpypi.hosts.machine.web_server import LOGGING
from elasticpypi.services import Services

if TYPE_CHECKING:
    from elasticpypi.upstream.upstreams import Upstreams

MANY = 100
NICENESS = 5  # answers come first
TIDY = 300.0  # seconds between two looks at the room of files of other indexes

log = logging.getLogger(__name__)

Begin = Callable[[], None] | None


def keep_on_folder(config: Config, keeper: processes.Keeper, begin: Begin) -> None:
    """Have a process follow the folder, which calls ``begin`` first; :class:`Unavailable` if it cannot be read.

    An index that was whole before is served at once, and what has changed since comes in as it does at any other
    time. A new one is made whole first: what is not in it yet would be a 404, and installers would look elsewhere.
    """
    _, index = wiring.folder(config)
    with index.writing():  # which fails now, if it does
        pass
    whole = index.is_whole()
    index.close()  # no connection may be on both sides of a fork
    ready, writer = multiprocessing.Pipe(duplex=False)
    writers = [] if whole else [writer]

    def make() -> Any:
        arguments = config, os.getpid(), begin, writers.pop() if writers else None
        return multiprocessing.Process(target=_follow_folder, args=arguments)

    follower = keeper.keep("follows the folder", make)
    import_module("elasticpypi.web.app")  # for the workers, while the folder is looked at
    while not whole and keeper.wait(None, ready):
        if ready.poll() or follower.exitcode is not None:
            if refusal := ready.recv() if ready.poll() else "The folder of packages cannot be followed.":
                raise Unavailable(refusal)
            whole = True


def keep_on_bucket(config: Config, keeper: processes.Keeper, begin: Begin, state: Path) -> None:
    """Have a process keep the table in step with the bucket; it says in the file ``state`` how that goes."""
    arguments = config, os.getpid(), begin, state
    keeper.keep("follows the bucket", lambda: multiprocessing.Process(target=_follow_bucket, args=arguments))


def _follow_folder(config: Config, parent: int, begin: Begin, tell: Connection | None) -> None:
    """Bring the index up to date with the folder, ``tell`` "" or why not, and keep it so; in a process of its own."""
    from elasticpypi.indexing.folder_follower import Follower

    processes.end_with(parent)
    if begin:
        begin()
    if tell is None:
        os.nice(NICENESS)
    logging.config.dictConfig(LOGGING)
    files, index = wiring.folder(config)
    services = wiring.with_subscribers(wiring.on_folder(config, files, index))
    follower = Follower(files, index, services.catalog, services.events.tell, config.data, services.beside)
    if tell:
        try:
            follower.look(_announce)
            tell.send("")
        except Refusal as error:
            tell.send(str(error))
            sys.exit(1)
    _restore(services)
    if services.upstreams:
        threading.Thread(target=_tidy, args=(services.upstreams,), daemon=True).start()
    follower.follow(threading.Event())


def _tidy(upstreams: "Upstreams") -> None:
    """Remove what is left of other indexes at the start, and what there is no room for now and then."""
    while True:
        try:
            if removed := upstreams.tidy():
                log.info("%d files and pages of other indexes were removed, to make room.", removed)
        except Exception as error:  # there is a next time
            log.warning("What is kept of other indexes could not be looked at: %s", error)
        time.sleep(TIDY)


def _follow_bucket(config: Config, parent: int, begin: Begin, state: Path) -> None:
    from elasticpypi.indexing.bucket_follower import Follower

    processes.end_with(parent)
    if begin:
        begin()
    logging.config.dictConfig(LOGGING)
    files, index = wiring.bucket(config)
    services = wiring.with_subscribers(wiring.on_bucket(config, files, index))
    told = services.catalog, services.events.tell, services.claim, services.beside
    _restore(services)
    Follower(files, index, *told, state, services.threads).follow(threading.Event())


def _restore(services: Services) -> None:
    """What a version before this one has not written; the next start, or an audit, does what fails."""
    from elasticpypi.actions.policy import restore

    try:
        for line in restore(services):
            log.info("%s", line)
    except Refusal as error:
        log.warning("%s", error)


def _announce(count: int) -> None:
    if count > MANY:
        click.echo(f"Reading {count} files that are new or changed ...", err=True)
