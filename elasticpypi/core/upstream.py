"""A page of another index: what it sends → what we keep of it → the files of a project.

Everything here is pure. What cannot be true is :class:`BadAnswer`, and never half of a page. Of a page of 46,724 files
each step counts, so names are read by hand here: ``packaging`` takes ten times as long, and sees every version once.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, get_args
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from elasticpypi.core import moments
from elasticpypi.core.filename import OLD_SDISTS
from elasticpypi.core.keys import Status
from elasticpypi.core.model import File

LARGEST = 64 * 1024 * 1024  # bytes of a page
LONGEST = 1000  # characters of a text in it: of an address, a range of Pythons, a reason
FORMAT = 1
SDISTS = (".tar.gz", ".zip", *OLD_SDISTS)
DIGEST = re.compile(r"[0-9a-f]{64}")
AS_PYPI = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class BadAnswer(Exception):
    """What another index sent is no page, or that of another project; the text says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class UpstreamFile(File):
    """A file of another index. ``url`` is where it lies there, ``path`` the path of that; both as it is sent.

    ``upload_time`` is "" and ``size`` is -1 if the index does not say. ``first_seen`` is when we saw it first, for
    those without a time.
    """

    url: str = ""
    path: str = ""
    index: str = ""  # the name that the policy gives the index
    first_seen: str = ""

    @property
    def address(self) -> str:
        return f"upstream/{self.index}/{self.path}"

    @property
    def ours(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class UpstreamPage:
    """All that we keep of a project's page. ``serial`` is 0 if the index has none; ``left_out`` counts its files that
    no installer takes, or that have no sha256 (REQ-U27)."""

    name: NormalizedName
    files: tuple[UpstreamFile, ...] = ()
    status: Status = "active"
    reason: str = ""
    serial: int = 0
    left_out: int = 0

    @property
    def timeless(self) -> bool:
        """Whether no file of it says when it was uploaded."""
        return bool(self.files) and not any(file.upload_time for file in self.files)


def read(body: bytes, media_type: str, url: str, name: NormalizedName, index: str) -> UpstreamPage:
    """What an index sent for a project → its page; ``url`` is the address that it came from in the end."""
    try:
        if media_type.endswith("+json") or media_type == "application/json":
            page = _json(body)
        else:
            page = _html(body.decode("utf-8", "replace"))
        return _page(page, url, name, index)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"The page of {name!r} cannot be read: {str(error)[:200]}.") from None


def _json(body: bytes) -> dict[str, Any]:
    page = json.loads(body)
    if not isinstance(page, dict) or not isinstance(page.get("files"), list):
        raise BadAnswer("The page has no list of files.")
    version = _text(_table(page.get("meta")).get("api-version")) or "1.0"
    if version.partition(".")[0] != "1":
        raise BadAnswer(f"The page is of another version of the standard: {version[:20]}.")
    return page


def _page(page: Mapping[str, Any], url: str, name: NormalizedName, index: str) -> UpstreamPage:
    said = _text(page.get("name"))
    if said and canonicalize_name(said) != name:
        raise BadAnswer(f"The page is that of another project: {said[:80]!r}.")
    status = _table(page.get("project-status"))
    serial = _table(page.get("meta")).get("_last-serial")
    files: dict[str, UpstreamFile] = {}
    read_name, base, left_out = _Names(name), _Base(url), 0
    for entry in page["files"]:
        file = _file(entry, read_name, base, name, index)
        if file is None or file.path in files:
            left_out += 1
        else:
            files[file.path] = file
    known: dict[str, Status] = {each: each for each in get_args(Status)}
    rank = {text: number for number, text in enumerate(sorted({file.version for file in files.values()}, key=Version))}
    return UpstreamPage(
        name,
        tuple(sorted(files.values(), key=lambda file: (rank[file.version], file.key))),
        known.get(_text(status.get("status")), "active"),
        _text(status.get("reason")),
        int(serial) if isinstance(serial, int | str) and str(serial).isdecimal() and len(str(serial)) < 19 else 0,
        left_out,
    )


def _file(entry: Any, names: "_Names", base: "_Base", project: NormalizedName, index: str) -> UpstreamFile | None:
    """None for what no installer takes, or what nobody could check."""
    if not isinstance(entry, dict):
        return None
    get = entry.get
    filename, hashes = get("filename"), get("hashes")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(filename, str) or not isinstance(sha256, str) or not DIGEST.fullmatch(sha256.lower()):
        return None
    version, place = names.version(filename), base.join(get("url"))
    if version is None or place is None:
        return None
    size, yanked, python = get("size"), get("yanked"), get("requires-python")
    metadata = get("core-metadata") or get("data-dist-info-metadata")
    digest = metadata.get("sha256") if isinstance(metadata, dict) else None
    return UpstreamFile(
        key=filename,
        project=project,
        version=version,
        size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else -1,
        sha256=sha256.lower(),
        upload_time=_time(get("upload-time")),
        revision=sha256.lower(),
        requires_python=python if isinstance(python, str) and 0 < len(python) <= LONGEST else None,
        metadata_sha256=digest if isinstance(digest, str) and DIGEST.fullmatch(digest) else None,
        yanked=yanked[:LONGEST] if isinstance(yanked, str) else "" if yanked else None,
        url=place[0],
        path=place[1],
        index=index,
    )


