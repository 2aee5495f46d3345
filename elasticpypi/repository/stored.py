"""What is stored here: the projects of the index."""

from typing import TYPE_CHECKING

from packaging.utils import NormalizedName

from elasticpypi.accounts.permissions import Permission, Permissions
from elasticpypi.accounts.principal import Principal
from elasticpypi.core import blocks
from elasticpypi.core.blocks import Block
from elasticpypi.core.errors import Blocked
from elasticpypi.core.event import Event
from elasticpypi.core.model import File, Project
from elasticpypi.repository.base import State
from elasticpypi.storage.contracts import IndexReader

if TYPE_CHECKING:
    from elasticpypi.core.about import About


class Stored:
    """:class:`~elasticpypi.repository.base.Repository` over an index: the serial of a page is its version."""

    def __init__(self, index: IndexReader, permissions: Permissions) -> None:
        self._index = index
        self._permissions = permissions

    def state(self, reader: Principal, name: NormalizedName | None) -> State | None:
        serial = self._index.serial(name) if self._may_read(reader, name) else None
        return None if serial is None else _state(serial)

    def ready(self, reader: Principal, name: NormalizedName) -> None:
        pass

    def projects(self, reader: Principal) -> tuple[State, list[NormalizedName]]:
        serial, names = self._index.projects()
        return _state(serial), [name for name in names if self._may_read(reader, name)]

    def project(self, reader: Principal, name: NormalizedName) -> tuple[State, Project] | None:
        found = self._index.project(name) if self._may_read(reader, name) else None
        return (_state(found.serial), found) if found and (found.files or found.blocked) else None

    def file(self, reader: Principal, name: NormalizedName, filename: str) -> File | None:
        return _served(self._index.file(name, filename)) if self._may_read(reader, name) else None

    def metadata(self, reader: Principal, name: NormalizedName, filename: str) -> tuple[File, bytes] | None:
        found = self._index.metadata(name, filename) if self._may_read(reader, name) else None
        if found:
            _served(found[0])
        return found

    def recent(self, reader: Principal, name: NormalizedName, most: int) -> list[Event]:
        return self._index.recent(name, most) if self._may_read(reader, name) else []

    def about(
        self, reader: Principal, name: NormalizedName, filename: str, *, text: bool = False
    ) -> "tuple[About, str]":
        from elasticpypi.indexing import about  # which no installer asks for

        if not self._may_read(reader, name):
            return about.nothing()
        return about.read(self._index, name, filename, text=text)

    def _may_read(self, reader: Principal, name: NormalizedName | None) -> bool:
        return self._permissions.allowed(reader, Permission.READ, name)


def _served(file: File | None) -> File | None:
    """:class:`Blocked` if it is not served."""
    if file and file.blocked is not None:
        raise Blocked(blocks.sentence(file.filename, Block("", file.blocked)))
    return file


def _state(serial: int) -> State:
    return State(f"{serial:x}", serial)
