"""CachedClient: a client that never asks the same thing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from hf_synthlabels.clients.base import (
    ChatClient,
    Commit,
    Completion,
    Keep,
    KeepingClient,
    Request,
    Usage,
)
from hf_synthlabels.clients.store import ResponseStore, canonical_hash
from hf_synthlabels.labels import Token

__all__ = ["CachedClient", "RequestKeys", "answer_payload", "is_answer", "stored_completion"]

LOOKUP_ROWS = 128

HITS_PER_PASS = 4096
"""Stored answers that may gather while others are being asked; then the asking pauses and they are handed out."""


class RequestKeys:
    """The addresses of one client's requests in the response store.

    A key is the hash of all that can change the answer: the client's identity, the messages, the schema of the
    answer and the number of the draw; and of nothing else.
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
        parts = [self._identity, self._schema[1] or "", str(request.draw)]
        for message in request.messages:
            parts += (message.role, message.content)
        # With their lengths, so that no two lists of parts make the same text.
        content = "".join([f"{len(part)}:{part}" for part in parts])
        # Half a surrogate pair can not be encoded otherwise.
        return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()


class CachedClient:
    """Looks an answer up in the response store first, and keeps every good new one there.

    A failure, a refusal, an answer cut by a filter or at the token limit is not an answer: it is passed on and
    not stored, so that it is asked again the next time. Of several equal requests on the way only one is sent.

    Args:
        client: who is asked for what is not stored.
        store: where answers are kept.
        hits_per_pass: how many stored answers may gather in memory while others are being asked. A client that
            takes all requests before it answers any needs more.
    """

    def __init__(self, client: ChatClient, store: ResponseStore, *, hits_per_pass: int = HITS_PER_PASS) -> None:
        self._client = client
        self._store = store
        self._hits_per_pass = hits_per_pass

    @property
    def identity(self) -> Mapping[str, Any]:
        """That of the client inside."""
        return self._client.identity

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Stored answers come at once, the others as they are answered."""
        lookup = self._looked_up(requests)
        while True:
            # As long as all is known, nothing is asked of anybody.
            first = None
            for request, key, payload in lookup:
                if payload is None:
                    first = (request, key)
                    break
                yield stored_completion(request.key, payload)
            if first is None:
                break
            yield from _Pass(self._client, self._store, self._hits_per_pass).complete(first, lookup)
        self._store.flush()

    def _looked_up(self, requests: Iterable[Request]) -> Iterator[tuple[Request, str, dict[str, Any] | None]]:
        keys = RequestKeys(self._client.identity)
        pending = iter(requests)
        while batch := list(islice(pending, LOOKUP_ROWS)):
            named = [(request, keys.of(request)) for request in batch]
            stored = self._store.get(key for _, key in named)
            for request, key in named:
                yield request, key, stored.get(key)


class _Pass:
    """One call of the client inside, from the first unknown request until the known ones are too many."""

    def __init__(self, client: ChatClient, store: ResponseStore, hits_per_pass: int) -> None:
        self._client = client
        self._store = store
        self._hits_per_pass = hits_per_pass
        self._hits: list[Completion] = []
        self._asked: dict[int, str] = {}
        self._on_the_way: dict[str, list[int]] = {}
        self._copies: dict[int, list[int]] = {}

    def complete(
        self, first: tuple[Request, str], lookup: Iterator[tuple[Request, str, dict[str, Any] | None]]
    ) -> Iterator[Completion]:
        misses = self._misses(first, lookup)
        for completion in _complete_kept(self._client, misses, self._keep):
            yield completion
            for key in self._copies.pop(completion.key, ()):
                yield _copy(completion, key)
            yield from self._known()
        yield from self._known()

    def _misses(
        self, first: tuple[Request, str], lookup: Iterator[tuple[Request, str, dict[str, Any] | None]]
    ) -> Iterator[Request]:
        request, key = first
        self._asked[request.key], self._on_the_way[key] = key, []
        yield request
        for request, key, payload in lookup:
            if payload is not None:
                self._hits.append(stored_completion(request.key, payload))
                if len(self._hits) >= self._hits_per_pass:
                    return
            elif key in self._on_the_way:
                self._on_the_way[key].append(request.key)
            else:
                self._asked[request.key], self._on_the_way[key] = key, []
                yield request

    def _keep(self, completion: Completion) -> Commit | None:
        key = self._asked.pop(completion.key)
        copies = self._on_the_way.pop(key)
        if copies:
            self._copies[completion.key] = copies
        return self._store.put(key, answer_payload(completion)) if is_answer(completion) else None

    def _known(self) -> Iterator[Completion]:
        """Hand out what is stored and has gathered so far; more may come at the end meanwhile."""
        hits, self._hits = self._hits, []
        yield from hits


def _complete_kept(client: ChatClient, requests: Iterable[Request], keep: Keep) -> Iterator[Completion]:
    if isinstance(client, KeepingClient):
        yield from client.complete_kept(requests, keep)
        return
    for completion in client.complete(requests):
        keep(completion)
        yield completion


def is_answer(completion: Completion) -> bool:
    """Whether a completion is to be kept: a whole answer that nothing refused or cut."""
    return completion.failure is None and not completion.refusal and completion.finish_reason == "stop"


def _copy(completion: Completion, key: int) -> Completion:
    """The same answer for an equal request that was not sent."""
    fields = {name: getattr(completion, name) for name in Completion.__dataclass_fields__}
    return Completion(**{**fields, "key": key, "stored": completion.failure is None})


def answer_payload(completion: Completion) -> dict[str, Any]:
    """An answer as it is kept in the store."""
    usage = completion.usage
    payload: dict[str, Any] = {
        "text": completion.text,
        "model": completion.model,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
        },
    }
    if completion.probabilities is not None:
        payload["probabilities"] = dict(completion.probabilities)
    if completion.tokens:
        payload["tokens"] = [[token.text, token.logprob, token.alternatives] for token in completion.tokens]
    return payload


def stored_completion(key: int, payload: Mapping[str, Any]) -> Completion:
    """An answer as it comes out of the store, for the request with this key."""
    return Completion(
        key,
        text=payload["text"],
        model=payload["model"],
        usage=Usage(**payload["usage"]),
        probabilities=payload.get("probabilities"),
        tokens=tuple(
            Token(text, logprob, tuple((other, likely) for other, likely in alternatives))
            for text, logprob, alternatives in payload.get("tokens", ())
        ),
        stored=True,
    )
