"""What a batch brought: its result files, line by line, each as a completion, a failure, or a reason to ask again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from hf_synthlabels.clients.base import Completion, Failure
from hf_synthlabels.clients.chat import error_message, read_completion

__all__ = ["QUOTA_CODES", "BatchResult", "is_torn", "read_results"]

RETRIED_STATUSES = frozenset({0, 408, 409, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Of a line; 0 is what some lines say that were never served."""

FINAL_CODES = frozenset({"invalid_request", "invalid_request_error", "context_length_exceeded", "content_filter"})
"""Errors of a line without a reply that would come again; all others, such as `batch_expired`, may not."""

QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached")


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
    body, status = response.get("body"), response.get("status_code")
    if status == 200:
        try:
            return BatchResult(key, completion=read_completion(0, body))  # type: ignore[arg-type]  # if it is none, it is told
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            words = f"the answer is not a chat completion: {type(error).__name__}: {error}"[:200]
            return BatchResult(key, failure=Failure("malformed", words), again=True)
    text = json.dumps(body)
    number = status if isinstance(status, int) else 0
    return BatchResult(
        key,
        failure=Failure("http", error_message(text), number or None),
        again=number in RETRIED_STATUSES,
        used_up=number == 429 and any(code in text for code in QUOTA_CODES),
    )


def _unserved(key: bytes, error: Any) -> BatchResult:
    """A line without a reply: the request was never served, or its reply was lost."""
    known = error if isinstance(error, dict) else {}
    code, message = str(known.get("code") or "no response"), str(known.get("message") or "")
    words = error_message(json.dumps({"error": {"message": f"{code}: {message}" if message else code}}))
    return BatchResult(key, failure=Failure("missing", words), again=code not in FINAL_CODES)
