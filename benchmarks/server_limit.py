"""How many requests the benchmark's own server can answer: it must not be what limits a measurement.

The asking is done with prepared bytes, so it costs next to nothing alongside the server.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.answers import text_of

__all__ = ["requests_per_s"]

BODY = (
    '{"model": "bench-1", "messages": [{"role": "system", "content": "Label the text."}, '
    f'{{"role": "user", "content": "<text>{text_of(1)}</text>"}}], "response_format": {{"type": "json_object"}}}}'
).encode()
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class _Asker(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, counted: list[int]) -> None:
        self._counted = counted
        self._transport: Any = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        # An answer is one write of the server, and ends with two braces.
        self._received = data if not self._received else self._received + data
        if self._received.endswith(b"}}"):
            self._received = b""
            self._counted[0] += 1
            self._transport.write(REQUEST)


async def _ask(base_url: str, connections: int, seconds: float) -> float:
    address = urlsplit(base_url)
    loop = asyncio.get_running_loop()
    counted = [0]
    opened = [
        await loop.create_connection(lambda: _Asker(counted), str(address.hostname), int(address.port or 80))
        for _ in range(connections)
    ]
    await asyncio.sleep(0.2)
    before, began = counted[0], time.monotonic()
    await asyncio.sleep(seconds)
    rate = (counted[0] - before) / (time.monotonic() - began)
    for transport, _ in opened:
        transport.abort()
    return rate


def requests_per_s(base_url: str, connections: int, seconds: float = 2.0) -> float:
    """Answers per second to so many connections that never wait."""
    return asyncio.run(_ask(base_url, connections, seconds))
