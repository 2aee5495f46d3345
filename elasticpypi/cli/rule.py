"""The policy, and what administrators decide about names, versions and digests."""

import json
from pathlib import Path
from typing import IO

import click

from elasticpypi.actions import policy, policy_document
from elasticpypi.cli.common import actor, data_option, opened_at
from elasticpypi.core.filename import project_name
from elasticpypi.policy import parse


@click.group("policy")
def policy_group() -> None:
    """The policy document: show it, check a file, apply it."""


@policy_group.command()
@data_option
def show(data: Path | None) -> None:
    """Print the policy of now."""
    text, _ = policy_document.read(opened_at(data), actor())
    click.echo(text or policy_document.EMPTY, nl=False)


@policy_group.command()
@click.argument("file", type=click.File("rb"))
def check(file: IO[bytes]) -> None:
    """Say whether a file is right; - for standard input."""
    parse(file.read())
    click.echo("The policy is right.")


@policy_group.command("apply")
@click.argument("file", type=click.File("rb"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def apply_policy(file: IO[bytes], yes: bool, data: Path | None) -> None:
    """Replace the policy by a file, after showing what changes; it acts within a second."""
    document, opened = file.read(), opened_at(data)
    parse(document)
    before, tag = policy_document.read(opened, actor())
    if difference := policy_document.difference(before, document.decode()):
        click.echo(difference)
        if not yes:
            click.confirm("Apply this?", abort=True)
    changed, _ = policy_document.apply(opened, actor(), document, tag)
    click.echo(f"The policy is {'changed' if changed else 'as it was'}.")


@click.command()
@click.argument("project")
@click.argument("where", metavar="[private|upstream|both|denied|unset]", default="")
@click.option("--reason", default="", help="Why.")
@data_option
def origin(project: str, where: str, reason: str, data: Path | None) -> None:
    """Say where the files of a name come from, whatever the policy says; or show what was said."""
    opened, name = opened_at(data), project_name(project)
    if where:
        policy.set_origin(opened, actor(), name, where, reason)
    said = policy.origin(opened, name)
    by = f" ({said.by}, {said.at[:10]}{said.reason and f': {said.reason}'})" if said.value else ""
    click.echo(f"{name}: {said.value or policy.UNSET}{by}")


@click.command()
@click.argument("what")
@click.option("--reason", required=True, help="Why; everybody is told who asks for it.")
@data_option
def block(what: str, reason: str, data: Path | None) -> None:
    """Shut off a project (demo), a release (demo==1.0) or a file by its digest (sha256:...), for everybody."""
    click.echo(f"{policy.block(opened_at(data), actor(), what, reason)} is blocked.")


@click.command()
@click.argument("what")
@data_option
def unblock(what: str, data: Path | None) -> None:
    """Take a block back."""
    click.echo(f"{policy.unblock(opened_at(data), actor(), what)} is not blocked.")


@click.command()
@click.argument("release", metavar="NAME==VERSION")
@click.option("--until", required=True, metavar="DATE", help="A day, with all of it, or a moment; UTC.")
@click.option("--reason", required=True, help="Why; everybody can read it.")
@data_option
def exempt(release: str, until: str, reason: str, data: Path | None) -> None:
    """Let one release of another index be seen before it is old enough."""
    what, end = policy.exempt(opened_at(data), actor(), release, until, reason)
    click.echo(f"{what} is exempt until {end[:19]}Z.")


@click.command()
@click.argument("release", metavar="NAME==VERSION")
@data_option
def unexempt(release: str, data: Path | None) -> None:
    """Take an exemption back."""
    click.echo(f"{policy.unexempt(opened_at(data), actor(), release)} is not exempt.")


json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.command()
@json_option
@data_option
def blocks(as_json: bool, data: Path | None) -> None:
    """List what is blocked, with the reasons."""
    _list("blocks", "Nothing is blocked.", as_json, data)


@click.command()
@json_option
@data_option
def origins(as_json: bool, data: Path | None) -> None:
    """List the names of which an administrator said where they come from."""
    _list("origins", "Of no name it is said where it comes from: the policy decides.", as_json, data)


@click.command()
@json_option
@data_option
def exemptions(as_json: bool, data: Path | None) -> None:
    """List the releases that may be seen before they are old enough."""
    _list("exemptions", "Nothing is exempt.", as_json, data)


def _list(kind: str, nothing: str, as_json: bool, data: Path | None) -> None:
    opened, found = opened_at(data, changes=False), []
    after: str | None = ""
    while after is not None:
        some, after = policy.listed(opened, actor(), kind, after)
        found += some
    if as_json:
        click.echo(json.dumps({kind: found}, indent=1, ensure_ascii=False))
        return
    for each in found:
        *said, reason, by, at = each.values()
        click.echo("  ".join([*said, *([f"by {by}, {at[:10]}"] if by else []), *([reason] if reason else [])]))
    if not found:
        click.echo(nothing)


@click.command("disown")
@click.argument("project")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def disown(project: str, yes: bool, data: Path | None) -> None:
    """Let go of the name of a project that has no file any more: it may come from elsewhere then."""
    opened, name = opened_at(data), project_name(project)
    if not yes:
        click.confirm(f"Then others may publish {name}, and installers may take it from there. Go on?", abort=True)
    policy.disown(opened, actor(), name)
    click.echo(f"{name} is not ours any more.")
