"""The audit of store and index, with the large uploads that only actions can finish."""

from collections.abc import Callable, Iterator

from elasticpypi.actions import policy, upload_sessions
from elasticpypi.core.outcome import Outcome
from elasticpypi.indexing import audit as audits
from elasticpypi.indexing.audit import Report
from elasticpypi.services import Services


def audit(services: Services, report: Report, in_time: Callable[[], bool] = lambda: True) -> Iterator[Outcome]:
    """Compare store and index, repair what differs if ``report`` says so; the outcome of every key that differs.

    One that cannot be indexed is among them each time, with the reason. A large upload that waits for its check is
    checked. Ends when ``in_time`` says False: what was repaired differs no longer, so that the next audit goes on
    with the rest.
    """
    if report.repair:
        policy.restore(services)
    staged: list[str] = []
    files, index, threads = services.files, services.index, services.threads
    for outcome in audits.audit(files, index, report, staged, threads, in_time, services.beside):
        if outcome.action != "unchanged":
            yield outcome
    for key in staged:  # whose check never came to an end: AWS tries it three times
        if not in_time():
            report.finished = False
            return
        for outcome in upload_sessions.finish_all(services, [key]):
            report.add_staged(outcome)
            if outcome.action != "unchanged":
                yield outcome
