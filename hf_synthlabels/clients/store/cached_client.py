"""CachedClient: returns stored answers and sends only what is missing."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice
from typing import Any

from hf_synthlabels.clients.base import ChatClient, Completion, PersistingClient, Request
from hf_synthlabels.clients.store.payloads import answer_payload, canonical_hash, is_answer, stored_completion
from hf_synthlabels.clients.store.response_store import ResponseStore

_LOGGER = logging.getLogger(__name__)

LOOKUP_ROWS = 128

MAX_DEFERRED = 4096
"""Requests in flight in other processes; at this number no more requests are read until some are answered."""

MIN_WAIT_S, MAX_WAIT_S = 0.01, 0.5
LOG_WAIT_S = 5.0
OUTAGE_TIMEOUT_S = 900.0

HITS_PER_PASS = 4096
"""Stored answers that may accumulate while others are requested; then sending pauses and they are returned."""


class RequestKeys:
    """Keys of one client's requests in the response store.

    A key is the hash of everything that can change the answer, and of nothing else: the client's identity, the
    messages, the schema of the answer and the sample index.
    """

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self._identity = canonical_hash(identity)
        self._schema: tuple[Any, str | None] = (None, None)

    def of(self, request: Request) -> str:
        """The key of a request."""
        schema = request.response_schema
        if schema is not self._schema[0]:
            # All rows of a task share one schema, so it is hashed once.
            self._schema = (schema, None if schema is None else canonical_hash(schema))
        parts = [self._identity, self._schema[1] or "", str(request.sample)]
        for message in request.messages:
            parts += (message.role, message.content)
        # The lengths keep different lists of parts from joining to the same text.
        content = "".join([f"{len(part)}:{part}" for part in parts])
        # Lone surrogates cannot be encoded otherwise.
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


class CachedClient:
    """Looks each request up in the response store, and stores each new answer there.

    A failure, a refusal or a truncated answer is returned but not stored, so it is requested again the next time. Of
    several equal requests in flight only one is sent, also when they come from several processes with the same store:
    the others wait for its answer.

    Args:
        client: answers what is not stored.
        store: holds the answers.
        hits_per_pass: stored answers that may accumulate in memory while others are requested. A client that reads all
            requests before it answers any needs more.
        outage_timeout_s: how long to wait for answers in flight in another process before they are requested here too.
    """

    def __init__(
        self,
        client: ChatClient,
        store: ResponseStore,
        *,
        hits_per_pass: int = HITS_PER_PASS,
        outage_timeout_s: float = OUTAGE_TIMEOUT_S,
    ) -> None:
        self._client = client
        self._store = store
        self._hits_per_pass = hits_per_pass
        self._outage_timeout_s = outage_timeout_s

    @property
    def identity(self) -> Mapping[str, Any]:
        """Identity of the wrapped client."""
        return self._client.identity

    @property
    def waiting(self) -> str | None:
        """Why the wrapped client sends nothing; None while it does, or if it cannot tell."""
        reason: str | None = getattr(self._client, "waiting", None)
        return reason

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion per request: stored ones at once, the others as they are answered here or elsewhere."""
        lookup = _Lookup(self._store, RequestKeys(self._client.identity), requests)
        try:
            while True:
                # The client is not called as long as every request is stored.
                miss = None
                for request, key, stored in lookup.read():
                    if stored is None:
                        miss = (request, key)
                        break
                    yield stored
                if miss is not None:
                    yield from _Pass(self._client, self._store, lookup, self._hits_per_pass).complete(miss)
                elif not lookup.wait(self._outage_timeout_s):
                    break
        finally:
            lookup.close()
        self._store.flush()


