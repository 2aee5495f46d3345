"""A small proxy, as companies have one: it tunnels https, forwards http, and looks hosts up itself."""

import base64
import http.client
import select
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

OF_ONE_HOP = {"proxy-authorization", "proxy-connection", "connection", "host"}


class Proxy:
    """``asked`` is each target: "CONNECT host:port", or an address. ``hosts`` says where names are that it alone knows.

    It asks for ``credentials``, user:password, if there are some.
    """

    def __init__(self, credentials: str = "", hosts: Mapping[str, str] | None = None) -> None:
        self.asked: list[str] = []
        self.login = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else ""
        self.hosts = hosts or {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def connect(self, host: str, port: int) -> socket.socket:
        found, _, other = self.hosts.get(host, host).partition(":")
        return socket.create_connection((found, int(other or port)), 10)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            proxy.asked.append(f"CONNECT {self.path}")
            if not self._may():
                return
            host, _, port = self.path.rpartition(":")
            self.close_connection = True
            try:
                target = proxy.connect(host, int(port))
            except OSError:
                self.send_error(502)
                return
            self.send_response(200)
            self.end_headers()
            with target, suppress(OSError):
                ends = {self.connection: target, target: self.connection}
                while True:
                    for each in select.select([*ends], [], [], 10)[0]:
                        if not (data := each.recv(64 * 1024)):
                            return
                        ends[each].sendall(data)

        def do_GET(self) -> None:
            proxy.asked.append(self.path)
            if not self._may():
                return
            parts = urlsplit(self.path)
            target = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
            target.sock = proxy.connect(target.host, target.port)
            sent = {name: value for name, value in self.headers.items() if name.lower() not in OF_ONE_HOP}
            target.request("GET", parts.path, headers={**sent, "Host": parts.netloc})
            answer = target.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            target.close()

        def _may(self) -> bool:
            if not proxy.login or self.headers.get("Proxy-Authorization") == proxy.login:
                return True
            self.send_response(407)
            self.send_header("Proxy-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return False

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def running_proxy(credentials: str = "", hosts: Mapping[str, str] | None = None) -> Iterator[Proxy]:
    """One that ends with the block."""
    made = Proxy(credentials, hosts)
    try:
        yield made
    finally:
        made.close()
