"""Lock files: the releases and files that they name, and one sentence with the line for what is wrong.

Those that uv and poetry make are read in ``tests/clients/test_prefetch.py``.
"""

import re
from collections.abc import Callable

import pytest

from elasticpypi.core.errors import BadFile
from elasticpypi.core.lock_files import Locked, read
from elasticpypi.core.targets import environments

A, B, C = "a" * 64, "b" * 64, "c" * 64
LINUX, WINDOWS = environments(["manylinux_2_28_x86_64"], ["3.12"]), environments(["win_amd64"], ["3.12"])


def nothing(name: str) -> bytes:
    raise FileNotFoundError(name)


def found(name: str, text: str, *where: dict[str, str], load: Callable[[str], bytes] = nothing) -> list[Locked]:
    return read(name, text.encode(), load, where)


def short(releases: list[Locked]) -> list[str]:
    return [f"{each}{' elsewhere' if each.elsewhere else ''}" for each in releases]


def wrong(name: str, text: str, load: Callable[[str], bytes] = nothing) -> str:
    with pytest.raises(BadFile) as error:
        found(name, text, load=load)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- requirements.txt

REQUIREMENTS = f"""
# A comment
--index-url https://example.com/simple/
-c constraints.txt
Demo.Two[extra] == 1.0 ; sys_platform == "win32"  # for windows
one==2.0 \\
    --hash=sha256:{A} \\
    --hash sha256:{B.upper()}
    # via demo-two
three===3.0.0
four==1 --hash=sha512:{A}{A}
-e ./here
./there-1.0.tar.gz
git+https://example.com/x.git
five @ https://example.com/five-1.0.tar.gz
"""


def test_requirements() -> None:
    releases = found("requirements.txt", REQUIREMENTS)
    assert short(releases) == [
        *("demo-two==1", "one==2", "three==3", "four==1"),
        *("-e ./here elsewhere", "./there-1.0.tar.gz elsewhere", "git+https://example.com/x.git elsewhere"),
        "five elsewhere",
    ]
    one = releases[1]
    assert one.files == {A: "", B: ""}
    assert one.place == "requirements.txt, line 6"
    assert releases[3].files == {}
    assert "demo-two==1" not in short(found("requirements.txt", REQUIREMENTS, *LINUX))
    assert "demo-two==1" in short(found("requirements.txt", REQUIREMENTS, *WINDOWS))


def test_requirements_that_include_others() -> None:
    files = {"deep/one.txt": b"-r more/two.txt\none==1\n", "deep/more/two.txt": b"\xef\xbb\xbftwo==2\none==1.0"}
    releases = found("requirements.txt", "-r deep/one.txt\n--requirement=deep/one.txt\n", load=files.__getitem__)
    assert [f"{each.place}: {each}" for each in releases] == [
        "deep/more/two.txt, line 1: two==2",
        "deep/more/two.txt, line 2: one==1",
    ]
    assert wrong("requirements.txt", "\n-r none.txt") == "requirements.txt, line 2: 'none.txt' cannot be read."
    for_ever = wrong("requirements.txt", "-r requirements.txt", load=lambda name: b"-r requirements.txt")
    assert for_ever == "requirements.txt, line 1: files include each other without end."


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("demo", "'demo' names no exact version: lock it, such as by uv pip compile."),
        ("demo>=1", "'demo>=1' names no exact version: lock it, such as by uv pip compile."),
        ("demo==1.*", "'demo==1.*' names no exact version: lock it, such as by uv pip compile."),
        ("demo==x", "'demo==x' is no requirement."),
        ("??", "'??' is no requirement."),
        ("demo===x", "'x' is no version."),
    ],
)
def test_a_line_that_is_wrong(line: str, expected: str) -> None:
    assert wrong("some/requirements.txt", f"one==1\n{line}\n") == f"some/requirements.txt, line 2: {expected}"


def test_what_is_no_text() -> None:
    for name in ("requirements.txt", "uv.lock"):
        with pytest.raises(BadFile, match="line 2: this is not UTF-8"):
            read(name, b"a==1\n\xff", nothing)


# ---- uv.lock

