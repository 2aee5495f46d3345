"""The pages for people over HTTP, in both families: what they show, where they lead, and what they must not do."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import quote, urldefrag, urljoin, urlsplit

import pytest
from packaging.utils import NormalizedName
from werkzeug.test import TestResponse

from elasticpypi.actions import decisions
from elasticpypi.config import Config
from elasticpypi.core.model import File
from elasticpypi.core.outcome import Outcome
from elasticpypi.core.search_entry import Entry
from elasticpypi.services import Services
from elasticpypi.storage.local.directory import DirectoryFiles
from elasticpypi.storage.local.sqlite import SQLiteIndex
from elasticpypi.web.pages import readme
from elasticpypi.wiring import on_folder, with_subscribers
from tests.support.application import PASSWORD, USER, Client, staged
from tests.support.builders import ACTOR, make_sdist, make_wheel
from tests.support.showcase import ATTACKS, HOSTILE_MARKDOWN, HOSTILE_RST_RENDERED, MARKDOWN, described, hostile
from tests.support.tags import Tags, harmless

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
BROWSER = {"Accept": CHROMIUM}
OURS = frozenset({"meta", "link", "script", "svg", "form"})  # what the head and the search box consist of


def look(client: Client, path: str, status: int = 200, **options: object) -> str:
    response = client.get(path, headers=BROWSER, **options)
    assert response.status_code == status, response.text
    return response.text


def text(html: str) -> str:
    """What there is to read, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html.partition("<main")[2])).split())


def add(client: Client, *paths: Path) -> None:
    for path in paths:
        response = client.upload(path)
        assert response.status_code == 200, response.text
    refresh(client, *(path.name for path in paths))


def refresh(client: Client, *keys: str) -> None:
    with_subscribers(client.services).events.tell([Outcome(key, "written") for key in keys])


RENDERED = cache(readme._render)  # the same README in each test, which a process of its own renders in 0.2 s


@pytest.fixture
def shown(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """An index with three projects."""
    monkeypatch.setattr(readme, "_render", RENDERED)
    return staged(client, three_projects)


def three_projects(client: Client, folder: Path) -> None:
    fields = described(
        MARKDOWN,
        "text/markdown",
        Summary="Client of ACME",
        Keywords="orders,http",
        Author="Anna",
        License_Expression="MIT",
        requires_python=">=3.10",
        Provides_Extra="fast",
        Requires_Dist=["base>=1", "elsewhere", 'orjson; extra == "fast"'],
        Project_Url="Docs, https://acme.example/docs",
        Classifier="Typing :: Typed",
    )
    add(
        client,
        make_wheel(folder, "base", "1.0", Summary="The base of all"),
        make_wheel(folder, "Acme-Client", "1.0", **fields),
        make_wheel(folder, "Acme-Client", "1.1+local", **fields),
        make_sdist(folder, "Acme-Client", "1.1+local", **fields),
        make_wheel(folder, "Acme-Client", "2.0rc1"),
        make_wheel(folder, "acme-tools", "1.0", Summary="Tools for orders"),
    )


# ---- home


def test_an_empty_index_says_how_to_begin(client: Client) -> None:
    said = text(look(client, "/"))
    assert "Nothing has been uploaded yet." in said
    assert f"twine upload --repository-url http://localhost/legacy/ --username {USER} dist/*" in said
    assert "No packages yet." in text(look(client, "/search"))


def test_home(shown: Client) -> None:
    html = look(shown, "/")
    said = text(html)
    assert "3 projects, 5 releases, 6 files." in said
    newest = re.findall(r'href="\./project/([^"]+)/"', html)
    assert sorted(newest) == ["acme-client", "acme-tools", "base"]
    assert "pip install --index-url http://localhost/simple/ PACKAGE" in said
    assert f"uv add --default-index http://{USER}@localhost/simple/ PACKAGE" in said
    assert f"poetry config http-basic.private {USER}" in said
    assert f"pdm config pypi.url 'http://{USER}:${{PYPI_PASSWORD}}@localhost/simple/'" in said


@pytest.mark.parametrize("path", ["/", "/search?q=acme", "/project/acme-client/", "/project/none/", "/legacy/"])
def test_no_page_shows_the_password(shown: Client, path: str) -> None:
    answer = shown.get(path, headers=BROWSER)
    for secret in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe="")):
        assert secret not in answer.text
        assert secret not in str(answer.headers)


