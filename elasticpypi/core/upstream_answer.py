"""What another index sends for a project, as JSON or HTML → its page (PEP 503, 691). Everything here is pure.

What cannot be true is :class:`BadAnswer`, and never half of a page. Each step counts: names are read by hand, since
``packaging`` takes ten times as long, and what looks as on PyPI is checked at one look.
"""

import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import islice, repeat
from operator import itemgetter, le
from typing import Any, get_args
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from packaging.utils import InvalidName, NormalizedName, canonicalize_name, canonicalize_version
from packaging.version import InvalidVersion, Version

from elasticpypi.core import addresses
from elasticpypi.core.filename import LONGEST as LONGEST_NAME
from elasticpypi.core.keys import Status
from elasticpypi.core.upstream import DIGEST, ROW, BadAnswer, Listing, UpstreamPage, begin_of, uncollected

MOST = 200_000  # files of a page
LONGEST = 1000  # characters of a text in it: of a range of Pythons, of a reason
LONGEST_LINK = 4000
LARGEST_FILE = 1 << 50  # bytes
STATUSES: dict[str, Status] = {each: each for each in get_args(Status)}
IN_FRAGMENT = re.compile(r"(?:^|&)sha256=([0-9a-fA-F]{64})(?=&|$)")
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")  # as PyPI has it
FOLDERS = re.compile(r"(?:[A-Za-z0-9._+-]*[A-Za-z0-9_+-]/)*")  # that mean the same in every address
AS_SLASHES = bytes.maketrans(b".\n", b"//")  # two in a row are an empty folder, or dots of another one
PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-/\n"  # all that is in lines of these
LINK = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # what an address may consist of: nothing that JSON or HTML would change
# A page of PyPI has one of each in 60 bytes or more. Others of 64 MB would take gigabytes once they are read.
ROOM = ((b"[", 1 << 20), (b"{", 64), (b",", 16))
FOR_PEOPLE = "form", "input", "script"  # what no list of links has, but the page on which people log in somewhere
# The keys of JSON that all files of PyPI have.
AS_PYPI = itemgetter(
    *("filename", "url", "upload-time", "size", "requires-python", "yanked", "hashes", "core-metadata")
)


def read(body: bytes, media_type: str, url: str, name: NormalizedName) -> Listing:
    """What an index sent for a project → its page; ``url`` is the address that it came from in the end."""
    page = _Page(name, url)
    try:
        with uncollected():
            if media_type.endswith("+json") or media_type == "application/json":
                _read_json(body, page)
            else:
                _read_html(body.decode("utf-8", "replace"), page)
            return page.made()
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"The page of {name!r} cannot be read: {_clean(str(error))[:200]}.") from None