UV = f"""
version = 1
[[package]]
name = "consumer"
version = "1.0"
source = {{ virtual = "." }}
dependencies = [{{ name = "One" }}, {{ name = "two", marker = "sys_platform == 'win32'" }}]
[package.optional-dependencies]
x = [{{ name = "four", version = "4.1" }}]
[package.dev-dependencies]
dev = [{{ name = "git-one" }}]
[[package]]
name = "one"
version = "1.0"
source = {{ registry = "https://example.com/simple" }}
sdist = {{ url = "https://example.com/one-1.0.tar.gz", hash = "sha256:{A}" }}
wheels = [{{ url = "https://example.com/one-1.0%2Bx-py3-none-any.whl?y#z", hash = "sha256:{B}" }}]
[[package]]
name = "two"
version = "2.0"
source = {{ registry = "https://example.com/simple" }}
dependencies = [{{ name = "three" }}]
wheels = [{{ path = "two-2.0-py3-none-any.whl", hash = "sha256:{C}" }}]
[[package]]
name = "three"
version = "3.0"
source = {{ registry = "https://example.com/simple" }}
[[package]]
name = "four"
version = "4.0"
source = {{ registry = "https://example.com/simple" }}
[[package]]
name = "four"
version = "4.1"
source = {{ registry = "https://example.com/simple" }}
[[package]]
name = "git-one"
source = {{ git = "https://example.com/x.git" }}
"""


def test_uv_lock() -> None:
    releases = found("uv.lock", UV)
    assert short(releases) == ["one==1", "two==2", "three==3", "four==4", "four==4.1", "git-one elsewhere"]
    assert releases[0].files == {A: "one-1.0.tar.gz", B: "one-1.0+x-py3-none-any.whl"}
    assert releases[1].files == {C: "two-2.0-py3-none-any.whl"}
    assert releases[0].place == "uv.lock, line 12"
    # Where markers lead to.
    assert short(found("uv.lock", UV, *LINUX)) == ["one==1", "four==4.1", "git-one elsewhere"]
    assert "three==3" in short(found("uv.lock", UV, *WINDOWS))


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ('name = "one"', 'nome = "one"', 12, "a package or a file has no name"),
        ('name = "one"', 'name = "-"', 12, "'-' is no name of a project"),
        ('version = "2.0"', 'version = "x"', 18, "'x' is no version"),
        ('version = "2.0"', "version = 2", 18, "version is no text"),
        (f"sha256:{A}", "sha256:aa", 12, "'aa' is no sha256"),
        ('source = { virtual = "." }', "source = 1", 3, "there is no table where one should be"),
        ('source = { virtual = "." }', "", 3, "there is no table where one should be"),
        ('wheels = [{ path = "two', 'wheels = [1, { path = "two', 18, "there is no table where one should be"),
    ],
)
def test_a_package_that_is_wrong(old: str, new: str, line: int, expected: str) -> None:
    assert old in UV
    assert wrong("uv.lock", UV.replace(old, new)) == f"uv.lock, line {line}: {expected}."


def test_a_marker_that_is_wrong() -> None:
    with pytest.raises(BadFile, match=r"uv\.lock, line 3: it has a marker that is none"):
        found("uv.lock", UV.replace("sys_platform == 'win32'", "sys_platform is 'win32'"), *LINUX)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version = 1\npackage = [", "uv.lock, line 2: this is not TOML"),
        ("\nversion 1", "uv.lock, line 2: this is not TOML"),
        ("version = 2", "uv.lock, line 1: this is no lock file that is known here: give a requirements.txt, uv.lock"),
        ("", "uv.lock, line 1: this is no lock file that is known here"),
        ("version = 1\npackage = 1", "uv.lock, line 1: this is no list of packages"),
        (f"x = {'[' * 5000}", "uv.lock"),
    ],
)
def test_what_is_no_lock_file(text: str, expected: str) -> None:
    assert wrong("uv.lock", text).startswith(expected)


def test_the_name_of_a_file_says_little() -> None:
    assert short(found("requirements.lock", "one==1.0\n")) == ["one==1"]
    assert short(found("project-uv.lock.old", UV))[0] == "one==1"


# ---- poetry.lock, pdm.lock

POETRY = f"""
[[package]]
name = "one"
version = "1.0"
markers = "sys_platform == 'win32'"
files = [
    {{file = "one-1.0-py3-none-any.whl", hash = "sha256:{A}"}},
    {{file = "one-1.0.tar.gz", hash = "sha256:{B}"}},
]
[[package]]
name = "two"
version = "2.0"
markers = {{main = "sys_platform == 'win32'", dev = "python_version > '3'"}}
files = [{{file = "two-2.0.tar.gz", hash = "md5:{"a" * 32}"}}]
[package.source]
type = "legacy"
url = "https://example.com/simple"
reference = "ours"
[[package]]
name = "three"
version = "3.0"
files = []
[package.source]
type = "git"
url = "https://example.com/x.git"
[metadata]
lock-version = "2.1"
"""


