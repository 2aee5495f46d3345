"""How each client installs from this index alone, into ``.venv`` in its folder."""

import json
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.support.environments import OLDEST_PIP, environment, new_venv, run
from tests.support.live import PASSWORD, USER, Server

INSTALLERS = ("pip", "oldest pip", "uv", "poetry", "pdm", "pipenv")
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
) -> str:
    """Install into a fresh environment; returns all that the client printed.

    ``index`` is the URL for pip and uv if not the one with credentials.
    """
    home = folder / "home"
    folder.mkdir(exist_ok=True)
    python = folder / ".venv" / "bin" / "python"
    project = '[project]\nname = "consumer"\nversion = "1.0"\nrequires-python = ">=3.11,<3.15"\n'
    match client:
        case _ if client.split()[0] == "pip" or client == "oldest pip":
            new_venv(folder / ".venv")
            command = ["install", "--index-url", index or server.index, *options, *requirements]
            return pip(client, *command, home=home, folder=folder, fails=fails, **server.trust)
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
            return run("uv", *command, home=home, folder=folder, fails=fails, **server.trust)
        case "poetry":
            source = f'[[tool.poetry.source]]\nname = "private"\nurl = "{server.simple}"\n'
            (folder / "pyproject.toml").write_text(f"{project}[tool.poetry]\npackage-mode = false\n{source}")
            variables = {"POETRY_HTTP_BASIC_PRIVATE_USERNAME": USER, "POETRY_HTTP_BASIC_PRIVATE_PASSWORD": PASSWORD}
            variables |= {"POETRY_VIRTUALENVS_IN_PROJECT": "true"}
            command = ["add", "--no-interaction", *options, *requirements]
        case "pdm":
            source = f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{server.index}"\n'
            (folder / "pyproject.toml").write_text(f"{project}[tool.pdm]\ndistribution = false\n{source}")
            variables = {}
            command = ["add", "--no-self", *options, *requirements]
        case "pipenv":
            source = f'[[source]]\nname = "private"\nurl = "{server.index}"\nverify_ssl = true\n'
            (folder / "Pipfile").write_text(f"{source}[packages]\n")
            variables = {"PIPENV_VENV_IN_PROJECT": "1", "PIPENV_NOSPIN": "1"}
            command = ["install", *options, *requirements]
        case _:
            raise ValueError(client)
    return run(client, *command, home=home, folder=folder, fails=fails, **variables)


def pip(client: str, *arguments: str, home: Path, folder: Path, fails: bool = False, **variables: str) -> str:
    """One of the pips, run by the Python of ``folder/.venv``, whose environment has nothing else."""
    libraries = next(environment(client).glob("lib/*/site-packages"))
    python = folder / ".venv" / "bin" / "python"
    variables["PYTHONPATH"] = str(libraries)
    return run(python, "-m", "pip", *arguments, home=home, folder=folder, fails=fails, **variables)


def installed(folder: Path) -> dict[str, str]:
    """Name → version of what is in ``folder/.venv``."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    told = run(folder / ".venv" / "bin" / "python", "-c", code, home=folder / "home", folder=folder)
    return dict(json.loads(told.splitlines()[1]))
