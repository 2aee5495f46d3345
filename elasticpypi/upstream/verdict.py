"""Where a name comes from, and which files of another index may be seen now (REQ-U01 to U09, U45 to U54).

Everything here is pure: what an index says, what administrators decided, and the time → what a reader sees. Page and
file ask the same function, so that neither shows what the other refuses.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from packaging.utils import NormalizedName, canonicalize_version

from elasticpypi.core import blocks
from elasticpypi.core.advisories import NOTHING, Advisory, Known
from elasticpypi.core.blocks import Block
from elasticpypi.core.exemptions import Exemption
from elasticpypi.core.model import BLOCKS, MALWARE, Held
from elasticpypi.core.moments import seconds_of, text_of
from elasticpypi.core.upstream import Gone, UpstreamFile, UpstreamPage
from elasticpypi.policy import Cooldown, Policy

Where = Literal["private", "upstream", "both", "denied", "none"]
TICK = 1e-5  # seconds: what is exactly as old as it has to be is still held, as in pip and uv
EARLY = 30 * 86400  # seconds: what leaves an index so soon after its upload was nearly always bad (REQ-U60)
ASK = "Ask an administrator of this index"


class Origin(NamedTuple):
    """Where a name comes from, and which rule says so: a sentence."""

    where: Where
    rule: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be seen of a page; ``closed`` is why nothing may. ``until``: the next moment at which that changes."""

    visible: tuple[UpstreamFile, ...] = ()
    held: tuple[Held, ...] = ()
    closed: str = ""
    until: float | None = None


def origin(name: NormalizedName, policy: Policy, override: str, *, ours: bool, asked: bool) -> Origin:
    """Where a name comes from: the first of these rules that is about it says so.

    ``override`` is what an administrator said of it, "" nothing; ``ours``: it has, or ever had, a file here; ``asked``:
    there is an index that can be asked.
    """
    if override == "both" and not asked:
        override = "private"
    if override in ("private", "upstream", "both", "denied"):
        where: Where = override  # type: ignore[assignment]
        if where == "upstream" and not asked:
            where = "none"
        return Origin(where, f"An administrator said that it is {override}.")
    if override:
        return Origin("denied", "What an administrator said of it cannot be read.")
    if prefix := next((each for each in policy.origin.private if _within(name, each)), None):
        return Origin("private", f"The policy reserves {prefix!r}, and every name that begins with it and '-'.")
    if ours:
        return Origin("private", "It has, or once had, a file here.")
    if not asked:
        return Origin("none", "No other index is asked.")
    if pattern := matching(name, policy.origin.denied):
        return Origin("denied", f"The policy denies {pattern!r}.")
    if policy.origin.allowed and not matching(name, policy.origin.allowed):
        return Origin("denied", "The policy has a list of the names that are allowed, and this is none of them.")
    return Origin("upstream", "It is none of ours.")


def _within(name: str, prefix: str) -> bool:
    """PEP 752: the name itself, and what begins with it and a hyphen."""
    return name == prefix or name.startswith(f"{prefix}-")


def matching(name: str, patterns: Iterable[str]) -> str | None:
    """The first of some patterns that a name falls under: a name, or one with ``-*`` behind it."""
    for pattern in patterns:
        prefix = pattern.removesuffix("-*")
        if name == pattern or (prefix != pattern and _within(name, prefix)):
            return pattern
    return None


def verdict(
    page: UpstreamPage,
    policy: Policy,
    exemptions: Sequence[Exemption],
    blocked: Sequence[Block],
    now: float,
    known: Known = NOTHING,
    accepted: Collection[tuple[str, str]] = (),
) -> Verdict:
    """What may be seen of a page at ``now`` (seconds since 1970). ``blocked`` are all blocks that may concern it.

    ``known`` is what advisories say of the project; ``accepted`` are records of malware and the sha256 for which an
    administrator has accepted them.
    """
    if page.status == "quarantined":
        reason = f": {page.reason.rstrip('.')}" if page.reason else ""
        return Verdict(closed=f"{page.name} is in quarantine at the index that it comes from{reason}.")
    if block := blocks.whole(blocked):
        return Verdict(closed=blocks.sentence(page.name, block))
    rules = _Rules(page.name, policy.cooldown, exemptions, blocked, now, known, accepted)
    visible: list[UpstreamFile] = []
    held: list[Held] = []
    for file in page.files:
        if why := rules.why_held(file):
            held.append(why)
        else:
            visible.append(file)
    held += map(rules.why_gone, page.gone)
    moments = [each.until for each in held if each.until is not None] + rules.ends
    return Verdict(tuple(visible), tuple(held), "", min(moments, default=None))


