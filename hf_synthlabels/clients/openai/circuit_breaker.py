"""Circuit breaker: while a server is down, one request at a time checks whether it is back."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from hf_synthlabels.errors import AllFailedError

WINDOW_TRIES = 40
MIN_TRIES = 20
OPEN_SHARE = 0.9
INITIAL_BACKOFF_S = 0.25
MAX_BACKOFF_S = 15.0

CLOSED: AbstractContextManager[None] = nullcontext()


class CircuitBreaker:
    """Watches the share of requests that fail because of the server: 5xx, timeouts, broken connections.

    It opens when nine out of ten of the last requests failed. Then all requests wait, and one at a time is sent as a
    probe, after growing pauses. No row is given up meanwhile. An answer closes it. If none comes in time, the run ends
    with the cause. One row that always fails does not open it, nor does a server that fails half the time.

    Args:
        outage_timeout_s: how long a server that has answered before may be down; a server that never answered gets a
            quarter of it.
        clock: monotonic seconds.
        sleep: waits for so many seconds of that clock.
    """

    def __init__(
        self,
        outage_timeout_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._patience_s = outage_timeout_s
        self._clock = clock
        self._sleep = sleep
        self._outcomes: deque[bool] = deque(maxlen=WINDOW_TRIES)
        self._open_since: float | None = None
        self._pause_s = INITIAL_BACKOFF_S
        self._answered = False
        self.cause = ""
        """The last failure."""
        self.attach()

    def attach(self) -> None:
        """Serve the event loop that runs next; what is known of the server stays."""
        self._probing = False
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether requests wait."""
        return self._open_since is not None

    async def permit(self) -> AbstractContextManager[None]:
        """Wait until a request may be sent, and hold the permit while it is on the way.

        While the breaker is open there is one permit. Leaving the context gives it back, however the request ended:
        the next in line then sends a probe, or all go on.
        """
        while self._open_since is not None:
            if not self._probing:
                return await self._probe()
            self._changed.clear()
            await self._changed.wait()
        return CLOSED

    def answered(self) -> None:
        """The server answered, if only to refuse: it is up."""
        self._answered = True
        self._outcomes.append(True)
        if self._open_since is not None:
            self._open_since, self._pause_s = None, INITIAL_BACKOFF_S
            self._outcomes.clear()
            self._changed.set()

    def failed(self, cause: str) -> None:
        """A request failed because of the server.

        Raises:
            AllFailedError: the server has been down for too long.
        """
        self._outcomes.append(False)
        self.cause = cause
        now = self._clock()
        if self._open_since is None:
            failures = self._outcomes.count(False)
            if len(self._outcomes) >= MIN_TRIES and failures >= OPEN_SHARE * len(self._outcomes):
                self._open_since = now
            return
        outage_timeout_s = self._patience_s if self._answered else self._patience_s / 4
        if now - self._open_since >= outage_timeout_s:
            raise AllFailedError(
                f"The server has answered nothing for {now - self._open_since:.0f} s; the last error: "
                f"{cause.rstrip('.')}. All answers so far are stored: check the server and run the same command again."
            )

    async def _probe(self) -> AbstractContextManager[None]:
        self._probing = True
        self._pause_s = min(MAX_BACKOFF_S, self._pause_s * 2)
        try:
            await self._sleep(self._pause_s)
        except BaseException:
            self._end_probe()
            raise
        return self._probe_permit()

    @contextmanager
    def _probe_permit(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._end_probe()

    def _end_probe(self) -> None:
        self._probing = False
        self._changed.set()
