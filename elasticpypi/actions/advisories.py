"""Advisories: loaded from what somebody brought, without a network; and which malware is let in all the same."""

import json
import os
import stat
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from elasticpypi.accounts.principal import Actor
from elasticpypi.actions.decisions import reason_of
from elasticpypi.actions.policy import require
from elasticpypi.core import advisories
from elasticpypi.core.advisories import KEY, NONE, About, Acceptance, Advisories, BadRecord, BadTable, Collected
from elasticpypi.core.errors import BadUpload, NotFound
from elasticpypi.core.event import Event, load, new
from elasticpypi.core.moments import text_of
from elasticpypi.core.ruling import NOTHING, Ruling
from elasticpypi.indexing.rulings import rule
from elasticpypi.services import Services

LARGEST = 32 * 1024 * 1024  # bytes of a file in which records are
MOST = 1_000_000  # files


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded, what was there ``before``, and whether that is something else; ``others`` were left out."""

    about: About
    before: About | None
    changed: bool
    others: int


def load_all(services: Services, actor: Actor, paths: Iterable[Path], *, fewer: bool = False) -> Loaded:
    """Have the records at these paths be the advisories from now on, in the place of all that were there.

    :class:`BadUpload` if one cannot be read, or if there are less than half as many as before and not ``fewer``.
    Nothing changes then. :class:`Changed` if somebody else loads others at the same moment.
    """
    require(services, actor)
    stored = services.objects.read(KEY)
    before = _readable(stored.body if stored else None)
    collected, others, now = Collected(), 0, time.time()
    for place, body in _files(paths):
        try:
            for record in _records(body):
                others += not collected.add(record, now)
        except BadRecord as error:
            raise BadUpload(f"{place} is no OSV record of an advisory: {error}. Nothing was loaded.") from None
    found = collected.about()
    if not found.records:
        raise BadUpload(
            f"There is no advisory about {advisories.ECOSYSTEM} in it: give records in the format of OSV, as a file, a "
            "folder or a zip. Nothing was loaded."
        )
    if before.about and found.records * 2 < before.about.records and not fewer:
        raise BadUpload(
            f"There are {found.records} advisories in it, and {before.about.records} were loaded before: say --fewer "
            "if that is right. Nothing was loaded."
        )
    newest = found.newest or text_of(now)
    if before.about and before.mark == found.digest:
        if told := _event(before.about):  # whoever got no answer does it again, and its event may be missing
            services.log.append([told])
        return Loaded(before.about, before.about, False, others)
    event = new(
        "advisories.loaded",
        actor.who,
        reason=f"{found.records} records, {found.malware} of malware",
        before=before.about.newest if before.about else None,
        after=newest,
    )
    about = replace(found, newest=newest, loaded=event.time, by=event.who.name, event=event.as_dict())
    services.objects.write(KEY, collected.dump(about), stored.revision if stored else None)
    services.log.append([event])
    return Loaded(about, before.about, True, others)


def current(services: Services) -> tuple[About | None, str]:
    """What was loaded, None if nothing was; and what is to be known of it: a sentence, or ""."""
    stored = services.objects.read(KEY)
    try:
        about = advisories.load(stored.body).about if stored else None
    except BadTable as error:
        return None, str(error)
    return about, advisories.too_old(about, time.time()) if about else ""


def accept(services: Services, actor: Actor, record: str, digest: str, reason: str) -> Acceptance:
    """Let in a file although a record says that it is malware. It acts within a second. Again: another reason.

    :class:`NotFound` if no such record was loaded.
    """
    target = advisories.acceptance(record, digest)
    require(services, actor)
    if not (said := reason_of(reason)):
        raise BadUpload("An acceptance needs a reason: it is what everybody is told who asks why the file is there.")
    stored = services.objects.read(KEY)
    projects = _readable(stored.body if stored else None).projects_of(target.record)
    if not projects:
        raise NotFound(f"There is no advisory {target.record} here: elasticpypi why NAME says which record it is.")
    _rule(services, actor, target, "policy.accepted", Ruling(target.record, said), projects[0])
    return target


def unaccept(services: Services, actor: Actor, record: str, digest: str) -> Acceptance:
    """Take that back; :class:`NotFound` if it is not accepted."""
    target = advisories.acceptance(record, digest)
    require(services, actor)
    if services.objects.revision(target.key) is None:
        raise NotFound(f"{target} is not accepted.")
    _rule(services, actor, target, "policy.unaccepted", NOTHING)
    return target


def _rule(
    services: Services, actor: Actor, target: Acceptance, kind: str, said: Ruling, project: str | None = None
) -> None:
    event = new(kind, actor.who, project=project, sha256=target.sha256, reason=said.reason or None)
    rule(services.objects, services.log, target.key, said, event)


def _readable(body: bytes | None) -> Advisories:
    """What was loaded before, as far as it can be read: what cannot is replaced."""
    try:
        return advisories.load(body) if body else NONE
    except BadTable:
        return NONE


def _event(about: About) -> Event | None:
    try:
        return load(json.dumps(about.event))
    except ValueError:
        return None


def _records(body: bytes) -> list[object]:
    """The records of a file: one, or a list of them; :class:`BadRecord` if it is no JSON."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRecord("it is not JSON") from None
    return found if isinstance(found, list) else [found]


def _files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """The files with records at some paths, one after the other, and how they are called."""
    count = 0
    for path in paths:
        try:
            for found in _of_path(path):
                count += 1
                if count > MOST:
                    raise BadUpload(f"There are more than {MOST:,} files in it. Nothing was loaded.")
                yield found
        except OSError as error:
            place = error.filename or path
            reason = (error.strerror or str(error)).lower()
            raise BadUpload(f"{place} cannot be read: {reason}. Nothing was loaded.") from None


def _of_path(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for folder, folders, names in os.walk(path, onerror=_raise):
            folders.sort()
            for name in sorted(names):
                if name.endswith(".json"):
                    yield f"{folder}/{name}", _read(Path(folder, name))
    elif path.is_file() and zipfile.is_zipfile(path):
        yield from _of_zip(path)
    else:
        yield str(path), _read(path)


def _read(path: Path) -> bytes:
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BadUpload(f"{path} is no file. Nothing was loaded.")
        return _whole(str(path), file.read(LARGEST + 1))


def _of_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    name = ""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".json"):
                    name = f" at {entry.filename}"
                    with archive.open(entry) as file:
                        yield f"{path}: {entry.filename}", _whole(entry.filename, file.read(LARGEST + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError):
        raise BadUpload(f"{path} is damaged{name}, or no zip that can be read here. Nothing was loaded.") from None


def _whole(name: str, body: bytes) -> bytes:
    if len(body) > LARGEST:
        raise BadUpload(
            f"{name} has more than {LARGEST >> 20} MB: a zip has a file for each record. Nothing was loaded."
        )
    return body


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe that nobody writes to has no end


def _raise(error: OSError) -> None:
    raise error
