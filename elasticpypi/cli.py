"""The command line: run, rebuild, decide, set up.

A command imports what it needs when it is called, so that `serve` does not wait for what the others need.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, get_args

import click
from packaging.utils import NormalizedName

from elasticpypi import __version__
from elasticpypi.accounts.principal import Actor, Principal
from elasticpypi.config import SETTINGS, Config
from elasticpypi.core.errors import ConfigurationError, Refusal
from elasticpypi.core.filename import project_name
from elasticpypi.core.keys import Status
from elasticpypi.services import Services
from elasticpypi.wiring import services, with_staging, with_subscribers

data_option = click.option("--data", type=click.Path(path_type=Path), help="Folder of the packages.  [default: data]")


class _Commands(click.Group):
    """Errors of ours are one sentence and exit status 1, never a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (ConfigurationError, Refusal) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="elasticpypi")
def main() -> None:
    """A private Python package index: on AWS, or on one machine.

    Everything is set by environment variables; `elasticpypi settings` lists them.
    """


def _config(**options: object) -> Config:
    """Settings, with options in the place of environment variables."""
    given = {name.upper(): str(value) for name, value in options.items() if value is not None}
    return Config.from_env({**os.environ, **given})


def _actor() -> Actor:
    """Whoever runs a command, by the name that they have on this machine."""
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number
        user = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return Actor(Principal(user, through="command"))


def _opened(data: Path | None, *, moved_from: str = "", changes: bool = True) -> Services:
    """Store and index as they are; a folder that is not there is not made.

    If something is to change: :class:`ConfigurationError` if the index is that of another store.
    """
    config = _config(data=data)
    if not config.on_aws and not config.data.is_dir():
        raise ConfigurationError(f"There is no folder {str(config.data)!r}: give the right one with --data.")
    if moved_from and not config.on_aws:
        raise ConfigurationError("--move-from is for an index on a bucket: leave it out, a folder may lie anywhere.")
    opened = with_subscribers(with_staging(services(config)))
    if changes:
        opened.claim(moved_from)
    return opened


