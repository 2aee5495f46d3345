"""Large files come to S3 as the parts of a multipart upload, each by a signed link."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.config import Config

from elasticpypi.core.errors import AlreadyExists, Changed, NotFound
from elasticpypi.storage import aws
from elasticpypi.storage.aws.faults import translated
from elasticpypi.storage.aws.s3 import REGIONAL, user_metadata
from elasticpypi.storage.contracts import Files, Stat

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

COPY_SECONDS = 300  # until S3 says that it has copied 5 GB


class S3Staging:
    """:class:`~elasticpypi.storage.contracts.Staging` in the bucket of ``files``; links live for ``link_seconds``."""

    def __init__(self, bucket: str, files: Files, link_seconds: int = 3600) -> None:
        self._bucket = bucket
        self._files = files
        self._link_seconds = link_seconds

    @cached_property
    def _s3(self) -> "S3Client":
        # The client that puts a part sends no checksum of it: the digest of the whole file is checked in the end.
        client: S3Client = aws.client("s3", REGIONAL.merge(Config(request_checksum_calculation="when_required")))
        return client

    @cached_property
    def _copier(self) -> "S3Client":
        client: S3Client = aws.client("s3", REGIONAL.merge(Config(read_timeout=COPY_SECONDS)))
        return client

    def claim(self, key: str, body: bytes, revision: str | None) -> bool:
        condition: dict[str, Any] = {"IfMatch": f'"{revision}"'} if revision else {"IfNoneMatch": "*"}
        try:
            with translated("The bucket", key):
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, **condition)
        except (Changed, NotFound):
            return False
        return True

    def begin(self, key: str) -> str:
        return self._begin(key)

    def parts(self, key: str, upload: str) -> dict[int, int] | None:
        parts = self._parts(key, upload)
        return None if parts is None else {part["PartNumber"]: part["Size"] for part in parts}

    def link(self, key: str, upload: str, number: int) -> str:
        part = {"Bucket": self._bucket, "Key": key, "UploadId": upload, "PartNumber": number}
        with translated("The bucket"):  # credentials may have to be fetched
            return self._s3.generate_presigned_url("upload_part", Params=part, ExpiresIn=self._link_seconds)

    def origin(self) -> str:
        scheme, host, *_ = urlsplit(self.link("any", "any", 1))
        return f"{scheme}://{host}"

    def join(self, key: str, upload: str) -> None:
        parts = self._parts(key, upload)
        if not parts:  # of none, S3 makes no file
            return
        with suppress(NotFound):  # another request was faster
            self._complete(key, upload, [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts])

    def promote(self, staged: Stat, key: str, *, overwrite: bool = False, uploader: str | None = None) -> Stat:
        # CopyObject knows conditions too, but not in every version of boto3, nor in every S3.
        upload = self._begin(key, uploader)
        source = {"Bucket": self._bucket, "Key": staged.key}
        with translated("The bucket", staged.key):
            copied = self._copier.upload_part_copy(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload,
                PartNumber=1,
                CopySource=source,  # type: ignore[arg-type]
                CopySourceIfMatch=f'"{staged.revision}"',
            )
        part = {"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}
        try:
            written = self._complete(key, upload, [part], **({} if overwrite else {"IfNoneMatch": "*"}))
        except (Changed, NotFound):  # the upload may be over since our own answer was lost
            raise AlreadyExists(f"{key!r} already exists.") from None
        stat = self._files.stat(key)
        if stat is not None and stat.revision == written:
            return stat
        return Stat(key, staged.size, written, datetime.now(UTC), None, uploader)  # replaced or removed at once

    def _begin(self, key: str, uploader: str | None = None) -> str:
        with translated("The bucket", key):
            metadata = user_metadata(uploader)
            return self._s3.create_multipart_upload(Bucket=self._bucket, Key=key, Metadata=metadata)["UploadId"]

    def _parts(self, key: str, upload: str) -> list[Any] | None:
        try:
            with translated("The bucket", key):
                pages = self._s3.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload)
                return [part for page in pages for part in page.get("Parts", [])]
        except NotFound:
            return None

    def _complete(self, key: str, upload: str, parts: list[Any], **condition: str) -> str:
        """The revision of the file that is there now."""
        with translated("The bucket", key):
            answer = self._s3.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **condition,  # type: ignore[arg-type]
            )
        return answer["ETag"].strip('"')