def test_the_addresses_are_those_of_the_client(services: Services) -> None:
    odd = "it's <me>@x"
    client = Client(replace(services, config=replace(services.config, users={odd: "secret-word"})))
    html = look(
        client,
        "/",
        user=f"{odd}:secret-word",
        base_url="http://pypi.example:8080/dev/",
    )
    said = text(html)
    assert "pip install --index-url http://pypi.example:8080/dev/simple/ PACKAGE" in said
    assert "uv add --default-index http://it%27s%20%3Cme%3E%40x@pypi.example:8080/dev/simple/ PACKAGE" in said
    assert """--username 'it'"'"'s <me>@x' dist/*""" in said
    assert harmless(html, OURS) == []
    headers = {**BROWSER, "X-Forwarded-Proto": "https"}
    secure = client.get("/", user=f"{odd}:secret-word", headers=headers).text
    assert "https://localhost/simple/" in secure
    assert "http://localhost" not in secure


# ---- search


def test_search(shown: Client) -> None:
    html = look(shown, "/search?q=acme")
    assert re.findall(r'href="\./project/([^"]+)/"', html) == ["acme-client", "acme-tools"]
    assert '<input id="search" name="q" type="search" value="acme"' in html
    assert "2 projects" in text(html)
    assert "acme-tools 1.0 Tools for orders" in text(look(shown, "/search?q=ORDERS+tool"))
    assert "No project has all of these words." in text(look(shown, "/search?q=nowhere"))
    assert "3 projects" in text(look(shown, "/search"))


@pytest.mark.parametrize(("path", "accept"), [("&format=json", "text/html"), ("", "application/json")])
def test_search_for_programs(shown: Client, path: str, accept: str) -> None:
    response = shown.get(f"/search?q=tools{path}", headers={"Accept": accept})
    assert response.headers["Content-Type"] == "application/json"
    found = response.get_json()
    [project] = found.pop("projects")
    assert found == {"query": "tools", "page": 1, "pages": 1, "total": 1}
    assert project.pop("time").endswith("Z")
    assert project == {"name": "acme-tools", "version": "1.0", "released": "1.0", "summary": "Tools for orders"}


def test_many_projects_come_in_pages(client: Client) -> None:
    for number in range(45):
        name = NormalizedName(f"part-{number:02}")
        entry = Entry(name, 1, "1.0", "1.0", "2026-01-01", "", ("part",))
        client.services.catalog.replace(name, 1, entry)

    def names(page: str) -> list[str]:
        found = client.get(f"/search?q=part&format=json&page={page}").get_json()
        assert (found["total"], found["pages"]) == (45, 3)
        return [each["name"] for each in found["projects"]]

    everything = [f"part-{number:02}" for number in range(45)]
    assert names("1") + names("2") + names("3") == everything
    assert names("4") == names("99999") == []
    for odd in ("", "0", "-1", "x", "1" * 400, "\u00b2"):
        assert names(odd) == everything[:20]
    html = look(client, "/search?q=part&page=2")
    assert '<a rel="prev" href="./search?q=part&amp;page=1">' in html
    assert '<a rel="next" href="./search?q=part&amp;page=3">' in html
    assert "Nothing on this page." in look(client, "/search?q=part&page=4")


# ---- projects


