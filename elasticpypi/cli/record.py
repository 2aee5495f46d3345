"""The record of who did what."""

from pathlib import Path

import click

from elasticpypi.actions.events import PAGE, read
from elasticpypi.cli.common import data_option, opened_at


@click.command()
@click.option("--after", default="", help="Only those behind the event with this id.")
@click.option("--type", "kind", default="", help="Only those of a type, such as file.uploaded, or file.")
@click.option("--project", default="", help="Only those of a project.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each.")
@data_option
def events(after: str, kind: str, project: str, as_json: bool, data: Path | None) -> None:
    """Show who did what, the oldest first."""
    opened = opened_at(data)
    while True:
        found, last = read(opened, after, PAGE, type=kind, project=project)
        for event in found:
            click.echo(event.dump().decode() if as_json else event.line())
        if last == after:
            return
        after = last
