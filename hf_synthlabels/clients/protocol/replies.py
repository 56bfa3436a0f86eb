"""Reads what a server sends: a completion, or an error with the server's own message."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from hf_synthlabels.clients.base import Completion, FinishReason, Usage
from hf_synthlabels.clients.protocol.error_replies import (
    BAD_BODY,
    Billed,
    ErrorReply,
    encodable,
    malformed,
    names_error,
    read_error,
    text_error,
)
from hf_synthlabels.clients.protocol.reasoning_parts import answer_tokens, message_text
from hf_synthlabels.clients.store.fast_json import loads
from hf_synthlabels.labels import Token

COMPLETE = frozenset(
    {"stop", "stop_sequence", "stop_token", "end_turn", "end", "eos", "eos_token", "eosfound", "complete", "completed"}
)
"""Finish reasons of an answer that the model ended by itself, in lower case: OpenAI and most servers send `stop`,
Anthropic `end_turn`, TGI `eos_token`, Together `eos`, Cohere `COMPLETE`."""

TRUNCATED = frozenset({"length", "max_tokens", "model_length", "max_length", "max_output_tokens", "limit"})
TRUNCATED |= frozenset({"model_context_window_exceeded", "error_limit", "context_length", "maxpredictedtokensreached"})

REFUSED = (
    *("content_filter", "content-filter", "contentfilter", "guardrail", "safety", "image_safety", "recitation"),
    *("refusal", "prohibited_content", "blocklist", "spii", "error_toxic", "sensitive", "moderation", "blocked"),
)
"""How the reasons of answers that a filter stopped begin; some servers add the category behind it."""

PASSING = frozenset({"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"})
"""Finish reasons of a server's fault, which may pass. Other unknown reasons would come again, such as `tool_calls`."""

ROUNDING = 1e-3


def parse_reply(
    key: int, content: bytes, *, status: int = 200, hide: Callable[[str], str] = str
) -> Completion | ErrorReply:
    """Read the body of an HTTP reply; see `read_reply`."""
    try:
        body = loads(content)
    except (ValueError, RecursionError) as error:
        return text_error(content.decode(errors="replace"), status, error, hide)
    return read_reply(key, body, status=status, hide=hide)


def read_reply(key: int, body: Any, *, status: int = 200, hide: Callable[[str], str] = str) -> Completion | ErrorReply:
    """Read the JSON body of a reply: a completion, or an error, whatever its HTTP status.

    Only the message and its finish reason decide whether an answer counts. An odd optional part is left out: the
    answer is paid for, so it is not thrown away for odd log-probabilities or an odd token count.

    A provider's filter that rejects the prompt makes a completion with the finish reason `content_filter`.

    Args:
        key: of the request.
        body: the parsed JSON.
        status: the HTTP status.
        hide: removes secrets from the server's message.
    """
    is_ok = 200 <= status < 300
    usage = None
    try:
        if isinstance(body, dict):
            usage = _usage(body.get("usage"))
        if is_ok and not names_error(body):
            choice = body["choices"][0]
            if choice.get("error"):
                return read_error(key, choice, None, usage, hide)
            return _completion(key, body, choice, usage or Usage())
    except BAD_BODY as error:
        if is_ok:
            billed: Billed = (
                "perhaps" if isinstance(body, dict) and (body.get("choices") or body.get("usage")) else "no"
            )
            return malformed(error, hide, billed, usage)
    return read_error(key, body, None if is_ok else status, usage, hide)


def _completion(key: int, body: Mapping[str, Any], choice: Mapping[str, Any], usage: Usage) -> Completion | ErrorReply:
    message = choice["message"]
    split = message_text(message)
    refusal = message.get("refusal")
    said = choice.get("finish_reason")
    text = encodable(refusal if isinstance(refusal, str) and refusal else split.answer)
    reasoning = encodable(split.reasoning)
    reason = _finish_reason(said, has_text=bool(text or reasoning))
    if reason is None:
        return _unfinished(said, usage)
    if not split.complete and reason == "stop":
        reason = "length"
    model = body.get("model")
    return Completion(
        key,
        text=text,
        finish_reason=reason,
        refusal=bool(refusal),
        usage=usage,
        model=encodable(model) if isinstance(model, str) else None,
        tokens=answer_tokens(_tokens(choice.get("logprobs")), text, reasoning),
        reasoning=reasoning,
    )


def _finish_reason(said: Any, *, has_text: bool) -> FinishReason | None:
    """A server's finish reason as one of ours; None for an answer that is not to be used."""
    if said is None or said == "":
        # Servers that never give a reason exist (and OpenAI's own left it out for days), so a text counts.
        return "stop" if has_text else None
    name = str(said).strip().lower()
    if name in COMPLETE:
        return "stop"
    if name in TRUNCATED:
        return "length"
    return "content_filter" if name.startswith(REFUSED) else None


def _unfinished(said: Any, usage: Usage) -> ErrorReply:
    words = f"ended with `finish_reason` {str(said)!r}" if said else "is empty and has no `finish_reason`"
    return ErrorReply.of(
        f"the answer {words}",
        code=str(said or ""),
        retry="yes" if not said or str(said).lower() in PASSING else "no",
        usage=usage,
        malformed=True,
    )


def _usage(usage: Any) -> Usage:
    """The tokens that a server counted; none if a main count is odd, so that a budget charges the most possible."""
    if not isinstance(usage, Mapping):
        return Usage()
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return Usage()
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else None
    return Usage(
        prompt,
        # Some servers count thoughts in the total alone; they are billed as part of the answer.
        max(completion, (_count(usage.get("total_tokens")) or 0) - prompt),
        cached or _count(usage.get("prompt_cache_hit_tokens")) or 0,
    )


def _count(value: Any) -> int | None:
    """A number of tokens: 0 if it is missing, None if it is odd."""
    try:
        count = int(value or 0)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if count >= 0 else None


def _tokens(logprobs: Any) -> tuple[Token, ...]:
    """The tokens with their log-probabilities; empty if any is odd, because the answer counts without them."""
    try:
        return tuple(
            Token(
                _token_text(token),
                _logprob(token),
                tuple((_token_text(other), _logprob(other)) for other in token.get("top_logprobs") or ()),
            )
            for token in logprobs.get("content") or ()
        )
    except BAD_BODY:
        return ()


def _token_text(token: Mapping[str, Any]) -> str:
    return encodable(str(token["token"]))


def _logprob(token: Mapping[str, Any]) -> float:
    value = float(token["logprob"])
    # Rounding can push the logarithm of a certain token slightly above 0.
    if not -math.inf < value <= ROUNDING:
        raise ValueError(f"{value} is no log-probability")
    return min(value, 0.0)
