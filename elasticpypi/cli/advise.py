"""Advisories: loaded, looked at, and accepted."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from elasticpypi.actions import advisories as actions
from elasticpypi.cli.common import actor, data_option, opened_at

if TYPE_CHECKING:
    from elasticpypi.core.advisories import About


@click.group("advisories", invoke_without_command=True)
@data_option
@click.pass_context
def advisories(ctx: click.Context, data: Path | None) -> None:
    """Say which advisories are loaded and how old they are; load others, accept what one says is malware."""
    ctx.obj = data
    if ctx.invoked_subcommand is None:
        about, warning = actions.current(opened_at(data, changes=False))
        if about:
            click.echo(f"{_numbers(about)} Loaded {about.loaded[:19]}Z by {about.by}.")
        elif not warning:
            click.echo("No advisories are loaded: elasticpypi advisories load FILE, FOLDER or ZIP.")
        if warning:
            raise click.ClickException(warning)


@advisories.command("load")
@click.argument("paths", metavar="FILE|FOLDER|ZIP...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--fewer", is_flag=True, help="Although there are less than half as many as before.")
@data_option
@click.pass_obj
def load(above: Path | None, paths: tuple[Path, ...], fewer: bool, data: Path | None) -> None:
    """Read OSV records, which replace all that were loaded before."""
    opened = opened_at(data or above)
    click.echo("Reading ...", err=True)
    loaded = actions.load_all(opened, actor(), paths, fewer=fewer)
    click.echo(f"{_numbers(loaded.about)}{'' if loaded.changed else ' They are as they were.'}")
    if loaded.others:
        click.echo(f"Left out: {loaded.others:,}, which are drafts, or not about PyPI.")
    before = loaded.before.newest if loaded.before and loaded.changed else ""
    if loaded.about.newest < before:
        click.echo(f"They are older than those before, of which the newest is of {before[:19]}Z.", err=True)


@advisories.command()
@click.argument("record", metavar="MAL-ID")
@click.argument("digest", metavar="sha256:DIGEST")
@click.option("--reason", required=True, help="Why; everybody can read it.")
@data_option
@click.pass_obj
def accept(above: Path | None, record: str, digest: str, reason: str, data: Path | None) -> None:
    """Let in one file although a record says that it is malware."""
    accepted = actions.accept(opened_at(data or above), actor(), record, digest, reason)
    click.echo(f"{accepted} is accepted.")


@advisories.command()
@click.argument("record", metavar="MAL-ID")
@click.argument("digest", metavar="sha256:DIGEST")
@data_option
@click.pass_obj
def unaccept(above: Path | None, record: str, digest: str, data: Path | None) -> None:
    """Take that back."""
    accepted = actions.unaccept(opened_at(data or above), actor(), record, digest)
    click.echo(f"{accepted} is not accepted.")


def _numbers(about: "About") -> str:
    return (
        f"{about.records:,} {'advisory' if about.records == 1 else 'advisories'} about {about.projects:,} "
        f"{'project' if about.projects == 1 else 'projects'}, {about.malware:,} of malware; the newest is of "
        f"{about.newest[:19]}Z."
    )
