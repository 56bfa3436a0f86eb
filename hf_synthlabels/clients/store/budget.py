"""Budget: the most that a request can cost is reserved before it is sent; the real usage replaces it afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from hf_synthlabels.clients.base import Request, Usage
from hf_synthlabels.clients.store.ledger import Allowance, Run, UsageRecord
from hf_synthlabels.clients.store.response_store import ResponseStore
from hf_synthlabels.errors import ConfigError

_LOGGER = logging.getLogger(__name__)

MIN_CHUNK = 16
"""Requests reserved on disk at a time; after a kill, up to so many unsent requests count as spent."""

TOKENS_PER_MESSAGE = 16
"""More than any chat template adds to a message."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most that one request can cost."""

    usd: float
    tokens: int
    prompt_tokens: int = 0
    """Upper bound of the prompt alone."""


def max_prompt_tokens(request: Request, schema_bytes: int = 0) -> int:
    """Upper bound of a prompt's tokens: each token has at least one byte."""
    count = schema_bytes + TOKENS_PER_MESSAGE
    for message in request.messages:
        content = message.content
        # ASCII text has as many bytes as characters, and is checked faster than it is encoded.
        count += (len(content) if content.isascii() else len(content.encode(errors="replace"))) + TOKENS_PER_MESSAGE
    return count


