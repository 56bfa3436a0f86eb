"""ThreadQueue: how completions come from the event loop's thread to the reader's, many at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from hf_synthlabels.clients.base import Completion


class ThreadQueue:
    """A bounded queue from an event loop to another thread that takes all there is at once.

    Handing over one by one would make two threads wait for each other at each item.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Completion] = deque()
        self._there = threading.Event()
        self._room: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._ended = self._abandoned = False

    async def put(self, completion: Completion) -> None:
        """Hand a completion over; waits while the reader is too far behind."""
        while len(self._items) >= self._size and not self._abandoned:
            if self._room is None:
                self._loop, self._room = asyncio.get_running_loop(), asyncio.Event()
            self._room.clear()
            if len(self._items) < self._size:
                # The reader made room between the two looks, and will not say so again.
                break
            await self._room.wait()
        if not self._abandoned:
            self._items.append(completion)
            self._there.set()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes; an error is raised by `take` after all that came before it."""
        self._error = error
        self._ended = True
        self._there.set()

    def abandon(self) -> None:
        """Nobody reads any more: what comes is dropped."""
        self._abandoned = True
        self._items.clear()
        self._make_room()

    def take(self) -> Iterator[Completion]:
        """All completions, as they come, until the end."""
        while True:
            self._there.wait()
            self._there.clear()
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
            # A run that is over has closed its loop, and nobody waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._room.set)
