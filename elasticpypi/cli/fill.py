"""What is kept of other indexes: fetched before anybody asks for it, and carried to where nobody can be asked."""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import click

from elasticpypi.cli.common import actor, data_option, opened_behind, upstream_option

if TYPE_CHECKING:
    from elasticpypi.actions.carry import Carried
    from elasticpypi.actions.prefetch import Outcome, Wanted
    from elasticpypi.core.lock_files import Locked
    from elasticpypi.services import Services

MB = 1e6


@click.command()
@click.option(
    *("-r", "--requirement", "files"),
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    help="A requirements.txt with exact versions, uv.lock, pylock.toml, poetry.lock or pdm.lock; may be repeated.",
)
@click.option(
    *("--platform", "platforms"),
    multiple=True,
    help="Only what this one can install, such as manylinux_2_28_x86_64 or win_amd64; may be repeated.",
)
@click.option(
    "--python", "pythons", multiple=True, help="Only what this one can install, such as 3.12; may be repeated."
)
@upstream_option
@data_option
def prefetch(
    files: tuple[Path, ...],
    platforms: tuple[str, ...],
    pythons: tuple[str, ...],
    upstream: str | None,
    data: Path | None,
) -> None:
    """Fetch what lock files name from other indexes, as far as the policy lets it in. Exit status 1 if some is missing.

    All files of a release, unless --platform or --python says for what. What is kept is skipped, so it can be stopped
    and run again at any time, also beside an index that runs on this folder.
    """
    from elasticpypi.actions import prefetch as action
    from elasticpypi.core import targets

    releases = _locked(files, platforms, pythons)
    opened, wanted = opened_behind(data, upstream), targets.targets(platforms, pythons)
    if logging.lastResort:
        logging.lastResort.setLevel(logging.ERROR)  # what is refused is said below
    todo: list[Wanted] = []
    outcomes: list[Outcome] = []
    with _bar(len(releases), "Looking") as done:
        for plan in action.plans(opened, actor().principal, releases, wanted):
            todo += plan.wanted
            outcomes += plan.outcomes
            done(1)
    missing = action.missing(opened, todo)
    _say_if_too_much(opened, sum(max(each.size, 0) for each in todo))
    with _bar(sum(max(each.size, 0) for each in missing), "Fetching") as done:
        for outcome in action.fetched(opened, missing, done):
            outcomes.append(outcome)
            if outcome.kind == "fetched" and not sys.stderr.isatty():
                click.echo(f"{outcome.what}  {outcome.size / MB:.1f} MB", err=True)
    _report(outcomes, len({each.sha256 for each in todo}) - len(missing))


def _locked(files: tuple[Path, ...], platforms: tuple[str, ...], pythons: tuple[str, ...]) -> "list[Locked]":
    from elasticpypi.core import lock_files, targets

    where = targets.environments(platforms, pythons)
    found = (
        lock_files.read(str(file), file.read_bytes(), lambda name: Path(name).read_bytes(), where) for file in files
    )
    return lock_files.joined(each for some in found for each in some)


@contextmanager
def _bar(length: int, label: str) -> Iterator[Callable[..., None]]:
    """Takes how much more is done, of how much, from any thread; where nobody looks on, it is only its label."""
    lock = Lock()
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:

        def update(more: int, total: int = length) -> None:
            with lock:
                bar.length = total
                bar.update(more)

        yield update


def _say_if_too_much(opened: "Services", size: int) -> None:
    """What is beyond the room of other indexes is removed again, what was used least recently first."""
    room = opened.upstreams.room() if opened.upstreams else 0
    if size > room:
        click.echo(
            f"These are {size / MB:.0f} MB, and there is room for {room / MB:.0f}: set room of [upstream.main] in the "
            "policy, or some of it is removed again.",
            err=True,
        )


def _report(outcomes: "list[Outcome]", kept: int) -> None:
    """What is not there, and why; then how many of each kind."""
    bad = [each for each in outcomes if each.kind in ("refused", "missing", "failed")]
    for outcome in sorted(bad):
        click.echo(f"{outcome.kind}: {outcome.reason}")
    for outcome in outcomes:
        if outcome.kind == "elsewhere":
            click.echo(f"left out: {outcome.reason}")
    counts = Counter(each.kind for each in outcomes)
    size = sum(each.size for each in outcomes if each.kind == "fetched")
    told = [f"{counts['fetched']} files fetched ({size / MB:.1f} MB)", f"{counts['kept'] + kept} were kept already"]
    told += [f"{counts[kind]} {kind}" for kind in ("refused", "missing", "failed") if counts[kind]]
    told += [f"{counts['ours']} releases are ours"] * bool(counts["ours"])
    click.echo(f"{', '.join(told)}.")
    if bad:
        raise click.ClickException("Not everything is there: the lines above say why.")


@click.group()
def carry() -> None:
    """Carry what is kept of other indexes to an index that cannot ask them."""


@carry.command("out")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="DATE",
    help="Only files that came, or were used, since this day or moment (UTC), beside those that the folder has.",
)
@upstream_option
@data_option
def carry_out(folder: Path, since: datetime | None, upstream: str | None, data: Path | None) -> None:
    """Put all pages and files that are kept into FOLDER, with a manifest. What it has already is not copied again."""
    from elasticpypi.actions import carry as action

    opened = opened_behind(data, upstream)
    begin = since.replace(tzinfo=UTC).timestamp() if since else 0.0
    with _bar(0, "Carrying out") as done:
        found = action.out(opened, folder, begin, done)
    click.echo(f"{_carried(found)} in {str(folder)!r}: {found.new} of them are new ({found.size / MB:.1f} MB).")
    click.echo(f"sha256 of its manifest: {found.sha256}")


@carry.command("in")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@upstream_option
@data_option
def carry_in(folder: Path, upstream: str | None, data: Path | None) -> None:
    """Take what FOLDER has, after all of it was held against its manifest; nothing if any of it is wrong."""
    from elasticpypi.actions import carry as action

    opened = opened_behind(data, upstream)
    with _bar(0, "Carrying in") as done:
        found = action.into(opened, actor(), folder, done)
    click.echo(f"{_carried(found)}: {found.new} of them are new here ({found.size / MB:.1f} MB).")
    if found.older:
        click.echo(f"{found.older} pages are newer here, and stay.")
    click.echo(f"sha256 of its manifest: {found.sha256}")


def _carried(found: "Carried") -> str:
    return f"{found.pages} pages and {found.files} files"
