"""Worker loop: sends requests concurrently, with retries, limits and a budget."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hf_synthlabels.clients.base import Completion, Failure, Persist, Request
from hf_synthlabels.clients.openai.circuit_breaker import CircuitBreaker
from hf_synthlabels.clients.openai.fatal_errors import RejectionCounter, format_duration, quota_error, wait_error
from hf_synthlabels.clients.openai.rate_limits import Limiter
from hf_synthlabels.clients.openai.thread_queue import ThreadQueue
from hf_synthlabels.clients.openai.transport import Attempt, HttpTransport
from hf_synthlabels.clients.retry import backoff_s
from hf_synthlabels.clients.store.budget import BudgetTracker, Reservation

_LOGGER = logging.getLogger(__name__)

MAX_REFUSALS = 10
"""A request is given up after this multiple of its attempts in refusals, even while others are answered."""

WATCH_S = 0.02
MAX_WAIT_S = 600.0
LOGGED_WAIT_S = 10.0
"""Shorter waits are not logged."""


@dataclass(slots=True)
class StopSignal:
    """How to end a run before its requests do."""

    requested: bool = False
    """Send no more, but await the requests in flight: they will be billed."""
    immediate: bool = False
    """Await nothing."""


@dataclass(slots=True, eq=False)
class WorkerLoop:
    """Serves requests with a pool of workers that pull them from an iterator.

    A worker pulls its next request only when its last answer is on disk, so a kill loses at most as many paid answers
    as there are workers.
    """

    transport: HttpTransport
    """Already open."""
    body: Callable[[Request], dict[str, Any]]
    requests: Iterator[Request]
    """Pulled only as fast as they are sent."""
    persist: Persist
    """Receives each completion before it goes to the queue."""
    queue: ThreadQueue
    limiter: Limiter
    breaker: CircuitBreaker
    rejections: RejectionCounter
    budget: BudgetTracker | None
    """None keeps no account."""
    max_retries: int
    """Attempts after the first."""
    max_wait_s: float
    """Longest wait that a server may ask for; a longer one ends the run."""
    _pauses: dict[asyncio.Task[None] | None, tuple[float, str]] = field(default_factory=dict, init=False)
    _logged_until: float = field(default=float("-inf"), init=False)
    _error: Exception | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _answers: int = field(default=0, init=False)
    _in_flight: set[asyncio.Task[None] | None] = field(default_factory=set, init=False)
    _writes: dict[Future[None], asyncio.Future[None]] = field(default_factory=dict, init=False)

    async def run(self, workers: int, stop: StopSignal, *, drain_s: float) -> None:
        """Answer all requests, or as many as possible before the run is stopped.

        Raises:
            AllFailedError: the server is down or asks to wait for too long, or rejects the key or the account.
            StoreError: an answer cannot be stored.
            Exception: whatever reading the requests raised, after the requests in flight have been answered.
        """
        tasks = [asyncio.create_task(self._work(stop)) for _ in range(workers)]
        watcher = asyncio.create_task(self._watch(tasks, stop, drain_s))
        await asyncio.wait(tasks)
        watcher.cancel()
        for shared in self._writes.values():
            # Its workers were cancelled. The write goes on, but must not report to a closed loop.
            shared.cancel()
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if self._error is not None:
            raise self._error

    @property
    def waiting(self) -> str | None:
        """Why no request is in flight; None while one is, or before the first. Safe to call from other threads."""
        if self._in_flight:
            return None
        if self.breaker.is_open:
            return f"waiting for the server: {self.breaker.cause}"
        now, paused_s = time.monotonic(), self.limiter.paused_s
        pauses = list(self._pauses.values())
        if paused_s > 0 and not pauses:
            pauses = [(now + paused_s, "the rate limit is exhausted")]
        if not pauses:
            return None
        until, cause = min(pauses)
        return f"waiting {format_duration(max(0.0, until - now))}: {cause}"

    async def _work(self, stop: StopSignal) -> None:
        try:
            while not (self._stopping or stop.requested):
                # Reading the next row may touch the disk, but never for long.
                request = next(self.requests, None)
                if request is None:
                    return
                completion = await self._complete(request)
                written = self.persist(completion)
                if written is not None:
                    await self._on_disk(written)
                await self.queue.put(completion)
        except Exception as error:
            # The other requests in flight are paid for: they are awaited before the error is raised.
            self._error = self._error or error
            self._stopping = True

    async def _watch(self, tasks: list[asyncio.Task[None]], stop: StopSignal, drain_s: float) -> None:
        """When the run is stopped, end the workers with nothing in flight and await the others."""
        loop = asyncio.get_running_loop()
        while not (stop.requested or self._stopping):
            await asyncio.sleep(WATCH_S)
        self._stopping = True
        deadline = loop.time() + drain_s
        while loop.time() < deadline and not stop.immediate:
            for task in tasks:
                if task not in self._in_flight:
                    task.cancel()
            await asyncio.sleep(WATCH_S)
        for task in tasks:
            task.cancel()

    async def _complete(self, request: Request) -> Completion:
        """Send one request until it is answered, rejected, or out of attempts."""
        body = self.body(request)
        failures = refusals = 0
        answers_before = self._answers
        while True:
            attempt = await self._attempt(request, body, first=failures + refusals == 0)
            if attempt.completion is not None:
                self._answers += 1
                return attempt.completion
            failures += attempt.retry == "backoff"
            refusals += attempt.retry == "throttled"
            # While others are answered, a row is not given up because of the rate limit.
            others_answered = self._answers > answers_before and refusals <= MAX_REFUSALS * self.max_retries
            is_refused = refusals > self.max_retries and not others_answered
            if attempt.retry == "never" or failures > self.max_retries or is_refused:
                return Completion(request.key, failure=attempt.failure)
            await self._pause(attempt, failures + refusals)

    async def _pause(self, attempt: Attempt, attempts: int) -> None:
        """Wait before the next attempt, as long as the server says."""
        pause_s = backoff_s(attempts, attempt.wait_s)
        task = asyncio.current_task()
        self._pauses[task] = (time.monotonic() + pause_s, attempt.cause)
        try:
            await asyncio.sleep(pause_s)
        finally:
            del self._pauses[task]

    async def _attempt(self, request: Request, body: dict[str, Any], *, first: bool) -> Attempt:
        reservation = None
        if self.budget is not None:
            reservation = await self.budget.reserve(request)
            if reservation is None:
                return Attempt(failure=Failure("over_budget", "the budget is exhausted"))
        # Until it is sent, it costs nothing.
        attempt = Attempt()
        try:
            await self.limiter.acquire(0 if reservation is None else reservation.tokens)
            try:
                # The permit comes last: nothing waits between it and the request, so a probe is alone.
                with await self.breaker.before_call():
                    attempt = Attempt(billed="unknown")
                    attempt = await self._send(request, body)
                    self._learn(attempt, first=first)
            finally:
                self.limiter.release()
        finally:
            # Also when the outcome ends the run.
            self._settle(reservation, attempt)
        return attempt

    async def _send(self, request: Request, body: dict[str, Any]) -> Attempt:
        task = asyncio.current_task()
        self._in_flight.add(task)
        try:
            return await self.transport.send(request.key, body)
        finally:
            self._in_flight.discard(task)

    def _learn(self, attempt: Attempt, *, first: bool) -> None:
        """Update what is known about the server.

        Raises:
            AllFailedError: the run cannot go on.
        """
        if attempt.completion is not None:
            self.breaker.record_success()
            self.limiter.record_success(first_try=first)
            self.rejections.record_success()
            # A longer wait is left to the server, which may answer all the same: its rejection costs nothing.
            if attempt.wait_s is not None and attempt.wait_s <= self.max_wait_s:
                self.limiter.pause(attempt.wait_s)
            return
        if attempt.is_quota:
            raise quota_error(attempt.cause)
        if attempt.retry != "never" and attempt.wait_s is not None:
            self._check_wait(attempt.wait_s, attempt.cause)
        if attempt.retry == "backoff":
            self.breaker.record_failure(attempt.cause)
            return
        self.breaker.record_success()
        if attempt.retry == "throttled":
            self.limiter.record_throttled(attempt.wait_s)
        elif attempt.failure is not None:
            self.rejections.record_rejection(attempt.failure)

    def _check_wait(self, wait_s: float, cause: str) -> None:
        """Log that the run waits for the server, or end it if that takes too long."""
        if wait_s > self.max_wait_s:
            raise wait_error(wait_s, cause)
        now = time.monotonic()
        if wait_s >= LOGGED_WAIT_S and now >= self._logged_until:
            self._logged_until = now + wait_s
            _LOGGER.warning("The server asks to wait %s. %s", format_duration(wait_s), cause)

    def _settle(self, reservation: Reservation | None, attempt: Attempt) -> None:
        """Record the usage of an attempt, and return unused tokens to the rate limit."""
        reserved = 0 if reservation is None else reservation.tokens
        usage = attempt.usage
        if usage is not None:
            self.limiter.refund(reserved - usage.prompt_tokens - usage.completion_tokens)
        elif attempt.billed == "not_billed":
            self.limiter.refund(reserved)
        if reservation is None or self.budget is None:
            return
        if usage is not None:
            self.budget.commit_usage(reservation, usage)
        elif attempt.billed == "not_billed":
            self.budget.refund(reservation)
        else:
            self.budget.mark_possibly_billed(reservation)

    async def _on_disk(self, written: Future[None]) -> None:
        """Wait for a write that many answers share."""
        shared = self._writes.get(written)
        if shared is None:
            shared = self._writes[written] = asyncio.wrap_future(written)
            shared.add_done_callback(partial(self._forget, written))
        # A cancelled worker must not cancel the write of the others.
        await asyncio.shield(shared)

    def _forget(self, written: Future[None], shared: asyncio.Future[None]) -> None:
        del self._writes[written]
        if not shared.cancelled():
            # Marks an error as retrieved, in case all its workers were cancelled.
            shared.exception()
