"""The interfaces of what lies somewhere: Files (bytes by key), Index (what is there), Catalog, Staging and the rest.

Their docstrings are the contract, ``tests/contracts`` proves it on every implementation:
``local`` (a folder and SQLite) and ``aws`` (S3 and DynamoDB). Where an implementation cannot be
reached it raises :class:`~elasticpypi.core.errors.Unavailable`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from packaging.utils import NormalizedName

from elasticpypi.core.event import Event, Who
from elasticpypi.core.model import File, Project, Record

if TYPE_CHECKING:
    from elasticpypi.core.about import Some
    from elasticpypi.core.search_entry import Counts, Entry, Found

# Cache-Control of files: one URL means the same bytes for ever (REQ-67), or as long as nobody overwrites them.
FOR_EVER, ANEW = "private, max-age=31536000, immutable", "private, no-cache"


@dataclass(frozen=True, slots=True)
class Stat:
    """What a store knows about one key without reading it.

    ``revision`` is opaque and differs whenever the bytes do. ``sha256`` (lower-case hex) and ``uploader``
    are None where the store has none at hand. ``outside`` says of a link that it leads out of the store, so that
    its bytes may be anything.
    """

    key: str
    size: int
    revision: str
    modified: datetime
    sha256: str | None = None
    uploader: str | None = None
    outside: bool = False


class Files(Protocol):
    """Bytes by key; keys are relative POSIX paths without ``.`` or ``..``."""

    def save(
        self, key: str, source: BinaryIO, sha256: str, *, overwrite: bool = False, uploader: str | None = None
    ) -> Stat:
        """Store the bytes of ``source`` (seekable, read from its start) durably, whole or not at all.

        ``sha256`` is the digest of the bytes, lower-case hex. Without ``overwrite`` an existing key is
        left as it is and :class:`AlreadyExists` is raised, also when two callers race: one wins. The answer
        is of these very bytes, even if somebody has replaced them since. ``uploader`` is kept with the bytes
        where the store can do that.
        """

    def open(self, what: Stat | File) -> BinaryIO:
        """A seekable reader of the very bytes that ``what`` tells of, by its key and revision. The caller closes it.

        :class:`NotFound` if the key is gone, :class:`Changed` if it has other bytes now: raised here or by a
        later read, which may also go on with the bytes as they were.
        """

    def stat(self, key: str) -> Stat | None:
        """What is known about a key, None if there is none."""

    def delete(self, key: str) -> None:
        """Remove a key; nothing happens if there is none."""

    def empty(self, key: str) -> None:
        """Give the room of a key back, where there is an end to it, and keep its name taken."""

    def list(self) -> Iterator[Stat]:
        """Every key, in any order and in bounded memory; ``sha256`` and ``uploader`` may be None in all of them."""

    def url(self, file: File) -> str | None:
        """Where a client can fetch the file without credentials for a while; None: serve the bytes."""

    def check(self) -> None:
        """:class:`Unavailable` if the store cannot be read."""


class Staging(Protocol):
    """Where clients put the parts of a large file themselves; nobody sees it there."""

    def claim(self, key: str, body: bytes, revision: str | None) -> bool:
        """Put a small key in the place of the one with this revision, None: of none; False if somebody was faster."""

    def begin(self, key: str) -> str:
        """Begin an upload of parts to a key; its id."""

    def parts(self, key: str, upload: str) -> dict[int, int] | None:
        """Number (from 1) and size in bytes of the parts that are there; None once they were joined."""

    def link(self, key: str, upload: str, number: int) -> str:
        """Where a part can be PUT without credentials for a while, again if need be."""

    def origin(self) -> str:
        """Scheme and host of all these links, as a page has to name them that puts something there."""

    def join(self, key: str, upload: str) -> None:
        """Make one file of the parts; nothing happens if that was done already."""

    def promote(self, staged: Stat, key: str, *, overwrite: bool = False, uploader: str | None = None) -> Stat:
        """Copy a file within the store, as :meth:`Files.save` saves: :class:`AlreadyExists` if the key is taken."""


Check = Callable[[Project], None]
Look = Callable[[], None]


class IndexReader(Protocol):
    """What is read of an index for those who ask. Reads see every write that returned before, from every process."""

    def projects(self) -> tuple[int, list[NormalizedName]]:
        """The serial of the root list, and all projects with a file, sorted.

        The serial grows when a project appears or disappears.
        """

    def project(self, name: NormalizedName) -> Project | None:
        """A project with its files, None if it never had a record."""

    def serial(self, name: NormalizedName | None) -> int | None:
        """The serial of a project, None if it never had a record; of the root list for None.

        One cheap read: what an answer of 304 costs.
        """

    def file(self, name: NormalizedName, filename: str) -> File | None:
        """The file that ``filename`` means now; None if there is none or the project is quarantined.

        ``yanked`` is not filled in: a yanked file can be downloaded (PEP 592). ``blocked`` is.
        """

    def metadata(self, name: NormalizedName, filename: str) -> tuple[File, bytes] | None:
        """What :meth:`file` gives, and its core metadata file; None if there is no such file or no metadata."""

    def about(
        self, name: NormalizedName, filename: str, *, metadata: bool = False
    ) -> tuple[File, bytes | None, bytes | None] | None:
        """What :meth:`file` gives, what is kept of its core metadata for pages, and these too if they are wanted.

        Either is None if there is none. It costs what :meth:`metadata` does.
        """

    def recent(self, name: NormalizedName, most: int) -> list[Event]:
        """The last events of a project, the newest first; those of a rebuilt index begin anew."""

    def check(self) -> None:
        """:class:`Unavailable` if the index cannot be read."""


class IndexWriter(Protocol):
    """What keeps an index in step with the store: its records, by key."""

    def record(self, name: NormalizedName, key: str) -> Record | None:
        """The record of one key, whatever the status of the project; None if there is none."""

    def record_and_tombstone(self, name: NormalizedName, key: str) -> tuple[Record | None, Record | None]:
        """What :meth:`record` gives for a key and for ``<key>.deleted``, at the cost of one."""

    def put(
        self,
        record: Record,
        metadata: bytes | None = None,
        check: Check | None = None,
        look: Look | None = None,
        about: bytes | None = None,
        who: Who | None = None,
    ) -> bool:
        """Add or replace the record of its key, whole or not at all; the project takes a new serial.

        ``metadata`` and ``about`` (``about.dump``) are kept beside it. With ``who``, the event of the change
        (``event.of_change``) is written in the same transaction: it is in the :meth:`outbox` then, and in
        ``who.written``. What the state has of this change, ``who.pending``, goes with it if it lies in the same place.

        False, and no new serial, if the very same record is there already. ``check`` is called with the
        project as it is at the moment of the write. ``look`` is called if something is to be written, and
        again if anybody changed the project before it was written. Nothing is written if one of them
        raises; neither may use the index.
        """

    def remove(self, name: NormalizedName, key: str, look: Look | None = None, who: Who | None = None) -> bool:
        """Remove the record of a key; False if there is none. The project keeps its serial and takes a new one.

        ``look`` and ``who`` as for :meth:`put`.
        """

    def is_whole(self) -> bool:
        """Whether everything in the store was in this index once, since it was made: what it lacks is news then."""

    def mark_whole(self) -> None:
        """From now on :meth:`is_whole`."""

    def outbox(self) -> list[Event]:
        """The oldest events that nobody has told to be :meth:`settled`, a thousand at most."""

    def settled(self, events: Iterable[Event]) -> None:
        """These events lie in their lasting place (:class:`EventLog`)."""

    def records(self) -> Iterator[Record]:
        """Every record, in any order and in bounded memory."""


class Index(IndexReader, IndexWriter, Protocol):
    """The records of all keys, by project. It can be thrown away and rebuilt from the store."""


class Catalog(Protocol):
    """The entries of all projects, for people who search and browse. Reads may be a moment behind."""

    def serial(self, name: NormalizedName) -> int | None:
        """The serial of the project that was last :meth:`replace`\\ d, None if it never was."""

    def replace(self, name: NormalizedName, serial: int, entry: "Entry | None") -> None:
        """Replace the entry of a project, None: remove it; nothing happens if there is one of a later serial."""

    def stale(self) -> Iterator[NormalizedName]:
        """Projects whose entry is not of the serial that they have in the index."""

    def entries(self, names: list[NormalizedName]) -> "list[Entry]":
        """The entries of these projects, in this order, without those that have none."""

    def search(self, text: str, start: int, count: int) -> "Found":
        """Projects with a word that begins with each word of ``text``, in the order of ``search_entry.rank``.

        All projects by name for a text without words. ``start`` of them are skipped, ``count`` at most given.
        """

    def newest(self, count: int) -> "list[Entry]":
        """The projects with the newest releases, newest first."""

    def dependents(self, name: NormalizedName, most: int) -> "Some[NormalizedName]":
        """The first projects that require this one, by name, and about how many more there are."""

    def counts(self) -> "Counts":
        """How many projects, releases and files there are."""

    def readme(self, digest: str) -> bytes | None:
        """What was kept of a README under a digest; None if there is nothing, or nothing any more."""

    def keep_readme(self, digest: str, body: bytes) -> None:
        """Keep 350,000 bytes at most under a digest, in place of what is there; what is oldest goes after a while."""


class EventLog(Protocol):
    """Where events lie for good, one after the other. Nothing here is ever changed or removed."""

    def missing(self) -> str:
        """ "" or why nothing can be written for now, and the remedy: for people, when a process starts."""

    def append(self, events: Iterable[Event]) -> None:
        """Write events durably, each of them once however often it is given."""

    def read(self, after: str = "", most: int = 100) -> list[Event]:
        """Events that were written after the one with this id, "": from the first on; the oldest first."""


class State(Protocol):
    """What may be lost: sessions, counters, leases, queues. Values are small, and expire after some seconds."""

    def get(self, kind: str, key: str) -> bytes | None:
        """A value, None if there is none, or none any more."""

    def put(self, kind: str, key: str, value: bytes, seconds: float) -> None:
        """Keep a value in the place of the one that is there."""

    def claim(self, kind: str, key: str, value: bytes, seconds: float) -> bool:
        """The same if there is none, or this very one: of several who claim a key, one gets it, until it expires."""

    def add(self, kind: str, key: str, number: int, seconds: float) -> int:
        """Add to a number, which begins with 0 and expires some seconds after its beginning; what it is now."""

    def remove(self, kind: str, key: str) -> bool:
        """Remove a value; whether there was one: of several who remove it, one is told so."""


class Fetched(NamedTuple):
    """A user at an address had a file. ``version`` is canonical, ``upstream`` the other index it is of, "" ours."""

    project: NormalizedName
    version: str
    filename: str
    upstream: str
    user: str
    address: str


class Downloads(Protocol):
    """Who fetched which file, to the day (UTC). It may be lost; what is older than 90 days is."""

    def add(self, day: date, fetched: Iterable[Fetched]) -> None:
        """Record these for a day; nothing happens for those that are."""

    def of(self, project: NormalizedName, version: str) -> list[tuple[Fetched, date, date]]:
        """Who fetched files of a release, with the first and the last day, by file, user and address."""


@dataclass(frozen=True, slots=True)
class Object:
    """A small object as it was read; ``revision`` is opaque, and another one whenever it was written."""

    body: bytes
    revision: str


ANY = "*"  # in the place of a revision: whatever is there, if anything is


class Objects(Protocol):
    """What lasts beside the packages: small objects by key, each of which is written and read whole.

    Keys are relative POSIX paths; no part of them begins with a dot. An object has 100 kB at most, by those who write;
    the table of advisories has some megabytes.
    """

    def read(self, key: str) -> Object | None:
        """The object of a key, None if there is none."""

    def revision(self, key: str) -> str | None:
        """The revision of a key without reading it, None if there is none."""

    def write(self, key: str, body: bytes, over: str | None) -> str:
        """Write an object durably in the place of the one with the revision ``over``; its own revision.

        None: only if there is none, :data:`ANY`: whatever is there. :class:`Changed` if something else is there, also
        when two callers race: one wins.
        """

    def remove(self, key: str) -> None:
        """Remove a key durably; nothing happens if there is none."""

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin with a prefix, sorted."""

    def mark(self, prefix: str) -> str | None:
        """Equal to another mark if nothing below ``prefix``, which ends in "/", was written or removed in between.

        None: that is not known now, as it may be just after a change.
        """


