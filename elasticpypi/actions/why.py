"""Why a file can be had from here, or not, and how to change that: what a page shows, with the rules behind it."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from packaging.utils import NormalizedName, canonicalize_version

from elasticpypi.accounts.permissions import Permission
from elasticpypi.accounts.principal import Principal
from elasticpypi.core import blocks, exemptions
from elasticpypi.core.advisories import Acceptance
from elasticpypi.core.blocks import Block
from elasticpypi.core.errors import LoopDetected, NotFound, Unavailable
from elasticpypi.core.exemptions import Exemption
from elasticpypi.core.filename import project_name
from elasticpypi.core.model import File, Held, Project
from elasticpypi.core.moments import seconds_of, text_of
from elasticpypi.core.upstream import UpstreamFile
from elasticpypi.indexing.names import key_of
from elasticpypi.services import Services
from elasticpypi.upstream.verdict import Origin, no_time_warning, origin

ONLY_HIDDEN = 'What is held can be had by its exact address: where of [cooldown] in the policy is "index".'
MIXED = "Its files come from here and from elsewhere: installers take the highest version, whoever published it."


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one file: ``visible`` until the moment ``until``, or not until then; None: the clock changes nothing.

    ``reason`` is "" where nothing is to be said. ``change`` is the command that changes it, "" if there is none.
    """

    filename: str
    version: str
    visible: bool
    until: str | None
    reason: str
    change: str