class BudgetTracker:
    """Keeps a run within its budget, however many requests are in flight and however often it is killed and rerun.

    A request is sent only when the most that it can cost is reserved on disk. The real usage then replaces the
    reservation. A request that was sent and never answered stays reserved, because the server may have billed it. So
    spent and possibly billed money together never exceed the budget, over all runs of a scope.

    This relies on the server's token counts and on `max_tokens`. A server may ignore that limit or add to the prompt.
    So the first request of a run with a budget is sent alone, and later ones reserve as much as any answer has cost.
    Requests in flight when the budget ran out may then exceed it; a warning reports by how much. An answer without
    token counts is charged with its reservation.

    All methods but `begin` and `end` belong to one event loop.

    Args:
        store: holds the ledger.
        run: scope and budget.
        cost_usd: cost of a usage; None if the price is unknown.
        max_tokens: maximum length of an answer.
        chunk: requests to reserve at a time.

    Raises:
        ConfigError: the budget cannot be kept because the price or `max_tokens` is missing.
    """

    def __init__(
        self,
        store: ResponseStore,
        run: Run,
        *,
        cost_usd: Callable[[Usage], float] | None,
        max_tokens: int | None,
        chunk: int = MIN_CHUNK,
    ) -> None:
        if run.budget_usd is not None and cost_usd is None:
            raise ConfigError(
                f"`budget_usd` is {run.budget_usd:g}, but the price of {run.model!r} is unknown. "
                "Give `price`, or limit the tokens with `budget_tokens`."
            )
        self._has_budget = run.budget_usd is not None or run.budget_tokens is not None
        if max_tokens is None and self._has_budget:
            raise ConfigError("`max_tokens` is null, so the cost of an answer has no upper bound. Set it.")
        self.run = run
        self.spent_usd = 0.0
        """By this run, without possibly billed requests."""
        self._store = store
        self._cost_usd = cost_usd
        self._max_tokens = max_tokens or 0
        self._chunk = chunk
        self._reserved_requests, self._reserved_usd, self._reserved_tokens = 0, 0.0, 0
        self._exhausted = False
        self._schema: tuple[object, int] = (None, 0)
        self._longest_answer, self._added_prompt = self._max_tokens, 0
        self._first_in_flight = self._has_budget
        self._warned: set[str] = set()
        self._pending: tuple[Allowance, Future[Allowance]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = self._in_flight = 0
        self._changed = asyncio.Event()

    def attach(self) -> None:
        """Serve the running event loop; what was reserved and not spent stays."""
        self._waiting = self._in_flight = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        """Add the run to the ledger."""
        self._store.begin_run(self.run)

    def end(self) -> None:
        """Release what was reserved and not spent."""
        self._store.end_run(self.run)

    def cost_usd(self, usage: Usage) -> float | None:
        """Cost of a usage; None if the price is unknown."""
        return None if self._cost_usd is None else self._cost_usd(usage)

    def max_cost(self, request: Request) -> Reservation:
        """The most that a request can cost."""
        schema = request.response_schema
        if schema is not self._schema[0]:
            # All rows of a task share one schema, so it is measured once.
            self._schema = (schema, 0 if schema is None else len(str(schema).encode()))
        prompt = max_prompt_tokens(request, self._schema[1])
        usage = Usage(prompt + self._added_prompt, self._longest_answer)
        return Reservation(self.cost_usd(usage) or 0.0, usage.prompt_tokens + usage.completion_tokens, prompt)

    async def reserve(self, request: Request) -> Reservation | None:
        """Reserve the most that a request can cost; None if the budget does not cover it.

        Raises:
            StoreError: the reservation cannot be written.
        """
        while True:
            self._collect()
            # An earlier answer may have shown that requests cost more.
            cost = self.max_cost(request)
            is_covered = self._reserved_usd >= cost.usd - 1e-12 and self._reserved_tokens >= cost.tokens
            if is_covered and self._reserved_requests > 0:
                if not (self._first_in_flight and self._in_flight):
                    break
            elif is_covered or not self._exhausted:
                self._request_more(cost)
            elif self._in_flight == 0:
                # No request in flight can cost less than its reservation and make room.
                return None
            self._changed.clear()
            self._waiting += 1
            try:
                await self._changed.wait()
            finally:
                self._waiting -= 1
        self._in_flight += 1
        self._add(-1, -cost.usd, -cost.tokens)
        if self._reserved_requests < self._chunk // 2:
            self._request_more(cost)
        return cost

    def commit_usage(self, reservation: Reservation, usage: Usage) -> float | None:
        """Replace the reservation of an answered request with its usage; returns the cost."""
        tokens = usage.prompt_tokens + usage.completion_tokens
        if tokens == 0 and self._has_budget:
            self._warn("The server counts no tokens, so the budget is charged with the maximum cost of each answer.")
            self._return(0, 0.0, 0)
            self._store.commit_usage(
                self.run, UsageRecord(1, uncertain_usd=reservation.usd, uncertain_tokens=reservation.tokens)
            )
            return None
        usd = self.cost_usd(usage)
        self.spent_usd += usd or 0.0
        self._return(0, reservation.usd - (usd or 0.0), reservation.tokens - tokens)
        if tokens > reservation.tokens and self._has_budget:
            self._raise_bounds(reservation, usage)
        record = UsageRecord(1, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usd)
        self._store.commit_usage(self.run, record)
        return usd

    def refund(self, reservation: Reservation) -> None:
        """Return the reservation of a request that was not billed: it was never sent, or the server refused it."""
        self._return(1, reservation.usd, reservation.tokens)

    def mark_possibly_billed(self, reservation: Reservation) -> None:
        """Keep the reservation of a request that was sent and never answered."""
        self._return(0, 0.0, 0)
        record = UsageRecord(uncertain_requests=1, uncertain_usd=reservation.usd, uncertain_tokens=reservation.tokens)
        self._store.commit_usage(self.run, record)

    def _raise_bounds(self, reservation: Reservation, usage: Usage) -> None:
        """An answer cost more than its reservation, so later requests reserve more."""
        if usage.completion_tokens > self._longest_answer:
            self._longest_answer = usage.completion_tokens
            self._warn(
                f"An answer has {usage.completion_tokens} tokens, although `max_tokens` is {self._max_tokens}: the "
                "server ignores the limit. From now on each request reserves the longest answer so far.",
                key="max_tokens",
            )
        self._added_prompt = max(self._added_prompt, usage.prompt_tokens - reservation.prompt_tokens)

    def _warn(self, message: str, key: str = "") -> None:
        if (key or message) not in self._warned:
            self._warned.add(key or message)
            _LOGGER.warning(message)

    def _request_more(self, cost: Reservation) -> None:
        """Reserve for more requests on disk, unless a reservation is pending."""
        if self._pending is not None:
            return
        count = max(self._chunk, self._waiting)
        # What earlier requests returned is used first.
        usd = max(0.0, cost.usd * count - self._reserved_usd)
        requested = Allowance(count, usd, max(0, cost.tokens * count - self._reserved_tokens))
        reservation = self._store.reserve(self.run, requested)
        self._pending = (requested, reservation)
        reservation.add_done_callback(self._wake)

    def _wake(self, _: Future[Allowance]) -> None:
        """Let waiting requests collect a reservation; called from the thread that writes."""
        # When the run is over and its loop closed, the next run collects it.
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._changed.set)

    def _collect(self) -> None:
        """Add a reservation that is on disk.

        Raises:
            StoreError: it could not be written; later calls raise again.
        """
        if self._pending is None or not self._pending[1].done():
            return
        requested, reservation = self._pending
        granted = reservation.result()
        self._pending = None
        self._exhausted = granted.usd < requested.usd or granted.tokens < requested.tokens
        self._add(granted.requests, granted.usd, granted.tokens)

    def _return(self, requests: int, usd: float, tokens: int) -> None:
        self._in_flight -= 1
        self._first_in_flight = False
        self._add(requests, usd, tokens)
        # A pending reservation wakes them; until then, nothing that returns is enough for any of them.
        if self._waiting and self._pending is None:
            self._changed.set()

    def _add(self, requests: int, usd: float, tokens: int) -> None:
        self._reserved_requests += requests
        self._reserved_usd += usd
        self._reserved_tokens += tokens
