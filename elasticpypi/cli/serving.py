"""Serving on this machine."""

from pathlib import Path

import click

from elasticpypi.cli.common import config_of, data_option


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on, 0 for any.  [default: 8080]")
@click.option("--upstream", help="Another index for what is not here: its address, or pip for the one that pip uses.")
@data_option
def serve(host: str | None, port: int | None, upstream: str | None, data: Path | None) -> None:
    """Run the index on this machine until it is stopped."""
    from elasticpypi.hosts.machine import processes

    processes.end_at_once()
    from elasticpypi.hosts.machine import server

    server.serve(config_of(listen=host, port=port, upstream=upstream, data=data))