def test_a_project(shown: Client) -> None:
    html = look(shown, "/project/acme-client/")
    said = text(html)
    assert said.index("Acme-Client 1.1+local") < said.index("Client of ACME") < said.index("Description")
    assert "uv add --default-index http://alice@localhost/simple/ acme-client" in said
    assert '<span class="kn">from</span>' in html  # the README is rendered
    wheel = "Acme_Client-1.1+local-py3-none-any.whl"
    assert f'<a href="../../packages/{quote(wheel, safe="")}">{wheel}</a>' in html
    [file] = [
        each for each in shown.services.index.project(NormalizedName("acme-client")).files if each.filename == wheel
    ]  # type: ignore[union-attr]
    for fact in (file.sha256, file.upload_time[:10], "py3", "any", "Python >=3.10", f"{file.size / 1000:.1f} kB"):
        assert str(fact) in said
    for fact in ("MIT", "Anna", "orders", "fast", "Typed", "base >=1", "elsewhere", "orjson"):
        assert fact in said
    assert '<a href="../../project/base/">base</a>' in html
    assert "project/elsewhere" not in html
    assert '<a href="https://acme.example/docs" rel="nofollow noopener">Docs</a>' in html
    assert '<a href="../../simple/acme-client/">' in html
    assert re.findall(r'class="number" href="../../project/acme-client/([^"]+)/"', html) == [
        "2.0rc1",
        "1.1%2Blocal",
        "1.0",
    ]
    assert "pre-release" in said
    assert '<li><a href="../../project/acme-client/">acme-client</a></li>' in look(shown, "/project/base/")


def test_a_release(shown: Client) -> None:
    html = look(shown, "/project/acme-client/1.0/")
    assert "1.1+local is the latest version; this is 1.0" in text(html)
    assert "http://alice@localhost/simple/ acme-client==1.0" in text(html)
    assert 'href="../../../packages/Acme_Client-1.0-py3-none-any.whl"' in html
    assert "is the latest version" not in look(shown, "/project/acme-client/1.1+local/")
    assert "This release has no description." in look(shown, "/project/acme-client/2.0rc1/")
    assert look(shown, "/project/acme-client/v1.0.0/") == html


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/project/Acme.Client", "acme-client/"),
        ("/project/acme-client", "acme-client/"),
        ("/project/Acme__Client/?x=1", "../acme-client/?x=1"),
        ("/project/acme-client/1.0", "1.0/"),
        ("/project/acme-client/1.1+local", "1.1%2Blocal/"),
        ("/project/Acme_Client/1.0/", "../../acme-client/1.0/"),
    ],
)
def test_redirects_are_relative(shown: Client, path: str, location: str) -> None:
    response = shown.get(path)
    assert (response.status_code, response.headers["Location"], response.text) == (301, location, "")


def test_yanked(shown: Client) -> None:
    decisions.yank(shown.services, ACTOR, "Acme_Client-1.0-py3-none-any.whl", "a <bad> build")
    decisions.yank(shown.services, ACTOR, "acme_client-1.1+local.tar.gz", "")
    html = look(shown, "/project/acme-client/1.0/")
    assert "This release is yanked. Installers take it only where it is pinned exactly. a <bad> build" in text(html)
    assert '<span class="mark bad">yanked: a &lt;bad&gt; build</span>' in html
    html = look(shown, "/project/acme-client/")
    assert "This release is yanked." not in html  # one file of two
    assert html.count('<span class="mark bad">yanked</span>') == 1


@pytest.mark.parametrize("status", ["archived", "deprecated", "quarantined"])
def test_the_status_of_a_project(shown: Client, status: str) -> None:
    name = NormalizedName("acme-client")
    decisions.set_status(shown.services, ACTOR, name, status, "Since <today>")
    refresh(shown, "acme-client.status")
    html = look(shown, "/project/acme-client/")
    assert f"This project is {status}." in text(html)
    assert "Since &lt;today&gt;" in html
    assert ("packages/" in html) == (status != "quarantined")
    assert look(shown, "/project/acme-client/1.0/", 404 if status == "quarantined" else 200)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("acme-clinet/", ["acme-client"]),
        ("client/", ["acme-client"]),
        ("acme/", ["acme-client", "acme-tools"]),
        ("acme-client/9.9/", ["acme-client"]),
        ("acme-client/junk/", ["acme-client"]),
        ("zzz/", []),
        ("-/", []),
        ("d%C3%A9mo/", []),
    ],
)
def test_what_is_not_there_is_404_with_what_may_have_been_meant(shown: Client, path: str, meant: list[str]) -> None:
    html = look(shown, f"/project/{path}", 404)
    found = re.findall(r'<li><a href="[./]+/project/([^"]+)/"', html)
    assert found[: len(meant)] == meant
    assert bool(found) == bool(meant)
    plain = shown.get(f"/project/{path}")
    assert (plain.status_code, plain.mimetype, plain.text.count("\n")) == (404, "text/plain", 1)


