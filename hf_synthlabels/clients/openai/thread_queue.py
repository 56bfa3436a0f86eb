"""Bounded queue of completions from an event loop to the reader's thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from hf_synthlabels.clients.base import Completion


class ThreadQueue:
    """A bounded queue whose reader, in another thread, takes all waiting items at once.

    Handing items over one by one would make two threads wait for each other at each item.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Completion] = deque()
        self._filled = threading.Event()
        self._room: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._ended = self._abandoned = False

    async def put(self, completion: Completion) -> None:
        """Add a completion; waits while the reader is too far behind."""
        while len(self._items) >= self._size and not self._abandoned:
            if self._room is None:
                self._loop, self._room = asyncio.get_running_loop(), asyncio.Event()
            self._room.clear()
            if len(self._items) < self._size:
                # The reader made room between the two checks and will not signal it again.
                break
            await self._room.wait()
        if not self._abandoned:
            self._items.append(completion)
            self._filled.set()

    def end(self, error: BaseException | None = None) -> None:
        """Mark the end; the reader gets the error after all items before it."""
        self._error = error
        self._ended = True
        self._filled.set()

    def abandon(self) -> None:
        """Stop reading: later items are dropped."""
        self._abandoned = True
        self._items.clear()
        self._make_room()

    def __iter__(self) -> Iterator[Completion]:
        while True:
            self._filled.wait()
            self._filled.clear()
            while self._items:
                yield self._items.popleft()
                if len(self._items) <= self._size // 2 and self._room is not None and not self._room.is_set():
                    self._make_room()
            if self._ended and not self._items:
                if self._error is not None:
                    raise self._error
                return

    def _make_room(self) -> None:
        if self._loop is not None and self._room is not None:
            # The loop is closed when the run is over, and then no worker waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._room.set)
