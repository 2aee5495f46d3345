"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest
from flask import Flask

from elasticpypi.config import SETTINGS, Config
from elasticpypi.web.app import create_app
from elasticpypi.wiring import services

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? ?\| (.*) \|$", README, re.MULTILINE)
    assert rows == [(setting.name, setting.default, setting.help) for setting in SETTINGS]


def test_every_setting_of_aws_can_be_given_at_deploy_time() -> None:
    template = (ROOT / "serverless.yml").read_text()
    only_one_machine = {"DATA", "LISTEN", "PORT", "WORKERS", "TLS_CERT", "TLS_KEY", "FOLLOW"}
    found_out = {"SERVICE", "STAGE", "CLOUDFRONT_HOST", "CLOUDFRONT_KEY_ID"}
    for setting in SETTINGS:
        if setting.name not in only_one_machine | found_out:
            assert f"{setting.name}: ${{env:ELASTICPYPI_{setting.name}" in template


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return create_app(services(Config(users={"a": "b"}, data=tmp_path)))


def test_every_route_is_in_architecture(app: Flask) -> None:
    rows = re.findall(r"^\| `(?:GET|POST|PUT|DELETE) .*", ARCHITECTURE, re.MULTILINE)
    documented = {route for row in rows for route in re.findall(r"`((?:GET|POST|PUT|DELETE) .*?)`", row)}
    existing = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert documented == existing


def test_every_module_is_in_architecture() -> None:
    package = ROOT / "elasticpypi"
    for path in package.rglob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            name = path.relative_to(package).as_posix()
            assert f"`{name}`" in ARCHITECTURE or (name.startswith("views/") and f"`{path.stem}`" in ARCHITECTURE), name


def test_every_module_has_a_test_file() -> None:
    tests = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    # Where the tests of a module have another name, since they look at it from outside.
    elsewhere = {
        "errors": "test_views.py",
        "attempts": "test_auth.py",
        "app": "test_views.py",
        "wiring": "test_cli.py",
        "metadata": "test_distribution.py",
        "first_user": "test_server.py",
        "staging": "test_sessions.py",
        "parts": "test_publish.py",
        "heartbeat": "test_follower.py",
        **dict.fromkeys(("zips", "tars", "shape", "scripts"), "test_archive.py"),
    }
    for path in (ROOT / "elasticpypi").rglob("*.py"):
        if path.parent.name != "views" and not path.name.startswith("__"):
            assert elsewhere.get(path.stem, f"test_{path.name}") in tests, path


def test_every_target_of_make_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", README):
        assert f"\n{target}:" in makefile


def test_pins_agree() -> None:
    requirements = (ROOT / "test-requirements.txt").read_text()
    for name in ("granian", "watchfiles"):
        [pin] = re.findall(rf"^{name}==.*$", requirements, re.MULTILINE)
        assert f'"{pin}"' in (ROOT / "pyproject.toml").read_text()
