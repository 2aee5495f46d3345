"""What everything works with: the store, the index, and what is made of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName

from elasticpypi.accounts.permissions import Permissions
from elasticpypi.config import Config
from elasticpypi.events import Events, Subscriber, notes_malware
from elasticpypi.repository.base import Repository
from elasticpypi.repository.stored import Stored
from elasticpypi.storage.contracts import (
    Catalog,
    Downloads,
    EventLog,
    Files,
    Index,
    Objects,
    Staging,
    State,
    UpstreamStore,
)

if TYPE_CHECKING:
    from elasticpypi.accounts.form_tokens import FormTokens
    from elasticpypi.indexing.sync import Beside
    from elasticpypi.repository.advisories import CurrentAdvisories
    from elasticpypi.repository.current_policy import CurrentPolicy
    from elasticpypi.repository.first_match import FirstMatch
    from elasticpypi.repository.kept import Kept
    from elasticpypi.repository.rulings import CurrentRulings
    from elasticpypi.upstream.upstreams import Upstreams

POLICY_SECONDS = (0.5, 1.0)  # after which the document is looked at again: on one machine, on AWS
ADVISORY_SECONDS = (0.5, 60.0)  # the same for advisories, of which new ones come once a day


@dataclass(frozen=True)
class Services:
    """What the views, the functions and the commands work with; ``wiring`` makes it.

    ``open_catalog`` is called when the catalog is first asked for, which no installer does. ``subscribers`` are who
    would be told of changes by a process for which nobody waits; ``events`` tells those of this one. ``staging`` is
    there where requests are too small for a large file: behind API Gateway. ``threads`` is how many keys are best
    looked at together: more than one where each call is a wait. ``behind`` gives "" or why the index may differ
    from the store, where a process follows it. ``log`` is where events lie for good, ``state`` what may be lost,
    ``objects`` where decisions lie that are about no file: names, policy, accounts. ``spool`` is the folder where
    uploads wait, None: that of the system. ``root_link`` gives where the root list of a serial can be fetched
    without us, None: nowhere. ``claim`` makes sure that the index is that of the store, or goes over to it from
    another one of this name ("" none): :class:`ConfigurationError` if not. ``open_upstream`` opens what is kept of
    other indexes, where these can be asked, ``open_downloads`` who fetched which file, where that is recorded.
    ``serves`` is False for a command: another index that it cannot ask may be in no trouble for those who serve.
    """

    config: Config
    files: Files
    index: Index
    open_catalog: Callable[[], Catalog] = field(repr=False)
    log: EventLog = field(repr=False)
    state: State = field(repr=False)
    objects: Objects
    staging: Staging | None = None
    threads: int = 1
    behind: Callable[[], str] | None = None
    spool: Path | None = None
    root_link: Callable[[int], str | None] = lambda serial: None
    claim: Callable[[str], None] = lambda moved_from: None
    open_upstream: "Callable[[], UpstreamStore] | None" = field(default=None, repr=False)
    open_downloads: Callable[[], Downloads] | None = field(default=None, repr=False)
    subscribers: tuple[Subscriber, ...] = ()
    events: Events = field(default_factory=Events)
    serves: bool = True

    @property
    def beside(self) -> "Beside":
        """What a follower asks about news."""
        from elasticpypi.indexing.sync import Beside  # which no reader needs

        return Beside(self.state, self.objects)

    @cached_property
    def catalog(self) -> Catalog:
        """What people search."""
        return self.open_catalog()

    @cached_property
    def permissions(self) -> Permissions:
        """Who may do what."""
        return Permissions(self.config.admins)

    @cached_property
    def repository(self) -> Repository:
        """What is read by installers and people."""
        return self.first_match or self.stored

    @cached_property
    def stored(self) -> Repository:
        """What is read of the packages that are here."""
        return Stored(self.index, self.permissions)

    @cached_property
    def first_match(self) -> "FirstMatch | None":
        """The same, and what other indexes have; None where none can be asked."""
        if self.upstreams is None:
            return None
        from elasticpypi.indexing.names import key_of
        from elasticpypi.repository.first_match import FirstMatch

        def ours(name: NormalizedName) -> bool:
            return self.objects.revision(key_of(name)) is not None

        told = self.upstreams, self.policy, self.rulings, ours
        noted = notes_malware(self.log, self.state)
        return FirstMatch(self.stored, self.index, self.permissions, *told, advisories=self.advisories, malware=noted)

    @cached_property
    def kept(self) -> "Kept | None":
        """The projects of other indexes that people find here; None where none can be asked."""
        if self.upstreams is None or self.first_match is None:
            return None
        from elasticpypi.repository.kept import Kept

        return Kept(self.upstreams, self.policy, self.rulings, self.first_match.origin)

    @cached_property
    def upstreams(self) -> "Upstreams | None":
        """The other indexes that are asked; None on AWS."""
        if self.open_upstream is None:
            return None
        from elasticpypi.upstream.pip_index import pip_index
        from elasticpypi.upstream.upstreams import Upstreams

        store = self.open_upstream()
        loop = self.form_tokens.name_of_index
        told = self.policy, store, self.state, self.log.append, loop
        return Upstreams(self.config.upstream, pip_index, *told, shares=self.serves)

    @cached_property
    def rulings(self) -> "CurrentRulings":
        """What administrators decided about names, releases and digests."""
        from elasticpypi.repository.rulings import CurrentRulings

        return CurrentRulings(self.objects, POLICY_SECONDS[self.config.on_aws])

    @cached_property
    def advisories(self) -> "CurrentAdvisories":
        """What advisories say of projects; nobody who reads own packages waits for it."""
        from elasticpypi.repository.advisories import CurrentAdvisories

        return CurrentAdvisories(self.objects, ADVISORY_SECONDS[self.config.on_aws])

    @cached_property
    def policy(self) -> "CurrentPolicy":
        """What the policy document says now; nobody who reads own packages waits for it."""
        from elasticpypi.repository.current_policy import CurrentPolicy

        return CurrentPolicy(self.objects, POLICY_SECONDS[self.config.on_aws])

    @cached_property
    def form_tokens(self) -> "FormTokens":
        """What forms carry; only pages for people need it."""
        from elasticpypi.accounts.form_tokens import FormTokens

        return FormTokens(self.files)
