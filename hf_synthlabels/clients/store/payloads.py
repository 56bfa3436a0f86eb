"""Stored form of an answer: key, payload and checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from hf_synthlabels.clients.base import Completion, Usage
from hf_synthlabels.labels import Token

OPTIONAL_FIELDS = ("finish_reason", "reasoning", "probabilities", "tokens")
"""Fields of a payload after `text`, `model` and `usage`, in their order; empty ones are left out."""


class StoredAnswer(NamedTuple):
    """A row of the store's table of answers."""

    key: str
    payload: str
    checksum: str
    created_at: float

    @property
    def is_valid(self) -> bool:
        """Whether the checksum matches."""
        return checksum(self.payload) == self.checksum


def canonical_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of `content` as canonical JSON; the order of keys does not matter."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    # Lone surrogates cannot be encoded otherwise.
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def checksum(payload: object) -> str:
    """Checksum of a payload (16 hex digits); a payload that is not text has none."""
    if not isinstance(payload, str):
        return "not text"
    return hashlib.sha256(payload.encode()).hexdigest()[:16]


def is_answer(completion: Completion) -> bool:
    """Whether a completion is stored: a complete answer, or a prompt that the provider's filter rejected.

    The filter would reject the same prompt again. A truncated answer or a refusal may end differently the next time.
    """
    if completion.failure is not None or completion.refusal:
        return False
    # A rejected prompt generates nothing.
    generated = completion.text or completion.usage.completion_tokens
    return completion.finish_reason == "stop" or (completion.finish_reason == "content_filter" and not generated)


def answer_payload(completion: Completion) -> dict[str, Any]:
    """The payload of an answer, with its reasoning."""
    usage = completion.usage
    payload: dict[str, Any] = {
        "text": completion.text,
        "model": completion.model,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
        },
        "finish_reason": completion.finish_reason,
    }
    if completion.reasoning:
        payload["reasoning"] = completion.reasoning
    if completion.probabilities is not None:
        payload["probabilities"] = dict(completion.probabilities)
    if completion.tokens:
        payload["tokens"] = [[token.text, token.logprob, token.alternatives] for token in completion.tokens]
    return payload


def stored_completion(key: int, payload: Mapping[str, Any]) -> Completion:
    """The completion of a stored payload, for the request with this key."""
    tokens = tuple(
        Token(text, logprob, tuple((other, other_logprob) for other, other_logprob in alternatives))
        for text, logprob, alternatives in payload.get("tokens", ())
    )
    return Completion(
        key,
        text=payload["text"],
        finish_reason=payload.get("finish_reason", "stop"),
        model=payload["model"],
        usage=Usage(**payload["usage"]),
        probabilities=payload.get("probabilities"),
        tokens=tokens,
        reasoning=payload.get("reasoning", ""),
        stored=True,
    )
