"""Questions: why something can be had, or not, and who had it."""

import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elasticpypi.cli.common import actor, data_option, opened_at
from elasticpypi.core.errors import ConfigurationError

if TYPE_CHECKING:
    from elasticpypi.actions.why import Answer, Why


@click.command()
@click.argument("what", metavar="NAME[==VERSION]")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every file.")
@click.option("--upstream", help="The other index, if not the one of the index that runs on this folder.")
@data_option
def why(what: str, as_json: bool, upstream: str | None, data: Path | None) -> None:
    """Say where a project comes from, which of its files can be had, and how to change that."""
    from elasticpypi.actions.why import why
    from elasticpypi.upstream.upstreams import remembered

    opened = opened_at(data, changes=False, upstream=upstream)
    if opened.upstreams and not opened.config.upstream and not opened.policy().upstreams:
        opened = replace(opened, config=replace(opened.config, upstream=remembered(opened.state)))
    found = why(opened, actor().principal, what)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1, ensure_ascii=False))
    else:
        _show(found, every="==" in what)


@click.command()
@click.argument("release", metavar="NAME==VERSION")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@data_option
def who(release: str, as_json: bool, data: Path | None) -> None:
    """Say who fetched files of a release in the last 90 days: users, addresses, the first and the last day."""
    from elasticpypi.core.exemptions import parse

    target, opened = parse(release), opened_at(data, changes=False)
    if opened.open_downloads is None:
        raise ConfigurationError("Who fetches files is recorded on one machine only.")
    found = opened.open_downloads().of(target.project, target.version)
    if as_json:
        rows = [{**each._asdict(), "first": f"{first}", "last": f"{last}"} for each, first, last in found]
        click.echo(json.dumps({"release": str(target), "fetched": rows}, indent=1, ensure_ascii=False))
        return
    for each, first, last in found:
        days = f"{first}" if first == last else f"{first} to {last}"
        click.echo(f"{each.filename}  {each.user}  {each.address}  {days}")
    if not found:
        click.echo(f"Nobody is recorded who fetched {target}. The setting DOWNLOADS says of which files that is.")


def _show(found: "Why", *, every: bool) -> None:
    """For people; of what can be had only the number if not ``every`` file is asked for."""
    host = f" ({found.host})" if found.host else ""
    place = f"{found.origin}, from the index {found.upstream}{host}" if found.upstream else found.origin
    click.echo(f"{found.name}: {place}. {found.rule}")
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")
    if found.reason:
        click.echo(f"{found.reason}{_to(found.change)}")
    shown = [file for file in found.files if every or not file.visible or file.reason]
    for change, files in groupby(shown, key=lambda file: file.change):
        said = "\n".join(map(_line, files))
        click.echo(f"{said}{'' if change in said else _to(change)}")
    if found.files and not every:
        click.echo(f"Visible: {sum(file.visible for file in found.files)} of {len(found.files)} files.")


def _line(file: "Answer") -> str:
    reason = file.reason or f"{file.filename} is visible."
    return reason if file.filename in reason else f"{file.filename}: {reason}"


def _to(change: str) -> str:
    return f"\n    To change that: {change}" if change else ""
