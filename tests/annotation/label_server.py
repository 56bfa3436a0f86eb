"""A chat server on this machine that labels, and counts what it was asked."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

QUOTED = re.compile(r"<text>\n(.*)\n</text>", re.S)

Answer = Callable[[str], "str | tuple[int, str]"]


class LabelServer:
    """Speaks POST /v1/chat/completions over kept-alive connections on a free port of 127.0.0.1.

    Args:
        answer: from the text to be labelled to the answer, or to an HTTP status and an error message. It is called
            from several threads and may be replaced between two runs.
        latency_s: how long each answer takes.
    """

    def __init__(self, answer: Answer, *, latency_s: float = 0.0) -> None:
        self.answer = answer
        self.requests: list[str] = []
        """The texts that were asked, in the order of arrival."""
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                message = body["messages"][-1]["content"]
                found = QUOTED.search(message)
                text = found[1] if found else message
                with outer._lock:
                    outer.requests.append(text)
                    outer.bodies.append(body)
                    outer.keys.add(self.headers["Authorization"])
                time.sleep(latency_s)
                said = outer.answer(text)
                if isinstance(said, str):
                    choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
                    usage = {"prompt_tokens": 10, "completion_tokens": 1}
                    self._send(200, {"model": "tiny-2", "choices": [choice], "usage": usage})
                else:
                    self._send(said[0], {"error": {"message": said[1]}})

            def _send(self, status: int, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    # The client was killed.
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
