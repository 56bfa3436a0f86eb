"""Engine: the workers of one run, in their event loop, from the first request to the last answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from hf_synthlabels.clients.base import Commit, Completion, Failure, Keep, Request, Usage
from hf_synthlabels.clients.openai.circuit_breaker import CircuitBreaker
from hf_synthlabels.clients.openai.fatal_errors import Access, in_words, used_up, waits_too_long
from hf_synthlabels.clients.openai.rate_limits import Limiter
from hf_synthlabels.clients.openai.thread_queue import ThreadQueue
from hf_synthlabels.clients.openai.transport import BrokenConnectionError, Transport
from hf_synthlabels.clients.protocol.error_replies import Billed, Retry
from hf_synthlabels.clients.protocol.replies import parse_reply
from hf_synthlabels.clients.retry import backoff_s, rate_limit_reset_s, retry_after_s
from hf_synthlabels.clients.store.budget import BudgetTracker, Reservation

_LOGGER = logging.getLogger(__name__)

MAX_REFUSALS = 10
"""A row is given up when it was refused so many times as often as it may be tried, whatever others got."""

WATCH_S = 0.02
MAX_WAIT_S = 600.0
TOLD_WAIT_S = 10.0
"""A wait that is worth a line in the log."""


@dataclass(slots=True)
class Stop:
    """How a run is asked to end before its requests do."""

    asked: bool = False
    """Send nothing more, but wait for what is on the way: it will be billed."""
    now: bool = False
    """Wait for nothing."""


@dataclass(frozen=True, slots=True)
class _Try:
    """Outcome of one attempt."""

    completion: Completion | None = None
    failure: Failure | None = None
    retry: Retry = "no"
    wait_s: float | None = None
    """How long the server asks to wait."""
    billed: Billed = "no"
    usage: Usage | None = None
    """Tokens that the server counted, also for an error."""
    is_quota: bool = False
    """The server says that the account has no money left."""

    @property
    def cause(self) -> str:
        """The failure in words."""
        if self.failure is None:
            return ""
        status = self.failure.http_status
        return f"HTTP {status}: {self.failure.message}" if status else self.failure.message


class Engine:
    """Serves requests with a pool of workers that pull them from an iterator, at most `workers` at once.

    A worker pulls its next request only when its last answer is kept, so that a kill loses at most as many paid
    answers as there are workers.

    Args:
        transport: how bodies are sent; open already.
        body: what is sent for a request.
        requests: pulled only as fast as they are sent.
        keep: is handed each completion before it goes to the outbox.
        outbox: where completions go.
        limiter, breaker: when a request may be sent.
        access: whether the server still takes requests at all.
        budget: what a request may cost; None for no account at all.
        hide: takes a secret out of a server's words.
        max_retries: further tries after the first.
        timeout_s: of one try; for messages only, the transport keeps it.
        max_wait_s: the longest wait that a server may ask for; a longer one ends the run.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        body: Callable[[Request], dict[str, Any]],
        requests: Iterator[Request],
        keep: Keep,
        outbox: ThreadQueue,
        limiter: Limiter,
        breaker: CircuitBreaker,
        access: Access | None = None,
        budget: BudgetTracker | None,
        hide: Callable[[str], str],
        max_retries: int,
        timeout_s: float,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self._transport = transport
        self._body = body
        self._requests = requests
        self._keep = keep
        self._outbox = outbox
        self._limiter = limiter
        self._breaker = breaker
        self._budget = budget
        self._access = access or Access()
        self._hide = hide
        self._max_retries = max_retries
        self._timeout_s = timeout_s
        self._max_wait_s = max_wait_s
        self._pauses: dict[asyncio.Task[None] | None, tuple[float, str]] = {}
        self._told_until = float("-inf")
        self._error: Exception | None = None
        self._stopping = False
        self._answers = 0
        self._sending: set[asyncio.Task[None] | None] = set()
        self._commits: dict[Commit, asyncio.Event] = {}

    async def run(self, workers: int, stop: Stop, *, drain_s: float) -> None:
        """Answer all requests, or as many as come before the run is asked to stop.

        Raises:
            AllFailedError: the server is down or asks to wait for too long, or rejects the key or the account.
            StoreError: an answer can not be kept.
            Exception: whatever reading the requests raised, once what was on the way has been answered.
        """
        tasks = [asyncio.create_task(self._work(stop)) for _ in range(workers)]
        watcher = asyncio.create_task(self._watch(tasks, stop, drain_s))
        await asyncio.wait(tasks)
        watcher.cancel()
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if self._error is not None:
            raise self._error

    @property
    def waiting(self) -> str | None:
        """Why no request is on the way; None while one is, or before the first. May be called from other threads."""
        if self._sending:
            return None
        if self._breaker.is_open:
            return f"waiting for the server: {self._breaker.cause}"
        now, paused_s = time.monotonic(), self._limiter.paused_s
        pauses = list(self._pauses.values())
        if paused_s > 0 and not pauses:
            pauses = [(now + paused_s, "the rate limit is used up")]
        if not pauses:
            return None
        until, cause = min(pauses)
        return f"waiting {in_words(max(0.0, until - now))}: {cause}"

    async def _work(self, stop: Stop) -> None:
        try:
            while not (self._stopping or stop.asked):
                # Reading the next row may touch the disk, but never for long.
                request = next(self._requests, None)
                if request is None:
                    return
                completion = await self._ask(request)
                commit = self._keep(completion)
                if commit is not None:
                    await self._on_disk(commit)
                await self._outbox.put(completion)
        except Exception as error:
            # What others have on the way is paid for: it is waited for before the error is told.
            self._error = self._error or error
            self._stopping = True

    async def _watch(self, tasks: list[asyncio.Task[None]], stop: Stop, drain_s: float) -> None:
        """When the run is asked to stop, end the workers that have nothing on the way, and wait for the others."""
        loop = asyncio.get_running_loop()
        while not (stop.asked or self._stopping):
            await asyncio.sleep(WATCH_S)
        self._stopping = True
        deadline = loop.time() + drain_s
        while loop.time() < deadline and not stop.now:
            for task in tasks:
                if task not in self._sending:
                    task.cancel()
            await asyncio.sleep(WATCH_S)
        for task in tasks:
            task.cancel()

    async def _ask(self, request: Request) -> Completion:
        """Send one request until it is answered, is rejected, or has been tried often enough."""
        body = self._body(request)
        tries = refusals = 0
        answers_before = self._answers
        while True:
            outcome = await self._try(request, body, first=tries + refusals == 0)
            if outcome.completion is not None:
                self._answers += 1
                return outcome.completion
            tries += outcome.retry == "yes"
            refusals += outcome.retry == "later"
            # While others are served, a row is not given up for coming at the wrong time.
            in_turn = self._answers > answers_before and refusals <= MAX_REFUSALS * self._max_retries
            if outcome.retry == "no" or tries > self._max_retries or (refusals > self._max_retries and not in_turn):
                return Completion(request.key, failure=outcome.failure)
            await self._pause(outcome, tries + refusals)

    async def _pause(self, outcome: _Try, attempts: int) -> None:
        """Wait before the next attempt, as long as the server says."""
        pause_s = backoff_s(attempts, outcome.wait_s)
        task = asyncio.current_task()
        self._pauses[task] = (time.monotonic() + pause_s, outcome.cause)
        try:
            await asyncio.sleep(pause_s)
        finally:
            del self._pauses[task]

    async def _try(self, request: Request, body: dict[str, Any], *, first: bool) -> _Try:
        reservation = None
        if self._budget is not None:
            reservation = await self._budget.reserve(request)
            if reservation is None:
                return _Try(failure=Failure("over_budget", "the budget is used up"))
        expected = 0 if reservation is None else reservation.tokens
        # Until it is sent, it costs nothing.
        outcome = _Try()
        try:
            await self._limiter.acquire(expected)
            try:
                # The permit comes last: nothing waits between it and the request, so a probe is alone.
                with await self._breaker.permit():
                    outcome = _Try(billed="perhaps")
                    outcome = await self._send(request, body)
                    self._learn(outcome, first=first)
            finally:
                self._limiter.release()
        finally:
            # Also when the outcome ends the run.
            self._close(reservation, outcome)
        return outcome

    async def _send(self, request: Request, body: dict[str, Any]) -> _Try:
        task = asyncio.current_task()
        self._sending.add(task)
        try:
            reply = await self._transport.post(body)
        except TimeoutError:
            failure = Failure("timeout", f"no answer within {self._timeout_s:g} s")
            return _Try(failure=failure, retry="yes", billed="perhaps")
        except BrokenConnectionError as error:
            failure = Failure("connection", self._hide(str(error)))
            return _Try(failure=failure, retry="yes", billed="perhaps" if error.sent else "no")
        finally:
            self._sending.discard(task)
        # A server may quote the key that it rejects.
        read = parse_reply(request.key, reply.content, status=reply.status, hide=self._hide)
        if isinstance(read, Completion):
            return _Try(read, billed="yes", usage=read.usage, wait_s=rate_limit_reset_s(reply.headers))
        wait_s = retry_after_s(reply.headers)
        if wait_s is None and read.retry == "later":
            wait_s = rate_limit_reset_s(reply.headers)
        return _Try(
            failure=read.failure,
            retry=read.retry,
            wait_s=wait_s,
            billed=read.billed,
            usage=read.usage,
            is_quota=read.is_quota,
        )

    def _learn(self, outcome: _Try, *, first: bool) -> None:
        """Take from an outcome how the server is doing.

        Raises:
            AllFailedError: the run cannot go on.
        """
        if outcome.completion is not None:
            self._breaker.answered()
            self._limiter.answered(first_try=first)
            self._access.answered()
            # A longer wait is left to the server, which may answer all the same: its rejection costs nothing.
            if outcome.wait_s is not None and outcome.wait_s <= self._max_wait_s:
                self._limiter.pause(outcome.wait_s)
            return
        if outcome.is_quota:
            raise used_up(outcome.cause)
        if outcome.retry != "no" and outcome.wait_s is not None:
            self._check_wait(outcome.wait_s, outcome.cause)
        if outcome.retry == "yes":
            self._breaker.failed(outcome.cause)
            return
        self._breaker.answered()
        if outcome.retry == "later":
            self._limiter.refused(outcome.wait_s)
        elif outcome.failure is not None:
            self._access.rejected(outcome.failure)

    def _check_wait(self, wait_s: float, cause: str) -> None:
        """Say that the run waits for the server, or end it if that takes too long."""
        if wait_s > self._max_wait_s:
            raise waits_too_long(wait_s, cause)
        now = time.monotonic()
        if wait_s >= TOLD_WAIT_S and now >= self._told_until:
            self._told_until = now + wait_s
            _LOGGER.warning("The server asks to wait %s. %s", in_words(wait_s), cause)

    def _close(self, reservation: Reservation | None, outcome: _Try) -> None:
        """Settle what an attempt cost, and give unused tokens back to the rate limit."""
        reserved = 0 if reservation is None else reservation.tokens
        usage = outcome.usage
        if usage is not None:
            self._limiter.refund(reserved - usage.prompt_tokens - usage.completion_tokens)
        elif outcome.billed == "no":
            self._limiter.refund(reserved)
        if reservation is None or self._budget is None:
            return
        if usage is not None:
            self._budget.commit_usage(reservation, usage)
        elif outcome.billed == "no":
            self._budget.refund(reservation)
        else:
            self._budget.mark_possibly_billed(reservation)

    async def _on_disk(self, commit: Commit) -> None:
        """Wait for a commit; many answers share one."""
        event = self._commits.get(commit)
        if event is None:
            event = self._commits[commit] = asyncio.Event()
            commit.add_done_callback(partial(self._tell, asyncio.get_running_loop()))
        await event.wait()
        commit.result()

    def _tell(self, loop: asyncio.AbstractEventLoop, commit: Commit) -> None:
        # Nobody waits any more when the run was ended meanwhile, and its loop is closed.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._commits.pop(commit).set)
