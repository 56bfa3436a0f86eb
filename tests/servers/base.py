"""A threaded HTTP server on a free port of 127.0.0.1; subclasses decide what it answers."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

HttpReply = tuple[int, dict[str, str], bytes]
"""Status, headers and content. Status 0 closes the connection without an answer. With a `Content-Length` that exceeds
the content, the connection breaks off in the middle."""


@dataclass(frozen=True)
class HttpRequest:
    """One request, as it arrived."""

    method: str
    target: str
    """Path and query as sent; to a proxy, a whole URL."""
    headers: Message
    """Names in any case."""
    content: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def json(self) -> Any:
        return json.loads(self.content)


class LoopbackServer:
    """Answers each request with `reply`, over kept-alive connections, in one thread per connection."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        self.base_url = f"{self.url}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def reply(self, request: HttpRequest) -> HttpReply:
        """The answer to a request; called from several threads."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    owner: LoopbackServer
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that were killed."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Head and body of a reply in one packet: two would wait for each other.
    wbufsize = -1

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, body = self.server.owner.reply(HttpRequest(self.command, self.path, self.headers, content))
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.close_connection |= headers.get("Content-Length", str(len(body))) != str(len(body))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_CONNECT = _serve  # noqa: N815  the names that the library calls

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def json_reply(body: Any, status: int = 200, **headers: str) -> HttpReply:
    """A reply with JSON; underscores in the names of headers become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/json"} | named, json.dumps(body).encode()
