"""The one place that says who may do what."""

from collections.abc import Set
from enum import StrEnum

from packaging.utils import NormalizedName

from elasticpypi.accounts.principal import Principal
from elasticpypi.core.errors import Forbidden


class Permission(StrEnum):
    """What one may do with a project, or with the index where none is named."""

    READ = "read"
    UPLOAD = "upload"
    DECIDE = "decide"  # yank, delete, set the status
    ADMINISTER = "administer"  # read the record of events, change the policy


class Permissions:
    """Everybody who is known may read and upload; ``admins`` may do the rest, or everybody if there are none.

    Whoever runs a command on the store itself may do everything: the store would let them anyway.
    """

    def __init__(self, admins: Set[str] = frozenset()) -> None:
        self._admins = admins

    def allowed(self, principal: Principal, permission: Permission, project: NormalizedName | None = None) -> bool:
        """Whether a principal may do something with a project; ``None``: with the index."""
        if permission is Permission.READ or permission is Permission.UPLOAD:
            return True
        if principal.through in ("command", "store"):
            return True
        return not self._admins or principal.user in self._admins

    def require(self, principal: Principal, permission: Permission, project: NormalizedName | None = None) -> None:
        """:class:`Forbidden` unless it is :meth:`allowed`."""
        if not self.allowed(principal, permission, project):
            raise Forbidden(f"The user {principal.user!r} may not do this: it is for the administrators of this index.")

    def view(self, principal: Principal) -> str:
        """Equal for principals who see the same in everything that can be read: a part of the key of kept answers."""
        return ""
