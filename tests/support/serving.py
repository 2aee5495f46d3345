"""`elasticpypi serve` and the other commands, each in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from tests.support.application import basic
from tests.support.builders import upload_form
from tests.support.processes import heeds_signals

STARTED = re.compile(r"at http://127\.0\.0\.1:(\d+)/simple/")


class Server:
    """A running `elasticpypi serve`, with what it says so far."""

    def __init__(
        self,
        data: Path,
        wait: bool = True,
        prepare: Callable[[], None] = heeds_signals,
        *,
        program: tuple[str, ...] = ("-m", "elasticpypi"),
        **environ: str,
    ) -> None:
        path = {"PATH": os.environ["PATH"], "HOME": str(data)}
        command = [sys.executable, *program, "serve", "--port", "0", "--data", str(data)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**path, **environ},
            start_new_session=True,
            preexec_fn=prepare,
        )
        self.said: list[str] = []
        self.logged: list[str] = []
        self.readers = []
        for stream, lines in ((self.process.stderr, self.said), (self.process.stdout, self.logged)):
            reader = threading.Thread(target=lambda s=stream, to=lines: to.extend(iter(s.readline, "")), daemon=True)
            reader.start()
            self.readers.append(reader)
        if wait:
            self.wait_until_up()

    def wait_until_up(self) -> None:
        self.wait_for(lambda: STARTED.search("".join(self.said)) is not None)
        found = STARTED.search("".join(self.said))
        assert found is not None
        self.url = f"http://127.0.0.1:{found[1]}"
        self.wait_for(self.is_up)

    def wait_for(self, condition: Any, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, "".join(self.said)
            assert time.monotonic() < end, "".join(self.said)
            time.sleep(0.02)

    def is_up(self) -> bool:
        try:
            return self.open("/health", None).status == 200  # type: ignore[no-any-return]
        except OSError:
            return False

    def open(self, path: str, user: str | None, **headers: str) -> Any:
        if user:
            headers["Authorization"] = basic(user)
        return urllib.request.urlopen(urllib.request.Request(f"{self.url}{path}", headers=headers), timeout=20)

    def upload(self, wheel: Path, user: str) -> None:
        """As twine does, over a connection of its own."""
        with wheel.open("rb") as content:
            form = {**upload_form(wheel), "content": FileStorage(content, filename=wheel.name)}
            boundary, body = encode_multipart(form)
        headers = {"Authorization": basic(user), "Content-Type": f"multipart/form-data; boundary={boundary}"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/legacy/", body, headers), timeout=20) as answer:
            assert answer.status == 200

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(40)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "elasticpypi", *arguments]
    environ = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
