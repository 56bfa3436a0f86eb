"""CachedClient: a client that never asks the same thing twice."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from hf_synthlabels.clients.base import (
    ChatClient,
    Commit,
    Completion,
    Keep,
    PersistingClient,
    Request,
)
from hf_synthlabels.clients.store.payloads import answer_payload, is_answer, stored_completion
from hf_synthlabels.clients.store.response_store import ResponseStore, canonical_hash

_LOGGER = logging.getLogger(__name__)

LOOKUP_ROWS = 128

PUT_OFF_AT_MOST = 4096
"""Requests that others have on the way and that may gather; then no more are read until some are answered."""

FIRST_WAIT_S, MAX_WAIT_S = 0.01, 0.5
TOLD_AFTER_S = 5.0
PATIENCE_S = 900.0
"""How long nothing may come of what another process has on the way, which may be halted, before it is asked here."""

HITS_PER_PASS = 4096
"""Stored answers that may gather while others are being asked; then the asking pauses and they are handed out."""


class RequestKeys:
    """The addresses of one client's requests in the response store.

    A key is the hash of all that can change the answer: the client's identity, the messages, the schema of the
    answer and the sample index; and of nothing else.
    """

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self._identity = canonical_hash(identity)
        self._schema: tuple[Any, str | None] = (None, None)

    def of(self, request: Request) -> str:
        """The key of a request."""
        schema = request.response_schema
        if schema is not self._schema[0]:
            # One schema serves all rows of a task, so it is hashed once.
            self._schema = (schema, None if schema is None else canonical_hash(schema))
        parts = [self._identity, self._schema[1] or "", str(request.sample)]
        for message in request.messages:
            parts += (message.role, message.content)
        # With their lengths, so that no two lists of parts make the same text.
        content = "".join([f"{len(part)}:{part}" for part in parts])
        # Half a surrogate pair can not be encoded otherwise.
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


class CachedClient:
    """Looks an answer up in the response store first, and keeps every good new one there.

    A failure, a refusal, an answer cut by a filter or at the token limit is not an answer: it is passed on and
    not stored, so that it is asked again the next time. A prompt that the server's filter rejects is stored, since it
    would be rejected again. Of several equal requests on the way only one is sent, also when they come from several
    processes with the same store: the others wait for its answer.

    Args:
        client: who is asked for what is not stored.
        store: where answers are kept.
        hits_per_pass: how many stored answers may gather in memory while others are being asked. A client that
            takes all requests before it answers any needs more.
        outage_timeout_s: how long nothing may come of what another process has on the way before it is asked here too.
    """

    def __init__(
        self,
        client: ChatClient,
        store: ResponseStore,
        *,
        hits_per_pass: int = HITS_PER_PASS,
        outage_timeout_s: float = PATIENCE_S,
    ) -> None:
        self._client = client
        self._store = store
        self._hits_per_pass = hits_per_pass
        self._patience_s = outage_timeout_s

    @property
    def identity(self) -> Mapping[str, Any]:
        """That of the client inside."""
        return self._client.identity

    @property
    def waiting(self) -> str | None:
        """Why the client inside sends nothing; None while it does, or if it cannot say."""
        reason: str | None = getattr(self._client, "waiting", None)
        return reason

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Stored answers come at once, the others as they are answered; what other processes ask for is waited for."""
        lookup = _Lookup(self._store, RequestKeys(self._client.identity), requests)
        try:
            while True:
                # As long as all is known, nothing is asked of anybody.
                first = None
                for request, key, known in lookup.read():
                    if known is None:
                        first = (request, key)
                        break
                    yield known
                if first is not None:
                    yield from _Pass(self._client, self._store, lookup, self._hits_per_pass).complete(first)
                elif not lookup.wait(self._patience_s):
                    break
        finally:
            lookup.close()
        self._store.flush()


