"""``elasticpypi upload``: files to an index with twine's settings, large ones in parts straight to its bucket.

::

    POST uploads/        direct: send an ordinary upload · done: it is there · open: links of the parts that are missing
    PUT  <link>          a part, several at once (``parts.py``)
    POST uploads/<id>    all parts are there → checking, or open again
    GET  uploads/<id>    until it is done or refused

The addresses are beside ``simple/`` and ``legacy/``. An index without them, such as PyPI, gets an ordinary upload.
"""

import argparse
import logging
import os
import re
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
import requests
import rich
from packaging.utils import canonicalize_name
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from twine import commands
from twine.commands.upload import _make_package, skip_upload
from twine.exceptions import InvalidConfiguration, NonInteractive, TwineException
from twine.package import PackageFile
from twine.repository import Repository
from twine.settings import Settings

from elasticpypi.client.parts import TIMEOUT, TRIES, Failed, Parts, pause, reason
from elasticpypi.core.errors import ConfigurationError

SECTION = "elasticpypi"  # of .pypirc; twine's own default is PyPI, the last place for a private package
ROUNDS = 3  # of sending what the index misses
PATIENCE = 20 * 60  # seconds that we wait for the index to check a file


def upload(arguments: Sequence[str]) -> bool:
    """Upload files as `twine upload` would with these arguments; returns whether all of them are in the index.

    Prints a line for each. One that is refused does not keep the next from being sent, unlike with twine.
    :class:`ConfigurationError` if nothing can be sent at all.
    """
    try:
        settings, packages = _prepare(arguments)
        repository = settings.create_repository()
    except InvalidConfiguration as error:
        raise ConfigurationError(f"{_line(error)} Or say where to with --repository-url.") from None
    except (NonInteractive, EOFError):
        raise ConfigurationError(
            "User name or password is missing: give -u and -p, TWINE_USERNAME and TWINE_PASSWORD, or a .pypirc."
        ) from None
    except TwineException as error:
        raise ConfigurationError(_line(error.args[0])) from None
    if repository.session.auth:
        # As text, requests sends Latin-1, and fails at any other letter.
        username, password = settings.username or "", settings.password or ""
        repository.session.auth = HTTPBasicAuth(username.encode(), password.encode())
    complete = True
    with closing(repository):
        for number, package in enumerate(packages, 1):
            try:
                click.echo(_Upload(repository, package).send())
            except Failed as failure:
                if settings.skip_existing and failure.status == 409:
                    click.echo(f"Skipping {package.basefilename}: it exists already.")
                    continue
                complete = False
                click.echo(f"Error: {package.basefilename}: {failure}", err=True)
                if failure.hopeless:
                    for other in packages[number:]:
                        click.echo(f"Error: {other.basefilename}: It was not sent either.", err=True)
                    break
    return complete


def _prepare(arguments: Sequence[str]) -> tuple[Settings, list[PackageFile]]:
    """All that twine does before it uploads. A file that is no package stops everything here."""
    parser = argparse.ArgumentParser(
        prog="elasticpypi upload",
        description="Upload packages as `twine upload` does; large ones go straight to the bucket of the index.",
        epilog="An upload that was broken off goes on where it stopped when the same command is run again.",
    )
    Settings.register_argparse_arguments(parser)
    parser.set_defaults(repository=os.environ.get("TWINE_REPOSITORY", SECTION))
    parser.add_argument("files", nargs="+", metavar="FILE", help="packages, usually dist/*")
    options = parser.parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, handlers=[handler])
    patterns, section = options.files, options.repository
    try:
        settings = Settings.from_argparse(options)
    except KeyError as missing:
        raise ConfigurationError(f"The section [{section}] of .pypirc has no {missing.args[0]!r}.") from None
    settings.check_repository_url()
    settings.disable_progress_bar |= not rich.get_console().is_terminal
    if not settings.disable_progress_bar:
        click.echo("Reading the files ...", err=True)  # 5 GB take a while
    paths, signatures, attestations = commands._split_inputs(commands._find_dists(patterns))
    packages = []
    for path in paths:
        try:
            packages.append(_make_package(path, signatures, attestations[path], settings))
        except TwineException:
            raise
        except Exception as error:  # whatever zipfile and tarfile make of a file that is no package
            raise ConfigurationError(f"{path} cannot be read as a package: {_line(error)}") from None
    return settings, packages


class _OneLine(logging.Formatter):
    """What twine logs, without its tracebacks: a keyring that is locked is no reason for one."""

    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        return f"{record.getMessage()}: {_line(error)}" if error else record.getMessage()


