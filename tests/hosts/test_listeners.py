"""The sockets of the workers: their connections, while one is away."""

import contextlib
import select
import socket

import pytest

from elasticpypi.core.errors import ConfigurationError
from elasticpypi.hosts.machine.listeners import EACH, Listeners


@pytest.mark.skipif(not EACH, reason="all workers have the same socket elsewhere")
def test_connections_of_a_worker_that_is_away_go_to_others_or_wait() -> None:
    def connected(number: int) -> list[socket.socket]:
        return [socket.create_connection(listeners.address) for _ in range(number)]

    def taken(listener: socket.socket, number: int) -> None:
        for _ in range(number):
            assert select.select([listener], [], [], 20)[0]
            listener.accept()[0].close()

    with contextlib.closing(Listeners("127.0.0.1", 0)) as listeners, contextlib.ExitStack() as clients:
        first, second = listeners.of(0), listeners.of(1)
        assert first is not second
        listeners.withdraw(1)
        for each in connected(20):
            clients.enter_context(each)
        taken(first, 20)
        listeners.withdraw(0)  # nobody is left
        listeners.withdraw(0)
        for each in connected(20):
            clients.enter_context(each)
        taken(listeners.of(1), 20)
        with listeners.of(0) as third:
            assert third is not listeners.of(1)
        with pytest.raises(ConfigurationError, match="already in use"):
            Listeners("127.0.0.1", listeners.address[1])


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6 on this machine")
def test_a_star_is_all_addresses() -> None:
    with contextlib.closing(Listeners("*", 0)) as listeners:
        port = listeners.address[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port)):
                assert select.select([listeners.of(0)], [], [], 20)[0]
                listeners.of(0).accept()[0].close()
        with pytest.raises(ConfigurationError, match=f"^Cannot listen on \\*:{port} "):
            Listeners("*", port)
