"""A page that the clock alone changes: the response cache gives it again until then, and no longer."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName
from werkzeug.test import Client as WerkzeugClient

from elasticpypi.accounts.permissions import Permission, Permissions
from elasticpypi.accounts.principal import Principal
from elasticpypi.core.model import Project
from elasticpypi.repository.base import State
from elasticpypi.repository.stored import Stored
from elasticpypi.services import Services
from elasticpypi.web.app import create_app
from elasticpypi.web.response_cache import ResponseCache
from tests.support.application import LOGIN, USER, Client, basic
from tests.support.builders import make_wheel


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Hidden(Stored):
    """Files of the index, of which none is shown before a moment: as a minimum age does it."""

    def __init__(self, services: Services, clock: Clock, until: float) -> None:
        super().__init__(services.index, services.permissions)
        self._clock, self._until = clock, until

    def state(self, reader: Principal, name: NormalizedName | None) -> State | None:
        state = super().state(reader, name)
        return state and self._aged(state)

    def project(self, reader: Principal, name: NormalizedName) -> tuple[State, Project] | None:
        found = super().project(reader, name)
        if found is None:
            return None
        state, project = self._aged(found[0]), found[1]
        return state, project if state.fresh_until is None else replace(project, files=())

    def _aged(self, state: State) -> State:
        if self._clock() < self._until:
            return replace(state, version=f"{state.version}-young", fresh_until=self._until)
        return state


def test_a_page_expires_by_the_clock(tmp_path: Path, services: Services) -> None:
    assert Client(services).upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 200
    clock = Clock()
    repository = Hidden(services, clock, clock.now + 3600)
    shown = replace(services)
    shown.__dict__["repository"] = repository
    app, asked = create_app(shown), []

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        asked.append(environ["PATH_INFO"])
        return app(environ, start_response)

    cached = ResponseCache(counted, repository, services.permissions, app.extensions["authenticator"], clock=clock)
    client = WerkzeugClient(cached)
    young = client.get("/simple/demo/", headers=LOGIN)
    assert (young.status_code, "demo-1.0" in young.text) == (200, False)
    clock.now += 3599
    again = client.get("/simple/demo/", headers={**LOGIN, "If-None-Match": young.headers["ETag"]})
    assert (again.status_code, len(asked)) == (304, 1)
    clock.now += 1
    old = client.get("/simple/demo/", headers={**LOGIN, "If-None-Match": young.headers["ETag"]})
    assert (old.status_code, "demo-1.0" in old.text, len(asked)) == (200, True, 2)
    assert old.headers["ETag"] != young.headers["ETag"]
    clock.now += 10**9
    assert client.get("/simple/demo/", headers=LOGIN).text == old.text
    assert len(asked) == 2


class OnlyOwn(Permissions):
    """Whoever is not the user of these tests may read nothing."""

    def allowed(self, principal: Principal, permission: Permission, project: NormalizedName | None = None) -> bool:
        return principal.user == USER

    def view(self, principal: Principal) -> str:
        return ""  # a view that is too wide: the right is asked all the same


def test_a_right_is_asked_before_a_kept_answer_is_given(tmp_path: Path, services: Services) -> None:
    assert Client(services).upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 200
    config = replace(services.config, users={**services.config.users, "mallory": "another one"})
    shown = replace(services, config=config)
    permissions = OnlyOwn()
    shown.__dict__["permissions"] = permissions
    app = create_app(shown)
    cached = ResponseCache(app, shown.repository, permissions, app.extensions["authenticator"])
    client = WerkzeugClient(cached)
    for path in ("/simple/demo/", "/packages/demo-1.0-py3-none-any.whl"):
        assert client.get(path, headers=LOGIN).status_code == 200
        assert client.get(path, headers={"Authorization": basic("mallory:another one")}).status_code == 404
        assert client.get(path, headers=LOGIN).status_code == 200
