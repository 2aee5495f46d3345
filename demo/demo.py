"""Real packages through this index with real clients, in both families: ``python -m demo.demo``.

Downloads some projects from PyPI once, uploads them with twine, installs them from this index alone
with pip and uv, compares every byte on the way back, and looks at ``/simple/`` with a browser. Then it installs them
once more from an index that has but one package of its own, with PyPI behind it.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from tests.support.browser import CHROMIUM, SCREENSHOTS, look
from tests.support.builders import make_wheel
from tests.support.environments import CACHE, CLIENTS, make_all, run
from tests.support.install import install, installed, pip
from tests.support.live import FAMILIES, PASSWORD, ROOT, USER, Server, running
from tests.support.waiting import until

# With what they need themselves these are some fifty files: large and small, pure and compiled.
PROJECTS = [
    *["numpy", "pandas", "pillow", "lxml", "cryptography", "pydantic", "sqlalchemy", "aiohttp"],
    *["flask", "rich", "jinja2", "click", "attrs", "pyyaml", "boto3", "zope.interface"],
    "requests[socks]",
    "docopt",  # nothing but an sdist
    "setuptools",  # which builds it
]
LOCAL = "elasticpypi-demo==1.0+local.1"
MEGABYTE = 1_000_000
SECONDS = 900.0  # that a client may take: 80 MB, a slow machine, a slow line


def main() -> None:
    """The whole demo; exit status 1 if anything is not as it was."""
    make_all()
    with _step("downloaded from PyPI, or found in the cache"):
        dist = download()
    sent = digests(dist)
    _say(f"{len(sent)} files of {len({_project(name) for name in sent})} projects, {_megabytes(dist):.1f} MB")
    try:
        for family in FAMILIES:
            with tempfile.TemporaryDirectory() as folder, running(family, Path(folder)) as server:
                _say(f"\n{family}: {'S3 + DynamoDB (moto)' if family == 's3' else 'a folder + SQLite'}")
                demonstrate(server, Path(folder) / "demo", dist, sent)
        with tempfile.TemporaryDirectory() as folder, running("folder", Path(folder), UPSTREAM="pip") as server:
            _say("\nThe same with PyPI behind it: nothing but our own package is uploaded")
            pull_through(server, Path(folder) / "demo", dist)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        sys.exit(f"The demo failed: {error}")
    _say("\nEverything came back as it was.")


def download() -> Path:
    """The files of PROJECTS, all that these need, and one of our own; from PyPI only the first time."""
    dist = CACHE.parent / "demo" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    stamp = dist / "projects.txt"
    wanted = "\n".join(PROJECTS)
    if not stamp.exists() or stamp.read_text() != wanted:
        dist.mkdir(parents=True, exist_ok=True)
        for old in dist.iterdir():
            old.unlink()
        command = [sys.executable, "-m", "pip", "download", "-qq", "--dest", dist, *PROJECTS]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["pip says nothing."])[-1]
            sys.exit(f"PyPI cannot be reached, and there is nothing of it in the cache: {why}")
        make_wheel(dist, *LOCAL.split("=="), requires_dist=["numpy", "requests[socks]"])
        stamp.write_text(wanted)
    return dist


def demonstrate(server: Server, folder: Path, dist: Path, sent: dict[str, str]) -> None:
    """Up and down again, on one server."""
    folder.mkdir()
    count, size = len(sent), _megabytes(dist)
    with _step(f"uploaded with {_release('twine')}", count, size):
        run(
            *["twine", "upload", "--non-interactive", *(str(dist / name) for name in sent)],
            home=folder / "home",
            folder=folder,
            seconds=SECONDS,
            TWINE_REPOSITORY_URL=server.upload_url,
            TWINE_USERNAME=USER,
            TWINE_PASSWORD=PASSWORD,
        )
    versions = {_project(name): _version(name) for name in sent}
    for client in ("pip", "uv"):
        with _step(f"installed with {_release(client)}", count, size):
            found = _installed(client, server, folder)
        assert found == versions, f"{client} installed {found} instead of {versions}"
        code = "import numpy, pandas, requests, docopt, elasticpypi_demo; assert numpy.arange(5).sum() == 10"
        run(folder / client / ".venv/bin/python", "-c", code, home=folder / "home", folder=folder)
    with _step("downloaded with pip, sha256 compared", count, size):
        pins = [f"{name}=={version}" for name, version in versions.items()]
        got = folder / "got"
        command = ["download", "--no-deps", "--no-cache-dir", "--index-url", server.index, "--dest", str(got), *pins]
        pip("pip", *command, home=folder / "home", folder=folder / "pip", seconds=SECONDS)
    assert digests(got) == sent, f"the files differ: {set(digests(got).items()) ^ set(sent.items())}"
    if CHROMIUM is None:
        assert "CI" not in os.environ, "there is no Chromium"
        _say("  no browser: there is no Chromium here")
        return
    picture = SCREENSHOTS / f"demo-{server.family}.png"
    with _step("looked at in Chromium", len(versions)):
        page = look(server.simple, picture, (USER, PASSWORD))
    assert page.status == 200, f"the browser was answered {page.status}"
    assert set(page.links) == set(versions), f"the browser shows {sorted(page.links)}"
    _say(f"  {picture.relative_to(ROOT)}")


def pull_through(server: Server, folder: Path, dist: Path) -> None:
    """Everything from one address: our own package from here, the rest from PyPI, and then from what is kept."""
    folder.mkdir()
    try:
        why = "" if server.page("six") else "It says that there is no project six."
    except urllib.error.HTTPError as error:
        why = error.read().decode().strip()
    if why:
        _say(f"  PyPI cannot be reached, so this part is left out. {why}")
        return
    [own] = (path for path in dist.iterdir() if path.name.startswith("elasticpypi_demo"))
    server.put(own.name, own.read_bytes())
    until(lambda: own.name in server.files("elasticpypi-demo"), "our own package")
    found: dict[str, dict[str, str]] = {}
    for client, place in (("pip", "from PyPI"), ("uv", "from what is kept")):
        with _step(f"installed with {_release(client)}, {place}"):
            found[client] = _installed(client, server, folder)
    wanted = {canonicalize_name(project.partition("[")[0]) for project in PROJECTS} | {"elasticpypi-demo"}
    assert found["pip"].keys() >= wanted, f"pip installed {found['pip']}"
    assert found["uv"] == found["pip"], f"uv installed {found['uv']} instead of {found['pip']}"
    kept = [path for path in (server.data / "upstream" / "files").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in kept) / MEGABYTE
    _say(f"  {len(found['uv'])} projects; {len(kept)} files are kept, {size:.1f} MB")


def _installed(client: str, server: Server, folder: Path) -> dict[str, str]:
    """Install all with a client; name → version of what that is. Nothing is compiled, which takes pip longest."""
    options = ("--no-compile",) if client == "pip" else ()
    install(client, server, folder / client, *PROJECTS, LOCAL, options=options, seconds=SECONDS)
    return {canonicalize_name(name): version for name, version in installed(folder / client).items()}


def digests(folder: Path) -> dict[str, str]:
    """File name → sha256 of all packages in a folder."""
    packages = (path for path in folder.iterdir() if path.suffix in (".whl", ".gz"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(packages)}


def _project(filename: str) -> str:
    return (parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename)(filename)[0]


def _version(filename: str) -> str:
    return str((parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename)(filename)[1])


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / MEGABYTE


def _release(client: str) -> str:
    return CLIENTS[client][0].replace("==", " ")


@contextmanager
def _step(what: str, count: int | None = None, size: float | None = None) -> Iterator[None]:
    """A row of the table: what was done, how many files, megabytes, seconds."""
    begin = time.monotonic()
    yield
    told = f"{'' if count is None else count:>5}  {'' if size is None else f'{size:.1f} MB':>9}"
    _say(f"  {what:44} {told}  {time.monotonic() - begin:6.1f} s")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
