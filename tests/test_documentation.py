"""The documentation says what the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Command, Group, Parameter
from click.testing import CliRunner
from flask import Flask

from elasticpypi import __version__
from elasticpypi.cli import main
from elasticpypi.config import SETTINGS, Config
from elasticpypi.core.errors import Refusal
from elasticpypi.web.app import create_app
from elasticpypi.web.routes import OPEN, ROUTES, Route
from elasticpypi.wiring import services
from tests.support import ROOT
from tests.support.application import Client
from tests.support.builders import make_wheel

PACKAGE = ROOT / "elasticpypi"
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
HTTP_API = (ROOT / "docs/http-api.md").read_text()
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench/RESULTS.md"])
}
# What they are made of is tested elsewhere, and the changelog speaks of files that are gone.
BY_HAND = sorted({*DOCUMENTS} - {"CONFORMANCE.md", "CHANGELOG.md", "bench/RESULTS.md"})


# ---- Settings and commands


def test_the_table_of_settings_is_that_of_the_code() -> None:
    done = CliRunner().invoke(main, ["settings", "--markdown"])
    told = "docs/settings.md is old: put what `elasticpypi settings --markdown` prints in the place of its table."
    assert done.output in DOCUMENTS["docs/settings.md"], told
    assert done.output.count("\n") == len(SETTINGS) + 2


def test_every_setting_of_aws_can_be_given_at_deploy_time() -> None:
    template = (ROOT / "serverless.yml").read_text()
    only_one_machine = {"DATA", "LISTEN", "PORT", "WORKERS", "UPSTREAM", "DOWNLOADS", "TLS_CERT", "TLS_KEY", "FOLLOW"}
    found_out = {"SERVICE", "STAGE", "CLOUDFRONT_HOST", "CLOUDFRONT_KEY_ID"}
    for setting in SETTINGS:
        if setting.name not in only_one_machine | found_out:
            assert f"{setting.name}: ${{env:ELASTICPYPI_{setting.name}" in template
    [line] = re.findall(r"\*\*Only for one machine:\*\* (.*)", DOCUMENTS["docs/settings.md"])
    assert set(re.findall(r"`(\w+)`", line)) == only_one_machine


def test_every_variable_of_a_deployment_is_one() -> None:
    template = (ROOT / "serverless.yml").read_text()
    for name, text in DOCUMENTS.items():
        for variable in re.findall(r"\bELASTICPYPI_[A-Z_]*[A-Z]", text):
            assert f"env:{variable}," in template, f"{name}: {variable}"


def test_every_command_is_explained() -> None:
    rows = re.findall(r"^\| `elasticpypi .*", DOCUMENTS["docs/run-one-machine.md"], re.MULTILINE)
    assert {command for row in rows for command in re.findall(r"`elasticpypi (\w+)`", row)} == {*main.commands}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_is_named_is_one_with_its_options(name: str) -> None:
    for line in _code(DOCUMENTS[name]):
        for command, rest in re.findall(r"(?:^|bin/|=\S+ )elasticpypi ([a-z]+)(.*)", line.partition("#")[0]):
            assert command in main.commands, line
            if command != "upload":  # whose options are those of twine
                known = {option for parameter in _parameters(main.commands[command], rest) for option in parameter.opts}
                assert {*re.findall(r"(?<= )--[a-z-]+", rest)} <= known, line


def _parameters(command: Command, rest: str) -> list[Parameter]:
    """Of a command, and of what is called below it."""
    below = command.commands.get(rest.split()[0]) if isinstance(command, Group) and rest.split() else None
    return [*command.params, *(below.params if below else ())]


def test_every_target_of_make_is_explained_and_is_one() -> None:
    [targets] = re.findall(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {
        (target, name)
        for name, text in DOCUMENTS.items()
        for line in _code(text)
        for target in re.findall(r"(?:^| )make ([a-z-]+)", line)
    }
    assert {*targets.split()} == {target for target, _ in named}, named


def _code(text: str) -> list[str]:
    """Lines of code in a document, and what it has as code in a sentence."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest))
    return [*(line for block in blocks for line in block.splitlines()), *inline]


# ---- Routes


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    return create_app(services(Config(users={"a": "b"}, data=tmp_path)))


def documented_routes() -> dict[tuple[str, str], tuple[set[int], str]]:
    """Method and rule of each route in the table → its answers, and what is said of it."""
    found: dict[tuple[str, str], tuple[set[int], str]] = {}
    for routes, answers, text in re.findall(r"^\| (`[A-Z]+ /.*?) \| ([\d, ]+) \| (.*) \|$", HTTP_API, re.MULTILINE):
        for method, rule in re.findall(r"`([A-Z]+) (\S+)`", routes):
            assert (method, rule) not in found
            found[method, rule] = ({int(answer) for answer in answers.split(", ")}, text)
    return found


def test_the_routes_are_those_of_the_code(app: Flask) -> None:
    assert {*documented_routes()} == {(route.method, route.rule) for route in ROUTES}
    existing = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {*documented_routes()} == existing


