"""S3: packages in a bucket, and the events that tell of changes in it."""

import base64
import io
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote, unquote, unquote_plus

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

from elasticpypi.core.errors import AlreadyExists, Changed, NotFound
from elasticpypi.core.model import File
from elasticpypi.storage import aws
from elasticpypi.storage.aws.faults import translated
from elasticpypi.storage.contracts import FOR_EVER, Stat

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# 6 MB of answer with base64 in it (AWS: Lambda quotas): 4.5 MB of file, and some room for headers.
INLINE = 4_400_000
TAIL = 128 * 1024  # bytes; the directory of almost every wheel
SKIP = 1024 * 1024  # bytes that are sooner read than jumped over

# The regional endpoint and SigV4: boto3's default may give global links of the old style.
STYLE: Any = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
REGIONAL = Config(signature_version="s3v4", s3=STYLE)


class S3Files:
    """:class:`~elasticpypi.storage.contracts.Files` in a bucket; the revision is the ETag.

    ``link_seconds`` is the window in which the link to a large file stays the same; links live twice
    as long, so that each is good for at least one window. ``link`` makes links of another kind. ``cache`` is the
    Cache-Control of what S3 answers to them.
    """

    def __init__(
        self,
        bucket: str,
        link_seconds: int = 3600,
        link: Callable[[File], str] | None = None,
        cache: str = FOR_EVER,
    ) -> None:
        self._bucket = bucket
        self._cache = cache
        self._link_seconds = link_seconds
        self._link = link or (lambda file: self.sign(file.key))
        self._s3: S3Client = aws.client("s3", REGIONAL)

    def save(
        self, key: str, source: BinaryIO, sha256: str, *, overwrite: bool = False, uploader: str | None = None
    ) -> Stat:
        source.seek(0)
        checksum = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode()}
        request: Any = {**checksum, "Metadata": user_metadata(uploader), **({} if overwrite else {"IfNoneMatch": "*"})}
        try:
            with translated("The bucket", key):
                answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=source, **request)
        except Changed:
            raise AlreadyExists(f"{key!r} already exists.") from None
        written = answer["ETag"].strip('"')
        stat = self.stat(key)
        if stat is not None and stat.revision == written:
            return stat
        return Stat(key, source.seek(0, io.SEEK_END), written, datetime.now(UTC), sha256, uploader)  # replaced at once

    def open(self, what: Stat | File) -> BinaryIO:
        request: Any = {"Bucket": self._bucket, "Key": what.key, "IfMatch": f'"{what.revision}"'}

        def fetch(start: int) -> Any:
            with translated("The bucket", what.key):
                return self._s3.get_object(**request, Range=f"bytes={start}-")["Body"]

        return cast(BinaryIO, _ObjectReader(what.size, fetch))

    def stat(self, key: str) -> Stat | None:
        try:
            with translated("The bucket", key):
                answer = self._s3.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except NotFound:
            self.check()  # a HEAD has no body that says whether the key or the bucket is not there
            return None
        # A multipart upload has a checksum of checksums, marked by "-<parts>": of no use here.
        checksum = answer.get("ChecksumSHA256", "")
        sha256 = None if not checksum or "-" in checksum else base64.b64decode(checksum).hex()
        uploader = answer.get("Metadata", {}).get("uploader")
        revision = answer["ETag"].strip('"')
        return Stat(
            key, answer["ContentLength"], revision, answer["LastModified"], sha256, uploader and unquote(uploader)
        )

    def delete(self, key: str) -> None:
        with translated("The bucket", key):
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    def empty(self, key: str) -> None:
        """Nothing: a bucket is never full."""

    def list(self) -> Iterator[Stat]:
        return self.behind("", "")

    def behind(self, prefix: str, key: str) -> Iterator[Stat]:
        """Every key that begins with a prefix and comes behind a key, in their order."""
        with translated("The bucket", "*"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, StartAfter=key
            )
            for page in pages:
                for entry in page.get("Contents", []):
                    yield Stat(entry["Key"], entry["Size"], entry["ETag"].strip('"'), entry["LastModified"])

    def url(self, file: File) -> str | None:
        if file.size <= INLINE:
            return None
        return self._link(file)

    def check(self) -> None:
        with translated("The bucket"):
            self._s3.head_bucket(Bucket=self._bucket)

    def exists(self) -> bool:
        """Whether there is such a bucket; :class:`Unavailable` if that cannot be said."""
        with translated("The bucket"):
            try:
                self._s3.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                    raise
                return False
        return True

    def put(self, key: str, body: bytes, **headers: str) -> str:
        """Store what is ours to replace, with headers that S3 gives back; its revision."""
        with translated("The bucket", key):
            answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, **headers)  # type: ignore[arg-type]
        return answer["ETag"].strip('"')

    def read(self, key: str) -> tuple[bytes, str]:
        """A small object and its revision, in one call; :class:`NotFound`."""
        with translated("The bucket", key):
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            return answer["Body"].read(), answer["ETag"].strip('"')

    def sign(self, key: str) -> str:
        """A link for GET, the same for one window: pip's cache looks files up by their final URL (REQ-70)."""
        where = {"Bucket": self._bucket, "Key": key}
        with translated("The bucket"):  # credentials may have to be fetched
            plain = self._s3.generate_presigned_url("get_object", Params=where).partition("?")[0]
            signer = _WindowedAuth(aws.credentials(), self._s3.meta.region_name, self._link_seconds)
        request = AWSRequest("GET", plain, params={"response-cache-control": self._cache})
        signer.add_auth(request)
        return str(request.url)


