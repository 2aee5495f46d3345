"""Indexes that ask another one: a copy of some hundred projects behind nginx, 20 ms away, and who is compared on it.

Each server begins every round with nothing kept, so that what is asked for the first time is.
"""

import gzip
import json
import random
import socket
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.corpus import FILES, Corpus, make_project
from bench.process import Failed
from bench.server import PASSWORD, Place, Server, run
from bench.servers import DEVPI, ELASTICPYPI, NGINX, PROXPI, ROOT, SIMPLE_REPOSITORY, nginx
from bench.static import write_site
from bench.tables import say
from bench.targets import Target, empty, filled, running

LATENCY = 20  # ms
PAGES, SMALL, LARGE, HUGE = 400, "public-small", "public-large", "public-huge"
TREES, NEEDED = 10, 60  # projects that each need 59 others
LARGEST, MOST = ("largest", "largest-too"), 46_724  # the project with the most files on PyPI had so many
OWN_PAGE, OWN_SMALL, OWN_LARGE = "own-page", "own-small", "own-large"
MEGABYTE = 1_000_000
TAGS = [
    f"cp3{minor}-cp3{minor}-{platform}"
    for minor in range(7, 15)
    for platform in (
        *("macosx_10_9_x86_64", "macosx_11_0_arm64", "manylinux_2_17_aarch64.manylinux2014_aarch64"),
        *("manylinux_2_17_x86_64.manylinux2014_x86_64", "musllinux_1_2_x86_64", "win32", "win_amd64"),
    )
]


@dataclass(frozen=True, slots=True)
class Named(Corpus):
    """A corpus of other projects than ``project-...``."""

    called: str = ""

    @property
    def name(self) -> str:
        return self.called


PUBLIC = Named(0, called="public-v3")  # what the other index has
OWN = Named(0, called="own-v1")  # what elasticpypi has itself: of the same sizes


def page(number: int) -> str:
    """The name of one of PAGES projects with FILES files each."""
    return f"public-{number:03}"


def tree(number: int) -> list[str]:
    """The names of one of the TREES: the first needs all others."""
    return [f"tree{number}-{each:02}" for each in range(NEEDED)]


def build() -> None:
    """Make both corpora, if they are not there."""
    if not OWN.folder.exists():
        make_project(OWN.folder.with_suffix(".unfinished"), OWN_PAGE, FILES)
        make_project(OWN.folder.with_suffix(".unfinished"), OWN_SMALL, 1, 20_000)
        make_project(OWN.folder.with_suffix(".unfinished"), OWN_LARGE, 1, 50 * MEGABYTE)
        OWN.folder.with_suffix(".unfinished").rename(OWN.folder)
    if PUBLIC.folder.exists():
        return
    unfinished = PUBLIC.folder.with_suffix(".unfinished")
    for number in range(PAGES):
        make_project(unfinished, page(number), FILES)
    make_project(unfinished, SMALL, 1, 20_000)
    make_project(unfinished, LARGE, 1, 50 * MEGABYTE)
    for name in (HUGE, *LARGEST):
        make_project(unfinished, name, 1)
    _grow(next((unfinished / HUGE).iterdir()), 500)
    for names in map(tree, range(TREES)):
        for number, name in enumerate(names):
            needed = [names[child] for child in (2 * number + 1, 2 * number + 2) if child < NEEDED]
            make_project(unfinished, name, 3, 20_000, requires_dist=needed)
    unfinished.rename(PUBLIC.folder)


def _grow(wheel: Path, megabytes: int) -> None:
    """So many bytes more, of what cannot be compressed."""
    data = random.Random("huge").randbytes(MEGABYTE)
    with zipfile.ZipFile(wheel, "a") as archive, archive.open("data.bin", "w") as file:
        for _ in range(megabytes):
            file.write(data)


def _fill_site(corpus: Corpus, place: Place) -> None:
    write_site(corpus, place.folder)
    for name in LARGEST:
        page = place.folder / "site" / "json" / name / "index.json"
        page.write_bytes(largest_page(name))
        page.with_suffix(".json.gz").write_bytes(gzip.compress(page.read_bytes()))


def largest_page(project: str) -> bytes:
    """A page of MOST wheels in the form of PyPI, whose files nobody has; the same each time."""
    dice, files, versions = random.Random(project), list[dict[str, Any]](), list[str]()
    while len(files) < MOST:
        number = len(versions)
        versions.append(f"{1 + number // 280}.{number // 14 % 20}.{number % 14}")
        for tag in TAGS[: MOST - len(files)]:
            name = f"{project.replace('-', '_')}-{versions[-1]}-{tag}.whl"
            digest, metadata, path = (dice.randbytes(32).hex() for _ in range(3))
            files.append(
                {
                    "core-metadata": {"sha256": metadata},
                    "data-dist-info-metadata": {"sha256": metadata},
                    "filename": name,
                    "hashes": {"sha256": digest},
                    "provenance": None,
                    "requires-python": ">=3.9",
                    "size": dice.randrange(MEGABYTE, 10 * MEGABYTE),
                    "upload-time": f"2025-{1 + number % 12:02}-15T12:34:56.{dice.randrange(MEGABYTE):06}Z",
                    "url": f"https://files.example/packages/{path[:2]}/{path[2:4]}/{path[4:]}/{name}",
                    "yanked": False,
                }
            )
    page = {"meta": {"_last-serial": 1, "api-version": "1.4"}, "name": project, "versions": versions, "files": files}
    return json.dumps(page, separators=(",", ":")).encode()


