"""Libraries that read the pages strictly: what they find, and that they warn of nothing."""

import json
from pathlib import Path

import pytest

from tests.support.builders import make_sdist, make_wheel
from tests.support.environments import environment, run
from tests.support.live import PASSWORD, USER, Server
from tests.support.publish import publish
from tests.support.waiting import until

PYPI_SIMPLE = """
import json, sys
from pypi_simple import ACCEPT_HTML_ONLY, ACCEPT_JSON_ONLY, PyPISimple
url, user, password, name = sys.argv[1:]
for accept in ACCEPT_HTML_ONLY, ACCEPT_JSON_ONLY:
    with PyPISimple(url, auth=(user, password), accept=accept) as index:
        assert name in index.get_index_page().projects
        page = index.get_project_page(name)
        assert page.repository_version == "1.4", page.repository_version
        for package in page.packages:
            assert index.get_package_metadata(package).startswith("Metadata-Version: "), package
        print(json.dumps([[p.filename, p.yanked_reason, p.requires_python, p.digests] for p in page.packages]))
"""

MOUSEBENDER = """
import base64, json, sys, urllib.request
from mousebender import simple
url, user, password, name = sys.argv[1:]
credentials = base64.b64encode(f"{user}:{password}".encode()).decode()

def get(path, accept):
    headers = {"Authorization": f"Basic {credentials}", "Accept": accept}
    with urllib.request.urlopen(urllib.request.Request(url + path, headers=headers)) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]

for accept in simple.ACCEPT_HTML, simple.ACCEPT_JSON_V1:
    root = simple.parse_project_index(*get("", accept))
    assert name in [project["name"] for project in root["projects"]]
    files = simple.parse_project_details(*get(name + "/", accept), name)["files"]
    keys = "filename", "yanked", "requires-python", "hashes"
    print(json.dumps([[file.get(key) or None for key in keys] for file in files]))
"""

# The newest release of mousebender is older than version 1.4 of the API, and says so.
KNOWN = {"mousebender": ["-W", "ignore:Unsupported API minor version"]}


@pytest.mark.parametrize(("client", "code"), [("pypi-simple", PYPI_SIMPLE), ("mousebender", MOUSEBENDER)])
def test_pages_are_read_without_a_warning(
    client: str, code: str, server: Server, name: str, dist: Path, tmp_path: Path
) -> None:
    sdist = make_sdist(dist, name, "1.0")
    wheel = make_wheel(dist, name, "1!1.0+local.1", requires_python=">=3.8,<4")
    publish("uv", server, tmp_path)
    server.put(f"{wheel.name}.yanked", b'<b>"why"</b> & more')
    until(lambda: server.files(name)[wheel.name].get("yanked"), "the reason on the page")
    digests = {file: entry["hashes"] for file, entry in server.files(name).items()}
    arguments = ["-W", "error", *KNOWN.get(client, []), "-c", code, server.simple, USER, PASSWORD, name]
    told = run(environment(client) / "bin" / "python", *arguments, home=tmp_path / "home", folder=tmp_path)
    html, as_json = [json.loads(line) for line in told.splitlines() if line.startswith("[[")]
    assert html == as_json
    assert as_json == [
        [sdist.name, None, None, digests[sdist.name]],
        [wheel.name, '<b>"why"</b> & more', ">=3.8,<4", digests[wheel.name]],
    ]