@dataclass(frozen=True, slots=True)
class Why:
    """Of a name: its ``origin`` and the ``rule`` that says so, the ``upstream`` that it comes from and its ``host``, ""
    if that is ours.

    ``reason`` is why there is no file, ``change`` the command that changes that, both "" if there are some.
    """

    name: str
    origin: str
    rule: str
    upstream: str = ""
    host: str = ""
    reason: str = ""
    change: str = ""
    warnings: tuple[str, ...] = ()
    files: tuple[Answer, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def why(services: Services, reader: Principal, what: str) -> Why:
    """Of ``demo`` or ``demo==1.0``, also if nobody knows it; another index is asked as for a page."""
    name, version = _parsed(what)
    if not services.permissions.allowed(reader, Permission.READ, name):
        raise NotFound(f"There is no project {name!r} in this index.")
    where = _origin(services, name)
    project, trouble = None, ""
    try:
        if found := services.repository.project(reader, name):
            project, trouble = found[1], found[1].trouble
        elif services.first_match:
            project = services.first_match.gone(name)
    except (Unavailable, LoopDetected) as error:
        trouble = str(error)
    files = tuple(_files(services, project, version)) if project else ()
    reason, change = ("", "") if files else _empty(services, where, project, trouble, name, version)
    warnings = tuple(_warnings(services, reader, where, project, name))
    if files and trouble:
        warnings += (f"What is shown may be old: {trouble}",)
    upstream = project.upstream if project else ""
    others = services.upstreams() if upstream and services.upstreams else ()
    host = next((each.client.host for each in others if each.name == upstream), "")
    return Why(name, where.where, where.rule, upstream, host, reason, change, warnings, files)


def _parsed(what: str) -> tuple[NormalizedName, str]:
    """A name, and a canonical version or ""."""
    if "==" in what:
        return exemptions.parse(what)
    return project_name(what.strip()), ""


def _origin(services: Services, name: NormalizedName) -> Origin:
    if services.first_match:
        return services.first_match.origin(name)
    ours = services.index.serial(name) is not None or services.objects.revision(key_of(name)) is not None
    return origin(name, services.policy(), services.rulings().origins.get(name, ""), ours=ours, asked=False)


def _files(services: Services, project: Project, version: str) -> list[Answer]:
    """The files of a project, or of a version of it, in the order of the page."""
    exempt = {each.version: each for each in services.rulings().exemptions.get(project.name, ()) if _runs(each)}
    held = {id(each.file): each for each in project.held}
    if version:
        project = _of_version(project, version)
    every = [*project.files, *(each.file for each in project.held)]
    listed = {id(file) for file in project.listed}
    rulings = services.rulings().blocks_of(project.name)
    malware = services.advisories().of(project.name).malware if project.upstream else ()
    accepted = services.rulings().accepted if malware else {}
    named = {each.id for each in malware}
    taken = {each.sha256: each for each in accepted.values() if each.record in named}
    return [
        _held(held[id(file)], rulings)
        if id(file) in held
        else _theirs(file, exempt.get(canonicalize_version(file.version)), taken.get(file.sha256))
        if isinstance(file, UpstreamFile)
        else _own(project, file, id(file) in listed)
        for file in every
    ]


def _of_version(project: Project, version: str) -> Project:
    files = tuple(file for file in project.files if canonicalize_version(file.version) == version)
    held = tuple(each for each in project.held if canonicalize_version(each.file.version) == version)
    return replace(project, files=files, held=held)


def _runs(exemption: Exemption) -> bool:
    return seconds_of(exemption.until) > time.time()


def _own(project: Project, file: File, listed: bool) -> Answer:
    release = f"{project.name}=={file.version}"
    if file.blocked is not None and (block := blocks.about(project.blocks, file)):
        reason, change = blocks.sentence(file.filename, block), _unblock(project.name, block)
    elif not listed:
        reason, change = _quarantine(project), f"elasticpypi status {project.name} active"
    elif file.yanked is not None:
        reason, change = _yank(file), f"elasticpypi unyank {file.filename}"
    else:
        reason, change = "", f"elasticpypi block {release} --reason TEXT"
    return Answer(file.filename, file.version, listed and file.blocked is None, None, reason, change)


def _theirs(file: UpstreamFile, exemption: Exemption | None, accepted: Acceptance | None) -> Answer:
    release = f"{file.project}=={file.version}"
    if accepted:
        by = f" by {accepted.by}, {accepted.at[:10]}" if accepted.by else ""
        reason = f"{accepted.record} says that {file.filename} is malware. It was accepted{by}: {accepted.reason}"
        change = f"elasticpypi advisories unaccept {accepted.record} sha256:{file.sha256}"
        return Answer(file.filename, file.version, True, None, reason, change)
    if exemption:
        by, until = f" by {exemption.by}" if exemption.by else "", _moment(exemption.until)
        reason = f"{release} is exempt{by} until {until}: {exemption.reason}"
        return Answer(file.filename, file.version, True, until, reason, f"elasticpypi unexempt {release}")
    reason = "" if file.yanked is None else _yank(file)
    return Answer(file.filename, file.version, True, None, reason, f"elasticpypi block {release} --reason TEXT")


def _held(held: Held, rulings: Sequence[Block]) -> Answer:
    file = held.file
    if held.rule == "block" and (block := blocks.about(rulings, file)):
        change = _unblock(file.project, block)
    elif held.advisory:
        change = f"elasticpypi advisories accept {held.advisory} sha256:{file.sha256} --reason TEXT"
    elif held.rule in ("offline", "gone"):  # an exemption brings no bytes, and lists nothing
        change = ""
    else:
        change = f"elasticpypi exempt {file.project}=={file.version} --until DATE --reason TEXT"
    until = None if held.until is None else _moment(text_of(held.until))
    return Answer(file.filename, file.version, False, until, held.reason, change)


def _empty(
    services: Services, where: Origin, project: Project | None, trouble: str, name: NormalizedName, version: str
) -> tuple[str, str]:
    """Why there is no file, and the command that changes that."""
    if where.where == "denied":
        override = services.rulings().origins.get(name)
        return f"{name} is not let in.", f"elasticpypi origin {name} {'unset' if override else 'upstream'}"
    if block := blocks.whole(services.rulings().blocks_of(name)):
        return blocks.sentence(name, block), _unblock(name, block)
    if project and project.status == "quarantined":
        if project.upstream:
            return project.status_reason, ""
        return _quarantine(project), f"elasticpypi status {name} active"
    if trouble:
        return trouble, ""
    if version and project and (project.files or project.held):
        return f"There is no file of the release {name}=={version}.", ""
    if where.where == "private":
        return f"There is no file of {name} here, and no other index is asked for it.", _let_go(services, name)
    if where.where == "none":
        return f"There is no project {name!r} here, and no other index is asked.", "elasticpypi serve --upstream pip"
    return f"There is no project {name!r}, neither here nor in another index that is asked.", ""


def _let_go(services: Services, name: NormalizedName) -> str:
    """The command by which a name that is ours may come from elsewhere."""
    if services.rulings().origins.get(name):
        return f"elasticpypi origin {name} unset"
    reserved = origin(name, services.policy(), "", ours=False, asked=True).where == "private"
    return f"elasticpypi origin {name} upstream" if reserved else f"elasticpypi disown {name}"


def _warnings(
    services: Services, reader: Principal, where: Origin, project: Project | None, name: NormalizedName
) -> list[str]:
    warnings = []
    if where.where == "both":
        warnings.append(MIXED)
    if where.where in ("upstream", "both") and services.upstreams:
        offline = [each.name for each in services.upstreams() if each.settings.offline]
        warnings += [f"The index {each!r} is offline here: only what is kept of it can be had." for each in offline]
    if where.where == "upstream" and (own := services.stored.project(reader, name)) and own[1].files:
        warnings.append(f"Files of this name that are here are not served. {where.rule}")
    if project and (index := project.upstream):
        theirs = [*project.files, *(each.file for each in project.held)]
        if any(each.rule == "no_time" for each in project.held) and _timeless(theirs):
            warnings.append(no_time_warning(index))
        if project.held and services.policy().cooldown.where == "index":
            warnings.append(ONLY_HIDDEN)
    return warnings


def _timeless(files: Sequence[File]) -> bool:
    return not any(file.upload_time for file in files if isinstance(file, UpstreamFile))


def _unblock(name: NormalizedName, block: Block) -> str:
    what = block.what if block.what.startswith("sha256:") else f"{name}=={block.what}" if block.what else name
    return f"elasticpypi unblock {what}"


def _quarantine(project: Project) -> str:
    reason = f": {project.status_reason.rstrip('.')}" if project.status_reason else ""
    return f"{project.name} is quarantined{reason}."


def _yank(file: File) -> str:
    reason = f": {file.yanked.rstrip('.')}" if file.yanked else ""
    return f"{file.filename} is yanked{reason}. Only an exact pin installs it."


def _moment(text: str) -> str:
    return f"{text[:19]}Z"