class _Lookup:
    """Reads requests and what is stored for them; defers those in flight in other processes."""

    def __init__(self, store: ResponseStore, keys: RequestKeys, requests: Iterable[Request]) -> None:
        self._store = store
        self._keys = keys
        self._requests = iter(requests)
        self._ready: deque[tuple[Request, str, dict[str, Any] | None]] = deque()
        self._deferred: list[tuple[Request, str]] = []
        self._locked: set[str] = set()
        # Answers since the last look-up, until they are on disk.
        self._answered: dict[str, tuple[Completion, Future[None] | None]] = {}

    def read(self) -> Iterator[tuple[Request, str, Completion | None]]:
        """Requests in order, with their keys and stored completions; None for those to send."""
        while True:
            while self._ready:
                request, key, payload = self._ready.popleft()
                stored = None if payload is None else stored_completion(request.key, payload)
                if stored is None and key in self._answered:
                    # An equal request was answered since the look-up.
                    stored = _copy(self._answered[key][0], request.key)
                yield request, key, stored
            if len(self._deferred) >= MAX_DEFERRED:
                return
            batch = list(islice(self._requests, LOOKUP_ROWS))
            if not batch:
                return
            self._look_up([(request, self._keys.of(request)) for request in batch])

    def wait(self, outage_timeout_s: float) -> bool:
        """Wait until a deferred request is stored, or its lock is released; False if none is deferred."""
        if not self._deferred:
            return False
        start, pause_s, is_logged = time.monotonic(), MIN_WAIT_S, False
        while True:
            deferred, self._deferred = self._deferred, []
            self._look_up(deferred)
            if self._ready:
                return True
            waited_s = time.monotonic() - start
            if waited_s >= outage_timeout_s:
                _LOGGER.warning("No result from the other process for %.0f s; sending the requests here.", waited_s)
                self._ready.extend((request, key, None) for request, key in self._deferred)
                self._deferred = []
                return True
            if waited_s >= LOG_WAIT_S and not is_logged:
                _LOGGER.warning("Waiting for %d requests in flight in another process.", len(deferred))
                is_logged = True
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_WAIT_S)

    def record(self, key: str, completion: Completion, written: Future[None] | None) -> None:
        """Note the completion of a request that was sent here; without a write, its lock is released."""
        self._answered[key] = (completion, written)
        self._locked.discard(key)
        if written is None:
            self._store.release([key])

    def close(self) -> None:
        """Release the locks of requests that will not be sent here any more."""
        self._store.release(list(self._locked))
        self._locked.clear()

    def _look_up(self, requests: list[tuple[Request, str]]) -> None:
        # What is on disk by now is read from there.
        for key, (_, written) in list(self._answered.items()):
            if written is None or written.done():
                del self._answered[key]
        stored = self._store.get(key for _, key in requests)
        missing = [key for _, key in requests if key not in stored and key not in self._locked]
        if missing:
            locked = self._store.acquire(missing)
            # Another process may have stored it between the look-up and the lock.
            late = self._store.get(locked)
            self._store.release(late)
            stored |= late
            self._locked.update(key for key in locked if key not in late)
        for request, key in requests:
            if key in stored or key in self._locked:
                self._ready.append((request, key, stored.get(key)))
            else:
                self._deferred.append((request, key))


class _Pass:
    """One call of the wrapped client, from the first miss until too many hits have accumulated."""

    def __init__(self, client: ChatClient, store: ResponseStore, lookup: _Lookup, hits_per_pass: int) -> None:
        self._client = client
        self._store = store
        self._lookup = lookup
        self._hits_per_pass = hits_per_pass
        # Filled in the client's thread, emptied in the caller's.
        self._hits: deque[Completion] = deque()
        self._sent: dict[int, str] = {}
        self._in_flight: dict[str, list[int]] = {}
        self._copies: dict[int, list[int]] = {}

    def complete(self, miss: tuple[Request, str]) -> Iterator[Completion]:
        misses = self._misses(miss)
        if isinstance(self._client, PersistingClient):
            completions = self._client.complete_with_persist(misses, self._persist)
        else:
            completions = self._persisted(self._client.complete(misses))
        for completion in completions:
            yield completion
            for key in self._copies.pop(completion.key, ()):
                yield _copy(completion, key)
            yield from self._pop_hits()
        yield from self._pop_hits()

    def _misses(self, miss: tuple[Request, str]) -> Iterator[Request]:
        """The requests to send; hits and copies of requests in flight are set aside."""
        request, key = miss
        self._sent[request.key], self._in_flight[key] = key, []
        yield request
        for request, key, stored in self._lookup.read():
            if stored is not None:
                self._hits.append(stored)
            elif key in self._in_flight:
                self._in_flight[key].append(request.key)
            else:
                self._sent[request.key], self._in_flight[key] = key, []
                yield request
            if len(self._hits) >= self._hits_per_pass:
                return

    def _persisted(self, completions: Iterable[Completion]) -> Iterator[Completion]:
        for completion in completions:
            self._persist(completion)
            yield completion

    def _persist(self, completion: Completion) -> Future[None] | None:
        key = self._sent.pop(completion.key)
        if copies := self._in_flight.pop(key):
            self._copies[completion.key] = copies
        written = self._store.put(key, answer_payload(completion)) if is_answer(completion) else None
        self._lookup.record(key, completion, written)
        return written

    def _pop_hits(self) -> Iterator[Completion]:
        """The hits so far; more may be added meanwhile."""
        for _ in range(len(self._hits)):
            yield self._hits.popleft()


def _copy(completion: Completion, key: int) -> Completion:
    """The same answer for an equal request that was not sent."""
    return replace(completion, key=key, stored=completion.failure is None)
