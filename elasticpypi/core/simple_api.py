"""The simple repository API: a project → the dict of PEP 691.

Everything here is pure. Links are relative to the page, so they keep any stage or mount prefix without
knowing it (REQ-22), and one rendering is right for all of them.
"""

import json
from collections.abc import Iterable
from typing import Any

from packaging.utils import NormalizedName

from elasticpypi.core import blocks, moments
from elasticpypi.core.model import File, Project

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
    page: dict[str, Any] = {
        "meta": {"_last-serial": project.serial, "api-version": API_VERSION},
        "name": project.name,
        "versions": project.versions,
        "files": [_file(file, home) for file in project.listed],
    }
    if block := project.blocked:  # 200 without files: of a 404, installers would look elsewhere
        page["project-status"] = {"status": "quarantined", "reason": blocks.sentence(project.name, block)}
    elif project.status != "active":
        page["project-status"] = {"status": project.status}
        if project.status_reason:
            page["project-status"]["reason"] = project.status_reason
    if project.blocks:  # PEP 691: a key that begins with an underscore is ours
        page["_blocked"] = {file.filename: file.blocked for file in project.files if file.blocked is not None}
    if project.held:
        page["_held"] = [
            {"filename": held.file.filename, "until": held.until and moments.text_of(held.until), "reason": held.reason}
            for held in project.held
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
