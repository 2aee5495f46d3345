"""Who is asking, and where from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose name is known; ``through`` says how: by a ``password``, a ``command`` or the ``store``."""

    user: str
    through: str = "password"


@dataclass(frozen=True, slots=True)
class Actor:
    """A principal who changes something, and the ``address`` that the request came from, "" if none did."""

    principal: Principal
    address: str = ""

    @property
    def user(self) -> str:
        """The name of who it is."""
        return self.principal.user


# Whoever can write to the store has no name here: the store is told of as who did it.
STORE = Actor(Principal("store", through="store"))
