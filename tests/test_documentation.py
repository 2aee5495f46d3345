"""The documentation says what the code does."""

import re
from pathlib import Path

import pytest
from flask import Flask

from elasticpypi.config import SETTINGS, Config
from elasticpypi.web.app import create_app
from elasticpypi.wiring import services
from tests.support import ROOT

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


# Where the tests of a module have another name, since they look at it from outside.
TESTED_BY = {
    "accounts/first_user.py": "hosts/test_server.py",
    "accounts/form_tokens.py": "web/test_manage.py",
    "accounts/permissions.py": "actions/test_decisions.py",
    "accounts/principal.py": "accounts/test_passwords.py",
    "actions/audit.py": "indexing/test_audit.py",
    "client/parts.py": "client/test_publish.py",
    "core/addresses.py": "web/test_proxies.py",
    **{f"core/archive/{name}.py": "core/test_archive.py" for name in ("scripts", "shape", "tars", "zips")},
    "core/errors.py": "web/test_app.py",
    "core/json_api.py": "web/test_json_api.py",
    "core/metadata.py": "core/test_distribution.py",
    "core/outcome.py": "indexing/test_sync.py",
    "events.py": "indexing/test_catalog.py",
    "hosts/aws/authorizer.py": "accounts/test_passwords.py",
    "hosts/machine/follower.py": "hosts/test_server.py",
    "hosts/machine/web_server.py": "hosts/test_processes.py",
    "indexing/about.py": "core/test_about.py",
    "indexing/heartbeat.py": "indexing/test_folder_troubles.py",
    "repository/base.py": "web/test_app.py",
    "repository/stored.py": "web/test_app.py",
    "services.py": "test_cli.py",
    "storage/aws/catalog.py": "contracts/test_catalog.py",
    "storage/aws/staging.py": "actions/test_upload_sessions.py",
    "storage/contracts.py": "contracts/test_stores.py",
    "storage/local/catalog.py": "contracts/test_catalog.py",
    "web/refusals.py": "web/test_pages.py",
    "web/request.py": "web/test_odd_uploads.py",
    "web/routes.py": "test_documentation.py",
    "web/views/decisions.py": "actions/test_decisions.py",
    "web/views/download.py": "web/test_app.py",
    "web/views/health.py": "web/test_app.py",
    "web/views/simple.py": "web/test_app.py",
    "web/views/upload.py": "actions/test_upload.py",
    "web/views/upload_sessions.py": "actions/test_upload_sessions.py",
    "wiring.py": "test_cli.py",
}


def test_every_module_has_a_test_file() -> None:
    """``core/keys.py`` has ``tests/core/test_keys.py``: a folder of tests is a subject, with all that is below it."""
    package, tests = ROOT / "elasticpypi", ROOT / "tests"
    modules = {path.relative_to(package) for path in package.rglob("*.py") if not path.name.startswith("__")}
    assert {Path(module) for module in TESTED_BY} <= modules
    for module in modules:
        subject = module.parts[0] if len(module.parts) > 1 else ""
        own, other = tests / subject / f"test_{module.name}", TESTED_BY.get(module.as_posix())
        assert own.exists() != bool(other), f"{module}: one of {own} and TESTED_BY"
        assert other is None or (tests / other).exists(), other


def test_every_target_of_make_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", README):
        assert f"\n{target}:" in makefile


def test_pins_agree() -> None:
    requirements = (ROOT / "test-requirements.txt").read_text()
    for name in ("granian", "watchfiles"):
        [pin] = re.findall(rf"^{name}==.*$", requirements, re.MULTILINE)
        assert f'"{pin}"' in (ROOT / "pyproject.toml").read_text()