@main.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on, 0 for any.  [default: 8080]")
@data_option
def serve(host: str | None, port: int | None, data: Path | None) -> None:
    """Run the index on this machine until it is stopped."""
    from elasticpypi.hosts.machine import processes

    processes.end_at_once()
    from elasticpypi.hosts.machine import server

    server.serve(_config(listen=host, port=port, data=data))


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def upload(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Upload packages to an index, with the options of `twine upload`; files of any size."""
    try:
        from elasticpypi.client import publish
    except ModuleNotFoundError:
        raise ConfigurationError("Uploading needs twine: pip install 'twine>=7'.") from None
    try:
        ctx.exit(0 if publish.upload(arguments) else 1)
    except KeyboardInterrupt:
        click.echo("Stopped: run the same command again to go on.", err=True)
        ctx.exit(130)


@main.command()
@click.option("--move-from", default="", help="The bucket until now, if its packages were copied to another one.")
@data_option
def reindex(move_from: str, data: Path | None) -> None:
    """Rebuild the index from the packages in the folder or bucket."""
    from elasticpypi.actions.policy import restore
    from elasticpypi.core import keys
    from elasticpypi.indexing import audit, sync

    opened = _opened(data, moved_from=move_from)
    files, index = opened.files, opened.index
    click.echo("Looking at what is there ...", err=True)
    begin = time.monotonic()
    counts: Counter[str] = Counter()
    projects: set[NormalizedName] = set()
    staged: list[str] = []
    for line in restore(opened, thorough=True):  # first: no file that is blocked may be served meanwhile
        click.echo(line)
    total = sum(1 for _ in files.list())
    with click.progressbar(length=total, label="Reading", file=sys.stderr, show_pos=True) as bar:
        for outcome in sync.sync_all(files, index, audit.every_key(files, index), force=True, threads=opened.threads):
            if keys.is_staged(outcome.key):
                staged.append(outcome.key)
                continue
            counts["left out" if outcome.action == "ignored" else outcome.action] += 1
            if outcome.reason:
                _echo_beside_bar(audit.line(outcome))
            if not isinstance(key := keys.parse(outcome.key), keys.IgnoredKey):
                projects.add(key.project)
            bar.update(1)
    if staged:
        from elasticpypi.actions import upload_sessions

        for outcome in upload_sessions.finish_all(opened, staged):
            counts[outcome.action] += 1
            click.echo(audit.line(outcome))
        projects.update(opened.catalog.stale())
    opened.events.tell([], also=projects)
    restore(opened)
    seconds = time.monotonic() - begin
    numbers = ", ".join(f"{count} {action}" for action, count in sorted(counts.items())) or "nothing there"
    click.echo(f"{counts.total()} keys in {seconds:.1f} s ({counts.total() / seconds:.0f} a second): {numbers}.")
    if counts["failed"]:
        raise click.ClickException("Some keys failed: run it again.")


def _echo_beside_bar(line: str) -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)  # the bar is drawn again below the line
    click.echo(line)


@main.command("audit")
@click.option("--repair", is_flag=True, help="Put right what differs.")
@data_option
def compare(repair: bool, data: Path | None) -> None:
    """Compare the index with the packages in the folder or bucket. Exit status 1 if they differ."""
    from elasticpypi.actions.audit import audit
    from elasticpypi.indexing.audit import Report, line

    opened, report = _opened(data, changes=repair), Report(repair=repair)
    for outcome in audit(opened, report):
        click.echo(line(outcome))
    if repair:
        opened.events.tell([], also=opened.catalog.stale())
    click.echo(report)
    if report.failed:
        raise click.ClickException("Some keys failed: run it again.")
    if report.differ and not repair:
        raise click.ClickException("The index differs: elasticpypi audit --repair puts it right.")


@main.command()
@click.argument("what")
@click.option("--reason", default="", help="Why; installers show it to those who pinned the file.")
@data_option
def yank(what: str, reason: str, data: Path | None) -> None:
    """Yank a file (demo-1.0.tar.gz) or a release (demo==1.0): only an exact pin installs it."""
    from elasticpypi.actions import decisions

    opened = _opened(data)
    for name in decisions.files_of(opened, _actor(), what):
        decisions.yank(opened, _actor(), name, reason)
        click.echo(f"{name} is yanked.")


@main.command()
@click.argument("what")
@data_option
def unyank(what: str, data: Path | None) -> None:
    """Take back the yank of a file or a release."""
    from elasticpypi.actions import decisions

    opened = _opened(data)
    for name in decisions.files_of(opened, _actor(), what):
        decisions.unyank(opened, _actor(), name)
        click.echo(f"{name} is not yanked.")


@main.command()
@click.argument("what")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def delete(what: str, yes: bool, data: Path | None) -> None:
    """Delete a file or a release for good. Its name cannot be used for other bytes."""
    from elasticpypi.actions import decisions

    opened = _opened(data)
    names = decisions.files_of(opened, _actor(), what)
    if not yes:
        click.confirm(f"Delete {', '.join(names)} for good?", abort=True)
    for name in names:
        decisions.delete(opened, _actor(), name)
        click.echo(f"{name} is deleted.")


@main.command()
@click.argument("project")
@click.argument("status", type=click.Choice(get_args(Status)))
@click.option("--reason", default="", help="Why; shown beside the status.")
@data_option
def status(project: str, status: str, reason: str, data: Path | None) -> None:
    """Set the status of a project. Archived: no uploads. Quarantined: no uploads, no downloads."""
    from elasticpypi.actions import decisions

    opened = _opened(data)
    name = project_name(project)
    decisions.set_status(opened, _actor(), name, status, reason)
    click.echo(f"{name} is {status}.")


@main.group("policy")
def policy_group() -> None:
    """The policy document: show it, check a file, apply it."""


@policy_group.command()
@data_option
def show(data: Path | None) -> None:
    """Print the policy of now."""
    from elasticpypi.actions import policy_document

    text, _ = policy_document.read(_opened(data), _actor())
    click.echo(text or policy_document.EMPTY, nl=False)


@policy_group.command()
@click.argument("file", type=click.File("rb"))
def check(file: IO[bytes]) -> None:
    """Say whether a file is right; - for standard input."""
    from elasticpypi.policy import parse

    parse(file.read())
    click.echo("The policy is right.")


@policy_group.command("apply")
@click.argument("file", type=click.File("rb"))
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def apply_policy(file: IO[bytes], yes: bool, data: Path | None) -> None:
    """Replace the policy by a file, after showing what changes; it acts within a second."""
    from elasticpypi.actions import policy_document
    from elasticpypi.policy import parse

    document, opened = file.read(), _opened(data)
    parse(document)
    before, tag = policy_document.read(opened, _actor())
    if difference := policy_document.difference(before, document.decode()):
        click.echo(difference)
        if not yes:
            click.confirm("Apply this?", abort=True)
    changed, _ = policy_document.apply(opened, _actor(), document, tag)
    click.echo(f"The policy is {'changed' if changed else 'as it was'}.")


@main.command()
@click.argument("project")
@click.argument("where", metavar="[private|upstream|both|denied|unset]", default="")
@click.option("--reason", default="", help="Why.")
@data_option
def origin(project: str, where: str, reason: str, data: Path | None) -> None:
    """Say where the files of a name come from, whatever the policy says; or show what was said."""
    from elasticpypi.actions import policy

    opened, name = _opened(data), project_name(project)
    if where:
        policy.set_origin(opened, _actor(), name, where, reason)
    said = policy.origin(opened, name)
    by = f" ({said.by}, {said.at[:10]}{said.reason and f': {said.reason}'})" if said.value else ""
    click.echo(f"{name}: {said.value or policy.UNSET}{by}")


@main.command()
@click.argument("what")
@click.option("--reason", required=True, help="Why; everybody is told who asks for it.")
@data_option
def block(what: str, reason: str, data: Path | None) -> None:
    """Shut off a project (demo), a release (demo==1.0) or a file by its digest (sha256:...), for everybody."""
    from elasticpypi.actions import policy

    click.echo(f"{policy.block(_opened(data), _actor(), what, reason)} is blocked.")


@main.command()
@click.argument("what")
@data_option
def unblock(what: str, data: Path | None) -> None:
    """Take a block back."""
    from elasticpypi.actions import policy

    click.echo(f"{policy.unblock(_opened(data), _actor(), what)} is not blocked.")


@main.command("disown")
@click.argument("project")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def disown(project: str, yes: bool, data: Path | None) -> None:
    """Let go of the name of a project that has no file any more: it may come from elsewhere then."""
    from elasticpypi.actions import policy

    opened, name = _opened(data), project_name(project)
    if not yes:
        click.confirm(f"Then others may publish {name}, and installers may take it from there. Go on?", abort=True)
    policy.disown(opened, _actor(), name)
    click.echo(f"{name} is not ours any more.")


@main.command()
@click.option("--after", default="", help="Only those behind the event with this id.")
@click.option("--type", "kind", default="", help="Only those of a type, such as file.uploaded, or file.")
@click.option("--project", default="", help="Only those of a project.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each.")
@data_option
def events(after: str, kind: str, project: str, as_json: bool, data: Path | None) -> None:
    """Show who did what, the oldest first."""
    from elasticpypi.actions.events import PAGE, read

    opened = _opened(data)
    while True:
        found, last = read(opened, after, PAGE, type=kind, project=project)
        for event in found:
            click.echo(event.dump().decode() if as_json else event.line())
        if last == after:
            return
        after = last


@main.command()
@data_option
def password(data: Path | None) -> None:
    """Set a new password for the user that the first start made."""
    import getpass

    from elasticpypi.accounts import first_user

    config = _config(data=data)
    if config.on_aws or config.users:
        raise ConfigurationError("The users are set in the environment: change PASSWORD or USERS there.")
    if sys.stdin.isatty():
        chosen = getpass.getpass("New password (empty for a random one): ")
        if chosen and chosen != getpass.getpass("Again: "):
            raise click.ClickException("The two are not the same: nothing was changed.")
    else:
        chosen = sys.stdin.readline().rstrip("\n")
    url = config.public_url or first_user.address(config, config.listen, config.port)
    click.echo(first_user.set_password(config.data, url, chosen)[1])
    click.echo("It holds from the next start, or SIGHUP.")


@main.command()
@click.option("--markdown", is_flag=True, help="As the table of docs/settings.md.")
def settings(markdown: bool) -> None:
    """List all settings: environment variables, defaults, what they do."""
    if markdown:
        click.echo("| Setting | Default | What it does |\n|---|---|---|")
        for setting in SETTINGS:
            default = f"`{setting.default}`" if setting.default else ""
            click.echo(f"| `{setting.name}` | {default} | {setting.help} |")
        return
    width = max(len(setting.name) for setting in SETTINGS)
    for setting in SETTINGS:
        default = f"  [default: {setting.default}]" if setting.default else ""
        click.echo(f"{setting.name:{width}}  {setting.help}{default}")
