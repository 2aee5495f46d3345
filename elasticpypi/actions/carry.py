"""What is kept of other indexes → a folder → another index of ours, which cannot ask them (REQ-U72).

The folder has pages and files as they are kept, and ``manifest.jsonl``: a line about it all, then one for each page and
for each file. On the way in all of it is held against the manifest before anything is taken.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from packaging.utils import NormalizedName, is_normalized_name

from elasticpypi.accounts.principal import Actor
from elasticpypi.actions.policy import require
from elasticpypi.core.distribution import sha256
from elasticpypi.core.errors import BadFile, ConfigurationError, Unavailable
from elasticpypi.core.event import new
from elasticpypi.core.moments import text_of
from elasticpypi.core.upstream import DIGEST, METADATA, BadAnswer, UpstreamPage, load
from elasticpypi.policy import NAME
from elasticpypi.services import Services
from elasticpypi.storage.contracts import UpstreamStore
from elasticpypi.upstream.pages import GONE
from elasticpypi.upstream.transfers import SPARE
from elasticpypi.upstream.upstreams import Upstreams

MANIFEST = "manifest.jsonl"
FORMAT = 1
CHUNK = 1024 * 1024
LONGEST_LINE = 20_000  # bytes of a manifest
PATIENCE, LOOK = 60.0, 0.05  # seconds for which a file is waited for that somebody else fetches

Line = dict[str, Any]
Progress = Callable[[int, int], None]  # bytes more, of how many

AGAIN = "carry it out and copy it again."


def nobody(more: int, total: int) -> None:
    """Is told of the progress."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a folder has: ``new`` files of ``size`` bytes were not there before. ``older`` pages were not taken, since
    what is here is newer. ``sha256`` is that of the manifest."""

    pages: int
    files: int
    new: int
    size: int
    sha256: str
    older: int = 0


# ---- Out


def out(services: Services, folder: Path, since: float = 0.0, progress: Progress = nobody) -> Carried:
    """Put what is kept into a folder, beside what it has of an earlier time. It is whole once the manifest is written.

    Files that came, and were used, before ``since`` (seconds since 1970) are left out. :class:`BadFile` if the folder
    is that of something else.
    """
    upstreams, before = _upstreams(services), _before(folder)
    store = upstreams.store
    files = {each.sha256: each for each in store.every_file()}
    sizes = {digest: size for digest, size in before.items() if digest not in files or files[digest].size == size}
    new = {digest: each.size for digest, each in files.items() if digest not in sizes and each.used >= since}
    pages, lines = list[Line](), list[Line]()
    copied: set[str] = set()
    for upstream in upstreams():
        for name in sorted(store.pages(upstream.name + GONE)):
            body, page = _page(store, upstream.name + GONE, name)
            if page is not None:
                about = {"gone": True, "sha256": sha256(body), "size": len(body)}
                pages.append({"page": name, "index": upstream.name, **about})
                _write(folder / "pages" / (upstream.name + GONE) / name, body)
        for name in sorted(upstream.kept()):
            body, page = _page(store, upstream.name, name)
            if page is None:
                continue
            pages.append({"page": name, "index": upstream.name, "sha256": sha256(body), "size": len(body)})
            _write(folder / "pages" / upstream.name / name, body)
            for line in _lines_of(page):
                digest = line["sha256"]
                if digest in new and digest not in copied:
                    _copy(store, digest, _file(folder, digest), line["filename"], progress, sum(new.values()))
                    copied.add(digest)
                if digest in copied or digest in sizes:
                    lines.append({**line, "size": new.get(digest) or sizes[digest]})
    about = {"carry": FORMAT, "made": text_of(time.time()), "pages": len(pages), "files": len(lines)}
    manifest = _dump(about, *pages, *lines)
    os.sync()  # else a stick that is pulled out has a manifest of what is not on it
    _write(folder / MANIFEST, manifest, durably=True)
    size = sum(new[digest] for digest in copied)
    return Carried(len(pages), len({line["sha256"] for line in lines}), len(copied), size, sha256(manifest))


def _before(folder: Path) -> dict[str, int]:
    """The sizes of files that are in a folder, by digest; none in one that is not there, or whose manifest is wrong."""
    if not (folder / MANIFEST).exists():
        if folder.exists() and any(folder.iterdir()):
            raise BadFile(
                f"{str(folder)!r} has other files in it: give an empty folder, or one that carry out has made."
            )
        return {}
    sizes: dict[str, int] = {}
    with suppress(BadFile):
        sizes = {line["sha256"]: line["size"] for line in _read_manifest(folder).files}
    return {digest: size for digest, size in sizes.items() if _size(_file(folder, digest)) == size}


def _page(store: UpstreamStore, index: str, name: NormalizedName) -> tuple[bytes, UpstreamPage | None]:
    """None for what cannot be read, and would be asked for anew."""
    body = store.page(index, name) or b""
    try:
        return body, load(body).page(index)
    except BadAnswer:
        return body, None


def _lines_of(page: UpstreamPage) -> Iterator[Line]:
    """What a manifest says of the files of a page, but for sizes of metadata, which no page has."""
    for file in (*page.files, *(gone.file for gone in page.gone)):
        about = {"project": page.name, "index": file.index, "upload_time": file.upload_time, "yanked": file.yanked}
        url = file.url.partition("?")[0]  # what is behind it may be a password
        yield {"filename": file.filename, **about, "sha256": file.sha256, "url": url}
        if digest := file.metadata_sha256:
            yield {"filename": f"{file.filename}{METADATA}", **about, "sha256": digest, "url": f"{url}{METADATA}"}


def _copy(store: UpstreamStore, digest: str, path: Path, filename: str, progress: Progress, total: int) -> None:
    source = store.open(digest, is_use=False)
    if source is None:
        raise Unavailable(f"{filename} was removed at the same moment: try again.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with source, temporary.open("wb") as target:
        has = _poured(source, target.write, progress, total)
    if has != digest:
        temporary.unlink()
        raise BadFile(f"{filename} is damaged here: remove upstream/files/{digest[:2]}/{digest}, and fetch it again.")
    temporary.replace(path)


def _write(path: Path, body: bytes, *, durably: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as target:
        target.write(body)
        if durably:
            target.flush()
            os.fsync(target.fileno())
    temporary.replace(path)


# ---- In


@dataclass(frozen=True, slots=True)
class _Manifest:
    pages: list[Line]
    files: list[Line]
    sha256: str


def into(services: Services, actor: Actor, folder: Path, progress: Progress = nobody) -> Carried:
    """Take what a folder has, after all of it was held against its manifest. ``progress`` is told each byte twice.

    :class:`BadFile` says what is wrong with the folder; nothing of it is taken then. A page that is newer here stays.
    """
    require(services, actor)
    upstreams = _upstreams(services)
    store = upstreams.store
    try:
        manifest = _read_manifest(folder)
        serials = _verified_pages(folder, manifest, upstreams)
        names = {line["sha256"]: line["filename"] for line in manifest.files}
        sizes = {line["sha256"]: line["size"] for line in manifest.files}
        missing = {digest: size for digest, size in sizes.items() if store.size(digest) is None}
        total = sum(missing.values())
        _check_room(upstreams, total)
        for digest, size in missing.items():
            path = _file(folder, digest)
            with _opened(path, names[digest]) as source:
                if _size(path) != size or _poured(source, lambda chunk: None, progress, 2 * total) != digest:
                    raise BadFile(f"{names[digest]} is damaged: remove {path}, {AGAIN}")
    except BadFile as error:
        raise BadFile(f"{error} Nothing was taken.") from None
    for digest in missing:
        _take(store, digest, _file(folder, digest), names[digest], progress, 2 * total)
    older = 0
    for line in manifest.pages:
        index, name = line["index"], NormalizedName(line["page"])
        if line.get("gone"):
            if next(each.settings.offline for each in upstreams() if each.name == index):
                store.keep_page(index + GONE, name, _page_in(folder, line))
                store.drop_page(index, name)
        elif _is_older(serials[index, name], upstreams, index, name):
            older += 1
        else:
            store.keep_page(index, name, _page_in(folder, line))
            store.drop_page(index + GONE, name)
    told = f"{len(manifest.pages)} pages, {len(missing)} files; sha256 of the manifest: {manifest.sha256}"
    services.log.append([new("upstream.carried", actor.who, reason=told)])
    return Carried(len(manifest.pages), len(sizes), len(missing), total, manifest.sha256, older)


def _verified_pages(folder: Path, manifest: _Manifest, upstreams: Upstreams) -> dict[tuple[str, NormalizedName], int]:
    """The serials of the pages of a folder, on which the files of the manifest are; :class:`BadFile`."""
    known = {each.name for each in upstreams()}
    files: dict[tuple[str, str], list[Line]] = {}
    for line in manifest.files:
        files.setdefault((line["index"], line["project"]), []).append(line)
    serials: dict[tuple[str, NormalizedName], int] = {}
    for line in manifest.pages:
        index, name = line["index"], NormalizedName(line["page"])
        if index not in known:
            raise BadFile(f"The policy here has no index {index!r}: add [upstream.{index}] with offline = true.")
        body, where = _page_in(folder, line), f"The page of {name} in {str(folder)!r}"
        try:
            page = load(body).page(index)
        except BadAnswer:
            raise BadFile(f"{where} is that of another version of elasticpypi: have the same one here.") from None
        if page.name != name:
            raise BadFile(f"{where} is that of {page.name}: {AGAIN}")
        if line.get("gone"):
            continue
        _check_same_bytes(page, upstreams.store, index, name)
        there = [*_lines_of(page)]
        for each in files.pop((index, name), []):
            if {key: value for key, value in each.items() if key != "size"} not in there:
                raise BadFile(f"{each['filename']} is not on the page of {name} as the manifest has it: {AGAIN}")
        serials[index, name] = page.serial
    for index_and_name in files:
        raise BadFile(f"There is no page of {index_and_name[1]} in {str(folder)!r}: {AGAIN}")
    return serials


def _page_in(folder: Path, line: Line) -> bytes:
    """The page of a line, which is what the manifest says."""
    where = f"The page of {line['page']}"
    index = line["index"] + GONE * bool(line.get("gone"))
    with _opened(folder / "pages" / index / line["page"], where) as content:
        body = content.read()
    if (sha256(body), len(body)) != (line["sha256"], line["size"]):
        raise BadFile(f"{where} in {str(folder)!r} is damaged: {AGAIN}")
    return body


def _check_same_bytes(page: UpstreamPage, store: UpstreamStore, index: str, name: NormalizedName) -> None:
    """What was kept first stays (REQ-U42)."""
    _, ours = _page(store, index, name)
    known = {file.path: file.sha256 for file in ours.files} if ours else {}
    for file in page.files:
        if known.get(file.path, file.sha256) != file.sha256:
            raise BadFile(
                f"{file.filename} had other bytes when it was carried before: find out why. To take it all the same, "
                f"remove upstream/pages/{index}/{name} here."
            )


def _check_room(upstreams: Upstreams, size: int) -> None:
    kept, room = sum(each.size for each in upstreams.store.every_file()), upstreams.room()
    if kept + size > room:
        raise BadFile(
            f"This makes {(kept + size) / 1e9:.1f} GB, and there is room for {room / 1e9:.1f}: set room of the index "
            "in the policy."
        )
    if upstreams.store.free() - size < SPARE:
        raise Unavailable("There is no room on the disk of this index for what is carried. Nothing was taken.")


def _take(store: UpstreamStore, digest: str, path: Path, filename: str, progress: Progress, total: int) -> None:
    end = time.monotonic() + PATIENCE
    while (incoming := store.begin(digest)) is None and store.size(digest) is None:
        if time.monotonic() > end:
            raise Unavailable(f"{filename} is being fetched by somebody else, and does not come: try again.")
        time.sleep(LOOK)
    if incoming is None:
        return
    try:
        with _opened(path, filename) as source:
            if _poured(source, incoming.write, progress, total) != digest:
                raise BadFile(f"{filename} has changed since it was looked at: carry it in again.")
    except BaseException:
        incoming.drop()
        raise
    incoming.keep()


def _is_older(serial: int, upstreams: Upstreams, index: str, name: NormalizedName) -> bool:
    """Whether a page is older than what is here; an index that is asked has its own."""
    _, ours = _page(upstreams.store, index, name)
    if ours is None:
        return False
    is_offline = next(each.settings.offline for each in upstreams() if each.name == index)
    return not is_offline or 0 < serial < ours.serial


# ---- The manifest


def _dump(*lines: Line) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def _read_manifest(folder: Path) -> _Manifest:
    """:class:`BadFile` with the line that is wrong."""
    path = folder / MANIFEST
    try:
        body = path.read_bytes()
    except OSError:
        raise BadFile(f"There is no {MANIFEST} in {str(folder)!r}: give a folder that carry out has made.") from None
    pages, files = list[Line](), list[Line]()
    about: Line = {}
    for number, text in enumerate(body.splitlines(), 1):
        try:
            line = json.loads(text) if len(text) <= LONGEST_LINE else None
        except (ValueError, RecursionError):
            line = None
        if number == 1:
            about = line if isinstance(line, dict) else {}
            if about.get("carry") != FORMAT:
                raise BadFile(f"{path}, line 1: this is no manifest, or that of another version of elasticpypi.")
        elif line is not None and _is_page(line):
            pages.append(line)
        elif line is not None and _is_file(line):
            files.append(line)
        else:
            raise BadFile(f"{path}, line {number}: this is neither a page nor a file: {AGAIN}")
    if (about.get("pages"), about.get("files")) != (len(pages), len(files)):
        raise BadFile(f"{path} is not whole: {AGAIN}")
    return _Manifest(pages, files, sha256(body))


def _is_page(line: Any) -> bool:
    """Whether a line is one about a page: its names become paths."""
    return isinstance(line, dict) and _has_digest(line) and _is_project(line.get("page"))


def _is_file(line: Any) -> bool:
    named = isinstance(line, dict) and isinstance(line.get("filename"), str)
    return named and _has_digest(line) and _is_project(line.get("project"))


def _is_project(name: Any) -> bool:
    return isinstance(name, str) and is_normalized_name(name)


def _has_digest(line: Line) -> bool:
    digest, size, index = line.get("sha256"), line.get("size"), line.get("index")
    return (
        isinstance(digest, str)
        and DIGEST.fullmatch(digest) is not None
        and type(size) is int
        and size >= 0
        and isinstance(index, str)
        and NAME.fullmatch(index) is not None
    )


# ---- Files


def _upstreams(services: Services) -> Upstreams:
    if services.upstreams is None or not services.upstreams():
        raise ConfigurationError("No other index is known here: name one in the policy, or with --upstream.")
    return services.upstreams


def _file(folder: Path, digest: str) -> Path:
    return folder / "files" / digest[:2] / digest


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _opened(path: Path, what: str) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError:
        raise BadFile(f"{what} is missing: there is no {path}: {AGAIN}") from None


def _poured(source: BinaryIO, write: Callable[[bytes], object], progress: Progress, total: int) -> str:
    """Hand all bytes on; their sha256."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        write(chunk)
        progress(len(chunk), total)
    return digest.hexdigest()
