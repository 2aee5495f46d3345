"""The lines of the access log."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from elasticpypi.hosts.machine.access_log import logged


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., list[str]]:
    """The lines of a request for a path, answered by an application."""

    def ask(app: Any, path: str, **options: Any) -> list[str]:
        descriptor = os.open(tmp_path / "access.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            client = Client(logged(app, descriptor))
            options = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}, **options}
            client.open(path, **options)
        finally:
            os.close(descriptor)
            written = (tmp_path / "access.log").read_text(encoding="ascii")
        assert written.endswith("\n")
        return written.splitlines()

    return ask


def missing(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("404 There is no project 'x'", [("Content-Type", "text/plain")])
    return [b"no"]


def test_a_request_is_a_line(lines: Callable[..., list[str]]) -> None:
    [line] = lines(missing, "/simple/x/?token=secret", method="HEAD")
    time = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\]"
    assert re.fullmatch(time + r' 192\.0\.2\.1 - "HEAD /simple/x/" 404 \d+\.\d ms [0-9a-f]+-[0-9a-f]+-0', line)


def test_no_path_makes_a_second_line(lines: Callable[..., list[str]]) -> None:
    [line] = lines(missing, "/a%0d%0ab%22c%e4%b8%96 d")
    assert '"GET /a%0D%0Ab%22c%E4%B8%96%20d" 404' in line


def test_a_line_is_short_enough_to_be_written_whole(lines: Callable[..., list[str]]) -> None:
    [line] = lines(missing, "/" + "%0a" * 30_000)
    assert len(line) < 2200


def test_what_fails_is_logged_as_500() -> None:
    def fails(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise MemoryError

    read, write = os.pipe()
    with pytest.raises(MemoryError):
        Client(logged(fails, write)).open("/x")
    os.close(write)
    with os.fdopen(read) as log:
        assert '"GET /x" 500 ' in log.read()


def test_a_log_that_nobody_reads_refuses_nobody() -> None:
    read, write = os.pipe()
    os.close(read)
    assert Client(logged(missing, write)).open("/x").status_code == 404
    os.close(write)
