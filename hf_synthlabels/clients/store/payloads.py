"""Answers as the response store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_synthlabels.clients.base import Completion, Usage
from hf_synthlabels.clients.protocol.reasoning_parts import separated
from hf_synthlabels.labels import Token
from hf_synthlabels.labels.parsing.reasoning import split_reasoning

FURTHER_FIELDS = ("finish_reason", "reasoning", "probabilities", "tokens")
"""Of a payload, behind `text`, `model` and `usage`, in their order; those without a value are left out."""


def is_answer(completion: Completion) -> bool:
    """Whether a completion is stored: a whole answer, or a prompt that the server's filter rejected.

    A filter would reject the same prompt again, so asking again brings nothing. An answer that was cut, or a model
    that refused, may end otherwise the next time.
    """
    if completion.failure is not None or completion.refusal:
        return False
    return completion.finish_reason == "stop" or _is_rejected(completion)


def is_usable(payload: Mapping[str, Any]) -> bool:
    """Whether a stored payload is a good answer.

    Payloads without a finish reason come from before it was checked. Those without an answer, or with nothing but
    reasoning, were broken off or failed on the server.
    """
    text = payload.get("text")
    if "finish_reason" in payload or "probabilities" in payload or not isinstance(text, str):
        return True
    split = split_reasoning(text)
    return split.complete and bool(split.answer.strip())


def answer_payload(completion: Completion) -> dict[str, Any]:
    """An answer as it is kept in the store; its reasoning is kept too."""
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
    """An answer as it comes out of the store, for the request with this key."""
    tokens = tuple(
        Token(text, logprob, tuple((other, likely) for other, likely in alternatives))
        for text, logprob, alternatives in payload.get("tokens", ())
    )
    completion = Completion(
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
    # Without a finish reason it was stored before reasoning was separated; weighed answers have none.
    return completion if "finish_reason" in payload or completion.probabilities is not None else separated(completion)


def _is_rejected(completion: Completion) -> bool:
    """Whether a filter rejected the prompt itself, so that nothing was generated."""
    return (
        completion.finish_reason == "content_filter" and not completion.text and not completion.usage.completion_tokens
    )
