"""How each client publishes: the project that it wants to see, and its command."""

from pathlib import Path

from tests.support.builders import make_sdist, make_wheel
from tests.support.environments import environment, run
from tests.support.live import PASSWORD, USER, Server

PUBLISHERS = ("twine", "uv", "poetry", "pdm", "hatch", "flit")

BACKENDS = {
    "poetry": ("poetry-core", "poetry.core.masonry.api"),
    "hatch": ("hatchling", "hatchling.build"),
    "flit": ("flit_core", "flit_core.buildapi"),
}


def write_project(client: str, folder: Path, name: str, content: str) -> None:
    """Version 1.0 of a project, whose module says ``content``; built, unless the client builds when it publishes.

    hatch builds with its own backend beside it, since the front end would fetch one from the network.
    """
    folder.mkdir(exist_ok=True)
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(f'"""A module."""\n\nsays = {content!r}\n')
    requires, backend = BACKENDS.get(client, ("backend", "backend"))
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["{requires}"]\nbuild-backend = "{backend}"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\ndescription = "A module."\nauthors = [{{name = "A. Uthor"}}]\n'
        'requires-python = ">=3.8"\n'
    )
    if client == "hatch":
        run(environment("hatch") / "bin/hatchling", "build", home=folder / "home", folder=folder)
    elif client not in BACKENDS:
        (folder / "dist").mkdir(exist_ok=True)
        files = {f"{module}.py": content.encode()}
        make_wheel(folder / "dist", name, "1.0", files=files)
        make_sdist(folder / "dist", name, "1.0", files=files)


def publish(
    client: str,
    server: Server,
    folder: Path,
    *,
    password: str = PASSWORD,
    check_url: bool = False,
    fails: bool = False,
) -> str:
    """Publish the wheel and the sdist of the project in ``folder``; returns all that the client printed."""
    dist = [str(path) for path in sorted(folder.glob("dist/*"))]
    url, variables = server.upload_url, {"SOURCE_DATE_EPOCH": "1700000000", **server.trust}
    match client:
        case "twine":
            command = ["upload", "--non-interactive", "--verbose", *dist]
            variables |= {"TWINE_REPOSITORY_URL": url, "TWINE_USERNAME": USER, "TWINE_PASSWORD": password}
        case "uv":
            command = ["publish", *(["--check-url", server.index] if check_url else []), *dist]
            variables |= {"UV_PUBLISH_URL": url, "UV_PUBLISH_USERNAME": USER, "UV_PUBLISH_PASSWORD": password}
        case "poetry":
            command = ["publish", "--build", "--no-interaction", "--repository", "private"]
            variables |= {"POETRY_REPOSITORIES_PRIVATE_URL": url, "POETRY_HTTP_BASIC_PRIVATE_USERNAME": USER}
            variables |= {"POETRY_HTTP_BASIC_PRIVATE_PASSWORD": password}
        case "pdm":
            command = ["publish", "--no-build"]
            variables |= {"PDM_PUBLISH_REPO": url, "PDM_PUBLISH_USERNAME": USER, "PDM_PUBLISH_PASSWORD": password}
        case "hatch":
            command = ["--no-interactive", "publish", *dist]
            variables |= {"HATCH_INDEX_REPO": url, "HATCH_INDEX_USER": USER, "HATCH_INDEX_AUTH": password}
        case "flit":
            command = ["publish"]
            variables |= {"FLIT_INDEX_URL": url, "FLIT_USERNAME": USER, "FLIT_PASSWORD": password}
    return run(client, *command, home=folder / "home", folder=folder, fails=fails, **variables)
