"""bandersnatch, which copies an index into a folder: projects by their names."""

import functools
import http.server
import threading
from pathlib import Path

from tests.support.builders import make_sdist, make_wheel
from tests.support.certificates import make_certificate
from tests.support.environments import new_venv, run
from tests.support.install import installed, pip
from tests.support.live import running
from tests.support.publish import publish

CONFIGURATION = """
[mirror]
directory = {folder}
master = {address}
download-mirror = {address}
download-mirror-no-fallback = true
"""


def test_projects_are_mirrored_by_their_names(name: str, dist: Path, tmp_path: Path) -> None:
    """A second time too, when there is more; what the mirror has can be installed."""
    cert, key = make_certificate(tmp_path)
    (tmp_path / "index").mkdir()
    mirror, configuration = tmp_path / "mirror", tmp_path / "bandersnatch.conf"
    with running("folder", tmp_path / "index", TLS_CERT=str(cert), TLS_KEY=str(key)) as server:
        address = server.index.removesuffix("/simple/").replace("%", "%%")
        configuration.write_text(CONFIGURATION.format(folder=mirror, address=address))
        make_wheel(dist, name, "1.0+local.1")
        for make in (make_wheel, make_sdist):
            make(dist, name, "2.0")
            publish("twine", server, tmp_path)
            sync = "--config", configuration, "sync", name
            told = run("bandersnatch", *sync, home=tmp_path / "home", folder=tmp_path, SSL_CERT_FILE=str(cert))
            assert "Error syncing" not in told
    assert {path.name for path in (mirror / "web" / "packages").rglob("*.*")} == {path.name for path in dist.iterdir()}
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as static:
        threading.Thread(target=static.serve_forever, daemon=True).start()
        new_venv(tmp_path / ".venv")
        index = f"http://127.0.0.1:{static.server_port}/simple/"
        pip("pip", "install", "--index-url", index, f"{name}==1.0+local.1", home=tmp_path / "home", folder=tmp_path)
        static.shutdown()
    assert installed(tmp_path)[name] == "1.0+local.1"