def user_metadata(uploader: str | None) -> dict[str, str]:
    """What S3 keeps with an object; its metadata are ASCII."""
    return {} if uploader is None else {"uploader": quote(uploader)}


class _WindowedAuth(S3SigV4QueryAuth):
    """Signs as of the beginning of the window that we are in."""

    def __init__(self, credentials: Any, region: str, window: int) -> None:
        super().__init__(credentials, "s3", region, expires=2 * window)
        self._window = window

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        begin = int(time.time()) // self._window * self._window
        request.context["timestamp"] = datetime.fromtimestamp(begin, UTC).strftime("%Y%m%dT%H%M%SZ")
        super()._modify_request_before_signing(request)  # type: ignore[misc]


class _ObjectReader(io.RawIOBase):
    """Reads an object by ranges: one request as long as the reading goes forwards, one more per long jump.

    Zip files are read from their end, back and forth: a jump into the last TAIL bytes fetches them all, once.
    """

    def __init__(self, size: int, fetch: Callable[[int], Any]) -> None:
        self._size = size
        self._fetch = fetch
        self._position = 0
        self._stream: Any = None
        self._reached = 0  # where the stream is
        self._tail_begin = max(0, size - TAIL)
        self._tail: bytes | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        position = max(0, start + offset)
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size or not len(buffer):
            return 0
        gap = self._position - self._reached
        if self._stream is not None and not 0 <= gap <= SKIP:
            self._drop()
        if self._stream is None and self._position >= self._tail_begin:
            if self._tail is None:
                self._tail = self._read(self._fetch(self._tail_begin))
            begin = self._position - self._tail_begin
            data = self._tail[begin : begin + len(buffer)]
        else:
            if self._stream is None:
                self._stream = self._fetch(self._position)
            elif gap:
                self._read(self._stream, gap)
            data = self._read(self._stream, len(buffer))
            self._reached = self._position + len(data)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._drop()
        super().close()

    @staticmethod
    def _read(stream: Any, size: int | None = None) -> bytes:
        with translated("The bucket", "the object"):
            data: bytes = stream.read(size)
        return data

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def event_keys(event: Mapping[str, Any], records: str = "") -> list[str]:
    """The keys that an S3 event tells of, each once, in their order (AWS: event message structure).

    A record that names none is left out: see :func:`nameless`. Those of the bucket ``records`` are too.
    """
    keys = (_event_key(record) for record in event.get("Records", []) if not (records and is_of(record, records)))
    return list(dict.fromkeys(key for key in keys if key is not None))


def event_keys_of(event: Mapping[str, Any], bucket: str) -> list[str]:
    """The same of one bucket."""
    keys = (_event_key(record) for record in event.get("Records", []) if is_of(record, bucket))
    return list(dict.fromkeys(key for key in keys if key is not None))


def is_of(record: Any, bucket: str) -> bool:
    """Whether a record of an S3 event is about a bucket."""
    try:
        return bool(record["s3"]["bucket"]["name"] == bucket)
    except (KeyError, TypeError):
        return False


def nameless(event: Mapping[str, Any]) -> int:
    """How many records of an S3 event name no key."""
    return sum(_event_key(record) is None for record in event.get("Records", []))


def _event_key(record: Any) -> str | None:
    try:
        return unquote_plus(record["s3"]["object"]["key"])
    except (KeyError, TypeError, AttributeError):
        return None
