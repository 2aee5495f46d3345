"""An index of plain files, as good as static files get: pages written beforehand, metadata beside each file."""

import gzip
import hashlib
import json
import os
import zipfile
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.corpus import Corpus

# Of the http block of nginx.
CONFIGURATION = """\
    gzip_static on;
    map $http_accept $kind {{
        default html;
        ~simple\\.v1\\+json json;
    }}
    server {{
        listen 127.0.0.1:{port};
        root {folder}/site;{login}
        location /simple/ {{ rewrite ^/simple/(?<page>.*)$ /$kind/${{page}}index.$kind last; }}
        location /html/ {{ internal; types {{ text/html html; }} }}
        location /json/ {{ internal; types {{ application/vnd.pypi.simple.v1+json json; }} }}
        location /packages/ {{ types {{ }} }}
    }}
"""


def write_site(corpus: Corpus, folder: Path) -> None:
    """``folder/site`` with the root list and every project's page as HTML and JSON, and the packages."""
    site = folder / "site"
    names = []
    for name, wheels in groupby(corpus.wheels(), key=lambda pair: pair[0]):
        names.append(name)
        (site / "packages" / name).mkdir(parents=True)
        files = [_file(path, site / "packages" / name) for _, path in wheels]
        versions = [file["version"] for file in files]
        page = {"meta": {"api-version": "1.1"}, "name": name, "versions": versions, "files": files}
        _write(site, name, page, [_link(file) for file in files])
    projects = [{"name": name} for name in names]
    root = {"meta": {"api-version": "1.1"}, "projects": projects}
    _write(site, "", root, [f'<a href="{name}/">{name}</a><br>' for name in names])


def _file(path: Path, packages: Path) -> dict[str, Any]:
    """The entry of a wheel, which is linked into ``packages`` with its metadata beside it."""
    os.link(path, packages / path.name)
    with zipfile.ZipFile(path) as archive:
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))
    (packages / f"{path.name}.metadata").write_bytes(metadata)
    if len(metadata) > 1000:
        (packages / f"{path.name}.metadata.gz").write_bytes(gzip.compress(metadata))
    return {
        "filename": path.name,
        "url": f"../../packages/{packages.name}/{path.name}",
        "version": path.name.split("-")[1],
        "size": path.stat().st_size,
        "upload-time": "2026-01-01T00:00:00Z",
        "requires-python": ">=3.8",
        "hashes": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "core-metadata": {"sha256": hashlib.sha256(metadata).hexdigest()},
    }


def _link(file: dict[str, Any]) -> str:
    address = f"{file['url']}#sha256={file['hashes']['sha256']}"
    python, metadata = escape(file["requires-python"]), f"sha256={file['core-metadata']['sha256']}"
    attributes = f'data-requires-python="{python}" data-core-metadata="{metadata}"'
    return f'<a href="{address}" {attributes}>{file["filename"]}</a><br>'


def _write(site: Path, name: str, page: dict[str, Any], links: list[str]) -> None:
    head = '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.1"></head><body>'
    html = "\n".join([head, *links, "</body></html>"]).encode()
    for kind, content in (("html", html), ("json", json.dumps(page, separators=(",", ":")).encode())):
        folder = site / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"index.{kind}").write_bytes(content)
        (folder / f"index.{kind}.gz").write_bytes(gzip.compress(content))
