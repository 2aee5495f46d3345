"""moto as a server, on a port that it prints: ``python -m tests.support.moto_server``."""

import threading
from collections.abc import Iterable
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


def one_table_call_at_a_time(app: Any) -> Any:
    """moto copies its tables for each transaction, and fails if somebody writes to them meanwhile."""
    lock = threading.Lock()

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
            return app(environ, start_response)  # type: ignore[no-any-return]
        with lock:
            return list(app(environ, start_response))

    return application


if __name__ == "__main__":
    moto = one_table_call_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, moto, threaded=True)
    print(f"Running on http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201
    server.serve_forever()
