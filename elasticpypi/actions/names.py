"""The names that are ours, and which of them others have published elsewhere (REQ-U11).

Somebody who publishes a newer version under a name of ours may be waiting for an installer that asks elsewhere. Nobody
is asked for such a name but by this, when an administrator says so, and never for what the policy reserves.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from packaging.utils import NormalizedName
from packaging.version import Version

from elasticpypi.accounts.principal import Actor
from elasticpypi.actions.policy import require
from elasticpypi.core.errors import ConfigurationError
from elasticpypi.core.upstream import BadAnswer, UpstreamPage
from elasticpypi.core.upstream_answer import read
from elasticpypi.indexing.names import FOLDER
from elasticpypi.services import Services
from elasticpypi.upstream.fetch import Failed, unavailable
from elasticpypi.upstream.pages import Upstream
from elasticpypi.upstream.verdict import origin


class Own(NamedTuple):
    """A name of ours and its newest version, "" if it has no file any more; the policy may have ``reserved`` it."""

    name: NormalizedName
    version: str
    reserved: bool


class Elsewhere(NamedTuple):
    """A name of ours that ``upstream`` has too: its newest version there, and since when, "" if the index does not say.

    ``newer``: whoever asks that index, too, gets theirs. ``trouble`` is why that is not known.
    """

    name: NormalizedName
    ours: str
    upstream: str
    theirs: str = ""
    uploaded: str = ""
    newer: bool = False
    trouble: str = ""


def own(services: Services, actor: Actor) -> list[Own]:
    """All names that are ours, sorted; not those that an administrator has given to others."""
    require(services, actor)
    kept = [NormalizedName(key.removeprefix(FOLDER)) for key in services.objects.keys(FOLDER)]
    names = {*services.index.projects()[1], *kept}
    given = {name for name, where in services.rulings().origins.items() if where in ("upstream", "denied")}
    return [Own(name, _newest(services, actor, name), _is_reserved(services, name)) for name in sorted(names - given)]


def asked(services: Services) -> list[Upstream]:
    """The indexes that would be asked; :class:`ConfigurationError` if there is none."""
    found = [each for each in services.upstreams() if not each.settings.offline] if services.upstreams else []
    if not found:
        raise ConfigurationError("No other index is asked: name one in the policy, or with --upstream.")
    return found


def elsewhere(services: Services, names: Sequence[Own]) -> Iterator[Elsewhere | None]:
    """For each of these names the first index that has it too, None if none has. Nothing of it is kept.

    :class:`Unavailable` if one does not answer.
    """
    indexes = asked(services)
    for each in names:
        if each.reserved:
            raise ValueError(f"nobody is asked for {each.name}")
        yield next(filter(None, (_asked(index, each) for index in indexes)), None)


def _asked(index: Upstream, own: Own) -> Elsewhere | None:
    try:
        answer = index.client.page(own.name)
    except Failed as error:
        raise unavailable(error) from None
    if answer.status == 404:
        return None
    try:
        page = read(answer.body, answer.media_type, answer.url, own.name).page(index.name)
    except BadAnswer as error:
        return Elsewhere(own.name, own.version, index.name, trouble=str(error))
    return _compared(own, page, index.name)


def _compared(own: Own, page: UpstreamPage, index: str) -> Elsewhere:
    if not page.files:
        return Elsewhere(own.name, own.version, index)
    newest = max(page.files, key=lambda file: Version(file.version))
    times = [file.upload_time for file in page.files if file.version == newest.version and file.upload_time]
    newer = not own.version or Version(newest.version) > Version(own.version)
    return Elsewhere(own.name, own.version, index, newest.version, min(times, default=""), newer)


def _newest(services: Services, actor: Actor, name: NormalizedName) -> str:
    found = services.stored.project(actor.principal, name)
    versions = [file.version for file in found[1].files] if found else []
    return max(versions, key=Version, default="")


def _is_reserved(services: Services, name: NormalizedName) -> bool:
    return origin(name, services.policy(), "", ours=False, asked=True).where == "private"
