"""The chat completions protocol: a request as the body that is sent, a reply as a completion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hf_synthlabels.clients.base import Completion, FinishReason, Request, Usage
from hf_synthlabels.labels import Token

__all__ = ["ResponseFormat", "Sampling", "chat_body", "chat_identity", "error_message", "read_completion"]

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


def read_completion(key: int, body: Mapping[str, Any]) -> Completion:
    """Read a chat completion.

    Raises:
        LookupError, TypeError, AttributeError, ValueError: it is none.
    """
    choice = body["choices"][0]
    message = choice["message"]
    refusal = message.get("refusal")
    reason: FinishReason = "stop"
    if choice.get("finish_reason") in ("length", "content_filter"):
        reason = choice["finish_reason"]
    text = refusal or message.get("content") or ""
    if not isinstance(text, str):
        raise TypeError(f"`content` is a {type(text).__name__}, not a text")
    if not text.isascii():
        # JSON can hold half a surrogate pair, which no file and no table can.
        text = text.encode(errors="replace").decode()
    model = body.get("model")
    return Completion(
        key,
        text=text,
        finish_reason=reason,
        refusal=bool(refusal),
        usage=_usage(body.get("usage") or {}),
        model=model if isinstance(model, str) else None,
        tokens=_tokens(choice.get("logprobs")),
    )


def error_message(text: str) -> str:
    """The server's own words for an error, shortened; servers put them in different places."""
    try:
        body = json.loads(text)
    except ValueError:
        return _one_line(text) or "no message"
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return _one_line(str(message)) or "no message"


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    prompt = int(usage.get("prompt_tokens") or 0)
    return Usage(
        prompt,
        # Some servers count thoughts in the total alone; they are billed as part of the answer.
        max(int(usage.get("completion_tokens") or 0), int(usage.get("total_tokens") or 0) - prompt),
        int(details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0),
    )


def _tokens(logprobs: Any) -> tuple[Token, ...]:
    if not logprobs or not logprobs.get("content"):
        return ()
    return tuple(
        Token(
            str(token["token"]),
            float(token["logprob"]),
            tuple((str(other["token"]), float(other["logprob"])) for other in token.get("top_logprobs") or ()),
        )
        for token in logprobs["content"]
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
