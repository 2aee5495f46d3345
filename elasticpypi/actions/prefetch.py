"""What lock files name is fetched from other indexes before anybody asks for it (REQ-U71).

Each file is checked as one that is asked for: where its name comes from, whether it may be seen, its digest. What is
kept is skipped, so that a run that was broken off goes on where it was.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, TypeVar
from urllib.parse import unquote

from packaging.utils import canonicalize_version

from elasticpypi.accounts.principal import Principal
from elasticpypi.core.errors import Blocked, ConfigurationError, LoopDetected, NotFound, Unavailable
from elasticpypi.core.lock_files import Locked
from elasticpypi.core.model import Project
from elasticpypi.core.targets import Target, chosen
from elasticpypi.core.upstream import METADATA, UpstreamFile
from elasticpypi.services import Services
from elasticpypi.upstream import metadata
from elasticpypi.upstream.fetch import Client

THREADS = 8
PAUSES = (2.0, 15.0, 35.0)  # seconds before another try: an index that fails has a pause of 30 s
LEFT = "gone", "vanished"  # rules of files that have left their page: only who names their bytes means them
MOST_FAILURES = 6  # one after the other: then nobody is there

Kind = Literal["fetched", "kept", "refused", "missing", "failed", "ours", "elsewhere"]
Item = TypeVar("Item")
Made = TypeVar("Made")


class Outcome(NamedTuple):
    """What became of a file or a release; ``reason`` is a sentence where there is something to say."""

    kind: Kind
    what: str
    reason: str = ""
    size: int = 0


class Wanted(NamedTuple):
    """A file that may be fetched, or its metadata; ``size`` is -1 if nobody knows it.

    ``core`` is the sha256 of core metadata that are taken out of a wheel and not fetched, "" if nobody knows it yet;
    ``take`` takes them once the wheel is kept, None if there is nothing to be done.
    """

    client: Client
    filename: str
    sha256: str
    url: str
    size: int
    core: str = ""
    take: Callable[[], object] | None = None


class Plan(NamedTuple):
    """What is wanted of a release, and what cannot be had of it."""

    wanted: tuple[Wanted, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


def plans(
    services: Services, reader: Principal, releases: Sequence[Locked], targets: Sequence[Target]
) -> Iterator[Plan]:
    """One for each release, in any order; pages are asked for as by a request.

    :class:`ConfigurationError` if no other index is asked here, :class:`Unavailable` if they do not answer at all.
    """
    if services.upstreams is None or not services.upstreams():
        raise ConfigurationError("No other index is asked: name one in the policy, or with --upstream.")

    def plan(release: Locked) -> Plan:
        return _again(lambda: _plan(services, reader, release, targets), lambda why: _only("failed", release, why))

    yield from _while_somebody_is_there(_beside(plan, releases), lambda made: made.outcomes)


def fetched(services: Services, wanted: Sequence[Wanted], progress: Callable[[int], None]) -> Iterator[Outcome]:
    """What became of each file, in any order; ``progress`` is told bytes as they come, from any thread.

    :class:`Unavailable` if the other indexes do not answer at all.
    """

    def fetch(file: Wanted) -> Outcome:
        return _again(lambda: _fetch(services, file, progress), lambda why: Outcome("failed", file.filename, why))

    yield from _while_somebody_is_there(_beside(fetch, wanted), lambda outcome: [outcome])


def missing(services: Services, wanted: Sequence[Wanted]) -> list[Wanted]:
    """Those that are not kept, each once; of wheels that are, core metadata are taken out again where these are not."""
    assert services.upstreams is not None
    # A bucket lists a thousand in the time in which it tells of one.
    kept = {each.sha256 for each in services.upstreams.store.every_file()}
    for each in wanted:
        if each.take and each.sha256 in kept and each.core not in kept:
            each.take()
    return [each for digest, each in {each.sha256: each for each in wanted}.items() if digest not in kept]


def _plan(services: Services, reader: Principal, release: Locked, targets: Sequence[Target]) -> Plan:
    assert services.first_match is not None
    if release.elsewhere:
        return _only("elsewhere", release, f"{release} comes from {release.elsewhere}, and no index has it.")
    where = services.first_match.origin(release.project)
    if where.where == "private":
        return _only("ours", release, where.rule)
    if where.where == "denied":
        return _only("refused", release, f"{release.project} is not let in. {where.rule}")
    found = services.repository.project(reader, release.project)
    if found is None:
        return _only("missing", release, f"No index that is asked here has a project {release.project!r}.")
    project = found[1]
    theirs = _of_release(project, release)
    if not theirs:
        if project.status == "quarantined":
            return _only("refused", release, project.status_reason)
        own = [file for file in project.files if file.ours]
        if own:
            return _only("ours", release, where.rule)
        return _only("missing", release, f"The index {project.upstream!r} has no release {release}.")
    wanted, outcomes = [], []
    named, missing = _named(release, theirs, targets)
    for filename in missing:
        reason = f"{filename} is not on the page of {release.project}, or has other bytes there."
        outcomes.append(Outcome("missing", filename, reason))
    for file in named:
        try:
            wanted += _checked(services, reader, project, release, file)
        except Blocked as error:
            outcomes.append(Outcome("refused", file.filename, str(error)))
        except NotFound as error:
            outcomes.append(Outcome("missing", file.filename, str(error)))
    if not wanted and not outcomes:
        outcomes.append(Outcome("missing", str(release), f"No file of {release} is for what was asked for."))
    return Plan(tuple(wanted), tuple(outcomes))


def _of_release(project: Project, release: Locked) -> list[UpstreamFile]:
    """Its files at another index, seen or held. Those of all releases where only digests say which one it is."""
    every = [*project.files, *(held.file for held in project.held if release.files or held.rule not in LEFT)]
    theirs = [file for file in every if isinstance(file, UpstreamFile)]
    if not release.version:
        return theirs if release.files else []
    return [file for file in theirs if canonicalize_version(file.version) == release.version]


def _named(
    release: Locked, theirs: Sequence[UpstreamFile], targets: Sequence[Target]
) -> tuple[list[UpstreamFile], list[str]]:
    """The files that are named and wanted, and the names of those that are not there."""
    there, gone = {file.filename: file for file in theirs}, list[str]()
    if release.files:
        there = {file.filename: file for file in theirs if file.sha256 in release.files}
        found = {file.sha256 for file in there.values()}
        gone = [name or f"sha256:{digest}" for digest, name in release.files.items() if digest not in found]
        if there and "" in release.files.values():  # digests alone: pip needs one of them, and files may be gone
            gone = []
    names = chosen([*there, *gone], targets)
    return [there[name] for name in names if name in there], [name for name in names if name not in there]


def _checked(
    services: Services, reader: Principal, project: Project, release: Locked, file: UpstreamFile
) -> list[Wanted]:
    """A file and its metadata, if a request for it would be answered: :class:`Blocked`, :class:`NotFound`."""
    assert services.first_match is not None
    held = next((each for each in project.held if each.file is file), None)
    if held and not release.files:  # who installs by name and version does not see it
        raise (NotFound if held.rule == "offline" else Blocked)(held.reason)
    upstream, found = services.first_match.upstream_file(reader, file.index, unquote(file.path))
    if found.sha256 != file.sha256:
        raise NotFound(f"{file.filename} has other bytes now: try again.")
    core = found.metadata_sha256
    take: Callable[[], object] | None = None
    if core and upstream.has_taken(found) and services.upstreams:
        take = partial(metadata.take, services.upstreams.store, found)
    elif upstream.wants_metadata(found):
        take = partial(upstream.take_metadata, found)
    wanted = [Wanted(upstream.client, found.filename, found.sha256, found.url, found.size, core or "", take)]
    if (digest := core) and not take:
        wanted.append(Wanted(upstream.client, f"{found.filename}{METADATA}", digest, f"{found.url}{METADATA}", -1))
    return wanted


def _fetch(services: Services, file: Wanted, progress: Callable[[int], None]) -> Outcome:
    """:class:`Unavailable` if it does not come; what was told of it is taken back then."""
    assert services.upstreams is not None
    size = services.upstreams.store.size(file.sha256)
    if size is not None:
        if file.take:
            file.take()
        return Outcome("kept", file.filename, size=size)
    came = 0
    try:
        for chunk in services.upstreams.transfers.read(file.client, file.filename, file.sha256, file.url, file.size):
            came += len(chunk)
            progress(len(chunk))
    except Unavailable:
        progress(-came)
        raise
    if file.take:
        file.take()
    return Outcome("fetched", file.filename, size=came)


def _only(kind: Kind, release: Locked, reason: str) -> Plan:
    return Plan(outcomes=(Outcome(kind, str(release), reason),))


def _again(work: Callable[[], Made], failed: Callable[[str], Made]) -> Made:
    """What comes of some work, after some tries; ``failed`` makes it of a sentence if they were in vain."""
    for pause in (*PAUSES, None):
        try:
            return work()
        except Unavailable as error:
            if pause is None:
                return failed(str(error))
            time.sleep(pause)
        except LoopDetected as error:
            return failed(str(error))
    raise AssertionError


def _while_somebody_is_there(made: Iterator[Made], outcomes: Callable[[Made], Sequence[Outcome]]) -> Iterator[Made]:
    failures = 0
    for each in made:
        yield each
        failed = [outcome.reason for outcome in outcomes(each) if outcome.kind == "failed"]
        failures = failures + 1 if failed else 0
        if failures == MOST_FAILURES:
            raise Unavailable(f"{failed[0]} Nothing else comes either: run it again later, what is kept is skipped.")


def _beside(work: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """What comes of each, several at once. Who stops does not wait for what is under way, nor does the process."""
    left: queue.SimpleQueue[Item] = queue.SimpleQueue()
    done: queue.SimpleQueue[Made | BaseException] = queue.SimpleQueue()
    stopped = threading.Event()
    for item in items:
        left.put(item)

    def run() -> None:
        while not stopped.is_set():
            try:
                done.put(work(left.get_nowait()))
            except queue.Empty:
                return
            except BaseException as error:
                done.put(error)

    for _ in range(min(THREADS, len(items))):
        threading.Thread(target=run, daemon=True).start()
    try:
        for _ in items:
            made = done.get()
            if isinstance(made, BaseException):
                raise made
            yield made
    finally:
        stopped.set()
