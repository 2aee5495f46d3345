"""First parts of paths, and the names that other indexes cannot have."""

import re
from pathlib import Path

import pytest

from elasticpypi.core.addresses import RESERVED
from elasticpypi.web.routes import ROUTES
from tests.support.application import Client
from tests.support.builders import make_sdist

DOCUMENT = (Path(__file__).parents[2] / "docs/http-api.md").read_text()


def test_every_first_part_of_a_path_is_reserved() -> None:
    first = {route.rule.split("/")[1] for route in ROUTES}
    assert {part for part in first if re.fullmatch(r"[a-z0-9-]+", part)} <= RESERVED


def test_the_documentation_names_them_all() -> None:
    [named] = re.findall(r"^\*\*Reserved\*\*.*?: (.*?)\.", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert {*re.findall(r"`([a-z]+)`", named)} == RESERVED


@pytest.mark.parametrize("name", ["simple", "packages", "policy", "root"])
def test_a_project_may_have_such_a_name(client: Client, tmp_path: Path, name: str) -> None:
    assert client.upload(make_sdist(tmp_path, name, "1.0")).status_code == 200
    for path in (f"/simple/{name}/", f"/project/{name}/", f"/pypi/{name}/json", f"/packages/{name}-1.0.tar.gz"):
        assert client.get(path).status_code == 200
