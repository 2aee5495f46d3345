"""Who is asking, and where from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elasticpypi.core.event import Who


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose name is known; ``through`` says how: by a ``password``, a ``command`` or the ``store``."""

    user: str
    through: str = "password"


@dataclass(frozen=True, slots=True)
class Actor:
    """A principal who changes something; where the request came from, by what and which one it was, "" if none did."""

    principal: Principal
    address: str = ""
    program: str = ""  # its User-Agent
    request_id: str = ""

    @property
    def user(self) -> str:
        """The name of who it is."""
        return self.principal.user

    @property
    def who(self) -> "Who":
        """As events name it, with a list of its own for those that are written."""
        from elasticpypi.core.event import Who  # whoever only checks passwords has no use for it

        return Who(self.user, self.principal.through, self.address, self.program, self.request_id, [])


# Whoever can write to the store has no name here: the store is told of as who did it.
STORE = Actor(Principal("store", "store"))
