"""The sentence for an index that cannot be asked: the right one, and without the address, which may have a password."""

import pytest

from elasticpypi.policy import Upstream
from elasticpypi.upstream.fetch import Client, Failed
from tests.support.servers import free_ports


def test_nobody_listens() -> None:
    [port] = free_ports(1)
    address = f"http://anna:secret@127.0.0.1:{port}/simple/"
    with pytest.raises(Failed) as failed:
        Client(Upstream("main", address), address).page("demo")  # type: ignore[arg-type]
    assert str(failed.value) == f"The index 'main' (127.0.0.1:{port}) has not answered: it cannot be reached."
