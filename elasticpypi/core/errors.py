"""Everything that a user can be refused, each class with the HTTP status that says so.

::

    Refusal                 400
    ├── BadUpload           400  the file, its name or the form do not fit
    │   └── Damaged         400  the file is no archive, or only a part of one
    ├── BadPolicy           400  the policy document is wrong: on which line, and why
    ├── BadFile             400  a file that a command was given is wrong: on which line, and why
    ├── Unauthorized        401  no credentials, or wrong ones
    ├── Forbidden           403  known user, missing right
    │   └── Blocked         403  an administrator has blocked the project, the release or the file
    ├── NotFound            404  no such project, file or key
    ├── NotAcceptable       406  none of the media types that we can send
    ├── AlreadyExists       409  the name is taken by other bytes
    ├── TakenElsewhere      409  another index has a project of this name, and nobody said that it is ours
    ├── Outdated            412  somebody else has changed it since it was read
    ├── TooLarge            413  over the limit of an upload
    ├── Unconditional       428  it can only be replaced by who says what they have read
    ├── TooManyAttempts     429  logins failed, or too many of them are checked now
    ├── Unavailable         503  the store or the index cannot be reached
    │   └── Changed         503  other bytes are there now than those that were asked for
    └── LoopDetected        508  an index that we asked has asked us
    ConfigurationError           a setting is wrong or missing: the start stops

The text of each is one sentence for the person at the other end, with the remedy where there is one.
It never contains a secret. ``web/refusals.py`` turns a Refusal into an answer, ``cli.py`` into a line.
"""

from collections.abc import Sequence


class Refusal(Exception):
    """A request that is answered with a status of 4xx or 503 and one sentence."""

    status = 400


class BadUpload(Refusal):
    """400: content errors stay at 400, since flit shows the text of no other status (REQ-121)."""


class Damaged(BadUpload):
    """400: no archive at all or half of one, such as a copy that is still under way."""


class BadPolicy(Refusal):
    """400: the policy document is wrong; the text names line and key."""


class BadFile(Refusal):
    """400: what a command was given is wrong, such as a lock file; the text names the line."""


class Unauthorized(Refusal):
    """401: credentials are missing or wrong (REQ-82)."""

    status = 401


class Forbidden(Refusal):
    """403: the user is known, the right is missing (REQ-83)."""

    status = 403


class Blocked(Forbidden):
    """403: an administrator has blocked the project, the release or the file."""


class NotFound(Refusal):
    """404: only for what does not exist (REQ-13). ``near`` are the projects that may have been meant."""

    status = 404

    def __init__(self, text: str, near: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.near = near


class NotAcceptable(Refusal):
    """406: only unknown media types were asked for (REQ-7)."""

    status = 406


class AlreadyExists(Refusal):
    """409: the texts contain "already exist", which poetry, pdm and twine look for (REQ-113)."""

    status = 409


class TakenElsewhere(Refusal):
    """409: another index has a project of this name (REQ-U08). No client takes it for a file that is here already."""

    status = 409


class TooLarge(Refusal):
    """413: the body is over the limit (REQ-122)."""

    status = 413


class Outdated(Refusal):
    """412: somebody else has changed it since it was read (RFC 9110, If-Match)."""

    status = 412


class Unconditional(Refusal):
    """428: it can only be replaced by who says what they have read (RFC 6585)."""

    status = 428


class TooManyAttempts(Refusal):
    """429: nothing was checked. ``retry_after`` are whole seconds (REQ-73)."""

    status = 429

    def __init__(self, text: str, retry_after: int) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Unavailable(Refusal):
    """503: the store or the index cannot be reached; trying again later may help (REQ-72)."""

    status = 503


class LoopDetected(Refusal):
    """508: two indexes ask each other for what neither has (RFC 8586)."""

    status = 508


class Changed(Unavailable):
    """503: what was to be read or written has been replaced meanwhile."""


class ConfigurationError(Exception):
    """A setting is wrong or missing; the text names the setting and the remedy."""
