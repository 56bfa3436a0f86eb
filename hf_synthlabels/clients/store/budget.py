"""BudgetTracker: money and tokens are reserved before a request is sent, and settled when its answer is there."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
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
"""Requests that are reserved on disk at a time: after a kill, so many more than were on the way may be counted."""

TOKENS_PER_MESSAGE = 16
"""More than any chat template adds to a message."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most that one request can cost."""

    usd: float
    tokens: int
    prompt_tokens: int = 0
    """The bound of the prompt alone, as its text gives it."""


def max_prompt_tokens(request: Request, schema_bytes: int = 0) -> int:
    """No tokenizer makes more tokens of a prompt: each stands for at least one byte."""
    count = schema_bytes + TOKENS_PER_MESSAGE
    for message in request.messages:
        content = message.content
        # UTF-8 has as many bytes as characters where all are ASCII.
        count += (len(content) if content.isascii() else len(content.encode(errors="replace"))) + TOKENS_PER_MESSAGE
    return count


class BudgetTracker:
    """Keeps a run within its budget, whatever is on the way and however often it is killed and run again.

    A request is sent only when the most that it can cost has been reserved in the ledger, on disk. The real usage then
    replaces the reservation. A request that was sent and never answered stays reserved: the server may have billed it.
    So the sum of what was spent and what may have been never exceeds the budget, over all runs of the same scope, at
    the same time or one after another.

    This rests on the server's word and on `max_tokens`. A server may ignore that limit, or add to the prompt. So the
    first request of a run with a budget is sent alone, and later ones reserve as much as any answer has cost. What was
    on the way when the budget ran out may then exceed it; it is counted, and a warning says so. For an answer without
    token counts the reservation is charged.

    All methods but `begin` and `end` belong to one event loop.

    Args:
        store: whose ledger is kept.
        run: scope and budget.
        cost_usd: what an answer's usage costs; None where the price is not known.
        max_tokens: the longest answer.
        chunk: requests that are reserved at a time.

    Raises:
        ConfigError: there is a budget that can not be kept, for want of a price or of `max_tokens`.
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
                f"`annotator.budget_usd` is {run.budget_usd:g}, but the price of {run.model!r} is not known. "
                "Give `annotator.price`, or limit the tokens with `annotator.budget_tokens`."
            )
        if max_tokens is None and (run.budget_usd is not None or run.budget_tokens is not None):
            raise ConfigError("`annotator.max_tokens` is null, so an answer has no highest cost. Give a number.")
        self.run = run
        self.spent_usd = 0.0
        """By this run, without what is uncertain."""
        self._store = store
        self._cost_usd = cost_usd
        self._max_tokens = max_tokens or 0
        self._chunk = chunk
        self._left_requests, self._left_usd, self._left_tokens = 0, 0.0, 0
        self._used_up = False
        self._schemas: dict[int, int] = {}
        self._longest_answer, self._added_prompt = self._max_tokens, 0
        self._first_is_out = self._has_budget
        self._is_uncounted = self._is_told = False
        self._arrived: deque[tuple[Allowance, Future[Allowance]]] = deque()
        self._error: BaseException | None = None
        self.attach()

    def attach(self) -> None:
        """Serve the event loop that runs next; what was reserved and not spent stays."""
        self._wishing = False
        self._waiting = self._out = 0
        self._changed = asyncio.Event()

    def begin(self) -> None:
        """Enter the run into the ledger."""
        self._store.begin_run(self.run)

    def end(self) -> None:
        """Give back what was reserved and not spent."""
        self._store.end_run(self.run)

    @property
    def _has_budget(self) -> bool:
        return self.run.budget_usd is not None or self.run.budget_tokens is not None

    def cost_usd(self, usage: Usage) -> float | None:
        """What an answer's usage costs; None where the price is not known."""
        return None if self._cost_usd is None else self._cost_usd(usage)

    async def reserve(self, request: Request) -> Reservation | None:
        """Reserve the most that a request can cost; None when the budget does not cover it.

        Raises:
            StoreError: the reservation cannot be written.
        """
        self._take_arrived()
        while True:
            if self._error is not None:
                raise self._error
            # An earlier answer may have shown that requests cost more.
            wish = self.max_cost(request)
            if self._fits(wish):
                if not (self._first_is_out and self._out):
                    break
            elif not (self._used_up and self._short_of_money(wish)):
                self._ask_for_more(wish)
            elif self._out == 0:
                # Nothing is on the way that could cost less than was reserved for it.
                return None
            self._changed.clear()
            self._waiting += 1
            try:
                await self._changed.wait()
            finally:
                self._waiting -= 1
        self._out += 1
        self._add(-1, -wish.usd, -wish.tokens)
        if self._left_requests < self._chunk // 2:
            self._ask_for_more(wish)
        return wish

    def commit_usage(self, reservation: Reservation, usage: Usage) -> float | None:
        """Replace the reservation of an answered request with its usage; returns its cost."""
        tokens = usage.prompt_tokens + usage.completion_tokens
        if tokens == 0 and self._has_budget:
            self._settle_uncounted(reservation)
            return None
        usd = self.cost_usd(usage)
        self.spent_usd += usd or 0.0
        self._came_back(0, reservation.usd - (usd or 0.0), reservation.tokens - tokens)
        if tokens > reservation.tokens and self._has_budget:
            self._reserve_more(reservation, usage)
        entry = UsageRecord(1, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usd)
        self._store.commit_usage(self.run, entry)
        return usd

    def _settle_uncounted(self, reservation: Reservation) -> None:
        """The server does not say what an answer cost: the most that it can have cost stays charged."""
        if not self._is_uncounted:
            self._is_uncounted = True
            _LOGGER.warning(
                "The server counts no tokens, so the budget is charged with the most that answers can cost."
            )
        self._came_back(0, 0.0, 0)
        entry = UsageRecord(requests=1, uncertain_usd=reservation.usd, uncertain_tokens=reservation.tokens)
        self._store.commit_usage(self.run, entry)

    def _reserve_more(self, reservation: Reservation, usage: Usage) -> None:
        """An answer cost more than it could: so may the next ones."""
        is_longer = usage.completion_tokens > self._longest_answer
        self._longest_answer = max(self._longest_answer, usage.completion_tokens)
        self._added_prompt = max(self._added_prompt, usage.prompt_tokens - reservation.prompt_tokens)
        if is_longer and not self._is_told:
            self._is_told = True
            _LOGGER.warning(
                "An answer has %d tokens, although `max_tokens` is %d: the server ignores the limit. From now on, the "
                "longest answer so far is reserved for each request.",
                usage.completion_tokens,
                self._max_tokens,
            )

    def refund(self, reservation: Reservation) -> None:
        """The request was not billed: it was never sent, or the server refused it."""
        self._came_back(1, reservation.usd, reservation.tokens)

    def mark_possibly_billed(self, reservation: Reservation) -> None:
        """The request was sent and no answer came: it may have been billed."""
        self._came_back(0, 0.0, 0)
        entry = UsageRecord(uncertain_requests=1, uncertain_usd=reservation.usd, uncertain_tokens=reservation.tokens)
        self._store.commit_usage(self.run, entry)

    def max_cost(self, request: Request) -> Reservation:
        """The most that a request can cost."""
        schema_bytes = 0
        if request.response_schema is not None:
            # One schema serves all rows of a task, so its length is counted once.
            schema = request.response_schema
            if id(schema) not in self._schemas:
                self._schemas = {id(schema): len(str(schema).encode())}
            schema_bytes = self._schemas[id(schema)]
        prompt = max_prompt_tokens(request, schema_bytes)
        usage = Usage(prompt + self._added_prompt, self._longest_answer)
        return Reservation(self.cost_usd(usage) or 0.0, usage.prompt_tokens + usage.completion_tokens, prompt)

    def _fits(self, wish: Reservation) -> bool:
        return self._left_requests > 0 and not self._short_of_money(wish)

    def _short_of_money(self, wish: Reservation) -> bool:
        return self._left_usd < wish.usd - 1e-12 or self._left_tokens < wish.tokens

    def _ask_for_more(self, wish: Reservation) -> None:
        if self._wishing:
            return
        count = max(self._chunk, self._waiting)
        # What came back from earlier reservations is used first.
        usd = max(0.0, wish.usd * count - self._left_usd)
        wished = Allowance(count, usd, max(0, wish.tokens * count - self._left_tokens))
        loop = asyncio.get_running_loop()

        def granted(grant: Future[Allowance]) -> None:
            self._arrived.append((wished, grant))
            # The run may be over by now; its loop is then closed, and the next one takes what has arrived.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._take_arrived)

        reservation = self._store.reserve(self.run, wished)
        self._wishing = True
        reservation.add_done_callback(granted)

    def _take_arrived(self) -> None:
        while self._arrived:
            wished, reservation = self._arrived.popleft()
            self._wishing = False
            self._changed.set()
            if (error := reservation.exception()) is not None:
                self._error = error
                return
            grant = reservation.result()
            self._used_up = grant.usd < wished.usd or grant.tokens < wished.tokens
            self._add(grant.requests, grant.usd, grant.tokens)

    def _came_back(self, requests: int, usd: float, tokens: int) -> None:
        self._out -= 1
        self._first_is_out = False
        self._add(requests, usd, tokens)
        if self._waiting:
            self._changed.set()

    def _add(self, requests: int, usd: float, tokens: int) -> None:
        self._left_requests += requests
        self._left_usd += usd
        self._left_tokens += tokens
