"""An uploaded file → the store and the index: bytes first, then the record (REQ-125)."""

from typing import BinaryIO

from packaging.version import Version

from elasticpypi import filename, sync
from elasticpypi.distribution import Distribution, Form, check_upload, sha256_of
from elasticpypi.errors import AlreadyExists, Forbidden, NotFound
from elasticpypi.model import Project
from elasticpypi.wiring import Services


def accept(services: Services, form: Form, file_name: str, content: BinaryIO) -> str:
    """Check an upload, store it, put it into the index; returns a sentence for the one who uploads.

    When this returns, every reader sees the file. The same file again is fine (REQ-112); other bytes
    under its name are :class:`AlreadyExists`, unless OVERWRITE allows them.
    """
    dist = check_upload(form, file_name, content)
    project = services.index.project(dist.name.project)
    if project is not None:
        _check_status(project)
        _check_tombstone(project, dist)
        if _is_there(project, dist, services.config.overwrite):
            return f"{file_name} is in the index already."
    try:
        stat = services.files.save(file_name, content, dist.sha256, overwrite=services.config.overwrite)
    except AlreadyExists:
        # Not in the index yet: another upload at this moment, or put into the store directly.
        _check_same(services, dist)
        sync.sync(services.files, services.index, file_name)
        return f"{file_name} is in the index already."
    sync.saved(services.files, services.index, stat, dist)
    return f"{file_name} is in the index."


def _check_status(project: Project) -> None:
    """PEP 792: archived and quarantined projects take no uploads."""
    if project.status in ("archived", "quarantined"):
        raise Forbidden(f"The project {project.name!r} is {project.status}: it takes no uploads.")


def _check_tombstone(project: Project, dist: Distribution) -> None:
    """REQ-117: the name of a deleted file never comes back with other bytes."""
    if project.deleted.get(dist.name.filename, dist.sha256) != dist.sha256:
        raise AlreadyExists(f"{dist.name.filename} was deleted, and its name cannot be used again: use a new version.")


def _is_there(project: Project, dist: Distribution, overwrite: bool) -> bool:
    """Whether the index has these very bytes under this name; :class:`AlreadyExists` if it has others."""
    for file in project.files:
        if file.filename == dist.name.filename:
            if file.sha256 == dist.sha256:
                return True
            if not overwrite:
                raise AlreadyExists(_exists(dist.name.filename))
        elif Version(file.version) == dist.name.version:
            other = filename.parse_stored(file.filename)
            if other and other.identity == dist.name.identity:  # REQ-116
                raise AlreadyExists(f"This file already exists as {file.filename!r}, in another spelling of its name.")
    return False


def _check_same(services: Services, dist: Distribution) -> None:
    stat = services.files.stat(dist.name.filename)
    found = stat and stat.sha256
    if stat and not found:
        try:
            with services.files.open(dist.name.filename) as content:
                found = sha256_of(content)
        except NotFound:
            found = None
    if found != dist.sha256:
        raise AlreadyExists(_exists(dist.name.filename))


def _exists(file_name: str) -> str:
    return f"File already exists: {file_name} has other content in this index. Use a new version."
