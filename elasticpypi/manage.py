"""What people decide: yank, delete, project status. Written to the store first, then synced (PEP 592, 792)."""

import errno
import io
from typing import get_args

from packaging.utils import NormalizedName
from packaging.version import Version

from elasticpypi import distribution, filename, metadata, sync
from elasticpypi.errors import BadUpload, NotFound
from elasticpypi.model import File, Status
from elasticpypi.wiring import Services

LONGEST_REASON = 1000


def yank(services: Services, file_name: str, reason: str) -> None:
    """Mark a file so that only an exact pin installs it; ``reason`` may be empty. Again: a new reason."""
    _decide(services, f"{_file(services, file_name).key}.yanked", _reason(reason))


def unyank(services: Services, file_name: str) -> None:
    """Take a yank back; nothing happens if there is none."""
    _withdraw(services, f"{_file(services, file_name).key}.yanked")


def delete(services: Services, file_name: str) -> None:
    """Remove a file for good. A tombstone keeps its name from coming back with other bytes (REQ-117)."""
    file = _find(services, file_name)
    if file is None and services.files.stat(file_name) and services.files.stat(f"{file_name}.deleted"):
        return _withdraw(services, file_name)  # a deletion was broken off
    file = file or _file(services, file_name)
    while file is not None:  # the same file name may exist below several prefixes
        try:
            _decide(services, f"{file.key}.deleted", file.sha256)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            services.files.empty(file.key)  # its name is still taken if this is broken off
            _decide(services, f"{file.key}.deleted", file.sha256)
        services.index.remove(file.project, file.key)  # REQ-125: nothing is listed that cannot be had
        _withdraw(services, file.key)
        _withdraw(services, f"{file.key}.yanked")
        file = _find(services, file_name)


def set_status(services: Services, name: NormalizedName, status: str, reason: str = "") -> None:
    """Set the status of a project: active, archived, quarantined or deprecated (PEP 792)."""
    if status not in get_args(Status):
        raise BadUpload(f"A project is {', '.join(get_args(Status))}; {status[:40]!r} is none of these.")
    project = services.index.project(name)
    if project is None or not project.files:
        raise NotFound(f"There is no project {name!r} in this index.")
    if status == "active":
        _withdraw(services, f"{name}.status")
    else:
        _decide(services, f"{name}.status", f"{status}\n{_reason(reason)}")


def files_of(services: Services, what: str) -> list[str]:
    """``demo-1.0.tar.gz`` → itself, ``demo==1.0`` → the names of all files of that release."""
    spelled, equals, version = what.partition("==")
    if not equals:
        return [_file(services, what).filename]
    project = services.index.project(filename.project_name(spelled.strip()))
    wanted = metadata.version("the release", version.strip())
    found = [file.filename for file in project.files if Version(file.version) == wanted] if project else []
    if not found:
        raise NotFound(f"There is no release {what!r} in this index.")
    return found


def _find(services: Services, file_name: str) -> File | None:
    """A file, also of a quarantined project."""
    named = filename.parse_stored(file_name)
    project = named and services.index.project(named.project)
    return next((file for file in project.files if file.filename == file_name), None) if project else None


def _file(services: Services, file_name: str) -> File:
    file = _find(services, file_name)
    if file is None:  # but in the store, maybe: a deletion was broken off, or an event is on its way
        sync.sync(services.files, services.index, file_name)
        file = _find(services, file_name)
    if file is None:
        raise NotFound(f"There is no file {file_name[:200]!r} in this index.")
    return file


def _reason(text: str) -> str:
    """One line of text, as every client shows it."""
    line = " ".join(text.split())
    if len(line) > LONGEST_REASON or not line.isprintable():
        raise BadUpload(f"A reason is a line of at most {LONGEST_REASON} printable characters.")
    return line


def _decide(services: Services, key: str, text: str) -> None:
    data = text.encode()
    services.files.save(key, io.BytesIO(data), distribution.sha256(data), overwrite=True)
    sync.sync(services.files, services.index, key)


def _withdraw(services: Services, key: str) -> None:
    try:
        services.files.delete(key)
    finally:  # what could not be removed is there, and says so
        sync.sync(services.files, services.index, key)
