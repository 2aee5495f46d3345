"""What people decide: yank, delete, project status. Written to the store first, then synced (PEP 592, 792)."""

import errno
import io
from typing import get_args

from packaging.utils import NormalizedName
from packaging.version import Version

from elasticpypi.accounts.permissions import Permission
from elasticpypi.accounts.principal import Actor
from elasticpypi.core import distribution, filename, keys, metadata
from elasticpypi.core.errors import BadUpload, Forbidden, NotFound
from elasticpypi.core.event import Who, new
from elasticpypi.core.keys import Status
from elasticpypi.core.model import File
from elasticpypi.events import note
from elasticpypi.indexing import authors, sync
from elasticpypi.services import Services

LONGEST_REASON = 1000


def yank(services: Services, actor: Actor, file_name: str, reason: str) -> None:
    """Mark a file so that only an exact pin installs it; ``reason`` may be empty. Again: a new reason."""
    _require(services, actor, file_name)
    _decide(services, actor, f"{_file(services, file_name).key}.yanked", reason_of(reason))


def unyank(services: Services, actor: Actor, file_name: str) -> None:
    """Take a yank back; nothing happens if there is none."""
    _require(services, actor, file_name)
    _withdraw(services, actor, f"{_file(services, file_name).key}.yanked")


def delete(services: Services, actor: Actor, file_name: str) -> None:
    """Remove a file for good. A tombstone keeps its name from coming back with other bytes (REQ-117).

    Again: what a deletion that was broken off has left is removed.
    """
    _require(services, actor, file_name)
    left = _left(services, file_name)
    file = _find(services, file_name) if left else _file(services, file_name)
    while file is not None:  # the same file name may exist below several prefixes
        try:
            _decide(services, actor, keys.tombstone_of(file.key), file.sha256)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            services.files.empty(file.key)  # its name is still taken if this is broken off
            _decide(services, actor, keys.tombstone_of(file.key), file.sha256)
        services.index.remove(file.project, file.key)  # REQ-125: nothing is listed that cannot be had
        _withdraw(services, actor, file.key, noted=False)
        _withdraw(services, actor, f"{file.key}.yanked", noted=False)
        file = _find(services, file_name)
    for key in left:
        _withdraw(services, actor, key, noted=False)


def set_status(services: Services, actor: Actor, name: NormalizedName, status: str, reason: str = "") -> None:
    """Set the status of a project: active, archived, quarantined or deprecated (PEP 792)."""
    _require_for(services, actor, name)
    if status not in get_args(Status):
        raise BadUpload(f"A project is {', '.join(get_args(Status))}; {status[:40]!r} is none of these.")
    project = services.index.project(name)
    if project is None or not project.files:
        raise NotFound(f"There is no project {name!r} in this index.")
    if status == "active":
        _withdraw(services, actor, f"{name}.status")
    else:
        _decide(services, actor, f"{name}.status", f"{status}\n{reason_of(reason)}")


def files_of(services: Services, actor: Actor, what: str) -> list[str]:
    """``demo-1.0.tar.gz`` → itself, ``demo==1.0`` → the names of all files of that release."""
    spelled, equals, version = what.partition("==")
    if not equals:
        _require(services, actor, what)
        return [_file(services, what).filename]
    name = filename.project_name(spelled.strip())
    _require_for(services, actor, name)
    project = services.index.project(name)
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


def _left(services: Services, file_name: str) -> list[str]:
    """The keys that lie beside a tombstone of this file name: of the file, and of its yank."""
    named = filename.parse_stored(file_name)
    project = named and services.index.project(named.project)
    deleted = [key for key in project.tombstones if key.rpartition("/")[2] == file_name] if project else []
    return [key for each in deleted for key in (each, f"{each}.yanked") if services.files.stat(key)]


def _file(services: Services, file_name: str) -> File:
    file = _find(services, file_name)
    if file is None:  # but in the store, maybe: a deletion was broken off, or an event is on its way
        sync.sync(services.files, services.index, file_name, beside=services.beside)
        file = _find(services, file_name)
    if file is None:
        raise NotFound(f"There is no file {file_name[:200]!r} in this index.")
    return file


def reason_of(text: str) -> str:
    """One line of text, as every client shows it."""
    line = " ".join(text.split())
    if len(line) > LONGEST_REASON or not line.isprintable():
        raise BadUpload(f"A reason is a line of at most {LONGEST_REASON} printable characters.")
    return line


def _require(services: Services, actor: Actor, file_name: str) -> None:
    """:class:`Forbidden` for whoever may not decide about this file."""
    named = filename.parse_stored(file_name)
    _require_for(services, actor, named.project if named else None)


def _require_for(services: Services, actor: Actor, project: NormalizedName | None) -> None:
    try:
        services.permissions.require(actor.principal, Permission.DECIDE, project)
    except Forbidden as refusal:
        note(services.log, new("decision.refused", actor.who, project=project, reason=str(refusal)))
        raise


def _decide(services: Services, actor: Actor, key: str, text: str) -> None:
    data, who = keys.sign(text, actor.user).encode(), actor.who
    digest = distribution.sha256(data)
    with authors.named(services.state, key, digest, who):
        services.files.save(key, io.BytesIO(data), digest, overwrite=True)
        _sync(services, actor, key, who)


def _withdraw(services: Services, actor: Actor, key: str, *, noted: bool = True) -> None:
    """Remove a key. What is not ``noted`` is a part of what an event tells of already."""
    who = actor.who if noted else None
    with authors.named(services.state, key, authors.GONE, who):
        try:
            services.files.delete(key)
        finally:  # what could not be removed is there, and says so
            _sync(services, actor, key, who)


def _sync(services: Services, actor: Actor, key: str, who: Who | None) -> None:
    outcome = sync.sync(services.files, services.index, key, who=who)
    if who and who.written:
        note(services.log, *who.written)
    services.events.tell([outcome], actor)
