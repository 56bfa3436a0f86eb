"""Status and results of a batch, as the provider reports them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hf_synthlabels.clients.base import Completion, Failure, Usage
from hf_synthlabels.clients.protocol.error_replies import (
    MAX_MESSAGE,
    ErrorReply,
    encodable,
    error_message,
    read_error,
)
from hf_synthlabels.clients.protocol.replies import read_reply
from hf_synthlabels.clients.store.ledger import UsageRecord
from hf_synthlabels.errors import StoreError

FINAL_CODES = frozenset({"invalid_request", "invalid_request_error", "context_length_exceeded", "content_filter"})
"""Errors of a result without a reply that would occur again; others, such as `batch_expired`, may not."""


class MalformedError(Exception):
    """A reply that does not follow the protocol."""


@dataclass(frozen=True, slots=True)
class BatchError:
    """Reason why the provider rejected a batch."""

    code: str
    message: str
    line: int | None
    """Line of the input file, from 1; None if the error is not about one line."""


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """Status of a batch at the provider."""

    id: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    errors: tuple[BatchError, ...]
    total: int
    answered: int
    failed: int

    @classmethod
    def of(cls, batch: Any) -> BatchStatus:
        """Read a batch of the `openai` package; not every server sends every field."""
        status = getattr(batch, "status", None)
        if not isinstance(status, str):
            raise MalformedError(f"the reply is not a batch: {str(batch)[:80]}")
        errors = getattr(getattr(batch, "errors", None), "data", None) or []
        counts = getattr(batch, "request_counts", None)
        total, answered, failed = (getattr(counts, name, 0) or 0 for name in ("total", "completed", "failed"))
        return cls(
            id=id_of(batch),
            status=status,
            output_file_id=getattr(batch, "output_file_id", None) or None,
            error_file_id=getattr(batch, "error_file_id", None) or None,
            errors=tuple(
                BatchError(str(error.code or ""), error_message(str(error.message or error.code)), error.line)
                for error in errors
            ),
            total=total,
            answered=answered,
            failed=failed,
        )

    @property
    def is_over(self) -> bool:
        """Whether the batch has reached a final status."""
        return self.status in ("completed", "failed", "expired", "cancelled")

    @property
    def lacks_answers(self) -> bool:
        """Whether the batch is over, but its result file does not exist yet."""
        return self.is_over and self.answered > 0 and self.output_file_id is None


def id_of(item: Any) -> str:
    """The ID of a file or batch."""
    name = getattr(item, "id", None)
    if not isinstance(name, str) or not name:
        raise MalformedError(f"the reply has no `id`: {str(item)[:80]}")
    return name


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One line of a result file."""

    key: bytes
    """Digest that was sent as `custom_id`."""
    completion: Completion | None = None
    failure: Failure | None = None
    retry: bool = False
    """Whether another attempt may succeed."""
    usage: Usage | None = None
    """Tokens of a failure, which the provider bills."""
    uncertain: bool = False
    """Whether the failure may have been billed."""
    exhausted: bool = False
    """Whether the provider reports that the account has no credit."""


