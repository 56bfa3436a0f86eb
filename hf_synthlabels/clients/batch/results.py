"""What a batch brought: its result files, line by line, each as a completion, a failure, or a reason to ask again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from hf_synthlabels.clients.base import Completion, Failure, Usage
from hf_synthlabels.clients.protocol.error_replies import MAX_MESSAGE, ErrorReply, encodable, read_error
from hf_synthlabels.clients.protocol.replies import read_reply

FINAL_CODES = frozenset({"invalid_request", "invalid_request_error", "context_length_exceeded", "content_filter"})
"""Errors of a line without a reply that would come again; all others, such as `batch_expired`, may not."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One line of a result file."""

    key: bytes
    """The digest that was sent as `custom_id`."""
    completion: Completion | None = None
    """The answer, with the key 0."""
    failure: Failure | None = None
    again: bool = False
    """Whether the failure may not come again."""
    usage: Usage | None = None
    """Tokens that the server counted for a failure; it bills them."""
    uncertain: bool = False
    """Whether a failure may have been billed."""
    used_up: bool = False
    """Whether the server says that the account has no money."""


def read_results(file: IO[bytes]) -> Iterator[BatchResult | None]:
    """The results in a file; None for a line that is no result of a request of ours."""
    file.seek(0)
    for line in file:
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            key = bytes.fromhex(content["custom_id"])
        except (ValueError, LookupError, TypeError, RecursionError):
            yield None
        else:
            yield _result(key, content)


def is_torn(file: IO[bytes]) -> bool:
    """Whether the last line of a file breaks off."""
    size = file.seek(0, 2)
    if size == 0:
        return False
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return False
    # A file may end without a line break, so the line itself tells. It is no longer than any answer.
    start = size
    while start > 0:
        start = max(0, start - 65_536)
        file.seek(start)
        tail = file.read(size - start)
        if b"\n" in tail or start == 0:
            try:
                json.loads(tail.rpartition(b"\n")[2])
            except ValueError:
                return True
            return False
    return False


def _result(key: bytes, content: dict[str, Any]) -> BatchResult:
    response = content.get("response")
    if not isinstance(response, dict):
        return _unserved(key, content.get("error"))
    body, number = response.get("body"), response.get("status_code")
    # Some lines that were never served have the status 0.
    status = number if isinstance(number, int) and number else None
    reply = read_reply(0, body, status=status or 500)
    if isinstance(reply, ErrorReply):
        failure = reply.failure if status else Failure("http", reply.message)
        return BatchResult(
            key,
            failure=failure,
            again=reply.retry != "no",
            usage=reply.usage,
            uncertain=reply.billed == "perhaps",
            used_up=reply.is_quota,
        )
    return BatchResult(key, completion=reply)


def _unserved(key: bytes, error: Any) -> BatchResult:
    """A line without a reply: the request was never served, or its reply was lost."""
    known = error if isinstance(error, dict) else {}
    code, message = str(known.get("code") or "no response"), str(known.get("message") or "")
    reply = read_error(0, {"error": known}, None, None, str)
    if isinstance(reply, Completion):
        return BatchResult(key, completion=reply)
    words = encodable(f"{code}: {message}" if message else code)[:MAX_MESSAGE]
    return BatchResult(key, failure=Failure("missing", words), again=code not in FINAL_CODES)
