"""Settings → the store and the index that they choose. The one place that knows which family runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

from elasticpypi import heartbeat
from elasticpypi.config import Config
from elasticpypi.errors import ConfigurationError
from elasticpypi.model import File
from elasticpypi.stores import ANEW, FOR_EVER, Catalog, Files, Index, Staging


@dataclass(frozen=True)
class Services:
    """What the views, the sync function and the commands work with.

    ``staging`` is there where requests are too small for a large file: behind API Gateway. ``threads`` is
    how many keys are best looked at together: more than one where each call is a wait. ``behind`` gives "" or why
    the index may differ from the store, where a process follows it.
    """

    config: Config
    files: Files
    index: Index
    staging: Staging | None = None
    threads: int = 1
    behind: Callable[[], str] | None = None

    @cached_property
    def catalog(self) -> Catalog:
        """Made when it is first asked for, which no installer does."""
        if self.config.on_aws:
            from elasticpypi.aws.catalog import DynamoCatalog
            from elasticpypi.aws.dynamodb import DynamoIndex

            assert isinstance(self.index, DynamoIndex)
            return DynamoCatalog(self.index)
        from elasticpypi.local.catalog import SQLiteCatalog
        from elasticpypi.local.sqlite import SQLiteIndex

        assert isinstance(self.index, SQLiteIndex)
        return SQLiteCatalog(self.index)


def services(config: Config) -> Services:
    """Open store and index; nothing of the other family is imported.

    :class:`ConfigurationError` if AWS is asked for where it cannot be used: no boto3, no region.
    """
    if config.on_aws:
        try:
            from elasticpypi.aws.direct import CONNECTIONS
            from elasticpypi.aws.dynamodb import DynamoIndex
            from elasticpypi.aws.s3 import S3Files

            cache = ANEW if config.overwrite else FOR_EVER
            files = S3Files(config.bucket, config.link_seconds, _link(config), cache)
            return Services(config, files, DynamoIndex(config.table, files=files), threads=CONNECTIONS)
        except ModuleNotFoundError:
            raise ConfigurationError("AWS needs boto3: pip install boto3.") from None
    from elasticpypi.local.directory import DirectoryFiles
    from elasticpypi.local.sqlite import SQLiteIndex

    folder = DirectoryFiles(config.data)  # first: it looks whether there is an index already
    return Services(
        config,
        folder,
        SQLiteIndex(config.data / "index.db"),
        behind=partial(heartbeat.behind, config.data / heartbeat.FILE),
    )


def with_staging(opened: Services) -> Services:
    """The same with a way for large files; nothing changes on one machine, which needs none."""
    if not opened.config.on_aws:
        return opened
    from elasticpypi.aws.staging import S3Staging

    return replace(opened, staging=S3Staging(opened.config.bucket, opened.files, opened.config.link_seconds))


def _link(config: Config) -> Callable[[File], str] | None:
    if not config.cloudfront_host:
        return None
    from elasticpypi.aws.cloudfront import linker

    return linker(config.cloudfront_host, config.cloudfront_key_id, config.cloudfront_key, config.link_seconds)
