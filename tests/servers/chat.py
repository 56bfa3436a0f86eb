"""Servers of chat completions, whose answers a test decides."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from tests.servers.base import HttpReply, HttpRequest, LoopbackServer, json_reply

Reply = str | HttpReply
"""The text of a good answer, or any other reply."""

Answer = Callable[[dict[str, Any]], Reply]
"""From the body of a request to the reply."""

TextAnswer = Callable[[str], str | tuple[int, str]]
"""From the text to label to the answer, or to an HTTP status and an error message."""

QUOTED = re.compile(r"<text>\n(.*)\n</text>", re.S)


def chat_completion(content: str | None, **changes: Any) -> dict[str, Any]:
    """The body of a good answer; `message` and `finish_reason` change its choice, the rest its top level."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content} | changes.pop("message", {}),
        "finish_reason": changes.pop("finish_reason", "stop"),
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return {"id": "1", "object": "chat.completion", "model": "tiny-1", "choices": [choice], "usage": usage} | changes


def error(status: int, message: str, **headers: str) -> HttpReply:
    """An error as most servers send it."""
    return json_reply({"error": {"message": message, "type": "error"}}, status, **headers)


class ChatServer(LoopbackServer):
    """Answers POST /v1/chat/completions, and records the requests."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        """Of each request, with names in lower case."""

    @property
    def authorizations(self) -> list[str | None]:
        """The header of each request."""
        return [headers.get("authorization") for headers in self.headers]

    def prompts(self) -> list[str]:
        """The last message of each request, in the order of arrival."""
        with self.lock:
            return [body["messages"][-1]["content"] for body in self.bodies]

    def reply(self, request: HttpRequest) -> HttpReply:
        body = request.json()
        with self.lock:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.path != "/v1/chat/completions":
            return error(404, f"no such path: {request.path}")
        answer = self.answer(body)
        return json_reply(chat_completion(answer)) if isinstance(answer, str) else answer


class LabelServer(LoopbackServer):
    """Labels the text in each prompt.

    Args:
        answer: may be replaced between two runs.
        latency_s: how long each answer takes.
    """

    def __init__(self, answer: TextAnswer, *, latency_s: float = 0.0) -> None:
        super().__init__()
        self.answer = answer
        self.requests: list[str] = []
        """The texts to label, in the order of arrival."""
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self._latency_s = latency_s

    def reply(self, request: HttpRequest) -> HttpReply:
        body = request.json()
        message = body["messages"][-1]["content"]
        quoted = QUOTED.search(message)
        text = quoted[1] if quoted else message
        with self.lock:
            self.requests.append(text)
            self.bodies.append(body)
            self.keys.add(request.headers["Authorization"])
        time.sleep(self._latency_s)
        answer = self.answer(text)
        if not isinstance(answer, str):
            return error(*answer)
        usage = {"prompt_tokens": 10, "completion_tokens": 1}
        return json_reply(chat_completion(answer, model="tiny-2", usage=usage))
