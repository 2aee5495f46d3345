"""Uploading packages, to any index."""

import click

from elasticpypi.core.errors import ConfigurationError


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
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