def test_a_project_whose_files_are_gone_is_not_there(shown: Client) -> None:
    decisions.delete(shown.services, ACTOR, "base-1.0-py3-none-any.whl")
    look(shown, "/project/base/", 404)


# ---- every mount


@pytest.mark.parametrize("stripped", [False, True], ids=["known", "stripped by a proxy"])
@pytest.mark.parametrize("prefix", ["", "/dev", "/a/b"])
def test_every_link_holds_behind_every_prefix(shown: Client, prefix: str, stripped: bool) -> None:
    site = f"http://h.example{prefix}"

    def get(url: str) -> TestResponse:
        assert url.startswith(f"{site}/"), url
        base = "http://h.example/" if stripped else f"{site}/"
        return shown.get(url.removeprefix(site), headers=BROWSER, base_url=base)

    seen, waiting, kinds = set(), [f"{site}/", f"{site}/project/none/", f"{site}/x/y/z"], set()
    while waiting:
        url = urldefrag(waiting.pop()).url
        if url in seen or urlsplit(url).netloc != "h.example":
            continue
        seen.add(url)
        response = get(url)
        while response.status_code in (301, 302):
            url = urljoin(url, response.headers["Location"])
            response = get(url)
        kinds.add(f"{response.status_code} {response.mimetype}")
        if response.status_code == 404:
            assert url in (f"{site}/project/none/", f"{site}/x/y/z")
        if response.mimetype == "text/html":
            for element in Tags.of(response.text).elements:
                if element.get("method") == "post":
                    continue
                waiting += [
                    urljoin(url, unescape(value))
                    for name, value in element.attrib.items()
                    if name in ("href", "src", "action")
                ]
    assert kinds == {
        "200 text/html",
        "404 text/html",
        "200 text/css",
        "200 text/javascript",
        "200 image/svg+xml",
        "200 application/octet-stream",
        "200 application/json",
    }


def test_home_of_a_stage_may_lack_the_slash(shown: Client) -> None:
    html = look(shown, "/", base_url="http://h.example/dev/")
    assert 'href="/dev/search"' in html


# ---- validators and headers


def test_pages_are_revalidated(shown: Client, tmp_path: Path) -> None:
    paths = ["/", "/search?q=acme", "/search?q=acme&format=json", "/project/base/", "/project/acme-client/1.0/"]
    tags = {}
    for path in paths:
        first = shown.get(path, headers=BROWSER)
        assert first.headers["Cache-Control"] == "private, no-cache"
        assert first.headers["Vary"] == "Accept, Accept-Encoding, Authorization"
        tags[path] = first.headers["ETag"]
        again = shown.get(path, headers={**BROWSER, "If-None-Match": tags[path]})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tags[path])
        packed = shown.get(path, headers={**BROWSER, "Accept-Encoding": "gzip", "If-None-Match": tags[path]})
        assert gzip.decompress(packed.data) == first.data
        elsewhere = shown.get(path, headers={**BROWSER, "If-None-Match": tags[path]}, base_url="http://other.example/")
        assert elsewhere.status_code == (304 if "json" in path else 200)
    assert len(set(tags.values())) == len(paths)
    # A new project that needs "base" changes its page, although nothing of it changed.
    add(shown, make_wheel(tmp_path, "acme-new", "1.0", Requires_Dist="base"))
    for path in paths:
        response = shown.get(path, headers={**BROWSER, "If-None-Match": tags[path]})
        assert response.status_code == 200, path
    assert "acme-new" in look(shown, "/project/base/")


