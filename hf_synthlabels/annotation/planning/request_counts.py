"""RequestCounter: how many requests a source makes, how many are answered already, how long they are."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from hf_synthlabels.clients import Request, ResponseStore
from hf_synthlabels.clients.store.budget import max_prompt_tokens
from hf_synthlabels.clients.token_estimates import TokenRatio, estimate_message_tokens, estimate_tokens

LOOKUP_ROWS = 500


class SupportsDryRun(Protocol):
    """Whoever knows what would be asked for some rows."""

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Request, str]]:
        """The requests, with the keys of their answers in the response store."""


@dataclass(slots=True)
class RequestCounter:
    """Counts the requests of some rows; the lengths are those of a sample of them.

    Args:
        store: where answers may be.
        sample: how many requests are looked at closely, of those with an answer and of those without.
        generator: draws them.
        sends_schema: whether the schema of the answer goes along, which servers count as part of the prompt.
    """

    store: ResponseStore
    sample: int
    generator: random.Random
    sends_schema: bool = False
    rows: int = 0
    stored: int = 0
    """Different requests that have an answer."""
    _keys: set[bytes] = field(default_factory=set)
    _open: list[tuple[float, int, Request]] = field(default_factory=list)
    _answered: list[tuple[float, int, tuple[Request, dict[str, Any]]]] = field(default_factory=list)
    _drawn: int = 0

    @property
    def requests(self) -> int:
        """Different requests; equal ones are sent once."""
        return len(self._keys)

    def add(self, rehearsal: SupportsDryRun, rows: Any) -> None:
        """Count the requests of some rows."""
        self.rows += len(rows)
        pending = self._new(rehearsal, rows)
        while batch := list(islice(pending, LOOKUP_ROWS)):
            known = self.store.get(key for _, key in batch)
            self.stored += len(known)
            for request, key in batch:
                if key in known:
                    self._draw(self._answered, (request, known[key]))
                else:
                    self._draw(self._open, request)

    def ratio(self) -> TokenRatio:
        """What the server counted for the recipe's own requests, set against the estimate."""
        ratio = TokenRatio()
        for _, _, (request, answer) in self._answered:
            ratio.add(self._estimated(request), int(answer["usage"]["prompt_tokens"]))
        return ratio

    def answer_tokens(self) -> float | None:
        """The mean length of the recipe's own stored answers, as the server counted them; None without any."""
        lengths = [int(answer["usage"]["completion_tokens"]) for _, _, (_, answer) in self._answered]
        return sum(lengths) / len(lengths) if any(lengths) else None

    def prompt_tokens(self) -> float:
        """The mean estimated length of a request that has no answer yet."""
        lengths = [self._estimated(request) for _, _, request in self._open]
        return sum(lengths) / len(lengths) if lengths else 0.0

    def max_prompt_tokens(self) -> int:
        """The most tokens that any request of the sample can have, as a budget reserves them."""
        return max(
            (
                max_prompt_tokens(request, len(str(request.response_schema or "").encode()))
                for _, _, request in self._open
            ),
            default=0,
        )

    def _new(self, rehearsal: SupportsDryRun, rows: Any) -> Iterator[tuple[Request, str]]:
        """The requests that were not made before."""
        for request, key in rehearsal.requests(rows):
            digest = bytes.fromhex(key)
            if digest not in self._keys:
                self._keys.add(digest)
                yield request, key

    def _draw(self, heap: list[Any], item: Any) -> None:
        """Let an item take part in the draw: those with the highest lots stay, so that the order does not matter."""
        self._drawn += 1
        entry = (self.generator.random(), self._drawn, item)
        if len(heap) < self.sample:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)

    def _estimated(self, request: Request) -> int:
        """About how many tokens a request is."""
        schema = request.response_schema if self.sends_schema else None
        return estimate_message_tokens(request.messages) + (0 if schema is None else estimate_tokens(str(schema)))
