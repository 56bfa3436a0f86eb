"""OpenAIClient: any server with an OpenAI-compatible chat completions API."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hf_synthlabels.clients.base import Completion, Persist, Request
from hf_synthlabels.clients.openai.circuit_breaker import CircuitBreaker
from hf_synthlabels.clients.openai.fatal_errors import RejectionCounter
from hf_synthlabels.clients.openai.rate_limits import Limiter
from hf_synthlabels.clients.openai.thread_queue import ThreadQueue
from hf_synthlabels.clients.openai.transport import HttpTransport
from hf_synthlabels.clients.openai.worker_loop import MAX_WAIT_S, StopSignal, WorkerLoop
from hf_synthlabels.clients.protocol.chat import Sampling, chat_body, chat_identity
from hf_synthlabels.clients.protocol.endpoint import NO_HEADERS, Endpoint, RequestHeaders
from hf_synthlabels.clients.store.budget import BudgetTracker

DEFAULT_BASE_URL = "https://api.openai.com/v1"

DEFAULT_SAMPLING = Sampling()

QUEUED_ROUNDS = 4
"""Answers that may wait for the reader, as a multiple of the maximum number of requests in flight."""


COLLECTED_OBJECTS = 20_000
"""New objects after which garbage is collected during a run."""


class OpenAIClient:
    """Sends chat completions over HTTP, many at once, and yields the answers as they arrive.

    An event loop in its own thread runs `max_in_flight` workers, which pull from the requests. One limiter keeps the
    configured limits and adapts the concurrency to the server. Statuses 408, 409, 425 and 5xx, timeouts, broken
    connections and incomplete bodies are retried with exponential backoff and jitter. A 429 waits as long as the server
    says. Any other rejection is a failure of that request alone.

    The run ends with an error if the server is down or asks to wait for too long, if the account is exhausted, or if
    the server only rejects the key, the account or the model.

    When the caller stops reading early, requests in flight are still awaited and stored, because they will be billed.

    Args:
        model: name of the model on the server.
        base_url: up to and including `/v1`.
        api_key_env: environment variable with the API key, which is read when it is sent and is in no attribute, repr
            or error; None for a server without keys.
        sampling: parameters that can change an answer.
        max_in_flight: maximum concurrent requests.
        max_retries: attempts after the first.
        timeout_s: timeout of one attempt.
        requests_per_minute: maximum requests per minute of this client; None disables the limit.
        tokens_per_minute: maximum tokens per minute of this client; None disables the limit.
        outage_timeout_s: how long a server may be down before the run ends.
        max_wait_s: longest wait that a server may ask for, e.g. with `Retry-After`; a longer one ends the run.
        drain_s: how long to wait for requests in flight when the caller stops reading early.
        budget: reserves the cost of each request and records its usage; None keeps no account.
        headers: sent with each request; secret values are treated like the key.

    Raises:
        MissingKeyError: the environment variable is not set or is empty.
        ConfigError: a limit is not positive, or `base_url` is not an HTTP address.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str = DEFAULT_BASE_URL,
        api_key_env: str | None = "OPENAI_API_KEY",
        sampling: Sampling = DEFAULT_SAMPLING,
        max_in_flight: int = 64,
        max_retries: int = 5,
        timeout_s: float = 120.0,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        outage_timeout_s: float = 120.0,
        max_wait_s: float = MAX_WAIT_S,
        drain_s: float = 30.0,
        budget: BudgetTracker | None = None,
        headers: RequestHeaders = NO_HEADERS,
    ) -> None:
        self.model = model
        self._endpoint = Endpoint(base_url, api_key_env, headers)
        self._endpoint.check()
        self.base_url = self._endpoint.base_url
        self.sampling = sampling
        self.budget = budget
        self._limiter = Limiter(
            max_in_flight, requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute
        )
        self._breaker = CircuitBreaker(outage_timeout_s)
        self._rejections = RejectionCounter()
        self._max_in_flight = max_in_flight
        self._max_retries = max_retries
        self._timeout_s = timeout_s
        self._drain_s = drain_s
        self._max_wait_s = max_wait_s
        self._loop: WorkerLoop | None = None

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, endpoint and sampling."""
        return chat_identity(self.model, self.base_url, self.sampling)

    @property
    def waiting(self) -> str | None:
        """Why no request is in flight, e.g. a wait that the server asked for; None while one is."""
        return None if self._loop is None else self._loop.waiting

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion per request, in the order in which they finish."""
        return self.complete_with_persist(requests, lambda _: None)

    def complete_with_persist(self, requests: Iterable[Request], persist: Persist) -> Iterator[Completion]:
        """As `complete`; a worker sends its next request only when its last answer is on disk.

        Raises:
            AllFailedError: the server is down or asks to wait for too long, or rejects the key or the account.
            StoreError: an answer cannot be stored.
        """
        # Bounded, so that a slow reader slows the sending down.
        queue = ThreadQueue(QUEUED_ROUNDS * self._max_in_flight)
        stop = StopSignal()
        thread = threading.Thread(
            target=self._serve, args=(iter(requests), persist, queue, stop), name="openai-client", daemon=True
        )
        thread.start()
        try:
            yield from queue
        finally:
            stop.requested = True
            queue.abandon()
            try:
                thread.join()
            except KeyboardInterrupt:
                # Interrupted twice: give up the requests in flight.
                stop.immediate = True
                thread.join()
                raise

    def _serve(self, requests: Iterator[Request], persist: Persist, queue: ThreadQueue, stop: StopSignal) -> None:
        try:
            with _frozen_objects(), asyncio.Runner(loop_factory=_fast_loop()) as runner:
                runner.run(self._run(requests, persist, queue, stop))
        except BaseException as error:
            queue.end(error)
        else:
            queue.end()

    async def _run(self, requests: Iterator[Request], persist: Persist, queue: ThreadQueue, stop: StopSignal) -> None:
        for part in (self._limiter, self._breaker, self.budget):
            if part is not None:
                part.attach()
        async with HttpTransport(
            self._endpoint, connections=self._max_in_flight, timeout_s=self._timeout_s
        ) as transport:
            self._loop = WorkerLoop(
                transport=transport,
                body=lambda request: chat_body(self.model, self.base_url, self.sampling, request),
                requests=requests,
                persist=persist,
                queue=queue,
                limiter=self._limiter,
                breaker=self._breaker,
                rejections=self._rejections,
                budget=self.budget,
                max_retries=self._max_retries,
                max_wait_s=self._max_wait_s,
            )
            await self._loop.run(self._max_in_flight, stop, drain_s=self._drain_s)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Factory of an event loop that takes a third less CPU time; None where uvloop is unavailable, e.g. on Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextmanager
def _frozen_objects() -> Iterator[None]:
    """Exclude existing objects from garbage collection during a run, and collect less often.

    A process that has loaded a few libraries holds 150,000 objects that are never garbage. A full collection scans
    them for 0.1 s, in which no answer is read: a quarter of the time of a fast run. Does nothing if objects are frozen.
    Rows in flight are thousands of objects that are no garbage either, and are scanned by each collection.
    """
    if gc.get_freeze_count():
        yield
        return
    thresholds = gc.get_threshold()
    gc.freeze()
    if thresholds[0]:
        gc.set_threshold(max(thresholds[0], COLLECTED_OBJECTS), *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
