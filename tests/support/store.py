"""The store and the index as others change them."""

import hashlib
import io
from collections.abc import Callable

from packaging.utils import NormalizedName

from elasticpypi.core.model import Record
from elasticpypi.indexing import audit, sync
from elasticpypi.services import Services
from elasticpypi.storage.contracts import Files, Stat
from elasticpypi.storage.local.directory import DirectoryFiles
from tests.support.moto_aws import BUCKET


def put(files: Files, key: str, data: bytes) -> Stat:
    """Write a key, whether it is there or not; the index is not told."""
    return files.save(key, io.BytesIO(data), hashlib.sha256(data).hexdigest(), overwrite=True)


class Meanwhile:
    """Files whose next calls of one method are followed by something that somebody else does."""

    def __init__(self, files: Files, method: str, *changes: Callable[[], object]) -> None:
        self._files, self._method, self._changes = files, method, list(changes)

    def __getattr__(self, name: str) -> Callable[..., object]:
        real = getattr(self._files, name)
        if name != self._method:
            return real  # type: ignore[no-any-return]

        def call(*arguments: object, **options: object) -> object:
            result = real(*arguments, **options)
            if self._changes:
                self._changes.pop(0)()
            return result

        return call


def put_straight(services: Services, name: str, data: bytes) -> None:
    """Put a file into the store as people do, without a word about its digest."""
    if isinstance(services.files, DirectoryFiles):
        services.files.root.mkdir(parents=True, exist_ok=True)
        (services.files.root / name).write_bytes(data)
    else:
        services.files._s3.put_object(Bucket=BUCKET, Key=name, Body=data)  # type: ignore[attr-defined]
    sync.sync(services.files, services.index, name)


def stored(services: Services) -> dict[str, bytes]:
    """Key → bytes of all that is in the store."""
    content = {}
    for stat in services.files.list():
        with services.files.open(stat) as file:
            content[stat.key] = file.read()
    return content


State = tuple[dict[str, bytes], list[Record], tuple[int, list[NormalizedName]]]


def state(services: Services) -> State:
    """All that an upload could change."""
    records = sorted(services.index.records(), key=lambda record: record.key)
    return stored(services), records, services.index.projects()


def forget(services: Services, key: str) -> None:
    """The event of a key that was removed."""
    sync.sync(services.files, services.index, key)


def rebuild(services: Services) -> None:
    """Throw the index away, and make it anew of the store."""
    for record in list(services.index.records()):
        services.index.remove(record.project, record.key)
    list(sync.sync_all(services.files, services.index, audit.every_key(services.files, services.index)))
