"""What tools ask, print or send that no standard says: each gets what PyPI would give, or a sentence."""

import hashlib
import xmlrpc.client
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elasticpypi.accounts.first_user import set_password
from elasticpypi.config import Config
from elasticpypi.core.errors import ConfigurationError
from elasticpypi.services import Services
from elasticpypi.web import views
from tests.support.application import Client, basic
from tests.support.builders import make_sdist, make_wheel

JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture
def wheel(client: Client, tmp_path: Path) -> Path:
    path = make_wheel(tmp_path, "demo", "1.0", classifier=["Typing :: Typed"])
    assert client.upload(path).status_code == 200
    return path


def test_a_format_with_a_plus_that_nobody_encoded(client: Client, wheel: Path) -> None:
    assert client.get(f"/simple/demo/?format={JSON}").content_type == JSON
    assert client.get("/simple/demo/?format=application/vnd.pypi.simple.v1 html").status_code == 200
    assert client.get("/simple/demo/?format=text/nothing").status_code == 406


@pytest.mark.parametrize("path", ["/pypi/demo/json", "/pypi/demo/json/", "/pypi/demo/1.0/json", "/pypi/demo/1.0/json/"])
def test_the_json_api_has_the_keys_of_pypi(client: Client, wheel: Path, path: str) -> None:
    answer: Any = client.get(path).json
    info, [file] = answer["info"], answer["urls"]
    assert info["classifiers"] == ["Typing :: Typed"]
    assert info["downloads"] == {"last_day": -1, "last_month": -1, "last_week": -1}
    for key in ("package_url", "project_url"):
        assert info[key] == "http://localhost/project/demo/"
    assert info["release_url"] == "http://localhost/project/demo/1.0/"
    assert client.get("/project/demo/1.0/").status_code == 200
    # The keys of https://pypi.org/pypi/sampleproject/json that say nothing where nothing is known.
    assert {"bugtrack_url", "docs_url", "platform", "dynamic", "license_files", "home_page", "keywords"} <= info.keys()
    assert {"comment_text", "downloads", "has_sig", "packagetype", "python_version"} <= file.keys()
    page: Any = client.json("/simple/demo/")
    assert file["core-metadata"] == page["files"][0]["core-metadata"]


def test_a_project_without_classifiers_has_a_list_of_none(client: Client, tmp_path: Path) -> None:
    client.upload(make_wheel(tmp_path, "bare", "1.0"))
    answer: Any = client.get("/pypi/bare/json").json
    assert answer["info"]["classifiers"] == []


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/legacy/Demo/1.0/", "../../../project/demo/1.0/"),  # what hatch prints
        ("/legacy//demo", "../../project/demo/"),  # and flit
    ],
)
def test_addresses_that_are_printed_after_an_upload(client: Client, wheel: Path, path: str, location: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, location)


def test_equal_versions_are_one_release(client: Client, tmp_path: Path) -> None:
    for path in (make_sdist(tmp_path, "demo", "1.0"), make_wheel(tmp_path, "demo", "1.0.0")):
        assert client.upload(path).status_code == 200
    page: Any = client.json("/simple/demo/")
    assert page["versions"] == ["1.0"]
    assert len(page["files"]) == 2
    answer: Any = client.get("/pypi/demo/json").json
    assert {version: len(files) for version, files in answer["releases"].items()} == {"1.0": 2}
    for version in ("1.0", "1.0.0"):
        answer = client.get(f"/pypi/demo/{version}/json").json
        assert len(answer["urls"]) == 2


def test_an_old_metadata_version_is_not_new(client: Client, tmp_path: Path) -> None:
    core = b"Metadata-Version: 2.0\nName: demo\nVersion: 1.0\n"
    assert "newer" not in client.upload(make_wheel(tmp_path, "demo", "1.0", core=core)).text


