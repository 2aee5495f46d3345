"""What a project's page says: releases and files, and core metadata as people read them."""

import pytest
from packaging.utils import NormalizedName

from elasticpypi import page
from elasticpypi.model import File, Project
from elasticpypi.page import About, Link, Need, Person
from tests.builders import metadata

DEMO = NormalizedName("demo")


def about(**fields: str | list[str]) -> About:
    return About.parse(metadata("demo", "1.0", **fields))


def file(filename: str, version: str, time: str = "2026-01-01T00:00:00.000000Z", yanked: str | None = None) -> File:
    return File(filename, DEMO, version, 10, "0" * 64, time, "r", yanked=yanked)


def test_nothing_is_said_by_no_metadata() -> None:
    nothing = About.parse(b"")
    assert (nothing.summary, nothing.description, nothing.licence, nothing.requires_python) == ("", "", "", "")
    assert nothing.people == nothing.links == nothing.keywords == nothing.extras == nothing.classifiers == []
    assert nothing.needs == nothing.needed == []


def test_what_is_in_several_lines_is_shown_in_one() -> None:
    assert about(Summary="A\n  folded\n  line").summary == "A folded line"


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
    assert about(**fields).licence == licence


@pytest.mark.parametrize(
    ("name", "address", "people"),
    [
        ("Anna", "anna@a.example", [Person("Anna", "anna@a.example")]),
        ("", "Anna <anna@a.example>, ben@a.example", [Person("Anna", "anna@a.example"), Person("", "ben@a.example")]),
        ("Anna", "Anna <anna@a.example>", [Person("Anna", "anna@a.example")]),
        ("Team", "Anna <anna@a.example>", [Person("Team", ""), Person("Anna", "anna@a.example")]),
        ("Anna", "", [Person("Anna", "")]),
        ("UNKNOWN", "", []),
        ("", "javascript:x", []),
        ("", '"Anna" <anna at a.example>', [Person("Anna", "")]),
    ],
)
def test_people(name: str, address: str, people: list[Person]) -> None:
    found = about(Author=name, Author_Email=address).people
    assert found == ([("Authors", people)] if people else [])


def test_maintainers() -> None:
    assert about(Maintainer="M").people == [("Maintainers", [Person("M", "")])]


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
    found = about(Project_Url=urls, Home_Page="https://d.example/x", Download_Url="UNKNOWN").links
    assert found == [
        Link("Docs", "https://d.example/x"),
        *(Link(label, "") for label in ("Script", "Data", "Relative", "Path", "Broken")),
    ]
    assert about(Home_Page="http://h.example").links == [Link("Homepage", "http://h.example")]


def test_words_and_classifiers() -> None:
    said = about(
        Keywords="a, b,,c",
        Provides_Extra=["z", "a", "a"],
        Classifier=["Topic :: B :: C", "Topic :: A", "Alone", "Topic :: A"],
    )
    assert said.keywords == ["a", "b", "c"]
    assert said.extras == ["a", "z"]
    assert said.classifiers == [("Alone", ["Alone"]), ("Topic", ["A", "B :: C"])]


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
    assert said.needs == [
        (
            "",
            [
                Need(NormalizedName("foo-bar"), "Foo.Bar", '[x]<2,>=1 ; python_version < "3.12"'),
                Need(NormalizedName("plain"), "plain", ""),
                Need(NormalizedName("direct"), "direct", "@ https://d.example/a;b.whl"),
            ],
        ),
        (
            "x",
            [
                Need(NormalizedName("one"), "one", ""),
                Need(NormalizedName("two"), "two", '>=2 ; os_name == "nt"'),
                Need(NormalizedName("four"), "four", '; extra == "x" or extra == "y"'),
            ],
        ),
        ("y", [Need(NormalizedName("three"), "three", '; extra == "y" and (os_name == "nt" or os_name == "posix")')]),
    ]
    assert said.needed == ["foo-bar", "plain", "direct", "one", "two", "four", "three"]


def project(*files: File, status: str = "active") -> Project:
    return Project(DEMO, 1, files, {}, status)  # type: ignore[arg-type]


def test_releases_newest_first() -> None:
    made = page.releases(
        project(
            file("demo-1.0.tar.gz", "1.0", "2026-01-02", "bad"),
            file("demo-1.0.0-py3-none-any.whl", "1.0.0", "2026-01-01", "worse"),
            file("demo-2.0rc1.tar.gz", "2.0rc1"),
            file("demo-1!0.1+l.1-1-cp313-abi3-linux_x86_64.whl", "1!0.1+l.1"),
            file("demo-1!0.1+l.1.tar.gz", "1!0.1+l.1", yanked=""),
        )
    )
    assert [(each.version, each.prerelease, each.yanked) for each in made] == [
        ("1!0.1+l.1", False, None),
        ("2.0rc1", True, None),
        ("1.0", False, "bad"),
    ]
    assert made[2].time == "2026-01-01"
    assert made[0].address == "1%210.1%2Bl.1"
    wheel, sdist = made[0].downloads
    assert (wheel.tags, sdist.tags) == (("cp313", "abi3", "linux_x86_64"), ())
    assert wheel.address == "demo-1%210.1%2Bl.1-1-cp313-abi3-linux_x86_64.whl"


def test_nobody_sees_the_releases_of_a_quarantined_project() -> None:
    assert page.releases(project(file("demo-1.0.tar.gz", "1.0"), status="quarantined")) == []


def test_a_release_is_found_by_any_spelling() -> None:
    demo = project(file("demo-1.0.tar.gz", "1.0"), file("demo-2.0.tar.gz", "2.0"), file("demo-3.0a1.tar.gz", "3.0a1"))
    made = page.releases(demo)

    def version(text: str) -> str | None:
        found = page.find(made, demo, text)
        return found and found.version

    assert version("") == "2.0"
    assert [version(text) for text in ("1", "1.0.0", "v1.0", "3.0-alpha.1")] == ["1.0", "1.0", "1.0", "3.0a1"]
    assert [version(text) for text in ("1.1", "junk", "1" * 5000)] == [None, None, None]
