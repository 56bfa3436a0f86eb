"""BatchJob: what all calls of a BatchClient share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hf_synthlabels.clients.protocol.chat import Sampling, chat_identity
from hf_synthlabels.clients.protocol.request_headers import NO_HEADERS, RequestHeaders
from hf_synthlabels.clients.store.budget import BudgetTracker
from hf_synthlabels.clients.store.response_store import ResponseStore


@dataclass(frozen=True, slots=True)
class BatchPolling:
    """How large batches are, and how long everything is waited for."""

    max_requests: int = 50_000
    """In one batch; the provider's limit."""
    max_bytes: int = 200_000_000
    """Of one input file; the provider's limit."""
    max_waiting: int = 250_000
    """Requests that may wait for answers; then no more are read. Each takes about half a kilobyte of memory."""
    max_rounds: int = 3
    """Batches that a request may be in until it fails."""
    first_pause_s: float = 5.0
    longest_pause_s: float = 120.0
    """Between two looks at a batch; it grows from the first to the longest."""
    queue_patience_s: float = 86_400.0
    """How long there may be no room in the provider's queue."""
    timeout_s: float = 600.0
    """Of one try of one call, uploads among them."""
    outage_timeout_s: float = 1800.0
    """How long a provider that answers nothing is waited for."""
    appear_s: float = 60.0
    """How long it may take until a batch that was made stands in the provider's list."""


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What all calls of a client share."""

    model: str
    store: ResponseStore
    base_url: str
    api_key_env: str | None
    sampling: Sampling
    budget: BudgetTracker | None
    pace: BatchPolling
    tell: Callable[[str], None]
    headers: RequestHeaders = NO_HEADERS

    @property
    def identity(self) -> dict[str, Any]:
        """All that can change an answer beside the request."""
        return chat_identity(self.model, self.base_url, self.sampling)