class _Page:
    """A page that is being read: facts of it, and the fields of its files by column."""

    def __init__(self, name: NormalizedName, url: str) -> None:
        self._name, self.base = name, url
        self._columns: tuple[Sequence[Any], ...] = ()
        self._rows: dict[str, tuple[Any, ...]] = {}
        self._versions: dict[tuple[str, str], str | None] = {}
        # What the last link began with, and the site and folder that this leads to: nearly always as of the next one.
        self._begin = "", "", ""
        self._status: Status = "active"
        self._reason, self._serial, self._left_out = "", 0, 0

    def about(self, said: Mapping[str, Any]) -> None:
        """What it says of itself, in the keys of JSON; :class:`BadAnswer` if it is not what was asked for."""
        meta, status, name = _table(said.get("meta")), _table(said.get("project-status")), said.get("name")
        version = meta.get("api-version")
        if version is not None and str(version)[:20].strip().partition(".")[0] != "1":
            raise BadAnswer(f"The page is of another version of the standard: {_clean(str(version)[:20])}.")
        if isinstance(name, str) and name and canonicalize_name(name[: LONGEST_NAME + 1]) != self._name:
            raise BadAnswer(f"The page is that of another project: {name[:80]!r}.")
        serial = str(meta.get("_last-serial"))[:20]
        self._serial = int(serial) if re.fullmatch("[0-9]{1,18}", serial) else 0
        self._status = STATUSES.get(_clean(status.get("status")), "active")
        self._reason = _clean(status.get("reason"))

    def add_all(self, entries: list[Any]) -> None:
        """All of its files, with the keys of JSON; ``entries`` is empty in the end, to make room for what is made."""
        try:
            self._columns = self._all_as_on_pypi(entries)
        except (LookupError, TypeError, ValueError, AttributeError):
            self._columns = ()  # something is odd about one of them
        if self._columns:
            entries.clear()
        entries.reverse()
        while entries:
            self.add(entries.pop())

    def add(self, entry: Any) -> None:
        """One of its files."""
        row = self._row(entry.get) if type(entry) is dict else None
        if row is None or row[0] in self._rows:
            self._left_out += 1
        else:
            self._rows[row[0]] = row
            if len(self._rows) > MOST:
                raise BadAnswer(f"The page has more than {MOST} files.")

    def has_files(self) -> bool:
        """Whether there are any so far."""
        return bool(self._columns or self._rows)

    def made(self) -> Listing:
        """The page, with its files by version and name."""
        about = UpstreamPage(self._name, (), self._status, self._reason, self._serial, self._left_out)
        columns = self._columns or tuple(zip(*self._rows.values(), strict=True))
        if not columns:
            return Listing(about, {})
        names, spelled = columns[0], _spelled_alike(columns)
        ranks = {text: rank for rank, text in enumerate(sorted(sorted({*spelled.values()}), key=Version))}
        places = list(zip([ranks[spelled[version]] for version in columns[1]], names, strict=True))
        if not all(map(le, places, islice(places, 1, None))):  # PyPI has this order already
            order = sorted(range(len(places)), key=places.__getitem__)
            columns = tuple([column[number] for number in order] for column in columns)
        found = dict(zip(ROW, columns, strict=True))
        found["version"] = [spelled[version] for version in found["version"]]
        return Listing(about, {**found, "first_seen": [""] * len(names)})

    def _row(self, get: Any) -> tuple[Any, ...] | None:
        """The fields of a file, as ``ROW`` names them; None for what no installer takes, or nobody could check."""
        filename, hashes, size, yanked = get("filename"), get("hashes"), get("size"), get("yanked")
        metadata = get("core-metadata") or _other_metadata(get)
        sha256 = _digest(hashes.get("sha256")) if type(hashes) is dict else None
        core = _digest(metadata.get("sha256")) if type(metadata) is dict else None
        if sha256 is None or type(filename) is not str:
            return None
        version, place = self._version(filename), self._place(get("url"), filename, sha256)
        if version is None or place is None:
            return None
        size = size if type(size) is int and 0 <= size < LARGEST_FILE else -1
        python = _clean(get("requires-python")) or None
        return filename, version, size, sha256, _time(get("upload-time")), python, core, _yanked(yanked), *place

    def _all_as_on_pypi(self, entries: list[Any]) -> tuple[Sequence[Any], ...]:
        """The same for all files of a page that looks as those of PyPI, by column: each check is one look at all.

        Empty, or some error, if anything is not quite so.
        """
        if len(entries) > MOST:
            return ()
        names, links, times, sizes, pythons, yanks, hashes, metadata = zip(*map(AS_PYPI, entries), strict=True)
        digests, cores = [each["sha256"] for each in hashes], [each and each["sha256"] for each in metadata]
        self._place(links[0], names[0], digests[0])
        begin, site, folder = self._begin
        paths = [folder + link[len(begin) :] for link in links if begin and link.startswith(begin)]
        every_path, every_digest = "\n".join(paths), "".join([*digests, *filter(None, cores)])
        wheels = [name for name in names if name[-4:] == ".whl"]
        plain, versions = every_path.encode("ascii"), self._all_versions(names)
        without_metadata = [entry for entry, core in zip(entries, cores, strict=True) if not core]
        deque(map(datetime.fromisoformat, times), 0)
        right = (
            None not in versions
            and {*map(str.count, wheels, repeat("-"))} <= {4, 5}
            and not plain.translate(None, PLAIN)
            and b"//" not in b"/" + plain.translate(AS_SLASHES)
            and len(paths) == len(names)
            and all(map(str.endswith, paths, map("/".__add__, names)))
            and "/" not in "".join(names)
            and max(map(len, names)) <= LONGEST_NAME
            and max(map(len, links)) <= LONGEST_LINK
            and {*map(len, digests), *map(len, filter(None, cores))} == {64}
            and not every_digest.encode("ascii").translate(None, b"0123456789abcdef")
            and {*map(len, times)} == {27}
            and "".join(times).encode("ascii").translate(None, b"0123456789") == b"--T::.Z" * len(times)
            and {*map(type, sizes)} == {int}
            and 0 <= min(sizes) <= max(sizes) < LARGEST_FILE
            and len({*names}) == len(names)
            and not any(_other_metadata(entry.get) for entry in without_metadata)
        )
        if not right:
            return ()
        texts = {python: _clean(python) or None for python in {*pythons}}
        why = {yanked: _yanked(yanked) for yanked in {*yanks}}
        return (
            *(names, versions, sizes, digests, times, [texts[each] for each in pythons]),
            *([core or None for core in cores], [why[each] for each in yanks], [site] * len(names), paths),
            [""] * len(names),
        )

    def _all_versions(self, names: Sequence[str]) -> list[str | None]:
        """The versions of many files: that of a wheel is nearly always that of the one before it."""
        versions: list[str | None] = []
        begin, version = "/", None
        for name in names:
            if not name.startswith(begin):
                version = self._version(name)
                begin = f"{'-'.join(name.split('-', 2)[:2])}-" if name[-4:] == ".whl" else "/"
            versions.append(version)
        return versions

    def _version(self, filename: str) -> str | None:
        """The version that a file name says, normalized; None if it is no file of this project."""
        begin = begin_of(filename)
        if begin is None:
            return None
        if begin not in self._versions:
            spelled, version = begin
            try:
                ours = canonicalize_name(spelled, validate=True) == self._name
                self._versions[begin] = str(Version(version.replace("_", "-"))) if ours else None
            except (InvalidName, InvalidVersion):
                self._versions[begin] = None
        return self._versions[begin]

    def _place(self, link: Any, filename: str, sha256: str) -> tuple[str, str, str] | None:
        """A link → site, path and link, as a file has them; None if it leads nowhere."""
        if type(link) is not str or not 0 < len(link) <= LONGEST_LINK:
            return None
        begin, site, folder = self._begin
        begins = begin and link.startswith(begin) and link.endswith(f"/{filename}")
        if begins and FOLDERS.fullmatch(link[len(begin) : -len(filename)]):
            return site, folder + link[len(begin) :], ""
        try:
            url = urldefrag(urljoin(self.base, link))[0]
            parts = urlsplit(url)
        except ValueError:
            return None
        if parts.scheme not in ("https", "http") or not addresses.authority(parts.netloc) or not LINK.fullmatch(url):
            return None
        site = f"{parts.scheme}://{parts.netloc}/"
        path = url.removeprefix(site).partition("?")[0]
        folder, slash, name = unquote(path).rpartition("/")
        if name != filename or not FOLDERS.fullmatch(folder + slash):
            path = f"{sha256}/{filename}"  # whatever its own is would not come back as it was
        if url != site + path:
            return site, path, url
        begin = link[: link.rfind("../") + 3] if link.startswith("../") else link.removesuffix(path)
        if (rest := link[len(begin) :]) and path.endswith(rest):
            self._begin = begin, site, path.removesuffix(rest)
        return site, path, ""


