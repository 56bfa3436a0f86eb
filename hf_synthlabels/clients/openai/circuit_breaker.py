"""Circuit breaker: while the server is down, one request at a time probes whether it is back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from hf_synthlabels.errors import AllFailedError

WINDOW_ATTEMPTS = 40
MIN_ATTEMPTS = 20
OPEN_SHARE = 0.9
INITIAL_BACKOFF_S = 0.25
MAX_BACKOFF_S = 15.0

CLOSED: AbstractContextManager[None] = nullcontext()


class CircuitBreaker:
    """Watches the share of requests that fail because of the server: 5xx, timeouts, broken connections.

    It opens when nine of ten recent requests failed. Then all requests wait, and one at a time is sent as a probe,
    after growing pauses; no row is given up meanwhile. An answer closes it. Without one in time, the run ends with the
    cause. One row that always fails does not open it, and neither does a server that fails half the time.

    Args:
        outage_timeout_s: how long a server that has answered before may be down; a server that never answered gets a
            quarter of it.
        clock: monotonic seconds.
        sleep: waits for some seconds of that clock.
    """

    def __init__(
        self,
        outage_timeout_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outage_timeout_s = outage_timeout_s
        self._clock = clock
        self._sleep = sleep
        self._successes: deque[bool] = deque(maxlen=WINDOW_ATTEMPTS)
        self._open_since: float | None = None
        self._pause_s = INITIAL_BACKOFF_S
        self._has_answered = False
        self.cause = ""
        """The last failure."""
        self.attach()

    def attach(self) -> None:
        """Serve the event loop that runs next; what is known about the server stays."""
        self._probing = False
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether requests wait."""
        return self._open_since is not None

    async def before_call(self) -> AbstractContextManager[None]:
        """Wait until a request may be sent; the context is held while it is in flight.

        While the breaker is open there is one permit. Leaving the context returns it, however the request ended: the
        next request then becomes the probe, or all go on.
        """
        while self._open_since is not None:
            if not self._probing:
                return await self._probe()
            self._changed.clear()
            await self._changed.wait()
        return CLOSED

    def record_success(self) -> None:
        """The server answered, if only with a rejection."""
        self._has_answered = True
        self._successes.append(True)
        if self._open_since is not None:
            self._open_since, self._pause_s = None, INITIAL_BACKOFF_S
            self._successes.clear()
            self._changed.set()

    def record_failure(self, cause: str) -> None:
        """A request failed because of the server.

        Raises:
            AllFailedError: the server has been down for too long.
        """
        self._successes.append(False)
        self.cause = cause
        now = self._clock()
        if self._open_since is None:
            failures = self._successes.count(False)
            if len(self._successes) >= MIN_ATTEMPTS and failures >= OPEN_SHARE * len(self._successes):
                self._open_since = now
            return
        down_s = now - self._open_since
        if down_s >= (self._outage_timeout_s if self._has_answered else self._outage_timeout_s / 4):
            raise AllFailedError(
                f"The server has answered no request for {down_s:.0f} s; last error: {cause.rstrip('.')}. All answers "
                "so far are stored: check the server and run the same command again."
            )

    async def _probe(self) -> AbstractContextManager[None]:
        self._probing = True
        self._pause_s = min(MAX_BACKOFF_S, self._pause_s * 2)
        try:
            await self._sleep(self._pause_s)
        except BaseException:
            self._end_probe()
            raise
        return self._permit()

    @contextmanager
    def _permit(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._end_probe()

    def _end_probe(self) -> None:
        self._probing = False
        self._changed.set()
