"""Wheels and sdists of well-known projects, from 2005 on: ``real_packages.tsv`` names them, PyPI has them.

``python -m tests.support.real_packages`` fetches those that are not in ``.cache/packages`` yet (190 MB in all), with
the session, the index and the certificates of pip's own configuration. Exit status 3: the index cannot be reached.
"""

import csv
import hashlib
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT

CACHE = ROOT / ".cache" / "packages"
UNREACHABLE = 3
PAUSE = 0.2  # seconds between two pages of the index


class Package(NamedTuple):
    project: str
    uploaded: str
    file: str
    sha256: str

    @property
    def path(self) -> Path:
        return CACHE / self.file


def packages() -> list[Package]:
    with Path(__file__).with_suffix(".tsv").open(newline="") as lines:
        return [Package(*row) for row in csv.reader(lines, delimiter="\t")][1:]


def main() -> int:
    from pip._internal.commands import create_command
    from pip._vendor.requests import RequestException

    CACHE.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages() if not package.path.exists()]
    command = create_command("download")
    options, _ = command.parse_args([])
    with command.main_context():
        session = command.get_default_session(options)
        for project in sorted({package.project for package in missing}):
            try:
                accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
                page = session.get(f"{options.index_url}/{project.replace('.', '-')}/", headers=accept)
                page.raise_for_status()
                addresses = {file["filename"]: file["url"] for file in page.json()["files"]}
                for package in missing:
                    if package.project == project:
                        answer = session.get(addresses[package.file], headers={"Accept-Encoding": "identity"})
                        answer.raise_for_status()
                        _keep(package, answer.content)
            except RequestException as error:
                print(f"{project} cannot be fetched: {type(error).__name__}", file=sys.stderr)  # noqa: T201
                return UNREACHABLE
            time.sleep(PAUSE)
    return 0


def _keep(package: Package, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != package.sha256:
        sys.exit(f"{package.file} has other bytes than it had.")
    half = package.path.with_suffix(".half")
    half.write_bytes(data)
    half.replace(package.path)


if __name__ == "__main__":
    sys.exit(main())
