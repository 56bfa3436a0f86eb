"""Requests of the chat completions protocol: what is sent, and what identifies an answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from hf_synthlabels.clients.base import Request

__all__ = ["ResponseFormat", "Sampling", "chat_body", "chat_identity"]

ResponseFormat = Literal["text", "json_object", "json_schema"]
"""How strictly a server holds the model to the form of the answer, the loosest first."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The parameters that can change an answer; all of them are in the store's key."""

    temperature: float | None = 0.0
    """None leaves it out, for models that refuse it."""
    top_p: float | None = None
    max_tokens: int | None = 256
    seed: int | None = None
    response_format: ResponseFormat = "text"
    top_logprobs: int | None = None
    """How many likeliest tokens the server is asked for at each place; None asks for no log-probabilities."""
    reasoning: bool = False
    """The model thinks before it answers: it takes no temperature, and its thoughts count as output tokens."""
    reasoning_effort: str | None = None


def chat_identity(model: str, base_url: str, sampling: Sampling) -> dict[str, Any]:
    """All that can change an answer beside the request; the same online and in a batch, so that they share answers."""
    # Only what is sent: a parameter that is added to this package later must not change the key of an answer.
    sent = {name: value for name, value in asdict(sampling).items() if value is not None and value is not False}
    return {"client": "openai", "model": model, "base_url": base_url, "sampling": sent}


def chat_body(model: str, sampling: Sampling, request: Request) -> dict[str, Any]:
    """What is sent to `/chat/completions` for one request, online or in a batch."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
    }
    if sampling.reasoning:
        if sampling.max_tokens is not None:
            body["max_completion_tokens"] = sampling.max_tokens
        if sampling.reasoning_effort is not None:
            body["reasoning_effort"] = sampling.reasoning_effort
    else:
        for name in ("temperature", "top_p", "max_tokens"):
            if (value := getattr(sampling, name)) is not None:
                body[name] = value
    if sampling.seed is not None:
        # Draws with one seed would be copies of each other.
        body["seed"] = sampling.seed + request.draw
    if sampling.top_logprobs is not None:
        body["logprobs"] = True
        body["top_logprobs"] = sampling.top_logprobs
    if sampling.response_format == "json_object":
        body["response_format"] = {"type": "json_object"}
    elif sampling.response_format == "json_schema" and request.response_schema is not None:
        schema = {"name": "label", "strict": True, "schema": request.response_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body
