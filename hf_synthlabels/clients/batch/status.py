"""BatchStatus: what the provider says of a batch, read with care: not every server sends every field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hf_synthlabels.clients.protocol.error_replies import error_message


class MalformedError(Exception):
    """A reply that is not what was asked for."""


@dataclass(frozen=True, slots=True)
class BatchTrouble:
    """Why a batch was not even begun."""

    code: str
    message: str
    line: int | None
    """Of the input file, from 1; None when it is not about one line."""


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """What the provider says of a batch."""

    id: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    troubles: tuple[BatchTrouble, ...]
    total: int
    answered: int
    failed: int

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ("completed", "failed", "expired", "cancelled")

    @property
    def lacks_answers(self) -> bool:
        """Whether there should be a result file, and is none, or none yet."""
        return self.is_over and self.answered > 0 and self.output_file_id is None


def id_of(thing: Any) -> str:
    """The id of a file or batch."""
    name = getattr(thing, "id", None)
    if not isinstance(name, str) or not name:
        raise MalformedError(f"the reply has no `id`: {str(thing)[:80]}")
    return name


def items_of(page: Any) -> list[Any]:
    """The items of a page of a list."""
    items = getattr(page, "data", None)
    if not isinstance(items, list):
        raise MalformedError(f"the reply is no list: {str(page)[:80]}")
    return items


def status_of(batch: Any) -> BatchStatus:
    """A batch, as the `openai` package reads it."""
    status = getattr(batch, "status", None)
    if not isinstance(status, str):
        raise MalformedError(f"the reply is no batch: {str(batch)[:80]}")
    errors = getattr(getattr(batch, "errors", None), "data", None) or []
    counts = getattr(batch, "request_counts", None)
    total, answered, failed = (getattr(counts, name, 0) or 0 for name in ("total", "completed", "failed"))
    return BatchStatus(
        id=id_of(batch),
        status=status,
        output_file_id=getattr(batch, "output_file_id", None) or None,
        error_file_id=getattr(batch, "error_file_id", None) or None,
        troubles=tuple(
            BatchTrouble(str(one.code or ""), error_message(str(one.message or one.code)), one.line) for one in errors
        ),
        total=total,
        answered=answered,
        failed=failed,
    )
