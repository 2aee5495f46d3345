"""The web servers that could carry elasticpypi, and what is measured of them."""

import http.client
import time
from pathlib import Path

from bench.corpus import CACHE
from bench.rows import Measure, Row
from bench.server import Place, Server
from bench.targets import Target

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ("granian==2.8.7", "gunicorn==27.0.1", "waitress==3.0.2", "flask==3.1.3")
SENT = CACHE / "50-megabytes"
MEGABYTE = b"x" * 1_000_000


def _server(name: str, *command: str) -> Server:
    """bench.apps on a web server; ``{port}`` in its command is where it listens."""

    def line(place: Place) -> list[str]:
        program, *options = command
        return [f"{place.programs}/{program}", *(option.format(port=place.port) for option in options)]

    return Server(
        name=name,
        runs_on=" ".join(command),
        requirements=REQUIREMENTS,
        command=line,
        settings=lambda place: {"PYTHONPATH": str(ROOT), "BENCH_FILE": str(SENT)},
        simple="/view",
    )


APPLICATION, PORT = "bench.apps:application", "127.0.0.1:{port}"
SERVERS = (  # granian as elasticpypi/server.py has it
    _server(
        "granian",
        *["granian", "--interface", "wsgi", "--http", "1", "--no-ws", "--workers", "2", "--blocking-threads", "64"],
        *["--backpressure", "256", "--host", "127.0.0.1", "--port", "{port}", APPLICATION],
    ),
    _server("gunicorn sync", "gunicorn", "--workers", "2", "--bind", PORT, APPLICATION),
    _server("gunicorn gthread", "gunicorn", "--workers", "2", "--threads", "4", "--bind", PORT, APPLICATION),
    _server("waitress", "waitress-serve", "--listen", PORT, APPLICATION),
)


def fill() -> None:
    """The file that is downloaded."""
    SENT.parent.mkdir(parents=True, exist_ok=True)
    SENT.write_bytes(MEGABYTE * 50)


def _page(path: str) -> Measure:
    return lambda target, seconds: target.rate(target.address + path, {}, seconds)[0]


def _upload(target: Target, seconds: int) -> float:
    """MB per second of one body of 500 MB."""
    connection = http.client.HTTPConnection(target.address.removeprefix("http://"), timeout=120)
    begin = time.monotonic()
    connection.request("POST", "/upload", (MEGABYTE for _ in range(500)), {"Content-Length": str(500 * len(MEGABYTE))})
    assert connection.getresponse().read() == b"taken"
    connection.close()
    return 500 / (time.monotonic() - begin)


def _download(target: Target, seconds: int) -> float:
    return target.rate(f"{target.address}/download", {}, seconds)[1] / 1e6


ROWS = (
    Row("view", "Flask view with 2 kB", "requests/s", _page("/view")),
    Row("bare", "bare WSGI callable with 2 kB", "requests/s", _page("/bare")),
    Row("upload", "upload of 500 MB", "MB/s", _upload),
    Row("download", "download of 50 MB in pieces of 256 kB", "MB/s", _download),
)
