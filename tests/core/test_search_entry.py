"""What an entry says of a project, and the words by which it is found."""

from packaging.utils import NormalizedName

from elasticpypi.core import about, search_entry
from elasticpypi.core.model import File, Project
from elasticpypi.core.search_entry import words


def test_the_newest_release_is_the_one_that_appeared_last() -> None:
    demo = NormalizedName("demo")
    appeared = {"2.0": "2026-01-01", "1.0": "2026-03-01", "1.1": "2026-02-01"}
    files = [File(f"demo-{version}.tar.gz", demo, version, 1, "", time, "r") for version, time in appeared.items()]
    files.append(File("demo-1.1-py3-none-any.whl", demo, "1.1", 1, "", "2026-04-01", "r"))  # a wheel of an old release
    made = search_entry.describe(Project(demo, 1, tuple(files)), about.parse(None))
    assert (made.version, made.released, made.time) == ("2.0", "1.0", "2026-03-01")


def test_words() -> None:
    assert words("Caf\u00e9 cafe X_y-z 3D \u4e2d\u6587") == ["cafe", "x", "y", "z", "3d", "\u4e2d\u6587"]
    assert words("a" * 100) == ["a" * search_entry.LONGEST_WORD]
