"""What is read, and until when it is known to be true.

Views, the JSON API, pages and the response cache read through a :class:`Repository`, never an index. Who reads is
asked for each time: what a reader may not see is as if it were not there.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from packaging.utils import NormalizedName

from elasticpypi.accounts.principal import Principal
from elasticpypi.core.event import Event
from elasticpypi.core.model import File, Project

if TYPE_CHECKING:
    from elasticpypi.core.about import About


@dataclass(frozen=True, slots=True)
class State:
    """Of what a page is made now. Two pages of one ``version`` are the same for one reader.

    ``fresh_until`` is the moment (seconds since 1970, UTC) from which on the clock alone may make another page of it;
    None: it never does. ``serial`` is what clients are told of (``X-PyPI-Last-Serial``, REQ-155).
    """

    version: str
    serial: int
    fresh_until: float | None = None


class Repository(Protocol):
    """Projects and files as a reader may see them. :class:`Unavailable` if they cannot be had now."""

    def state(self, reader: Principal, name: NormalizedName | None) -> State | None:
        """Of a project, None if it is none; of the root list for None. One cheap read: what an answer of 304 costs."""

    def ready(self, reader: Principal, name: NormalizedName) -> None:
        """Wait for what another index says of a project, if it has to be asked: the calls after this one do not."""

    def projects(self, reader: Principal) -> tuple[State, list[NormalizedName]]:
        """The root list: all projects with a file, sorted."""

    def project(self, reader: Principal, name: NormalizedName) -> tuple[State, Project] | None:
        """A project with its files, None if it is none, or has none; one that is blocked says so without any."""

    def file(self, reader: Principal, name: NormalizedName, filename: str) -> File | None:
        """The file that ``filename`` means now; None if there is none or the project is quarantined.

        :class:`Blocked` if it is.
        """

    def metadata(self, reader: Principal, name: NormalizedName, filename: str) -> tuple[File, bytes] | None:
        """What :meth:`file` gives, and its core metadata file; None if there is no such file or no metadata."""

    def recent(self, reader: Principal, name: NormalizedName, most: int) -> list[Event]:
        """The last events of a project, the newest first."""

    def about(
        self, reader: Principal, name: NormalizedName, filename: str, *, text: bool = False
    ) -> "tuple[About, str]":
        """What the core metadata of a file say of its release and, if ``text`` is wanted, its description."""
