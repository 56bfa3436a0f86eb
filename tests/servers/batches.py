"""A server of files and batches, which bills, fails and forgets as a test decides."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.servers.base import HttpReply, HttpRequest, LoopbackServer, json_reply
from tests.servers.chat import chat_completion, error

Line = dict[str, Any]
Answer = Callable[[dict[str, Any]], str | tuple[int, dict[str, Any]]]
"""From the body of a request to the text of a good answer, or to status and body of another."""

Kind = Literal["drop", "unheard", "cut", "torn"]
"""`drop`: nothing is done or answered. `unheard`: done, but not answered. `cut`: the reply breaks off in the
middle, and the connection with it. `torn`: the reply is complete for HTTP, but its last bytes are missing."""


@dataclass
class Fault:
    """What happens to the next so many calls of some endpoint."""

    calls: str
    """A regular expression for method and path, such as `POST /v1/batches$`."""
    kind: Kind | HttpReply
    times: int = 1


@dataclass
class Batch:
    """A batch as the server knows it."""

    id: str
    intent: str
    file_id: str
    lines: list[Line]
    created_at: int
    status: str = "validating"
    looks: int = 0
    ended: int = 0
    """At which look it was over."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"total": 0, "completed": 0, "failed": 0})


class BatchServer(LoopbackServer):
    """Answers for the files and batches of `/v1`, and chat completions.

    Args:
        answer: what a request is answered with, online or in a batch. It is billed when that is a text.
        looks: how often a batch is asked for until it is over.
        ending: from a batch to the status that it ends with; what it had answered by then is kept.
        served: of a batch that does not end well, how many lines are answered.
        change_output: from the lines of an output file to others, before it is written.
        invalid: from a batch to the errors for which it is not begun; none for a good one.
        queue_tokens: a batch that would bring more lines than so many into the queue fails, as at a provider whose
            queue is full.
        page: how many things a list holds at most.
        hidden_s: how long a new batch is not in the list.
        newest_first: the order of the list of batches.
        keeps_metadata: whether batches have the metadata that they were made with.
        late_looks: how many looks the result file comes later than the end of a batch.
    """

    def __init__(
        self,
        answer: Answer = lambda _: "good",
        *,
        looks: int = 2,
        ending: Callable[[Batch], str] = lambda _: "completed",
        served: int = 0,
        change_output: Callable[[list[Line]], list[Line]] = lambda lines: lines,
        invalid: Callable[[Batch], list[dict[str, Any]]] = lambda _: [],
        queue_lines: int | None = None,
        page: int = 100,
        hidden_s: float = 0.0,
        newest_first: bool = True,
        keeps_metadata: bool = True,
        late_looks: int = 0,
    ) -> None:
        super().__init__()
        self.answer = answer
        self.looks = looks
        self.ending = ending
        self.served = served
        self.change_output = change_output
        self.invalid = invalid
        self.queue_lines = queue_lines
        self.page = page
        self.hidden_s = hidden_s
        self.newest_first = newest_first
        self.keeps_metadata = keeps_metadata
        self.late_looks = late_looks
        self.faults: list[Fault] = []
        self.calls: list[str] = []
        self.headers: list[dict[str, str]] = []
        """Of each call, with names in lower case."""
        self.bodies: list[dict[str, Any]] = []
        """Of all requests, online or in a batch."""
        self.files: dict[str, tuple[str, str, bytes]] = {}
        self.batches: dict[str, Batch] = {}
        self.made_at: dict[str, float] = {}
        self.billed: Counter[str] = Counter()
        """How often each prompt was answered, online or in a batch."""
        self.online = 0

    def inputs(self) -> list[str]:
        """The names of the input files that are there."""
        with self.lock:
            return [name for name, purpose, _ in self.files.values() if purpose == "batch"]

    def count(self, calls: str) -> int:
        """How many calls there were whose method and path match."""
        with self.lock:
            return sum(re.search(calls, call) is not None for call in self.calls)

    def reply(self, request: HttpRequest) -> HttpReply:
        call = f"{request.method} {request.path}"
        with self.lock:
            self.calls.append(call)
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
            fault = self._fault(call)
            if isinstance(fault, tuple):
                return fault
            status, headers, content = (0, {}, b"") if fault == "drop" else self._route(request)
        match fault:
            case "unheard":
                return 0, {}, b""
            case "torn":
                return status, headers, content[:-20]
            case "cut":
                return status, headers | {"Content-Length": str(len(content))}, content[: len(content) // 2]
        return status, headers, content

    def _fault(self, call: str) -> Kind | HttpReply | None:
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.calls, call):
                fault.times -= 1
                return fault.kind
        return None

    def _route(self, request: HttpRequest) -> HttpReply:
        parts = request.path.removeprefix("/v1/").split("/")
        if (request.method, request.path) == ("POST", "/v1/chat/completions"):
            self.online += 1
            status, body = self._answered(request.json())
            return json_reply(body, status)
        if parts[0] == "files":
            return self._files(request, parts[1:])
        if parts[0] == "batches":
            return self._batches(request, parts[1:])
        return error(404, f"no such path: {request.path}")

    def _files(self, request: HttpRequest, parts: list[str]) -> HttpReply:
        if request.method == "POST":
            fields = _multipart(request.content, request.headers["Content-Type"])
            name = f"file-{len(self.files) + 1}"
            self.files[name] = (fields["file"][0], fields["purpose"][1].decode(), fields["file"][1])
            return json_reply(self._file(name))
        query = request.query
        if not parts:
            named = [self._file(name) for name, (_, purpose, _) in self.files.items() if purpose == query["purpose"]]
            return json_reply(self._page(named, query))
        if parts[0] not in self.files:
            return error(404, f"No such File object: {parts[0]}")
        if request.method == "DELETE":
            del self.files[parts[0]]
            return json_reply({"id": parts[0], "object": "file", "deleted": True})
        if parts[-1] == "content":
            return 200, {"Content-Type": "application/octet-stream"}, self.files[parts[0]][2]
        return json_reply(self._file(parts[0]))

    def _batches(self, request: HttpRequest, parts: list[str]) -> HttpReply:
        if request.method == "POST" and not parts:
            return self._create(request.json())
        if not parts:
            now = time.monotonic()
            listed = [batch for batch in self.batches.values() if now - self.made_at[batch.id] >= self.hidden_s]
            listed = listed[::-1] if self.newest_first else listed
            return json_reply(self._page([self._batch(batch) for batch in listed], request.query))
        if parts[0] not in self.batches:
            return error(404, f"No batch found with id '{parts[0]}'.")
        batch = self.batches[parts[0]]
        if parts[-1] == "cancel":
            if batch.status in ("validating", "in_progress"):
                batch.status = "cancelling"
        else:
            self._move(batch)
        return json_reply(self._batch(batch))

    def _create(self, order: dict[str, Any]) -> HttpReply:
        assert order["endpoint"] == "/v1/chat/completions"
        assert order["completion_window"] == "24h"
        if order["input_file_id"] not in self.files:
            return error(400, "no such input file")
        content = self.files[order["input_file_id"]][2]
        lines = [json.loads(line) for line in content.decode().split("\n") if line]
        name = f"batch_{sum(call == 'POST /v1/batches' for call in self.calls)}"
        batch = Batch(name, order["metadata"]["hf_synthlabels_intent"], order["input_file_id"], lines, int(time.time()))
        batch.counts["total"] = len(lines)
        self.batches[name] = batch
        self.made_at[name] = time.monotonic()
        return json_reply(self._batch(batch))

    def _move(self, batch: Batch) -> None:
        """Let time pass for a batch, by one look."""
        batch.looks += 1
        if batch.status == "validating":
            batch.errors = self._invalid(batch)
            batch.status = "failed" if batch.errors else "in_progress"
        elif batch.status == "cancelling":
            self._end(batch, "cancelled")
        elif batch.status == "in_progress" and batch.looks >= self.looks:
            self._end(batch, self.ending(batch))

    def _invalid(self, batch: Batch) -> list[dict[str, Any]]:
        queued = sum(
            len(other.lines) for other in self.batches.values() if other.status in ("validating", "in_progress")
        )
        if self.queue_lines is not None and queued > self.queue_lines:
            words = "Enqueued token limit reached. Please try again once some in_progress batches have been completed."
            return [{"code": "token_limit_exceeded", "message": words, "line": None, "param": None}]
        return self.invalid(batch)

    def _end(self, batch: Batch, status: str) -> None:
        batch.status, batch.ended = status, batch.looks
        good, bad = list[Line](), list[Line]()
        for number, line in enumerate(batch.lines):
            assert line["method"] == "POST"
            assert line["url"] == "/v1/chat/completions"
            if status != "completed" and number >= self.served:
                words = {"code": f"batch_{status}", "message": f"This request was not served: {status}."}
                bad.append({"id": "r", "custom_id": line["custom_id"], "response": None, "error": words})
                continue
            code, body = self._answered(line["body"])
            response = {"status_code": code, "request_id": "q", "body": body}
            (good if code == 200 else bad).append(
                {"id": "r", "custom_id": line["custom_id"], "response": response, "error": None}
            )
        batch.counts |= {"completed": len(good), "failed": len(bad)}
        good = self.change_output(good)
        if good:
            batch.output_file_id = self._write("output", good)
        if bad:
            batch.error_file_id = self._write("error", bad)

    def _answered(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.bodies.append(body)
        reply = self.answer(body)
        if isinstance(reply, tuple):
            if reply[0] == 200:
                self.billed[body["messages"][-1]["content"]] += 1
            return reply
        self.billed[body["messages"][-1]["content"]] += 1
        return 200, chat_completion(reply)

    def _write(self, name: str, lines: list[Line]) -> str:
        file_id = f"file-{len(self.files) + 1}-{name}"
        self.files[file_id] = (name, "batch_output", "".join(json.dumps(line) + "\n" for line in lines).encode())
        return file_id

    def _page(self, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        start = 0
        if after := query.get("after"):
            start = [item["id"] for item in items].index(after) + 1
        count = min(self.page, int(query.get("limit", self.page)))
        return {"object": "list", "data": items[start : start + count], "has_more": len(items) > start + count}

    def _file(self, name: str) -> dict[str, Any]:
        filename, purpose, content = self.files[name]
        return {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": 1,
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
        }

    def _batch(self, batch: Batch) -> dict[str, Any]:
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": batch.created_at,
            "input_file_id": batch.file_id,
            "status": batch.status,
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "metadata": {"hf_synthlabels_intent": batch.intent} if self.keeps_metadata else None,
            "output_file_id": batch.output_file_id if batch.looks >= batch.ended + self.late_looks else None,
            "error_file_id": batch.error_file_id,
            "request_counts": batch.counts,
        }


def _multipart(content: bytes, content_type: str) -> dict[str, tuple[str, bytes]]:
    """The fields of a form: name to file name and content."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    assert boundary is not None
    fields = {}
    for part in content.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, body = part[2:-2].partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        filename = re.search(rb'filename="([^"]*)"', head)
        assert name is not None
        fields[name[1].decode()] = (filename[1].decode() if filename else "", body)
    return fields
