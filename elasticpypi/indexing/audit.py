"""Store against index: which keys differ, in bounded memory however many there are."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from elasticpypi.core import keys
from elasticpypi.core.errors import Unavailable
from elasticpypi.core.outcome import Outcome
from elasticpypi.indexing import sync
from elasticpypi.storage.contracts import Files, Index, IndexWriter

PARTS = 256


class Report:
    """What an audit found, in numbers of keys; as text one line."""

    def __init__(self, *, repair: bool) -> None:
        self.repair = repair
        self.agree = 0
        self.found: Counter[str] = Counter()  # how many keys differed, and how
        self.left_out = 0
        self.failed = 0
        self.finished = True  # False: the time did not suffice

    def add(self, outcome: Outcome) -> None:
        """The outcome of a key."""
        if outcome.action == "failed":
            self.failed += 1
        elif outcome.found:
            self.found[outcome.found] += 1
        elif outcome.action == "ignored":
            self.left_out += 1
        else:  # put right by somebody else meanwhile
            self.agree += 1

    def add_staged(self, outcome: Outcome) -> None:
        """The outcome of a large upload, which has come to an end now."""
        self.add(replace(outcome, found="missing in the index") if outcome.action == "written" else outcome)

    @property
    def differ(self) -> int:
        return self.found.total()

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {found}" for found, count in sorted(self.found.items()))
        parts = [
            f"{self.agree} agree",
            f"{self.differ} {'repaired' if self.repair else 'differ'}{kinds and f' ({kinds})'}",
            f"{self.left_out} left out",
            *([f"{self.failed} failed"] if self.failed else []),
        ]
        total = self.agree + self.differ + self.left_out + self.failed
        return f"{total} keys: {', '.join(parts)}{'.' if self.finished else '; the time did not suffice for all.'}"


def audit(
    files: Files,
    index: Index,
    report: Report,
    staged: list[str],
    threads: int,
    in_time: Callable[[], bool],
    beside: sync.Beside,
) -> Iterator[Outcome]:
    """What ``actions.audit`` does, apart from large uploads that wait for their check: they are added to ``staged``."""
    dry, who = not report.repair, sync.put_by(index)

    def differing() -> Iterator[str]:
        for key, _, agrees in compare(files, index):
            if agrees:
                report.agree += 1
            elif report.repair and keys.is_staged(key):
                staged.append(key)
            elif in_time():
                yield key
            else:
                report.finished = False
                return

    for outcome in sync.sync_all(files, index, differing(), dry=dry, threads=threads, who=who, beside=beside):
        report.add(outcome)
        yield outcome
    if who is None and report.repair and report.finished and not report.failed:
        index.mark_whole()


def line(outcome: Outcome) -> str:
    """An outcome for people: what was found about a key, or why it is left out."""
    what = {"ignored": "left out", "failed": "failed"}.get(outcome.action, outcome.found or outcome.action)
    shown = ": ".join(filter(None, (what, outcome.key, outcome.reason)))
    return shown.encode(errors="backslashreplace").decode()  # a name that is no text cannot be printed


def every_key(files: Files, index: IndexWriter) -> Iterator[str]:
    """The keys of the store, then those that only the index has: what a rebuild has to look at."""
    return (key for key, _, _ in compare(files, index))


def changed(files: Files, index: IndexWriter) -> Iterator[tuple[str, str]]:
    """The keys on which store and index differ, without looking into any file, with the revision in the store or ""."""
    differing = ((key, revision) for key, revision, agrees in compare(files, index) if not agrees)
    return ((key, revision) for key, revision in differing if not keys.is_ignored(key))


def changed_keys(files: Files, index: IndexWriter) -> Iterator[str]:
    """The keys of :func:`changed`."""
    return (key for key, _ in changed(files, index))


def compare(files: Files, index: IndexWriter) -> Iterator[tuple[str, str, bool]]:
    """Every key that is not hidden, its revision, whether its record is of it; then the keys that only the index has.

    The index is read first, into 9 bytes a record, and once more only if it has records that the store
    did not ask for. What changes meanwhile may be told either way.
    """
    known = Known(
        (record.key, record.revision, sync.is_current(record))
        for record in index.records()
        if not keys.is_hidden(record.key)  # which no key of the store has made
    )
    for stat in files.list():
        if keys.is_hidden(stat.key) and not keys.is_staged(stat.key):
            continue
        yield stat.key, stat.revision, known.has(stat.key, stat.revision) and not _lacks_effect(index, stat.key)
    if known.unseen:
        for record in index.records():
            if known.is_unseen(record.key, record.revision) and not _is_there(files, record.key):
                yield record.key, "", False


def _lacks_effect(index: IndexWriter, key: str) -> bool:
    """Whether a key is the tombstone of a file that has a record all the same: whoever deleted it did not come far."""
    means = keys.parse(key) if key.endswith(".deleted") else None
    return isinstance(means, keys.SidecarKey) and index.record(means.project, means.subject) is not None


def _is_there(files: Files, key: str) -> bool:
    """Whether there is a key for sure; what cannot be looked at fails when it is, by itself."""
    try:
        return files.stat(key) is not None
    except Unavailable:
        return False


class Known:
    """Keys with their revisions, and whether they are current, as sorted 64-bit hashes; and which were asked for.

    The last bit of each says whether it is of an earlier version of this program.

    Of a million differences, one in ten million million is overlooked, and found by the next process:
    Python's hashes differ from one to the next.
    """

    def __init__(self, known: Iterable[tuple[str, str, bool]]) -> None:
        parts = [array("q") for _ in range(PARTS)]
        for key, revision, current in known:
            number = _number(key, revision)
            parts[number // 2 % PARTS].append(number + (not current))
        self._parts = [array("q", sorted(part)) for part in parts]
        self._seen = [bytearray(len(part)) for part in parts]
        self.unseen = sum(map(len, parts))

    def has(self, key: str, revision: str) -> bool:
        """Whether it is there, as this version writes it; it counts as seen from now on."""
        part, place = self._find(key, revision)
        if place is None:
            return False
        self.unseen -= not self._seen[part][place]
        self._seen[part][place] = True
        return not self._parts[part][place] % 2

    def is_unseen(self, key: str, revision: str) -> bool:
        part, place = self._find(key, revision)
        return place is not None and not self._seen[part][place]

    def _find(self, key: str, revision: str) -> tuple[int, int | None]:
        number = _number(key, revision)
        part = number // 2 % PARTS
        place = bisect_left(self._parts[part], number)
        known = place < len(self._parts[part]) and self._parts[part][place] // 2 == number // 2
        return part, place if known else None


def _number(key: str, revision: str) -> int:
    return hash((key, revision)) & -2
