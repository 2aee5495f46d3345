"""The index, made again or held against the store."""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
from packaging.utils import NormalizedName

from elasticpypi.actions import upload_sessions
from elasticpypi.actions.audit import audit
from elasticpypi.actions.policy import restore
from elasticpypi.cli.common import data_option, opened_at
from elasticpypi.core import keys
from elasticpypi.indexing import sync
from elasticpypi.indexing.audit import Report, every_key, line


@click.command()
@click.option("--move-from", default="", help="The bucket until now, if its packages were copied to another one.")
@data_option
def reindex(move_from: str, data: Path | None) -> None:
    """Rebuild the index from the packages in the folder or bucket."""
    opened = opened_at(data, moved_from=move_from)
    files, index = opened.files, opened.index
    who = sync.put_by(index)
    click.echo("Looking at what is there ...", err=True)
    begin = time.monotonic()
    counts: Counter[str] = Counter()
    projects: set[NormalizedName] = set()
    staged: list[str] = []
    for text in restore(opened, thorough=True):  # first: no file that is blocked may be served meanwhile
        click.echo(text)
    total = sum(1 for _ in files.list())
    with click.progressbar(length=total, label="Reading", file=sys.stderr, show_pos=True) as bar:
        every = every_key(files, index)
        options: Any = {"force": True, "threads": opened.threads, "who": who, "beside": opened.beside}
        for outcome in sync.sync_all(files, index, every, **options):
            if keys.is_staged(outcome.key):
                staged.append(outcome.key)
                continue
            counts["left out" if outcome.action == "ignored" else outcome.action] += 1
            if outcome.reason:
                _echo_beside_bar(line(outcome))
            if not isinstance(key := keys.parse(outcome.key), keys.IgnoredKey):
                projects.add(key.project)
            bar.update(1)
    if staged:
        for outcome in upload_sessions.finish_all(opened, staged):
            counts[outcome.action] += 1
            click.echo(line(outcome))
        projects.update(opened.catalog.stale())
    opened.events.tell([], also=projects)
    restore(opened)
    seconds = time.monotonic() - begin
    numbers = ", ".join(f"{count} {action}" for action, count in sorted(counts.items())) or "nothing there"
    click.echo(f"{counts.total()} keys in {seconds:.1f} s ({counts.total() / seconds:.0f} a second): {numbers}.")
    if who is None and not counts["failed"]:
        index.mark_whole()
    if counts["failed"]:
        raise click.ClickException("Some keys failed: run it again.")


def _echo_beside_bar(line: str) -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)  # the bar is drawn again below the line
    click.echo(line)


@click.command("audit")
@click.option("--repair", is_flag=True, help="Put right what differs.")
@data_option
def compare(repair: bool, data: Path | None) -> None:
    """Compare the index with the packages in the folder or bucket. Exit status 1 if they differ."""
    opened, report = opened_at(data, changes=repair), Report(repair=repair)
    for outcome in audit(opened, report):
        click.echo(line(outcome))
    if repair:
        opened.events.tell([], also=opened.catalog.stale())
    click.echo(report)
    if report.failed:
        raise click.ClickException("Some keys failed: run it again.")
    if report.differ and not repair:
        raise click.ClickException("The index differs: elasticpypi audit --repair puts it right.")