def test_another_user_has_another_page(services: Services) -> None:
    users = {USER: PASSWORD, "bob": "bob's own"}
    client = Client(replace(services, config=replace(services.config, users=users)))
    tag = client.get("/", headers=BROWSER).headers["ETag"]
    other = client.get("/", headers={**BROWSER, "If-None-Match": tag}, user="bob:bob's own")
    assert other.status_code == 200
    assert ">bob<" in other.text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/search", 200), ("/project/base/", 200), ("/project/none/", 404), ("/none", 404), ("/legacy/", 405)],
)
def test_headers_that_protect(shown: Client, path: str, status: int) -> None:
    response = shown.get(path, headers=BROWSER)
    assert response.status_code == status
    policy = dict(each.split(" ", 1) for each in response.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("frame-ancestors") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    # Nothing that the policy would forbid: no script and no style in the page itself.
    for script in Tags.of(response.text).all("script"):
        assert script.get("src")
        assert not script.text
    assert not [each for each in Tags.of(response.text).elements if "style" in each.attrib or each.tag == "style"]


# ---- static files


def test_static_files(client: Client) -> None:
    for name in re.findall(r'(?:href|src)="\./(static/[^"]+)"', look(client, "/")):
        response = client.get(f"/{name}", user=None)  # also for the page of a 401
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        old = client.get(re.sub("static/[^/]+", "static/0123456789abcdef", f"/{name}"))
        assert (old.data, old.headers["Cache-Control"]) == (response.data, "no-cache")
    assert client.get("/static/x/none.css").status_code == 404
    assert client.get("/static/x/..%2Fapp.py").status_code == 404


# ---- refusals


def broken(client: Client, monkeypatch: pytest.MonkeyPatch) -> TestResponse:
    def fail(_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(client.services.index, "serial", fail)
    return client.get("/project/base/", headers=BROWSER)


REFUSED: list[tuple[int, Callable[[Client, pytest.MonkeyPatch], TestResponse]]] = [
    (401, lambda client, _: client.get("/", headers=BROWSER, user=None)),
    (401, lambda client, _: client.get("/simple/", headers=BROWSER, user="alice:wrong")),
    (403, lambda client, _: client.request("POST", "/legacy/", headers={**BROWSER, "Sec-Fetch-Site": "cross-site"})),
    (404, lambda client, _: client.get("/packages/none-1.0.tar.gz", headers=BROWSER)),
    (404, lambda client, _: client.get("/simple/none/", headers=BROWSER)),
    (405, lambda client, _: client.get("/legacy/", headers=BROWSER)),
    (413, lambda client, _: client.request("PUT", "/packages/x.status", data=b"x" * 9999, headers=BROWSER)),
    (500, broken),
]


@pytest.mark.parametrize(("status", "ask"), REFUSED)
def test_refusals_are_pages_in_a_browser(
    client: Client, monkeypatch: pytest.MonkeyPatch, status: int, ask: Callable[..., TestResponse]
) -> None:
    response = ask(client, monkeypatch)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    assert ("Allow" in response.headers) == (status == 405)
    assert "secret detail" not in response.text
    assert f'<p class="status">{status}</p>' in response.text
    assert harmless(response.text, OURS) == []


@pytest.mark.parametrize(
    "accept", ["*/*", "", "text/html", "application/vnd.pypi.simple.v1+json, text/html;q=0.01", "text/plain"]
)
def test_refusals_are_one_line_for_everybody_else(client: Client, accept: str) -> None:
    for path in ("/none", "/project/none/", "/packages/none-1.0.tar.gz", "/simple/none/"):
        response = client.get(path, headers={"Accept": accept})
        if response.status_code != 406:
            assert (response.status_code, response.mimetype) == (404, "text/plain")
            assert response.text.count("\n") == 1
    response = client.get("/project/none/", headers={"Accept": "application/json"})
    assert response.get_json()["message"] == "There is no project 'none' in this index."


# ---- attacks


def test_hostile_projects_are_harmless(client: Client, tmp_path: Path) -> None:
    for description, content_type, version in (
        (HOSTILE_MARKDOWN, "text/markdown", "1.0"),
        (HOSTILE_RST_RENDERED, "text/x-rst", "1.1"),
        (ATTACKS[0], 'text/html"><script>alert(1)</script>', "1.2"),
    ):
        wheel = make_wheel(tmp_path, "hostile", version, **hostile(description, content_type))
        put(client, wheel)
    for name, attack in zip(("hostile-1.0-py3-none-any.whl", "hostile-1.1-py3-none-any.whl"), ATTACKS, strict=False):
        decisions.yank(client.services, ACTOR, name, attack)
    decisions.set_status(client.services, ACTOR, NormalizedName("hostile"), "deprecated", ATTACKS[2])
    refresh(client, "hostile.status")
    for path in (
        "/",
        "/search",
        "/project/hostile/",
        "/project/hostile/1.0/",
        "/project/hostile/1.1/",
        "/project/hostile/1.2/",
    ):
        html = look(client, path)
        assert "alert(1)" in html  # it is there, as text
        assert harmless(html, OURS) == [], path


def put(client: Client, path: Path) -> None:
    """Straight into the store, where nobody checks it."""
    from elasticpypi.core import distribution
    from elasticpypi.indexing import sync

    with path.open("rb") as content:
        client.services.files.save(path.name, content, distribution.sha256_of(content))
    assert sync.sync(client.services.files, client.services.index, path.name).action == "written"


@pytest.mark.parametrize("attack", [*ATTACKS, "javascript:alert(1)", "\x00\ud800", "a" * 5000, "../../x", "%0d%0aX: y"])
def test_hostile_addresses_are_harmless(shown: Client, attack: str) -> None:
    spelled = quote(attack.encode("utf-8", "surrogatepass"), safe="")
    for path in (
        f"/search?q={spelled}",
        f"/search?page={spelled}",
        f"/project/{spelled}/",
        f"/project/base/{spelled}/",
    ):
        html = shown.get(path, headers=BROWSER).text
        assert harmless(html, OURS) == []
    for path in (f"/{spelled}", f"/packages/{spelled}", f"/static/{spelled}/{spelled}", f"/simple/{spelled}/"):
        response = shown.get(path, headers=BROWSER)
        assert response.status_code in (301, 404)
        assert harmless(response.text, OURS) == []
    found = json.loads(shown.get(f"/search?format=json&q={spelled}").text)
    assert len(found["query"]) <= 200


# ---- what it costs

COLD = """
import sys
from dataclasses import replace
from pathlib import Path
from elasticpypi.config import Config
from elasticpypi.web.app import create_app
from elasticpypi.wiring import services

app = create_app(services(Config(users={"alice": "x"}, data=Path(sys.argv[1]))))
client = app.test_client()
for accept in ("application/vnd.pypi.simple.v1+json", "text/html"):
    answer = client.get("/simple/demo/", auth=("alice", "x"), headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
print(*sys.modules)
answer = client.get("/project/demo/", auth=("alice", "x"))
assert "<em>a</em>" in answer.text
print(*sys.modules)
"""


def test_installers_load_nothing_of_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    services = on_folder(
        Config(users={USER: PASSWORD}, data=data), DirectoryFiles(data), SQLiteIndex(data / "index.db")
    )
    client = Client(services)
    client.upload(make_wheel(tmp_path, "demo", "1.0", **described("*a*", "text/markdown")))
    command = [sys.executable, "-c", COLD, str(data)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    loaded, with_people = map(str.split, said.splitlines())
    ours = {
        "elasticpypi.web.pages.releases",
        "elasticpypi.web.pages.readme",
        "elasticpypi.web.views.pages",
        "elasticpypi.storage.local.catalog",
    }
    assert not ours & set(loaded)
    assert ours <= set(with_people)
    # What renders is in a process of its own, whoever comes.
    assert not {"elasticpypi.web.pages.rendering", "readme_renderer", "nh3", "comrak", "docutils", "pygments"} & set(
        with_people
    )


def test_a_thousand_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    services = on_folder(
        Config(users={USER: PASSWORD}, data=data), DirectoryFiles(data), SQLiteIndex(data / "index.db")
    )
    name = NormalizedName("many")
    for number in range(1000):
        version, tag = f"1.{number // 25}", f"cp3{number % 25}-cp3{number % 25}-manylinux_2_28_x86_64"
        filename = f"many-{version}-{tag}.whl"
        services.index.put(
            File(
                filename, name, version, 123456, f"{number:064x}", "2026-01-01T00:00:00.000000Z", "r", ">=3.8", "a" * 64
            )
        )
    client = Client(services)
    html = look(client, "/project/many/")
    assert html.count('<li class="file">') == 500
    # Every version that is unfolded but the one that is shown, the older ones in one; Manage.
    assert html.count("<details") == 19 + 1 + 3
    older = 'href="../../project/many/1.19/#files">25 files'
    assert older in html
    assert "more version" not in html