def address(route: Route) -> str:
    values = {"path:name": "demo", "path:what": "demo", "name": "demo", "version": "1.0", "session_id": "0" * 64}
    values["filename"] = "demo-1.0-py3-none-any.whl"
    values |= {"index": "main", "path:path": "packages/demo-1.0-py3-none-any.whl"}
    values |= {"record": "MAL-2026-1", "digest": f"sha256:{'ab' * 32}"}
    return re.sub(r"<(.*?)>", lambda match: values[match[1]], route.rule)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.rule}")
def test_who_may_ask_is_said(app: Flask, route: Route) -> None:
    status = app.test_client().open(address(route), method=route.method).status_code
    _, text = documented_routes()[route.method, route.rule]
    assert (status != 401) == text.startswith("open: ") == (route.view in OPEN)


def test_every_get_answers_as_the_table_says(client: Client, tmp_path: Path) -> None:
    assert client.upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 200
    style = client.get("/project/demo/").text.partition("static/")[2].partition("/")[0]
    for route in ROUTES:
        # Nothing was announced, no other index is asked, and no advisory is loaded.
        if route.method == "GET" and not any(each in route.rule for each in ("<session_id>", "<index>", "<record>")):
            path = address(route)
            if "/static/" in path:
                path = f"/static/{style}/style.css"
            answers, _ = documented_routes()["GET", route.rule]
            answer = client.get(path)
            assert answer.status_code in answers, path
            if etag := answer.headers.get("ETag"):
                assert (client.get(path, headers={"If-None-Match": etag}).status_code == 304) == (304 in answers), path
            else:
                assert 304 not in answers or answer.status_code != 200, path


def test_every_refusal_is_explained(client: Client) -> None:
    rows = {int(status) for status in re.findall(r"^\| (\d{3}) \| ", HTTP_API, re.MULTILINE)}
    assert rows == {kind.status for kind in _kinds(Refusal)} | {405, 416, 431, 500}
    assert client.request("PUT", "/simple/").status_code == 405
    assert client.get("/simple/", headers={"X-Long": "x" * 70_000}).status_code == 431


