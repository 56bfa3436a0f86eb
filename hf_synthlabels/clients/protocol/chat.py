"""Requests of the chat completions protocol: bodies, and what identifies an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson

from hf_synthlabels.clients.base import Message, Request

ResponseFormat = Literal["text", "json_object", "json_schema"]
"""How strictly a server enforces the format of the answer, the least strict first."""

SystemRole = Literal["system", "developer", "none"]
"""Role of the system prompt; with `none` it is prepended to the first user message."""

RESERVED_PARAMETERS = {
    **{name: "" for name in ("model", "messages", "stream", "stream_options", "n", "tools", "functions")},
    **{
        name: name
        for name in ("temperature", "top_p", "max_tokens", "seed", "response_format", "logprobs", "reasoning_effort")
    },
    "top_logprobs": "logprobs",
}
"""Parameters that `extra_body` may not set: those with a configuration key, with that key, and those that would change
the type of the answer."""

OPENAI_HOSTS = re.compile(
    r"(?:.*\.)?openai\.com|.*\.(?:openai\.azure\.(?:com|us)|cognitiveservices\.azure\.com|services\.ai\.azure\.com)"
)
OPENAI_REASONING_MODELS = re.compile(r"(?:^|/)(?:o[1-9](?:$|-)|gpt-[5-9](?!-chat))")
CONVERTING_HOSTS = frozenset({"openrouter.ai"})
"""Gateways that convert `max_tokens` for each model."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Parameters that can change an answer; all are part of the cache key."""

    temperature: float | None = 0.0
    """None leaves it out, for models that reject it."""
    top_p: float | None = None
    max_tokens: int | None = 256
    seed: int | None = None
    response_format: ResponseFormat = "text"
    top_logprobs: int | None = None
    """Number of alternatives per token to return; None returns no log-probabilities."""
    reasoning: bool = False
    """The model reasons before it answers: it accepts no temperature, and its reasoning counts as output tokens."""
    reasoning_effort: str | None = None
    extra_body: Mapping[str, Any] | None = None
    """Further parameters of the body."""
    headers: Mapping[str, str] | None = None
    """Headers that can change an answer; `RequestHeaders` holds all headers."""
    system_role: SystemRole | None = None
    """None is `system`."""


def chat_identity(model: str, base_url: str, sampling: Sampling) -> dict[str, Any]:
    """Everything except the request that can change an answer; the same online and in batches, which share answers."""
    # Only what is sent: a parameter added to this package later must not change existing keys.
    sent = {name: value for name, value in asdict(sampling).items() if value is not None and value is not False}
    return {"client": "openai", "model": model, "base_url": base_url, "sampling": sent}


@lru_cache(maxsize=64)
def limit_parameter(model: str, base_url: str, *, reasoning: bool) -> Literal["max_tokens", "max_completion_tokens"]:
    """The parameter that limits the length of an answer.

    OpenAI's reasoning models reject `max_tokens`, and OpenAI rejects both at once. Ollama, llama-cpp-python and older
    vLLM ignore `max_completion_tokens`, and Mistral rejects it. So it is sent to OpenAI and Azure for reasoning models,
    and elsewhere only for models that only OpenAI serves, which are then behind a user's proxy.
    """
    host = (urlsplit(base_url).hostname or "").lower()
    if not reasoning or host in CONVERTING_HOSTS:
        return "max_tokens"
    if OPENAI_HOSTS.fullmatch(host) or OPENAI_REASONING_MODELS.search(model):
        return "max_completion_tokens"
    return "max_tokens"


def chat_body(model: str, base_url: str, sampling: Sampling, request: Request) -> dict[str, Any]:
    """The body of one request to `/chat/completions`, online or in a batch."""
    body: dict[str, Any] = {"model": model, "messages": _messages(request.messages, sampling.system_role)}
    extra = sampling.extra_body or {}
    if sampling.max_tokens is not None and "max_completion_tokens" not in extra:
        body[limit_parameter(model, base_url, reasoning=sampling.reasoning)] = sampling.max_tokens
    for name in ("reasoning_effort",) if sampling.reasoning else ("temperature", "top_p"):
        if (value := getattr(sampling, name)) is not None:
            body[name] = value
    if sampling.seed is not None:
        # Samples with the same seed would be identical.
        body["seed"] = sampling.seed + request.sample
    if sampling.top_logprobs is not None:
        body["logprobs"] = True
        body["top_logprobs"] = sampling.top_logprobs
    if sampling.response_format == "json_object":
        body["response_format"] = {"type": "json_object"}
    elif sampling.response_format == "json_schema" and request.response_schema is not None:
        schema = {"name": "label", "strict": True, "schema": request.response_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body | dict(extra)


def encode_json(content: Any) -> bytes:
    """Serialize to JSON; lone surrogates, which orjson rejects, are escaped.

    Raises:
        TypeError: the content is not serializable.
    """
    try:
        return orjson.dumps(content)
    except TypeError:
        return json.dumps(content).encode()


def _messages(messages: Sequence[Message], system_role: SystemRole | None) -> list[dict[str, str]]:
    turns = [{"role": str(message.role), "content": message.content} for message in messages]
    if turns[0]["role"] == "system" and system_role == "developer":
        turns[0]["role"] = "developer"
    elif turns[0]["role"] == "system" and system_role == "none":
        system = turns.pop(0)["content"]
        if not turns or turns[0]["role"] != "user":
            return [{"role": "user", "content": system}, *turns]
        turns[0]["content"] = f"{system}\n\n{turns[0]['content']}"
    return turns