def _spelled_alike(columns: Sequence[Sequence[Any]]) -> dict[str, str]:
    """Versions, as files spell them → those of the releases: 1.0 and 1.0.0 are one, that of its first file."""
    names, versions, times = columns[0], columns[1], columns[4]
    canonical = {text: canonicalize_version(text) for text in {*versions}}
    if len({*canonical.values()}) == len(canonical):
        return {text: text for text in canonical}
    first: dict[str, str] = {}
    for _, _, _, text in sorted(zip(times, map(len, versions), names, versions, strict=True)):
        first.setdefault(canonical[text], text)
    return {text: first[each] for text, each in canonical.items()}


def _time(text: Any) -> str:
    """A moment of PEP 700, in the form in which PyPI has it: "" if it is none."""
    if type(text) is not str or len(text) > 40:
        return ""
    try:
        found = datetime.fromisoformat(text)
        if MOMENT.fullmatch(text):
            return text
        found = found.astimezone(UTC) if found.tzinfo else found
        return f"{found.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    except (ValueError, OverflowError):
        return ""


def _digest(text: Any) -> str | None:
    if type(text) is not str or len(text) != 64:
        return None
    return text.lower() if DIGEST.fullmatch(text.lower()) else None


def _other_metadata(get: Any) -> Any:
    """What PEP 691 called it before PEP 714, and what PyPI still calls it."""
    return get("dist-info-metadata") or get("data-dist-info-metadata")


