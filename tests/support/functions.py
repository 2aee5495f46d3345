"""The functions on AWS, each in processes of its own, as Lambda has them: one call after the other, until it is killed.

A process kills itself between two calls of AWS, before or after one, with SIGKILL: nothing of Python runs any more.
"""

import logging
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import urllib3

# A fork of this test's process would have its threads' locks, and a new interpreter takes a second.
CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["tests.support.functions", "boto3", "elasticpypi.web.app", "elasticpypi.web.response_cache"]
CONTEXT.set_forkserver_preload(PRELOADED)
READ_SECONDS = 0.7  # until an answer of AWS is given up
FASTER = 50  # times that pauses are shorter
DIRECT, PART = 100_000, 5 * 1024 * 1024  # bytes: from where on an upload is a large one, and its parts


class Killed(BaseException):
    """The function ended here."""


class Functions:
    """As many processes as can be busy at once; ``api``, ``sync`` and ``audit`` are called as those of ``lambdas``.

    ``deaths`` is the probability of an end before or after each call of AWS. What they log is in the file ``log``.
    """

    def __init__(self, environ: Mapping[str, str], count: int, seed: int, log: Path) -> None:
        self.deaths, self.killed, self.log = 0.0, 0, log
        self._environ, self._dice, self._lock = dict(environ), random.Random(seed), threading.Lock()
        self._idle: SimpleQueue[tuple[Any, Connection]] = SimpleQueue()
        for _ in range(count):
            self._idle.put(self._start())

    def api(self, event: dict[str, Any], _: object) -> Any:
        return self._call("api", event)

    def sync(self, event: dict[str, Any]) -> None:
        self._call("sync", event)

    def audit(self) -> None:
        self._call("audit", {})

    def close(self) -> None:
        while not self._idle.empty():
            process, _ = self._idle.get()
            process.kill()
            process.join()

    def _start(self) -> tuple[Any, Connection]:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(
            target=serve, args=(theirs, self._environ, self._dice.random(), self.log), daemon=True
        )
        process.start()
        theirs.close()
        return process, ours

    def _call(self, name: str, event: dict[str, Any]) -> Any:
        process, connection = self._idle.get()
        try:
            connection.send((name, event, self.deaths))
            answer, error = connection.recv()
        except (EOFError, ConnectionError):
            with self._lock:  # a start looks which others have ended, and takes their exit status away
                process.join()
                assert process.exitcode == -signal.SIGKILL, process.exitcode
                self.killed += 1
                process, connection = self._start()
            raise Killed from None
        finally:
            self._idle.put((process, connection))
        if error:
            raise RuntimeError(error)
        return answer


def serve(calls: Connection, environ: dict[str, str], seed: float, log: Path) -> None:
    """What such a process does."""
    os.environ.update(environ)
    logging.basicConfig(filename=log)
    from elasticpypi.actions import upload_sessions
    from elasticpypi.hosts.aws import lambdas
    from elasticpypi.storage import aws
    from elasticpypi.storage.aws import direct

    direct.READ_SECONDS = READ_SECONDS  # type: ignore[assignment]
    aws.PATIENCE = aws.PATIENCE.merge(type(aws.PATIENCE)(read_timeout=READ_SECONDS))
    upload_sessions.DIRECT, upload_sessions.PART = DIRECT, PART
    sleep, real, dice, deaths = time.sleep, urllib3.HTTPConnectionPool.urlopen, random.Random(seed), 0.0

    def pause(seconds: float) -> None:
        sleep(seconds / FASTER)

    def urlopen(*asked: Any, **options: Any) -> Any:
        if dice.random() < deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*asked, **options)
        if dice.random() < deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    time.sleep, urllib3.HTTPConnectionPool.urlopen = pause, urlopen  # type: ignore[assignment, method-assign]
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000)
    with suppress(EOFError):
        while True:
            name, event, deaths = calls.recv()
            try:
                calls.send((getattr(lambdas, name)(event, context), ""))
            except Exception as error:
                calls.send((None, f"{type(error).__name__}: {error}"))
