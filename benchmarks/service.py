"""Settings, counters and rate limit of the benchmark server."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any
from zlib import crc32

from benchmarks.answers import Fault

__all__ = ["Counters", "Options", "Service"]


@dataclass(frozen=True, slots=True)
class Options:
    """How the server behaves."""

    latency_s: float = 0.05
    tail_share: float = 0.0
    tail_s: float = 2.0
    rate: float = 0.0
    """Requests per second that are let through; 0 for no limit."""
    burst: float = 1.0
    """Requests that are let through at once when there were none for long."""
    retry_after: bool = True
    """Whether a 429 says when to come back."""
    slow_s: float = 1.0
    """How long a slow body takes."""
    faults: tuple[Fault, ...] = ()

    def arguments(self) -> list[str]:
        """As they are given on the command line."""
        words = []
        for name, value in asdict(self).items():
            if name == "faults":
                words += [f"--fault={fault}" for fault in self.faults]
            elif name == "retry_after":
                words += [] if value else ["--no-retry-after"]
            else:
                words.append(f"--{name.replace('_', '-')}={value}")
        return words


@dataclass(slots=True)
class Counters:
    """What the server has seen."""

    requests: int = 0
    billed: int = 0
    """Answers that were made in full, whether or not the client was still there to read them."""
    in_flight: int = 0
    peak_in_flight: int = 0
    connections: int = 0
    abandoned: int = 0
    """Requests whose client went away before the answer."""
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    tries: Counter[bytes] = field(default_factory=Counter)
    paid: Counter[bytes] = field(default_factory=Counter)
    prompts: set[int] = field(default_factory=set)
    """Hashes of all bodies that came."""

    def shown(self) -> dict[str, Any]:
        """As JSON: rows are counted, not listed."""
        plain = {name: getattr(self, name) for name in ("requests", "billed", "in_flight", "peak_in_flight")}
        plain |= {"connections": self.connections, "abandoned": self.abandoned}
        plain |= {"statuses": dict(self.statuses), "faults": dict(self.faults)}
        return plain | {"rows": len(self.tries), "billed_rows": len(self.paid), "prompts": len(self.prompts)}


class Service:
    """What all connections share."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.counters = Counters()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._level = options.burst
        self._filled_at = time.monotonic()

    def admitted(self) -> tuple[bool, dict[str, str]]:
        """Whether the token bucket lets a request through, and the headers that say how it stands."""
        rate, burst = self.options.rate, self.options.burst
        if not rate:
            return True, {}
        now = time.monotonic()
        self._level = min(burst, self._level + (now - self._filled_at) * rate)
        self._filled_at = now
        passes = self._level >= 1
        self._level -= passes
        wait_s = max(0.0, 1 - self._level) / rate
        headers = {
            "x-ratelimit-limit-requests": f"{rate * 60:.0f}",
            "x-ratelimit-remaining-requests": f"{max(0.0, self._level):.0f}",
            "x-ratelimit-reset-requests": f"{wait_s * 1000:.0f}ms",
        }
        if not self.options.retry_after:
            return passes, {}
        return passes, headers if passes else headers | {"Retry-After": f"{math.ceil(wait_s)}"}

    def delay_s(self, item: bytes, attempt: int) -> float:
        """How long the answer to a try takes."""
        if self.options.tail_share and crc32(b"tail/%s/%d" % (item, attempt)) / 2**32 < self.options.tail_share:
            return self.options.tail_s
        return self.options.latency_s

    def bill(self, item: bytes) -> None:
        """An answer was made in full."""
        self.counters.billed += 1
        self.counters.paid[item] += 1
        if self._waiting:
            ready = [future for count, future in self._waiting if count <= self.counters.billed]
            self._waiting = [(count, future) for count, future in self._waiting if count > self.counters.billed]
            for future in ready:
                future.set_result(None)

    async def billed(self, count: int) -> None:
        """Wait until so many answers have been billed."""
        if self.counters.billed < count:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((count, future))
            await future
