"""Limiter: requests per minute, tokens per minute, and an adaptive number of concurrent requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hf_synthlabels.errors import ConfigError

INITIAL_CONCURRENCY = 16

USED_SHARE = 0.8
"""The limit grows only when this share of it was in use; otherwise nothing shows that the server can handle more."""

GROWTH = 1.05
CUT = 0.8
EPISODE_S = 5.0
"""Refusals this soon after a cut belong to the same episode: those requests were sent before the cut took effect."""


@dataclass(slots=True)
class _Bucket:
    """Token bucket: `per_minute` units a minute, spread evenly, with bursts of one second.

    A request may take more than the bucket holds; the next ones then wait until the debt is paid.
    """

    per_minute: float
    level: float
    filled_at: float

    def wait_s(self, now: float) -> float:
        """Seconds until the bucket is above zero."""
        rate = self.per_minute / 60
        self.level = min(max(1.0, rate), self.level + (now - self.filled_at) * rate)
        self.filled_at = now
        return 0.0 if self.level > 0 else (1e-9 - self.level) / rate


class Limiter:
    """Limits requests per minute, tokens per minute, and concurrent requests.

    The first two are set by the user and kept exactly. The third adapts to the server: it starts low, doubles after
    each round of answers until the first refusal, is then cut once per episode of refusals, and grows by 5% after each
    clean round that used it. `Retry-After` stops all sending.

    Args:
        max_in_flight: maximum concurrent requests.
        requests_per_minute: None disables the limit.
        tokens_per_minute: prompt and answer together; None disables the limit.
        clock: monotonic seconds.
        sleep: waits for some seconds of that clock.

    Raises:
        ConfigError: a limit is not positive.
    """

    def __init__(
        self,
        max_in_flight: int,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        for name, value in (
            ("max_in_flight", max_in_flight),
            ("requests_per_minute", requests_per_minute),
            ("tokens_per_minute", tokens_per_minute),
        ):
            if value is not None and value <= 0:
                raise ConfigError(f"`{name}` is {value!r}. Give a positive number.")
        self._clock = clock
        self._sleep = sleep
        self._max_in_flight = max_in_flight
        self._limit = float(min(max_in_flight, INITIAL_CONCURRENCY))
        self._slow_start = True
        self._peak = 0
        self._clean = 0
        self._episode_until = self._paused_until = float("-inf")
        self._requests = _bucket(requests_per_minute, clock())
        self._tokens = _bucket(tokens_per_minute, clock())
        self.throttled = 0
        """How often the server refused because of too many requests."""
        self.attach()

    def attach(self) -> None:
        """Serve the event loop that runs next; what was learned about the server stays."""
        self._active = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def limit(self) -> int:
        """Current limit of concurrent requests."""
        return int(self._limit)

    @property
    def paused_s(self) -> float:
        """Seconds until sending resumes after a pause that the server requested."""
        return max(0.0, self._paused_until - self._clock())

    async def acquire(self, tokens: int) -> None:
        """Wait for a slot, first come first served, and reserve the tokens that a request may use."""
        if not self._turn.locked() and self._try_acquire(tokens):
            return
        async with self._turn:
            while not self._try_acquire(tokens):
                await self._wait()

    def release(self) -> None:
        """A request is no longer in flight."""
        self._active -= 1
        self._freed.set()

    def refund(self, tokens: int) -> None:
        """Return tokens that were reserved and not used; a negative number takes more."""
        if self._tokens is not None:
            self._tokens.level += tokens

    def record_success(self, *, first_try: bool) -> None:
        """The server answered; an answer to a retry does not show that there is room for more."""
        if not first_try or self._limit >= self._max_in_flight:
            return
        self._clean += 1
        if self._clean >= int(self._limit):
            if self._peak >= USED_SHARE * int(self._limit):
                grown = self._limit * 2 if self._slow_start else max(self._limit * GROWTH, self._limit + 1)
                self._limit = min(float(self._max_in_flight), grown)
                self._freed.set()
            self._clean, self._peak = 0, self._active

    def record_throttled(self, retry_after_s: float | None) -> None:
        """The server refused because of too many requests: wait as long as it says, and send fewer at once."""
        now = self._clock()
        self.throttled += 1
        if retry_after_s is not None:
            self.pause(retry_after_s)
        if now >= self._episode_until:
            # The requests in flight at the refusal are what the server could not handle, whatever the limit was.
            self._limit = max(1.0, min(self._limit, max(self._active, 1)) * (0.5 if self._slow_start else CUT))
            self._slow_start = False
            self._episode_until = now + max(EPISODE_S, retry_after_s or 0.0)
        self._clean, self._peak = 0, 0

    def pause(self, seconds: float) -> None:
        """Send nothing for some seconds."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _try_acquire(self, tokens: int) -> bool:
        if self._active >= int(self._limit):
            return False
        if self._wait_s() > 0:
            return False
        if self._requests is not None:
            self._requests.level -= 1
        if self._tokens is not None:
            self._tokens.level -= tokens
        self._active += 1
        self._peak = max(self._peak, self._active)
        return True

    def _wait_s(self) -> float:
        now = self._clock()
        wait_s = self._paused_until - now
        if self._requests is not None:
            wait_s = max(wait_s, self._requests.wait_s(now))
        if self._tokens is not None:
            wait_s = max(wait_s, self._tokens.wait_s(now))
        return wait_s

    async def _wait(self) -> None:
        """Wait until a request returns, or a pause or a shortage is over."""
        wait_s = self._wait_s()
        if self._active < int(self._limit) and wait_s > 0:
            await self._sleep(wait_s)
            return
        self._freed.clear()
        if self._active >= int(self._limit):
            await self._freed.wait()


def _bucket(per_minute: float | None, now: float) -> _Bucket | None:
    return None if per_minute is None else _Bucket(per_minute, max(1.0, per_minute / 60), now)
