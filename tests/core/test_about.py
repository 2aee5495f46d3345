"""What pages say of core metadata, whatever they are: right, bounded, and kept beside the record by both families."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.metadata import parse_email
from packaging.utils import NormalizedName

from elasticpypi.actions.audit import audit as audit_services
from elasticpypi.core import about as abouts
from elasticpypi.core import filename
from elasticpypi.core import metadata as core_metadata
from elasticpypi.core.about import About, Link, Person, dump, parse
from elasticpypi.core.model import File
from elasticpypi.indexing import audit, catalog
from elasticpypi.indexing.about import read
from elasticpypi.indexing.sync import sync
from tests.support.application import Client
from tests.support.builders import make_wheel, metadata, upload_form

DEMO = NormalizedName("demo")
LARGEST = 350_000  # bytes of what is kept; an item of DynamoDB has at most 400 KB
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def about(**fields: str | list[str]) -> About:
    return parse(metadata("demo", "1.0", **fields))


def person(name: str, address: str) -> Person:
    return Person(name=name, address=address)


def link(label: str, url: str) -> Link:
    return Link(label=label, url=url)


def test_nothing_is_said_by_no_metadata() -> None:
    nothing = parse(None)
    assert nothing == parse(b"")
    assert set(map(str, nothing.values())) == {"", "{}", "{'shown': [], 'more': 0}"}


def test_what_is_in_several_lines_is_shown_in_one() -> None:
    assert about(Summary="A\n  folded\n  line")["summary"] == "A folded line"


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": "MIT", "License": "no"}, "MIT"),
        ({"License": "BSD"}, "BSD"),
        ({"License": "x" * 101, "Classifier": "License :: OSI Approved :: MIT License"}, "MIT License"),
        (
            {"Classifier": ["License :: OSI Approved :: MIT License", "License :: Other", "Typing :: Typed"]},
            "MIT License, Other",
        ),
        ({"License": "The\n  text\n  of it"}, ""),
        ({"Classifier": "License"}, ""),
    ],
)
def test_licence(fields: dict[str, str | list[str]], licence: str) -> None:
    assert about(**fields)["licence"] == licence


@pytest.mark.parametrize(
    ("name", "address", "people"),
    [
        ("Anna", "anna@a.example", [person("Anna", "anna@a.example")]),
        ("", "Anna <anna@a.example>, ben@a.example", [person("Anna", "anna@a.example"), person("", "ben@a.example")]),
        ("Anna", "Anna <anna@a.example>", [person("Anna", "anna@a.example")]),
        ("Team", "Anna <anna@a.example>", [person("Team", ""), person("Anna", "anna@a.example")]),
        ("Anna", "", [person("Anna", "")]),
        ("UNKNOWN", "", []),
        ("", "javascript:x", []),
        ("", '"Anna" <anna at a.example>', [person("Anna", "")]),
    ],
)
def test_people(name: str, address: str, people: list[Person]) -> None:
    assert about(Author=name, Author_Email=address)["authors"] == {"shown": people, "more": 0}


def test_maintainers() -> None:
    assert about(Maintainer="M")["maintainers"]["shown"] == [person("M", "")]


def test_links_lead_to_the_web_or_nowhere() -> None:
    urls = [
        "Docs, https://d.example/x",
        "Script, javascript:alert(1)",
        "Data, data:text/html,x",
        "Relative, //d.example",
        "Path, /etc/passwd",
        "Broken, https://[",
        "No address",
    ]
    found = about(Project_Url=urls, Home_Page="https://d.example/x", Download_Url="UNKNOWN")["links"]["shown"]
    assert found == [
        link("Docs", "https://d.example/x"),
        *(link(label, "") for label in ("Script", "Data", "Relative", "Path", "Broken")),
    ]
    assert about(Home_Page="http://h.example")["links"]["shown"] == [link("Homepage", "http://h.example")]


def test_words_and_classifiers() -> None:
    said = about(
        Keywords="a, b,,c",
        Provides_Extra=["z", "a", "a"],
        Classifier=["Topic :: B :: C", "Topic :: A", "Alone", "Topic :: A"],
    )
    assert said["keywords"]["shown"] == ["a", "b", "c"]
    assert said["extras"]["shown"] == ["a", "z"]
    parts = [(each["group"], each["value"]) for each in said["classifiers"]["shown"]]
    assert parts == [("Alone", "Alone"), ("Topic", "A"), ("Topic", "B :: C")]


def test_dependencies_by_extra() -> None:
    said = about(
        Requires_Dist=[
            "Foo.Bar[x] >=1,<2 ; python_version < '3.12'",
            "plain",
            'one; extra == "x"',
            'two>=2; extra == "x" and os_name == "nt"',
            'three; (extra == "y") and (os_name == "nt" or os_name == "posix")',
            'four; extra == "x" or extra == "y"',
            "direct @ https://d.example/a;b.whl",
            "not a requirement!",
        ]
    )
    assert [tuple(need.values()) for need in said["needs"]["shown"]] == [
        ("", "foo-bar", "Foo.Bar", '[x]<2,>=1 ; python_version < "3.12"'),
        ("", "plain", "plain", ""),
        ("", "direct", "direct", "@ https://d.example/a;b.whl"),
        ("x", "one", "one", ""),
        ("x", "two", "two", '>=2 ; os_name == "nt"'),
        ("x", "four", "four", '; extra == "x" or extra == "y"'),
        ("y", "three", "three", '; extra == "y" and (os_name == "nt" or os_name == "posix")'),
    ]
    assert said["requires"]["shown"] == ["direct", "foo-bar", "four", "one", "plain", "three", "two"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("text/markdown", "text/markdown"),
        ("Text/Markdown; charset=UTF-8; variant=CommonMark", "text/markdown; variant=CommonMark"),
        ('text/markdown;variant="GFM"', "text/markdown; variant=GFM"),
        ("text/markdown; variant=other", "text/markdown"),
        ("text/x-rst;\n charset=UTF-8", "text/x-rst"),
        (f"text/markdown; variant*{'0' * 5000}=x", "text/markdown"),
        ("text/markdown" + ';"' * 10_000, "text/markdown"),
        ("Markdown", "text/plain"),
        ("; variant=GFM", "text/plain; variant=GFM"),
    ],
)
def test_content_types(given: str, kept: str) -> None:
    assert about(Description_Content_Type=given)["content_type"] == kept


def test_descriptions_are_in_the_body_or_in_a_field() -> None:
    head = b"Name: demo\nSummary: s\n"
    assert core_metadata.description(head + b"\n  text\n\nmore: x\n") == "  text\n\nmore: x\n"
    assert core_metadata.description(head + b"description: a\n        b\nVersion: 1\n\n\n") == "a\n        b"
    assert core_metadata.description(head + b"Description: a\n\nbody") == "body"
    assert core_metadata.description(head.replace(b"\n", b"\r\n") + b"\r\nbody\r\n") == "body\r\n"
    assert core_metadata.description(head + b"no field\nbody") == "no field\nbody"
    assert core_metadata.description(b"\n" + head) == head.decode()
    assert core_metadata.description(head) == ""
    assert core_metadata.description(b"a:\n" * 10_001) == ""


FIELDS = st.sampled_from([each.decode().title() for each in (*core_metadata.FIELDS, *core_metadata.TEXTS, b"x-other")])
BREAKS = st.sampled_from(["\n", "\r\n", "\r", "\n ", "\r\n\t", "\n\n", ""])
LINES = st.lists(st.tuples(FIELDS, st.text(st.characters(codec="utf-8"), max_size=12), BREAKS), max_size=12)


@given(LINES)
def test_fields_are_read_as_installers_read_them(lines: list[tuple[str, str, str]]) -> None:
    """What ``packaging`` finds, this finds, but for the encodings and parts of e-mail that no core metadata have."""
    data = "".join(f"{field}: {value}{ended}" for field, value, ended in lines).encode()
    theirs, _ = parse_email(data.decode())
    ours = core_metadata.read(data)[0]
    once = set(theirs) - {"description", "license"}
    assert {field: ours.get(field) for field in once} == {field: theirs.get(field) for field in once}
    if "description" in theirs and theirs["description"].strip():
        assert ours.get("description", "").strip() == theirs["description"].strip()


# ---- Whatever they say


HEAD = metadata("demo", "1.0")[:-1]
FITTING = {
    "comments in comments": HEAD + b"Author-Email: " + b"(" * 3000 + b")" * 3000 + b" a@b\n",
    "groups in groups": HEAD + b"Maintainer-Email: " + b":" * 20_000 + b"\n",
    "a parameter with many digits": HEAD
    + b"Description-Content-Type: text/markdown; variant*"
    + b"0" * 5000
    + b"=x\n\nx",
    "many quotes": HEAD + b"Description-Content-Type: text/markdown" + b';"' * 10_000 + b"\n\nx",
    "a content type of e-mail": HEAD + b"Content-Type: multipart/x" + b';"' * 400_000 + b"\n\nx",
    "many requirements": HEAD + b"".join(b"Requires-Dist: needed-%d\n" % n for n in range(7_000)),
    "requirements of many extras": HEAD + b"".join(b'Requires-Dist: a; extra == "x%d"\n' % n for n in range(6_000)),
    "a long name": HEAD + b"Requires-Dist: " + b"n" * 3000 + b"\nRequires-Dist: other\n",
    "specifiers": HEAD + (b"Requires-Dist: a" + b",".join([b">=1"] * 1200) + b"\n") * 40,
    "parentheses": HEAD + (b"Requires-Dist: a; " + b"(" * 30 + b"os_name == 'a'" + b")" * 30 + b"\n") * 2_000,
    "many keywords": HEAD + b"Keywords: " + b"a," * 15_000 + b"\n",
    "many classifiers": HEAD + b"".join(b"Classifier: A :: %d\n" % n for n in range(9_000)),
    "many links": HEAD + b"".join(b"Project-URL: %d, https://h.example/%d\n" % (n, n) for n in range(4_000)),
    "many extras": HEAD + b"".join(b"Provides-Extra: x%d\n" % n for n in range(9_000)),
    "many authors": HEAD + b"Author-Email: " + b"a@b.example," * 2_500 + b"\n",
    "letters of four bytes": HEAD + "".join(f"Keywords: {chr(0x20000 + n)}\n" for n in range(9_000)).encode(),
    "long lines": HEAD
    + b"Summary: "
    + b"s" * 30_000
    + b"\nAuthor: "
    + b"\xc3\xa9" * 15_000
    + b"\nHome-Page: https://h.example/"
    + b"h" * 30_000
    + b"\n",
    "what cannot be printed": HEAD
    + "Summary: a\x00\x1b\u202eb\nKeywords: \x01,\u2028\nProject-URL: \x7f, https://h.example/\x01\n".encode(),
    "a description in a field": HEAD + b"Description: x\n" + b"        y\n" * 400_000,
    "a licence in a field": HEAD + b"License: x\n" + b"        y\n" * 400_000,
    "a body of breaks": HEAD + b"\n" * 3_000_000,
}
TOO_MUCH = {
    "many fields": (HEAD + b"".join(b"x%d:\n" % n for n in range(490)) + b"a:b\n" * 900_000, "more than 10,000 fields"),
    "a long field": (HEAD + b"Keywords: " + b"," * 1_900_000 + b"\n", "a Keywords of more than 32,000 bytes"),
    "large fields": (HEAD + (b"Classifier: " + b"x" * 1000 + b"\n") * 300, "more than 200,000 bytes of fields"),
    "40,000 requirements": (HEAD + b"Requires-Dist: needed\n" * 40_000, "more than 10,000 fields"),
    "deep": (HEAD + b"Requires-Dist: a; " + b"(" * 31 + b"os_name == 'a'" + b")" * 31 + b"\n", "30 parentheses"),
    "a long version": (HEAD.replace(b"1.0", b"1" + b".0" * 10_000), "is not a version"),
}


@pytest.mark.parametrize("case", FITTING)
@pytest.mark.slow
def test_whatever_they_say_it_is_bounded(case: str) -> None:
    name = filename.parse("demo-1.0-py3-none-any.whl")
    core_metadata.check(FITTING[case], name)
    said = parse(FITTING[case])
    assert len(dump(said)) < LARGEST
    assert json.loads(dump(said)) == said
    assert said["name"] == "demo"


def test_lists_say_how_many_more_there_are() -> None:
    parsed = cache(lambda case: parse(FITTING[case]))

    def count(case: str, field: str) -> tuple[int, int]:
        some: Any = parsed(case)[field]  # type: ignore[literal-required]
        return len(some["shown"]), len(some["shown"]) + some["more"]

    shown, total = count("many requirements", "needs")
    assert (100 < shown <= 300, total) == (True, 7_000)
    shown, total = count("many requirements", "requires")
    assert (shown, total) == (500, 7_000)
    assert count("many keywords", "keywords") == (100, 15_000)
    assert count("many classifiers", "classifiers") == (100, 9_000)
    assert count("many links", "links") == (50, 4_000)
    assert count("many extras", "extras") == (200, 9_000)
    assert count("many authors", "authors") == (50, 2_500)


def test_what_cannot_be_read_is_left_out_alone() -> None:
    said = about(Author="Anna", Author_Email="(" * 3000, Summary="It is there", Keywords="a,b")
    assert said["authors"]["shown"] == [person("Anna", "")]
    assert (said["summary"], said["keywords"]["shown"]) == ("It is there", ["a", "b"])
    assert parse(FITTING["a long name"])["requires"] == {"shown": ["other"], "more": 0}
    long = parse(FITTING["long lines"])
    assert (len(long["summary"]), long["summary"][-1]) == (512, "\u2026")
    assert long["links"]["shown"][0]["url"] == ""


def test_half_of_a_list_is_not_given_to_programs() -> None:
    assert len(parse(FITTING["requirements of many extras"])["info"]["requires_dist"]) == 6_000
    long = [f"{'a' * 4000}-{number}" for number in range(40)]
    info = about(Requires_Dist=long, Summary="x")["info"]
    assert "requires_dist" not in info
    assert info["summary"] == "x"


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert len(dump(parse(data))) < LARGEST
    assert len(dump(parse(HEAD + data))) < LARGEST


@given(LINES)
def test_any_fields(lines: list[tuple[str, str, str]]) -> None:
    data = "".join(f"{field}: {value}{ended}" for field, value, ended in lines).encode()
    said = parse(data)
    assert json.loads(dump(said)) == said


def test_uploads_with_too_much_are_refused(client: Client, tmp_path: Path) -> None:
    for case, (core, sentence) in TOO_MUCH.items():
        wheel = make_wheel(tmp_path, "demo", "1.0", core=core)
        answer = client.upload(wheel)
        assert (answer.status_code, answer.text.count("\n")) == (400, 1)
        assert sentence in answer.text, case
        services = client.services
        with wheel.open("rb") as content:  # it is served if it was put there, without its metadata
            services.files.save(wheel.name, content, upload_form(wheel)["sha256_digest"])
        assert sync(services.files, services.index, wheel.name).action == "written"
        assert services.index.metadata(DEMO, wheel.name) is None
        assert client.get("/project/demo/").status_code == 200
        services.files.delete(wheel.name)
        sync(services.files, services.index, wheel.name)


PAGES = "/", "/search?q=demo", "/project/demo/", "/project/demo/1.0/", "/pypi/demo/json", "/pypi/demo/1.0/json"


@pytest.mark.parametrize(
    "case",
    [
        "comments in comments",
        "a parameter with many digits",
        "requirements of many extras",
        "a long name",
        "many keywords",
        "letters of four bytes",
        "long lines",
        "what cannot be printed",
    ],
)
def test_every_page_of_it(client: Client, tmp_path: Path, case: str) -> None:
    wheel = make_wheel(tmp_path, "demo", "1.0", core=FITTING[case])
    assert client.upload(wheel).status_code == 200
    services = client.services
    catalog.refresh(services.index, services.catalog, DEMO)
    assert [entry.name for entry in services.catalog.search("demo", 0, 10).entries] == [DEMO]
    for path in PAGES:
        answer = client.get(path, headers=BROWSER)
        assert answer.status_code == 200, path
        assert len(answer.data) < (1_000_000 if "json" not in path else 5_000_000)
    assert ("and 5,700 more dependencies" in client.get("/project/demo/").text) == (
        case == "requirements of many extras"
    )


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(LINES)
def test_no_page_is_ever_an_error(client: Client, lines: list[tuple[str, str, str]]) -> None:
    said = "".join(f"{field}: {value}{ended}" for field, value, ended in lines if field not in ("Name", "Version"))
    core = HEAD + said.encode()
    services = client.services
    file = File("demo-1.0-py3-none-any.whl", DEMO, "1.0", 1, "ab" * 32, "2026-01-31T12:00:00.000000Z", str(hash(core)))
    services.index.put(replace(file, form=abouts.FORM), core, about=dump(parse(core)))
    catalog.refresh(services.index, services.catalog, DEMO)
    for path in PAGES:
        assert client.get(path, headers=BROWSER).status_code == 200, path


# ---- Kept beside the record


def test_pages_read_what_is_kept(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client.upload(make_wheel(tmp_path, "demo", "1.0", summary="It is kept", description="Read me"))

    def fail(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("elasticpypi.core.metadata.parse_email", fail)
    catalog.refresh(client.services.index, client.services.catalog, DEMO)
    page: Any = client.get("/pypi/demo/json").get_json()
    assert (page["info"]["summary"], page["info"]["description"]) == ("It is kept", "Read me")
    html = client.get("/project/demo/").text
    assert "It is kept" in html
    assert "Read me" in html


def test_records_of_an_earlier_version(client: Client, tmp_path: Path) -> None:
    """They give the same page, the next audit finds them, and writes them again."""
    services = client.services
    wheel = make_wheel(tmp_path, "demo", "1.0", summary="It was there", description="Read me")
    assert client.upload(wheel).status_code == 200
    file = services.index.file(DEMO, wheel.name)
    assert file is not None
    assert list(audit.changed_keys(services.files, services.index)) == []
    found = services.index.metadata(DEMO, wheel.name)
    assert found is not None
    services.index.put(replace(file, form=None), found[1])
    for text in (False, True):
        said, description = read(services.index, DEMO, wheel.name, text=text)
        assert (said["summary"], description) == ("It was there", "Read me" if text else "")
    assert "It was there" in client.get("/project/demo/").text
    serial = services.index.serial(DEMO)
    assert list(audit.changed_keys(services.files, services.index)) == [wheel.name]
    report = audit.Report(repair=True)
    assert [outcome.found for outcome in audit_services(services, report)] == ["stale in the index"]
    again = services.index.file(DEMO, wheel.name)
    assert again is not None
    assert (again.form, again.sha256, again.upload_time) == (abouts.FORM, file.sha256, file.upload_time)
    assert services.index.serial(DEMO) != serial
    assert list(audit.changed_keys(services.files, services.index)) == []
    kept = services.index.about(DEMO, wheel.name)
    assert kept is not None
    assert json.loads(kept[1] or b"")["summary"] == "It was there"
