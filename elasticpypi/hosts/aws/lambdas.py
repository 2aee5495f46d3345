"""The four functions on AWS, named as handlers in ``serverless.yml``.

A function loads nothing of what only the others need, since cold starts are CPU time.
"""

import logging
import os
from contextlib import suppress
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from elasticpypi.config import Config
from elasticpypi.core.errors import ConfigurationError, Refusal

if TYPE_CHECKING:
    from elasticpypi.accounts.passwords import Authenticator
    from elasticpypi.services import Services

RESERVE = 60_000  # milliseconds for the keys that are being read when an audit has to end

log = logging.getLogger("elasticpypi")


@cache
def _config() -> Config:
    return Config.from_env(os.environ)


@cache
def _services() -> "Services":
    """For requests: nobody is told of changes here, since the event of the bucket tells of the same."""
    from elasticpypi.wiring import services, with_staging

    return with_staging(services(_config()))


@cache
def _background() -> "Services":
    from elasticpypi.wiring import with_subscribers

    return with_subscribers(_services())


@cache
def _claimed() -> None:
    """The table remembers its bucket; a process looks once."""
    _background().claim("")


@cache
def _app() -> Any:
    from elasticpypi.hosts.aws.response_limit import ResponseLimit
    from elasticpypi.web.app import create_app
    from elasticpypi.web.proxies import behind
    from elasticpypi.web.response_cache import ResponseCache

    services = _services()
    app = create_app(services)
    # A file that is not kept would cost a call more here, and seldom comes to the same process again.
    cached = ResponseCache(
        ResponseLimit(app, services.root_link),
        services.repository,
        services.permissions,
        app.extensions["authenticator"],
        files=False,
    )
    return behind(cached, services.config)


@cache
def _authenticator() -> "Authenticator":
    from elasticpypi.accounts.passwords import Authenticator

    return Authenticator(_config().users, _note_failed_login)


def _note_failed_login(name: str, address: str, reason: str) -> None:
    from elasticpypi.events import note_failed_login
    from elasticpypi.storage.aws.event_log import ObjectLog

    if _config().records:
        note_failed_login(ObjectLog(_config().records), None, name, address, reason)


def api(event: dict[str, Any], context: object) -> Any:
    """An API Gateway proxy event → the application's answer."""
    import serverless_wsgi

    from elasticpypi.storage.aws import direct
    from elasticpypi.web.request import REQUEST_ID

    app, mount = _app(), _mount(event)

    def mounted(environ: dict[str, Any], start_response: Any) -> Any:
        environ[REQUEST_ID] = getattr(context, "aws_request_id", "")
        if mount:
            environ["SCRIPT_NAME"] = mount
        return app(environ, start_response)

    with direct.in_time():
        return serverless_wsgi.handle_request(mounted, {**event, "path": event["path"][len(mount) :]}, context)


def _mount(event: dict[str, Any]) -> str:
    """The base path of a custom domain, which is in the path of an event but not in its parameters; "" if none."""
    below = event.get("resource", "").replace("{proxy+}", (event.get("pathParameters") or {}).get("proxy", ""))
    parts, rest = ([part for part in path.split("/") if part] for path in (event["path"], below))
    return "".join(f"/{part}" for part in parts[: len(parts) - len(rest)]) if below else ""


def authorizer(event: dict[str, Any], context: object) -> dict[str, Any]:
    """An API Gateway authorizer event → a policy; see :func:`elasticpypi.hosts.aws.authorizer.authorize`."""
    from elasticpypi.hosts.aws.authorizer import authorize

    return authorize(event, _authenticator())


def sync(event: dict[str, Any], context: object) -> None:
    """An S3 event of packages or decisions → the index. Fails if any failed: AWS tries again, and keeps the event."""
    from elasticpypi.core.keys import is_staged
    from elasticpypi.indexing.sync import sync_all
    from elasticpypi.storage.aws.s3 import event_keys, event_keys_of, nameless

    services, keys = _background(), event_keys(event, _config().records)
    staged = [key for key in keys if key.startswith(".uploads/")]
    others = (key for key in keys if key not in staged)
    outcomes = list(sync_all(services.files, services.index, others, beside=services.beside))
    if staged:
        from elasticpypi.actions import upload_sessions

        outcomes += upload_sessions.finish_all(services, filter(is_staged, staged))
    behind = services.events.tell(outcomes)
    with suppress(ConfigurationError, Refusal):  # while an index moves, events are of its new bucket
        _claimed()
    if decided := event_keys_of(event, _config().records):
        from elasticpypi.actions.policy import follow

        behind += follow(services, decided)
    for outcome in outcomes:
        log.info("%s: %s %s", outcome.action, outcome.key, outcome.reason)
    if failed := [outcome for outcome in outcomes if outcome.action == "failed"]:
        raise RuntimeError(f"{len(failed)} of {len(outcomes)} keys failed, {failed[0].key!r} first: {failed[0].reason}")
    if behind:
        raise RuntimeError(f"The entries of {len(behind)} projects are behind, that of {behind[0]!r} first.")
    if count := nameless(event):
        raise RuntimeError(f"{count} records of the event name no key; all others are done.")


def audit(event: dict[str, Any], context: Any) -> None:
    """Whenever it is called: the index is put right. Fails if any key failed or the time did not suffice.

    :class:`ConfigurationError` if the table is that of another bucket, before anything is changed.
    """
    from elasticpypi.actions.audit import audit
    from elasticpypi.core.keys import is_ignored
    from elasticpypi.indexing.audit import Report, line

    def in_time() -> bool:
        return bool(context.get_remaining_time_in_millis() > RESERVE)

    services, report = _background(), Report(repair=True)
    services.claim("")
    for outcome in audit(services, report, in_time):
        if not is_ignored(outcome.key):  # of what is no package the number is enough
            log.info("%s", line(outcome))
    for name in takewhile(lambda _: in_time(), services.catalog.stale()) if report.finished else ():
        report.failed += len(services.events.tell([], also=[name]))
    log.info("%s", report)
    if report.failed or not report.finished:
        raise RuntimeError(str(report))


# Lambda gives the initialization more CPU than the first request, so the work is done here (AWS: _HANDLER).
match os.environ.get("_HANDLER"):
    case "elasticpypi.lambdas.api":
        _app()
    case "elasticpypi.lambdas.authorizer":
        _authenticator()
    case "elasticpypi.lambdas.sync" | "elasticpypi.lambdas.audit":
        logging.getLogger().setLevel(logging.INFO)
        _background()

# Processes from one snapshot (SnapStart) would else draw the same waiting times, and meet again and again.
if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
    import random

    from snapshot_restore_py import register_after_restore  # part of the runtime

    register_after_restore(random.seed)
