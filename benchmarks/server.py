"""An OpenAI-compatible server on loopback that answers after a fixed time, fails on request, and counts.

It runs as a separate process, so that its cost is not counted as the client's, and speaks HTTP over
`asyncio.Protocol`, so that it is not the limit. It bills like a real server: an answer whose client has gone
meanwhile is billed as well.

    python -m benchmarks.server --latency 0.05

Paths: `POST .../chat/completions`, `GET .../models`, `GET /stats`, `GET /wait?billed=N`, which answers when so many
answers have been billed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.answers import CONTENT_FAULTS, Fault, said, shard_item
from benchmarks.service import Options, Service

__all__ = ["main"]

ERRORS = {
    "http400": (400, "this content cannot be processed"),
    "http401": (401, "Incorrect API key provided."),
    "http429": (429, "Rate limit reached for requests."),
    "http500": (500, "The server had an error while processing your request."),
}
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
PIECES = 10
"""A slow body comes in so many pieces."""


class Connection(asyncio.Protocol):
    """One connection: requests are answered one after the other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._buffer = b""
        self._pending = self._counted = self._closed = False
        self._transport: Any = None
        self._task: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = transport
        self._service.counters.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  it makes no difference
        """The client has gone, perhaps before its answer."""
        self._closed = True
        if self._pending:
            self._service.counters.abandoned += self._counted
            self._done()

    def data_received(self, data: bytes) -> None:
        """Read as many whole requests as there are."""
        self._buffer += data
        while not self._pending and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _length(head)
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            self._pending = True
            close = b"connection: close" in head.lower()
            if head.startswith(b"POST") and b"/chat/completions" in head[: head.find(b"\r\n")]:
                self._asked(body, close)
            else:
                self._task = asyncio.ensure_future(self._told(head, close))

    def _asked(self, body: bytes, close: bool) -> None:
        service = self._service
        self._counted = True
        counters = service.counters
        counters.requests += 1
        counters.in_flight += 1
        counters.peak_in_flight = max(counters.peak_in_flight, counters.in_flight)
        counters.prompts.add(hash(body))
        item = shard_item(body) or b"none"
        attempt = counters.tries[item]
        counters.tries[item] += 1
        passes, headers = service.admitted()
        if not passes:
            self._send(429, _error(*ERRORS["http429"]), close, headers)
            return
        fault = next((fault.kind for fault in service.options.faults if fault.strikes(item, attempt)), None)
        if fault is not None:
            counters.faults[fault] += 1
        if fault == "hang":
            return
        loop = asyncio.get_running_loop()
        loop.call_later(service.delay_s(item, attempt), self._answer, body, item, fault, close, headers)

    def _answer(self, body: bytes, item: bytes, fault: str | None, close: bool, headers: dict[str, str]) -> None:
        service = self._service
        if fault in ERRORS:
            status, message = ERRORS[fault]
            if status == 429 and service.options.retry_after:
                headers = headers | {"Retry-After": "1"}
            self._send(status, _error(status, message), close, headers)
            return
        if fault == "reset":
            self._done()
            self._transport.abort()
            return
        content = _completion(body, item, fault if fault in CONTENT_FAULTS else None)
        if fault == "torn_body":
            content = content[: len(content) // 2]
        if fault == "cut_body":
            self._done()
            if not self._closed:
                self._transport.write(_head(200, len(content), close, headers) + content[: len(content) // 2])
                self._transport.close()
            return
        # A server bills what it has made, whether or not it is read.
        service.bill(item)
        if fault == "slow_body":
            self._task = asyncio.ensure_future(self._send_slowly(content, close, headers))
        else:
            self._send(200, content, close, headers)

    def _send(self, status: int, content: bytes, close: bool, headers: dict[str, str]) -> None:
        if self._closed:
            return
        self._service.counters.statuses[str(status)] += 1
        self._done()
        self._transport.write(_head(status, len(content), close, headers) + content)
        if close:
            self._transport.close()
        elif self._buffer:
            self.data_received(b"")

    async def _send_slowly(self, content: bytes, close: bool, headers: dict[str, str]) -> None:
        size = math.ceil(len(content) / PIECES)
        self._transport.write(_head(200, len(content), close, headers))
        for start in range(0, len(content), size):
            await asyncio.sleep(self._service.options.slow_s / PIECES)
            if self._closed:
                return
            self._transport.write(content[start : start + size])
        self._service.counters.statuses["200"] += 1
        self._done()
        if close:
            self._transport.close()

    async def _told(self, head: bytes, close: bool) -> None:
        """Answer what is no chat completion."""
        url = urlsplit(head.split(b" ", 2)[1].decode())
        service = self._service
        status, shown = 200, service.counters.shown()
        if url.path == "/wait":
            await service.billed(int(parse_qs(url.query)["billed"][0]))
            shown = service.counters.shown()
        elif url.path.endswith("/models"):
            shown = {"object": "list", "data": [{"id": "bench-1", "object": "model", "created": 0, "owned_by": "us"}]}
        elif url.path != "/stats":
            status, shown = 404, {"error": {"message": f"no such path: {url.path}"}}
        self._done()
        if not self._closed:
            content = json.dumps(shown).encode()
            self._transport.write(_head(status, len(content), close, {}) + content)
            if close:
                self._transport.close()

    def _done(self) -> None:
        self._service.counters.in_flight -= self._counted
        self._pending = self._counted = False


def _length(head: bytes) -> int:
    start = head.lower().find(b"\r\ncontent-length:")
    return 0 if start < 0 else int(head[start + 17 :].split(b"\r\n", 1)[0])


def _head(status: int, length: int, close: bool, headers: dict[str, str]) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if close:
        more += "Connection: close\r\n"
    reason = REASONS.get(status, "Error")
    return (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"
    ).encode()


def _error(status: int, message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "error", "code": status}}).encode()


def _completion(body: bytes, item: bytes, fault: str | None) -> bytes:
    answer = said(body, None if item == b"none" else item, fault)
    usage = {"prompt_tokens": len(body) // 4, "completion_tokens": 6, "total_tokens": len(body) // 4 + 6}
    choice = {"index": 0, "message": answer.message, "finish_reason": answer.finish_reason}
    return json.dumps(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "bench-1", "choices": [choice], "usage": usage}
    ).encode()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server on loopback, for measurements.")
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    for name in ("latency_s", "tail_share", "tail_s", "rate", "burst", "slow_s"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(Options(), name))
    parser.add_argument("--no-retry-after", dest="retry_after", action="store_false", help="a 429 names no time")
    parser.add_argument("--fault", type=Fault.parse, action="append", default=[], help="kind:share or kind:share:row")
    parser.add_argument("--until-closed", action="store_true", help="end when the standard input is closed")
    return parser.parse_args()


async def _serve(options: Options, port: int, until_closed: bool) -> None:
    loop = asyncio.get_running_loop()
    service = Service(options)
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", port, backlog=2048)
    print(json.dumps({"base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"}), flush=True)
    if until_closed:
        # Anyone who started it holds the other end: when that process is gone, so is this one.
        await loop.run_in_executor(None, sys.stdin.read)
        os._exit(0)
    await server.serve_forever()


def main() -> None:
    """Serve until interrupted."""
    given = vars(_arguments())
    port, until_closed = given.pop("port"), given.pop("until_closed")
    given["faults"] = tuple(given.pop("fault"))
    try:
        asyncio.run(_serve(Options(**given), port, until_closed))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
