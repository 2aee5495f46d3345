"""The four functions on AWS, named as handlers in ``serverless.yml``."""

import logging
import os
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elasticpypi.wiring import Services

RESERVE = 60_000  # milliseconds for the keys that are being read when an audit has to end

log = logging.getLogger("elasticpypi")


@cache
def _services() -> "Services":
    from elasticpypi.config import Config
    from elasticpypi.wiring import services, with_staging

    return with_staging(services(Config.from_env(os.environ)))


@cache
def _app() -> Any:
    from elasticpypi.app import create_app
    from elasticpypi.aws.edge import Edge
    from elasticpypi.front import Front
    from elasticpypi.proxies import behind

    services = _services()
    app = create_app(services)
    # A file that is not kept would cost a call more here, and seldom comes to the same process again.
    front = Front(Edge(app, _root_link), services.index, app.extensions["gatekeeper"], files=False)
    return behind(front, services.config)


def _root_link(serial: int) -> str | None:
    from elasticpypi.aws import rootlist
    from elasticpypi.aws.s3 import S3Files

    files = _services().files
    assert isinstance(files, S3Files)
    return rootlist.link(files, serial)


@cache
def _gatekeeper() -> Any:
    from elasticpypi.auth import gatekeeper
    from elasticpypi.config import Config

    return gatekeeper(Config.from_env(os.environ).users)


def api(event: dict[str, Any], context: object) -> Any:
    """An API Gateway proxy event → the application's answer."""
    import serverless_wsgi

    from elasticpypi.aws import direct

    app, mount = _app(), _mount(event)

    def mounted(environ: dict[str, Any], start_response: Any) -> Any:
        return app({**environ, "SCRIPT_NAME": mount}, start_response)

    with direct.in_time():
        return serverless_wsgi.handle_request(
            mounted if mount else app, {**event, "path": event["path"][len(mount) :]}, context
        )


def _mount(event: dict[str, Any]) -> str:
    """The base path of a custom domain, which is in the path of an event but not in its parameters; "" if none."""
    below = event.get("resource", "").replace("{proxy+}", (event.get("pathParameters") or {}).get("proxy", ""))
    parts, rest = ([part for part in path.split("/") if part] for path in (event["path"], below))
    return "".join(f"/{part}" for part in parts[: len(parts) - len(rest)]) if below else ""


def authorizer(event: dict[str, Any], context: object) -> dict[str, Any]:
    """An API Gateway authorizer event → a policy; see :func:`elasticpypi.auth.authorize`."""
    from elasticpypi.auth import authorize

    return authorize(event, _gatekeeper())


def sync(event: dict[str, Any], context: object) -> None:
    """An S3 event → the index. Fails if any key failed, so that AWS tries again and keeps what never works."""
    from elasticpypi import catalog
    from elasticpypi.aws.s3 import event_keys, nameless
    from elasticpypi.sync import is_staged, sync_all

    keys = event_keys(event)
    staged = [key for key in keys if key.startswith(".uploads/")]
    outcomes = list(sync_all(_services().files, _services().index, (key for key in keys if key not in staged)))
    if staged:
        from elasticpypi import sessions

        outcomes += sessions.finish_all(_services(), filter(is_staged, staged))
    stale = catalog.refresh(_services().index, _services().catalog, keys)
    _refresh_root(keys)
    for outcome in outcomes:
        log.info("%s: %s %s", outcome.action, outcome.key, outcome.reason)
    if failed := [outcome for outcome in outcomes if outcome.action == "failed"]:
        raise RuntimeError(f"{len(failed)} of {len(outcomes)} keys failed, {failed[0].key!r} first: {failed[0].reason}")
    if stale:
        raise RuntimeError(f"The entries of {len(stale)} projects are behind, that of {stale[0]!r} first.")
    if count := nameless(event):
        raise RuntimeError(f"{count} records of the event name no key; all others are done.")


def _refresh_root(keys: list[str]) -> None:
    from elasticpypi.aws import rootlist
    from elasticpypi.aws.dynamodb import DynamoIndex

    index = _services().index
    assert isinstance(index, DynamoIndex)
    if not all(key.startswith(rootlist.FOLDER) for key in keys):  # its own event must not lead to the next one
        rootlist.refresh(index.table, index.files)


def audit(event: dict[str, Any], context: Any) -> None:
    """Whenever it is called: the index is put right. Fails if any key failed or the time did not suffice."""
    from elasticpypi import audit as audits
    from elasticpypi import catalog
    from elasticpypi.sync import meaning

    def in_time() -> bool:
        return bool(context.get_remaining_time_in_millis() > RESERVE)

    report = audits.Report(repair=True)
    for outcome in audits.audit(_services(), report, in_time):
        if not isinstance(meaning(outcome.key), str):  # of what is no package the number is enough
            log.info("%s", audits.line(outcome))
    behind = takewhile(lambda _: in_time(), _services().catalog.stale()) if report.finished else ()
    report.failed += len(catalog.refresh_projects(_services().index, _services().catalog, behind))
    log.info("%s", report)
    if report.failed or not report.finished:
        raise RuntimeError(str(report))


# Lambda gives the initialization more CPU than the first request, so the work is done here (AWS: _HANDLER).
match os.environ.get("_HANDLER"):
    case "elasticpypi.lambdas.api":
        _app()
    case "elasticpypi.lambdas.authorizer":
        _gatekeeper()
    case "elasticpypi.lambdas.sync" | "elasticpypi.lambdas.audit":
        logging.getLogger().setLevel(logging.INFO)
        _services()

# Processes from one snapshot (SnapStart) would else draw the same waiting times, and meet again and again.
if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
    import random

    from snapshot_restore_py import register_after_restore  # part of the runtime

    register_after_restore(random.seed)
