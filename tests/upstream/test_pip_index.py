"""The index that pip on this machine uses, whatever tells it that."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from elasticpypi.core.errors import ConfigurationError
from elasticpypi.upstream import pip_index
from tests.support import ROOT


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """As if nobody had asked, and with no configuration but that of the test."""
    for name in ("PIP_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    pip_index.pip_index.cache_clear()
    yield
    pip_index.pip_index.cache_clear()


@pytest.mark.slow
def test_it_is_that_of_its_configuration_with_credentials_else_the_one_that_is_built_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")  # as pip has it: no file at all
    built_in = pip_index.pip_index()
    assert built_in.startswith("https://")
    monkeypatch.setenv("PIP_INDEX_URL", "https://anna:secret@mirror.example/simple")
    assert pip_index.pip_index() == built_in  # it is asked once
    pip_index.pip_index.cache_clear()
    assert pip_index.pip_index() == "https://anna:secret@mirror.example/simple"
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = http://company.example/pypi/simple/\n")
    pip_index.pip_index.cache_clear()
    assert pip_index.pip_index() == "http://company.example/pypi/simple/"


@pytest.mark.parametrize("said", ['["https://x/simple", true]', '["ftp://x/", false]', '["/a/folder", false]'])
def test_a_pip_without_an_index_is_a_sentence(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    with pytest.raises(ConfigurationError, match="pip on this machine uses no index: give the address of one"):
        pip_index.pip_index()


def test_the_next_python_is_asked_if_one_has_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        asked.append(command[0])
        if len(asked) < 3:
            raise subprocess.CalledProcessError(1, command) if len(asked) == 1 else OSError
        return SimpleNamespace(stdout='["https://x.example/simple", false]')

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(pip_index.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert pip_index.pip_index() == "https://x.example/simple"
    assert asked == [sys.executable, "/usr/bin/python3", "/usr/bin/python"]


def test_without_any_pip_the_address_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 20)

    monkeypatch.setattr(subprocess, "run", none)
    with pytest.raises(ConfigurationError, match="There is no pip here to ask for its index: give the address"):
        pip_index.pip_index()


@pytest.mark.network
@pytest.mark.slow
def test_a_start_without_pip_ends_with_that_sentence(tmp_path: Path) -> None:
    """A Python whose packages are not those of pip: ``-I`` leaves out PYTHONPATH, so ours has to be on it by hand."""
    code = (
        "import sys, shutil; from elasticpypi.upstream import pip_index; shutil.which = lambda name: None; "
        "pip_index.ASK = 'raise SystemExit(1)'; from elasticpypi.cli import main; main()"
    )
    told = ["serve", "--port", "0", "--upstream", "pip", "--data", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *told], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "There is no pip here to ask for its index: give the address of one in the place of pip." in done.stderr
    assert "Traceback" not in done.stderr
