"""Breaker: a server that answers nobody is asked by one, not by all."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from hf_synthlabels.errors import AllFailedError

__all__ = ["Breaker"]

WINDOW_TRIES = 40
LEAST_TRIES = 20
OPEN_SHARE = 0.9
LONGEST_PAUSE_S = 15.0


class Breaker:
    """Watches the share of tries that fail for the server's sake: 5xx, time-outs, broken connections.

    When nine of ten of the last tries failed it opens: all wait, and one asks from time to time whether the server
    is back. No row is given up meanwhile. When it does not come back in time, the run ends with the cause; one row
    that always fails, or a server that fails half the time, never gets it that far.

    Args:
        patience_s: how long a server that has answered before may be away; one that has never answered is given a
            quarter of it.
        clock: seconds that never run backwards.
    """

    def __init__(self, patience_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._outcomes: deque[bool] = deque(maxlen=WINDOW_TRIES)
        self._open_since: float | None = None
        self._pause_s = 0.25
        self._answered = False
        self.attach()

    def attach(self) -> None:
        """Serve the event loop that runs next; what was learnt of the server stays."""
        self._probing = False
        self._closed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether all but one wait."""
        return self._open_since is not None

    async def passed(self) -> None:
        """Wait until the server may be asked; while the breaker is open, by one at a time."""
        while self._open_since is not None:
            if not self._probing:
                self._probing = True
                self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)
                try:
                    await asyncio.sleep(self._pause_s)
                except asyncio.CancelledError:
                    self._probing = False
                    raise
                return
            self._closed.clear()
            await self._closed.wait()

    def answered(self) -> None:
        """The server answered, if only to refuse: it is there."""
        self._answered = True
        self._outcomes.append(True)
        if self._open_since is not None:
            self._open_since, self._probing, self._pause_s = None, False, 0.25
            self._outcomes.clear()
            self._closed.set()

    def failed(self, cause: str) -> None:
        """A try failed for the server's sake.

        Raises:
            AllFailedError: the server has been away for longer than patience lasts.
        """
        self._outcomes.append(False)
        now = self._clock()
        if self._open_since is None:
            failures = self._outcomes.count(False)
            if len(self._outcomes) >= LEAST_TRIES and failures >= OPEN_SHARE * len(self._outcomes):
                self._open_since = now
            return
        if self._probing:
            # Tries that were on the way when it opened come in late; only now may the next one ask.
            self._probing = False
            self._closed.set()
        patience_s = self._patience_s if self._answered else self._patience_s / 4
        if now - self._open_since >= patience_s:
            raise AllFailedError(
                f"The server has answered nothing for {now - self._open_since:.0f} s; the last try: "
                f"{cause.rstrip('.')}. Every answer so far is kept: see to the server and run the same again."
            )
