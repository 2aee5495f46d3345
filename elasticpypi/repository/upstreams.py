"""The other indexes that this one asks now: those of the policy, else the one of the setting UPSTREAM."""

import os
import threading
from collections.abc import Callable, Mapping

from elasticpypi.core.event import Event
from elasticpypi.policy import PIP, Policy
from elasticpypi.policy import Upstream as Settings
from elasticpypi.repository.fetch import Client
from elasticpypi.repository.transfers import Places, Transfers
from elasticpypi.repository.upstream import Upstream
from elasticpypi.storage.contracts import State, UpstreamStore

MAIN = "main"  # the name of the index of the setting


class Upstreams:
    """They are made anew when the policy changes; what is kept of them stays.

    ``setting`` is that of UPSTREAM, "" if there is none; ``pip`` gives the address which pip uses here, for those whose
    address is ``pip``; ``loop`` gives how this index calls itself when it asks (RFC 8586).
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
    ) -> None:
        self.store = store
        self.places = Places()
        self.transfers = Transfers(store, self.places)
        self._setting, self._pip, self._policy = setting, pip, policy
        self._state, self._tell, self.loop, self._environ = state, tell, loop, environ
        self._lock = threading.Lock()
        self._known: tuple[Policy | None, tuple[Upstream, ...]] = None, ()

    def __call__(self) -> tuple[Upstream, ...]:
        """Those of now, in the order in which they are asked."""
        policy, (known, made) = self._policy(), self._known
        if policy is known:
            return made
        with self._lock:
            if policy is not self._known[0]:
                settings = policy.upstreams or ((Settings(MAIN, self._setting),) if self._setting else ())
                before = {each.settings: each for each in self._known[1]}
                self._known = policy, tuple(before.get(each) or self._made(each) for each in settings)
            return self._known[1]

    def _made(self, settings: Settings) -> Upstream:
        address = self._pip() if settings.url == PIP else settings.url
        if settings.credentials and (said := self._environ.get(settings.credentials)):
            scheme, _, rest = address.partition("://")
            address = f"{scheme}://{said}@{rest.rpartition('@')[2]}"
        return Upstream(settings, Client(settings, address, self.loop), self.store, self._state, self._tell)
