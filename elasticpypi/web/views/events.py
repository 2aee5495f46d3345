"""``/events``: the record of who did what, for administrators and the programs that collect it (REQ-O30)."""

from flask import Response, g, jsonify, request

from elasticpypi.accounts.permissions import Permission
from elasticpypi.actions.events import PAGE, read
from elasticpypi.services import Services


def listed(services: Services) -> Response:
    """Events as JSON, a hundred at most, the oldest first; ``?after=`` the last one that is known.

    ``?type=`` and ``?project=`` choose some of them. ``next`` is what to ask for ``after`` the next time.
    """
    services.permissions.require(g.actor.principal, Permission.ADMINISTER)
    wanted = {name: request.args.get(name, "") for name in ("type", "project")}
    after = request.args.get("after", "")
    events, last = read(services, after, PAGE, **wanted)
    response = jsonify(events=[event.as_dict() for event in events], next=last)
    response.headers["Cache-Control"] = "no-store"
    return response