def _kinds(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


# ---- Modules


def test_every_module_is_in_architecture() -> None:
    names = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    rows = re.findall(r"^\| `([a-z_0-9/]+\.py)` \|", ARCHITECTURE.partition("## The modules")[2], re.MULTILINE)
    assert len(rows) == len({*rows})
    assert {*rows} == {name for name in names if not name.endswith("__.py")}


def test_each_folder_imports_only_what_is_above_it_in_architecture() -> None:
    table = ARCHITECTURE.partition("## The folders")[2].partition("## ")[0]
    order = [row.removesuffix(".py") for row in re.findall(r"^\| `([a-z.]+)` \|", table, re.MULTILINE)]
    assert {*order} == {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    for module, imported in _imports():
        importer, used = module.split("/")[0], imported.split("/")[0]
        if used != importer:
            assert order.index(used) < order.index(importer), f"{module} imports {imported}"
        if importer == "client":
            assert used in ("client", "core"), f"{module} imports {imported}"
        family = re.match("storage/(aws|local)", imported)
        if family and not module.startswith(family[0]):
            followers = {"aws": "indexing/bucket_follower", "local": "indexing/folder_follower"}
            may = module in ("wiring", followers[family[1]]) or (family[1], module[:9]) == ("aws", "hosts/aws")
            assert may, f"{module} imports {imported}"


def _imports() -> Iterator[tuple[str, str]]:
    """Modules of ours, and what they import of ours, as paths without ``.py``."""
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        if module.startswith("__"):  # __main__ is the command, __init__ the version
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name.name}" for name in node.names]
            for name in names:
                below = name.removeprefix("elasticpypi.").replace(".", "/")
                if name.startswith("elasticpypi.") and below != "__version__":
                    yield module, below


# Where the tests of a module have another name, since they look at it from outside.
TESTED_BY = {
    "accounts/first_user.py": "hosts/test_server.py",
    "accounts/form_tokens.py": "web/test_manage.py",
    "accounts/permissions.py": "actions/test_decisions.py",
    "accounts/principal.py": "accounts/test_passwords.py",
    "actions/audit.py": "indexing/test_audit.py",
    **{
        f"cli/{name}.py": "test_cli.py" for name in ("common", "decide", "record", "repair", "rule", "serving", "setup")
    },
    "cli/advise.py": "actions/test_advisories.py",
    "cli/ask.py": "actions/test_why.py",
    "cli/fill.py": "actions/test_prefetch.py",
    "cli/uploading.py": "client/test_publish.py",
    "client/parts.py": "client/test_publish.py",
    "core/addresses.py": "web/test_proxies.py",
    **{f"core/archive/{name}.py": "core/test_archive.py" for name in ("scripts", "shape", "tars", "zips")},
    "core/errors.py": "web/test_app.py",
    "core/json_api.py": "web/test_json_api.py",
    "core/metadata.py": "core/test_distribution.py",
    "core/upstream_answer.py": "core/test_upstream.py",
    "core/outcome.py": "indexing/test_sync.py",
    "core/event.py": "actions/test_events.py",
    "events.py": "actions/test_events.py",
    "actions/policy.py": "web/test_policy.py",
    "core/blocks.py": "web/test_blocks.py",
    "indexing/blocks.py": "web/test_blocks.py",
    "indexing/record.py": "actions/test_events.py",
    "storage/aws/event_log.py": "actions/test_events.py",
    "storage/local/event_log.py": "actions/test_events.py",
    "web/views/events.py": "actions/test_events.py",
    "storage/aws/owner.py": "indexing/test_bucket_follower.py",
    "hosts/aws/authorizer.py": "accounts/test_passwords.py",
    "hosts/machine/follower.py": "hosts/test_server.py",
    "hosts/machine/web_server.py": "hosts/test_processes.py",
    "lambdas.py": "aws/test_upgrade.py",
    "indexing/about.py": "core/test_about.py",
    "indexing/heartbeat.py": "indexing/test_folder_troubles.py",
    "repository/base.py": "web/test_app.py",
    "upstream/connections.py": "upstream/test_fetch.py",
    "upstream/loops.py": "web/test_upstream_files.py",
    "upstream/places.py": "upstream/test_transfers.py",
    "repository/stored.py": "web/test_app.py",
    "services.py": "test_cli.py",
    "storage/aws/catalog.py": "contracts/test_catalog.py",
    "storage/aws/staging.py": "actions/test_upload_sessions.py",
    "storage/contracts.py": "contracts/test_stores.py",
    "storage/local/catalog.py": "contracts/test_catalog.py",
    "storage/local/database.py": "storage/test_sqlite.py",
    "storage/local/upstream.py": "storage/test_upstream_store.py",
    "web/refusals.py": "web/test_pages.py",
    "web/request.py": "web/test_odd_uploads.py",
    "web/views/decisions.py": "actions/test_decisions.py",
    "web/views/download.py": "web/test_app.py",
    "web/views/health.py": "web/test_app.py",
    "web/views/simple.py": "web/test_app.py",
    "web/views/osv.py": "actions/test_advisories.py",
    "web/views/upload.py": "actions/test_upload.py",
    "web/views/upstream.py": "web/test_upstream_files.py",
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


# ---- All documents


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    for target in _links(DOCUMENTS[name]):
        path, _, anchor = target.partition("#")
        place = (ROOT / name).parent / path if path else ROOT / name
        assert place.exists(), target
        assert place.resolve().is_relative_to(ROOT.resolve()), target
        if anchor:
            assert anchor in _anchors(place.read_text()), target


def test_every_document_can_be_found() -> None:
    found, left = {"README.md"}, ["README.md"]
    while left:
        name = left.pop()
        for target in _links(DOCUMENTS.get(name, "")):
            place = ((ROOT / name).parent / target.partition("#")[0]).resolve().relative_to(ROOT.resolve()).as_posix()
            if place not in found:
                found.add(place)
                left.append(place)
    assert {*DOCUMENTS} <= found


def _links(text: str) -> list[str]:
    """Where a document leads to, on this disk."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|srcset|href)=\"([^\"]+)\"", text)
    return [target for target in found if "://" not in target]


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of headings."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", BY_HAND)
def test_every_file_of_ours_that_is_named_is_there(name: str) -> None:
    named = re.findall(r"`([\w./-]+/[\w.-]*\.(?:py|js|yml|md|tsv|css))`", DOCUMENTS[name])
    named += re.findall(r"`((?:tests|bench|docs|serverless|demo)/[\w/]*)`", DOCUMENTS[name])
    for path in named:
        assert (ROOT / path).exists() or (PACKAGE / path).exists(), path


@pytest.mark.parametrize("name", BY_HAND)
def test_every_test_that_is_named_is_there(name: str) -> None:
    for path, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENTS[name]):
        assert f"def {test}(" in (ROOT / path).read_text(), f"{path}::{test}"


def test_the_readme_is_short() -> None:
    """A screen and a half: what it is, and both commands, come first."""
    lines = README.splitlines()
    assert len(lines) <= 75
    assert all(any(line.startswith(f"make {target} ") for line in lines[:25]) for target in ("serve", "test"))


def test_the_newest_version_in_the_changelog_is_this_one() -> None:
    headings = re.findall(r"^## (.*)", DOCUMENTS["CHANGELOG.md"], re.MULTILINE)
    released = [heading for heading in headings if not heading.endswith(" - unreleased")]
    assert headings[-len(released) :] == released
    assert re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", released[0])


def test_pins_agree() -> None:
    requirements = (ROOT / "test-requirements.txt").read_text()
    for name in ("granian", "watchfiles"):
        [pin] = re.findall(rf"^{name}==.*$", requirements, re.MULTILINE)
        assert f'"{pin}"' in (ROOT / "pyproject.toml").read_text()
