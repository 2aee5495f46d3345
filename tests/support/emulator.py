"""The emulator process: MiniStack with what API Gateway and Lambda do beyond it, and a proxy in front.

Runs in an environment of its own (see local_aws.py): ``emulator.py PROXY_PORT MINISTACK_PORT DYNAMODB REQUESTS``.

Every client here honours HTTPS_PROXY. The proxy takes any host of amazonaws.com and example.com to MiniStack,
so that the real URLs work without DNS: ``https://<api>.execute-api.us-east-1.amazonaws.com/dev/simple/``.
The items of tables are in the DynamoDB Local at DYNAMODB. Every request is a line of JSON in the file REQUESTS.
"""

import asyncio
import json
import re
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import urllib3
from ministack import app
from ministack.core import iam_actions, lambda_runtime
from ministack.services import apigateway_v1 as gateway
from ministack.services import dynamodb

MB = 1024 * 1024
LAMBDA_PAYLOAD = 6 * MB + 100  # what Lambda itself reports as its limit
GATEWAY_PAYLOAD = 10 * MB
# AWS: "API Gateway important notes" lists these headers of an answer as remapped or dropped.
REMAPPED = {
    "connection",
    "content-length",
    "content-md5",
    "date",
    "host",
    "server",
    "via",
    "warning",
    "www-authenticate",
}
INTERNAL_ERROR = 502, {"Content-Type": "application/json"}, b'{"message": "Internal server error"}'


class Headers(dict[str, Any]):
    """Names in Title-Case, as clients of HTTP/1.1 send them; MiniStack looks them up in lower case."""

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for key, value in self.items() if key.lower() == name.lower()), default)


execute = gateway._execute_in_scope
build_event = gateway._build_lambda_event_v1
invoke = gateway._invoke_lambda_proxy_v1
proxy_response = gateway._lambda_proxy_response


async def execute_with_headers(
    request: Any, api: str, stage: str, method: str, path: str, headers: Any, *rest: Any
) -> Any:
    forwarded = {"x-forwarded-for": "127.0.0.1", "x-forwarded-port": "443", "x-forwarded-proto": "https"}
    trace = {"x-amzn-trace-id": f"Root=1-00000000-{uuid.uuid4().hex[:24]}"}
    names = {"-".join(part.capitalize() for part in name.split("-")): value for name, value in headers.items()}
    for name, value in {**forwarded, **trace}.items():
        names.setdefault(name.title(), value)
    return await execute(request, api, stage, method, path, Headers(names), *rest)


def build_event_of_rest_api(*args: Any, **options: Any) -> Any:
    event = build_event(*args, **options)
    del event["version"]  # only events of HTTP APIs have one
    host = (Headers(event["headers"]).get("host") or "").partition(":")[0]
    context = event["requestContext"]
    context |= {"domainName": host, "domainPrefix": host.partition(".")[0]}
    if domain := gateway.find_domain_scope(host):
        # The path has the base path of a custom domain in it, and never the stage.
        [base] = gateway._base_path_mappings.get_scoped(*domain)
        event["path"] = context["path"] = event["path"] if base == "(none)" else f"/{base}{event['path']}"
    return event


def strict_proxy_response(result: dict[str, Any]) -> Any:
    """Only an object of known keys below the limit is an answer; everything else is a 502."""
    answer, error = proxy_response(result)
    if error is None:
        payload = result.get("body")
        text = payload if isinstance(payload, str | bytes) else json.dumps(payload)
        known = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
        if len(text) > LAMBDA_PAYLOAD or not isinstance(json.loads(text), dict) or set(json.loads(text)) - known:
            return None, "Malformed Lambda proxy response"
    return answer, error


async def invoke_within_limits(*args: Any, **options: Any) -> Any:
    size = len(args[8] or b"")  # the body; it travels to the function as base64
    if size > GATEWAY_PAYLOAD or size * 4 / 3 + 2048 > LAMBDA_PAYLOAD:
        return gateway._gw_error("REQUEST_TOO_LARGE", "Request Too Long")
    answer = await invoke(*args, **options)
    if isinstance(answer, gateway._GatewayError):
        return answer
    status, headers, body = answer
    if status == 502:
        return INTERNAL_ERROR
    renamed = {
        f"x-amzn-Remapped-{name}" if name.lower() in REMAPPED else name: value for name, value in headers.items()
    }
    return status, renamed, body


run_once = lambda_runtime.Worker.invoke
end_workers = lambda_runtime.kill_workers


def end_and_remember(workers: Any) -> None:
    for worker in workers:
        worker.was_ended = True
    end_workers(workers)


def run_to_its_end(self: Any, *args: Any, **options: Any) -> Any:
    """MiniStack ends whoever is at work when a function is updated; Lambda lets them finish what they have begun.

    So these run again, with the code that they had. A call whose process died by itself has failed, as on Lambda.
    """
    found = run_once(self, *args, **options)
    if found.get("error") == "Worker process died" and getattr(self, "was_ended", False):
        found = run_once(self, *args, **options)
        end_workers([self])  # nobody else knows of the process that it has now
    return found


