"""devpi, pypiserver and static pages behind ours. None of them says when a file was uploaded."""

import json
from pathlib import Path

import pytest

from tests.support.application import basic
from tests.support.builders import make_sdist, make_wheel
from tests.support.install import install, installed
from tests.support.live import PASSWORD, USER, Server, running
from tests.support.other_indexes import OTHER_INDEXES
from tests.support.serving import run as command
from tests.support.waiting import until

WANTED = {"pub-web": "2.0", "pub-core": "1.1", "pub-data": "1.0"}


def health(server: Server) -> dict[str, object]:
    login = {"Authorization": basic(f"{USER}:{PASSWORD}")}
    return dict(json.loads(server.get(f"{server.address}/health", login)))


@pytest.mark.parametrize("other", OTHER_INDEXES)
def test_one_warning_names_the_setting_with_which_everything_installs(other: str, tmp_path: Path) -> None:
    made, theirs, ours = (tmp_path / name for name in ("made", "theirs", "ours"))
    for folder in (made, theirs, ours):
        folder.mkdir()
    packages = [
        make_wheel(made, "pub-web", "2.0", requires_dist=["pub-core>=1", "pub-data"], requires_python=">=3.8"),
        make_wheel(made, "pub-core", "1.0"),
        make_wheel(made, "pub-core", "1.1"),
        make_sdist(made, "pub-data", "1.0"),
    ]
    with (
        OTHER_INDEXES[other](theirs, packages) as address,
        # One process, so that whoever has seen a new policy is the one who answers next.
        running("folder", ours, UPSTREAM=address, WORKERS="1") as server,
    ):
        told = install("uv", server, tmp_path / "held", "pub-web", fails=True)
        assert "pub-web" in told
        warning = "The index 'main' does not say when its files were uploaded"
        assert (ours / "server.log").read_text().count(warning) == 1
        assert warning in str(health(server)["upstream"])
        told = command("why", "pub-web", "--data", str(server.data)).stdout
        assert (
            f'{warning}, so they are held: no_time of [cooldown] in the policy can be "first_seen" or "allow".' in told
        )

        (server.data / "policy.toml").write_text('[cooldown]\nno_time = "allow"\n')
        until(lambda: server.files("pub-web"), "the policy")
        for client in ("pip", "uv"):
            install(client, server, tmp_path / client, "pub-web")
            assert installed(tmp_path / client).items() >= WANTED.items()
        assert "upstream" not in health(server)
