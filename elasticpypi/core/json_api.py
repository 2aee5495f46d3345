"""PyPI's JSON API, as far as tools read it (REQ-151): Dependabot's cooldown, Renovate."""

from collections.abc import Iterable
from typing import Any

from packaging.version import Version

from elasticpypi.core.about import INFO, About
from elasticpypi.core.advisories import Advisory
from elasticpypi.core.model import File, Project, of_version


def release(
    project: Project,
    version: Version,
    about: About,
    description: str,
    home: str,
    advisories: Iterable[Advisory] = (),
) -> dict[str, Any]:
    """``/pypi/<name>/<version>/json``; ``home`` is the absolute URL of the home page.

    ``advisories`` are those about the project.
    """
    files = of_version(project, version)
    info: dict[str, Any] = {field: about["info"].get(field) for field in INFO}
    info |= {"bugtrack_url": None, "docs_url": None, "platform": None, "dynamic": None, "license_files": None}
    info["downloads"] = {"last_day": -1, "last_month": -1, "last_week": -1}  # as PyPI says it does not tell
    info["classifiers"] = info["classifiers"] or []
    info["description"] = description or None
    info["keywords"] = about["info"].get("keywords", "")
    info["name"] = about["name"] or project.name
    info["version"] = files[0].version
    info["yanked"] = all(file.yanked is not None for file in files)
    info["yanked_reason"] = (files[0].yanked or None) if info["yanked"] else None
    page = f"{home}project/{project.name}/"
    info |= {"package_url": page, "project_url": page, "release_url": f"{page}{info['version']}/"}
    urls = [_file(file, home) for file in files]
    digests = [file.sha256 for file in files]
    named = [each for each in advisories if any(each.affects(info["version"], digest) for digest in digests)]
    holes = [_vulnerability(each) for each in named]
    return {"info": info, "last_serial": project.serial, "urls": urls, "vulnerabilities": holes}


def _vulnerability(each: Advisory) -> dict[str, Any]:
    """As PyPI has it; of the details, which may be a page, the first line is all that is kept."""
    return {
        "id": each.id,
        "source": "osv",
        "link": each.link or None,
        "aliases": list(each.aliases),
        "details": each.summary,
        "summary": each.summary or None,
        "fixed_in": each.fixed,
        "withdrawn": None,
    }


def releases(project: Project, home: str) -> dict[str, list[dict[str, Any]]]:
    """The part that ``/pypi/<name>/json`` has besides: version → files."""
    found: dict[str, list[dict[str, Any]]] = {version: [] for version in project.versions}
    for file in project.listed:
        found[file.version].append(_file(file, home))
    return found


def _file(file: File, home: str) -> dict[str, Any]:
    wheel = file.filename.endswith(".whl")
    return {
        "comment_text": None,
        "core-metadata": {"sha256": file.metadata_sha256} if file.metadata_sha256 else False,
        "digests": {"sha256": file.sha256},
        "downloads": -1,
        "filename": file.filename,
        "has_sig": False,
        "packagetype": "bdist_wheel" if wheel else "sdist",
        "python_version": file.filename.split("-")[-3] if wheel else "source",
        "requires_python": file.requires_python,
        "size": max(file.size, 0),
        "upload_time": file.upload_time[:19] or None,  # other indexes do not always say it
        "upload_time_iso_8601": file.upload_time or None,
        "url": f"{home}{file.address}",
        "yanked": file.yanked is not None,
        "yanked_reason": file.yanked or None,
    }
