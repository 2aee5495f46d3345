"""The other indexes that this one asks now: those of the policy, else the one of the setting UPSTREAM."""

import logging
import os
import threading
from collections.abc import Callable, Mapping

from elasticpypi.core.errors import ConfigurationError
from elasticpypi.core.event import Event
from elasticpypi.policy import PIP, Policy
from elasticpypi.policy import Upstream as Settings
from elasticpypi.storage.contracts import State, UpstreamStore
from elasticpypi.upstream.fetch import Client
from elasticpypi.upstream.pages import Upstream
from elasticpypi.upstream.places import Places
from elasticpypi.upstream.transfers import Transfers
from elasticpypi.upstream.verdict import no_time_warning

MAIN = "main"  # the name of the index of the setting
SETTING = "upstream.setting"  # in the state: of the index that was started last on this folder
SECRET = b"?"  # in its place if it has a password in it
YEARS = 10 * 365 * 86400.0

log = logging.getLogger(__name__)


class Upstreams:
    """They are made anew when the policy changes; what is kept of them stays.

    ``setting`` is that of UPSTREAM, "" if there is none; ``pip`` gives the address which pip uses here, for those whose
    address is ``pip``; ``loop`` gives how this index calls itself when it asks (RFC 8586). ``shares``: what cannot be
    asked is told to other processes.
    """

    def __init__(
        self,
        setting: str,
        pip: Callable[[], str],
        policy: Callable[[], Policy],
        store: UpstreamStore,
        state: State,
        tell: Callable[[list[Event]], None],
        loop: Callable[[], str] = str,
        environ: Mapping[str, str] = os.environ,
        shares: bool = True,
    ) -> None:
        self.store = store
        self.places = Places()
        self.transfers = Transfers(store, self.places)
        self._setting, self._pip, self._policy = setting, pip, policy
        self._state, self._tell, self.loop, self._environ, self._shares = state, tell, loop, environ, shares
        self._lock = threading.Lock()
        self._known: tuple[Policy | None, tuple[Upstream, ...]] = None, ()

    def __call__(self) -> tuple[Upstream, ...]:
        """Those of now, in the order in which they are asked."""
        policy, (known, made) = self._policy(), self._known
        if policy is known:
            return made
        with self._lock:
            if policy is not self._known[0]:
                before = {each.settings: each for each in self._known[1]}
                self._known = policy, tuple(before.get(each) or self._made(each) for each in self._settings(policy))
            return self._known[1]

    def warnings(self) -> list[str]:
        """What administrators should know of those of now: a sentence for each."""
        if self._policy().cooldown.no_time != "hide":
            return []
        return [no_time_warning(each.name) for each in self() if each.timeless]

    def tidy(self) -> int:
        """Make room, as much as the index that has most of it may have; how many files were removed."""
        rooms = [each.room for each in self._settings(self._policy())]
        return self.store.tidy(max(rooms, default=Settings(MAIN, "").room))

    def _settings(self, policy: Policy) -> tuple[Settings, ...]:
        if policy.upstreams or not self._setting:
            return policy.upstreams
        scheme, slashes, rest = self._setting.rpartition("://")
        host, slash, path = rest.partition("/")
        return (Settings(MAIN, f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"),)  # without credentials

    def _made(self, settings: Settings) -> Upstream:
        """An index that has been asked nothing yet: pip is only asked for its address when that is needed."""
        address: str | Callable[[], str] = settings.url
        if settings.url == PIP:
            address = self._pip
        elif not self._policy().upstreams:
            address = self._setting
        credentials = self._environ.get(settings.credentials, "") if settings.credentials else ""
        lacks = ""
        if settings.credentials and not credentials:
            lacks = f"{settings.credentials} has no value here, and should have its user:password."
            log.warning("The index %r cannot be asked: %s", settings.name, lacks)
        client = Client(settings, address, self.loop, credentials, self._environ, lacks)
        return Upstream(settings, client, self.store, self._state, self._tell, places=self.places, shares=self._shares)


def remember(state: State, setting: str) -> None:
    """Keep the setting UPSTREAM of a process that serves, for commands on the same folder; no password is kept."""
    state.put(SETTING, MAIN, SECRET if "@" in setting else setting.encode(), YEARS)


def remembered(state: State) -> str:
    """That setting, "" if there is none; :class:`ConfigurationError` if it has a password, which nobody kept."""
    found = state.get(SETTING, MAIN) or b""
    if found == SECRET:
        raise ConfigurationError(
            "The index that runs here asks another one with a password: set UPSTREAM as it has it, or give --upstream."
        )
    return found.decode()
