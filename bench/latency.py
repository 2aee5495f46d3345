"""A server that is far away: ``python -m bench.latency PORT ADDRESS MILLISECONDS`` is in front of one that is near.

What clients send arrives so much later; that is a round trip for each request, and none for a connection.
"""

import asyncio
import sys
from contextlib import suppress
from urllib.parse import urlsplit

CHUNK = 256 * 1024


async def main(port: int, address: str, milliseconds: float) -> None:
    parts = urlsplit(address)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            near = await asyncio.open_connection(parts.hostname, parts.port)
            both = asyncio.gather(_pump(reader, near[1], milliseconds / 1000), _pump(near[0], writer, 0))
            try:
                await both
            finally:
                both.cancel()
                near[1].close()
        writer.close()

    async with await asyncio.start_server(forward, "127.0.0.1", port, backlog=512) as server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    while data := await reader.read(CHUNK):
        if seconds:
            await asyncio.sleep(seconds)
        writer.write(data)
        await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
