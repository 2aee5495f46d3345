"""What a project's page says of its releases and files."""

from dataclasses import replace

from packaging.utils import NormalizedName

from elasticpypi.core.model import File, Held, Project
from elasticpypi.web.pages import releases

DEMO = NormalizedName("demo")


def file(filename: str, version: str, time: str = "2026-01-01T00:00:00.000000Z", yanked: str | None = None) -> File:
    return File(filename, DEMO, version, 10, "0" * 64, time, "r", yanked=yanked)


def project(*files: File, status: str = "active") -> Project:
    return Project(DEMO, 1, files, {}, status)  # type: ignore[arg-type]


def test_releases_newest_first() -> None:
    made = releases.releases(
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
    assert wheel.file.address == "packages/demo-1%210.1%2Bl.1-1-cp313-abi3-linux_x86_64.whl"


def test_nobody_sees_the_releases_of_a_quarantined_project() -> None:
    assert releases.releases(project(file("demo-1.0.tar.gz", "1.0"), status="quarantined")) == []


def test_a_release_is_found_by_any_spelling() -> None:
    demo = project(file("demo-1.0.tar.gz", "1.0"), file("demo-2.0.tar.gz", "2.0"), file("demo-3.0a1.tar.gz", "3.0a1"))
    made = releases.releases(demo)

    def version(text: str) -> str | None:
        found = releases.find(made, demo, text)
        return found and found.version

    assert version("") == "2.0"
    assert [version(text) for text in ("1", "1.0.0", "v1.0", "3.0-alpha.1")] == ["1.0", "1.0", "1.0", "3.0a1"]
    assert [version(text) for text in ("1.1", "junk", "1" * 5000)] == [None, None, None]


def test_files_are_shown_as_far_as_there_is_room() -> None:
    files = [file(f"demo-{n}-cp3{n:03}-none-any.whl", "2") for n in range(releases.MOST_FILES + 1)]
    files += [file(f"demo-1.{n}.tar.gz", f"1.{n}") for n in range(releases.MOST_FILES_IN_ALL)]
    made = releases.releases(project(*files))
    assert (len(made[0].files), len(made[0].downloads)) == (releases.MOST_FILES + 1, releases.MOST_FILES)
    fit = releases.unfolded(made)
    assert len(fit) == 1 + releases.MOST_FILES_IN_ALL - releases.MOST_FILES
    assert {"2", f"1.{releases.MOST_FILES_IN_ALL - 1}"} <= fit


def test_held_files_are_grouped_by_release_with_one_sentence_for_each_rule() -> None:
    wheel, sdist, other = (
        file(name, version)
        for name, version in (
            ("demo-2.0-py3-none-any.whl", "2.0"),
            ("demo-2.0.tar.gz", "2.0"),
            ("demo-10.tar.gz", "10"),
        )
    )
    young = [Held(each, 86400.0, f"{each.key} is young.", "age") for each in (wheel, sdist)]
    shut = Held(other, None, "demo-10.tar.gz is blocked.", "block")
    two, ten = releases.held(replace(project(), held=(*young, shut)))[::-1]
    assert (ten.version, ten.word, ten.reasons) == ("10", "blocked", ("demo-10.tar.gz is blocked.",))
    assert (two.version, two.word, two.reasons) == ("2.0", "held", ("demo-2.0-py3-none-any.whl is young.",))
    assert [(each.filename, each.until) for each in two.shown] == [
        (wheel.key, "1970-01-02T00:00:00.000000Z"),
        (sdist.key, "1970-01-02T00:00:00.000000Z"),
    ]
