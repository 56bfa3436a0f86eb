"""CachedClient: a client that never asks the same thing twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from hf_synthlabels.clients.base import ChatClient, Completion, Request, Usage
from hf_synthlabels.clients.store import ResponseStore, request_key

__all__ = ["CachedClient"]

LOOKUP_ROWS = 64


class CachedClient:
    """Looks an answer up in the response store first, and keeps every good new one there.

    A failure, a refusal, an answer cut by a filter or at the token limit is not an answer: it is passed on and
    not stored, so that it is asked again the next time.
    """

    def __init__(self, client: ChatClient, store: ResponseStore) -> None:
        self._client = client
        self._store = store

    @property
    def identity(self) -> Mapping[str, Any]:
        """That of the client inside."""
        return self._client.identity

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Stored answers come at once, the others as they are answered."""
        known: list[Completion] = []
        asked: dict[int, str] = {}
        answers = self._client.complete(self._misses(requests, known, asked))
        for completion in answers:
            if _is_answer(completion):
                self._store.put(asked.pop(completion.key), _payload(completion))
            yield completion
            yield from _taken(known)
        yield from _taken(known)
        self._store.flush()

    def _misses(self, requests: Iterable[Request], known: list[Completion], asked: dict[int, str]) -> Iterator[Request]:
        pending = iter(requests)
        while batch := list(islice(pending, LOOKUP_ROWS)):
            keys = {request.key: self._key(request) for request in batch}
            stored = self._store.get(keys.values())
            for request in batch:
                if (payload := stored.get(keys[request.key])) is not None:
                    known.append(_completion(request.key, payload))
                else:
                    asked[request.key] = keys[request.key]
                    yield request

    def _key(self, request: Request) -> str:
        messages = [[message.role, message.content] for message in request.messages]
        return request_key(
            {
                "identity": dict(self._client.identity),
                "messages": messages,
                "response_schema": request.response_schema,
                "draw": request.draw,
            }
        )


def _taken(completions: list[Completion]) -> Iterator[Completion]:
    """Hand out and remove what has gathered so far; the list may grow at its end meanwhile."""
    while completions:
        yield completions.pop(0)


def _is_answer(completion: Completion) -> bool:
    return completion.failure is None and not completion.refusal and completion.finish_reason == "stop"


def _payload(completion: Completion) -> dict[str, Any]:
    return {
        "text": completion.text,
        "model": completion.model,
        "usage": dataclasses.asdict(completion.usage),
        "probabilities": None if completion.probabilities is None else dict(completion.probabilities),
    }


def _completion(key: int, payload: Mapping[str, Any]) -> Completion:
    return Completion(
        key,
        text=payload["text"],
        model=payload["model"],
        usage=Usage(**payload["usage"]),
        probabilities=payload["probabilities"],
        stored=True,
    )
