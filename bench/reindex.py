"""How long a rebuild of the index takes: `make bench-reindex`, `make bench-reindex ARGS=10000` for fewer files.

A folder of tiny wheels, ten to a project, and SQLite.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import click

from bench.packages import make_wheel
from elasticpypi.config import Config
from elasticpypi.indexing import audit, sync
from elasticpypi.wiring import services


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        packages = data / "packages"
        packages.mkdir()
        for number in range(count):
            make_wheel(packages, f"project{number // 10}", f"1.{number % 10}")
        opened = services(Config(data=data))
        for label, force in (("a new index", False), ("reindex of the same", True)):
            begin = time.monotonic()
            keys = audit.every_key(opened.files, opened.index)
            done = sum(1 for _ in sync.sync_all(opened.files, opened.index, keys, force=force))
            seconds = time.monotonic() - begin
            click.echo(f"{label}: {done} keys in {seconds:.1f} s, {done / seconds:.0f} a second")
        begin = time.monotonic()
        differing = sum(1 for _ in audit.changed_keys(opened.files, opened.index))
        click.echo(f"audit: {differing} differ, {time.monotonic() - begin:.1f} s")
        click.echo(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