class _Lookup:
    """Requests with what is stored of them, so many at a time; those that others have on the way are put off."""

    def __init__(self, store: ResponseStore, keys: RequestKeys, requests: Iterable[Request]) -> None:
        self._store = store
        self._keys = keys
        self._requests = iter(requests)
        self._found: deque[tuple[Request, str, dict[str, Any] | None]] = deque()
        self._put_off: list[tuple[Request, str]] = []
        self._claimed: set[str] = set()
        # What was answered after the last look into the store.
        self._answered: dict[str, tuple[Completion, Commit | None]] = {}

    def read(self) -> Iterator[tuple[Request, str, Completion | None]]:
        """Requests in their order, each with its key and what is known; None for what is to be asked here."""
        while True:
            while self._found:
                request, key, payload = self._found.popleft()
                known = None if payload is None else stored_completion(request.key, payload)
                if known is None and (answered := self._answered.get(key)) is not None:
                    # An equal one was answered between the look into the store and now.
                    known = _copy(answered[0], request.key)
                yield request, key, known
            if len(self._put_off) >= PUT_OFF_AT_MOST:
                return
            batch = list(islice(self._requests, LOOKUP_ROWS))
            if not batch:
                return
            self._look_up([(request, self._keys.of(request)) for request in batch])

    def wait(self, outage_timeout_s: float) -> bool:
        """Wait until something that was put off is stored, or nobody has it on the way; False if nothing was."""
        if not self._put_off:
            return False
        began, pause_s, is_told = time.monotonic(), FIRST_WAIT_S, False
        while True:
            put_off, self._put_off = self._put_off, []
            self._look_up(put_off)
            if self._found:
                return True
            waited_s = time.monotonic() - began
            if waited_s >= outage_timeout_s:
                _LOGGER.warning("Nothing came of them for %.0f s; they are asked for here too.", waited_s)
                self._found.extend((request, key, None) for request, key in self._put_off)
                self._put_off = []
                return True
            if waited_s >= TOLD_AFTER_S and not is_told:
                _LOGGER.warning("%d answers are on the way in another process; they are waited for.", len(put_off))
                is_told = True
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_WAIT_S)

    def record(self, key: str, completion: Completion, commit: Commit | None) -> None:
        """A request that was asked here is answered, or will not be."""
        self._answered[key] = (completion, commit)
        self._claimed.discard(key)
        if commit is None:
            self._store.release([key])

    def close(self) -> None:
        """What will not be asked here any more may be asked by others."""
        self._store.release(list(self._claimed))
        self._claimed.clear()

    def _look_up(self, named: list[tuple[Request, str]]) -> None:
        # What is on disk is found there from now on.
        for key, (_, commit) in list(self._answered.items()):
            if commit is None or commit.done():
                del self._answered[key]
        stored = self._store.get(key for _, key in named)
        missing = [key for _, key in named if key not in stored and key not in self._claimed]
        if missing:
            claimed = self._store.acquire(missing)
            # Another process may have kept it between the look and the claim.
            late = self._store.get(claimed)
            self._store.release(late)
            stored |= late
            self._claimed.update(key for key in claimed if key not in late)
        for request, key in named:
            if key in stored or key in self._claimed:
                self._found.append((request, key, stored.get(key)))
            else:
                self._put_off.append((request, key))


class _Pass:
    """One call of the client inside, from the first unknown request until the known ones are too many."""

    def __init__(self, client: ChatClient, store: ResponseStore, lookup: _Lookup, hits_per_pass: int) -> None:
        self._client = client
        self._store = store
        self._lookup = lookup
        self._hits_per_pass = hits_per_pass
        # Filled by the client's thread, emptied by the reader's.
        self._hits: deque[Completion] = deque()
        self._asked: dict[int, str] = {}
        self._on_the_way: dict[str, list[int]] = {}
        self._copies: dict[int, list[int]] = {}

    def complete(self, first: tuple[Request, str]) -> Iterator[Completion]:
        misses = self._misses(first)
        for completion in _complete_kept(self._client, misses, self._keep):
            yield completion
            for key in self._copies.pop(completion.key, ()):
                yield _copy(completion, key)
            yield from self._known()
        yield from self._known()

    def _misses(self, first: tuple[Request, str]) -> Iterator[Request]:
        request, key = first
        self._asked[request.key], self._on_the_way[key] = key, []
        yield request
        for request, key, known in self._lookup.read():
            if known is not None:
                self._hits.append(known)
            elif key in self._on_the_way:
                self._on_the_way[key].append(request.key)
            else:
                self._asked[request.key], self._on_the_way[key] = key, []
                yield request
            if len(self._hits) >= self._hits_per_pass:
                return

    def _keep(self, completion: Completion) -> Commit | None:
        key = self._asked.pop(completion.key)
        copies = self._on_the_way.pop(key)
        if copies:
            self._copies[completion.key] = copies
        commit = self._store.put(key, answer_payload(completion)) if is_answer(completion) else None
        self._lookup.record(key, completion, commit)
        return commit

    def _known(self) -> Iterator[Completion]:
        """Hand out what is stored and has gathered so far; more may come at the end meanwhile."""
        for _ in range(len(self._hits)):
            yield self._hits.popleft()


def _complete_kept(client: ChatClient, requests: Iterable[Request], keep: Keep) -> Iterator[Completion]:
    if isinstance(client, PersistingClient):
        yield from client.complete_with_persist(requests, keep)
        return
    for completion in client.complete(requests):
        keep(completion)
        yield completion


def _copy(completion: Completion, key: int) -> Completion:
    """The same answer for an equal request that was not sent."""
    fields = {name: getattr(completion, name) for name in Completion.__dataclass_fields__}
    return Completion(**{**fields, "key": key, "stored": completion.failure is None})
