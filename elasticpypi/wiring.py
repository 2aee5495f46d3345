"""Settings → the store and the index that they choose. The one place that knows which family runs."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName

from elasticpypi.config import Config
from elasticpypi.core.errors import ConfigurationError, Refusal
from elasticpypi.core.model import File
from elasticpypi.events import Change, Events, Subscriber
from elasticpypi.services import Services
from elasticpypi.storage.contracts import ANEW, FOR_EVER, Catalog, Downloads, EventLog, Index, Objects, UpstreamStore

if TYPE_CHECKING:
    from elasticpypi.storage.aws.dynamodb import DynamoIndex
    from elasticpypi.storage.aws.s3 import S3Files
    from elasticpypi.storage.local.directory import DirectoryFiles
    from elasticpypi.storage.local.sqlite import SQLiteIndex


def services(config: Config) -> Services:
    """Open store and index; nothing of the other family is imported.

    :class:`ConfigurationError` if AWS is asked for where it cannot be used: no boto3, no region.
    """
    return on_bucket(config, *bucket(config)) if config.on_aws else on_folder(config, *folder(config))


def folder(config: Config) -> "tuple[DirectoryFiles, SQLiteIndex]":
    """The store and the index of one machine; :class:`Unavailable` if they cannot be made."""
    from elasticpypi.storage.local.directory import DirectoryFiles
    from elasticpypi.storage.local.sqlite import SQLiteIndex

    files = DirectoryFiles(config.data)  # first: it looks whether there is an index already
    return files, SQLiteIndex(config.data / "index.db")


def bucket(config: Config) -> "tuple[S3Files, DynamoIndex]":
    """The store and the index on AWS; :class:`ConfigurationError` if AWS cannot be used here."""
    try:
        from elasticpypi.storage.aws.dynamodb import DynamoIndex
        from elasticpypi.storage.aws.s3 import S3Files

        files = S3Files(config.bucket, config.link_seconds, _link(config), ANEW if config.overwrite else FOR_EVER)
        return files, DynamoIndex(config.table, files=files)
    except ModuleNotFoundError:
        raise ConfigurationError("AWS needs boto3: pip install boto3.") from None


def on_folder(config: Config, files: "DirectoryFiles", index: "SQLiteIndex") -> Services:
    """Services over a folder and SQLite."""
    from elasticpypi.indexing import heartbeat
    from elasticpypi.storage.local.event_log import FileLog
    from elasticpypi.storage.local.objects import FileObjects
    from elasticpypi.storage.local.state import SQLiteState

    @cache
    def catalog() -> Catalog:
        from elasticpypi.storage.local.catalog import SQLiteCatalog

        return SQLiteCatalog(index)

    @cache
    def upstream() -> UpstreamStore:
        from elasticpypi.storage.local.upstream import FolderUpstream

        return FolderUpstream(config.data)

    def downloads() -> Downloads:
        from elasticpypi.storage.local.downloads import SQLiteDownloads

        return SQLiteDownloads(config.data)

    log, objects = FileLog(config.data), FileObjects(config.data)

    return Services(
        config,
        files,
        index,
        catalog,
        log,
        SQLiteState(config.data),
        objects,
        behind=partial(heartbeat.behind, config.data / heartbeat.FILE),
        spool=files.incoming,
        open_upstream=upstream,
        open_downloads=downloads,
        subscribers=(_record(index, log), _policy(index, objects, log), _entries(index, catalog)),
    )


def on_bucket(config: Config, files: "S3Files", index: "DynamoIndex") -> Services:
    """Services over a bucket and a table."""
    from elasticpypi.storage.aws.direct import CONNECTIONS
    from elasticpypi.storage.aws.event_log import ObjectLog
    from elasticpypi.storage.aws.objects import BucketObjects
    from elasticpypi.storage.aws.state import TableState

    @cache
    def catalog() -> Catalog:
        from elasticpypi.storage.aws.catalog import DynamoCatalog

        return DynamoCatalog(index)

    log, objects = ObjectLog(config.records), BucketObjects(config.records)

    def root_list(change: Change) -> Iterable[NormalizedName]:
        from elasticpypi.storage.aws import rootlist

        if any(outcome.action != "ignored" for outcome in change.outcomes):
            rootlist.refresh(index.table, files)
        return ()

    def claim(moved_from: str) -> None:
        from elasticpypi.storage.aws import owner

        owner.claim(index.table, config.bucket, moved_from)

    def root_link(serial: int) -> str | None:
        from elasticpypi.storage.aws import rootlist

        return rootlist.link(files, serial)

    return Services(
        config,
        files,
        index,
        catalog,
        log,
        TableState(index.table),
        objects,
        threads=CONNECTIONS,
        subscribers=(_record(index, log), _policy(index, objects, log), _entries(index, catalog), root_list),
        root_link=root_link,
        claim=claim,
    )


def _record(index: Index, log: EventLog) -> Subscriber:
    """What brings events to their lasting place that a process left behind, or that nobody waited for."""

    def move(change: Change) -> Iterable[NormalizedName]:
        from elasticpypi.indexing.record import move

        if change.projects or not change.outcomes:
            move(index, log)
        return ()

    return move


def _policy(index: Index, objects: Objects, log: EventLog) -> Subscriber:
    """What makes a name ours for ever with the first file of a project, and has blocks act on what is new.

    When there is nothing else to do, it looks whether somebody has edited the policy.
    """
    seen: list[str | None] = [None, None]  # the revision at the last look, and the one that was told of

    def edited() -> None:
        from elasticpypi.repository.current_policy import DOCUMENT

        revision = objects.revision(DOCUMENT)
        if revision not in seen:  # told of at the next look: whoever applies it by a command does so by then
            seen[0] = revision
        elif revision != seen[1]:
            from elasticpypi.actions.policy_document import note_edited

            note_edited(objects, log)
            seen[1] = revision

    def follow(change: Change) -> Iterable[NormalizedName]:
        from elasticpypi.indexing import blocks, names

        if not change.outcomes:
            with suppress(Refusal):  # there is a next look
                edited()
        failed = names.keep(objects, index, change.projects)
        return failed + blocks.follow(objects, index, change.projects)

    return follow


def _entries(index: Index, catalog: Callable[[], Catalog]) -> Subscriber:
    """The catalog as a subscriber."""

    def follow(change: Change) -> Iterable[NormalizedName]:
        from elasticpypi.indexing.catalog import follow

        return follow(index, catalog(), change.projects)

    return follow


def with_staging(opened: Services) -> Services:
    """The same with a way for large files; nothing changes on one machine, which needs none."""
    if not opened.config.on_aws:
        return opened
    from elasticpypi.storage.aws.staging import S3Staging

    return replace(opened, staging=S3Staging(opened.config.bucket, opened.files, opened.config.link_seconds))


def with_subscribers(opened: Services) -> Services:
    """The same for whom nobody waits: changes bring the catalog, and the copy of a long root list, up to date."""
    return replace(opened, events=Events(*opened.subscribers))


def _link(config: Config) -> Callable[[File], str] | None:
    if not config.cloudfront_host:
        return None
    from elasticpypi.storage.aws.cloudfront import linker

    return linker(config.cloudfront_host, config.cloudfront_key_id, config.cloudfront_key, config.link_seconds)