class Incoming(Protocol):
    """A file of another index that is coming; one process alone writes to it."""

    def write(self, chunk: bytes) -> None:
        """Append bytes, which others may read at once (:meth:`UpstreamStore.growing`)."""

    def keep(self) -> None:
        """That is all of it, and it is right: durably, whole or not at all."""

    def drop(self) -> None:
        """Forget it."""


class KeptFile(NamedTuple):
    """A file of another index that is kept; ``used`` is when it came or was used last, in seconds since 1970."""

    sha256: str
    size: int
    used: float


class UpstreamStore(Protocol):
    """What is kept of other indexes: pages by name, files by digest. All of it may be gone at any time."""

    def page(self, index: str, name: NormalizedName) -> bytes | None:
        """What is kept of a project's page, None if nothing is."""

    def keep_page(self, index: str, name: NormalizedName, body: bytes) -> None:
        """Keep a page in the place of the one that is there."""

    def drop_page(self, index: str, name: NormalizedName) -> None:
        """Forget a page."""

    def pages(self, index: str) -> Iterator[NormalizedName]:
        """The projects whose page is kept, in any order."""

    def turn(self, index: str, name: NormalizedName) -> Incoming | None:
        """The turn to ask for a page, until it is dropped; None while somebody else has it, who has not ended."""

    def size(self, sha256: str) -> int | None:
        """The bytes of a file that is kept, None if it is not."""

    def open(self, sha256: str, *, is_use: bool = True) -> BinaryIO | None:
        """A seekable reader of a file that is kept, None if it is not. It reads on if the file is removed meanwhile.

        If it ``is_use``, the file goes later than others (:meth:`tidy`).
        """

    def every_file(self) -> Iterator[KeptFile]:
        """All files that are kept, in any order."""

    def begin(self, sha256: str) -> Incoming | None:
        """Begin to keep a file; None while somebody else is at it. A process that ends has given up."""

    def growing(self, sha256: str) -> BinaryIO | None:
        """A reader of what has come so far of a file, None if nobody is at it."""

    def free(self) -> int:
        """How many bytes there is room for."""

    def tidy(self, room: int) -> int:
        """Remove files and pages that were used least recently until the rest has ``room`` bytes; how many were."""
