"""A project → its releases, as its page shows them. Everything here is pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from packaging.version import Version

from elasticpypi.core.model import MALWARE, File, Held, Project, latest
from elasticpypi.core.moments import text_of

MOST_RELEASES = 200
MOST_FILES = 100  # of a release
MOST_FILES_IN_ALL = 500
MOST_HELD = 50  # releases
WORDS = "held", "gone", "refused", "blocked"  # for what may not be seen
MARKS = {
    "gone": "gone",
    "vanished": "refused",
    "block": "blocked",
    MALWARE: "blocked",
}  # of rules; all others hold a file for a while


@dataclass(frozen=True, slots=True)
class Download:
    """A file; ``tags`` are those of a wheel: Python, ABI, platform."""

    file: File
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """A version with its files; ``time`` is when it appeared, ``yanked`` the reason if all of its files are."""

    version: str
    time: str
    files: tuple[File, ...]
    prerelease: bool
    yanked: str | None

    @property
    def address(self) -> str:
        """The last part of the address of its page."""
        return quote(self.version, safe="")

    @property
    def downloads(self) -> tuple[Download, ...]:
        """The files that the page shows, of which there may be more."""
        shown = self.files[:MOST_FILES]
        return tuple(Download(file, _tags(file.filename)) for file in shown)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that may not be seen; ``until`` is when it may, as a moment of PEP 700, "" if time does not change it.

    ``word`` is for its mark.
    """

    filename: str
    until: str
    word: str


@dataclass(frozen=True, slots=True)
class HeldRelease:
    """A version with its files that may not be seen, and why: one sentence for each rule."""

    version: str
    files: tuple[Waiting, ...]
    reasons: tuple[str, ...]

    @property
    def word(self) -> str:
        """The word for its mark: of several, the first one that is not for good."""
        return min((file.word for file in self.files), key=WORDS.index)

    @property
    def shown(self) -> tuple[Waiting, ...]:
        """The files that the page shows, of which there may be more."""
        return self.files[:MOST_FILES]


def held(project: Project) -> list[HeldRelease]:
    """What may not be seen of a project of another index, newest version first."""
    groups: dict[str, list[Held]] = {}
    for each in project.held:
        groups.setdefault(each.file.version, []).append(each)
    return [_held(version, groups[version]) for version in sorted(groups, key=Version, reverse=True)]


def _held(version: str, files: list[Held]) -> HeldRelease:
    first = {each.rule: each.reason for each in reversed(files)}
    return HeldRelease(
        version,
        tuple(
            Waiting(
                each.file.filename,
                text_of(each.until) if each.until is not None else "",
                MARKS.get(each.rule, WORDS[0]),
            )
            for each in files
        ),
        tuple(reversed(first.values())),
    )


def releases(project: Project) -> list[Release]:
    """The releases that installers may see, newest version first. Spellings of one version are one."""
    versions = {text: Version(text) for text in project.versions}
    groups: dict[Version, list[File]] = {}
    for file in project.listed:
        groups.setdefault(versions[file.version], []).append(file)
    return [_release(version, groups[version]) for version in sorted(groups, reverse=True)]


def _release(version: Version, files: list[File]) -> Release:
    yanked = all(file.yanked is not None for file in files)
    return Release(
        version=files[0].version,
        time=min(file.upload_time for file in files),
        files=tuple(files),
        prerelease=version.is_prerelease,
        yanked=(files[0].yanked or "") if yanked else None,
    )


def unfolded(shown: Iterable[Release]) -> set[str]:
    """The versions whose files fit on one page with those of all newer ones."""
    room, versions = MOST_FILES_IN_ALL, set()
    for release in shown:
        room -= min(len(release.files), MOST_FILES)
        if room < 0:
            break
        versions.add(release.version)
    return versions


def find(found: Iterable[Release], project: Project, version: str) -> Release | None:
    """The release of a version in any spelling, of the version that people mean for ""; None if there is none."""
    try:
        wanted = Version(version) if version else latest(project)
    except ValueError:  # InvalidVersion, or a number with thousands of digits
        return None
    return next((release for release in found if Version(release.version) == wanted), None)


def _tags(filename: str) -> tuple[str, ...]:
    return tuple(filename.removesuffix(".whl").split("-")[-3:]) if filename.endswith(".whl") else ()
