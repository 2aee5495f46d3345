"""The simple repository API: a project → the dict of PEP 691.

Everything here is pure. Links are relative to the page, so they keep any stage or mount prefix without
knowing it (REQ-22), and one rendering is right for all of them.
"""

import json
from collections.abc import Callable, Iterable
from functools import cache
from json.encoder import encode_basestring_ascii as text_of
from typing import Any

from packaging.utils import NormalizedName

from elasticpypi.core import blocks, moments
from elasticpypi.core.model import File, Project

AT_ONCE = 1000  # files of a page in memory as texts of their own
API_VERSION = "1.4"  # PEP 792 is the newest that is final; PEP 833 freezes HTML at it

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PLAIN_HTML = "text/html"
LAST_SERIAL = "X-PyPI-Last-Serial"  # REQ-155: PyPI's header; the serial that a page was made of


def root_page(serial: int, names: Iterable[NormalizedName]) -> dict[str, Any]:
    """All projects → the root page as PEP 691 has it."""
    return {
        "meta": {"_last-serial": serial, "api-version": API_VERSION},
        "projects": [{"name": name} for name in names],
    }


def project_page(project: Project, home: str = "../../") -> dict[str, Any]:
    """A project → its page as PEP 691, 700, 714 and 792 have it. What is not known has no key (uv: REQ-36).

    ``home`` leads from the address of the page to the home page, below which the files are.
    """
    page = _head(project)
    page["files"] = [_file(file, home) for file in project.listed]
    page.update(_rest(project))
    return page


def project_json(project: Project, home: str = "../../") -> bytes:
    """What :func:`as_json` makes of :func:`project_page`, without the dicts of 46,724 files on the way."""
    head, rest = as_json(_head(project)), as_json(_rest(project))
    below, quoted, listed = text_of(home)[1:-1], cache(text_of), project.listed
    some = (listed[start : start + AT_ONCE] for start in range(0, len(listed), AT_ONCE))
    files = b",".join([",".join([_file_json(file, below, quoted) for file in part]).encode() for part in some])
    return b'%b,"files":[%b]%b%b' % (head[:-1], files, b"," if len(rest) > 2 else b"", rest[1:])


def _head(project: Project) -> dict[str, Any]:
    """What is on a page before its files."""
    return {
        "meta": {"_last-serial": project.serial, "api-version": API_VERSION},
        "name": project.name,
        "versions": project.versions,
    }


def _rest(project: Project) -> dict[str, Any]:
    """What is behind them."""
    page: dict[str, Any] = {}
    if block := project.blocked:  # 200 without files: of a 404, installers would look elsewhere
        page["project-status"] = {"status": "quarantined", "reason": blocks.sentence(project.name, block)}
    elif project.status != "active":
        page["project-status"] = {"status": project.status}
        if project.status_reason:
            page["project-status"]["reason"] = project.status_reason
    if project.blocks:  # PEP 691: a key that begins with an underscore is ours
        page["_blocked"] = {file.filename: file.blocked for file in project.files if file.blocked is not None}
    if held := [each for each in project.held if each.rule != "gone"]:  # of which there may be a thousand
        page["_held"] = [
            {"filename": each.file.filename, "until": each.until and moments.text_of(each.until), "reason": each.reason}
            for each in held
        ]
    return page


def as_json(page: dict[str, Any]) -> bytes:
    """A page as it is sent: without the spaces, which are a twentieth of it and which nobody reads."""
    return json.dumps(page, separators=(",", ":")).encode()


def _file(file: File, home: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filename": file.filename,
        "url": f"{home}{file.address}",
        "hashes": {"sha256": file.sha256},
    }
    if file.size >= 0:
        entry["size"] = file.size
    if file.upload_time:
        entry["upload-time"] = file.upload_time
    entry["yanked"] = False if file.yanked is None else file.yanked or True  # REQ-45: never ""
    if file.requires_python:
        entry["requires-python"] = file.requires_python
    if file.metadata_sha256:
        entry["core-metadata"] = {"sha256": file.metadata_sha256}  # PEP 714: no dist-info-metadata in JSON
    return entry


def _file_json(file: File, home: str, quoted: Callable[[str], str]) -> str:
    """The same as JSON; ``home`` is part of one, ``quoted`` makes one of a text that comes again and again.

    Digests and times have nothing that would be another text in JSON.
    """
    size = f',"size":{file.size}' if file.size >= 0 else ""
    time = f',"upload-time":"{file.upload_time}"' if file.upload_time else ""
    yanked = "false" if file.yanked is None else quoted(file.yanked) if file.yanked else "true"
    python = f',"requires-python":{quoted(file.requires_python)}' if file.requires_python else ""
    core = f',"core-metadata":{{"sha256":"{file.metadata_sha256}"}}' if file.metadata_sha256 else ""
    return (
        f'{{"filename":{text_of(file.filename)},"url":"{home}{text_of(file.address)[1:]},'
        f'"hashes":{{"sha256":"{file.sha256}"}}{size}{time},"yanked":{yanked}{python}{core}}}'
    )
