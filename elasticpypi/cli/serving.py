"""Serving on this machine."""

from pathlib import Path

import click

from elasticpypi.cli.common import config_of, data_option


@click.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on, 0 for any.  [default: 8080]")
@data_option
def serve(host: str | None, port: int | None, data: Path | None) -> None:
    """Run the index on this machine until it is stopped."""
    from elasticpypi.hosts.machine import processes

    processes.end_at_once()
    from elasticpypi.hosts.machine import server

    server.serve(config_of(listen=host, port=port, data=data))
