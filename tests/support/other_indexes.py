"""Other indexes as upstreams: devpi, pypiserver, and an nginx with static pages. None of them says an upload time."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import requests

from tests.support.builders import upload_form
from tests.support.environments import environment, run
from tests.support.servers import free_ports, nginx, started
from tests.support.waiting import until

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 100; }}
http {{
    access_log off;
    client_body_temp_path {folder}/temporary;
    proxy_temp_path {folder}/temporary;
    fastcgi_temp_path {folder}/temporary;
    uwsgi_temp_path {folder}/temporary;
    scgi_temp_path {folder}/temporary;
    types {{ text/html html; }}
    server {{
        listen 127.0.0.1:{port};
        root {folder}/site;
    }}
}}
"""


@contextmanager
def devpi(folder: Path, packages: list[Path]) -> Iterator[str]:
    """The address of a simple index of devpi with these packages, uploaded."""
    [port] = free_ports(1)
    base, login = f"http://127.0.0.1:{port}/root", ("root", "secret")
    data = "--serverdir", str(folder / "data")
    init = *data, "--no-root-pypi", "--root-passwd", login[1]
    run("devpi-init", *init, of="devpi-server", home=folder / "home", folder=folder)
    program = str(environment("devpi-server") / "bin" / "devpi-server")
    # It makes a secret in seconds of CPU time, unless it is told to be quick.
    quick = "--argon2-memory-cost", "1024", "--argon2-time-cost", "1", "--argon2-parallelism", "1"
    command = [program, *data, *quick, "--host", "127.0.0.1", "--port", str(port)]
    with started(command, folder / "devpi.log") as log:
        until(lambda: log() and _answers(f"{base}/"), "devpi")
        made = requests.put(f"{base}/dev", json={"type": "stage", "bases": []}, auth=login, timeout=60)
        assert made.ok, made.text
        for path in packages:
            sent = {"content": (path.name, path.read_bytes())}
            done = requests.post(f"{base}/dev/", upload_form(path), files=sent, auth=login, timeout=60)
            assert done.ok, done.text
        yield f"{base}/dev/+simple/"


@contextmanager
def pypiserver(folder: Path, packages: list[Path]) -> Iterator[str]:
    """The address of a pypiserver on a folder with these packages."""
    [port] = free_ports(1)
    served = folder / "packages"
    served.mkdir()
    for path in packages:
        (served / path.name).write_bytes(path.read_bytes())
    program = str(environment("pypiserver") / "bin" / "pypi-server")
    options = "--interface", "127.0.0.1", "--port", str(port), "--disable-fallback"
    with started([program, "run", *options, str(served)], folder / "pypiserver.log") as log:
        until(lambda: log() is not None and _answers(f"http://127.0.0.1:{port}/simple/"), "pypiserver")
        yield f"http://127.0.0.1:{port}/simple/"


@contextmanager
def static_pages(folder: Path, packages: list[Path]) -> Iterator[str]:
    """The address of a tree of files behind nginx, as PEP 503 has it."""
    [port] = free_ports(1)
    files = folder / "site" / "packages"
    files.mkdir(parents=True)
    for path in packages:
        (files / path.name).write_bytes(path.read_bytes())
        page = folder / "site" / "simple" / path.name.partition("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with page.open("a") as links:
            links.write(f'<a href="../../packages/{path.name}#sha256={digest}">{path.name}</a><br>\n')
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    with nginx(folder):
        yield f"http://127.0.0.1:{port}/simple/"


OTHER_INDEXES: dict[str, Callable[[Path, list[Path]], AbstractContextManager[str]]] = {
    "devpi": devpi,
    "pypiserver": pypiserver,
    "nginx": static_pages,
}


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=20).ok
    except requests.RequestException:
        return False
