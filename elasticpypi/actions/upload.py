"""An uploaded file → the store and the index: bytes first, then the record (REQ-125)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

from packaging.utils import NormalizedName
from packaging.version import Version

from elasticpypi.accounts.permissions import Permission
from elasticpypi.accounts.principal import Actor
from elasticpypi.config import MEGABYTE
from elasticpypi.core import blocks, filename, keys
from elasticpypi.core.distribution import Distribution, Form, check_upload, sha256_of, warnings
from elasticpypi.core.errors import (
    AlreadyExists,
    Blocked,
    Changed,
    Forbidden,
    LoopDetected,
    NotFound,
    Refusal,
    TakenElsewhere,
    TooLarge,
    Unavailable,
)
from elasticpypi.core.event import Who, new
from elasticpypi.core.model import File, Project
from elasticpypi.core.outcome import Outcome
from elasticpypi.events import note
from elasticpypi.indexing import authors, sync
from elasticpypi.indexing.blocks import of_digest
from elasticpypi.services import Services
from elasticpypi.storage.contracts import Stat


class _Deleted(Exception):
    """The file was deleted before, and its tombstone is still there."""


ASKING = 3.0  # seconds that another index has to say whether it knows a name
Since = tuple[str, str]  # when a file was stored (``File.upload_time``), and its name


def accept(services: Services, actor: Actor, form: Form, file_name: str, content: BinaryIO) -> str:
    """Check an upload, store it, put it into the index; returns a sentence for the one who uploads.

    When this returns, every reader sees the file. The same file again is fine (REQ-112); other bytes
    under its name are :class:`AlreadyExists`, unless OVERWRITE allows them.
    """
    with noted(services, actor, file_name):
        check_size(services, file_name, content.seek(0, os.SEEK_END))
        dist = check_upload(form, file_name, content)
        options: Any = {"overwrite": services.config.overwrite, "uploader": actor.user}
        return known(services, actor, dist) or take(
            services, actor, form, dist, lambda: services.files.save(file_name, content, dist.sha256, **options)
        )


@contextmanager
def noted(services: Services, actor: Actor, file_name: str) -> Iterator[None]:
    """A refusal of an upload is an event; what has to be tried again is none."""
    try:
        yield
    except Refusal as refusal:
        if refusal.status < 500:
            named = filename.parse_stored(file_name)
            about = {"filename": file_name, "project": named.project if named else None, "reason": str(refusal)}
            note(services.log, new("file.refused", actor.who, **about))
        raise


def check_size(services: Services, file_name: str, size: int) -> None:
    """:class:`TooLarge` over MAX_UPLOAD; ``size`` in bytes."""
    limit = services.config.max_upload
    if size > limit:
        raise TooLarge(
            f"{file_name[:200]} is larger than the {limit // MEGABYTE} MB that this index takes (MAX_UPLOAD)."
        )


def known(services: Services, actor: Actor, dist: Distribution) -> str | None:
    """A sentence if this very file is in the index already; a refusal if it cannot be taken."""
    files, index = services.files, services.index
    services.permissions.require(actor.principal, Permission.UPLOAD, dist.name.project)
    if services.config.strict_names:
        filename.check_spelling(dist.name)
    project = index.project(dist.name.project)
    if project is None or not project.files:
        _check_name(services, dist.name.project)
    if project is not None:
        _check_project(project, dist)
        if there := _same_file(project, dist, services.config.overwrite):
            stat = files.stat(there.key)
            if stat and stat.revision == there.revision:
                return f"{dist.name.filename} is in the index already."
            sync.sync(files, index, there.key, beside=services.beside)  # its event is on its way
            return known(services, actor, dist)
    if block := dist.sha256 and of_digest(services.objects, dist.sha256):
        raise Blocked(blocks.sentence(dist.name.filename, block))
    return None


def take(services: Services, actor: Actor, form: Form, dist: Distribution, store: Callable[[], Stat]) -> str:
    """Have ``store`` store a checked file, as :meth:`Files.save` does, and put it into the index."""
    file_name, who = dist.name.filename, actor.who
    with authors.named(services.state, file_name, authors.of_file(dist.sha256, actor.user), who):
        _store(services, dist, store, who)
    note(services.log, *(who.written or ()))
    services.events.tell([Outcome(file_name, "written")], actor)
    return " ".join([f"{file_name} is in the index.", *warnings(form, dist)])


def _store(services: Services, dist: Distribution, store: Callable[[], Stat], who: Who) -> None:
    files, index, overwrite = services.files, services.index, services.config.overwrite
    file_name, ours = dist.name.filename, True
    try:
        stat = store()
    except AlreadyExists:
        # Not in the index yet: another upload at this moment, or put into the store directly.
        stat, ours = _check_same(services, dist), False
    try:
        # Once more at the moment of the write: another spelling of the file may have come first (REQ-116).
        since = (stat.modified.strftime(sync.TIME), file_name) if ours else None
        for last in (False, False, True):  # a deletion at the same moment may put its tombstone there again
            try:
                sync.saved(files, index, stat, dist, partial(_check_again, dist, since, last), who)
                break
            except _Deleted:
                tombstone = keys.tombstone_of(file_name)
                with authors.named(services.state, tombstone, authors.GONE, who):
                    files.delete(tombstone)  # now that its bytes are back
                    sync.sync(files, index, tombstone, who=who)
    except Refusal as refusal:
        if ours and not overwrite and not isinstance(refusal, Unavailable):
            files.delete(file_name)
            sync.sync(files, index, file_name, who=None)
        raise


def _check_name(services: Services, name: NormalizedName) -> None:
    """Whoever uploads the first file of a name that another index has takes it over for everybody here (REQ-U08)."""
    if services.first_match is None:
        return
    remedy = f"If it is ours, an administrator has to say so first: elasticpypi origin {name} private."
    try:
        reason = services.first_match.taken(name, ASKING)
    except (Unavailable, LoopDetected) as error:
        raise Unavailable(f"Nobody knows now whether {name!r} is free: {error} {remedy}") from None
    if reason:
        raise TakenElsewhere(f"The name {name!r} is not free. {reason} {remedy}")


def _check_project(project: Project, dist: Distribution, since: Since | None = None) -> None:
    """What the project allows, whatever bytes it has under this very name; ``since`` as for :func:`_check_spelling`."""
    if project.status in ("archived", "quarantined"):  # PEP 792
        raise Forbidden(f"The project {project.name!r} is {project.status}: it takes no uploads.")
    name = dist.name
    if block := blocks.of(project.blocks, str(name.version), dist.sha256):
        raise Blocked(blocks.sentence(name.filename, block))
    for deleted, sha256 in project.deleted.items():  # REQ-117
        if sha256 != dist.sha256 and _is_same(deleted, name):
            raise AlreadyExists(f"{deleted} was deleted, and its name cannot be used again: use a new version.")
    _check_spelling(project, name, since)


def _check_spelling(project: Project, name: filename.Name, since: Since | None) -> None:
    """:class:`AlreadyExists` if the file is there under another name that installers take for the same (REQ-116).

    An upload that is stored ``since`` then may be in the index before it was checked, and another one too: whoever
    follows the store was faster. Of those that are not checked yet, the first one stays.
    """
    for file in project.files:
        if file.filename == name.filename or Version(file.version) != name.version:
            continue
        if _is_same(file.filename, name):
            if since and not file.checked and (file.upload_time, file.filename) > since:
                continue
            raise AlreadyExists(
                f"This file already exists as {file.filename!r}: for installers the two names mean the same file."
            )


def _check_again(dist: Distribution, since: Since | None, last: bool, project: Project) -> None:
    """At the moment of the write. What is ours and in the index already was not deleted or archived before it came."""
    there = any(file.filename == dist.name.filename and file.sha256 == dist.sha256 for file in project.files)
    if since and there:
        _check_spelling(project, dist.name, since)
    else:
        _check_project(project, dist, since)
    if dist.name.filename in project.deleted and not last:
        raise _Deleted


def _is_same(file_name: str, name: filename.Name) -> bool:
    other = filename.parse_stored(file_name)
    return other is not None and other.identity == name.identity


def _same_file(project: Project, dist: Distribution, overwrite: bool) -> File | None:
    """The file that has these very bytes under this name; :class:`AlreadyExists` if it has others."""
    for file in project.files:
        if file.filename == dist.name.filename:
            if file.sha256 == dist.sha256:
                return file
            if not overwrite:
                raise AlreadyExists(_exists(dist.name.filename))
    return None


def _check_same(services: Services, dist: Distribution) -> Stat:
    """What the store has under this name, if it is the same bytes; :class:`AlreadyExists` if not."""
    stat = services.files.stat(dist.name.filename)
    found = stat and stat.sha256
    if stat and not found:
        try:
            with services.files.open(stat) as content:
                found = sha256_of(content)
        except NotFound:
            stat = None
    if stat is None:
        raise Changed(f"{dist.name.filename!r} was removed at the same moment: upload it again.")
    if found != dist.sha256:
        raise AlreadyExists(_exists(dist.name.filename))
    return stat


def _exists(file_name: str) -> str:
    return f"File already exists: {file_name} has other content in this index. Use a new version."