class _Names:
    """File names of one project → their versions; the same part of a name is looked at once."""

    def __init__(self, project: NormalizedName) -> None:
        self._project = project
        self._projects: dict[str, bool] = {}
        self._versions: dict[str, str | None] = {}

    def version(self, filename: str) -> str | None:
        """The normalized version, None if this is no file of the project that an installer takes."""
        if filename.endswith(".whl"):
            spelled, _, rest = filename.partition("-")
            text = rest.partition("-")[0] if rest.count("-") in (3, 4) else ""
        else:
            suffix = next((suffix for suffix in SDISTS if filename.endswith(suffix)), None)
            spelled, _, text = filename.removesuffix(suffix).rpartition("-") if suffix else ("", "", "")
        if len(filename) > 255 or "/" in filename or not filename.isprintable() or not self._is_ours(spelled):
            return None
        if text not in self._versions:
            self._versions[text] = _version(text)
        return self._versions[text]

    def _is_ours(self, spelled: str) -> bool:
        if spelled not in self._projects:
            try:
                self._projects[spelled] = canonicalize_name(spelled, validate=True) == self._project
            except InvalidName:
                self._projects[spelled] = False
        return self._projects[spelled]


def _version(text: str) -> str | None:
    try:
        return str(Version(text.replace("_", "-"))) if len(text) < 100 else None
    except InvalidVersion:
        return None


class _Base:
    """The address of a page; addresses in it → (absolute and without a fragment, the path of it)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._known: dict[str, tuple[str, str]] = {}  # what comes before the path, which is nearly always the same

    def join(self, link: Any) -> tuple[str, str] | None:
        if not isinstance(link, str) or not link or len(link) > LONGEST * 4 or not link.isascii():
            return None
        host, _, path = link.partition("://")[2].partition("/")
        if not host or not link.startswith(("https://", "http://")) or "#" in path or "?" in path or "/." in link:
            try:
                link = urldefrag(urljoin(self._url, link))[0]
                parts = urlsplit(link)
            except ValueError:
                return None
            if parts.scheme not in ("https", "http") or not parts.netloc:
                return None
            path = parts.path.lstrip("/")
        return (link, path) if path and link.isprintable() and " " not in link else None


def _time(text: Any) -> str:
    """A moment of PEP 700, in the form in which PyPI has it: "" if it is none."""
    if not isinstance(text, str):
        return ""
    if AS_PYPI.fullmatch(text):
        return text
    try:
        found = datetime.fromisoformat(text[:40])
    except ValueError:
        return ""
    return f"{(found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC):{moments.FORMAT}}"


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return " ".join(value[:LONGEST].split()) if isinstance(value, str) else ""


class _Links(HTMLParser):
    """The links of a page of PEP 503, as JSON has them; and what its meta elements say."""

    def __init__(self) -> None:
        super().__init__()
        self.page: dict[str, Any] = {"meta": {}, "files": []}
        self.base = ""
        self._entry: dict[str, Any] | None = None
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "base" and not self.base:
            self.base = said.get("href", "")
        elif tag == "meta" and said.get("name") == "pypi:repository-version":
            self.page["meta"]["api-version"] = said.get("content")
        elif tag == "meta" and said.get("name") in ("pypi:project-status", "pypi:project-status-reason"):
            key = "reason" if said["name"].endswith("reason") else "status"
            self.page.setdefault("project-status", {})[key] = said.get("content")
        elif tag == "a" and "href" in said:
            url, fragment = urldefrag(said["href"])
            kind, _, digest = fragment.partition("=")
            hashes = {kind: digest} if kind == "sha256" else {}
            metadata = said.get("data-core-metadata") or said.get("data-dist-info-metadata") or ""
            self._text = []
            self._entry = {
                "url": url,
                "hashes": hashes,
                "requires-python": said.get("data-requires-python"),
                "core-metadata": {"sha256": metadata.partition("=")[2]} if "=" in metadata else None,
                "upload-time": said.get("data-upload-time"),
                "yanked": said["data-yanked"] or True if "data-yanked" in said else False,
            }

    def handle_data(self, data: str) -> None:
        if self._entry is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._entry is not None:
            text = "".join(self._text).strip()
            name = unquote(urlsplit(self._entry["url"]).path.rpartition("/")[2])
            self.page["files"].append({**self._entry, "filename": text if text.endswith(name[-4:]) and text else name})
            self._entry = None


def _html(text: str) -> dict[str, Any]:
    """A page of HTML → as JSON has it."""
    if "<" not in text:
        raise BadAnswer("It is neither JSON nor HTML.")
    links = _Links()
    links.feed(text)
    links.close()
    version = _text(links.page["meta"].get("api-version")) or "1.0"
    if version.partition(".")[0] != "1":
        raise BadAnswer(f"The page is of another version of the standard: {version[:20]}.")
    if links.base:
        for entry in links.page["files"]:
            entry["url"] = urljoin(links.base, entry["url"])
    return links.page


FIELDS = (
    *("key", "version", "size", "sha256", "upload_time", "requires_python", "metadata_sha256", "yanked"),
    *("url", "path", "first_seen"),
)


def dump(page: UpstreamPage) -> bytes:
    """A page → what is kept of it."""
    files = [[getattr(file, name) for name in FIELDS] for file in page.files]
    about = [FORMAT, page.name, page.status, page.reason, page.serial, page.left_out]
    return json.dumps([about, files], separators=(",", ":")).encode()


def load(body: bytes, index: str) -> UpstreamPage:
    """What is kept of a page → the page; :class:`BadAnswer` if this is none, or of another version of the program."""
    try:
        (form, name, status, reason, serial, left_out), rows = json.loads(body)
        if form != FORMAT:
            raise ValueError("another format")
        project = NormalizedName(name)
        files = tuple(
            UpstreamFile(
                *(key, project, version, size, sha256, time, sha256, python, metadata, None, None, None, yanked, None),
                *(url, path, index, seen),
            )
            for key, version, size, sha256, time, python, metadata, yanked, url, path, seen in rows
        )
        return UpstreamPage(project, files, status, reason, serial, left_out)
    except (ValueError, TypeError) as error:
        raise BadAnswer(f"What is kept of a page cannot be read: {error}.") from None
