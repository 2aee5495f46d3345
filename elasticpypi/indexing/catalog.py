"""The catalog follows the index: an entry per project, made again after each of its changes.

Installers never read it. It follows the index by a moment, and can be made anew like the index itself.
"""

import difflib
import logging
from collections.abc import Callable, Iterable

from packaging.utils import NormalizedName

from elasticpypi.core.model import described, latest
from elasticpypi.core.search_entry import describe
from elasticpypi.indexing.about import nothing, read
from elasticpypi.storage.contracts import Catalog, IndexReader

NEAR = 2  # letters that a name and one that is near to it begin with
MOST_NEAR = 500

log = logging.getLogger(__name__)


def near(
    catalog: Catalog,
    name: NormalizedName,
    count: int = 5,
    others: Callable[[str, int], list[NormalizedName]] | None = None,
) -> list[NormalizedName]:
    """Projects that may have been meant by a name that is none: likest first, then those that have its words.

    ``others`` finds so many more of them by a text, as a search does, where there are some.
    """
    alike = [entry.name for entry in catalog.search(name[:NEAR], 0, MOST_NEAR).entries]
    related = [entry.name for entry in catalog.search(name, 0, count).entries]
    if others:
        alike += others(name[:NEAR], MOST_NEAR)
        related += others(name, count)
    best = difflib.get_close_matches(name, {*alike, *related}, count)
    return [NormalizedName(each) for each in dict.fromkeys([*best, *related])][:count]


def follow(index: IndexReader, catalog: Catalog, projects: Iterable[NormalizedName]) -> list[NormalizedName]:
    """Bring the entries of these projects up to date; the projects for which that failed.

    Nothing is raised: what people browse must not hold up what installers need.
    """
    failed = []
    for name in projects:
        try:
            refresh(index, catalog, name)
        except Exception:
            log.exception("the entry of %r could not be brought up to date", name)
            failed.append(name)
    return failed


def refresh(index: IndexReader, catalog: Catalog, name: NormalizedName) -> None:
    """Make the entry of a project from the index, unless it is of the same serial already."""
    serial = index.serial(name)
    if serial is None or catalog.serial(name) == serial:
        return
    project = index.project(name)
    if project is None:
        return
    if not project.listed:
        catalog.replace(name, project.serial, None)
        return
    file = described(project, latest(project))
    about, _ = read(index, name, file.filename) if file else nothing()
    catalog.replace(name, project.serial, describe(project, about))
