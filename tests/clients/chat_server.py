"""A real server of chat completions on this machine, whose answers a test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Reply = str | tuple[int, dict[str, str], bytes]
Answer = Callable[[dict[str, Any]], Reply]


def chat_completion(content: str | None, **changes: Any) -> dict[str, Any]:
    """The body of a good answer; `message` and `finish_reason` change its choice, the rest its top level."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content} | changes.pop("message", {}),
        "finish_reason": changes.pop("finish_reason", "stop"),
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return {"id": "1", "object": "chat.completion", "model": "tiny-1", "choices": [choice], "usage": usage} | changes


def ok(body: Any) -> Reply:
    """Any JSON with status 200."""
    return 200, {}, json.dumps(body).encode()


def error(status: int, message: str, **headers: str) -> Reply:
    """An error the way that most servers say it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, json.dumps({"error": {"message": message, "type": "error"}}).encode()


class ChatServer:
    """Speaks POST /v1/chat/completions on a free port of 127.0.0.1 with kept-alive connections.

    Args:
        answer: from the body of a request to the text of a good answer, or to status, headers and body. A body
            shorter than a `Content-Length` among the headers breaks the connection off; status 0 closes it
            without a word. It is called from several threads.
    """

    def __init__(self, answer: Answer) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        """Of each request, with names in lower case."""
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._lock:
                    server.bodies.append(body)
                    server.authorizations.append(self.headers["Authorization"])
                    server.headers.append({name.lower(): value for name, value in self.headers.items()})
                if self.path != "/v1/chat/completions":
                    reply = error(404, f"no such path: {self.path}")
                else:
                    reply = answer(body)
                self._send(ok(chat_completion(reply)) if isinstance(reply, str) else reply)

            def _send(self, reply: Reply) -> None:
                assert isinstance(reply, tuple)
                status, headers, content = reply
                if status == 0:
                    self.close_connection = True
                    return
                try:
                    self.send_response(status)
                    for name, value in ({"Content-Length": str(len(content))} | headers).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    # The client has gone.
                    self.close_connection = True
                if headers.get("Content-Length", str(len(content))) != str(len(content)):
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def prompts(self) -> list[str]:
        """The last message of each request, in the order of arrival."""
        with self._lock:
            return [body["messages"][-1]["content"] for body in self.bodies]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
