"""Decisions about files and projects."""

from pathlib import Path
from typing import get_args

import click

from elasticpypi.actions import decisions
from elasticpypi.cli.common import actor, data_option, opened_at
from elasticpypi.core.filename import project_name
from elasticpypi.core.keys import Status


@click.command()
@click.argument("what")
@click.option("--reason", default="", help="Why; installers show it to those who pinned the file.")
@data_option
def yank(what: str, reason: str, data: Path | None) -> None:
    """Yank a file (demo-1.0.tar.gz) or a release (demo==1.0): only an exact pin installs it."""
    opened = opened_at(data)
    for name in decisions.files_of(opened, actor(), what):
        decisions.yank(opened, actor(), name, reason)
        click.echo(f"{name} is yanked.")


@click.command()
@click.argument("what")
@data_option
def unyank(what: str, data: Path | None) -> None:
    """Take back the yank of a file or a release."""
    opened = opened_at(data)
    for name in decisions.files_of(opened, actor(), what):
        decisions.unyank(opened, actor(), name)
        click.echo(f"{name} is not yanked.")


@click.command()
@click.argument("what")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def delete(what: str, yes: bool, data: Path | None) -> None:
    """Delete a file or a release for good. Its name cannot be used for other bytes."""
    opened = opened_at(data)
    names = decisions.files_of(opened, actor(), what)
    if not yes:
        click.confirm(f"Delete {', '.join(names)} for good?", abort=True)
    for name in names:
        decisions.delete(opened, actor(), name)
        click.echo(f"{name} is deleted.")


@click.command()
@click.argument("project")
@click.argument("status", type=click.Choice(get_args(Status)))
@click.option("--reason", default="", help="Why; shown beside the status.")
@data_option
def status(project: str, status: str, reason: str, data: Path | None) -> None:
    """Set the status of a project. Archived: no uploads. Quarantined: no uploads, no downloads."""
    opened = opened_at(data)
    name = project_name(project)
    decisions.set_status(opened, actor(), name, status, reason)
    click.echo(f"{name} is {status}.")