def _yanked(value: Any) -> str | None:
    """PEP 592, 691: a reason, which may be empty, or None."""
    return _clean(value) if value else None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _clean(text: Any) -> str:
    """A text in one line, without what no page can show; "" if it is none."""
    if not isinstance(text, str):
        return ""
    text = text[:LONGEST]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())


def _read_json(body: bytes, page: _Page) -> None:
    for letter, bytes_of_each in ROOM:
        if body.count(letter) > 1000 + len(body) // bytes_of_each:
            raise ValueError("it has too many parts for its size")
    said = json.loads(body)
    entries = said.pop("files", None) if isinstance(said, dict) else None
    if not isinstance(entries, list):
        raise BadAnswer("The page has no list of files.")
    page.about(said)
    page.add_all(entries)


def _read_html(text: str, page: _Page) -> None:
    """A page of PEP 503."""
    if "<" not in text:
        raise BadAnswer("It is neither JSON nor HTML.")
    links = _Links(page)
    try:
        links.feed(text)  # and not closed: what is open at the end is no link, and could be looked for in vain for long
    except AssertionError:
        raise BadAnswer("The page is no HTML.") from None
    page.about(links.said)
    if links.for_people and not page.has_files():
        raise BadAnswer("The page is one for people, such as to log in, and no list of files.")


class _Links(HTMLParser):
    """The links of a page of PEP 503, and what its meta elements say, in the keys of JSON."""

    def __init__(self, page: _Page) -> None:
        super().__init__()
        self._page = page
        self._based = False
        self.said: dict[str, dict[str, str | None]] = {"meta": {}, "project-status": {}}
        self.for_people = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._link(dict(attrs))
        elif tag == "meta":
            said = dict(attrs)
            match said.get("name"):
                case "pypi:repository-version":
                    self.said["meta"]["api-version"] = said.get("content")
                case "pypi:project-status":
                    self.said["project-status"]["status"] = said.get("content")
                case "pypi:project-status-reason":
                    self.said["project-status"]["reason"] = said.get("content")
        elif tag == "base" and not self._based:
            self._based = True
            try:
                self._page.base = urljoin(self._page.base, dict(attrs).get("href") or "")
            except ValueError:
                raise BadAnswer("The page has a base that is no address.") from None
        elif tag in FOR_PEOPLE:
            self.for_people = True

    def _link(self, said: dict[str, str | None]) -> None:
        try:
            url, fragment = urldefrag((said.get("href") or "").strip())
            filename = unquote(urlsplit(url).path.rpartition("/")[2])  # as pip has it, whatever the text of the link is
        except ValueError:
            url = fragment = filename = ""
        digest = IN_FRAGMENT.search(fragment)
        metadata = said.get("data-core-metadata") or said.get("data-dist-info-metadata") or ""
        self._page.add(
            {
                "filename": filename,
                "url": url,
                "hashes": {"sha256": digest[1] if digest else None},
                "requires-python": said.get("data-requires-python"),
                "core-metadata": {"sha256": metadata.removeprefix("sha256=")},
                "upload-time": said.get("data-upload-time"),
                "yanked": "data-yanked" in said and (said["data-yanked"] or True),
            }
        )
