"""Questions: why something can be had, or not, who had it, and who else has its name."""

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elasticpypi.cli.common import actor, data_option, opened_at, opened_behind, upstream_option
from elasticpypi.core.errors import ConfigurationError

if TYPE_CHECKING:
    from elasticpypi.actions.names import Elsewhere, Own
    from elasticpypi.actions.why import Answer, Why
    from elasticpypi.services import Services


@click.command()
@click.argument("what", metavar="NAME[==VERSION]")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every file.")
@upstream_option
@data_option
def why(what: str, as_json: bool, upstream: str | None, data: Path | None) -> None:
    """Say where a project comes from, which of its files can be had, and how to change that."""
    from elasticpypi.actions.why import why

    found = why(opened_behind(data, upstream), actor().principal, what)
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


@click.command()
@click.option("--ask", is_flag=True, help="Ask the other indexes whether they have these names too.")
@click.option("--yes", is_flag=True, help="Do not ask before names are told to another index.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@upstream_option
@data_option
def names(ask: bool, yes: bool, as_json: bool, upstream: str | None, data: Path | None) -> None:
    """List the names that are ours. With --ask, say which of them others have published elsewhere; exit status 1 if one
    has a newer version there. Names that the policy reserves are never asked for."""
    from elasticpypi.actions import names as action

    opened = opened_behind(data, upstream)
    own = action.own(opened, actor())
    if ask:
        _ask_for(opened, own, yes=yes, as_json=as_json)
    elif as_json:
        click.echo(json.dumps([each._asdict() for each in own], indent=1))
    else:
        for each in own:
            reserved = "  reserved by the policy" if each.reserved else ""
            click.echo(f"{each.name}  {each.version or 'no file any more'}{reserved}")


def _ask_for(opened: "Services", own: "list[Own]", *, yes: bool, as_json: bool) -> None:
    from elasticpypi.actions import names as action

    asked = [each for each in own if not each.reserved]
    indexes = ", ".join(f"{each.name!r} ({each.client.address})" for each in action.asked(opened))
    left = len(own) - len(asked)
    click.echo(f"This tells {len(asked)} names of yours to {indexes}: {_some(asked)}.", err=True)
    click.echo(f"{left} more are reserved by the policy, and stay here.", err=True)
    if asked and not yes:
        click.confirm("Go on?", abort=True, err=True)
    found = [each for each in action.elsewhere(opened, asked) if each]
    newer = [each for each in found if each.newer]
    if as_json:
        click.echo(json.dumps([each._asdict() for each in found], indent=1))
    else:
        for each in sorted(found, key=lambda each: not each.newer):
            click.echo(_beside(each))
        if not found:
            click.echo("None of them is there.")
    if newer:
        raise click.ClickException(
            f"{len(newer)} of your names have a newer version elsewhere: whoever asks there, too, gets that one."
        )


def _some(names: "list[Own]") -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(each.name for each in names[:20]) + more


def _beside(each: "Elsewhere") -> str:
    if each.trouble:
        return f"{each.name}: the index {each.upstream!r} has the name. {each.trouble}"
    since = f", uploaded {each.uploaded[:10]}" if each.uploaded else ""
    theirs = f"{each.theirs}{since}" if each.theirs else "no file of it"
    newer = "NEWER: " if each.newer else ""
    return f"{newer}{each.name}: ours is {each.ours or 'gone'}, the index {each.upstream!r} has {theirs}."


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
