"""Request sample: counts distinct requests, and keeps a sample of them to estimate lengths."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hf_synthlabels.annotation.planning.dry_run import LOOKUP_ROWS, DryRun
from hf_synthlabels.clients import Request, ResponseStore
from hf_synthlabels.clients.store.budget import max_prompt_tokens
from hf_synthlabels.clients.token_estimates import TokenRatio, estimate_message_tokens, estimate_tokens

Sampled = tuple[float, int, Request, Mapping[str, int]]
"""A random number, a number that is unique, a request, and the usage of its stored answer; empty without one."""


@dataclass(slots=True)
class RequestSample:
    """Counts distinct requests, and samples those with a stored answer and those without.

    Args:
        store: the response store.
        size: size of each sample.
        generator: draws the samples.
        sends_schema: whether the JSON schema of the answer is sent, which servers count as part of the prompt.
    """

    store: ResponseStore
    size: int
    generator: random.Random
    sends_schema: bool = False
    rows: int = 0
    stored: int = 0
    """Distinct requests with a stored answer."""
    _keys: set[bytes] = field(default_factory=set)
    _open: list[Sampled] = field(default_factory=list)
    _answered: list[Sampled] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Distinct requests; equal ones are sent once."""
        return len(self._keys)

    def add(self, run: DryRun, rows: Any) -> None:
        """Count the requests of some rows."""
        self.rows += len(rows)
        pending = run.requests(rows)
        while batch := list(islice(pending, LOOKUP_ROWS)):
            stored = self.store.get(key for _, key in batch)
            for request, key in batch:
                if (digest := bytes.fromhex(key)) not in self._keys:
                    self._keys.add(digest)
                    self.stored += key in stored
                    self._keep(request, stored[key]["usage"] if key in stored else {})

    def prompt_ratio(self) -> TokenRatio:
        """Prompt tokens that the server counted, relative to the estimate."""
        ratio = TokenRatio()
        for _, _, request, usage in self._answered:
            ratio.add(self._estimated(request), int(usage["prompt_tokens"]))
        return ratio

    def answer_tokens(self) -> float | None:
        """Mean length of the stored answers, as the server counted it; None without any."""
        lengths = [int(usage["completion_tokens"]) for *_, usage in self._answered]
        return sum(lengths) / len(lengths) if any(lengths) else None

    def prompt_tokens(self) -> float:
        """Mean estimated length of a request without an answer."""
        lengths = [self._estimated(request) for _, _, request, _ in self._open]
        return sum(lengths) / len(lengths) if lengths else 0.0

    def max_prompt_tokens(self) -> int:
        """Maximum tokens of a sampled request, as a budget reserves them."""
        lengths = [
            max_prompt_tokens(request, len(str(request.response_schema or "").encode()))
            for _, _, request, _ in self._open
        ]
        return max(lengths, default=0)

    def _keep(self, request: Request, usage: Mapping[str, int]) -> None:
        """Reservoir sampling: the requests with the highest random numbers stay, whatever the order."""
        heap = self._answered if usage else self._open
        entry = (self.generator.random(), len(self._keys), request, usage)
        if len(heap) < self.size:
            heapq.heappush(heap, entry)
        elif entry[:2] > heap[0][:2]:
            heapq.heapreplace(heap, entry)

    def _estimated(self, request: Request) -> int:
        schema = request.response_schema if self.sends_schema else None
        return estimate_message_tokens(request.messages) + (0 if schema is None else estimate_tokens(str(schema)))
