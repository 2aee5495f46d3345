"""`elasticpypi carry out|in`: what is kept of another index moves to one that cannot ask it, whole or not at all."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from elasticpypi.actions.carry import into
from elasticpypi.cli import main
from elasticpypi.cli.common import actor
from elasticpypi.config import Config
from elasticpypi.core.errors import BadFile
from elasticpypi.wiring import services as opened
from tests.support.application import PASSWORD, USER, Client
from tests.support.fake_upstream import Answer
from tests.support.releases import Releases, releases

METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
OFFLINE = b'[upstream.main]\nurl = "https://nobody.example/simple/"\noffline = true\n'
MONTH = 30 * 86400


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticpypi.services.POLICY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("elasticpypi.upstream.pages.SHORTEST_AGE", 0)
    monkeypatch.setattr("elasticpypi.repository.first_match.OFFLINE_LOOK", 0.0)
    monkeypatch.setattr("elasticpypi.upstream.pages.MISSING", 0.0)


class Site:
    """An index of ours on one side of the gap."""

    def __init__(self, data: Path, policy: bytes) -> None:
        self.data = data
        (data / "packages").mkdir(parents=True)
        (data / "policy.toml").write_bytes(policy)

    def run(self, *arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(main, [*arguments, "--data", str(self.data)])
        assert done.exit_code == status, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.output

    def prefetch(self, *lines: str) -> None:
        (self.data / "lock.txt").write_text("\n".join(lines))
        self.run("prefetch", "-r", str(self.data / "lock.txt"))

    @property
    def kept(self) -> dict[str, bytes]:
        """All that is kept, by its place."""
        root = self.data / "upstream"
        places = [path for part in ("pages", "files") for path in (root / part).rglob("*") if path.is_file()]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in places}

    def client(self) -> Client:
        return Client(opened(Config(users={USER: PASSWORD}, data=self.data)))

    def policy(self, document: bytes) -> None:
        (self.data / "policy.toml").write_bytes(document)


@pytest.fixture
def theirs() -> Iterator[Releases]:
    with releases() as index:
        for name in ("demo", "other"):
            add(index, f"{name}-1.0-py3-none-any.whl", "core")
            add(index, f"{name}-2.0.tar.gz", yanked="broken")
        yield index


def add(index: Releases, filename: str, core: str = "", **entry: Any) -> None:
    content, path = f"bytes of {filename}".encode(), f"files/{filename}"
    told = {"core-metadata": {"sha256": digest(METADATA)}} if core else {}
    index.add(filename, content, path=path, **told, **entry)
    index.tell(f"/{path}.metadata", Answer(METADATA))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def place(filename: str) -> str:
    """Where a file is kept."""
    sha256 = digest(METADATA if filename.endswith(".metadata") else f"bytes of {filename}".encode())
    return f"files/{sha256[:2]}/{sha256}"


@pytest.fixture
def outside(theirs: Releases, tmp_path: Path) -> Site:
    site = Site(tmp_path / "outside", theirs.policy())
    site.prefetch("demo==1.0", "demo==2.0")
    return site


@pytest.fixture
def inside(tmp_path: Path) -> Site:
    return Site(tmp_path / "inside", OFFLINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "stick"


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def rewrite(folder: Path, changed: list[dict[str, Any]]) -> None:
    (folder / "manifest.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in changed))


# ---- There and back


def test_all_of_it_is_on_the_other_side(theirs: Releases, outside: Site, inside: Site, folder: Path) -> None:
    told = outside.run("carry", "out", str(folder))
    assert f"1 pages and 3 files in {str(folder)!r}: 3 of them are new (0.0 MB)." in told
    found = inside.run("carry", "in", str(folder))
    assert "1 pages and 3 files: 3 of them are new here (0.0 MB)." in found
    assert inside.kept == outside.kept
    assert told.splitlines()[-1] == found.splitlines()[-1]
    assert told.splitlines()[-1] == f"sha256 of its manifest: {digest((folder / 'manifest.jsonl').read_bytes())}"
    theirs.requests.clear()
    client = inside.client()
    page = client.json("/simple/demo/")
    wheel, sdist = page["files"]  # type: ignore[misc]
    assert (wheel["core-metadata"], sdist["yanked"]) == ({"sha256": digest(METADATA)}, "broken")  # type: ignore[index]
    body = client.get("/upstream/main/files/demo-1.0-py3-none-any.whl")
    assert body.data == b"bytes of demo-1.0-py3-none-any.whl"
    assert client.get("/upstream/main/files/demo-1.0-py3-none-any.whl.metadata").data == METADATA
    assert client.get("/simple/other/").status_code == 404
    assert theirs.requests == []


def test_the_manifest(theirs: Releases, outside: Site, folder: Path) -> None:
    theirs.add("token-1.0.tar.gz", b"x", path="files/token-1.0.tar.gz?key=secret")
    theirs.tell("/files/token-1.0.tar.gz?key=secret", Answer(b"x"))
    outside.prefetch("token==1.0")
    outside.run("carry", "out", str(folder))
    about, *rest = lines(folder)
    assert {key: about[key] for key in ("carry", "pages", "files")} == {"carry": 1, "pages": 2, "files": 4}
    wheel = "demo-1.0-py3-none-any.whl"
    assert rest[2] == {
        "filename": wheel,
        "project": "demo",
        "index": "main",
        "upload_time": "2020-01-01T00:00:00.000000Z",
        "yanked": None,
        "sha256": digest(f"bytes of {wheel}".encode()),
        "url": f"{theirs.base}/files/{wheel}",
        "size": len(f"bytes of {wheel}"),
    }
    assert [line["filename"] for line in rest[2:]] == [
        *(wheel, f"{wheel}.metadata", "demo-2.0.tar.gz", "token-1.0.tar.gz"),
    ]
    assert rest[4]["yanked"] == "broken"
    assert "secret" not in (folder / "manifest.jsonl").read_text()


def test_the_policy_holds_on_the_other_side_too(outside: Site, inside: Site, folder: Path) -> None:
    outside.run("carry", "out", str(folder))
    inside.policy(OFFLINE + b'[origin]\ndenied = ["demo"]\n')
    inside.run("carry", "in", str(folder))
    client = inside.client()
    assert client.json("/simple/demo/")["files"] == []
    assert client.get("/upstream/main/files/demo-1.0-py3-none-any.whl").status_code == 403


# ---- Again


def test_what_is_there_is_not_copied_again(theirs: Releases, outside: Site, inside: Site, folder: Path) -> None:
    outside.run("carry", "out", str(folder))
    was = {path: path.stat().st_ino for path in (folder / "files").rglob("*")}
    inside.run("carry", "in", str(folder))
    outside.prefetch("other==1.0")
    assert "2 pages and 4 files" in (told := outside.run("carry", "out", str(folder)))
    assert "1 of them are new" in told
    assert was.items() <= {path: path.stat().st_ino for path in (folder / "files").rglob("*")}.items()
    assert "2 pages and 4 files: 1 of them are new here" in inside.run("carry", "in", str(folder))
    assert inside.kept == outside.kept
    assert "2 pages and 4 files: 0 of them are new here" in inside.run("carry", "in", str(folder))


def test_only_what_is_new_since_a_day(outside: Site, inside: Site, folder: Path, tmp_path: Path) -> None:
    for path in (outside.data / "upstream" / "files").rglob("*"):
        os.utime(path, (time.time() - 2 * MONTH,) * 2)
    outside.prefetch("other==2.0")
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - MONTH))
    assert "2 pages and 1 files" in outside.run("carry", "out", str(folder), "--since", day)
    assert "2 pages and 1 files" in outside.run("carry", "out", str(folder), "--since", f"{day}T00:00:00Z")
    outside.run("carry", "out", str(tmp_path / "all"))  # is no use
    assert "2 pages and 1 files" in outside.run("carry", "out", str(tmp_path / "more"), "--since", day)
    # Beside what the folder has already.
    assert "2 pages and 4 files" in outside.run("carry", "out", str(tmp_path / "all"), "--since", day)
    inside.run("carry", "in", str(folder))
    assert inside.client().json("/simple/demo/")["files"] == []
    assert outside.run("carry", "out", str(folder), "--since", "yesterday", status=2)


def test_an_older_page_does_not_replace_a_newer_one(
    theirs: Releases, outside: Site, inside: Site, folder: Path, tmp_path: Path
) -> None:
    for serial, where in ((7, tmp_path / "old"), (8, folder)):
        theirs.projects["demo"]["meta"]["_last-serial"] = serial
        theirs.projects["demo"]["files"][0]["yanked"] = f"at {serial}"
        outside.prefetch("demo==1.0")
        outside.run("carry", "out", str(where))
    inside.run("carry", "in", str(folder))
    assert "1 pages are newer here, and stay." in inside.run("carry", "in", str(tmp_path / "old"))
    assert inside.client().json("/simple/demo/")["files"][0]["yanked"] == "at 8"  # type: ignore[index]
    assert inside.run("carry", "in", str(folder)).count("\n") == 3


def test_an_index_that_asks_keeps_its_own_pages(theirs: Releases, outside: Site, folder: Path, tmp_path: Path) -> None:
    """It gets the bytes all the same: a site with a slow line is filled by post."""
    outside.run("carry", "out", str(folder))
    other = Site(tmp_path / "slow", theirs.policy())
    add(theirs, "demo-3.0.tar.gz")
    assert len(other.client().json("/simple/demo/")["files"]) == 3  # type: ignore[arg-type]
    other.run("carry", "in", str(folder))
    assert len(other.client().json("/simple/demo/")["files"]) == 3  # type: ignore[arg-type]
    theirs.requests.clear()
    assert other.client().get("/upstream/main/files/demo-2.0.tar.gz").status_code == 200
    assert theirs.asked("/files/*") == []


def test_a_project_that_is_gone_is_gone_inside_too(theirs: Releases, outside: Site, inside: Site, folder: Path) -> None:
    outside.run("carry", "out", str(folder))
    inside.run("carry", "in", str(folder))
    was = theirs.projects.pop("demo")
    outside.run("why", "demo")
    assert "1 pages and 0 files" in outside.run("carry", "out", str(folder))
    inside.run("carry", "in", str(folder))
    client = inside.client()
    assert client.get("/simple/demo/").status_code == 404
    # As outside, whoever has the exact address goes on.
    assert client.get("/upstream/main/files/demo-2.0.tar.gz").status_code == 200
    theirs.projects["demo"] = was
    outside.prefetch("demo==1.0")
    assert "1 pages and 3 files" in outside.run("carry", "out", str(folder))
    inside.run("carry", "in", str(folder))
    assert len(inside.client().json("/simple/demo/")["files"]) == 2  # type: ignore[arg-type]
    assert inside.kept == outside.kept


# ---- What is wrong


def damage_file(folder: Path) -> str:
    path = folder / place("demo-2.0.tar.gz")
    path.write_bytes(path.read_bytes()[::-1])
    return f"demo-2.0.tar.gz is damaged: remove {path}, carry it out and copy it again."


def cut_file(folder: Path) -> str:
    (folder / place("demo-2.0.tar.gz")).write_bytes(b"bytes")
    return "demo-2.0.tar.gz is damaged: remove "


def lose_file(folder: Path) -> str:
    (folder / place("demo-2.0.tar.gz")).unlink()
    return "demo-2.0.tar.gz is missing"


def damage_page(folder: Path) -> str:
    path = folder / "pages/main/demo"
    path.write_bytes(path.read_bytes().replace(b"broken", b"better"))
    return "The page of demo in"


def lose_page(folder: Path) -> str:
    (folder / "pages/main/demo").unlink()
    return "The page of demo is missing"


def cut_manifest(folder: Path) -> str:
    rewrite(folder, lines(folder)[:-1])
    return "manifest.jsonl is not whole"


def break_line(folder: Path) -> str:
    path = folder / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    return "manifest.jsonl, line 5: this is neither a page nor a file"


def change_line(folder: Path) -> str:
    """A file by another name, or time, than its page has."""
    found = lines(folder)
    found[-1]["upload_time"] = "2019-01-01T00:00:00.000000Z"
    rewrite(folder, found)
    return "demo-2.0.tar.gz is not on the page of demo as the manifest has it"


def add_line(folder: Path) -> str:
    about, *found = lines(folder)
    found.append({**found[-1], "project": "strange"})
    rewrite(folder, [{**about, "files": 4}, *found])
    return "There is no page of strange"


def lead_out(folder: Path) -> str:
    about, page, *found = lines(folder)
    rewrite(folder, [about, {**page, "page": "../../demo"}, *found])
    return "line 2: this is neither a page nor a file"


def lead_out_by_index(folder: Path) -> str:
    about, page, *found = lines(folder)
    rewrite(folder, [about, {**page, "index": ".."}, *found])
    return "line 2: this is neither a page nor a file"


def swap_page(folder: Path) -> str:
    """A page under the name of another one, with the right digest."""
    about, page, *_ = lines(folder)
    (folder / "pages/main/demo").rename(folder / "pages/main/other")
    rewrite(folder, [{**about, "files": 0}, {**page, "page": "other"}])
    return "The page of other in"


def another_version(folder: Path) -> str:
    about, *found = lines(folder)
    rewrite(folder, [{**about, "carry": 99}, *found])
    return "line 1: this is no manifest, or that of another version"


def a_page_of_another_version(folder: Path) -> str:
    body = (folder / "pages/main/demo").read_bytes().replace(b"[", b"[99", 1)
    (folder / "pages/main/demo").write_bytes(body)
    about, page, *found = lines(folder)
    rewrite(folder, [about, {**page, "sha256": digest(body), "size": len(body)}, *found])
    return "is that of another version of elasticpypi: have the same one here"


def lose_manifest(folder: Path) -> str:
    (folder / "manifest.jsonl").unlink()
    return "There is no manifest.jsonl in"


WRONGS = [
    *(damage_file, cut_file, lose_file, damage_page, lose_page, cut_manifest, break_line, change_line, add_line),
    *(lead_out, lead_out_by_index, swap_page, another_version, a_page_of_another_version, lose_manifest),
]


@pytest.mark.parametrize("wrong", WRONGS)
def test_nothing_of_a_wrong_folder_is_taken(wrong: Any, outside: Site, inside: Site, folder: Path) -> None:
    outside.prefetch("other==1.0")
    outside.run("carry", "out", str(folder))
    rewrite_without_other(folder)
    said = wrong(folder)
    told = inside.run("carry", "in", str(folder), status=1)
    assert said in told
    assert told.strip().splitlines()[-1].endswith("Nothing was taken.")
    assert inside.kept == {}
    # Carried out once more, it is right.
    if wrong is damage_file:
        (folder / place("demo-2.0.tar.gz")).unlink()
    if wrong is not lose_manifest:
        outside.run("carry", "out", str(folder))
        inside.run("carry", "in", str(folder))
        assert {**outside.kept, **inside.kept} == outside.kept


ODD: tuple[Any, ...] = (None, "", "x", "../x", 1, -1, True, [], [1], {}, 1.5, "a" * 64)


def test_a_manifest_with_anything_odd_in_it(outside: Site, inside: Site, folder: Path) -> None:
    """Each value of each line in turn: nothing is taken, and nothing else goes wrong."""
    outside.run("carry", "out", str(folder))
    right, services = lines(folder), opened(Config(users={USER: PASSWORD}, data=inside.data))
    tried = 0
    for number, line in enumerate(right):
        for key, value in line.items():
            for odd in ODD:
                if (odd, key) != (value, key) and key != "made":
                    rewrite(folder, [*right[:number], {**line, key: odd}, *right[number + 1 :]])
                    with pytest.raises(BadFile, match=r"\A[^\n]+ Nothing was taken\.\Z"):
                        into(services, actor(), folder)
                    tried += 1
        rewrite(folder, [*right[:number], {}, *right[number + 1 :]])
        with pytest.raises(BadFile):
            into(services, actor(), folder)
    assert tried > 300
    assert inside.kept == {}
    rewrite(folder, right)
    into(services, actor(), folder)
    assert inside.kept == outside.kept


def rewrite_without_other(folder: Path) -> None:
    """The manifest of one project, so that lines have their numbers."""
    about, *rest = lines(folder)
    rest = [line for line in rest if line.get("page", line.get("project")) == "demo"]
    rewrite(folder, [{**about, "pages": 1, "files": 3}, *rest])


def test_other_bytes_than_before_are_not_taken(
    theirs: Releases, outside: Site, inside: Site, folder: Path, tmp_path: Path
) -> None:
    outside.run("carry", "out", str(folder))
    inside.run("carry", "in", str(folder))
    before = inside.kept
    another = Site(tmp_path / "another", theirs.policy())
    theirs.projects["demo"]["files"].clear()
    theirs.add("demo-1.0-py3-none-any.whl", b"something else", path="files/demo-1.0-py3-none-any.whl")
    another.prefetch("demo==1.0")
    another.run("carry", "out", str(tmp_path / "stick 2"))
    told = inside.run("carry", "in", str(tmp_path / "stick 2"), status=1)
    assert "demo-1.0-py3-none-any.whl had other bytes when it was carried before: find out why." in told
    assert inside.kept == before
    (inside.data / "upstream/pages/main/demo").unlink()  # as it says
    inside.run("carry", "in", str(tmp_path / "stick 2"))
    assert inside.client().get("/upstream/main/files/demo-1.0-py3-none-any.whl").data == b"something else"


def test_a_folder_of_something_else_is_left_alone(outside: Site, folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("all I have")
    assert "has other files in it: give an empty folder" in outside.run("carry", "out", str(folder), status=1)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_what_is_damaged_here_is_not_carried(outside: Site, folder: Path) -> None:
    (outside.data / "upstream" / place("demo-2.0.tar.gz")).write_bytes(b"rotten")
    told = outside.run("carry", "out", str(folder), status=1)
    assert f"demo-2.0.tar.gz is damaged here: remove upstream/{place('demo-2.0.tar.gz')}, and fetch it again." in told
    assert not (folder / "manifest.jsonl").exists()


def test_the_index_has_to_be_known(outside: Site, inside: Site, folder: Path) -> None:
    outside.run("carry", "out", str(folder))
    inside.policy(OFFLINE.replace(b"main", b"mirror"))
    told = inside.run("carry", "in", str(folder), status=1)
    assert "The policy here has no index 'main': add [upstream.main] with offline = true. Nothing was taken." in told
    inside.policy(b"")
    assert "No other index is known here: name one in the policy" in inside.run("carry", "in", str(folder), status=1)
    assert "No other index is known here" in inside.run("carry", "out", str(folder), status=1)


def test_too_little_room(outside: Site, inside: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside.run("carry", "out", str(folder))
    inside.policy(OFFLINE + b'room = "0MB"\n')
    told = inside.run("carry", "in", str(folder), status=1)
    assert "there is room for 0.0: set room of the index in the policy. Nothing was taken." in told
    inside.policy(OFFLINE)
    monkeypatch.setattr("elasticpypi.actions.carry.SPARE", 1 << 60)
    assert "There is no room on the disk" in inside.run("carry", "in", str(folder), status=1)
    assert inside.kept == {}


def test_a_file_that_changes_while_it_is_taken(
    outside: Site, inside: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elasticpypi.actions import carry

    outside.run("carry", "out", str(folder))
    take = carry._take

    def spoil(*told: Any) -> None:
        for path in (folder / "files").rglob("*"):
            if path.is_file():
                path.write_bytes(b"spoiled")
        take(*told)

    monkeypatch.setattr(carry, "_take", spoil)
    assert "has changed since it was looked at: carry it in again." in inside.run("carry", "in", str(folder), status=1)
    assert inside.kept == {}


def test_it_is_an_event(outside: Site, inside: Site, folder: Path) -> None:
    outside.run("carry", "out", str(folder))
    inside.run("carry", "in", str(folder))
    [line] = inside.run("events", "--type", "upstream.carried").splitlines()
    assert "1 pages, 3 files; sha256 of the manifest: " in line