@pytest.mark.parametrize("version", ["0.1", "1.0", "1.9"])
def test_wheels_that_can_be_installed(client: Client, tmp_path: Path, version: str) -> None:
    wheel = f"Wheel-Version: {version}\nRoot-Is-Purelib: true\nTag: py3-none-any\n".encode()
    path = make_wheel(tmp_path, "demo", "1.0", last={"demo-1.0.dist-info/WHEEL": wheel})
    assert client.upload(path).status_code == 200


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (
            "submit",
            "':action' must be 'file_upload', not 'submit': nothing needs to be registered here, upload the files.",
        ),
        (
            "verify",
            "':action' must be 'file_upload', not 'verify': nothing needs to be registered here, upload the files.",
        ),
        ("doc_upload", "':action' must be 'file_upload', not 'doc_upload': this index takes files only."),
        ("other", "':action' must be 'file_upload', not 'other': this index takes files only."),
    ],
)
def test_what_is_no_upload(client: Client, action: str, said: str) -> None:
    answer = client.request("POST", "/legacy/", data={":action": action, "name": "demo"})
    assert (answer.status_code, answer.text) == (400, f"{said}\n")


@pytest.mark.parametrize("right", [True, False])
def test_setup_py_sends_all_bits_of_blake2(client: Client, tmp_path: Path, right: bool) -> None:
    path = make_wheel(tmp_path, "demo", "1.0")
    digest = hashlib.blake2b(path.read_bytes() if right else b"other").hexdigest()
    answer = client.upload(path, blake2_256_digest=digest)
    assert answer.status_code == (200 if right else 400)


@pytest.mark.parametrize("path", ["/", "/simple/", "/pypi", "/pypi/", "/legacy/"])
def test_pip_search_gets_a_sentence(client: Client, path: str) -> None:
    call = xmlrpc.client.dumps(({"name": "demo"}, "or"), "search")
    answer = client.request("POST", path, data=call.encode(), headers={"Content-Type": "text/xml"})
    assert (answer.status_code, answer.mimetype) == (200, "text/xml")
    with pytest.raises(xmlrpc.client.Fault) as fault:
        xmlrpc.client.loads(answer.text)
    assert "search on its home page in a browser" in fault.value.faultString
    assert (
        client.request("POST", path, data=b"<a/>", headers={"Content-Type": "text/xml"}, user=None).status_code == 401
    )


def test_passwords_that_no_installer_can_send(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PASSWORD has characters that pip and twine cannot send"):
        Config.from_env({"USERNAME": "alice", "PASSWORD": "p\u0142atek"})
    assert Config.from_env({"USERNAME": "alice", "PASSWORD": "w\u00f6rd"}).users
    with pytest.raises(ConfigurationError, match="cannot send"):
        set_password(tmp_path, "", "\u65e5\u672c")


@pytest.mark.parametrize("path", ["/simple/", "/simple/demo/", "/pypi/demo/json", "/", "/simple/none/"])
def test_no_answer_is_taken_for_another_type(client: Client, wheel: Path, path: str) -> None:
    assert client.get(path).headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(f"/packages/{wheel.name}.metadata").headers["X-Content-Type-Options"] == "nosniff"


def test_pages_of_another_program_are_others(
    client: Client, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: client.get(path).headers["ETag"] for path in ("/simple/demo/", "/project/demo/", "/")}
    views.program.cache_clear()
    monkeypatch.setattr(views, "PROGRAM", tmp_path)
    (tmp_path / "page.html").write_text("another template")
    after = {path: client.get(path).headers["ETag"] for path in before}
    assert not set(before.values()) & set(after.values())
    views.program.cache_clear()


def test_what_is_made_is_for_its_user(services: Services, tmp_path: Path) -> None:
    if services.config.on_aws:
        pytest.skip("There are no files.")
    from elasticpypi import wiring

    data = tmp_path / "made"
    wiring.services(replace(services.config, data=data))
    assert [oct((data / name).stat().st_mode & 0o777) for name in ("", "index.db")] == ["0o700", "0o600"]


def test_a_token_of_a_form_is_no_quick_way_to_a_password(client: Client) -> None:
    from itsdangerous import BadSignature, Signer

    page = client.get("/upload", headers={"Accept": "text/html"}).text
    token = page.split('name="token" value="')[1].split('"')[0]
    user, password = next(iter(client.services.config.users.items()))
    assert basic(f"{user}:{password}")
    with pytest.raises(BadSignature):
        Signer(password, salt="elasticpypi forms", digest_method=hashlib.sha256).unsign(token)