class _Rules:
    """The policy for one project at one moment, ready for many files."""

    def __init__(
        self,
        name: NormalizedName,
        cooldown: Cooldown,
        exemptions: Sequence[Exemption],
        blocked: Sequence[Block],
        now: float,
        known: Known,
        accepted: Collection[tuple[str, str]],
    ) -> None:
        self._cooldown, self._malware, self._accepted, self._fixed = cooldown, known.malware, accepted, known.fixed
        self._blocked = {block.what: block for block in reversed(blocked)}  # the first one holds
        self._canonical = cache(canonicalize_version)
        self._named = cache(lambda version: tuple(each for each in known.malware if each.affects(version)))
        self._digests = frozenset().union(*(each.digests for each in known.malware))
        self._age = cooldown.project.get(name, cooldown.age)
        self._security_age = min(self._age, cooldown.security_age)  # an index hears attackers too
        self._now, self._limit = text_of(now), text_of(now - self._age)
        self._security_limit = text_of(now - self._security_age)
        self._cutoff = text_of(cooldown.cutoff.timestamp()) if cooldown.cutoff else ""
        running = [each for each in exemptions if each.until > self._now]
        self._exempt = {each.version: each.at for each in running}
        self.ends = [seconds_of(each.until) for each in running]

    def why_held(self, file: UpstreamFile) -> Held | None:
        """Why a file may not be seen, None if it may."""
        if self._malware and (record := self._names(file)):
            return Held(file, None, malware_sentence(file.filename, record), MALWARE, record.id)
        if self._blocked:
            what = self._canonical(file.version), f"sha256:{file.sha256}"
            if block := self._blocked.get(what[0]) or self._blocked.get(what[1]):
                return Held(file, None, blocks.sentence(file.filename, block), "block")
        time = file.upload_time
        if time and time < self._limit and not self._cutoff:
            return None  # nearly every file
        if self._exempt and self._canonical(file.version) in self._exempt:
            return None
        if not time:
            if self._cooldown.no_time == "allow":
                return None
            if self._cooldown.no_time == "hide" or not file.first_seen:
                return Held(
                    file,
                    None,
                    f"{file.filename} is held: the index that it comes from does not say when it was uploaded. {ASK}: "
                    'no_time of [cooldown] in the policy can be "first_seen" or "allow".',
                    "no_time",
                )
            time = file.first_seen
        if time > self._now:
            self.ends.append(seconds_of(time) + TICK)  # from then on it waits as others do
            return Held(
                file, None, f"{file.filename} is held: its upload time is in the future, {time[:19]}Z.", "future"
            )
        if self._cutoff and time >= self._cutoff:
            day = self._cutoff[:10]
            return Held(
                file, None, f"{file.filename} is held: nothing newer than {day} is let in now. {ASK}.", "cutoff"
            )
        mends = bool(self._fixed) and self._canonical(file.version) in self._fixed
        age, limit = (self._security_age, self._security_limit) if mends else (self._age, self._limit)
        if not age or time < limit:
            return None
        until = seconds_of(time) + age + TICK
        return Held(
            file,
            until,
            f"{file.filename} is held until {text_of(until)[:19]}Z, since it is younger than {_age(age)}. {ASK}: "
            f"elasticpypi exempt {file.project}=={file.version}.",
            "age",
        )

    def why_gone(self, gone: Gone) -> Held:
        """Why a file is not seen that has left its page: refused, or only for those who have its exact address.

        An exemption lets it through if somebody made it since: one from before did not know of it.
        """
        file, day = gone.file, gone.at[:10]
        held = self.why_held(file)
        if held and held.rule in BLOCKS:
            return held
        left = f"{file.filename} has left the index {file.index!r} ({day})"
        exempt = self._exempt.get(self._canonical(file.version), "")
        age = seconds_of(gone.at) - seconds_of(file.upload_time or file.first_seen or gone.at)
        if age < EARLY and exempt[:19] < gone.at[:19]:
            why = f"{left}, less than 30 days after its upload, as bad files do. {ASK}: "
            return Held(file, None, f"{why}elasticpypi exempt {file.project}=={file.version}.", "vanished")
        return held or Held(file, None, f"{left}: its exact address gives what is kept of it here.", "gone")

    def _names(self, file: UpstreamFile) -> Advisory | None:
        """The record that says of a file that it is malware, if nobody has accepted it."""
        named = self._named(file.version)
        if file.sha256 in self._digests:
            named = tuple(each for each in self._malware if each.affects(file.version, file.sha256))
        return next((each for each in named if (each.id, file.sha256) not in self._accepted), None)


def malware_sentence(filename: str, record: Advisory) -> str:
    """What everybody is told who asks for a file that a record names."""
    summary = f": {record.summary.rstrip('.')}" if record.summary else ""
    return f"{filename} is blocked: {record.id} says that it is malware{summary}. {ASK}."


def no_time_warning(index: str) -> str:
    """What administrators are told of an index that does not say when files were uploaded (REQ-U47)."""
    return (
        f"The index {index!r} does not say when its files were uploaded, so they are held: no_time of [cooldown] in "
        'the policy can be "first_seen" or "allow".'
    )


def merged(own: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """Own file names, and those of others that are no other spelling of one of these (REQ-116)."""
    from elasticpypi.core.filename import parse_stored

    ours = list(own)
    known = {*ours, *(named.identity for name in ours if (named := parse_stored(name)))}
    return ours + [
        name for name in theirs if name not in known and not ((named := parse_stored(name)) and named.identity in known)
    ]


def _age(seconds: int) -> str:
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % unit == 0 and seconds:
            count = seconds // unit
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"
