"""Requests of a job without sending them: their cache keys, their stored answers and their lengths."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from hf_synthlabels.annotation.compiled import AnnotationJob
from hf_synthlabels.annotation.run.annotator import Annotator
from hf_synthlabels.clients import (
    ChatClient,
    Completion,
    Failure,
    Request,
    ResponseFormat,
    ResponseStore,
    ScriptedClient,
)
from hf_synthlabels.clients.factory import client_identity
from hf_synthlabels.clients.store.budget import max_prompt_tokens
from hf_synthlabels.clients.store.cached_client import RequestKeys
from hf_synthlabels.clients.store.payloads import stored_completion
from hf_synthlabels.clients.token_estimates import TokenRatio, estimate_message_tokens, estimate_tokens

LOOKUP_ROWS = 500


class SupportsDryRun(Protocol):
    """Builds the requests for rows without sending them."""

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Request, str]]:
        """The requests, with the cache keys of their answers."""


class RequestDryRun:
    """Builds the requests of a job without sending them.

    Args:
        job: its client is a server, or a local model.
        response_format: of the answers.
    """

    def __init__(self, job: AnnotationJob, response_format: ResponseFormat) -> None:
        self.prompt = job.prompt(as_json=response_format != "text")
        self.keys = RequestKeys(client_identity(job.client, job.client_use({}), response_format))
        self._job = job

    def annotator(self, client: ChatClient, *, num_samples: int | None = None) -> Annotator:
        """The job's annotator with another client."""
        return self._job.annotator(self.prompt, client, num_samples)

    def requests(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Request, str]]:
        """The requests for some rows, in order, with the cache keys of their answers.

        Requests for parts of a call, sent when an answer to several rows has the wrong length, are not included.
        """
        for request in self.annotator(ScriptedClient({})).requests(rows):
            yield request, self.keys.of(request)


class StoredAnswers:
    """A client that returns stored answers of one sample, and a failure for requests without one.

    Args:
        store: the response store.
        keys: the cache keys of requests.
        sample: the index of the sample to look up.
    """

    def __init__(self, store: ResponseStore, keys: RequestKeys, sample: int = 0) -> None:
        self._store = store
        self._keys = keys
        self._sample = sample
        self.looked_up: list[str] = []
        """The cache keys of all answers that were found."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Empty: the client itself answers nothing."""
        return {}

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The stored answers; a missing one counts as over budget, which stops no run."""
        pending = iter(requests)
        while batch := list(islice(pending, LOOKUP_ROWS)):
            keyed = [(request, self._keys.of(replace(request, sample=self._sample))) for request in batch]
            known = self._store.get(key for _, key in keyed)
            for request, key in keyed:
                if key in known:
                    self.looked_up.append(key)
                    yield stored_completion(request.key, known[key])
                else:
                    yield Completion(request.key, failure=Failure("over_budget", "no answer is stored"))


@dataclass(slots=True)
class RequestCounter:
    """Counts distinct requests; lengths are estimated from a sample of them.

    Args:
        store: the response store.
        sample: sample size, of requests with a stored answer and of those without.
        generator: draws the samples.
        sends_schema: whether the JSON schema of the answer is sent, which servers count as part of the prompt.
    """

    store: ResponseStore
    sample: int
    generator: random.Random
    sends_schema: bool = False
    rows: int = 0
    stored: int = 0
    """Distinct requests with a stored answer."""
    _keys: set[bytes] = field(default_factory=set)
    _open: list[tuple[float, int, Request]] = field(default_factory=list)
    _answered: list[tuple[float, int, tuple[Request, dict[str, Any]]]] = field(default_factory=list)
    _sampled: int = 0

    @property
    def requests(self) -> int:
        """Distinct requests; equal ones are sent once."""
        return len(self._keys)

    def add(self, dry_run: SupportsDryRun, rows: Any) -> None:
        """Count the requests of some rows."""
        self.rows += len(rows)
        pending = self._distinct(dry_run, rows)
        while batch := list(islice(pending, LOOKUP_ROWS)):
            known = self.store.get(key for _, key in batch)
            self.stored += len(known)
            for request, key in batch:
                if key in known:
                    self._offer(self._answered, (request, known[key]))
                else:
                    self._offer(self._open, request)

    def ratio(self) -> TokenRatio:
        """Prompt tokens that the server counted, relative to the estimate."""
        ratio = TokenRatio()
        for _, _, (request, answer) in self._answered:
            ratio.add(self._estimated(request), int(answer["usage"]["prompt_tokens"]))
        return ratio

    def answer_tokens(self) -> float | None:
        """Mean length of the stored answers, as the server counted it; None without any."""
        lengths = [int(answer["usage"]["completion_tokens"]) for _, _, (_, answer) in self._answered]
        return sum(lengths) / len(lengths) if any(lengths) else None

    def prompt_tokens(self) -> float:
        """Mean estimated length of a request without an answer."""
        lengths = [self._estimated(request) for _, _, request in self._open]
        return sum(lengths) / len(lengths) if lengths else 0.0

    def max_prompt_tokens(self) -> int:
        """Maximum tokens of a sampled request, as a budget reserves them."""
        schemas = [(request, len(str(request.response_schema or "").encode())) for _, _, request in self._open]
        return max((max_prompt_tokens(request, schema_bytes) for request, schema_bytes in schemas), default=0)

    def _distinct(self, dry_run: SupportsDryRun, rows: Any) -> Iterator[tuple[Request, str]]:
        for request, key in dry_run.requests(rows):
            digest = bytes.fromhex(key)
            if digest not in self._keys:
                self._keys.add(digest)
                yield request, key

    def _offer(self, heap: list[Any], item: Any) -> None:
        """Reservoir sampling: the items with the highest random numbers stay, whatever the order."""
        self._sampled += 1
        entry = (self.generator.random(), self._sampled, item)
        if len(heap) < self.sample:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)

    def _estimated(self, request: Request) -> int:
        schema = request.response_schema if self.sends_schema else None
        return estimate_message_tokens(request.messages) + (0 if schema is None else estimate_tokens(str(schema)))
