"""An index whose files may be overwritten: no pip believes what it has in its cache."""

from pathlib import Path

import pytest

from tests.support.builders import make_wheel
from tests.support.certificates import make_certificate
from tests.support.environments import PIPS_BETWEEN, run
from tests.support.install import PIPS, install, installed
from tests.support.live import running
from tests.support.publish import publish


@pytest.mark.slow
@pytest.mark.parametrize("client", [*PIPS, *PIPS_BETWEEN, "uv"])
def test_what_was_overwritten_is_installed(client: str, name: str, dist: Path, tmp_path: Path) -> None:
    """Behind TLS, without which pip caches nothing; all installs share a cache."""
    cert, key = make_certificate(tmp_path)
    (tmp_path / "index").mkdir()
    settings = {"OVERWRITE": "true", "TLS_CERT": str(cert), "TLS_KEY": str(key)}
    with running("folder", tmp_path / "index", **settings) as server:
        for content in ("one", "two", "one again"):
            wheel = make_wheel(dist, name, "1.0", files={"says_what.py": f"print({content!r})".encode()})
            publish("twine", server, tmp_path)
            for _ in range(2):
                install(client, server, tmp_path, name)
                assert installed(tmp_path)[name] == "1.0"
                python = tmp_path / ".venv" / "bin" / "python"
                told = run(python, "-m", "says_what", home=tmp_path / "home", folder=tmp_path)
                assert told.splitlines()[1] == content
        if client != "uv":  # which has its own way to know that nothing has changed
            assert "GET 304" in server.requests(f"/packages/{wheel.name}")
