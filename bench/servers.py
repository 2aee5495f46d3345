"""The servers that are compared; one more is one more entry in SERVERS.

Each runs on the server that its own documentation or image puts it on, with the settings that it has
there; only elasticpypi and one nginx ask for a password, since for the others that is a proxy's work or slower.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from werkzeug.security import generate_password_hash

from bench.corpus import Corpus
from bench.server import PASSWORD, Place, Server, links, run
from bench.static import CONFIGURATION, write_site
from bench.tools import debian
from elasticpypi.accounts.first_user import HASH_OF_RANDOM

ROOT = Path(__file__).parents[1]


# elasticpypi: a flat folder, as twine and cp make it; the user as the first start makes one, with a hash.
def _elasticpypi_fill(corpus: Corpus, place: Place) -> None:
    links(corpus, lambda project, wheel: place.folder / "packages" / wheel.name)


ELASTICPYPI = Server(
    name="elasticpypi",
    runs_on="granian, 2 workers",
    command=lambda place: [
        *[sys.executable, "-m", "elasticpypi", "serve", "--host", "127.0.0.1"],
        *["--port", str(place.port), "--data", str(place.folder)],
    ],
    fill=_elasticpypi_fill,
    settings=lambda place: {
        "USERS": f"bench:{generate_password_hash(PASSWORD, HASH_OF_RANDOM)}",
        "PYTHONPATH": str(ROOT),
    },
    upload="/legacy/",
    login=True,
    peer=False,
)


# nginx: what it serves is in static.py.
_NGINX = """\
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/temporary;
    proxy_temp_path {folder}/temporary;
    fastcgi_temp_path {folder}/temporary;
    uwsgi_temp_path {folder}/temporary;
    scgi_temp_path {folder}/temporary;
    sendfile on;
    tcp_nopush on;
{http}}}
"""


def _nginx_path() -> str:
    return debian("nginx", "nginx-light")


def _nginx(place: Place, login: str = "") -> list[str]:
    return nginx(place, CONFIGURATION.format(folder=place.folder, port=place.port, login=login))


def nginx(place: Place, http: str) -> list[str]:
    """The command of an nginx with this in the http block of its configuration."""
    configuration = place.folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=place.folder, http=http))
    return [_nginx_path(), "-p", str(place.folder), "-c", str(configuration), "-e", f"{place.folder}/error.log"]


NGINX = Server(
    name="nginx",
    runs_on="static files",
    version=lambda: subprocess.run([_nginx_path(), "-v"], capture_output=True, text=True).stderr.strip(),
    command=_nginx,
    fill=lambda corpus, place: write_site(corpus, place.folder),
    peer=False,
)


# The same with a password, hashed as `htpasswd` does it, which nginx does for each request.
def _nginx_login(place: Place) -> list[str]:
    users = place.folder / "htpasswd"
    hashed = run(place, debian("openssl", "openssl"), "passwd", "-apr1", PASSWORD)
    users.write_text(f"{NGINX_LOGIN.user}:{hashed}\n")
    return _nginx(place, f' auth_basic "packages"; auth_basic_user_file {users};')


NGINX_LOGIN = replace(
    NGINX, name="nginx-password", runs_on="static files, basic auth", command=_nginx_login, login=True
)


# proxpi: as its Dockerfile starts it; the index that it caches is nginx.
PROXPI = Server(
    name="proxpi",
    runs_on="gunicorn, 1 process, 2 threads",
    requirements=("proxpi==1.3.1", "gunicorn==27.0.1"),
    command=lambda place: [
        *[f"{place.programs}/gunicorn", "--preload", "--access-logfile", "-"],
        *["--logger-class", "proxpi.server._GunicornLogger", "--threads", "2"],
        *["--bind", f"127.0.0.1:{place.port}", "proxpi.server:app"],
    ],
    settings=lambda place: {
        "PROXPI_INDEX_URL": f"{place.upstream}/simple/",
        "PROXPI_INDEX_TTL": "86400",  # nothing of nginx is in what is measured
        "PROXPI_CACHE_DIR": str(place.folder / "cache"),
    },
    simple="/index/",
    needs="nginx",
)


# simple-repository-server: its own command, on a folder per project.
SIMPLE_REPOSITORY = Server(
    name="simple-repository-server",
    runs_on="uvicorn, 1 process",
    requirements=("simple-repository-server==0.10.0",),
    fill=lambda corpus, place: links(corpus, lambda project, wheel: place.folder / "packages" / project / wheel.name),
    command=lambda place: [
        *[f"{place.programs}/simple-repository-server", "--host", "127.0.0.1", "--port", str(place.port)],
        f"{place.folder}/packages",
    ],
)


# devpi: its own command, filled by an import, since 11,000 uploads take half an hour. It names an index after a user.
_DEVPI_USER = "root"
_DEVPI_INDEX = f"{_DEVPI_USER}/dev"


def _devpi_fill(corpus: Corpus, place: Place) -> None:
    dump = place.folder / "dump"
    links(corpus, lambda project, wheel: dump / _DEVPI_INDEX / project / wheel.name)
    files, projects = [], dict[str, dict[str, dict[str, str]]]()
    for project, wheel in corpus.wheels():
        version, path = wheel.name.split("-")[1], f"{_DEVPI_INDEX}/{project}/{wheel.name}"
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        entry = {"hash_spec": f"sha256={digest}", "last_modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        kind = {"type": "releasefile", "projectname": project, "version": version}
        files.append({"relpath": path, "entrymapping": entry, "log": [], **kind})
        projects.setdefault(project, {})[version] = {"name": project, "version": version}
    stage = {"type": "stage", "volatile": True, "bases": [], "acl_upload": [_DEVPI_USER]}
    (dump / "dataindex.json").write_text(
        json.dumps(
            {
                "dumpversion": "2",
                "pythonversion": list(sys.version_info[:2]),
                "devpi_server": "6.20.0",
                "uuid": "0" * 32,
                "users": {_DEVPI_USER: {"username": _DEVPI_USER}},
                "indexes": {_DEVPI_INDEX: {"files": files, "indexconfig": stage, "projects": projects}},
            }
        )
    )
    options = ["--no-root-pypi", "--root-passwd", PASSWORD, "--hard-links"]
    run(place, place.programs / "devpi-import", "--serverdir", place.folder / "data", *options, dump)
    shutil.rmtree(dump)


DEVPI = Server(
    name="devpi",
    runs_on="waitress, 50 threads",
    requirements=("devpi-server==6.20.0",),
    fill=_devpi_fill,
    command=lambda place: [
        *[f"{place.programs}/devpi-server", "--serverdir", f"{place.folder}/data"],
        *["--host", "127.0.0.1", "--port", str(place.port)],
    ],
    simple=f"/{_DEVPI_INDEX}/+simple/",
    upload=f"/{_DEVPI_INDEX}/",
    user=_DEVPI_USER,
)


# pypicloud: as its "ppc-make-config -p" writes it, on files and SQLite; uWSGI from a wheel, and with a function
# that Python 3.11 no longer has, for pyramid_duh.
_GETARGSPEC = """\
import collections, inspect
if not hasattr(inspect, "getargspec"):
    inspect.ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")
    inspect.getargspec = lambda function: inspect.ArgSpec(*inspect.getfullargspec(function)[:4])
