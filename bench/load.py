"""What asks the servers: one request that is looked at, wrk for many, a loop of uploads."""

import base64
import http.client
import json
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

from bench.corpus import wheel
from bench.packages import upload_form
from bench.process import Failed
from bench.tools import debian

HTML, JSON = "text/html", "application/vnd.pypi.simple.v1+json"
CONNECTIONS = 2

# The last line that wrk prints; and, if there are paths, a request to the next of them each time.
_SCRIPT = """
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format('\\n{"requests": %%d, "bytes": %%d, "microseconds": %%d, "failed": %%d}\\n',
        summary.requests, summary.bytes, summary.duration,
        errors.connect + errors.status + errors.timeout))  -- uWSGI closes without a word, which is an errors.read
end
local paths, requests, last = {%s}, {}, 0
if #paths > 0 then
    function init()
        for number, path in ipairs(paths) do requests[number] = wrk.format("GET", path) end
    end
    function request()
        last = last %% #requests + 1
        return requests[last]
    end
end
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and from where after redirects."""

    status: int
    url: str
    headers: Message
    body: bytes


def basic(user: str, password: str) -> dict[str, str]:
    """The header of a login."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def get(url: str, headers: Mapping[str, str], timeout: float = 120) -> Answer:
    """One GET; :class:`OSError` if there is no server."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=timeout) as answer:
            return Answer(answer.status, answer.url, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, url, error.headers, error.read())


def links(page: bytes) -> list[str]:
    """The targets of the links on a page of HTML."""
    return re.findall(r'<a[^>]* href="([^"]*)"', page.decode().replace("\n", " "), re.IGNORECASE)


def wrk(url: str, headers: Mapping[str, str], paths: Sequence[str] = ()) -> tuple[float, float]:
    """Requests and bytes in a second, over CONNECTIONS that are kept; :class:`Failed` if one was refused."""
    options = [option for header in headers.items() for option in ("-H", ": ".join(header))]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % ", ".join(map(json.dumps, paths)))
        script.flush()
        amount = ["-t", "1", "-c", str(CONNECTIONS), "-d", "1s", "--timeout", "60s"]
        line = [debian("wrk", "wrk"), *amount, "-s", script.name, *options, url]
        done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"wrk: {(done.stderr or done.stdout).strip()}")
    counts = json.loads(done.stdout.strip().splitlines()[-1])
    if counts["failed"]:
        raise Failed(f"{counts['failed']} of {counts['requests']} requests failed")
    passed = counts["microseconds"] / 1e6
    return counts["requests"] / passed, counts["bytes"] / passed


def uploads(what: str, count: int, size: int) -> list[tuple[bytes, str]]:
    """Body and content type of ``count`` uploads in twine's form, in turn to ten projects, upload-<what>-<0 to 9>."""
    with tempfile.TemporaryDirectory() as folder:
        made = (wheel(Path(folder), f"upload-{what}-{n % 10}", f"1.{n}", size) for n in range(count))
        return [_form(path) for path in made]


def upload_rate(url: str, headers: Mapping[str, str], bodies: Iterable[tuple[bytes, str]], seconds: float) -> float:
    """Uploads per second, one after another over one connection, for so long or until there are no more."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    begin, count = time.monotonic(), 0
    for body, kind in bodies:
        answer = _post(connection, address.path, body, {**headers, "Content-Type": kind})
        told = answer.read()
        if answer.status != 200:
            raise Failed(f"an upload was answered {answer.status}: {told[:200]!r}")
        count += 1
        if time.monotonic() - begin > seconds:
            break
    connection.close()
    return count / (time.monotonic() - begin)


def _post(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    """POST, over a new connection if the server left the one before without a word, as uWSGI does."""
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse()
    except ConnectionError:
        connection.close()
        connection.request("POST", path, body, headers)
        return connection.getresponse()


def warm_up(url: str, headers: Mapping[str, str], patience: float = 120) -> None:
    """Ask until it is not getting faster: each process of a server may have to read everything first."""
    end, rate = time.monotonic() + patience, -1.0
    while time.monotonic() < end:
        before, rate = rate, wrk(url, headers)[0]
        if 0 < rate <= before * 1.2:
            return


def _form(path: Path) -> tuple[bytes, str]:
    boundary = "4f0d7a1c3be94d4e8f6f0a9d5c2b7e61"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in upload_form(path).items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="{path.name}"\r\n'
    content = b"Content-Type: application/octet-stream\r\n\r\n" + path.read_bytes()
    return b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()]), (
        f"multipart/form-data; boundary={boundary}"
    )
