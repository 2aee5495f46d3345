"""Logins over HTTP: how failures are slowed, and that they hurt nobody else."""

from dataclasses import replace
from pathlib import Path

import pytest
from werkzeug.security import generate_password_hash

from elasticpypi.accounts import attempts
from elasticpypi.services import Services
from tests.support.application import USER, Client
from tests.support.builders import make_wheel


@pytest.fixture
def client(services: Services, monkeypatch: pytest.MonkeyPatch) -> Client:
    """No time passes for those who have to wait."""
    monkeypatch.setattr(attempts, "monotonic", lambda: 1000.0)
    users = {**services.config.users, "bob": generate_password_hash("secret", "pbkdf2:sha256:1")}
    return Client(replace(services, config=replace(services.config, users=users)))


@pytest.mark.req("REQ-73", "REQ-82", "REQ-119")
@pytest.mark.parametrize("name", [USER, "bob", "nobody", "__token__"])
def test_failures_are_slowed_for_a_user_at_an_address(client: Client, name: str) -> None:
    def asked(user: str, address: str = "192.0.2.1", **headers: str) -> tuple[int, str | None]:
        environ = {"REMOTE_ADDR": address}
        answer = client.get("/simple/", user=user, headers=headers, environ_overrides=environ)
        return answer.status_code, answer.headers.get("Retry-After")

    assert [asked(f"{name}:{number}") for number in range(5)] == [(401, None)] * 5
    assert asked(f"{name}:5") == (429, "1")
    assert asked(f"{name}:0") == (401, None)  # known to be wrong: no guess
    assert asked(f"{name}:0", "192.0.2.2") == (401, None)
    assert asked("bob:secret", "192.0.2.2")[0] == 200
    assert asked("bob:secret")[0] == 200
    assert asked(f"{name}:6", "192.0.2.2") == (401, None)
    for accept in ("application/json", "text/html,application/xhtml+xml,*/*;q=0.8"):
        assert asked(f"{name}:7", Accept=accept) == (429, "1")


def test_what_is_told(client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def asked(number: int, **headers: str) -> tuple[int, str]:
        answer = client.request("POST", "/legacy/", user=f"{USER}:hunter{number}", headers=headers)
        return answer.status_code, answer.text

    for number in range(5):
        assert asked(number)[0] == 401
    sentence = "Too many logins failed or are under way: try again in 1 s."
    assert asked(5) == (429, f"{sentence}\n")
    assert f'"message": "{sentence}"' in asked(6, Accept="application/json")[1]
    assert client.upload(make_wheel(tmp_path, "demo", "1.0")).status_code == 429  # the same user at the same address
    assert "hunter" not in caplog.text
