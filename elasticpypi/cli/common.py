"""What commands share: the folder, the settings, who it is."""

import getpass
import os
from dataclasses import replace
from pathlib import Path

import click

from elasticpypi.accounts.principal import Actor, Principal
from elasticpypi.config import Config
from elasticpypi.core.errors import ConfigurationError
from elasticpypi.services import Services
from elasticpypi.wiring import services, with_staging, with_subscribers

data_option = click.option("--data", type=click.Path(path_type=Path), help="Folder of the packages.  [default: data]")


def config_of(**options: object) -> Config:
    """Settings, with options in the place of environment variables."""
    given = {name.upper(): str(value) for name, value in options.items() if value is not None}
    return Config.from_env({**os.environ, **given})


def actor() -> Actor:
    """Whoever runs a command, by the name that they have on this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number
        user = str(os.getuid()) if hasattr(os, "getuid") else "somebody"
    return Actor(Principal(user, through="command"))


def opened_at(
    data: Path | None, *, moved_from: str = "", changes: bool = True, upstream: str | None = None
) -> Services:
    """Store and index as they are; a folder that is not there is not made. ``upstream`` replaces that setting.

    If something is to change: :class:`ConfigurationError` if the index is that of another store.
    """
    config = config_of(data=data, upstream=upstream)
    if not config.on_aws and not config.data.is_dir():
        raise ConfigurationError(f"There is no folder {str(config.data)!r}: give the right one with --data.")
    if moved_from and not config.on_aws:
        raise ConfigurationError("--move-from is for an index on a bucket: leave it out, a folder may lie anywhere.")
    opened = replace(with_subscribers(with_staging(services(config))), serves=False)
    if changes:
        opened.claim(moved_from)
    return opened
