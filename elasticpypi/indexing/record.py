"""The way of an event from the transaction that it was written in to where it lies for good."""

import logging

from elasticpypi.core.errors import Refusal
from elasticpypi.storage.contracts import EventLog, IndexWriter

log = logging.getLogger(__name__)


def move(index: IndexWriter, lasting: EventLog) -> None:
    """Append all events of the outbox to the log; whoever does this at the same time, each is there once.

    What cannot be written now stays in the outbox, for the next call.
    """
    try:
        while waiting := index.outbox():
            lasting.append(waiting)
            index.settled(waiting)
    except Refusal as error:
        log.error("Events wait in the index until they can be recorded: %s", error)
