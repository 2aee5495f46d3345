"""Who is about to change a key of the store, for whoever finds the change before they have recorded it.

That is in the state: a name that lies with the bytes can be forged by all who write to the store, and an address there
would be shown to all who read it. It holds for these very bytes, for an hour, and for one change. If the state has
lost it, the author is who signed the change, else the store.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from elasticpypi.core.distribution import sha256
from elasticpypi.core.errors import Refusal
from elasticpypi.core.event import Who, plain, who_of
from elasticpypi.storage.contracts import State

KIND = "author"  # of what may be lost
SECONDS = 3600.0  # within which events come again that failed, and followers that were away
GONE = "gone"  # what a key is that was removed


def of_file(digest: str, uploader: str) -> str:
    """What an upload makes of a key."""
    return f"{digest} {uploader}"


def put(state: State, key: str, what: str, who: Who | None) -> None:
    """A key becomes ``what`` by ``who``; None: that is no event. Nothing fails if the state does.

    ``what`` is the digest of a decision, or :func:`of_file`, or :data:`GONE`.
    """
    with suppress(Refusal):
        state.put(KIND, _place(key, what), json.dumps(plain(who).as_dict() if who else None).encode(), SECONDS)


@contextmanager
def named(state: State, key: str, what: str, who: Who | None) -> Iterator[None]:
    """:func:`put` until the end, where ``who`` has recorded it themselves, or was refused."""
    put(state, key, what, who)
    pending = who.pending if who else {}
    pending[key] = KIND, _place(key, what)
    try:
        yield
    finally:
        _forget(state, key, pending)


@contextmanager
def author(state: State, key: str, what: str, otherwise: Who | None) -> Iterator[Who | None]:
    """By whom a key became ``what``, ``otherwise`` if nobody said so; after this they are it no more."""
    found = None
    with suppress(Refusal):
        found = state.get(KIND, _place(key, what))
    if found is None:
        yield otherwise
        return
    fields = json.loads(found)
    who = who_of(fields) if fields else None
    pending = who.pending if who else {}
    pending[key] = KIND, _place(key, what)
    yield who
    _forget(state, key, pending)


def _forget(state: State, key: str, pending: dict[str, tuple[str, str]]) -> None:
    """Unless the index has done that with the record."""
    if place := pending.pop(key, None):
        with suppress(Refusal):
            state.remove(*place)


def _place(key: str, what: str) -> str:
    return sha256(f"{key}\n{what}".encode(errors="replace"))