COPY = replace(NGINX, name="copy", fill=_fill_site)
DIRECT = Server(
    name="directly",
    runs_on=f"nginx, static files, {LATENCY} ms away",
    command=lambda place: [
        *[sys.executable, "-m", "bench.latency", str(place.port), place.upstream, str(LATENCY)],
    ],
    settings=lambda place: {"PYTHONPATH": str(ROOT)},
    peer=False,
)


# elasticpypi: with its own packages, and the other index by a setting; nothing else is set.
def _elasticpypi_settings(place: Place) -> dict[str, str]:
    asks = {"UPSTREAM": f"{place.upstream}/simple/"} if place.upstream else {}
    return {**ELASTICPYPI.settings(place), **asks}


CACHING = replace(
    ELASTICPYPI,
    fill=lambda corpus, place: ELASTICPYPI.fill(OWN, place),
    settings=_elasticpypi_settings,
    needs=DIRECT.name,
)
ALONE = replace(CACHING, name="elasticpypi-alone", runs_on="no other index", needs="")
HANGING = replace(CACHING, name="elasticpypi-hanging", runs_on="an index that never answers")

# devpi: a mirror, as its documentation makes one; JSON and files through it.
_MIRROR = "root/mirror"


def _devpi_fill(corpus: Corpus, place: Place) -> None:
    dump = place.folder / "dump"
    dump.mkdir()
    mirror = {"type": "mirror", "volatile": True, "mirror_url": f"{place.upstream}/simple/", "title": "mirror"}
    index = {"files": [], "indexconfig": mirror, "projects": {}}
    told = {
        "dumpversion": "2",
        "pythonversion": list(sys.version_info[:2]),
        "devpi_server": "6.20.0",
        "uuid": "0" * 32,
        "users": {"root": {"username": "root"}},
        "indexes": {_MIRROR: index},
    }
    (dump / "dataindex.json").write_text(json.dumps(told))
    options = ["--no-root-pypi", "--root-passwd", PASSWORD]
    run(place, place.programs / "devpi-import", "--serverdir", place.folder / "data", *options, dump)


DEVPI_MIRROR = replace(DEVPI, fill=_devpi_fill, simple=f"/{_MIRROR}/+simple/", upload="", needs=DIRECT.name)
PROXPI_CACHE = replace(PROXPI, needs=DIRECT.name)
SIMPLE_PROXY = replace(
    SIMPLE_REPOSITORY,
    fill=lambda corpus, place: None,
    command=lambda place: [
        *[f"{place.programs}/simple-repository-server", "--host", "127.0.0.1", "--port", str(place.port)],
        *["--stream-http-resources", f"{place.upstream}/simple/"],
    ],
    needs=DIRECT.name,
)

# nginx: proxy_cache as its documentation has it, one fetch for all, and kept connections to what it is in front of.
_PROXY_CACHE = """\
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=kept:10m max_size=50g inactive=7d use_temp_path=off;
    upstream other {{ server {other}; keepalive 48; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://other;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache kept;
            proxy_cache_key "$uri $http_accept $http_accept_encoding";
            proxy_cache_valid 200 10m;
            proxy_cache_lock on;
            proxy_cache_use_stale error timeout updating;
        }}
    }}
"""


def _proxy_cache(place: Place) -> list[str]:
    other = place.upstream.removeprefix("http://")
    return nginx(place, _PROXY_CACHE.format(folder=place.folder, port=place.port, other=other))


NGINX_CACHE = replace(
    NGINX,
    name="nginx-cache",
    runs_on="proxy_cache",
    command=_proxy_cache,
    fill=lambda corpus, place: None,
    needs=DIRECT.name,
)

SERVERS = (CACHING, ALONE, HANGING, NGINX_CACHE, PROXPI_CACHE, SIMPLE_PROXY, DEVPI_MIRROR)


@contextmanager
def silence() -> Iterator[str]:
    """The address of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def start(stack: ExitStack, chosen: list[Server]) -> dict[str, Target]:
    """All of them on the same copy, with nothing kept; one line for each that does not run here."""
    copy = stack.enter_context(running(COPY, PUBLIC, filled(COPY, PUBLIC)))
    far = stack.enter_context(running(DIRECT, PUBLIC, empty(DIRECT), copy.address))
    targets, nobody = {DIRECT.name: far}, stack.enter_context(silence())
    for server in chosen:
        address = nobody if server is HANGING else far.address if server.needs else ""
        try:
            place = replace(empty(server), upstream=address)
            server.fill(PUBLIC, place)
            targets[server.name] = stack.enter_context(running(server, PUBLIC, place, address))
        except Failed as error:
            say(f"{server.name} is left out: {error}")
    return targets
