"""Engine: the workers of one run, in their event loop, from the first request to the last answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from hf_synthlabels.clients.base import Commit, Completion, Failure, Keep, Request, Usage
from hf_synthlabels.clients.breaker import Breaker
from hf_synthlabels.clients.error_replies import ErrorReply
from hf_synthlabels.clients.headers import exhausted_s, retry_after_s
from hf_synthlabels.clients.limiter import Limiter
from hf_synthlabels.clients.outbox import Outbox
from hf_synthlabels.clients.replies import parse_reply
from hf_synthlabels.clients.spending import Meter, Reservation
from hf_synthlabels.clients.transport import BrokenConnectionError, Reply, Transport
from hf_synthlabels.errors import AllFailedError

__all__ = ["Engine", "Stop"]

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
MOST_REFUSALS = 10
"""A row is given up when it was refused so many times as often as it may be tried, whatever others got."""

WATCH_S = 0.02


@dataclass(slots=True)
class Stop:
    """How a run is asked to end before its requests do."""

    asked: bool = False
    """Send nothing more, but wait for what is on the way: it will be billed."""
    now: bool = False
    """Wait for nothing."""


@dataclass(frozen=True, slots=True)
class _Try:
    """What one try came to."""

    completion: Completion | None = None
    failure: Failure | None = None
    again: Literal["no", "yes", "refused"] = "no"
    """Whether to try again; `refused` when the server only wants it later."""
    pause_s: float | None = None
    billed: Literal["yes", "no", "perhaps"] = "no"
    usage: Usage | None = None
    """What the server counted, also for an error."""


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
        meter: what a request may cost; None for no account at all.
        hide: takes a secret out of a server's words.
        max_retries: further tries after the first.
        timeout_s: of one try; for messages only, the transport keeps it.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        body: Callable[[Request], dict[str, Any]],
        requests: Iterator[Request],
        keep: Keep,
        outbox: Outbox,
        limiter: Limiter,
        breaker: Breaker,
        meter: Meter | None,
        hide: Callable[[str], str],
        max_retries: int,
        timeout_s: float,
    ) -> None:
        self._transport = transport
        self._body = body
        self._requests = requests
        self._keep = keep
        self._outbox = outbox
        self._limiter = limiter
        self._breaker = breaker
        self._meter = meter
        self._hide = hide
        self._max_retries = max_retries
        self._timeout_s = timeout_s
        self._error: Exception | None = None
        self._stopping = False
        self._answers = 0
        self._sending: set[asyncio.Task[None] | None] = set()
        self._commits: dict[Commit, asyncio.Event] = {}

    async def run(self, workers: int, stop: Stop, *, drain_s: float) -> None:
        """Answer all requests, or as many as come before the run is asked to stop.

        Raises:
            AllFailedError: the server is away for too long, or says that the account is used up.
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
        """Send one request until it is answered, refused, or has been tried often enough."""
        body = self._body(request)
        tries = refusals = 0
        answers_before = self._answers
        while True:
            outcome = await self._try(request, body, first=tries + refusals == 0)
            if outcome.completion is not None:
                self._answers += 1
                return outcome.completion
            tries += outcome.again == "yes"
            refusals += outcome.again == "refused"
            # Others are being served, so this one will be: it is not given up for coming at the wrong time.
            in_turn = self._answers > answers_before and refusals <= MOST_REFUSALS * self._max_retries
            if outcome.again == "no" or tries > self._max_retries or (refusals > self._max_retries and not in_turn):
                return Completion(request.key, failure=outcome.failure)
            if outcome.pause_s is not None:
                # The server named the time; a little later, so that not all come back in the same instant.
                await asyncio.sleep(outcome.pause_s * random.uniform(1.0, 1.1))
            else:
                ceiling_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (tries + refusals - 1))
                await asyncio.sleep(ceiling_s * random.uniform(0.5, 1.0))

    async def _try(self, request: Request, body: dict[str, Any], *, first: bool) -> _Try:
        reservation = None
        if self._meter is not None:
            reservation = await self._meter.reserve(request)
            if reservation is None:
                return _Try(failure=Failure("over_budget", "the budget is used up"))
        expected = 0 if reservation is None else reservation.tokens
        try:
            await self._limiter.acquire(expected)
        except BaseException:
            self._close(reservation, None, "no")
            raise
        # Until it is sent, it costs nothing.
        outcome = _Try(billed="no")
        try:
            # The permit comes last: nothing waits between it and the request, so a probe is alone.
            with await self._breaker.permit():
                outcome = _Try(billed="perhaps")
                outcome = await self._send(request, body, first=first)
        finally:
            self._limiter.release()
            self._close(reservation, outcome.usage, outcome.billed)
            if outcome.completion is not None:
                usage = outcome.completion.usage
                self._limiter.refund(expected - usage.prompt_tokens - usage.completion_tokens)
            elif outcome.billed == "no":
                self._limiter.refund(expected)
        return outcome

    async def _send(self, request: Request, body: dict[str, Any], *, first: bool) -> _Try:
        task = asyncio.current_task()
        self._sending.add(task)
        try:
            reply = await self._transport.post(body)
        except TimeoutError:
            failure = Failure("timeout", f"no answer within {self._timeout_s:g} s")
            self._breaker.failed(failure.message)
            return _Try(failure=failure, again="yes", billed="perhaps")
        except BrokenConnectionError as error:
            failure = Failure("connection", self._hide(str(error)))
            self._breaker.failed(failure.message)
            return _Try(failure=failure, again="yes", billed="perhaps" if error.sent else "no")
        finally:
            self._sending.discard(task)
        return self._read(request, reply, first=first)

    def _read(self, request: Request, reply: Reply, *, first: bool) -> _Try:
        # A server may quote the key that it refuses.
        read = parse_reply(request.key, reply.content, status=reply.status, hide=self._hide)
        if isinstance(read, ErrorReply):
            return self._refused(read, retry_after_s(reply.headers))
        self._breaker.answered()
        self._limiter.answered(first_try=first)
        if (wait_s := exhausted_s(reply.headers)) is not None:
            self._limiter.pause(wait_s)
        return _Try(read, billed="yes", usage=read.usage)

    def _refused(self, error: ErrorReply, pause_s: float | None) -> _Try:
        if error.retry == "later":
            self._breaker.answered()
            if error.is_quota:
                raise AllFailedError(
                    f"The server says that the account is used up: {error.message} "
                    "Every answer so far is kept: add money or give another key, and run the same again."
                )
            self._limiter.refused(pause_s)
            return _Try(failure=error.failure, again="refused", pause_s=pause_s, usage=error.usage, billed=error.billed)
        if error.retry == "yes":
            self._breaker.failed(f"HTTP {error.status}: {error.message}" if error.status else error.message)
        else:
            self._breaker.answered()
        return _Try(failure=error.failure, again=error.retry, pause_s=pause_s, usage=error.usage, billed=error.billed)

    def _close(self, reservation: Reservation | None, usage: Usage | None, billed: str) -> None:
        if reservation is None or self._meter is None:
            return
        if usage is not None:
            self._meter.settle(reservation, usage)
        elif billed == "no":
            self._meter.give_back(reservation)
        else:
            self._meter.forfeit(reservation)

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