"""
_PYPICLOUD = """\
[app:main]
use = egg:pypicloud
pypi.default_read = everyone
pypi.fallback = none
pypi.storage = file
storage.dir = {folder}/packages
db.url = sqlite:///{folder}/db.sqlite
auth.admins = bench
user.bench = {password}
session.encrypt_key = {key}
session.validate_key = {key}
session.secure = false
session.invalidate_corrupt = true
[uwsgi]
paste = config:%p
paste-logger = %p
master = true
processes = 20
reload-mercy = 15
worker-reload-mercy = 15
max-requests = 1000
enable-threads = true
http = 127.0.0.1:{port}
[loggers]
keys = root
[handlers]
keys = file
[formatters]
keys = generic
[logger_root]
level = WARN
handlers = file
[handler_file]
class = handlers.RotatingFileHandler
args = ('{folder}/pypicloud.log', 'a', 1000000, 5)
level = NOTSET
formatter = generic
[formatter_generic]
format = %(levelname)s %(asctime)s [%(name)s] %(message)s
"""


def _pypicloud_fill(corpus: Corpus, place: Place) -> None:
    packages = place.folder / "packages"
    links(corpus, lambda project, wheel: packages / project / wheel.name.split("-")[1] / wheel.name)
    (place.folder / "sitecustomize.py").write_text(_GETARGSPEC)
    password = run(place, place.programs / "ppc-gen-password", "-i", stdin=PASSWORD)
    (place.folder / "password").write_text(password)


def _pypicloud(place: Place) -> list[str]:
    configuration = place.folder / "prod.ini"
    password = (place.folder / "password").read_text().replace("%", "%%")
    text = _PYPICLOUD.format(folder=place.folder, port=place.port, password=password, key="A" * 43 + "=")
    configuration.write_text(text)
    return [f"{place.programs}/uwsgi", "--die-on-term", "--ini-paste-logged", str(configuration)]


PYPICLOUD = Server(
    name="pypicloud",
    runs_on="uWSGI, 20 processes",
    requirements=("pypicloud==1.3.12", "sqlalchemy<2", "pyuwsgi==2.0.30.post1", "pastescript==3.7.0"),
    fill=_pypicloud_fill,
    command=_pypicloud,
    settings=lambda place: {"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(place.folder)},
    upload="/simple/",
)


# pypiserver: with gunicorn as its documentation says, and the cache that watches the folder. With a watchdog that
# is newer than its cache, every file that is read empties the cache: a page takes a second.
PYPISERVER = Server(
    name="pypiserver",
    runs_on="gunicorn, 4 processes",
    requirements=("pypiserver[cache]==2.4.0", "watchdog==2.1.9", "gunicorn==27.0.1"),
    fill=lambda corpus, place: links(corpus, lambda project, wheel: place.folder / "packages" / wheel.name),
    command=lambda place: [
        *[f"{place.programs}/gunicorn", "-w4", "--bind", f"127.0.0.1:{place.port}"],
        f"pypiserver:app(root='{place.folder}/packages', password_file='.', authenticate=[], disable_fallback=True)",
    ],
    upload="/",
)

SERVERS = (ELASTICPYPI, NGINX, NGINX_LOGIN, PROXPI, SIMPLE_REPOSITORY, DEVPI, PYPICLOUD, PYPISERVER)
