"""The password and the settings."""

import getpass
import sys
from pathlib import Path

import click

from elasticpypi.accounts import first_user
from elasticpypi.cli.common import config_of, data_option
from elasticpypi.config import SETTINGS
from elasticpypi.core.errors import ConfigurationError


@click.command()
@data_option
def password(data: Path | None) -> None:
    """Set a new password for the user that the first start made."""
    config = config_of(data=data)
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


@click.command()
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
