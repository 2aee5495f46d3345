"""The sockets that take connections on one machine: the main process has them, so that they outlive the workers."""

import socket
import sys
from typing import Any

from elasticpypi.core.errors import ConfigurationError

# Linux shares connections out evenly among sockets of one port. From a shared socket, a worker takes all that it can.
EACH = sys.platform == "linux"


class Listeners:
    """A socket for each worker, or one for all of them; its connections wait in it while the worker is replaced.

    The host "*" is all addresses of this machine, IPv6 and IPv4. :class:`ConfigurationError` if the address cannot be
    used, also if somebody else uses it. Port 0 finds a port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._held: dict[int, socket.socket] = {}
        self._spare: int | None = None  # whose socket it is that nobody takes connections from
        try:
            self._both = host == "*" and socket.has_dualstack_ipv6()
            name = ("::" if self._both else "0.0.0.0") if host == "*" else host
            family, _, _, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
            self._family: int = family
            # Once without SO_REUSEPORT: with it a second server would silently share the port.
            with self._bound(address, shared=False) as probe:
                self.address = probe.getsockname()
            self._held[0] = self._bound(self.address, EACH)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigurationError(
                f"Cannot listen on {host}:{port} ({reason}): choose another --port or --host."
            ) from None

    def of(self, worker: int) -> socket.socket:
        """The one that a worker takes connections from, now that it starts; :class:`OSError` if there can be none."""
        place = worker if EACH else 0
        if self._spare is not None:
            self._held[place] = self._held.pop(self._spare)
            self._spare = None
        if place not in self._held:
            self._held[place] = self._bound(self.address, EACH)
        return self._held[place]

    def withdraw(self, worker: int) -> None:
        """The worker is away for some time: others get its connections; if there are none, they wait."""
        if EACH and len(self._held) > 1:
            self._held.pop(worker).close()
        elif EACH and worker in self._held:
            self._spare = worker

    def close(self, but: int | None = None) -> None:
        """All of them, in this process; in a worker all others, which would wait for it in vain."""
        for worker, listener in self._held.items():
            if but is None or worker != (but if EACH else 0):
                listener.close()

    def _bound(self, address: Any, shared: bool) -> socket.socket:
        listener = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it
            if self._both:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(address)
            listener.listen()
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        return listener
