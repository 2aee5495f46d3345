"""The other commands: reindex, settings, password, help."""

import hashlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.utils import NormalizedName

from elasticpypi.cli import main
from elasticpypi.config import SETTINGS, Config
from elasticpypi.services import Services
from elasticpypi.wiring import services
from tests.support.builders import make_old_sdist, make_sdist, make_wheel
from tests.support.moto_aws import BUCKET, TABLE

FAMILIES = "one machine", pytest.param("aws", marks=pytest.mark.moto)
DEMO = NormalizedName("demo")


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path) -> CliRunner:
    """Commands on the family of the parameter, with nothing else set."""
    for setting in SETTINGS:
        monkeypatch.setenv(setting.name, "")
        monkeypatch.delenv(setting.name)
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    if getattr(request, "param", "one machine") == "aws":
        request.getfixturevalue("aws")
        monkeypatch.setenv("BUCKET", BUCKET)
        monkeypatch.setenv("TABLE", TABLE)
    return CliRunner()


def opened(tmp_path: Path, runner: CliRunner) -> Services:

    return services(
        Config.from_env({name: os.environ[name] for name in ("BUCKET", "TABLE", "DATA") if name in os.environ})
    )


@pytest.mark.parametrize("runner", FAMILIES, indirect=True)
def test_reindex_takes_over_what_is_there_and_reports(runner: CliRunner, tmp_path: Path) -> None:
    stores = opened(tmp_path, runner)
    contents = {
        "README.md": b"hello",
        "demo-0.9.egg": b"egg",
        "demo-0.1-py3-none-any.whl": b"broken",
        "demo-0.2.tar.bz2": make_old_sdist(tmp_path, "demo", "0.2").read_bytes(),
        "Demo-0.3.tar.bz2": make_old_sdist(tmp_path, "Demo", "0.3").read_bytes(),
        "demo-0.3.win32.exe": b"exe",
    }
    wheel = make_wheel(tmp_path, "demo", "1.0")
    contents[wheel.name] = contents[f"team/{wheel.name}"] = wheel.read_bytes()
    for key, data in contents.items():
        stores.files.save(key, io.BytesIO(data), hashlib.sha256(data).hexdigest())
    done = runner.invoke(main, ["reindex"])
    assert done.exit_code == 0, done.output
    assert re.search(r"\n8 keys in \d+\.\d s \(\d+ a second\): 4 left out, 4 written\.\n$", done.output)
    assert [entry.name for entry in stores.catalog.search("demo", 0, 10).entries] == ["demo"]
    assert "left out: README.md: Its name is none of a wheel or an sdist." in done.output
    assert "left out: demo-0.9.egg: Its name is none of a wheel or an sdist." in done.output
    assert "left out: demo-0.1-py3-none-any.whl: 'demo-0.1-py3-none-any.whl' cannot be read" in done.output
    project = stores.index.project(DEMO)
    assert project is not None
    assert [file.key for file in project.files] == ["demo-0.2.tar.bz2", "Demo-0.3.tar.bz2", wheel.name]
    assert "): 4 left out, 4 unchanged." in runner.invoke(main, ["reindex"]).output
    stores.files.delete(wheel.name)
    assert "1 removed" in runner.invoke(main, ["reindex"]).output
    after = stores.index.project(DEMO)
    assert after is not None
    assert [file.key for file in after.files] == ["demo-0.2.tar.bz2", "Demo-0.3.tar.bz2", f"team/{wheel.name}"]


@pytest.mark.parametrize("runner", FAMILIES, indirect=True)
def test_decisions(runner: CliRunner, tmp_path: Path) -> None:
    stores = opened(tmp_path, runner)
    names = []
    for path in (make_wheel(tmp_path, "demo", "1.0"), make_sdist(tmp_path, "demo", "1.0")):
        data = path.read_bytes()
        stores.files.save(path.name, io.BytesIO(data), hashlib.sha256(data).hexdigest())
        names.append(path.name)
    runner.invoke(main, ["reindex"])

    def yanked() -> list[str | None]:
        project = stores.index.project(DEMO)
        return [file.yanked for file in project.files] if project else []

    done = runner.invoke(main, ["yank", "Demo==1.0.0", "--reason", "bad build"])
    assert done.output == "".join(f"{name} is yanked.\n" for name in names)
    assert yanked() == ["bad build", "bad build"]
    assert runner.invoke(main, ["unyank", names[0]]).output == f"{names[0]} is not yanked.\n"
    assert yanked() == [None, "bad build"]
    assert runner.invoke(main, ["status", "Demo", "archived", "--reason", "old"]).output == "demo is archived.\n"
    project = stores.index.project(DEMO)
    assert project is not None
    assert (project.status, project.status_reason) == ("archived", "old")
    kept = runner.invoke(main, ["delete", names[0]], input="n\n")
    assert kept.exit_code == 1
    assert yanked() == [None, "bad build"]
    assert runner.invoke(main, ["delete", names[0]], input="y\n").output.endswith(f"{names[0]} is deleted.\n")
    assert runner.invoke(main, ["delete", "--yes", "demo==1.0"]).output == f"{names[1]} is deleted.\n"
    assert stores.index.projects()[1] == []
    for command in (["yank", names[0]], ["delete", "--yes", "demo==1.0"], ["status", "demo", "archived"]):
        refused = runner.invoke(main, command)
        assert refused.exit_code == 1
        assert refused.output.startswith("Error: There is no ")


def test_reindex_of_a_folder_that_is_not_there(runner: CliRunner, tmp_path: Path) -> None:
    done = runner.invoke(main, ["reindex", "--data", str(tmp_path / "nowhere")])
    assert done.exit_code == 1
    assert done.output == f"Error: There is no folder '{tmp_path}/nowhere': give the right one with --data.\n"
    assert not (tmp_path / "nowhere").exists()


def test_settings_are_listed(runner: CliRunner) -> None:
    output = runner.invoke(main, ["settings"]).output
    for setting in SETTINGS:
        assert setting.name in output
        assert setting.help in output


def test_the_password_of_the_environment_cannot_be_set_here(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USERS", "a:b")
    done = runner.invoke(main, ["password"])
    assert done.output == "Error: The users are set in the environment: change PASSWORD or USERS there.\n"
    assert not (tmp_path / "data").exists()


def test_a_chosen_password_must_not_be_the_sample(runner: CliRunner, tmp_path: Path) -> None:
    done = runner.invoke(main, ["password"], input="something-secretive\n")
    assert done.exit_code == 1
    assert "sample password" in done.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", [[], *([name] for name in sorted(main.commands))])
def test_every_command_explains_itself(runner: CliRunner, command: list[str]) -> None:
    done = runner.invoke(main, [*command, "--help"])
    assert done.exit_code == 0
    assert "usage:" in done.output.lower()  # that of `upload` is twine's


def test_aws_without_boto3_is_said() -> None:
    script = "import sys; sys.modules['boto3'] = None; from elasticpypi.cli import main; main(['reindex'])"
    environ = {"PATH": os.environ["PATH"], "BUCKET": "b", "TABLE": "t"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: AWS needs boto3: pip install boto3.\n")