class BatchResults:
    """Reads the result files of a batch that is over, and totals its usage."""

    def __init__(
        self, download: Callable[[str, IO[bytes]], None], status: BatchStatus, expected: Collection[bytes], folder: Path
    ) -> None:
        self.status = status
        self.resolved: set[bytes] = set()
        """Requests with an answer, or with a failure that would occur again."""
        self.answers = 0
        self.exhausted = False
        """Whether the provider reports that the account has no credit."""
        self._download = download
        self._expected = expected
        self._folder = folder
        self._usages: dict[Usage, int] = {}
        self._retryable: dict[bytes, Failure] = {}
        self._uncertain: set[bytes] = set()
        self._unknown = self._duplicates = 0

    def __iter__(self) -> Iterator[BatchResult]:
        """Each answer and each permanent failure, once.

        Raises:
            UnknownError: the provider no longer has a result file.
            StoreError: the file cannot be written.
        """
        for file_id in (self.status.output_file_id, self.status.error_file_id):
            if file_id is None:
                continue
            with tempfile.TemporaryFile(dir=self._folder) as file:
                try:
                    self._download(file_id, file)
                except OSError as error:
                    raise StoreError(
                        f"Results cannot be written to `{self._folder}`: {error.strerror}. Free some space and run the "
                        "same command again: the provider still has them."
                    ) from error
                file.seek(0)
                for line in file:
                    if line.strip() and (result := self._count(line)) is not None:
                        yield result

    @property
    def note(self) -> str:
        """Summary in one line."""
        counts = {
            "refused": len(self.resolved) - self.answers,
            "without an answer": sum(key not in self.resolved for key in self._expected),
            "unknown lines": self._unknown,
            "duplicate lines": self._duplicates,
        }
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        return ", ".join([f"{self.status.status}, {self.answers} answers", *parts])

    def usage(self, cost_usd: Callable[[Usage], float | None] | None) -> UsageRecord:
        """Total usage; results that cannot be read may have been billed."""
        total = UsageRecord(self.answers, uncertain_requests=len(self._uncertain))
        for usage, count in self._usages.items():
            usd = None if cost_usd is None else cost_usd(usage)
            total.prompt_tokens += usage.prompt_tokens * count
            total.completion_tokens += usage.completion_tokens * count
            total.cached_tokens += usage.cached_tokens * count
            total.usd = total.usd if usd is None else (total.usd or 0.0) + usd * count
        return total

    def failure_of(self, key: bytes) -> Failure:
        """The reason why a request has no answer."""
        return self._retryable.get(key) or Failure("missing", f"the batch is {self.status.status} without an answer")

    def _count(self, line: bytes) -> BatchResult | None:
        """The result in a line; None if it is unknown, a duplicate, or a failure that may be retried."""
        result = read_result(line)
        if result is None or result.key not in self._expected:
            self._unknown += 1
            return None
        if result.key in self.resolved:
            self._duplicates += 1
            return None
        usage = result.usage if result.completion is None else result.completion.usage
        if usage is not None:
            self._usages[usage] = self._usages.get(usage, 0) + 1
        if result.uncertain:
            self._uncertain.add(result.key)
        if result.retry and result.failure is not None:
            self._retryable[result.key] = result.failure
            self.exhausted |= result.exhausted
            return None
        self.resolved.add(result.key)
        self.answers += result.completion is not None
        return result


def read_result(line: bytes) -> BatchResult | None:
    """The result in a line of a result file; None if the line is not a result of this package."""
    try:
        content = json.loads(line)
        key = bytes.fromhex(content["custom_id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    response = content.get("response")
    if not isinstance(response, dict):
        return _unserved(key, content.get("error"))
    # Some requests that were never processed have the status 0.
    number = response.get("status_code")
    status = number if isinstance(number, int) and number else None
    reply = read_reply(0, response.get("body"), status=status or 500)
    if not isinstance(reply, ErrorReply):
        return BatchResult(key, completion=reply)
    return BatchResult(
        key,
        failure=reply.failure if status else Failure("http", reply.message),
        retry=reply.retry != "never",
        usage=reply.usage,
        uncertain=reply.billed == "unknown",
        exhausted=reply.is_quota,
    )


def is_truncated(file: IO[bytes]) -> bool:
    """Whether the last line of a result file is incomplete."""
    file.seek(0)
    last = b""
    for line in file:
        last = line
    if not last or last.endswith(b"\n"):
        return False
    try:
        json.loads(last)
    except ValueError:
        return True
    return False


def _unserved(key: bytes, error: Any) -> BatchResult:
    """A result without a reply: the request was never processed, or its reply was lost."""
    details = error if isinstance(error, dict) else {}
    code, message = str(details.get("code") or "no response"), str(details.get("message") or "")
    reply = read_error(0, {"error": details}, None, None, str)
    if isinstance(reply, Completion):
        return BatchResult(key, completion=reply)
    reason = encodable(f"{code}: {message}" if message else code)[:MAX_MESSAGE]
    return BatchResult(key, failure=Failure("missing", reason), retry=code not in FINAL_CODES)
