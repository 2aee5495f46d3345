"""An event: one change, or one refusal that matters, and who it was (REQ-O26, O27).

Events are made of what an index had under a key and what it has now, so that the same change found twice, or written
again to a new index, is one event. They hold no password, no token and no signed link.
"""

import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elasticpypi.core.model import File, Record

LONGEST = 300  # characters of a text from outside: a name, a program, a reason


@dataclass(frozen=True, slots=True)
class Who:
    """Who caused an event: a name, how it is known (``password``, ``command``, ``store``), where from and by what.

    ``program`` is the User-Agent of the request that ``request_id`` names; all three may be empty. An index adds the
    events that it has written to ``written``, if there is such a list. ``pending`` is what the state has of this for
    a key (its kind and key there): an index that lies beside the state removes it with the change, here too.
    """

    name: str
    through: str = "password"
    address: str = ""
    program: str = ""
    request_id: str = ""
    written: "list[Event] | None" = field(default=None, compare=False, repr=False)
    pending: dict[str, tuple[str, str]] = field(default_factory=dict, compare=False, repr=False)

    def as_dict(self) -> dict[str, str]:
        """Without what is empty."""
        return {name: text for name in WHO if (text := getattr(self, name))}


WHO = "name", "through", "address", "program", "request_id"
STORE = Who("store", "store")  # whoever can write to the store has no name here


@dataclass(frozen=True, slots=True)
class Event:
    """``id`` sorts by ``time`` (UTC, microseconds); ``type`` is ``<subject>.<what happened>``.

    What an event is not about is None. ``before`` and ``after`` are of a policy or a decision.
    """

    id: str
    time: str
    type: str
    who: Who
    project: str | None = None
    version: str | None = None
    filename: str | None = None
    sha256: str | None = None
    reason: str | None = None
    before: str | None = None
    after: str | None = None
    index: str = "default"

    def as_dict(self) -> dict[str, Any]:
        """For people and programs; what it is not about is left out."""
        fields = {name: value for name in self.__dataclass_fields__ if (value := getattr(self, name)) is not None}
        return {**fields, "who": self.who.as_dict()}

    def line(self) -> str:
        """For people: when, what, about what, by whom and from where, and why."""
        about = self.filename or self.project or ""
        change = f"{self.before} -> {self.after}" if self.before and self.after and "status" in self.type else ""
        place = f" from {self.who.address}" if self.who.address else ""
        rest = ", ".join(filter(None, (change, self.reason)))
        return f"{self.time[:19]}Z  {self.type:22}  {about}  by {self.who.name}{place}{rest and f': {rest}'}"

    def dump(self) -> bytes:
        """One line of JSON, without its end."""
        return json.dumps(self.as_dict(), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def load(line: bytes | str) -> Event:
    """What :meth:`Event.dump` gave; keys of a later version are left out. ValueError if it is no event."""
    fields = json.loads(line)
    if not isinstance(fields, dict) or not isinstance(fields.get("who"), dict):
        raise ValueError("no event")
    known = {name: fields[name] for name in Event.__dataclass_fields__ if name in fields}
    try:
        return Event(**{**known, "who": who_of(fields["who"])})
    except TypeError as error:
        raise ValueError("no event") from error


def who_of(fields: dict[str, str]) -> Who:
    """What :meth:`Who.as_dict` gave; keys of a later version are left out. TypeError if there is no name."""
    known: dict[str, Any] = {name: fields[name] for name in WHO if name in fields}
    return Who(**known)


def plain(who: Who) -> Who:
    """The same with texts that are cut, and without what cannot be printed."""
    return who_of({name: clean(getattr(who, name)) for name in WHO})


def new(kind: str, who: Who, **about: str | None) -> Event:
    """An event of now; texts are cut, and without what cannot be printed."""
    now = time.time()
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    cut: dict[str, Any] = {name: None if text is None else clean(text) for name, text in about.items()}
    return Event(f"{int(now * 1_000_000):014x}{secrets.token_hex(6)}", moment, kind, plain(who), **cut)


def of_change(before: "Record | None", after: "Record | None", who: Who) -> Event | None:
    """What happened when the record of a key became another one; None if that is nothing to tell of.

    A file that came by an upload is told of as that of its uploader, whoever found it first.
    """
    from elasticpypi.core.model import File  # whoever only checks passwords has no use for it

    record = after or before
    if record is None:
        return None
    if isinstance(record, File):
        return _of_file(before, after, who)
    subject = record.subject.rpartition("/")[2]
    about = {"project": str(record.project), "filename": None if record.kind == "status" else subject}
    was, now = (None if each is None or isinstance(each, File) else each.text for each in (before, after))
    if was == now:
        return None
    by = who
    if after is not None and not isinstance(after, File) and after.by and who.through == "store":
        by = Who(after.by, "store", who.address)
    match record.kind:
        case "status":
            return new("project.status_changed", by, before=was or "active", after=now or "active", **about)
        case "deleted":
            if now is None and who.through != "store":
                return None  # the same bytes were uploaded again, which is an event
            kind = "file.deleted" if now is not None else "file.undeleted"
            return new(kind, by, sha256=(now or was or "").strip(), **about)
        case kind if now is not None:
            return new(f"file.{kind}", by, reason=now, **about)
        case kind:
            return new(f"file.un{kind}", by, **about)


def _of_file(before: "Record | None", after: "Record | None", who: Who) -> Event | None:
    from elasticpypi.core.model import File

    was, now = (each if isinstance(each, File) else None for each in (before, after))
    if now is None:
        assert was is not None
        return new("file.removed", who, **_about(was))
    if was and was.sha256 == now.sha256:
        return None
    by = Who(now.uploader, who.through, who.address) if now.uploader and who.through == "store" else who
    return new("file.replaced" if was else "file.uploaded", by, before=was.sha256 if was else None, **_about(now))


def _about(file: "File") -> dict[str, str | None]:
    return {
        "project": str(file.project),
        "version": file.version,
        "filename": file.filename,
        "sha256": file.sha256,
    }


def clean(text: str) -> str:
    """In one line that can be printed, and cut where it is long."""
    plain = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"
