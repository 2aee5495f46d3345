"""The table of routes: which view answers what. A view is imported when it is first called.

``views.<module>.<function>`` takes the services and the parts of the address; ``docs/http-api.md`` has the same table
for people.
"""

from typing import Any, NamedTuple

from elasticpypi.web.request import LARGEST_FORM

LARGEST_QUERY = 1024 * 1024  # a thousand packages
LARGEST_BODY = 64 * 1024  # bytes of a request that is no upload: reasons, names, the token of a form


class Route(NamedTuple):
    """``view`` is ``<module>.<function>`` below ``web/views``. GET answers HEAD too."""

    method: str
    rule: str
    view: str
    defaults: dict[str, Any] | None = None


ROUTES = (
    Route("GET", "/simple", "simple.slash"),
    Route("GET", "/simple/", "simple.root"),
    Route("GET", "/simple/<path:name>", "simple.project"),
    Route("GET", "/+simple/<name>/", "simple.beside_uploads", {"up": "../../"}),
    Route("GET", "/legacy/+simple/<name>/", "simple.beside_uploads", {"up": "../../../"}),
    Route("GET", "/simple/+simple/<name>/", "simple.beside_uploads", {"up": "../../../"}),
    Route("GET", "/+simple/<name>", "simple.slash_beside_uploads"),
    Route("GET", "/legacy/+simple/<name>", "simple.slash_beside_uploads"),
    Route("GET", "/simple/+simple/<name>", "simple.slash_beside_uploads"),
    Route("GET", "/pypi/<name>/json", "json_api.release"),
    Route("GET", "/pypi/<name>/json/", "json_api.release"),
    Route("GET", "/pypi/<name>/<version>/json", "json_api.release"),
    Route("GET", "/pypi/<name>/<version>/json/", "json_api.release"),
    Route("GET", "/packages/<filename>", "download.file"),
    Route("GET", "/upstream/<index>/<path:path>", "upstream.file"),
    Route("PUT", "/packages/<filename>", "decisions.put"),
    Route("DELETE", "/packages/<filename>", "decisions.delete"),
    Route("POST", "/", "upload.file"),
    Route("POST", "/legacy", "upload.file"),
    Route("POST", "/legacy/", "upload.file"),
    Route("POST", "/simple", "upload.file"),
    Route("POST", "/simple/", "upload.file"),
    Route("POST", "/pypi", "upload.file"),
    Route("POST", "/pypi/", "upload.file"),
    Route("GET", "/legacy/<name>/<version>/", "upload.published"),
    Route("GET", "/legacy//<name>", "upload.published_by_flit"),
    Route("POST", "/uploads/", "upload_sessions.announce"),
    Route("GET", "/uploads/<session_id>", "upload_sessions.state"),
    Route("POST", "/uploads/<session_id>", "upload_sessions.complete"),
    Route("GET", "/", "pages.home"),
    Route("GET", "/search", "pages.search"),
    Route("GET", "/project/<name>", "pages.project_slash"),
    Route("GET", "/project/<name>/", "pages.project"),
    Route("GET", "/project/<name>/<version>", "pages.release_slash"),
    Route("GET", "/project/<name>/<version>/", "pages.release"),
    Route("GET", "/upload", "pages.upload"),
    Route("GET", "/static/<version>/<filename>", "pages.static"),
    Route("POST", "/manage/upload", "manage.upload"),
    Route("POST", "/manage/yank", "manage.yank"),
    Route("POST", "/manage/unyank", "manage.unyank"),
    Route("POST", "/manage/delete", "manage.delete"),
    Route("POST", "/manage/status", "manage.set_status"),
    Route("GET", "/policy", "policy.document"),
    Route("PUT", "/policy", "policy.replace"),
    Route("GET", "/policy/origins", "policy.origins"),
    Route("GET", "/policy/blocks", "policy.blocks"),
    Route("GET", "/policy/exemptions", "policy.exemptions"),
    Route("PUT", "/policy/origins/<name>", "policy.set_origin"),
    Route("DELETE", "/policy/origins/<name>", "policy.unset_origin"),
    Route("PUT", "/policy/blocks/<path:what>", "policy.block"),
    Route("DELETE", "/policy/blocks/<path:what>", "policy.unblock"),
    Route("GET", "/policy/projects/<name>", "policy.project"),
    Route("PUT", "/policy/exemptions/<path:what>", "policy.exempt"),
    Route("DELETE", "/policy/exemptions/<path:what>", "policy.unexempt"),
    Route("PUT", "/policy/acceptances/<record>/<digest>", "policy.accept"),
    Route("DELETE", "/policy/acceptances/<record>/<digest>", "policy.unaccept"),
    Route("POST", "/api/osv/v1/query", "osv.query"),
    Route("POST", "/api/osv/v1/querybatch", "osv.query_all"),
    Route("GET", "/api/osv/v1/vulns/<record>", "osv.record"),
    Route("GET", "/events", "events.listed"),
    Route("GET", "/health", "health.health"),
)

# Views that need no credentials: the look of a 401 is what one may have before logging in.
OPEN = {"health.health", "pages.static"}
# Views that take more than LARGEST_BODY, in bytes: a form that announces a file; None: files with their form.
UPLOADS = {
    "upload.file": None,
    "manage.upload": None,
    "upload_sessions.announce": LARGEST_FORM,
    "osv.query_all": LARGEST_QUERY,
}