def test_poetry_lock() -> None:
    one, two, three = found("poetry.lock", POETRY)
    assert one.files == {A: "one-1.0-py3-none-any.whl", B: "one-1.0.tar.gz"}
    assert (str(two), two.files) == ("two==2", {})  # there is no sha256: any file of the release
    assert (str(three), three.elsewhere) == ("three==3", "git")
    assert short(found("poetry.lock", POETRY, *LINUX)) == ["two==2", "three==3 elsewhere"]
    assert wrong("poetry.lock", POETRY.replace('version = "2.0"', "")) == (
        "poetry.lock, line 10: a package or a file has no version."
    )


def test_a_lock_of_an_older_poetry() -> None:
    files = f'[metadata.files]\nother = []\none_x = [{{file = "x.whl", hash = "sha256:{A}"}}]'
    [one] = found("poetry.lock", f'[[package]]\nname = "One-x"\nversion = "1"\n{files}')
    assert one.files == {A: "x.whl"}


def test_pdm_lock_has_a_package_for_each_set_of_extras() -> None:
    package = '[[package]]\nname = "one"\nversion = "1.0"\n'
    first = f'{{file = "one-1.0.tar.gz", hash = "sha256:{A}"}}'
    second = f'{{url = "https://example.com/one-1.0-py3-none-any.whl", hash = "sha256:{B}"}}'
    files = f"files = [{first}, {second}]\n"
    other = '[[package]]\nname = "two"\nversion = "1.0"\ngit = "https://example.com/x.git"\n'
    text = f'[metadata]\nlock_version = "4.5.0"\n{package}{files}{package}extras = ["x"]\n{files}{other}'
    one, two = found("pdm.lock", text)
    assert one.files == {A: "one-1.0.tar.gz", B: "one-1.0-py3-none-any.whl"}
    assert two.elsewhere == "git"


# ---- pylock.toml

PYLOCK = f"""
lock-version = "1.0"
created-by = "a test"
[[packages]]
name = "one"
version = "1.0"
marker = "sys_platform == 'win32'"
sdist = {{ name = "one-1.0.tar.gz", url = "https://example.com/one-1.0.tar.gz", hashes = {{ sha256 = "{A}" }} }}
wheels = [{{ url = "https://example.com/one-1.0-py3-none-any.whl", hashes = {{ sha256 = "{B.upper()}" }} }}]
[[packages]]
name = "two"
archive = {{ url = "https://example.com/two.zip", hashes = {{ sha256 = "{A}" }} }}
[[packages]]
name = "three"
wheels = [{{ url = "https://example.com/three-3.0-py3-none-any.whl", hashes = {{ sha512 = "{A}" }} }}]
"""


def test_pylock() -> None:
    one, two, three = found("pylock.dev.toml", PYLOCK)
    assert one.files == {A: "one-1.0.tar.gz", B: "one-1.0-py3-none-any.whl"}
    assert two.elsewhere == "a path or an address"
    assert (three.version, three.files) == ("", {})
    assert short(found("pylock.toml", PYLOCK, *LINUX)) == ["two elsewhere", "three"]


def test_a_pylock_that_is_wrong() -> None:
    said = wrong("pylock.toml", PYLOCK.replace('name = "three"', 'name = "Three"'))
    assert said.startswith("pylock.toml, line 13: Name 'Three' is not normalized")
    assert wrong("pylock.toml", PYLOCK.replace('"1.0"\ncreated', '"2.0"\ncreated')).startswith("pylock.toml, line 1: ")


# ---- Whatever is in them

ODD = '""', '"x"', "1", "true", "[]", "[1]", '["x"]', "{}", "[{}]", "[{ name = 1 }]", '{ a = "b" }', "2020-01-01", "nan"


@pytest.mark.parametrize(("name", "text"), [("uv.lock", UV), ("poetry.lock", POETRY), ("pylock.toml", PYLOCK)])
def test_any_value_that_is_odd_is_a_sentence_or_nothing(name: str, text: str) -> None:
    """Each value in turn, of a line or within one."""
    places = [*re.finditer(r"(?m)(?<= = )(?:\S.*)$", text), *re.finditer(r"(?<== |.=)\"[^\"]*\"", text)]
    assert len(places) > 20
    for place in places:
        for odd in ODD:
            changed = text[: place.start()] + odd + text[place.end() :]
            said = attempt(name, changed)
            if isinstance(said, str):
                assert re.fullmatch(rf"{name}, line \d+: .*", said), changed
            else:
                assert all(isinstance(file, str) for each in said for file in each.files.values()), changed


def attempt(name: str, text: str) -> list[Locked] | str:
    try:
        return [*found(name, text), *found(name, text, *LINUX[:1])]
    except BadFile as error:
        return str(error)
