"""Upload sessions: a large file that its client puts into the store in parts, then checked, then shown.

::

    .uploads/<id>          the file, once its parts were joined; nobody is served what is hidden
    .uploads/<id>.session  what was announced: form, file name, size, and the store's id of the upload
    .uploads/<id>.result   what became of it

``<id>`` is made of all that is announced, and by whom: who announces the same again goes on where it broke, and
nobody else meets them. Of several who announce one file name, the first whose file is whole has it.
What is left of these after some days the store removes by itself (``serverless.yml``).
"""

import io
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticpypi.accounts.principal import Actor, Principal
from elasticpypi.actions import upload
from elasticpypi.core.distribution import Form, announced, check_upload, sha256
from elasticpypi.core.errors import BadUpload, Changed, NotFound, Refusal, TooLarge, Unavailable
from elasticpypi.core.event import Who
from elasticpypi.core.keys import is_staged
from elasticpypi.core.outcome import Outcome
from elasticpypi.indexing import authors
from elasticpypi.services import Services
from elasticpypi.storage.contracts import Files, Staging, Stat

FOLDER = ".uploads/"
PART = 64 * 1024 * 1024  # bytes
# A request to a Lambda has 6 MB with base64 in it (AWS: Lambda quotas); a README in the form needs some of it.
DIRECT = 4_000_000
LARGEST = 5 * 1024**3  # bytes (AWS: UploadPartCopy)
JOINED = "joined"  # what a key is whose parts were
STALE = timedelta(hours=1)  # the check of 5 GB takes minutes
CLAIM = timedelta(minutes=1)  # for which one who begins an upload keeps others from it
LOOKS = 20  # of those others, a quarter of a second apart