class _Upload:
    """One file on its way into the index."""

    def __init__(self, repository: Repository, package: PackageFile) -> None:
        self.repository = repository
        self.package = package
        self.path = Path(package.filename)
        address = urlsplit(repository.url)
        self.base = urlunsplit(address._replace(path=re.sub(r"/(simple|legacy)?/?$", "", address.path), query=""))
        # Without twine's own attempts, which are ours here.
        repository.session.mount(f"{self.base}/uploads/", HTTPAdapter())

    def send(self) -> str:
        """What the index says once the file is in it; :class:`Failed` if it is not."""
        try:
            state = self._announce()
            return self._ordinary() if state["state"] == "direct" else self._by_parts(state)
        except OSError as error:
            raise Failed(f"{reason(error)}.") from None

    def _announce(self) -> dict[str, Any]:
        form = Repository._convert_metadata_to_list_of_tuples(self.package.metadata_dictionary())
        form += [(":action", "file_upload"), ("protocol_version", "1")]
        form += [("filename", self.package.basefilename), ("size", str(self.path.stat().st_size))]
        # Without the second digest the index has half as much to compute; a signature is no text.
        form = [(name, value) for name, value in form if name not in ("blake2_256_digest", "gpg_signature")]
        answer = self._ask("POST", "", form, tries=3)
        if answer.status_code in (404, 405) or (answer.status_code < 400 and "state" not in _json(answer)):
            return {"state": "direct"}  # this index has no such address
        return _state(answer)

    def _ordinary(self) -> str:
        answer = self.repository.upload(self.package)
        if answer.is_redirect:
            raise Failed(f"The index is elsewhere: give --repository-url {answer.headers['location']}.")
        if not 200 <= answer.status_code < 300:
            exists = skip_upload(answer, True, self.package)  # as each index says it; PyPI with 400
            raise Failed(_sentence(answer), 409 if exists else answer.status_code)
        message = answer.text if answer.headers.get("content-type", "").startswith("text/plain") else ""
        return _line(message) or f"{self.package.basefilename} is uploaded."

    def _by_parts(self, state: dict[str, Any]) -> str:
        """Do what the index says is next, until the file is in it."""
        session, rounds, checks, end = str(state.get("id")), 0, 0, 0.0
        size = self.path.stat().st_size
        begins = state["state"] == "open"
        if begins:
            click.echo(f"Uploading {self.package.basefilename}")
        columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True)
        with Progress(*columns, disable=self.repository.disable_progress_bar or not begins) as progress:
            bar = progress.add_task("", total=size)
            while True:
                match state:
                    case {"state": "open", "id": str(session), "part_size": int(part_size), "missing": dict(links)}:
                        rounds += 1
                        if rounds > ROUNDS:
                            raise Failed("The index does not find the parts that were sent: its log may say why.")
                        parts = Parts(
                            self.path,
                            size,
                            part_size,
                            links,
                            lambda: _state(self._ask("GET", session)).get("missing", {}),
                            lambda count: progress.advance(bar, count),
                            self.repository.session.verify,
                        )
                        progress.update(bar, completed=size - sum(map(parts.length, links)))
                        parts.send()
                        state = _state(self._ask("POST", session))
                    case {"state": "checking"}:
                        checks += 1
                        end = end or time.monotonic() + PATIENCE
                        if time.monotonic() > end:
                            page = f"{self.base}/simple/{canonicalize_name(self.package.metadata['name'])}/"
                            raise Failed(
                                "The index still checks it, and goes on by itself: "
                                f"look at {page}, or run the same command again."
                            )
                        time.sleep(min(pause(checks), 5))
                        state = _state(self._ask("GET", session))
                    case {"state": "done", "message": str(message)}:
                        return message
                    case {"state": "refused", "status": int(status), "message": str(message)}:
                        raise Failed(message, status)
                    case _:
                        raise Failed("The index says what this version does not understand: upgrade elasticpypi.")

    def _ask(self, method: str, path: str, form: Any = None, tries: int = TRIES) -> requests.Response:
        """An answer of the index, whatever it says; :class:`Failed` if there is none that counts."""
        why = ""
        for attempt in range(tries):
            if attempt:
                time.sleep(pause(attempt))
            try:
                answer = self.repository.session.request(
                    method,
                    f"{self.base}/uploads/{path}",
                    data=form,
                    headers={"Accept": "application/json"},
                    timeout=TIMEOUT,
                    verify=self.repository.session.verify,  # said here it counts more than REQUESTS_CA_BUNDLE
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                why = reason(error)
                continue
            if answer.status_code < 500 and answer.status_code != 429:
                return answer
            why = _sentence(answer)
        raise Failed(f"The index cannot be used: {why}", hopeless=True)


def _state(answer: requests.Response) -> dict[str, Any]:
    if answer.status_code >= 400:
        raise Failed(_sentence(answer), answer.status_code)
    return _json(answer)


def _json(answer: requests.Response) -> dict[str, Any]:
    """The object of an answer, {} if there is none."""
    try:
        state = answer.json()
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _sentence(answer: requests.Response) -> str:
    """What an index says of a refusal: in JSON or as text, else as the reason phrase, as PyPI does."""
    text = answer.text if answer.headers.get("content-type", "").startswith("text/plain") else ""
    return _line(_json(answer).get("message") or text) or f"{answer.status_code} {answer.reason}"


def _line(text: object) -> str:
    return " ".join(str(text).split())[:500]