resource_of = iam_actions.extract_resource_arn


def resource_with_stream(service: str, *args: Any) -> str:
    """Rights to write logs are given on the streams of a group, not on the group (AWS: actions of CloudWatch Logs)."""
    arn: str = resource_of(service, *args)
    return f"{arn}:log-stream:any" if service == "logs" and ":log-group:" in arn else arn


conditions_of = iam_actions.s3_service_context


def conditions_with_new(action: str, query: Any, path: str = "", headers: Any = None) -> Any:
    """With the key of S3 that says whether an object has to be new (AWS: condition keys of PutObject)."""
    wanted = (headers or {}).get("if-none-match") if action == "s3:PutObject" else None
    return {**conditions_of(action, query, path, headers), **({"s3:if-none-match": wanted} if wanted else {})}


# The runtime of Lambda names the handler before it imports it, and writes what is logged.
RUNTIME = """    sys.path.insert(0, code_dir)
    import logging
    os.environ["_HANDLER"] = f"{module_name}.{handler_name}"
    logging.basicConfig(stream=sys.stderr, format="[%(levelname)s] %(message)s")
"""

ITEMS = {"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan"}
ITEMS |= {"BatchGetItem", "BatchWriteItem", "TransactGetItems", "TransactWriteItems"}
handle_dynamodb = dynamodb.handle_request
pool = urllib3.PoolManager(maxsize=20)


def dynamodb_with(endpoint: str) -> Any:
    """Which tables there are, and who may use them, is MiniStack's; what is in them is DynamoDB Local's."""

    def ask(headers: dict[str, str], operation: str, body: bytes) -> Any:
        target = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Content-Type": "application/x-amz-json-1.0"}
        return pool.request("POST", endpoint, headers={**target, "Authorization": headers["authorization"]}, body=body)

    def ask_with_tables(headers: dict[str, str], operation: str, body: bytes) -> Any:
        answer = ask(headers, operation, body)
        if answer.status == 400 and b"ResourceNotFoundException" in answer.data:
            for table in dynamodb._tables.values():
                definition = {name: table[name] for name in ("TableName", "KeySchema", "AttributeDefinitions")}
                definition["BillingMode"] = "PAY_PER_REQUEST"
                ask(headers, "CreateTable", json.dumps(definition).encode())
            answer = ask(headers, operation, body)
        return answer

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation not in ITEMS:
            return await handle_dynamodb(method, path, headers, body, query)
        answer = await asyncio.to_thread(ask_with_tables, headers, operation, body)
        return answer.status, {"Content-Type": "application/x-amz-json-1.0"}, answer.data

    return handle


def logging_to(path: Path, answer: Any) -> Any:
    """An ASGI application that says of each HTTP request who asked for what, and how many bytes the answer had."""

    async def logged(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await answer(scope, receive, send)
            return
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        line = {"host": headers.get("host"), "client": headers.get("user-agent"), "method": scope["method"]}
        line |= {"path": scope["path"], "target": headers.get("x-amz-target"), "status": None, "bytes": 0}

        async def count(message: Any) -> None:
            line["status"] = message.get("status", line["status"])
            line["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await answer(scope, receive, count)
        finally:
            with path.open("a") as log:
                log.write(json.dumps(line) + "\n")

    return logged


async def tunnel(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One CONNECT request: the host decides whether, never where to."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not re.match(rb"CONNECT ([a-z0-9-]+\.)+(amazonaws|example)\.com:443 ", head):
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        return
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer), return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def serve_proxy(port: int, target: int) -> None:
    server = await asyncio.start_server(lambda reader, writer: tunnel(target, reader, writer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    gateway._execute_in_scope = execute_with_headers
    gateway._build_lambda_event_v1 = build_event_of_rest_api
    gateway._lambda_proxy_response = strict_proxy_response
    gateway._invoke_lambda_proxy_v1 = invoke_within_limits
    lambda_runtime.Worker.invoke = run_to_its_end
    lambda_runtime.kill_workers = end_and_remember
    ports = int(sys.argv[1]), int(sys.argv[2])
    iam_actions.extract_resource_arn = resource_with_stream
    iam_actions.s3_service_context = conditions_with_new
    worker = lambda_runtime._PYTHON_WORKER_SCRIPT
    lambda_runtime._PYTHON_WORKER_SCRIPT = worker.replace("    sys.path.insert(0, code_dir)\n", RUNTIME, 1)
    dynamodb.handle_request = dynamodb_with(sys.argv[3])
    app.app = logging_to(Path(sys.argv[4]), app.app)
    threading.Thread(target=lambda: asyncio.run(serve_proxy(*ports)), daemon=True).start()
    app._port_is_bindable = lambda *_: False  # it would also take port 443
    sys.argv = ["ministack"]
    app.main()
