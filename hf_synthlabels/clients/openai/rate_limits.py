"""Limiter: how fast and how many at once a server is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hf_synthlabels.errors import ConfigError

FIRST_IN_FLIGHT = 16
"""Requests that are sent at once before anything is known of the server."""

USED_SHARE = 0.8
"""The limit is raised only when so much of it was in use: otherwise nothing shows that more would be borne."""

GROWTH = 1.05
CUT = 0.8
EPISODE_S = 5.0
"""Refusals within so long of a cut belong to the same episode: they were sent before the cut could show."""


@dataclass(slots=True)
class _Bucket:
    """Allows `per_minute` units in a minute, spread evenly, with a second's worth in advance.

    What is taken may exceed what is there; the debt is then waited off by whoever comes next.
    """

    per_minute: float
    level: float
    filled_at: float

    def wait_s(self, now: float) -> float:
        """How long until something may be taken."""
        rate = self.per_minute / 60
        self.level = min(max(1.0, rate), self.level + (now - self.filled_at) * rate)
        self.filled_at = now
        return 0.0 if self.level > 0 else (1e-9 - self.level) / rate


class Limiter:
    """One limiter for requests per minute, tokens per minute, and the number of requests at once.

    The first two are limits that the user knows, and are kept exactly. The third is found out: it begins low,
    doubles with every round of answers until the server first refuses, is then cut once for each episode of
    refusals and grows by a twentieth for each clean round in which it was used. `Retry-After` stops all sending.

    Args:
        max_in_flight: most requests at once.
        requests_per_minute: None for no limit.
        tokens_per_minute: of prompt and answer together; None for no limit.
        clock: monotonic seconds.
        sleep: waits for so many seconds of that clock.

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
                raise ConfigError(f"`annotator.{name}` is {value!r}. Give a positive number.")
        self._clock = clock
        self._sleep = sleep
        self._most = max_in_flight
        self._limit = float(min(max_in_flight, FIRST_IN_FLIGHT))
        self._slow_start = True
        self._peak = 0
        self._clean = 0
        self._episode_until = self._paused_until = float("-inf")
        self._requests = _bucket(requests_per_minute, clock())
        self._tokens = _bucket(tokens_per_minute, clock())
        self.throttled = 0
        """Times that the server refused for too many requests."""
        self.attach()

    def attach(self) -> None:
        """Serve the event loop that runs next; what was learnt of the server stays."""
        self._active = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def limit(self) -> int:
        """Requests that may be on the way at once, as far as is known now."""
        return int(self._limit)

    @property
    def paused_s(self) -> float:
        """How long nothing will be sent because the server said so."""
        return max(0.0, self._paused_until - self._clock())

    async def acquire(self, tokens: int) -> None:
        """Wait for a turn, in the order of asking, and reserve the tokens that a request may use."""
        if not self._turn.locked() and self._taken(tokens):
            return
        async with self._turn:
            while not self._taken(tokens):
                await self._wait()

    def release(self) -> None:
        """A request is no longer on the way."""
        self._active -= 1
        self._freed.set()

    def refund(self, tokens: int) -> None:
        """Give back tokens that were reserved and not used; a negative number takes more."""
        if self._tokens is not None:
            self._tokens.level += tokens

    def answered(self, *, first_try: bool) -> None:
        """The server answered; an answer to a repeated request says nothing of the room that is left."""
        if not first_try or self._limit >= self._most:
            return
        self._clean += 1
        if self._clean >= int(self._limit):
            if self._peak >= USED_SHARE * int(self._limit):
                grown = self._limit * 2 if self._slow_start else max(self._limit * GROWTH, self._limit + 1)
                self._limit = min(float(self._most), grown)
                self._freed.set()
            self._clean, self._peak = 0, self._active

    def refused(self, retry_after_s: float | None) -> None:
        """The server refused for too many requests: wait as long as it says, and send fewer at once."""
        now = self._clock()
        self.throttled += 1
        if retry_after_s is not None:
            self.pause(retry_after_s)
        if now >= self._episode_until:
            # What was on the way when it refused is what it could not bear, whatever had been allowed.
            self._limit = max(1.0, min(self._limit, max(self._active, 1)) * (0.5 if self._slow_start else CUT))
            self._slow_start = False
            self._episode_until = now + max(EPISODE_S, retry_after_s or 0.0)
        self._clean, self._peak = 0, 0

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _taken(self, tokens: int) -> bool:
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
        """Until a request comes back, or a pause or a shortage is over."""
        wait_s = self._wait_s()
        if self._active < int(self._limit) and wait_s > 0:
            await self._sleep(wait_s)
            return
        self._freed.clear()
        if self._active >= int(self._limit):
            await self._freed.wait()


def _bucket(per_minute: float | None, now: float) -> _Bucket | None:
    return None if per_minute is None else _Bucket(per_minute, max(1.0, per_minute / 60), now)
