"""Reading the record of events."""

import re

from packaging.utils import canonicalize_name

from elasticpypi.core.errors import BadUpload
from elasticpypi.core.event import Event
from elasticpypi.services import Services

PAGE = 100
MOST_READ = 10_000  # events that one call looks at


def read(
    services: Services, after: str = "", most: int = PAGE, *, type: str = "", project: str = ""
) -> tuple[list[Event], str]:
    """Events that were written after the one with this id, oldest first, and the id of the last that was looked at.

    ``type`` is a whole type or its first part (``file``), ``project`` a name in any spelling; "" is any. There may
    be more, also where fewer than ``most`` come: the answer is empty at the end.
    :class:`BadUpload` if ``after`` is no id.
    """
    if after and not re.fullmatch(r"[0-9a-f]{26}", after):
        raise BadUpload(f"{after[:40]!r} is no id of an event: give the one that `next` said, or none.")
    name, found, looked = canonicalize_name(project), [], 0
    while looked < MOST_READ:
        batch = services.log.read(after, most)
        for event in batch:
            after, looked = event.id, looked + 1
            if type in ("", event.type, event.type.partition(".")[0]) and name in ("", event.project):
                found.append(event)
                if len(found) == most:
                    return found, after
        if len(batch) < most:
            break
    return found, after
