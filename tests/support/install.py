"""How each client installs from this index alone, into ``.venv`` in its folder, or locks and installs."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.support.environments import OLDEST_PIP, PATIENCE, environment, new_venv, run
from tests.support.live import PASSWORD, USER, Server

INSTALLERS = ("pip", "oldest pip", "uv", "poetry", "pdm", "pipenv")
LOCKERS = (*INSTALLERS, "pip-tools")
PIPS = ("pip", "oldest pip")

# What a client cannot do with any index: its version and the reason.
SDISTS = {"oldest pip": "pip 19.2 looks for the build backend of an sdist everywhere but in the sdist (PEP 517)"}
if OLDEST_PIP != "19.2":
    SDISTS = {}


def failing(clients: tuple[str, ...], broken: dict[str, str]) -> list[ParameterSet]:
    """Parameters for a test that the broken clients must fail."""
    marks = {client: pytest.mark.xfail(reason=reason, strict=True) for client, reason in broken.items()}
    return [pytest.param(client, marks=marks.get(client, ())) for client in clients]


def install(
    client: str,
    server: Server,
    folder: Path,
    *requirements: str,
    options: tuple[str, ...] = (),
    index: str = "",
    fails: bool = False,
    seconds: float = PATIENCE,
) -> str:
    """Install into a fresh environment, within so many seconds; returns all that the client printed.

    ``index`` is the URL for pip and uv if not the one with credentials.
    """
    home = folder / "home"
    folder.mkdir(exist_ok=True)
    python = folder / ".venv" / "bin" / "python"
    match client:
        case _ if client.split()[0] == "pip" or client == "oldest pip":
            new_venv(folder / ".venv")
            command = ["install", "--index-url", index or server.index, *options, *requirements]
            return pip(client, *command, home=home, folder=folder, fails=fails, seconds=seconds, **server.trust)
        case "uv":
            new_venv(folder / ".venv")
            command = [
                "pip",
                "install",
                "--python",
                str(python),
                "--index-url",
                index or server.index,
                *options,
                *requirements,
            ]
            return run("uv", *command, home=home, folder=folder, fails=fails, seconds=seconds, **server.trust)
        case "poetry":
            variables = project(client, server.simple, folder)
            command = ["add", "--no-interaction", *options, *requirements]
        case "pdm":
            variables = project(client, server.simple, folder)
            command = ["add", "--no-self", *options, *requirements]
        case "pipenv":
            source = f'[[source]]\nname = "private"\nurl = "{server.index}"\nverify_ssl = true\n'
            (folder / "Pipfile").write_text(f"{source}[packages]\n")
            variables = {"PIPENV_VENV_IN_PROJECT": "1", "PIPENV_NOSPIN": "1"}
            command = ["install", *options, *requirements]
        case _:
            raise ValueError(client)
    return run(client, *command, home=home, folder=folder, fails=fails, seconds=seconds, **variables)


def lock(client: str, server: Server, folder: Path, *dependencies: str) -> dict[str, str]:
    """Lock a project that knows this index alone, and install what is locked; name → version of what that is.

    The oldest pip cannot lock: what it has installed is its lock.
    """
    home = folder / "home"
    folder.mkdir(exist_ok=True)
    python = new_venv(folder / ".venv")
    wanted, locked = folder / "requirements.in", folder / "requirements.txt"
    wanted.write_text("\n".join(dependencies))
    index = "--index-url", server.index
    match client:
        case "pip":
            locked = folder / "pylock.toml"
            pip(client, "lock", *index, "--requirement", wanted, "--output", locked, home=home, folder=folder)
            pip(client, "install", *index, "--requirement", locked, home=home, folder=folder)
        case "oldest pip":
            pip(client, "install", *index, "--requirement", wanted, home=home, folder=folder)
            locked.write_text(pip(client, "freeze", home=home, folder=folder))
        case "pip-tools":
            where = {"of": client, "home": home, "folder": folder, "PIP_INDEX_URL": server.index}
            options = ["--no-emit-index-url", "--generate-hashes", "--strip-extras", "--output-file", locked]
            run("pip-compile", *options, wanted, **where)
            # pip-sync calls the pip of the other environment, which gets this one.
            [packages] = folder.glob(".venv/lib/*/site-packages")
            (packages / "pip.pth").write_text(f"{_libraries(client)}\n")
            run("pip-sync", "--python-executable", python, locked, **where)
            (packages / "pip.pth").unlink()
        case "pipenv":
            install(client, server, folder, *dependencies)
            found = json.loads((folder / "Pipfile.lock").read_text())["default"]
            return {name: each["version"].removeprefix("==") for name, each in found.items() if "version" in each}
        case _:
            login = project(client, server.simple, folder, *dependencies)
            locked = folder / f"{client}.lock"
            options = {"uv": ["--frozen"], "poetry": ["--no-interaction"], "pdm": ["--no-self"]}[client]
            run(client, "lock", home=home, folder=folder, **login)
            run(client, "sync", *options, home=home, folder=folder, **login)
    if locked.suffix == ".txt":
        return dict(re.findall(r"^([\w-]+)==(\S+)", locked.read_text(), re.MULTILINE))
    found = tomllib.loads(locked.read_text())
    return {each["name"]: each["version"] for each in found.get("package") or found["packages"]}


def project(client: str, simple: str, folder: Path, *dependencies: str) -> dict[str, str]:
    """Write a project for uv, poetry or pdm that knows this index alone; returns the variables with the login."""
    source = {
        "uv": f'[[tool.uv.index]]\nname = "private"\nurl = "{simple}"\ndefault = true\n',
        "poetry": f'[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = "private"\nurl = "{simple}"\n',
        "pdm": f'[tool.pdm]\ndistribution = false\n[[tool.pdm.source]]\nname = "pypi"\nurl = "{simple}"\n',
    }[client]
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "consumer"\nversion = "1.0"\nrequires-python = ">=3.11,<3.15"\n'
        f"dependencies = {json.dumps(dependencies)}\n{source}"
    )
    start = {"uv": "UV_INDEX_PRIVATE", "poetry": "POETRY_HTTP_BASIC_PRIVATE", "pdm": "PDM_PYPI"}[client]
    login = {f"{start}_USERNAME": USER, f"{start}_PASSWORD": PASSWORD}
    return login | ({"POETRY_VIRTUALENVS_IN_PROJECT": "true"} if client == "poetry" else {})


def pip(
    client: str,
    *arguments: str | Path,
    home: Path,
    folder: Path,
    fails: bool = False,
    seconds: float = PATIENCE,
    **variables: str,
) -> str:
    """One of the pips, run by the Python of ``folder/.venv``, whose environment has nothing else."""
    python = folder / ".venv" / "bin" / "python"
    variables["PYTHONPATH"] = str(_libraries(client))
    return run(python, "-m", "pip", *arguments, home=home, folder=folder, fails=fails, seconds=seconds, **variables)


def _libraries(client: str) -> Path:
    return next(environment(client).glob("lib/*/site-packages"))


def installed(folder: Path) -> dict[str, str]:
    """Name → version of what is in ``folder/.venv``."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    told = run(folder / ".venv" / "bin" / "python", "-c", code, home=folder / "home", folder=folder)
    return dict(json.loads(told.splitlines()[1]))