State = dict[str, Any]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """What was announced, and by whom; ``size`` in bytes, ``upload`` the store's id of the parts."""

    form: Mapping[str, list[str]]
    file_name: str
    size: int
    uploader: str
    upload: str

    def part_size(self, number: int) -> int:
        return min(PART, self.size - (number - 1) * PART)

    @property
    def numbers(self) -> range:
        return range(1, -(-self.size // PART) + 1)


def announce(services: Services, actor: Actor, form: Form, file_name: str, size: int) -> State:
    """A file is to come: what can be checked without it is, and the answer says where to put it.

    ``direct``: as an ordinary upload. ``open``: the links of the parts that are missing. ``done``: it is
    there already. ``checking``: all parts are there. Refused as an upload would be.
    """
    dist = announced(form, file_name, size)
    if size < 1:
        raise BadUpload(f"{file_name[:200]!r} is empty.")
    upload.check_size(services, file_name, size)
    if message := upload.known(services, actor, dist):
        return {"state": "done", "message": message}
    staging = services.staging
    if staging is None or size <= DIRECT:
        return {"state": "direct"}
    if size > LARGEST:
        raise TooLarge(f"{file_name[:200]} is larger than 5 GB: S3 cannot copy it at once.")
    fields = {name: list(values) for name, values in form.items()}
    session = Session(fields, file_name, size, actor.user, "")
    session_id = sha256(json.dumps(asdict(session), sort_keys=True).encode())
    key = f"{FOLDER}{session_id}"
    for look in range(LOOKS):
        if look:
            time.sleep(0.25)
        stat = services.files.stat(f"{key}.session")
        there = _session(services.files, session_id) if stat else None
        if there and there.upload and not _over(services, staging, there, key):
            return state(services, actor, session_id)
        if there and stat and not there.upload and stat.modified > datetime.now(UTC) - CLAIM:
            continue  # somebody is about to begin it
        if staging.claim(f"{key}.session", _bytes(asdict(session)), stat.revision if stat else None):
            try:
                services.files.delete(f"{key}.result")
                begun = replace(session, upload=staging.begin(key))
                _save(services.files, f"{key}.session", asdict(begun))
            except Refusal:
                with suppress(Refusal):  # else the next one waits until the claim is old
                    services.files.delete(f"{key}.session")
                raise
            return state(services, actor, session_id)
    raise Unavailable("The same file is being announced at this moment: try again.")


def state(services: Services, actor: Actor, session_id: str) -> State:
    """``open`` with links for what is missing, ``checking``, ``done`` or ``refused``.

    :class:`NotFound` if this actor has announced no such thing.
    """
    return _state(services, *_open(services, actor, session_id), session_id)


def _open(services: Services, actor: Actor, session_id: str) -> tuple[Staging, Session]:
    """A session, and where its parts are; :class:`NotFound` if this actor has announced no such thing."""
    session = _session(services.files, session_id) if is_staged(f"{FOLDER}{session_id}") else None
    if session is None or services.staging is None or session.uploader != actor.user:
        raise NotFound("There is no such upload: announce it again.")
    return services.staging, session


def _state(services: Services, staging: Staging, session: Session, session_id: str) -> State:
    key = f"{FOLDER}{session_id}"
    if result := _load(services.files, f"{key}.result"):
        return result
    if not session.upload:
        raise Unavailable("The upload is being begun at this moment: try again.")
    parts = staging.parts(key, session.upload)
    if parts is None:
        return {"state": "checking", "id": session_id}
    missing = [number for number in session.numbers if parts.get(number) != session.part_size(number)]
    links = {str(number): staging.link(key, session.upload, number) for number in missing}
    return {"state": "open", "id": session_id, "part_size": PART, "missing": links}


def complete(services: Services, actor: Actor, session_id: str) -> State:
    """All parts are there: they are joined, and :func:`finish` is called with the event of that."""
    staging, session = _open(services, actor, session_id)
    now = _state(services, staging, session, session_id)
    if now["state"] != "open" or now["missing"]:
        return now
    authors.put(services.state, f"{FOLDER}{session_id}", JOINED, actor.who)  # for whoever checks it
    staging.join(f"{FOLDER}{session_id}", session.upload)
    return {"state": "checking", "id": session_id}


def finish_all(services: Services, keys: Iterable[str]) -> Iterator[Outcome]:
    """:func:`finish` for many keys; one that fails is logged and does not stop the others."""
    for key in keys:
        try:
            yield finish(services, key)
        except Exception as error:
            log.exception("the check of %r failed", key)
            yield Outcome(key, "failed", f"{type(error).__name__}: {error}")


def finish(services: Services, key: str) -> Outcome:
    """Check a staged file as every upload, and copy it to where it is seen, or refuse it.

    Again for the same key: nothing more happens. :class:`Unavailable` or :class:`NotFound` if it has to be tried again.
    """
    files, staging = services.files, services.staging
    staged = files.stat(key)
    session = _session(files, key.removeprefix(FOLDER))
    if staged is None or session is None or staging is None:
        return Outcome(key, "unchanged")
    try:
        result: State = {"state": "done", "message": _take(services, staging, session, staged)}
    except Unavailable:
        raise
    except Refusal as refusal:
        if files.stat(key) is None:  # the same event came twice, and the other was faster
            return Outcome(key, "unchanged")
        if isinstance(refusal, NotFound):  # says nothing about the file
            raise
        result = {"state": "refused", "status": refusal.status, "message": str(refusal)}
    _save(files, f"{key}.result", result)
    files.delete(key)
    return Outcome(key, "written" if result["state"] == "done" else "ignored", result["message"])


def _take(services: Services, staging: Staging, session: Session, staged: Stat) -> str:
    options: Any = {"overwrite": services.config.overwrite, "uploader": session.uploader}
    with authors.author(services.state, staged.key, JOINED, Who(session.uploader)) as who:
        actor = _actor(who) if who and who.name == session.uploader else Actor(Principal(session.uploader))
        with upload.noted(services, actor, session.file_name):
            with services.files.open(staged) as content:
                dist = check_upload(session.form, session.file_name, content)
            return upload.known(services, actor, dist) or upload.take(
                services, actor, session.form, dist, lambda: staging.promote(staged, session.file_name, **options)
            )


def _actor(who: Who) -> Actor:
    return Actor(Principal(who.name, who.through), who.address, who.program, who.request_id)


def _over(services: Services, staging: Staging, session: Session, key: str) -> bool:
    """Whether a session has ended, or hangs, so that the same file has to begin anew."""
    if services.files.stat(f"{key}.result"):
        return True
    if staging.parts(key, session.upload) is not None:
        return False
    staged = services.files.stat(key)
    return staged is None or staged.modified < datetime.now(UTC) - STALE


def _session(files: Files, session_id: str) -> Session | None:
    data = _load(files, f"{FOLDER}{session_id}.session")
    return None if data is None else Session(**data)


def _save(files: Files, key: str, data: State) -> None:
    body = _bytes(data)
    files.save(key, io.BytesIO(body), sha256(body), overwrite=True)


def _bytes(data: State) -> bytes:
    return json.dumps(data).encode()


def _load(files: Files, key: str) -> State | None:
    for _ in range(LOOKS):
        stat = files.stat(key)
        if stat is None:
            return None
        with suppress(NotFound, Changed), files.open(stat) as content:  # it is being replaced
            data: State = json.loads(content.read())
            return data
    raise Unavailable("The state of the upload keeps changing: try again.")
