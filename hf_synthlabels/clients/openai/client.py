"""OpenAIClient: any server that speaks the OpenAI chat completions protocol."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hf_synthlabels.clients.base import Commit, Completion, Keep, Request
from hf_synthlabels.clients.openai.circuit_breaker import CircuitBreaker
from hf_synthlabels.clients.openai.fatal_errors import Access
from hf_synthlabels.clients.openai.gc_freeze import gc_frozen
from hf_synthlabels.clients.openai.rate_limits import Limiter
from hf_synthlabels.clients.openai.thread_queue import ThreadQueue
from hf_synthlabels.clients.openai.transport import HttpTransport, SdkTransport, Transport, read_api_key
from hf_synthlabels.clients.openai.worker_loop import MAX_WAIT_S, Engine, Stop
from hf_synthlabels.clients.protocol.base_url import check_base_url, endpoint_url
from hf_synthlabels.clients.protocol.chat import Sampling, chat_body, chat_identity
from hf_synthlabels.clients.protocol.request_headers import NO_HEADERS, RequestHeaders
from hf_synthlabels.clients.store.budget import BudgetTracker

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DEFAULT_BASE_URL = "https://api.openai.com/v1"

DEFAULT_SAMPLING = Sampling()

OUTBOX_ROUNDS = 4
"""Answers that may wait for the reader, as a multiple of the requests that may be on the way."""


class OpenAIClient:
    """Sends chat completions over HTTP, many at once, and yields the answers as they come.

    An event loop in a thread of its own serves `max_in_flight` workers, which pull from the requests. One limiter
    keeps the given limits and adapts the number of concurrent requests to the server. Replies with status 408, 409,
    425 or 5xx, timeouts, broken connections and torn bodies are retried with growing, jittered pauses. A 429 waits as
    long as the server says. Any other rejection is a failure of that request alone.

    The run ends with an error if the server is down or asks to wait for too long, if the account has no money left, and
    if only rejections of the key, the account or the model come back.

    When the reader stops early, requests on the way are still awaited and their answers kept: they will be billed.

    Args:
        model: the name that the server knows.
        base_url: up to and including `/v1`.
        api_key_env: the environment variable that holds the key. The key itself is read at the time of sending and
            stands in no attribute, repr or error. None for a server without one.
        sampling: what can change the answer.
        max_in_flight: requests on the way at once.
        max_retries: further tries after the first.
        timeout_s: of one try.
        requests_per_minute: maximum requests per minute of this client; None disables the limit.
        tokens_per_minute: maximum tokens per minute of this client; None disables the limit.
        outage_timeout_s: how long a server may be down before the run ends.
        max_wait_s: the longest wait that a server may ask for, such as with `Retry-After`; a longer one ends the run.
        drain_s: how long answers on the way are waited for when the reader stops early.
        budget: reserves and settles what each request costs; None for no account.
        headers: sent with each request; a secret one is read and hidden like the key.
        sdk: a configured `openai.AsyncOpenAI` to send through, for Azure, Bedrock or a proxy; slower.
            Its redirects are not followed: a key in a header would go to the other host.

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
        sdk: AsyncOpenAI | None = None,
    ) -> None:
        self.model = model
        self.base_url = check_base_url(base_url) if sdk is None else str(sdk.base_url).rstrip("/")
        self.sampling = sampling
        self.budget = budget
        self._limiter = Limiter(
            max_in_flight, requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute
        )
        self._breaker = CircuitBreaker(outage_timeout_s)
        self._access = Access()
        self._api_key_env = api_key_env if sdk is None else None
        self._headers = headers
        self._max_in_flight = max_in_flight
        self._max_retries = max_retries
        self._timeout_s = timeout_s
        self._drain_s = drain_s
        self._max_wait_s = max_wait_s
        self._engine: Engine | None = None
        self._sdk = sdk
        read_api_key(self._api_key_env)
        headers.read()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Model, endpoint and sampling."""
        return chat_identity(self.model, self.base_url, self.sampling)

    @property
    def waiting(self) -> str | None:
        """Why no request is on the way, such as a wait that the server asked for; None while one is."""
        engine = self._engine
        return None if engine is None else engine.waiting

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, in the order in which they finish."""
        return self.complete_with_persist(requests, _nothing)

    def complete_with_persist(self, requests: Iterable[Request], keep: Keep) -> Iterator[Completion]:
        """As `complete`; a worker sends its next request only when its last answer is kept.

        Raises:
            AllFailedError: the server is down or asks to wait for too long, or rejects the key or the account.
            StoreError: an answer can not be kept.
        """
        # The outbox is bounded, so that a slow reader slows the sending down.
        outbox = ThreadQueue(OUTBOX_ROUNDS * self._max_in_flight)
        stop = Stop()
        thread = threading.Thread(
            target=self._serve, args=(iter(requests), keep, outbox, stop), name="openai-client", daemon=True
        )
        thread.start()
        try:
            yield from outbox.take()
        finally:
            stop.asked = True
            outbox.abandon()
            try:
                thread.join()
            except KeyboardInterrupt:
                # Asked twice: what is on the way is given up.
                stop.now = True
                thread.join()
                raise

    def _serve(self, requests: Iterator[Request], keep: Keep, outbox: ThreadQueue, stop: Stop) -> None:
        try:
            with gc_frozen(), asyncio.Runner(loop_factory=_fast_loop()) as runner:
                runner.run(self._run(requests, keep, outbox, stop))
        except BaseException as error:
            outbox.end(error)
        else:
            outbox.end()

    async def _run(self, requests: Iterator[Request], keep: Keep, outbox: ThreadQueue, stop: Stop) -> None:
        for part in (self._limiter, self._breaker, self.budget):
            if part is not None:
                part.attach()
        async with self._transport() as transport:
            engine = Engine(
                transport=transport,
                body=lambda request: chat_body(self.model, self.base_url, self.sampling, request),
                requests=requests,
                keep=keep,
                outbox=outbox,
                limiter=self._limiter,
                breaker=self._breaker,
                access=self._access,
                budget=self.budget,
                hide=self._without_key,
                max_retries=self._max_retries,
                timeout_s=self._timeout_s,
                max_wait_s=self._max_wait_s,
            )
            self._engine = engine
            await engine.run(self._max_in_flight, stop, drain_s=self._drain_s)

    def _transport(self) -> Transport:
        if self._sdk is not None:
            return SdkTransport(self._sdk, timeout_s=self._timeout_s, headers=self._headers)
        return HttpTransport(
            endpoint_url(self.base_url),
            api_key_env=self._api_key_env,
            connections=self._max_in_flight,
            timeout_s=self._timeout_s,
            headers=self._headers,
        )

    def _without_key(self, text: str) -> str:
        key = os.environ.get(self._api_key_env, "").strip() if self._api_key_env else ""
        return self._headers.hide(text.replace(key, "***") if key else text)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes an event loop at a third less of processor time; None where it can not be had, as on Windows."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _nothing(completion: Completion) -> Commit | None:  # noqa: ARG001  nothing is kept of it
    """Keeps nothing."""
    return None
