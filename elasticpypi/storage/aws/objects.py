"""What lasts beside the packages on AWS: small objects in a bucket of their own, the records bucket."""

import hashlib
from functools import cached_property

from elasticpypi.core.errors import Changed, NotFound
from elasticpypi.storage.aws.s3 import S3Files
from elasticpypi.storage.contracts import ANY, Object


class BucketObjects:
    """:class:`~elasticpypi.storage.contracts.Objects` in a bucket, with conditional PUTs; the revision is the ETag."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    @cached_property
    def _files(self) -> S3Files:
        return S3Files(self._bucket)

    def read(self, key: str) -> Object | None:
        try:
            return Object(*self._files.read(key))
        except NotFound:
            return None

    def revision(self, key: str) -> str | None:
        stat = self._files.stat(key)
        return stat.revision if stat else None

    def write(self, key: str, body: bytes, over: str | None) -> str:
        condition = {} if over == ANY else {"IfNoneMatch": "*"} if over is None else {"IfMatch": f'"{over}"'}
        try:
            return self._files.put(key, body, **condition)
        except (Changed, NotFound):
            told = f"{key!r} was changed by somebody else at the same moment: look at it again."
            raise Changed(told) from None

    def remove(self, key: str) -> None:
        self._files.delete(key)

    def keys(self, prefix: str) -> list[str]:
        return [stat.key for stat in self._files.behind(prefix, "")]

    def mark(self, prefix: str) -> str | None:
        listed = "\n".join(f"{stat.key} {stat.revision}" for stat in self._files.behind(prefix, ""))
        return hashlib.sha256(listed.encode()).hexdigest()
